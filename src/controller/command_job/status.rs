//! What a job's status says. Pure, and a fixpoint: computed again from its own answer, it is the same.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::{NotReady, Observed};
use super::plan::{Verdict, live_attempt};
use crate::api::command_job::{
    Attempt, AttemptReason, CapturedStream, CommandJob, CommandJobStatus, CommandResult, Outcome, Phase, QueueReason,
    QueueStatus,
};
use crate::api::condition::{Reason, kind};
use crate::runtime::conditions::{Conditions, Truth, find};
use crate::runtime::{Class, Failure, Outcome as PassOutcome, Seen};

/// Void attempts cost nothing and are not counted; of a long row of them only the newest are kept.
const MAX_ATTEMPTS: usize = 20;

/// What a stream is cut to when the whole result does not fit into the object.
const SMALL_STREAM_BYTES: usize = 4096;

/// The status after a pass; `None` leaves it as it is.
pub fn summarize(job: &CommandJob, seen: &Seen<'_, Observed>, now: Timestamp) -> Option<CommandJobStatus> {
    let previous = job.status.clone().unwrap_or_default();
    if previous.phase.is_some_and(Phase::is_terminal) || job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let trouble = trouble(job, seen, now);
    let is_live = live_attempt(&previous.attempts).is_some();
    match (is_live, trouble) {
        (true, Some(trouble)) => Some(running(job, previous, Some(&trouble), now)),
        // Without trouble a running job is as its claim left it, so that a long poll writes nothing.
        (true, None) => Some(running(job, previous, None, now)),
        (false, Some(trouble)) => Some(queued(job, previous, &trouble, now)),
        // A hiccup that is not worth a word yet, or a conflict: the next pass will say.
        (false, None) => None,
    }
}

/// Why the job does not advance, if there is something to say.
fn trouble(job: &CommandJob, seen: &Seen<'_, Observed>, now: Timestamp) -> Option<NotReady> {
    if let PassOutcome::Failed(failure) = seen.outcome {
        return failure
            .is_worth_reporting(now)
            .then(|| NotReady::from_failure(failure).in_known_words(job));
    }
    let observed = seen.observed?;
    observed
        .ready
        .as_ref()
        .err()
        .or(observed.reachable.as_ref().err())
        .cloned()
}

impl NotReady {
    fn from_failure(failure: &Failure) -> Self {
        let reason = Reason::ALL
            .iter()
            .copied()
            .find(|it| it.as_str() == failure.reason)
            .unwrap_or(Reason::Unavailable);
        let queue = match reason {
            Reason::PoolExhausted => QueueReason::Capacity,
            Reason::Unavailable | Reason::Throttled | Reason::InternalError => QueueReason::Service,
            _ => QueueReason::Target,
        };
        let stalled = matches!(failure.class, Class::Terminal | Class::Denied);
        Self {
            reason,
            message: failure.message.clone(),
            queue,
            stalled,
            retry_after: None,
        }
    }
}

impl NotReady {
    /// The network fails in many words. Were each of them a new status, each would also cause another pass.
    fn in_known_words(mut self, job: &CommandJob) -> Self {
        let conditions = job
            .status
            .as_ref()
            .map(|it| it.conditions.as_slice())
            .unwrap_or_default();
        let known = find(conditions, kind::READY).filter(|it| it.reason == self.reason.as_str());
        if self.reason == Reason::Unavailable
            && let Some(known) = known
        {
            self.message.clone_from(&known.message);
        }
        self
    }
}

fn queued(job: &CommandJob, previous: CommandJobStatus, why: &NotReady, now: Timestamp) -> CommandJobStatus {
    let mut conditions = conditions(job, &previous.conditions, now);
    let reason = why.reason.as_str();
    conditions.set(kind::READY, Truth::False, reason, &why.message);
    conditions.set_while(
        kind::RECONCILING,
        (!why.stalled).then_some((reason, why.message.as_str())),
    );
    conditions.set_while(kind::STALLED, why.stalled.then_some((reason, why.message.as_str())));
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Queued),
        target: previous.target.or_else(|| Some(display_target(job))),
        queue: Some(QueueStatus { reason: why.queue }),
        conditions: conditions.into_vec(),
        ..previous
    }
}

