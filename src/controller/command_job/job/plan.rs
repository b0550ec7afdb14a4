//! What is done next for a job. Pure: no I/O, and the clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::explanation::backing_off;
use super::facts::JobFacts;
use super::not_runnable::NotRunnable;
use super::retry::{Consequence, active_until, consequence, next_attempt};
use super::status::{JobVerdict, whole_seconds};
use super::tail;
use crate::api::command_job::{Attempt, CommandJob, JobSession, Phase};
use crate::controller::command_job::attempt::{
    AfterClaim, AttemptClaim, AttemptKey, AttemptState, BeforeClaim, Command, Ending, Farewell, Pursuit, Stop,
    Surroundings,
};
use crate::controller::command_job::runner::KillReason;
use crate::runtime::{Next, Plan};

/// When a job is looked at again that cannot be run as it is written, although nothing of it changed: what makes it so may
/// come from a Secret, which is not watched.
const LOOK_AT_INVALID: Next = Next::After(Duration::from_mins(1));

/// A job whose deadline is this near is looked at often enough that it ends in time.
const DEADLINE_IS_NEAR: SignedDuration = SignedDuration::from_mins(5);

/// That often.
const LOOK_NEAR_DEADLINE: SignedDuration = SignedDuration::from_secs(30);

/// One effect, with every choice made.
#[derive(Clone, PartialEq)]
pub enum JobStep {
    /// Have the executor carry out a command of an attempt.
    Run(AttemptKey, Command),
    /// Write the status that says this, over exactly the version of the object that was planned for, before anything else.
    Write(JobVerdict),
    /// Leave an attempt: its session is released in the background.
    Leave(AttemptKey, Option<AttemptClaim>, Farewell),
}

/// Named as what is done, without what it is done with.
impl std::fmt::Debug for JobStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Run(_, command) => f.write_str(command.name()),
            Self::Write(JobVerdict::Claimed { .. }) => f.write_str("Claim"),
            Self::Write(JobVerdict::AttemptOver { .. }) => f.write_str("EndAttempt"),
            Self::Write(JobVerdict::Printed(_)) => f.write_str("Show"),
            Self::Write(_) => f.write_str("Finish"),
            Self::Leave(..) => f.write_str("Leave"),
        }
    }
}

/// Decides the next step of a job.
pub fn plan(job: &CommandJob, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let claim = last_claim(job);
    if is_finished(job) {
        let left = facts.attempts.iter().find(|(_, state)| !state.has_left);
        let step = left.map(|(key, _)| leave(job, *key, Farewell::Idle));
        return decided(step, Next::AwaitChange, JobVerdict::Unchanged);
    }
    if job.metadata.deletion_timestamp.is_some() {
        return end_deleted(job, claim.as_ref(), facts);
    }
    let is_over = |key: &AttemptKey| attempts(job).any(|it| it.number == key.number && !is_open(it));
    if let Some((key, _)) = facts.attempts.iter().find(|(key, it)| !it.has_left && is_over(key)) {
        return decided(
            Some(leave(job, *key, Farewell::Idle)),
            Next::Again,
            JobVerdict::Unchanged,
        );
    }
    let plan = match claim {
        None => go_on(job, facts, now),
        Some(claim) => pursue(job, &claim, facts, now),
    };
    let next = before_deadline(job, plan.next, now);
    Plan { next, ..plan }
}

/// Whether the job needs nothing of its target: its author wants that nothing begins, and nothing is under way.
pub fn begins_nothing(job: &CommandJob) -> bool {
    last_claim(job).is_none() && (job.spec.suspend || job.spec.cancel)
}

/// The attempt of which something may be running: the last one, unless it has ended or is void.
pub fn last_claim(job: &CommandJob) -> Option<AttemptClaim> {
    attempts(job).last().filter(|it| is_open(it)).map(AttemptClaim::of)
}

/// What is in the status of an attempt, if anything is.
pub fn claim_of(job: &CommandJob, key: AttemptKey) -> Option<AttemptClaim> {
    attempts(job).find(|it| it.number == key.number).map(AttemptClaim::of)
}

/// The attempt that follows those in the status, and those that were prepared and left: what releases their sessions may be
/// under way.
pub fn next_key(job: &CommandJob, known: &BTreeMap<AttemptKey, AttemptState>) -> AttemptKey {
    let left = known
        .iter()
        .filter(|(_, state)| state.has_left)
        .map(|(key, _)| key.number);
    let last = attempts(job).map(|it| it.number).chain(left).max();
    AttemptKey::of_number(last.unwrap_or(0) + 1)
}

