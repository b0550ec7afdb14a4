//! What follows from the end of an attempt, as tables.

use serde_json::{Value, json};

use super::*;
use crate::api::command_job::CapturedStream;
use crate::controller::command_job::attempt::fixtures::{at, result};

fn job(spec: &Value, status: &Value) -> CommandJob {
    let mut all = json!({"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "timeoutSeconds": 60});
    for (name, value) in spec.as_object().expect("an object") {
        all[name] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
        "metadata": {"name": "j", "namespace": "n", "uid": "u"}, "spec": all, "status": status,
    }))
    .expect("a valid job")
}

fn attempt(number: i32, members: &Value) -> Value {
    let mut attempt = json!({"number": number, "session": "s", "startTime": at(0).to_string()});
    for (name, value) in members.as_object().expect("an object") {
        attempt[name] = value.clone();
    }
    attempt
}

fn known(outcome: Outcome, exit_code: Option<i32>) -> Ending {
    Ending::Known(Box::new(CommandResult {
        outcome,
        exit_code,
        stdout: CapturedStream::default(),
        ..*result()
    }))
}

const AGAIN: Consequence = Consequence::Again { is_failure: true };
const IGNORED: Consequence = Consequence::Again { is_failure: false };

#[test]
fn a_command_is_not_run_again_unless_its_author_says_so() {
    for ending in [
        known(Outcome::Exited, Some(0)),
        known(Outcome::Exited, Some(7)),
        known(Outcome::TimedOut, Some(143)),
        known(Outcome::Cancelled, Some(143)),
        Ending::Lost(AttemptReason::SessionReplaced),
    ] {
        let consequence = consequence(&job(&json!({}), &json!({})), &ending, at(0));
        assert!(
            matches!(consequence, Consequence::End(_)),
            "{ending:?}: {consequence:?}"
        );
    }
}

#[test]
fn as_many_failed_attempts_are_followed_by_another_one_as_the_limit_says() {
    let spec = json!({"backoffLimit": 2});
    for ending in [
        known(Outcome::Exited, Some(7)),
        known(Outcome::TimedOut, Some(143)),
        Ending::Lost(AttemptReason::SessionReplaced),
    ] {
        for (failed, expected) in [(0, AGAIN), (1, AGAIN), (2, Consequence::End(Because::BackoffLimit))] {
            assert_eq!(
                consequence(&job(&spec, &json!({"failed": failed})), &ending, at(0)),
                expected
            );
        }
    }
    for ending in [known(Outcome::Exited, Some(0)), known(Outcome::Cancelled, None)] {
        assert_eq!(
            consequence(&job(&spec, &json!({})), &ending, at(0)),
            Consequence::End(Because::OwnEnd)
        );
    }
}

#[test]
fn the_first_rule_that_matches_says_what_follows() {
    let spec = json!({"backoffLimit": 1, "failurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 3]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3, 75]}},
        {"action": "Ignore", "onOutcome": {"values": ["Lost"]}},
        {"action": "Count", "onOutcome": {"values": ["Lost", "TimedOut"]}},
        {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1]}},
    ]}});
    let lost = || Ending::Lost(AttemptReason::RunnerDied);
    for (ending, failed, expected) in [
        (known(Outcome::Exited, Some(0)), 0, Consequence::End(Because::OwnEnd)),
        (known(Outcome::Exited, Some(2)), 0, Consequence::End(Because::Rule(0))),
        (known(Outcome::Exited, Some(3)), 0, Consequence::End(Because::Rule(0))),
        (known(Outcome::Exited, Some(75)), 1, IGNORED),
        (lost(), 1, IGNORED),
        (known(Outcome::TimedOut, Some(75)), 0, AGAIN),
        (
            known(Outcome::TimedOut, Some(2)),
            1,
            Consequence::End(Because::BackoffLimit),
        ),
        (known(Outcome::Exited, Some(1)), 0, AGAIN),
        (known(Outcome::Exited, Some(4)), 0, Consequence::End(Because::Rule(4))),
    ] {
        let job = job(&spec, &json!({"failed": failed}));
        assert_eq!(consequence(&job, &ending, at(0)), expected, "{ending:?}");
    }
}

#[test]
fn what_is_ignored_has_an_end() {
    let spec = json!({"failurePolicy": {"rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [0]}},
    ]}});
    for (number, expected) in [(999, IGNORED), (1000, Consequence::End(Because::MostAttempts))] {
        let job = job(&spec, &json!({"attempts": [attempt(number, &json!({}))]}));
        assert_eq!(consequence(&job, &known(Outcome::Exited, Some(1)), at(0)), expected);
    }
}

#[test]
fn a_command_that_is_killed_because_of_its_jobs_deadline_is_not_run_again() {
    let spec = json!({"backoffLimit": 1, "activeDeadlineSeconds": 100});
    let job = job(&spec, &json!({"startTime": at(0).to_string()}));
    let of = |milliseconds, second| {
        let result = CommandResult {
            outcome: Outcome::TimedOut,
            execution_time_in_milliseconds: milliseconds,
            ..*result()
        };
        consequence(&job, &Ending::Known(Box::new(result)), at(second))
    };
    assert_eq!(of(Some(5_000), 100), Consequence::End(Because::ActiveDeadline));
    assert_eq!(of(None, 100), Consequence::End(Because::ActiveDeadline));
    assert_eq!(of(Some(60_000), 99), AGAIN, "that was its own");
    assert_eq!(
        of(Some(60_010), 101),
        AGAIN,
        "its job then ends without another attempt"
    );
}

#[test]
fn pauses_double_up_to_six_minutes_and_differ_from_job_to_job() {
    let pause = |uid: &str, failures: i32| {
        let attempts: Vec<_> = (1..=failures)
            .map(|number| {
                let members = json!({"outcome": "Exited", "completionTime": at(0).to_string()});
                attempt(number, &members)
            })
            .collect();
        let mut job = job(&json!({}), &json!({"attempts": attempts}));
        job.metadata.uid = Some(uid.into());
        let next = next_attempt(&job).expect("a time");
        assert_eq!(next_attempt(&job), Some(next), "it is always the same");
        next.duration_since(at(0)).as_millis()
    };
    for (failures, seconds) in [(1, 10), (2, 20), (3, 40), (5, 160), (6, 320), (7, 360), (20, 360)] {
        let pause = pause("u", failures);
        assert!(
            (seconds * 1000..=seconds * 1200).contains(&pause),
            "{failures}: {pause}"
        );
    }
    let pauses: std::collections::BTreeSet<_> = (0..20).map(|uid| pause(&uid.to_string(), 7)).collect();
    assert!(pauses.len() > 10, "{pauses:?}");
}
