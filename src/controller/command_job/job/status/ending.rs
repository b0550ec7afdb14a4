//! What the end of an attempt, and of a job, makes of the status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{display_duration, display_target, queue, waiting, whole_seconds};
use crate::api::command_job::{
    AttemptReason, CapturedStream, CommandJob, CommandJobStatus, CommandResult, Outcome, Phase,
};
use crate::api::condition::{Reason, kind};
use crate::controller::command_job::attempt::Ending;
use crate::controller::command_job::job::explanation::{backing_off, explain, explain_stop, too_large};
use crate::controller::command_job::job::retry::{Because, next_attempt};
use crate::controller::command_job::output::Fit;
use crate::controller::command_job::runner::KillReason;
use crate::controller::readiness::Verdict;
use crate::runtime::conditions::Conditions;

/// Of an earlier attempt's streams so many bytes are kept while another one is under way.
const KEPT_OF_EARLIER: usize = 64 * 1024;

/// The last attempt has ended, and another one follows: the job waits for the end of the pause before it.
pub fn attempt_over(
    job: &CommandJob,
    status: CommandJobStatus,
    ending: &Ending,
    is_failure: bool,
    fit: Fit,
    now: Timestamp,
) -> CommandJobStatus {
    let status = closed(status, ending, is_failure, now);
    let status = with_result(status, result(ending), fit);
    let job = CommandJob {
        metadata: job.metadata.clone(),
        spec: job.spec.clone(),
        status: Some(status.clone()),
    };
    let why = backing_off(&job, next_attempt(&job).unwrap_or(now));
    let queue = queue(why.reason, None, None);
    waiting(&job, status, &why, queue, now)
}

/// The job ends while no attempt is under way. What is known of earlier ones stays.
pub fn stopped(
    job: &CommandJob,
    mut status: CommandJobStatus,
    why: KillReason,
    fit: Fit,
    now: Timestamp,
) -> CommandJobStatus {
    let result = status.result.take();
    let status = with_result(status, result, fit);
    let (reason, message) = explain_stop(job, why);
    let phase = match reason {
        Reason::Cancelled => Phase::Cancelled,
        _ => Phase::Failed,
    };
    finished(job, status, phase, reason, &message, now)
}

/// The job ends with its last attempt.
pub fn ended(
    job: &CommandJob,
    status: CommandJobStatus,
    ending: &Ending,
    because: Because,
    fit: Fit,
    now: Timestamp,
) -> CommandJobStatus {
    let result = result(ending);
    let (mut reason, mut message) = explain(job, ending, because);
    if fit == Fit::Cut {
        // It fails the job, whatever the command returned: what was asked for could not be kept.
        (reason, message) = (Reason::ResultTooLarge, too_large(result.as_ref()));
    }
    let phase = match (reason, result.as_ref().map(|it| it.outcome)) {
        (Reason::CommandSucceeded, _) => Phase::Succeeded,
        (_, Some(Outcome::Cancelled)) => Phase::Cancelled,
        _ => Phase::Failed,
    };
    let status = closed(status, ending, because.is_failure(), now);
    let status = with_result(status, result, fit);
    finished(job, status, phase, reason, &message, now)
}

fn finished(
    job: &CommandJob,
    status: CommandJobStatus,
    phase: Phase,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> CommandJobStatus {
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(phase),
        target: Some(display_target(job)),
        queue: None,
        completion_time: Some(whole_seconds(now)),
        conditions: final_conditions(job, &status.conditions, reason, message, now),
        ..status
    }
}

/// The last attempt has come to its end.
fn closed(mut status: CommandJobStatus, ending: &Ending, is_failure: bool, now: Timestamp) -> CommandJobStatus {
    if is_failure {
        status.failed = Some(status.failed.unwrap_or(0).saturating_add(1));
    }
    if let Some(attempt) = status.attempts.last_mut() {
        attempt.completion_time = Some(whole_seconds(now));
        match ending {
            Ending::Known(result) => {
                attempt.outcome = Some(result.outcome);
                attempt.exit_code = result.exit_code;
            }
            Ending::Lost(why) => {
                attempt.outcome = Some(Outcome::Lost);
                attempt.reason = Some(*why);
            }
            Ending::Unprepared => attempt.reason = Some(AttemptReason::PreparationFailed),
            Ending::Void => attempt.reason = Some(AttemptReason::Void),
        }
    }
    status
}

/// An attempt in which nothing ran has no result, and leaves that of an earlier one.
fn with_result(status: CommandJobStatus, result: Option<CommandResult>, fit: Fit) -> CommandJobStatus {
    let Some(mut result) = result else { return status };
    for stream in [&mut result.stdout, &mut result.stderr] {
        fit.apply(stream);
    }
    CommandJobStatus {
        duration: result.execution_time_in_milliseconds.map(display_duration),
        result: Some(result),
        ..status
    }
}

/// The status of an attempt that begins, which has to fit into an object that an earlier result may have filled. Long streams are
/// cut to their ends.
pub fn with_room(mut status: CommandJobStatus) -> CommandJobStatus {
    let result = status.result.iter_mut();
    for stream in result.flat_map(|it| [&mut it.stdout, &mut it.stderr]) {
        let kept = [&stream.text, &stream.base64, &stream.tail_text, &stream.tail_base64];
        if kept.into_iter().flatten().map(String::len).sum::<usize>() > KEPT_OF_EARLIER {
            Fit::Cut.apply(stream);
        }
    }
    status
}

fn result(ending: &Ending) -> Option<CommandResult> {
    match ending {
        Ending::Known(result) => Some((**result).clone()),
        Ending::Lost(_) => Some(CommandResult {
            outcome: Outcome::Lost,
            exit_code: None,
            execution_time_in_milliseconds: None,
            masked_count: None,
            withheld: false,
            stdout: CapturedStream::default(),
            stderr: CapturedStream::default(),
        }),
        Ending::Unprepared | Ending::Void => None,
    }
}

/// As a Job has them, and as kstatus reads them.
fn final_conditions(
    job: &CommandJob,
    previous: &[Condition],
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let (verdict, type_) = if reason == Reason::CommandSucceeded {
        (Verdict::ready(reason, message), kind::COMPLETE)
    } else {
        (Verdict::stalled(reason, message), kind::FAILED)
    };
    let generation = job.metadata.generation;
    let previous = verdict.conditions(previous, generation, now);
    let mut conditions = Conditions::from_previous(&previous, generation, now);
    conditions.set_while(type_, Some((reason.as_str(), message)));
    conditions.into_vec()
}
