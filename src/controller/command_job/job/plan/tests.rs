//! The plan of a job, as tables. That it keeps its promises whatever happens is shown by the model.

mod again;

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::command_job::{AttemptReason, OutputTail, SessionMode, StreamTail, TailSettings};
use crate::controller::command_job::attempt::fixtures::{at, claim, ended, found as of_finding, key, limits, result};
use crate::controller::command_job::attempt::{AttemptState, Finding, Preparation, Ticket};
use crate::controller::command_job::budget::OverBudget;
use crate::controller::command_job::job::retry::Because;
use crate::controller::command_job::job::status::status;
use crate::controller::command_job::job::{Lodging, NamedPool};
use crate::controller::command_job::output::Fit;
use crate::runtime::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

fn new_job() -> CommandJob {
    serde_json::from_value(json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
        "metadata": {"name": "j", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "timeoutSeconds": 60},
    }))
    .expect("a valid job")
}

fn told(mut job: CommandJob, verdict: &JobVerdict, second: i64) -> CommandJob {
    job.status = status(&job, verdict, at(second));
    job
}

fn claimed(claim: AttemptClaim) -> JobVerdict {
    let session = JobSession {
        mode: SessionMode::Fresh,
        reuse: 0,
        allocated_time: whole_seconds(at(0)),
    };
    JobVerdict::Claimed {
        claim,
        session,
        guest_of: None,
    }
}

fn claimed_by(job: CommandJob, number: i32, second: i64) -> CommandJob {
    let claim = AttemptClaim {
        key: AttemptKey::of_number(number),
        at: at(second),
        ..claim()
    };
    told(job, &claimed(claim), second)
}

fn claimed_job() -> CommandJob {
    claimed_by(new_job(), 1, 0)
}

fn facts() -> JobFacts {
    let sessions = (1..=20).map(|number| (AttemptKey::of_number(number), "s".to_owned()));
    JobFacts {
        lodging: Lodging::default(),
        limits: limits(),
        place: Ok("place".into()),
        contents: Ok("c".into()),
        secrets_digest: None,
        lent_account: None,
        guest_of: None,
        sessions: sessions.collect(),
        fresh: Ticket("fresh".into()),
        attempts: [].into(),
        fit: Fit::AsItIs,
    }
}

fn knowing(number: i32, state: AttemptState) -> JobFacts {
    JobFacts {
        attempts: [(AttemptKey::of_number(number), state)].into(),
        ..facts()
    }
}

fn found(number: i32, finding: Finding) -> JobFacts {
    knowing(number, of_finding(finding))
}

fn step(job: &CommandJob, facts: &JobFacts, second: i64) -> Option<JobStep> {
    plan(job, facts, at(second)).step
}

fn prepares(number: i32) -> Option<JobStep> {
    let key = AttemptKey::of_number(number);
    let ticket = Ticket("fresh".into());
    Some(JobStep::Run(key, Command::Prepare { key, ticket }))
}

#[test]
fn a_new_job_is_prepared_and_then_claimed_with_the_ticket_of_its_preparation() {
    assert_eq!(step(&new_job(), &facts(), 0), prepares(1));
    let preparation = Preparation {
        ticket: Ticket("t".into()),
        at: at(0),
        contents: "c".into(),
    };
    let mut state = AttemptState::default();
    state.preparation = Some(preparation);
    let claim = AttemptClaim { at: at(1), ..claim() };
    let expected = Some(JobStep::Write(claimed(claim)));
    assert_eq!(step(&new_job(), &knowing(1, state), 1), expected);
}

#[test]
fn a_job_whose_pool_is_not_ready_waits_and_says_for_what() {
    let not_ready = NotRunnable::PoolNotReady {
        pool: NamedPool::Object(Key::new("ns", "shell")),
        because: String::new(),
    };
    let why = not_ready.verdict();
    let facts = JobFacts {
        place: Err(not_ready),
        ..facts()
    };
    let waiting = plan(&new_job(), &facts, at(0));
    assert_eq!((waiting.step, waiting.next), (None, Next::Poll { after: None }));
    let refused_since = None;
    assert_eq!(
        waiting.verdict,
        JobVerdict::Waiting {
            why: why.clone(),
            refused_since,
            position: None,
        }
    );
    let running = plan(&claimed_job(), &facts, at(0));
    assert_eq!((running.step, running.verdict), (None, JobVerdict::Running(Some(why))));
}

#[test]
fn a_claimed_job_is_started_and_never_prepared_again_unless_it_is_proven_that_nothing_ran() {
    let Some(JobStep::Run(_, Command::Start { claim, start_by, .. })) = step(&claimed_job(), &facts(), 1) else {
        panic!("it is started")
    };
    assert_eq!((claim.ticket, start_by), (Ticket("t".into()), at(120)));
    let (mut job, mut facts) = (claimed_job(), found(1, Finding::Void));
    job = void_is_told(job, &mut facts, 200);
    assert_eq!(step(&job, &facts, 200), prepares(2));
}