/// The status that claims an attempt. An attempt before it that is still open is void: that was proven by the session.
pub fn claimed(
    job: &CommandJob,
    number: i32,
    session: &str,
    secrets_digest: Option<String>,
    now: Timestamp,
) -> CommandJobStatus {
    let mut status = job.status.clone().unwrap_or_default();
    let now_in_seconds = whole_seconds(now);
    if let Some(open) = status
        .attempts
        .last_mut()
        .filter(|it| it.outcome.is_none() && it.reason.is_none())
    {
        open.reason = Some(AttemptReason::Void);
        open.completion_time = Some(now_in_seconds.clone());
    }
    status.attempts.push(Attempt {
        number,
        start_time: now_in_seconds.clone(),
        completion_time: None,
        outcome: None,
        exit_code: None,
        reason: None,
        session: session.to_owned(),
        secrets_digest,
    });
    let surplus = status.attempts.len().saturating_sub(MAX_ATTEMPTS);
    status.attempts.drain(..surplus);
    status.start_time.get_or_insert(now_in_seconds);
    running(job, status, None, now)
}

fn running(
    job: &CommandJob,
    previous: CommandJobStatus,
    trouble: Option<&NotReady>,
    now: Timestamp,
) -> CommandJobStatus {
    let mut conditions = conditions(job, &previous.conditions, now);
    let (truth, reason, message) = match trouble {
        None => (
            Truth::False,
            Reason::Running,
            "the command has been started, or is about to be",
        ),
        Some(trouble) => (Truth::Unknown, trouble.reason, trouble.message.as_str()),
    };
    conditions.set(kind::READY, truth, reason.as_str(), message);
    conditions.set_while(kind::RECONCILING, Some((reason.as_str(), message)));
    conditions.remove(kind::STALLED);
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Running),
        target: Some(display_target(job)),
        queue: None,
        conditions: conditions.into_vec(),
        ..previous
    }
}

/// The status that ends a job.
pub fn finished(job: &CommandJob, verdict: &Verdict, now: Timestamp) -> CommandJobStatus {
    let mut status = job.status.clone().unwrap_or_default();
    let now_in_seconds = whole_seconds(now);
    let (reason, message) = explain(verdict);
    if let Some(attempt) = status.attempts.last_mut() {
        attempt.completion_time = Some(now_in_seconds.clone());
        match verdict {
            Verdict::Known(result) => {
                attempt.outcome = Some(result.outcome);
                attempt.exit_code = result.exit_code;
            }
            Verdict::Lost(why) => {
                attempt.outcome = Some(Outcome::Lost);
                attempt.reason = Some(*why);
            }
            Verdict::Unprepared => attempt.reason = Some(AttemptReason::PreparationFailed),
        }
    }
    status.result = match verdict {
        Verdict::Known(result) => Some((**result).clone()),
        Verdict::Lost(_) => Some(CommandResult {
            outcome: Outcome::Lost,
            exit_code: None,
            execution_time_in_milliseconds: None,
            masked_count: None,
            withheld: false,
            stdout: CapturedStream::default(),
            stderr: CapturedStream::default(),
        }),
        Verdict::Unprepared => None,
    };
    status.duration = status
        .result
        .as_ref()
        .and_then(|it| it.execution_time_in_milliseconds)
        .map(display_duration);
    status.completion_time = Some(now_in_seconds);
    end(job, status, reason, &message, now)
}