/// Whether the job is to have a session now, for an attempt that is not in its status yet.
pub fn wants_session(job: &CommandJob, now: Timestamp) -> bool {
    let may_begin = !is_finished(job) && job.metadata.deletion_timestamp.is_none() && !begins_nothing(job);
    may_begin && next_attempt(job).is_none_or(|it| now >= it)
}

/// Whether the job has ended.
pub fn is_finished(job: &CommandJob) -> bool {
    let phase = job.status.as_ref().and_then(|it| it.phase);
    phase.is_some_and(Phase::is_terminal)
}

/// The attempts in the status, oldest first.
pub fn attempts(job: &CommandJob) -> impl DoubleEndedIterator<Item = &Attempt> {
    job.status.iter().flat_map(|it| &it.attempts)
}

fn is_open(attempt: &Attempt) -> bool {
    attempt.outcome.is_none() && attempt.reason.is_none()
}

/// A job that somebody's finalizer keeps: whatever it may be running is ended.
fn end_deleted(job: &CommandJob, claim: Option<&AttemptClaim>, facts: &JobFacts) -> Plan<JobStep, JobVerdict> {
    let known = facts.attempts.iter().find(|(_, state)| !state.has_left);
    let unknown = claim.map(|it| it.key).filter(|it| !facts.attempts.contains_key(it));
    let step = match (known, unknown, &facts.place) {
        (Some((key, _)), ..) => Some(leave(job, *key, Farewell::Abandoned)),
        (None, Some(key), Ok(_)) => Some(leave(job, key, Farewell::Abandoned)),
        (None, Some(_), Err(_)) => return decided(None, Next::Poll { after: None }, JobVerdict::Unchanged),
        (None, None, _) => None,
    };
    decided(step, Next::AwaitChange, JobVerdict::Unchanged)
}

/// Why the job wants whatever runs of it to end, and from when on.
fn stop(job: &CommandJob) -> Option<Stop> {
    let cancel = job.spec.cancel.then_some(Stop {
        reason: KillReason::Cancel,
        at: Timestamp::MIN,
    });
    let deadline = || {
        active_until(job).map(|at| Stop {
            reason: KillReason::Deadline,
            at,
        })
    };
    cancel.or_else(deadline)
}

fn is_to_stop(job: &CommandJob, now: Timestamp) -> Option<Stop> {
    stop(job).filter(|it| now >= it.at)
}

/// What is done next for a job of which no attempt is under way.
fn go_on(job: &CommandJob, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    if let Some(stop) = is_to_stop(job, now) {
        let (reason, fit) = (stop.reason, facts.fit);
        let write = JobStep::Write(JobVerdict::Stopped { reason, fit });
        return decided(Some(write), Next::AwaitChange, JobVerdict::Unchanged);
    }
    if job.spec.suspend {
        return match facts.attempts.iter().find(|(_, state)| !state.has_left) {
            Some((key, _)) => decided(
                Some(leave(job, *key, Farewell::Idle)),
                Next::Again,
                JobVerdict::Unchanged,
            ),
            None => decided(None, Next::AwaitChange, JobVerdict::Suspended),
        };
    }
    match next_attempt(job).filter(|it| now < *it) {
        Some(next) => {
            let verdict = JobVerdict::Waiting {
                why: backing_off(job, next),
                refused_since: None,
                position: None,
            };
            decided(None, Next::At(next), verdict)
        }
        None => begin(job, facts, now),
    }
}

/// A job that waits is looked at when its deadline comes.
fn before_deadline(job: &CommandJob, next: Next, now: Timestamp) -> Next {
    let Some(until) = active_until(job).filter(|it| now < *it) else {
        return next;
    };
    match next {
        Next::AwaitChange => Next::At(until),
        Next::At(then) => Next::At(then.min(until)),
        Next::Poll { .. } | Next::After(_) | Next::Resync(_) if until.duration_since(now) < DEADLINE_IS_NEAR => {
            Next::At(until.min(now + LOOK_NEAR_DEADLINE))
        }
        Next::Poll { .. } | Next::After(_) | Next::Resync(_) | Next::Again => next,
    }
}

