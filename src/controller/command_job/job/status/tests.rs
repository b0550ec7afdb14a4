//! What a job's status says, and that saying it again changes nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::command_job::{CapturedStream, CommandResult, Outcome, SessionMode, StreamTail};
use crate::controller::command_job::attempt::{AttemptKey, Ticket};
use crate::runtime::Next;

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

fn told(job: &CommandJob, verdict: &JobVerdict, second: i64) -> CommandJobStatus {
    status(job, verdict, at(second)).expect("a status")
}

fn claim(number: i32, second: i64) -> JobVerdict {
    claim_as(number, second, None)
}

fn claim_as(number: i32, second: i64, guest_of: Option<Key>) -> JobVerdict {
    let claim = AttemptClaim {
        slot: None,
        key: AttemptKey::of_number(number),
        ticket: Ticket("t".into()),
        at: at(second),
        session: "s".into(),
        secrets_digest: None,
        lent_account: None,
    };
    let session = JobSession {
        mode: SessionMode::Fresh,
        reuse: 0,
        allocated_time: whole_seconds(claim.at),
    };
    JobVerdict::Claimed {
        claim,
        session,
        guest_of,
    }
}

#[test]
fn a_guest_with_an_account_of_its_own_is_warned() {
    let mut job = job();
    let isolated = |status: &CommandJobStatus| {
        let found = crate::runtime::conditions::find(&status.conditions, kind::ISOLATED);
        found.map(|it| (it.status.clone(), it.reason.clone(), it.message.contains("host/shell")))
    };
    let warning = Some(("False".to_owned(), "OwnAccountInSharedPool".to_owned(), true));
    let claimed = told(&job, &claim_as(1, 0, Some(Key::new("host", "shell"))), 0);
    assert_eq!(isolated(&claimed), warning);
    let words = |before: &[Condition], after: &[Condition]| {
        let notes = notes(before, after).into_iter();
        notes
            .map(|it| (it.severity, it.reason.into_owned()))
            .collect::<Vec<_>>()
    };
    let warned = (Severity::Warning, "OwnAccountInSharedPool".to_owned());
    assert!(words(&[], &claimed.conditions).contains(&warned));
    job.status = Some(claimed.clone());
    let (ending, because, fit) = (known(Outcome::Exited, Some(0)), Because::OwnEnd, Fit::AsItIs);
    let ended = told(&job, &JobVerdict::Ended { ending, because, fit }, 2);
    assert_eq!(isolated(&ended), warning, "it is known of a job that has ended, too");
    assert!(
        !words(&claimed.conditions, &ended.conditions).contains(&warned),
        "once is enough"
    );
    // Another attempt runs as one that is lent.
    assert_eq!(isolated(&told(&job, &claim(2, 3), 3)), None);
}

fn claimed_job() -> CommandJob {
    let mut job = job();
    job.status = Some(told(&job, &claim(1, 0), 0));
    job
}

