//! Jobs that are ended, held back or tried again, as tables.

use super::*;
use crate::api::command_job::{CommandResult, Outcome};

/// The job with further members of its spec.
fn with(mut job: CommandJob, spec: &serde_json::Value) -> CommandJob {
    let mut all = serde_json::to_value(&job.spec).expect("a spec");
    for (name, value) in spec.as_object().expect("an object") {
        all[name] = value.clone();
    }
    job.spec = serde_json::from_value(all).expect("a valid spec");
    job
}

fn exited(exit_code: i32) -> Finding {
    Finding::Collected(Box::new(CommandResult {
        exit_code: Some(exit_code),
        ..*result()
    }))
}

/// Carries out the writes of the plans until there is something else to do.
fn written(mut job: CommandJob, facts: &JobFacts, second: i64) -> CommandJob {
    while let Some(JobStep::Write(verdict)) = step(&job, facts, second) {
        job = told(job, &verdict, second);
    }
    job
}

fn phase(job: &CommandJob) -> Option<Phase> {
    job.status.as_ref().and_then(|it| it.phase)
}

fn left(number: i32) -> JobFacts {
    let mut state = AttemptState::default();
    state.has_left = true;
    knowing(number, state)
}

#[test]
fn a_cancelled_job_that_has_not_begun_ends_at_once_and_what_was_prepared_is_left() {
    let prepared = of_finding(Finding::Nothing);
    let job = written(
        with(new_job(), &json!({"cancel": true})),
        &knowing(1, prepared.clone()),
        1,
    );
    assert_eq!(phase(&job), Some(Phase::Cancelled));
    let status = job.status.as_ref().expect("a status");
    assert_eq!((status.attempts.len(), &status.result), (0, &None));
    assert!(matches!(
        step(&job, &knowing(1, prepared), 2),
        Some(JobStep::Leave(AttemptKey { number: 1, .. }, None, Farewell::Idle))
    ));
}

#[test]
fn a_cancelled_command_is_told_to_end_and_one_that_ended_meanwhile_keeps_its_own_end() {
    let job = with(claimed_job(), &json!({"cancel": true}));
    let Some(JobStep::Run(_, Command::Cancel { reason, .. })) = step(&job, &found(1, Finding::Running), 9) else {
        panic!("it is told")
    };
    assert_eq!(reason, KillReason::Cancel);
    for (exit_code, ends) in [(0, Phase::Succeeded), (7, Phase::Failed)] {
        assert_eq!(
            phase(&written(job.clone(), &found(1, exited(exit_code)), 9)),
            Some(ends)
        );
    }
    // Of a job that would have gone on it is the end.
    let job = written(with(job, &json!({"backoffLimit": 1})), &found(1, exited(7)), 9);
    assert_eq!(phase(&job), Some(Phase::Queued), "its session is left first");
    let job = written(job, &left(1), 9);
    let status = job.status.as_ref().expect("a status");
    assert_eq!(status.phase, Some(Phase::Cancelled));
    assert_eq!(status.result.as_ref().and_then(|it| it.exit_code), Some(7));
}

#[test]
fn a_job_is_ended_when_it_was_active_for_too_long_whether_its_command_runs_or_not() {
    let job = with(claimed_job(), &json!({"activeDeadlineSeconds": 5, "backoffLimit": 1}));
    let running = found(1, Finding::Running);
    let Some(JobStep::Run(_, Command::Poll { window, .. })) = step(&job, &running, 3) else {
        panic!("it is asked")
    };
    assert_eq!(window, Duration::from_secs(2), "not beyond the deadline");
    let Some(JobStep::Run(_, Command::Cancel { reason, .. })) = step(&job, &running, 5) else {
        panic!("it is told")
    };
    assert_eq!(reason, KillReason::Deadline);
    let killed = CommandResult {
        outcome: Outcome::TimedOut,
        exit_code: Some(143),
        ..*result()
    };
    let ended = written(job.clone(), &found(1, Finding::Collected(Box::new(killed))), 6);
    assert_eq!(phase(&ended), Some(Phase::Failed));
    let condition = &ended.status.as_ref().expect("a status").conditions[0];
    assert!(
        condition.message.contains("spec.activeDeadlineSeconds"),
        "{}",
        condition.message
    );

    // Between two attempts.
    let job = written(job, &found(1, exited(7)), 2);
    let waiting = plan(&job, &left(1), at(3));
    assert_eq!((waiting.step, waiting.next), (None, Next::At(at(5))));
    assert_eq!(phase(&written(job, &left(1), 5)), Some(Phase::Failed));
}

