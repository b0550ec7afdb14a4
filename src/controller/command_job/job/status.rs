//! What a job's status says. Pure, and a fixpoint: computed again from its own answer, it is the same.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::explanation::{explain, too_large};
use super::facts::JobFacts;
use super::plan::{is_finished, last_claim, next_key};
use crate::api::command_job::{
    Attempt, AttemptReason, CapturedStream, CommandJob, CommandJobStatus, CommandResult, Outcome, OutputTail, Phase,
    QueueReason, QueueStatus,
};
use crate::api::condition::{Reason, kind};
use crate::controller::command_job::attempt::{AttemptClaim, AttemptState, Ending};
use crate::controller::command_job::output::Fit;
use crate::controller::readiness::{self, Standing, Verdict};
use crate::controller::waiting::Waiting;
use crate::runtime::conditions::{Conditions, Truth, transitioned};
use crate::runtime::{Failure, Key, Note, PassOutcome, Seen, Severity, Waited};

/// Void attempts cost nothing and are not counted; of a long row of them only the newest are kept.
const MAX_ATTEMPTS: usize = 20;

/// What is to be said of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobVerdict {
    /// Nothing that its status does not say.
    Unchanged,
    /// It waits, and nothing of it has been started.
    Waiting {
        /// For what.
        why: Verdict,
        /// Since when the pool has refused the account, where it does.
        refused_since: Option<Timestamp>,
    },
    /// An attempt begins. One before it that is still open is void: that was proven by its session.
    Claimed {
        /// The attempt.
        claim: AttemptClaim,
        /// The SessionPool of another namespace that it enters as an account of its own, if it does.
        guest_of: Option<Key>,
    },
    /// An attempt is under way; and what keeps it from being asked, if anything does.
    Running(Option<Verdict>),
    /// An attempt is under way, and printed this last.
    Printed(Arc<OutputTail>),
    /// It has ended.
    Ended {
        /// How.
        ending: Ending,
        /// How the streams are written, so that the object is not larger than the API server takes.
        fit: Fit,
    },
}

impl JobVerdict {
    /// The job cannot go on for now.
    pub fn waiting(job: &CommandJob, why: Verdict, state: &AttemptState) -> Self {
        if last_claim(job).is_some() {
            return Self::Running(Some(why));
        }
        let refused_since = state.denied_since;
        Self::Waiting { why, refused_since }
    }

    /// The same, and what is waited for has an end. A full pool and a busy operator have none: the job starts when there is room.
    #[must_use]
    pub fn with_end(self, job: &CommandJob, waited: &Waited, now: Timestamp) -> Self {
        match self {
            // Since when is in the status: see `refused_since`.
            Self::Waiting { why, refused_since } if why.reason != Reason::RolePropagating => Self::Waiting {
                why: waits(job, waited, now).judge(why),
                refused_since,
            },
            verdict => verdict,
        }
    }

    /// The verdict on a pass that failed.
    fn of_failure(
        job: &CommandJob,
        failure: &Failure,
        facts: Option<&JobFacts>,
        waited: &Waited,
        now: Timestamp,
    ) -> Self {
        let state = facts.map(|it| it.attempt(job, next_key(job))).unwrap_or_default();
        match waits(job, waited, now).of_failure(failure) {
            Some(why) => Self::waiting(job, why, &state),
            None if last_claim(job).is_some() => Self::Running(None),
            // A hiccup that is not worth a word yet, or a conflict: the next pass will say.
            None => Self::Unchanged,
        }
    }
}

/// What a verdict on a job depends on besides.
fn waits<'a>(job: &'a CommandJob, waited: &'a Waited, now: Timestamp) -> Waiting<'a> {
    let conditions = job.status.as_ref().map(|it| it.conditions.as_slice());
    Waiting {
        conditions: conditions.unwrap_or_default(),
        generation: job.metadata.generation,
        waited,
        now,
    }
}