/// The job once its status says that its last attempt is void, and that one is left: it may be what fills the pool.
fn void_is_told(job: CommandJob, facts: &mut JobFacts, now: i64) -> CommandJob {
    let Some(JobStep::Write(over)) = step(&job, facts, now) else {
        panic!("its end is told first");
    };
    let job = told(job, &over, now);
    let Some(JobStep::Leave(key, Some(_), Farewell::Idle)) = step(&job, facts, now) else {
        panic!("its session is given back before there is another one");
    };
    if let Some(state) = facts.attempts.get_mut(&key) {
        state.has_left = true;
    }
    job
}

#[test]
fn what_is_known_of_another_attempt_does_not_count() {
    assert!(matches!(
        step(&claimed_job(), &found(2, Finding::Died), 1),
        Some(JobStep::Run(_, Command::Start { .. }))
    ));
}

#[test]
fn an_attempt_that_has_ended_ends_its_job_and_its_session_is_left() {
    let ended = |ending, because| {
        let fit = Fit::AsItIs;
        Some(JobStep::Write(JobVerdict::Ended { ending, because, fit }))
    };
    for (finding, ending, because) in [
        (Finding::Collected(result()), Ending::Known(result()), Because::OwnEnd),
        (
            Finding::Died,
            Ending::Lost(AttemptReason::RunnerDied),
            Because::BackoffLimit,
        ),
    ] {
        assert_eq!(step(&claimed_job(), &found(1, finding), 1), ended(ending, because));
    }
    let fit = Fit::Cut;
    let verdict = JobVerdict::Ended {
        ending: Ending::Known(result()),
        because: Because::OwnEnd,
        fit,
    };
    let facts = JobFacts {
        fit,
        ..found(1, Finding::Collected(result()))
    };
    assert_eq!(step(&claimed_job(), &facts, 1), Some(JobStep::Write(verdict.clone())));

    let finished = told(claimed_job(), &verdict, 5);
    let Some(JobStep::Leave(left, Some(_), Farewell::Idle)) = step(&finished, &facts, 9) else {
        panic!("its session is left")
    };
    assert_eq!(left, key());
    let mut facts = facts;
    facts.attempts.values_mut().for_each(|it| it.has_left = true);
    let rest = plan(&finished, &facts, at(9));
    assert_eq!((rest.step, rest.next), (None, Next::AwaitChange));
}

#[test]
fn the_session_of_a_void_attempt_is_left_once_another_one_is_claimed() {
    let job = claimed_by(claimed_job(), 2, 200);
    let mut facts = found(1, Finding::Void);
    assert!(matches!(
        step(&job, &facts, 201),
        Some(JobStep::Leave(AttemptKey { number: 1, .. }, Some(_), Farewell::Idle))
    ));
    facts.attempts.values_mut().for_each(|it| it.has_left = true);
    assert!(matches!(step(&job, &facts, 201), Some(JobStep::Run(..))));
}

#[test]
fn a_job_that_is_being_deleted_is_abandoned_once_and_never_started() {
    let deleting = |mut job: CommandJob| {
        job.metadata.deletion_timestamp = Some(Time(at(0)));
        job
    };
    assert_eq!(step(&deleting(new_job()), &facts(), 0), None);
    for facts in [facts(), found(1, Finding::Running)] {
        assert!(matches!(
            step(&deleting(claimed_job()), &facts, 0),
            Some(JobStep::Leave(_, Some(_), Farewell::Abandoned))
        ));
    }
    let mut left = AttemptState::default();
    left.has_left = true;
    assert_eq!(step(&deleting(claimed_job()), &knowing(1, left), 0), None);
}

#[test]
fn a_job_that_nobody_can_reach_any_more_is_not_abandoned_before_somebody_can() {
    let mut job = claimed_job();
    job.metadata.deletion_timestamp = Some(Time(at(0)));
    let name = "default".to_owned();
    let facts = JobFacts {
        place: Err(NotRunnable::AccountNotFound { name }),
        ..facts()
    };
    let plan = plan(&job, &facts, at(0));
    assert_eq!((plan.step, plan.next), (None, Next::Poll { after: None }));
}

