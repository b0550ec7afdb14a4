//! What a job's status says, and that saying it again changes nothing.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::controller::command_job::conversation::Conversation;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + second * 1000 + 123).unwrap()
}

fn job() -> CommandJob {
    serde_json::from_value(json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
        "metadata": {"name": "j", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true"},
        "status": {"observedGeneration": -1},
    }))
    .expect("a valid job")
}

fn known(outcome: Outcome, exit_code: Option<i32>) -> Verdict {
    Verdict::Known(Box::new(CommandResult {
        outcome,
        exit_code,
        execution_time_in_milliseconds: Some(2130),
        masked_count: None,
        withheld: false,
        stdout: CapturedStream {
            text: Some("x".repeat(100_000)),
            bytes: 100_000,
            ..CapturedStream::default()
        },
        stderr: CapturedStream::default(),
    }))
}

fn end(verdict: &Verdict) -> CommandJobStatus {
    let mut job = job();
    job.status = Some(claimed(&job, 1, "s", None, at(0)));
    finished(&job, verdict, at(5))
}

fn condition<'a>(status: &'a CommandJobStatus, type_: &str) -> Option<(&'a str, &'a str)> {
    status
        .conditions
        .iter()
        .find(|it| it.type_ == type_)
        .map(|it| (it.status.as_str(), it.reason.as_str()))
}

#[test]
fn a_successful_job_is_complete_as_a_job_of_kubernetes_is() {
    let status = end(&known(Outcome::Exited, Some(0)));
    assert_eq!(status.phase, Some(Phase::Succeeded));
    assert_eq!(condition(&status, "Complete"), Some(("True", "CommandSucceeded")));
    assert_eq!(condition(&status, "Ready"), Some(("True", "CommandSucceeded")));
    for absent in ["Failed", "Stalled", "Reconciling"] {
        assert_eq!(condition(&status, absent), None, "{absent}");
    }
    assert_eq!(status.duration.as_deref(), Some("2.1s"));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.target.as_deref(), Some("pool/p"));
}

#[test]
fn every_other_end_is_a_failure_with_its_reason() {
    for (verdict, reason) in [
        (known(Outcome::Exited, Some(7)), "NonZeroExitCode"),
        (known(Outcome::Exited, Some(137)), "NonZeroExitCode"),
        (known(Outcome::TimedOut, Some(143)), "DeadlineExceeded"),
        (known(Outcome::Cancelled, None), "Cancelled"),
        (Verdict::Lost(AttemptReason::SessionReplaced), "Lost"),
        (Verdict::Unprepared, "PreparationFailed"),
    ] {
        let status = end(&verdict);
        assert_eq!(status.phase, Some(Phase::Failed), "{reason}");
        for (type_, truth) in [("Failed", "True"), ("Stalled", "True"), ("Ready", "False")] {
            assert_eq!(condition(&status, type_), Some((truth, reason)));
        }
        assert_eq!(condition(&status, "Complete"), None);
    }
}

#[test]
fn a_lost_command_has_no_exit_code() {
    let status = end(&Verdict::Lost(AttemptReason::RunnerDied));
    let result = status.result.expect("a result");
    assert_eq!((result.outcome, result.exit_code), (Outcome::Lost, None));
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::RunnerDied));
}

#[test]
fn a_result_that_does_not_fit_is_cut_and_keeps_its_exit_code() {
    let mut job = job();
    job.status = Some(claimed(&job, 1, "s", None, at(0)));
    let status = cut_to_fit(&job, finished(&job, &known(Outcome::Exited, Some(0)), at(5)), at(5));
    let result = status.result.as_ref().expect("a result");
    assert!(result.stdout.text.as_ref().is_some_and(|it| it.len() == 2048));
    assert!(result.stdout.truncated);
    assert_eq!((result.exit_code, result.stdout.bytes), (Some(0), 100_000));
    assert_eq!(condition(&status, "Failed"), Some(("True", "ResultTooLarge")));
    assert_eq!(condition(&status, "Complete"), None);
}

#[test]
fn a_claim_after_a_void_attempt_says_so_and_keeps_the_first_start() {
    let mut job = job();
    job.status = Some(claimed(&job, 1, "a", None, at(0)));
    let status = claimed(&job, 2, "b", Some("d".into()), at(200));
    assert_eq!(status.attempts.len(), 2);
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::Void));
    assert_eq!(live_attempt(&status.attempts).map(|it| it.number), Some(2));
    assert_eq!(
        status.start_time,
        job.status.as_ref().and_then(|it| it.start_time.clone())
    );
}

#[test]
fn a_long_row_of_void_attempts_is_cut_at_its_old_end() {
    let mut job = job();
    for number in 1..=50 {
        job.status = Some(claimed(&job, number, "s", None, at(i64::from(number))));
    }
    let attempts = &job.status.as_ref().expect("a status").attempts;
    assert_eq!(attempts.len(), MAX_ATTEMPTS);
    assert_eq!(attempts.last().map(|it| it.number), Some(50));
}

#[test]
fn durations_read_like_ages() {
    for (milliseconds, text) in [
        (0, "0.0s"),
        (2130, "2.1s"),
        (59_999, "59.9s"),
        (192_000, "3m12s"),
        (3_900_000, "1h5m"),
    ] {
        assert_eq!(display_duration(milliseconds), text);
    }
}

fn observed(ready: Result<(), NotReady>) -> Observed {
    let reachable = ready.clone();
    Observed {
        ready,
        reachable,
        digest: None,
        fingerprint: None,
        conversation: Conversation::default(),
        target: None,
        inputs: None,
    }
}

fn seen(observed: &Observed) -> Seen<'_, Observed> {
    Seen {
        verdict: None,
        observed: Some(observed),
        outcome: PassOutcome::Done(crate::runtime::Next::AwaitChange),
    }
}

#[test]
fn a_running_job_is_summarized_as_its_claim_left_it() {
    let mut job = job();
    job.status = Some(claimed(&job, 1, "s", None, at(0)));
    assert_eq!(summarize(&job, &seen(&observed(Ok(()))), at(500)), job.status);
}

#[test]
fn a_finished_job_is_never_summarized_again() {
    let mut job = job();
    job.status = Some(end(&known(Outcome::Exited, Some(0))));
    assert_eq!(summarize(&job, &seen(&observed(Ok(()))), at(500)), None);
}

proptest! {
    #[test]
    fn summarizing_twice_changes_nothing(stalled: bool, claimed_before: bool, later in 0_i64..1000) {
        let mut job = job();
        if claimed_before {
            job.status = Some(claimed(&job, 1, "s", None, at(0)));
        }
        let mut why = NotReady::waiting(Reason::ReferenceNotReady, "the pool is not ready");
        why.stalled = stalled;
        let observed = observed(Err(why));
        let once = summarize(&job, &seen(&observed), at(10)).expect("a status");
        job.status = Some(once.clone());
        prop_assert_eq!(summarize(&job, &seen(&observed), at(10 + later)), Some(once));
    }
}
