//! How a job ended, for people.

use jiff::Timestamp;

use super::plan::attempts;
use super::retry::{Because, UNPREPARED_ATTEMPTS, VOID_ATTEMPTS, failed};
use crate::api::command_job::{Attempt, AttemptReason, CommandJob, CommandResult, Outcome};
use crate::api::condition::Reason;
use crate::controller::command_job::attempt::Ending;
use crate::controller::command_job::output::SMALL_STREAM_BYTES;
use crate::controller::command_job::runner::KillReason;
use crate::controller::readiness::Verdict;

/// Why a job failed whose result did not fit into it.
pub fn too_large(result: Option<&CommandResult>) -> String {
    let cut = format!(
        "its result does not fit into the object together with its spec, so both streams were cut to {SMALL_STREAM_BYTES} \
         bytes: lower spec.output.maxBytes"
    );
    match result.and_then(|it| it.exit_code) {
        Some(code) => format!("the command ended with exit code {code}, and {cut}"),
        None => format!("the command ended, and {cut}"),
    }
}

/// What a job says whose last attempt has ended and is followed by another one.
pub fn backing_off(job: &CommandJob, next: Timestamp) -> Verdict {
    let last = attempts(job).next_back();
    let number = last.map_or(0, |it| it.number);
    let how = last.map_or("has ended".into(), explain_attempt);
    // Fractions of a second would only be read as if they meant something.
    let next = Timestamp::from_second(next.as_second()).unwrap_or(next);
    let message = format!("attempt {number} {how}; the next one follows a pause until {next}");
    Verdict::progressing(Reason::BackingOff, message)
}

fn explain_attempt(attempt: &Attempt) -> String {
    match (attempt.outcome, attempt.exit_code) {
        (Some(Outcome::Exited), Some(code)) => format!("ended with exit code {code}{}", explain_code(code)),
        (Some(Outcome::TimedOut), _) => "ran longer than spec.timeoutSeconds and was killed".into(),
        (Some(Outcome::Cancelled), _) => "was ended from outside".into(),
        (Some(Outcome::Lost | Outcome::Exited), _) => "is lost: it is not known whether it ran to its end".into(),
        (None, _) => "was not started".into(),
    }
}

/// The reason and the message of a job that ends while no attempt is under way.
pub fn explain_stop(job: &CommandJob, reason: KillReason) -> (Reason, String) {
    let before = match attempts(job).next_back() {
        None => "the command was not started",
        Some(_) => "no further attempt follows",
    };
    match (reason, job.spec.active_deadline_seconds) {
        (KillReason::Deadline | KillReason::Timeout, Some(seconds)) => (
            Reason::DeadlineExceeded,
            format!("the job was active for longer than the {seconds} seconds of spec.activeDeadlineSeconds; {before}"),
        ),
        _ => (Reason::Cancelled, format!("the job was cancelled; {before}")),
    }
}

/// The reason and the message of an end.
pub fn explain(job: &CommandJob, ending: &Ending, because: Because) -> (Reason, String) {
    let (reason, message) = explain_ending(job, ending, because);
    (reason, format!("{message}{}", explain_because(job, because)))
}

/// Why a failed attempt was the last one.
fn explain_because(job: &CommandJob, because: Because) -> String {
    match because {
        Because::Rule(index) => format!(". The job fails by spec.failurePolicy.rules[{index}]"),
        Because::BackoffLimit if job.spec.backoff_limit > 0 => format!(
            ". {} attempts have failed, and spec.backoffLimit is {}",
            failed(job) + 1,
            job.spec.backoff_limit
        ),
        Because::MostAttempts => ". A job has no more attempts".into(),
        Because::OwnEnd | Because::ActiveDeadline | Because::BackoffLimit => String::new(),
    }
}

