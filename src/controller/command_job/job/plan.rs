//! What is done next for a job. Pure: no I/O, and the clock is an argument.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::facts::JobFacts;
use super::not_runnable::NotRunnable;
use super::status::JobVerdict;
use super::tail;
use crate::api::command_job::{Attempt, AttemptReason, CommandJob, Phase};
use crate::controller::command_job::attempt::{
    AfterClaim, AttemptClaim, AttemptKey, BeforeClaim, Command, Ending, Farewell, Pursuit, Surroundings,
};
use crate::runtime::{Next, Plan};

/// How many attempts may be void in a row before the job ends as one that could not be started.
pub const VOID_ATTEMPTS: usize = 10;

/// The pause after the second void attempt in a row; it doubles with each further one.
const VOID_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// When a job is looked at again that cannot be run as it is written, although nothing of it changed: what makes it so may
/// come from a Secret, which is not watched.
const LOOK_AT_INVALID: Next = Next::After(Duration::from_mins(1));

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
    match claim {
        None => begin(job, facts, now),
        Some(claim) => pursue(job, &claim, facts, now),
    }
}

/// The attempt of which something may be running: the last one, unless it has ended or is void.
pub fn last_claim(job: &CommandJob) -> Option<AttemptClaim> {
    attempts(job).last().filter(|it| is_open(it)).map(AttemptClaim::of)
}

/// What is in the status of an attempt, if anything is.
pub fn claim_of(job: &CommandJob, key: AttemptKey) -> Option<AttemptClaim> {
    attempts(job).find(|it| it.number == key.number).map(AttemptClaim::of)
}

/// The attempt that follows those in the status.
pub fn next_key(job: &CommandJob) -> AttemptKey {
    AttemptKey::of_number(attempts(job).map(|it| it.number).max().unwrap_or(0) + 1)
}

/// Whether the job has ended.
pub fn is_finished(job: &CommandJob) -> bool {
    let phase = job.status.as_ref().and_then(|it| it.phase);
    phase.is_some_and(Phase::is_terminal)
}

fn attempts(job: &CommandJob) -> impl DoubleEndedIterator<Item = &Attempt> {
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

fn begin(job: &CommandJob, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let key = next_key(job);
    let state = facts.attempt(job, key);
    let (place, contents) = match (&facts.place, &facts.contents) {
        (Ok(place), Ok(contents)) => (place, contents),
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
        AfterClaim::End(Ending::Void) => after_void(job, claim, facts, now),
        AfterClaim::End(ending) => end(ending, facts),
    }
}

/// Another attempt takes the place of a void one: at once after the first, later and later after those that follow, and
/// not for ever, because a session whose clock is wrong lets every start come too late.
fn after_void(job: &CommandJob, claim: &AttemptClaim, facts: &JobFacts, now: Timestamp) -> Plan<JobStep, JobVerdict> {
    let earlier = attempts(job).rev().skip(1);
    let earlier = earlier.take_while(|it| it.reason == Some(AttemptReason::Void)).count();
    if earlier + 1 >= VOID_ATTEMPTS {
        return end(Ending::Void, facts);
    }
    let pause = match u32::try_from(earlier).unwrap_or(0) {
        0 => SignedDuration::ZERO,
        earlier => VOID_PAUSE * 2_i32.pow(earlier - 1),
    };
    let next = claim.at.checked_add(pause).unwrap_or(Timestamp::MAX);
    if now < next {
        return decided(None, Next::At(next), JobVerdict::Running(None));
    }
    begin(job, facts, now)
}

fn end(ending: Ending, facts: &JobFacts) -> Plan<JobStep, JobVerdict> {
    let fit = facts.fit;
    let write = JobStep::Write(JobVerdict::Ended { ending, fit });
    decided(Some(write), Next::AwaitChange, JobVerdict::Unchanged)
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
