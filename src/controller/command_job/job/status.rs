//! What a job's status says. Pure, and a fixpoint: computed again from its own answer, it is the same.

mod ending;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::facts::JobFacts;
use super::plan::{is_finished, last_claim, next_key};
use super::retry::Because;
use crate::api::command_job::{
    Attempt, AttemptReason, CommandJob, CommandJobStatus, JobSession, OutputTail, Phase, QueueReason, QueueStatus,
};
use crate::api::condition::{Reason, kind};
use crate::controller::command_job::attempt::{AttemptClaim, AttemptState, Ending};
use crate::controller::command_job::output::Fit;
use crate::controller::command_job::queue::{QueuePosition, WaitsFor};
use crate::controller::command_job::runner::KillReason;
use crate::controller::readiness::{self, Standing, Verdict};
use crate::controller::waiting::Waiting;
use crate::runtime::conditions::{Conditions, Truth, find, transitioned};
use crate::runtime::{Failure, Key, Note, PassOutcome, Seen, Severity, Waited};

/// Of a long row of attempts only the newest are kept; how many failed is counted besides.
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
        /// Where it waits for a session, if it is that.
        position: Option<QueuePosition>,
    },
    /// An attempt begins. One before it that is still open is void: that was proven by its session.
    Claimed {
        /// The attempt.
        claim: AttemptClaim,
        /// Its session.
        session: JobSession,
        /// The SessionPool of another namespace that it enters as an account of its own, if it does.
        guest_of: Option<Key>,
    },
    /// An attempt is under way; and what keeps it from being asked, if anything does.
    Running(Option<Verdict>),
    /// It is suspended, and nothing of it runs.
    Suspended,
    /// Its last attempt has ended, and another one follows.
    AttemptOver {
        /// How.
        ending: Ending,
        /// Whether it counts as a failed one.
        is_failure: bool,
        /// How the streams are written.
        fit: Fit,
    },
    /// It ends while no attempt is under way.
    Stopped {
        /// Why.
        reason: KillReason,
        /// How the streams of its last attempt are written.
        fit: Fit,
    },
    /// An attempt is under way, and printed this last.
    Printed(Arc<OutputTail>),
    /// It has ended.
    Ended {
        /// How.
        ending: Ending,
        /// Why no further attempt follows.
        because: Because,
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
        Self::Waiting {
            why,
            refused_since: state.denied_since,
            position: None,
        }
    }

    /// The job waits for a session; nothing is said of that as long as it may be over sooner than it is written.
    pub fn queued(why: Verdict, position: Option<QueuePosition>, state: &AttemptState) -> Self {
        match position {
            None => Self::Unchanged,
            Some(_) => Self::Waiting {
                why,
                refused_since: state.denied_since,
                position,
            },
        }
    }

    /// The same, and what is waited for has an end. A full pool and a busy operator have none: the job starts when there is room.
    #[must_use]
    pub fn with_end(self, job: &CommandJob, waited: &Waited, now: Timestamp) -> Self {
        match self {
            // Since when is in the status: see `refused_since`.
            Self::Waiting {
                why,
                refused_since,
                position,
            } if why.reason != Reason::RolePropagating => Self::Waiting {
                why: waits(job, waited, now).judge(why),
                refused_since,
                position,
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
        let state = facts
            .map(|it| it.attempt(job, next_key(job, &it.attempts)))
            .unwrap_or_default();
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
    let status = match verdict {
        JobVerdict::Unchanged => return None,
        JobVerdict::Waiting {
            why,
            refused_since,
            position,
        } => {
            let queue = queue(why.reason, *refused_since, *position);
            waiting(job, previous, why, queue, now)
        }
        JobVerdict::Claimed {
            claim,
            session,
            guest_of,
        } => {
            let status = claimed(job, previous, claim, session, now);
            isolated(job, status, guest_of.as_ref(), now)
        }
        JobVerdict::Running(trouble) => running(job, previous, trouble.as_ref(), now),
        JobVerdict::Printed(tail) => CommandJobStatus {
            tail: Some((**tail).clone()),
            ..running(job, previous, None, now)
        },
        JobVerdict::Suspended => suspended(job, previous, now),
        JobVerdict::AttemptOver {
            ending,
            is_failure,
            fit,
        } => ending::attempt_over(job, previous, ending, *is_failure, *fit, now),
        JobVerdict::Stopped { reason, fit } => ending::stopped(job, previous, *reason, *fit, now),
        JobVerdict::Ended { ending, because, fit } => ending::ended(job, previous, ending, *because, *fit, now),
    };
    Some(suspension(job, status, now))
}

fn suspended(job: &CommandJob, previous: CommandJobStatus, now: Timestamp) -> CommandJobStatus {
    let message = "spec.suspend is true: no attempt begins";
    let verdict = Verdict::new(Standing::Resting, Reason::Suspended, message);
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Suspended),
        target: Some(display_target(job)),
        queue: None,
        // As of a Job: the time for which it may be active begins anew.
        start_time: None,
        conditions: verdict.conditions(&previous.conditions, job.metadata.generation, now),
        ..previous
    }
}