#[test]
fn starts_that_keep_coming_too_late_are_tried_more_and_more_seldom_and_not_for_ever() {
    let mut job = new_job();
    let mut waits = Vec::new();
    let mut known = facts();
    for number in 1..=9 {
        let now = i64::from(number) * 10_000;
        job = claimed_by(job, number, now);
        known.attempts.extend(found(number, Finding::Void).attempts);
        job = void_is_told(job, &mut known, now);
        let wait = (0..4000)
            .find(|wait| step(&job, &known, now + wait).is_some())
            .expect("it goes on");
        waits.push(wait);
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 640, 1280]);
    job = claimed_by(job, 10, 100_000);
    let (ending, because, fit) = (Ending::Void, Because::OwnEnd, Fit::AsItIs);
    known.attempts.extend(found(10, Finding::Void).attempts);
    let end = step(&job, &known, 100_001);
    assert_eq!(end, Some(JobStep::Write(JobVerdict::Ended { ending, because, fit })));
}

#[test]
fn a_step_is_named_in_logs_by_what_it_does_and_shows_nothing_of_it() {
    let collect = Command::Collect {
        claim: claim(),
        report: ended(0),
    };
    let name = format!("{:?}", JobStep::Run(key(), collect));
    assert_eq!(name, "Collect");
}

#[test]
fn a_job_that_stands_for_too_much_begins_nothing_and_is_looked_at_again_at_leisure() {
    let facts = JobFacts {
        contents: Err(OverBudget::Uploads.into()),
        ..facts()
    };
    let plan = plan(&new_job(), &facts, at(0));
    assert_eq!((plan.step, plan.next), (None, Next::After(Duration::from_mins(1))));
}

fn printed(second: i64, bytes: i64) -> Arc<OutputTail> {
    let stdout = StreamTail {
        text: Some("text".into()),
        base64: None,
        bytes,
    };
    Arc::new(OutputTail {
        time: MicroTime(at(second)),
        stdout,
        stderr: StreamTail::default(),
    })
}

/// The job with this interval, of which this is shown.
fn showing(interval: Option<i32>, shown: Option<(i64, i64)>) -> CommandJob {
    let mut job = new_job();
    job.spec.output.tail = interval.map(|interval_seconds| TailSettings { interval_seconds });
    let job = claimed_by(job, 1, 0);
    match shown {
        Some((second, bytes)) => told(job, &JobVerdict::Printed(printed(second, bytes)), second),
        None => job,
    }
}

#[test]
fn what_a_command_printed_is_shown_if_it_is_new_and_once_an_interval() {
    let running = |tail: Option<(i64, i64)>| {
        let mut state = of_finding(Finding::Running);
        state.tail = tail.map(|(second, bytes)| printed(second, bytes));
        knowing(1, state)
    };
    for (interval, shown, read, is_shown) in [
        (Some(10), None, Some((12, 4)), true),
        (Some(10), None, Some((12, 0)), false),
        (Some(10), None, None, false),
        (None, None, Some((12, 4)), false),
        (Some(10), Some((12, 4)), Some((12, 4)), false),
        (Some(10), Some((12, 4)), Some((40, 4)), false),
        (Some(10), Some((12, 4)), Some((21, 5)), false),
        (Some(10), Some((12, 4)), Some((22, 5)), true),
        // Of another process, or after a clock went back.
        (Some(10), Some((12, 4)), Some((2, 5)), true),
    ] {
        let step = step(&showing(interval, shown), &running(read), 50);
        let expected = is_shown
            .then(|| read.map(|(second, bytes)| printed(second, bytes)))
            .flatten();
        match (step, expected) {
            (Some(JobStep::Write(verdict)), Some(expected)) => assert_eq!(verdict, JobVerdict::Printed(expected)),
            (Some(JobStep::Run(_, Command::Poll { with_tail, .. })), None) => assert_eq!(with_tail, interval.is_some()),
            (step, _) => panic!("{interval:?}, {shown:?}, {read:?}: {step:?}"),
        }
    }
}

#[test]
fn a_tail_is_read_again_when_it_can_be_shown() {
    for (shown, now, window) in [(None, 3, 10), (Some(12), 15, 7), (Some(12), 40, 10), (Some(12), 2, 10)] {
        let job = showing(Some(10), shown.map(|second| (second, 4)));
        let step = step(&job, &found(1, Finding::Running), now);
        assert!(
            matches!(step, Some(JobStep::Run(_, Command::Poll { window: found, .. })) if found.as_secs() == window),
            "{shown:?}, {now}: {step:?}"
        );
    }
}

#[test]
fn a_command_that_has_ended_is_not_shown_any_more_but_collected() {
    let mut state = of_finding(Finding::Ended(ended(0)));
    state.tail = Some(printed(2, 4));
    let step = step(&showing(Some(1), None), &knowing(1, state), 50);
    assert!(
        matches!(step, Some(JobStep::Run(_, Command::Collect { .. }))),
        "{step:?}"
    );
}