/// The status after a pass; `None` leaves it as it is.
pub fn summarize(job: &CommandJob, seen: &Seen<'_, JobFacts, JobVerdict>, now: Timestamp) -> Option<CommandJobStatus> {
    let verdict = match seen.outcome {
        PassOutcome::Failed(failure) => JobVerdict::of_failure(job, failure, seen.observed, seen.waited, now),
        PassOutcome::Done(_) => seen.verdict?.clone(),
    };
    status(job, &verdict, now)
}

/// The status that says this of a job; `None` for the one that it has. Nothing else makes a job's status.
pub fn status(job: &CommandJob, verdict: &JobVerdict, now: Timestamp) -> Option<CommandJobStatus> {
    if is_finished(job) || job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let previous = job.status.clone().unwrap_or_default();
    match verdict {
        JobVerdict::Unchanged => None,
        JobVerdict::Waiting { why, refused_since } => Some(waiting(job, previous, why, *refused_since, now)),
        JobVerdict::Claimed { claim, guest_of } => {
            let status = claimed(job, previous, claim, now);
            Some(isolated(job, status, guest_of.as_ref(), now))
        }
        JobVerdict::Running(trouble) => Some(running(job, previous, trouble.as_ref(), now)),
        JobVerdict::Printed(tail) => Some(CommandJobStatus {
            tail: Some((**tail).clone()),
            ..running(job, previous, None, now)
        }),
        JobVerdict::Ended { ending, fit } => Some(ended(job, previous, ending, *fit, now)),
    }
}

fn waiting(
    job: &CommandJob,
    previous: CommandJobStatus,
    why: &Verdict,
    refused_since: Option<Timestamp>,
    now: Timestamp,
) -> CommandJobStatus {
    let queue = QueueStatus {
        reason: queue_reason(why.reason),
        refused_since: refused_since.map(whole_seconds),
    };
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Queued),
        target: Some(display_target(job)),
        queue: Some(queue),
        conditions: why.conditions(&previous.conditions, job.metadata.generation, now),
        ..previous
    }
}

fn queue_reason(reason: Reason) -> QueueReason {
    match reason {
        Reason::PoolExhausted => QueueReason::Capacity,
        Reason::Unavailable | Reason::Throttled | Reason::InternalError => QueueReason::Service,
        _ => QueueReason::Target,
    }
}

fn claimed(job: &CommandJob, mut status: CommandJobStatus, claim: &AttemptClaim, now: Timestamp) -> CommandJobStatus {
    let at = whole_seconds(claim.at);
    if let Some(open) = status.attempts.last_mut()
        && open.outcome.is_none()
        && open.reason.is_none()
    {
        open.reason = Some(AttemptReason::Void);
        open.completion_time = Some(at.clone());
    }
    status.attempts.push(Attempt {
        number: claim.key.number,
        ticket: claim.ticket.0.clone(),
        start_time: at.clone(),
        completion_time: None,
        outcome: None,
        exit_code: None,
        reason: None,
        session: claim.session.clone(),
        secrets_digest: claim.secrets_digest.clone(),
        lent_account: claim.lent_account.clone(),
    });
    let surplus = status.attempts.len().saturating_sub(MAX_ATTEMPTS);
    status.attempts.drain(..surplus);
    status.start_time.get_or_insert(at);
    status.tail = None;
    running(job, status, None, now)
}

/// Whether the account that an attempt runs as may enter sessions of others. It stays in the status of a job that has ended.
fn isolated(job: &CommandJob, status: CommandJobStatus, guest_of: Option<&Key>, now: Timestamp) -> CommandJobStatus {
    let mut conditions = Conditions::from_previous(&status.conditions, job.metadata.generation, now);
    match guest_of {
        None => conditions.remove(kind::ISOLATED),
        Some(pool) => {
            let message = format!(
                "the job runs as an account of its own namespace in the SessionPool {pool}, which is shared: whoever holds a \
                 credential of that account can list and enter every session of the pool, those of other namespaces too. The \
                 pool's owner can lend an account instead, by spec.sharing[].accountRef"
            );
            let reason = Reason::OwnAccountInSharedPool.as_str();
            conditions.set(kind::ISOLATED, Truth::False, reason, &message)
        }
    };
    let conditions = conditions.into_vec();
    CommandJobStatus { conditions, ..status }
}