/// The condition `Suspended`, as a Job has it: on a job that is or was suspended.
fn suspension(job: &CommandJob, status: CommandJobStatus, now: Timestamp) -> CommandJobStatus {
    let was_suspended = find(&status.conditions, kind::SUSPENDED).map(|it| it.status == "True");
    let is_suspended =
        status.phase == Some(Phase::Suspended) || (job.spec.suspend && was_suspended.unwrap_or_default());
    let (truth, reason, message) = match (is_suspended, was_suspended) {
        (true, _) => (Truth::True, Reason::JobSuspended, "the job is suspended"),
        (false, Some(_)) => (Truth::False, Reason::JobResumed, "the job was resumed"),
        (false, None) => return status,
    };
    let mut conditions = Conditions::from_previous(&status.conditions, job.metadata.generation, now);
    conditions.set(kind::SUSPENDED, truth, reason.as_str(), message);
    let conditions = conditions.into_vec();
    CommandJobStatus { conditions, ..status }
}

fn waiting(
    job: &CommandJob,
    previous: CommandJobStatus,
    why: &Verdict,
    queue: QueueStatus,
    now: Timestamp,
) -> CommandJobStatus {
    CommandJobStatus {
        observed_generation: job.metadata.generation,
        phase: Some(Phase::Queued),
        target: Some(display_target(job)),
        queue: Some(queue),
        conditions: why.conditions(&previous.conditions, job.metadata.generation, now),
        ..previous
    }
}

fn queue(reason: Reason, refused_since: Option<Timestamp>, position: Option<QueuePosition>) -> QueueStatus {
    let number = |it: u32| i32::try_from(it).unwrap_or(i32::MAX);
    QueueStatus {
        reason: queue_reason(reason, position),
        position: position.map(|it| number(it.position)),
        of: position.map(|it| number(it.of)),
        estimated_start_time: position.and_then(|it| it.estimate).map(whole_seconds),
        refused_since: refused_since.map(whole_seconds),
    }
}

fn queue_reason(reason: Reason, position: Option<QueuePosition>) -> QueueReason {
    match reason {
        Reason::PoolExhausted => match position.map(|it| it.waits_for) {
            Some(WaitsFor::Share) => QueueReason::Share,
            Some(WaitsFor::Session) => QueueReason::Session,
            Some(WaitsFor::Place) | None => QueueReason::Capacity,
        },
        Reason::Unavailable | Reason::Throttled | Reason::InternalError => QueueReason::Service,
        Reason::BackingOff => QueueReason::Backoff,
        _ => QueueReason::Target,
    }
}

fn claimed(
    job: &CommandJob,
    mut status: CommandJobStatus,
    claim: &AttemptClaim,
    session: &JobSession,
    now: Timestamp,
) -> CommandJobStatus {
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
        slot: claim.slot.as_ref().map(ToString::to_string),
    });
    status.session = Some(session.clone());
    let surplus = status.attempts.len().saturating_sub(MAX_ATTEMPTS);
    status.attempts.drain(..surplus);
    status.start_time.get_or_insert(at);
    let mut status = ending::with_room(status);
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
    // That it was suspended is told of `Ready` already.
    let resumed = transitioned(before, after, kind::SUSPENDED).filter(|it| it.status == "False");
    let resumed = resumed.map(|it| Note {
        severity: Severity::Normal,
        reason: "Resumed".into(),
        action: "Resume".into(),
        message: it.message.clone(),
    });
    let ready = readiness::notes(before, after).into_iter().map(|note| {
        let routine = [Reason::Running, Reason::PoolExhausted].map(Reason::as_str);
        // An event for each job that waits its turn would be as many writes as their statuses are.
        match note.severity {
            Severity::Normal if routine.contains(&&*note.reason) => Note {
                severity: Severity::Routine,
                ..note
            },
            _ => note,
        }
    });
    ready.chain(exposed).chain(resumed).collect()
}

fn running(
    job: &CommandJob,
    previous: CommandJobStatus,
    trouble: Option<&Verdict>,
    now: Timestamp,
) -> CommandJobStatus {
    let verdict = match trouble {
        // Without trouble a running job is as its claim left it, so that a long poll writes nothing.
        None if job.spec.suspend => Verdict::progressing(
            Reason::Running,
            "the command has been started, or is about to be; it goes on to its end although spec.suspend is true, and no further \
             attempt begins",
        ),
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

/// The API server keeps whole seconds; more would make the status differ from itself once stored.
pub fn whole_seconds(time: Timestamp) -> Time {
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