fn known(outcome: Outcome, exit_code: Option<i32>) -> Ending {
    Ending::Known(Box::new(CommandResult {
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

fn end(ending: Ending) -> CommandJobStatus {
    end_as(ending, Fit::AsItIs)
}

fn end_as(ending: Ending, fit: Fit) -> CommandJobStatus {
    let because = Because::OwnEnd;
    told(&claimed_job(), &JobVerdict::Ended { ending, because, fit }, 5)
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
    let status = end(known(Outcome::Exited, Some(0)));
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
    for (ending, reason) in [
        (known(Outcome::Exited, Some(7)), "NonZeroExitCode"),
        (known(Outcome::Exited, Some(137)), "NonZeroExitCode"),
        (known(Outcome::TimedOut, Some(143)), "DeadlineExceeded"),
        (known(Outcome::Cancelled, None), "Cancelled"),
        (Ending::Lost(AttemptReason::SessionReplaced), "Lost"),
        (Ending::Unprepared, "PreparationFailed"),
        (Ending::Void, "PreparationFailed"),
    ] {
        let status = end(ending);
        let phase = if reason == "Cancelled" {
            Phase::Cancelled
        } else {
            Phase::Failed
        };
        assert_eq!(status.phase, Some(phase), "{reason}");
        for (type_, truth) in [("Failed", "True"), ("Stalled", "True"), ("Ready", "False")] {
            assert_eq!(condition(&status, type_), Some((truth, reason)));
        }
        assert_eq!(condition(&status, "Complete"), None);
    }
}

#[test]
fn a_lost_command_has_no_exit_code() {
    let status = end(Ending::Lost(AttemptReason::RunnerDied));
    let result = status.result.expect("a result");
    assert_eq!((result.outcome, result.exit_code), (Outcome::Lost, None));
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::RunnerDied));
}

#[test]
fn a_result_that_does_not_fit_is_cut_and_keeps_its_exit_code() {
    let status = end_as(known(Outcome::Exited, Some(0)), Fit::Cut);
    let result = status.result.as_ref().expect("a result");
    assert!(result.stdout.text.as_ref().is_some_and(|it| it.len() == 2048));
    assert!(result.stdout.truncated);
    assert_eq!((result.exit_code, result.stdout.bytes), (Some(0), 100_000));
    assert_eq!(condition(&status, "Failed"), Some(("True", "ResultTooLarge")));
    assert_eq!(condition(&status, "Complete"), None);
}

#[test]
fn a_result_that_fits_only_in_base64_is_whole_and_no_failure() {
    let Ending::Known(mut result) = known(Outcome::Exited, Some(0)) else {
        unreachable!()
    };
    result.stdout.text = Some("\0".repeat(100));
    result.stderr.text = Some("plain".into());
    let status = end_as(Ending::Known(result), Fit::InBase64);
    let result = status.result.as_ref().expect("a result");
    assert_eq!((&result.stdout.text, result.stdout.truncated), (&None, false));
    assert_eq!(result.stdout.base64.as_ref().map(String::len), Some(136));
    assert_eq!(result.stderr.text.as_deref(), Some("plain"));
    assert_eq!(condition(&status, "Complete"), Some(("True", "CommandSucceeded")));
}

#[test]
fn a_claim_after_a_void_attempt_says_so_and_keeps_the_first_start() {
    let job = claimed_job();
    let status = told(&job, &claim(2, 200), 200);
    assert_eq!(status.attempts.len(), 2);
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::Void));
    assert_eq!(
        status.start_time,
        job.status.as_ref().and_then(|it| it.start_time.clone())
    );
    let after = CommandJob {
        status: Some(status),
        ..job
    };
    assert_eq!(last_claim(&after).map(|it| it.key.number), Some(2));
}

#[test]
fn a_long_row_of_void_attempts_is_cut_at_its_old_end() {
    let mut job = job();
    for number in 1..=50 {
        job.status = Some(told(&job, &claim(number, i64::from(number)), i64::from(number)));
    }
    let attempts = &job.status.as_ref().expect("a status").attempts;
    assert_eq!(attempts.len(), MAX_ATTEMPTS);
    assert_eq!(attempts.last().map(|it| it.number), Some(50));
}