#[test]
fn a_suspended_job_leaves_what_was_prepared_and_rests_until_it_is_resumed() {
    let job = with(new_job(), &json!({"suspend": true}));
    let prepared = knowing(1, of_finding(Finding::Nothing));
    assert!(matches!(step(&job, &prepared, 1), Some(JobStep::Leave(..))));
    let rest = plan(&job, &left(1), at(1));
    assert_eq!((rest.step, rest.next), (None, Next::AwaitChange));
    let job = told(job, &rest.verdict, 1);
    assert_eq!(phase(&job), Some(Phase::Suspended));
    // The session of the first may be about to be released.
    let resumed = with(job, &json!({"suspend": false}));
    assert_eq!(step(&resumed, &left(1), 2), prepares(2));
    assert_eq!(step(&resumed, &facts(), 2), prepares(1));
}

#[test]
fn a_command_that_runs_goes_on_while_its_job_is_suspended_and_no_further_attempt_begins() {
    let job = with(claimed_job(), &json!({"suspend": true, "backoffLimit": 1}));
    let running = plan(&job, &found(1, Finding::Running), at(1));
    assert!(matches!(running.step, Some(JobStep::Run(_, Command::Poll { .. }))));
    assert_eq!(
        phase(&written(job.clone(), &found(1, exited(0)), 2)),
        Some(Phase::Succeeded)
    );
    let job = written(job, &found(1, exited(7)), 2);
    assert_eq!(plan(&job, &left(1), at(1000)).verdict, JobVerdict::Suspended);
}

#[test]
fn a_failed_attempt_is_followed_by_another_one_after_a_pause_that_a_restart_does_not_change() {
    let job = written(
        with(claimed_job(), &json!({"backoffLimit": 1})),
        &found(1, exited(7)),
        100,
    );
    let status = job.status.as_ref().expect("a status");
    assert_eq!((status.phase, status.failed), (Some(Phase::Queued), Some(1)));
    assert_eq!(status.result.as_ref().and_then(|it| it.exit_code), Some(7));
    assert!(matches!(
        step(&job, &found(1, exited(7)), 100),
        Some(JobStep::Leave(_, Some(_), Farewell::Idle))
    ));
    for facts in [left(1), facts()] {
        let waiting = plan(&job, &facts, at(101));
        let Next::At(then) = waiting.next else {
            panic!("it waits: {waiting:?}")
        };
        assert!(then >= at(110) && then <= at(112), "{then}");
        assert_eq!(
            told(job.clone(), &waiting.verdict, 101),
            job,
            "its status says so already"
        );
        assert_eq!(step(&job, &facts, 112), prepares(2));
    }
    let last = written(claimed_by(job, 2, 112), &found(2, exited(7)), 113);
    let status = last.status.as_ref().expect("a status");
    assert_eq!((status.phase, status.failed), (Some(Phase::Failed), Some(2)));
}

#[test]
fn a_command_that_could_not_be_prepared_is_tried_in_another_session_and_not_for_ever() {
    let mut job = claimed_job();
    for number in 1..=3 {
        assert_eq!(phase(&job), Some(Phase::Running));
        job = written(job, &found(number, Finding::Unprepared), 100 * i64::from(number));
        if number < 3 {
            job = claimed_by(job, number + 1, 100 * i64::from(number) + 50);
        }
    }
    let status = job.status.as_ref().expect("a status");
    assert_eq!(
        (status.phase, status.failed, status.attempts.len()),
        (Some(Phase::Failed), None, 3)
    );
}