fn explain_ending(job: &CommandJob, ending: &Ending, because: Because) -> (Reason, String) {
    match ending {
        Ending::Known(result) => {
            let (reason, how) = match (because, job.spec.active_deadline_seconds) {
                (Because::ActiveDeadline, Some(seconds)) => (
                    Reason::DeadlineExceeded,
                    format!(
                        "the job was active for longer than the {seconds} seconds of spec.activeDeadlineSeconds, and the command \
                         was killed"
                    ),
                ),
                _ => explain_known(result, job.spec.timeout_seconds),
            };
            (reason, format!("{how}{}", explain_output(result)))
        }
        Ending::Lost(why) => {
            let how = explain_lost(*why);
            let message = format!(
                "it is not known whether the command ran, in part or to its end: {how}. It is not run again; create another job if that is right for it"
            );
            (Reason::Lost, message)
        }
        Ending::Unprepared => {
            let message = format!(
                "each of {UNPREPARED_ATTEMPTS} sessions could not prepare the command, whose disk may be full; it was not started"
            );
            (Reason::PreparationFailed, message)
        }
        Ending::Void => {
            let message = format!(
                "each start came too late, of {VOID_ATTEMPTS} attempts in a row: the pool takes minutes to answer, or the clock \
                 of the operator or of the session is wrong. The command was not started"
            );
            (Reason::PreparationFailed, message)
        }
    }
}

fn explain_known(result: &CommandResult, timeout_seconds: i32) -> (Reason, String) {
    match (result.outcome, result.exit_code) {
        (Outcome::Exited, Some(0)) => (Reason::CommandSucceeded, "the command ended with exit code 0".into()),
        (Outcome::Exited, Some(code)) => {
            let message = format!("the command ended with exit code {code}{}", explain_code(code));
            (Reason::NonZeroExitCode, message)
        }
        (Outcome::TimedOut, None) => (
            Reason::DeadlineExceeded,
            format!(
                "the command ran longer than the {timeout_seconds} seconds of spec.timeoutSeconds and was ended with its session"
            ),
        ),
        (Outcome::TimedOut, Some(_)) => (
            Reason::DeadlineExceeded,
            format!("the command ran longer than the {timeout_seconds} seconds of spec.timeoutSeconds and was killed"),
        ),
        (Outcome::Cancelled, None) if result.withheld => (
            Reason::Cancelled,
            "the command was cancelled, and was ended with its session because it went on all the same".into(),
        ),
        (Outcome::Cancelled, _) => (Reason::Cancelled, "the command was cancelled".into()),
        (Outcome::Lost | Outcome::Exited, _) => (Reason::Lost, "the end of the command is not known".into()),
    }
}

/// What a shell means by an exit code. A command may have meant something else by it.
fn explain_code(code: i32) -> String {
    match code {
        126 => ", as of a program that cannot be executed".into(),
        127 => ", as of a program that was not found".into(),
        129..=192 => format!(", as after death by signal {}{}", code - 128, signal_name(code - 128)),
        _ => String::new(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        3 => " (QUIT)",
        6 => " (ABRT)",
        9 => " (KILL, often for lack of memory)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        _ => "",
    }
}

/// What is to be known of the streams of a command whose end is known.
fn explain_output(result: &CommandResult) -> &'static str {
    if result.stdout.incomplete || result.stderr.incomplete {
        "; the disk of its session was full, so some of what it printed may be lost"
    } else if result.withheld {
        "; what it printed is not kept, because it could not be read from its session, or because a Secret that it used has changed \
         since and could not be masked"
    } else {
        ""
    }
}