#[test]
fn a_suspended_job_has_the_conditions_of_a_suspended_job_of_kubernetes() {
    let mut job = claimed_job();
    job.spec.backoff_limit = 1;
    let (ending, is_failure, fit) = (known(Outcome::Exited, Some(7)), true, Fit::AsItIs);
    let over = JobVerdict::AttemptOver {
        ending,
        is_failure,
        fit,
    };
    job.status = Some(told(&job, &over, 5));
    job.spec.suspend = true;
    let before = job.status.clone().expect("a status");
    let suspended = told(&job, &JobVerdict::Suspended, 6);
    assert_eq!(
        (suspended.phase, &suspended.start_time),
        (Some(Phase::Suspended), &None)
    );
    assert_eq!(condition(&suspended, "Suspended"), Some(("True", "JobSuspended")));
    assert_eq!(condition(&suspended, "Ready"), Some(("False", "Suspended")));
    for absent in ["Reconciling", "Stalled"] {
        assert_eq!(condition(&suspended, absent), None, "{absent}");
    }
    let told_of = |before: &CommandJobStatus, after: &CommandJobStatus| {
        let notes = notes(&before.conditions, &after.conditions).into_iter();
        notes.map(|it| it.reason.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told_of(&before, &suspended), ["Suspended"]);
    job.status = Some(suspended.clone());
    assert_eq!(told(&job, &JobVerdict::Suspended, 9), suspended, "it rests");
    job.spec.suspend = false;
    let resumed = told(&job, &claim(2, 7), 7);
    assert_eq!(condition(&resumed, "Suspended"), Some(("False", "JobResumed")));
    assert_eq!(told_of(&suspended, &resumed), ["Running", "Resumed"]);
    assert_eq!(resumed.start_time, Some(whole_seconds(at(7))), "its time begins anew");
}

#[test]
fn a_long_output_of_an_earlier_attempt_leaves_room_for_the_next_one_and_a_short_one_stays() {
    for (bytes, kept) in [(100_000, 2048), (60_000, 60_000)] {
        let mut job = claimed_job();
        job.spec.backoff_limit = 1;
        let Ending::Known(mut result) = known(Outcome::Exited, Some(7)) else {
            unreachable!()
        };
        result.stdout.text = Some("x".repeat(bytes));
        let over = JobVerdict::AttemptOver {
            ending: Ending::Known(result),
            is_failure: true,
            fit: Fit::AsItIs,
        };
        job.status = Some(told(&job, &over, 5));
        let length = |status: &CommandJobStatus| {
            let stream = status.result.as_ref().map(|it| it.stdout.clone()).expect("a result");
            stream.text.map(|it| it.len())
        };
        assert_eq!(
            length(job.status.as_ref().expect("a status")),
            Some(bytes),
            "it is whole while the job waits"
        );
        assert_eq!(length(&told(&job, &claim(2, 20), 20)), Some(kept));
    }
}

#[test]
fn what_was_counted_stays_right_when_old_attempts_are_no_longer_listed() {
    let mut job = job();
    job.spec.backoff_limit = 100;
    for number in 1..=50 {
        job.status = Some(told(&job, &claim(number, i64::from(number)), i64::from(number)));
        let (ending, is_failure, fit) = (known(Outcome::Exited, Some(7)), true, Fit::AsItIs);
        let over = JobVerdict::AttemptOver {
            ending,
            is_failure,
            fit,
        };
        job.status = Some(told(&job, &over, i64::from(number)));
    }
    let status = job.status.expect("a status");
    assert_eq!((status.failed, status.attempts.len()), (Some(50), MAX_ATTEMPTS));
}

#[test]
fn durations_read_like_ages() {
    for (milliseconds, text) in [
        (0, "0ms"),
        (70, "70ms"),
        (999, "999ms"),
        (1000, "1.0s"),
        (2130, "2.1s"),
        (59_999, "59.9s"),
        (60_000, "1m"),
        (192_000, "3m12s"),
        (3_600_000, "1h"),
        (3_900_000, "1h5m"),
        (86_400_000, "24h"),
    ] {
        assert_eq!(display_duration(milliseconds), text);
    }
}

#[test]
fn a_running_job_is_summarized_as_its_claim_left_it() {
    let job = claimed_job();
    assert_eq!(status(&job, &JobVerdict::Running(None), at(500)), job.status);
}

#[test]
fn a_finished_job_is_never_summarized_again() {
    let mut job = claimed_job();
    job.status = Some(end(known(Outcome::Exited, Some(0))));
    for verdict in [JobVerdict::Running(None), claim(2, 500)] {
        assert_eq!(status(&job, &verdict, at(500)), None);
    }
}

#[test]
fn a_restart_does_not_begin_the_time_again_for_which_a_role_is_waited() {
    let why = Verdict::progressing(Reason::RolePropagating, "waited for");
    let refused_since = Some(at(0));
    let mut job = job();
    job.status = Some(told(
        &job,
        &JobVerdict::Waiting {
            why,
            refused_since,
            position: None,
        },
        1,
    ));
    let since = super::super::untouched(&job).denied_since.expect("it is remembered");
    assert_eq!(since.as_second(), at(0).as_second());
}

#[test]
fn a_hiccup_is_not_told_and_what_stays_broken_is() {
    let mut failure = Failure {
        class: crate::runtime::Class::Transient,
        reason: "Unavailable".into(),
        message: "reset".into(),
        failures: 1,
        since: at(0),
    };
    let summarized = |job: &CommandJob, failure: &Failure| {
        let seen = Seen {
            waited: &Waited::default(),
            observed: None,
            verdict: None,
            outcome: PassOutcome::Failed(failure),
        };
        summarize(job, &seen, at(1))
    };
    assert_eq!(summarized(&job(), &failure), None);
    assert_eq!(summarized(&claimed_job(), &failure), claimed_job().status);
    failure.failures = 3;
    for (job, phase) in [(job(), Phase::Queued), (claimed_job(), Phase::Running)] {
        let status = summarized(&job, &failure).expect("it is told");
        assert_eq!(status.phase, Some(phase));
        assert_eq!(condition(&status, "Ready"), Some(("Unknown", "Unavailable")));
    }
}

proptest! {
    #[test]
    fn summarizing_twice_changes_nothing(stalled: bool, claimed_before: bool, later in 0_i64..1000) {
        let mut job = if claimed_before { claimed_job() } else { job() };
        let standing = if stalled { Standing::Stalled } else { Standing::Progressing };
        let why = Verdict::new(standing, Reason::ReferenceNotReady, "the pool is not ready");
        let verdict = JobVerdict::waiting(&job, why, &AttemptState::default());
        let summarized = |job: &CommandJob, second| {
            let seen = Seen {
            waited: &Waited::default(),
                observed: None,
                verdict: Some(&verdict),
                outcome: PassOutcome::Done(Next::AwaitChange),
            };
            summarize(job, &seen, at(second))
        };
        let once = summarized(&job, 10).expect("a status");
        job.status = Some(once.clone());
        prop_assert_eq!(summarized(&job, 10 + later), Some(once));
    }
}

#[test]
fn what_was_seen_of_a_command_gives_way_to_its_result_unless_there_is_none() {
    let tail = OutputTail {
        time: MicroTime(at(5)),
        stdout: StreamTail::default(),
        stderr: StreamTail::default(),
    };
    let mut running = claimed_job();
    let before = running.status.clone().expect("a status");
    let shown = told(&running, &JobVerdict::Printed(Arc::new(tail.clone())), 5);
    assert_eq!(
        CommandJobStatus {
            tail: None,
            ..shown.clone()
        },
        before,
        "and nothing else"
    );
    running.status = Some(shown.clone());
    assert_eq!(
        told(&running, &JobVerdict::Running(None), 9),
        shown,
        "it stays while the command runs"
    );
    assert_eq!(told(&running, &claim(2, 6), 6).tail, None, "it is that of one attempt");
    let Ending::Known(mut withheld) = known(Outcome::Exited, Some(0)) else {
        panic!("it is known")
    };
    withheld.withheld = true;
    for (ending, is_kept) in [
        (known(Outcome::Exited, Some(0)), false),
        (known(Outcome::TimedOut, None), false),
        (Ending::Known(withheld), true),
        (Ending::Lost(AttemptReason::SessionReplaced), true),
    ] {
        let (because, fit) = (Because::OwnEnd, Fit::AsItIs);
        let status = told(&running, &JobVerdict::Ended { ending, because, fit }, 9);
        assert_eq!(status.tail, is_kept.then(|| tail.clone()), "{:?}", status.result);
    }
}