fn begin(job: &CommandJob, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let key = next_key(job, &facts.attempts);
    let state = facts.attempt(job, key);
    if let Err(NotRunnable::NotItsTurn { position, .. }) = &facts.place {
        let why = facts.place.as_ref().err().map(NotRunnable::verdict);
        let verdict = why.map_or(JobVerdict::Unchanged, |why| JobVerdict::queued(why, *position, &state));
        // What was prepared in another pool is of no use in this one.
        return match state.place {
            Some(_) => decided(Some(leave(job, key, Farewell::Idle)), Next::Again, verdict),
            None => decided(None, Next::AwaitChange, verdict),
        };
    }
    let (place, contents) = match (&facts.place, &facts.contents) {
        (Ok(place), Ok(contents)) => (place, contents),
        // The pause ended since it was looked at.
        (Err(NotRunnable::NotYet), _) => return decided(None, Next::Again, JobVerdict::Unchanged),
        (Err(why), _) | (_, Err(why)) => {
            let verdict = JobVerdict::waiting(job, why.verdict(), &state);
            return if why.is_of_the_spec() {
                decided(None, LOOK_AT_INVALID, verdict)
            } else {
                wait(verdict)
            };
        }
    };
    let fresh = &facts.fresh;
    let around = Surroundings { place, contents, fresh };
    let step = match state.begin(key, around, &facts.limits, now) {
        BeforeClaim::Do(command) => JobStep::Run(key, command),
        BeforeClaim::Leave => leave(job, key, Farewell::Idle),
        BeforeClaim::Claim(preparation) => JobStep::Write(JobVerdict::Claimed {
            claim: AttemptClaim {
                key,
                ticket: preparation.ticket,
                at: now,
                session: facts.sessions.get(&key).cloned().unwrap_or_default(),
                secrets_digest: facts.secrets_digest.clone(),
                lent_account: facts.lent_account.clone(),
                slot: facts.lodging.slot.clone(),
            },
            session: JobSession {
                mode: facts.lodging.mode,
                reuse: i32::try_from(facts.lodging.reuse).unwrap_or(i32::MAX),
                allocated_time: whole_seconds(facts.lodging.allocated.unwrap_or(preparation.at)),
            },
            guest_of: facts.guest_of.clone(),
        }),
    };
    decided(Some(step), Next::Again, JobVerdict::Unchanged)
}

fn pursue(job: &CommandJob, claim: &AttemptClaim, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let state = facts.attempt(job, claim.key);
    if let Some(tail) = tail::to_show(job, &state) {
        let write = JobStep::Write(JobVerdict::Printed(tail));
        return decided(Some(write), Next::Again, JobVerdict::Running(None));
    }
    let around = Pursuit {
        claim,
        timeout: SignedDuration::from_secs(i64::from(job.spec.timeout_seconds)),
        session: facts.sessions.get(&claim.key).map(String::as_str).unwrap_or_default(),
        secrets_digest: facts.secrets_digest.as_deref(),
        is_reachable: facts.place.is_ok(),
        stop: stop(job),
        tail_within: tail::wanted_within(job, now),
    };
    match state.pursue(around, &facts.limits, now) {
        AfterClaim::Do(command) => {
            let step = JobStep::Run(claim.key, command);
            decided(Some(step), Next::Again, JobVerdict::Running(None))
        }
        AfterClaim::Wait(until) => decided(None, Next::At(until), JobVerdict::Running(None)),
        AfterClaim::Blocked => wait(JobVerdict::Running(
            facts.place.as_ref().err().map(NotRunnable::verdict),
        )),
        AfterClaim::End(ending) => end(job, ending, facts, now),
    }
}

fn end(job: &CommandJob, ending: Ending, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let fit = facts.fit;
    let verdict = match consequence(job, &ending, now) {
        Consequence::End(because) => JobVerdict::Ended { ending, because, fit },
        Consequence::Again { is_failure } => JobVerdict::AttemptOver {
            ending,
            is_failure,
            fit,
        },
    };
    decided(Some(JobStep::Write(verdict)), Next::Again, JobVerdict::Unchanged)
}

fn leave(job: &CommandJob, key: AttemptKey, farewell: Farewell) -> JobStep {
    JobStep::Leave(key, claim_of(job, key), farewell)
}

fn wait(verdict: JobVerdict) -> Plan<JobStep, JobVerdict> {
    decided(None, Next::Poll { after: None }, verdict)
}

fn decided(step: Option<JobStep>, next: Next, verdict: JobVerdict) -> Plan<JobStep, JobVerdict> {
    Plan { step, next, verdict }
}

#[cfg(test)]
mod tests;