/// The events for a status that was just written.
pub fn notes(before: &[Condition], after: &[Condition]) -> Vec<Note> {
    let exposed = transitioned(before, after, kind::ISOLATED).map(|it| Note {
        severity: Severity::Warning,
        reason: it.reason.clone().into(),
        action: "Start".into(),
        message: it.message.clone(),
    });
    readiness::notes(before, after).into_iter().chain(exposed).collect()
}

fn running(
    job: &CommandJob,
    previous: CommandJobStatus,
    trouble: Option<&Verdict>,
    now: Timestamp,
) -> CommandJobStatus {
    let verdict = match trouble {
        // Without trouble a running job is as its claim left it, so that a long poll writes nothing.
        None => Verdict::progressing(Reason::Running, "the command has been started, or is about to be"),
        // The command goes on, whatever keeps it from being asked.
        Some(trouble) => {
            let message = format!(
                "the command may have been started, and it cannot be told yet how it is: {}",
                trouble.message
            );
            Verdict::new(Standing::Unknown, trouble.reason, message)
        }
    };
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Running),
        target: Some(display_target(job)),
        queue: None,
        conditions: verdict.conditions(&previous.conditions, job.metadata.generation, now),
        ..previous
    }
}

fn ended(
    job: &CommandJob,
    mut status: CommandJobStatus,
    ending: &Ending,
    fit: Fit,
    now: Timestamp,
) -> CommandJobStatus {
    let at = whole_seconds(now);
    if let Some(attempt) = status.attempts.last_mut() {
        attempt.completion_time = Some(at.clone());
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
    let mut result = result(ending);
    let (mut reason, mut message) = explain(ending, job.spec.timeout_seconds);
    if fit == Fit::Cut {
        // It fails the job, whatever the command returned: what was asked for could not be kept.
        (reason, message) = (Reason::ResultTooLarge, too_large(result.as_ref()));
    }
    // What was seen of it while it ran may be all that there is.
    if result
        .as_ref()
        .is_none_or(|it| !it.withheld && it.outcome != Outcome::Lost)
    {
        status.tail = None;
    }
    for stream in result.iter_mut().flat_map(|it| [&mut it.stdout, &mut it.stderr]) {
        fit.apply(stream);
    }
    let milliseconds = result.as_ref().and_then(|it| it.execution_time_in_milliseconds);
    let succeeded = reason == Reason::CommandSucceeded;
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(if succeeded { Phase::Succeeded } else { Phase::Failed }),
        target: Some(display_target(job)),
        duration: milliseconds.map(display_duration),
        queue: None,
        completion_time: Some(at),
        result,
        conditions: final_conditions(job, &status.conditions, reason, &message, now),
        ..status
    }
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

/// The API server keeps whole seconds; more would make the status differ from itself once stored.
fn whole_seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// Where the command runs, for the column.
fn display_target(job: &CommandJob) -> String {
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

/// A duration as kubectl shows ages, and shorter ones more exactly: `70ms`, `2.1s`, `3m12s`, `3m`, `1h5m`.
fn display_duration(milliseconds: i64) -> String {
    let two = |number: i64, unit: &str, rest: i64, smaller: &str| match rest {
        0 => format!("{number}{unit}"),
        rest => format!("{number}{unit}{rest}{smaller}"),
    };
    let seconds = milliseconds / 1000;
    match seconds {
        ..1 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        _ => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
    }
}

#[cfg(test)]
mod tests;