fn explain_lost(why: AttemptReason) -> &'static str {
    match why {
        AttemptReason::SessionReplaced => {
            "Azure replaced its session by an empty one, or everything in it was removed together with what watched over it there"
        }
        AttemptReason::KeyReplaced => {
            "the operator's key (the Secret lifeguard-operator-key) is another one than when it began, so its session cannot be found"
        }
        AttemptReason::FilesRemoved => {
            "its files in the session were removed, together with what watched over it there"
        }
        AttemptReason::RunnerDied => "what watched over it in its session died without leaving an exit code",
        AttemptReason::PoolDeleted => "the session pool was deleted in Azure, and its session with it",
        AttemptReason::SessionUnresponsive => {
            "its session answered no call until long after spec.timeoutSeconds had passed, and was then ended"
        }
        AttemptReason::Unreachable => {
            "its session could not be reached, or could not begin it, until long after it must have ended"
        }
        AttemptReason::Void | AttemptReason::PreparationFailed => "its session answered in an unexpected way",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::command_job::output::ended_with_session;

    fn told(ending: &Ending) -> String {
        told_by(ending, Because::OwnEnd)
    }

    fn told_by(ending: &Ending, because: Because) -> String {
        let job: CommandJob = serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"},
            "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "timeoutSeconds": 60,
                     "activeDeadlineSeconds": 90, "backoffLimit": 3},
            "status": {"failed": 3},
        }))
        .expect("a valid job");
        explain(&job, ending, because).1
    }

    fn timed_out() -> CommandResult {
        ended_with_session(KillReason::Timeout)
    }

    fn exited(code: i32) -> CommandResult {
        CommandResult {
            outcome: Outcome::Exited,
            exit_code: Some(code),
            withheld: false,
            ..timed_out()
        }
    }

    #[test]
    fn an_exit_code_is_explained_as_far_as_a_shell_means_something_by_it() {
        for (code, words) in [
            (0, "exit code 0"),
            (7, "exit code 7"),
            (126, "exit code 126, as of a program that cannot be executed"),
            (127, "exit code 127, as of a program that was not found"),
            (128, "exit code 128"),
            (
                137,
                "exit code 137, as after death by signal 9 (KILL, often for lack of memory)",
            ),
            (138, "exit code 138, as after death by signal 10"),
            (255, "exit code 255"),
        ] {
            let told = told(&Ending::Known(Box::new(exited(code))));
            assert_eq!(told, format!("the command ended with {words}"));
        }
    }

    #[test]
    fn a_job_says_why_no_further_attempt_follows() {
        let failed = Ending::Known(Box::new(exited(7)));
        for (ending, because, words) in [
            (
                &failed,
                Because::Rule(1),
                "exit code 7. The job fails by spec.failurePolicy.rules[1]",
            ),
            (
                &failed,
                Because::BackoffLimit,
                "exit code 7. 4 attempts have failed, and spec.backoffLimit is 3",
            ),
            (
                &Ending::Known(Box::new(timed_out())),
                Because::ActiveDeadline,
                "active for longer than the 90 seconds of spec.activeDeadlineSeconds",
            ),
        ] {
            let told = told_by(ending, because);
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_lost_job_says_what_happened_and_nothing_else() {
        for (why, words) in [
            (AttemptReason::PoolDeleted, "the session pool was deleted in Azure"),
            (AttemptReason::KeyReplaced, "lifeguard-operator-key"),
            (
                AttemptReason::SessionUnresponsive,
                "answered no call until long after spec.timeoutSeconds",
            ),
            (
                AttemptReason::Unreachable,
                "could not be reached, or could not begin it, until long after",
            ),
        ] {
            let told = told(&Ending::Lost(why));
            assert!(told.contains(words), "{told}");
            let is_late = matches!(why, AttemptReason::SessionUnresponsive | AttemptReason::Unreachable);
            assert_eq!(told.contains("long after"), is_late, "{told}");
        }
    }

    #[test]
    fn what_is_missing_of_the_output_is_said() {
        let ended_with_its_session = told(&Ending::Known(Box::new(timed_out())));
        assert!(ended_with_its_session.contains("60 seconds of spec.timeoutSeconds and was ended with its session"));
        assert!(ended_with_its_session.contains("what it printed is not kept"));
        let mut incomplete = exited(1);
        incomplete.stderr.incomplete = true;
        let told = told(&Ending::Known(Box::new(incomplete)));
        assert!(told.contains("exit code 1; the disk of its session was full"), "{told}");
    }
}