fn end(
    job: &CommandJob,
    mut status: CommandJobStatus,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> CommandJobStatus {
    let succeeded = reason == Reason::CommandSucceeded;
    let mut conditions = conditions(job, &status.conditions, now);
    conditions.set(
        kind::READY,
        if succeeded { Truth::True } else { Truth::False },
        reason.as_str(),
        message,
    );
    conditions.set_while(kind::COMPLETE, succeeded.then_some((reason.as_str(), message)));
    conditions.set_while(kind::FAILED, (!succeeded).then_some((reason.as_str(), message)));
    conditions.set_while(kind::STALLED, (!succeeded).then_some((reason.as_str(), message)));
    conditions.remove(kind::RECONCILING);
    status.conditions = conditions.into_vec();
    status.observed_generation = job.metadata.generation;
    status.phase = Some(if succeeded { Phase::Succeeded } else { Phase::Failed });
    status.target = Some(display_target(job));
    status.queue = None;
    status
}

/// The same end with streams of at most 4 KiB, for an object that would otherwise be larger than the API server takes.
/// It fails the job, whatever the command returned: what was asked for could not be kept.
pub fn cut_to_fit(job: &CommandJob, status: CommandJobStatus, now: Timestamp) -> CommandJobStatus {
    let mut status = status;
    let code = status.result.as_ref().and_then(|it| it.exit_code);
    if let Some(result) = &mut status.result {
        for stream in [&mut result.stdout, &mut result.stderr] {
            super::capture::shorten(stream, SMALL_STREAM_BYTES);
        }
    }
    let message = match code {
        Some(code) => format!(
            "the command ended with exit code {code}, and its result does not fit into the object together with its \
             spec; both streams were cut to {SMALL_STREAM_BYTES} bytes: lower spec.output.maxBytes"
        ),
        None => "the result does not fit into the object; both streams were cut".to_owned(),
    };
    end(job, status, Reason::ResultTooLarge, &message, now)
}

fn explain(verdict: &Verdict) -> (Reason, String) {
    match verdict {
        Verdict::Known(result) => match (result.outcome, result.exit_code) {
            (Outcome::Exited, Some(0)) => (Reason::CommandSucceeded, "the command ended with exit code 0".into()),
            (Outcome::Exited, Some(code)) if (129..=192).contains(&code) => (
                Reason::NonZeroExitCode,
                format!(
                    "the command ended with exit code {code}, as after death by signal {}",
                    code - 128
                ),
            ),
            (Outcome::Exited, Some(code)) => (
                Reason::NonZeroExitCode,
                format!("the command ended with exit code {code}"),
            ),
            (Outcome::TimedOut, _) => (
                Reason::DeadlineExceeded,
                "the command ran longer than spec.timeoutSeconds and was killed".into(),
            ),
            (Outcome::Cancelled, _) => (Reason::Cancelled, "the command was cancelled".into()),
            (Outcome::Lost | Outcome::Exited, _) => (Reason::Lost, "the end of the command is not known".into()),
        },
        Verdict::Lost(why) => {
            let how = match why {
                AttemptReason::SessionReplaced => "its session was replaced by an empty one or can no longer be found",
                AttemptReason::RunnerDied => "what watched over it in its session died without leaving an exit code",
                AttemptReason::Unreachable => "its session could not be reached until long after it must have ended",
                AttemptReason::Void | AttemptReason::PreparationFailed => "its session answered in an unexpected way",
            };
            (
                Reason::Lost,
                format!("it is not known whether the command ran, in part or to its end: {how}. It is not run again"),
            )
        }
        Verdict::Unprepared => (
            Reason::PreparationFailed,
            "the session could not prepare or start the command (its disk may be full, or its clock wrong); it was not started".into(),
        ),
    }
}

fn conditions(job: &CommandJob, previous: &[Condition], now: Timestamp) -> Conditions {
    Conditions::from_previous(previous, job.metadata.generation, now)
}

/// The API server keeps whole seconds; more would make the status differ from itself once stored.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Where the command runs, for the column.
pub fn display_target(job: &CommandJob) -> String {
    let target = &job.spec.target;
    match (&target.session_pool_ref, &target.session_pool) {
        (Some(pool), _) => match &pool.namespace {
            Some(namespace) if Some(namespace) != job.metadata.namespace.as_ref() => {
                format!("pool/{namespace}/{}", pool.name)
            }
            _ => format!("pool/{}", pool.name),
        },
        (None, Some(pool)) => format!("pool/{}", pool.resource_id.rsplit('/').next().unwrap_or_default()),
        (None, None) => String::new(),
    }
}

/// A duration as kubectl shows ages, with tenths below a minute: `2.1s`, `3m12s`, `1h5m`.
fn display_duration(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        ..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests;
