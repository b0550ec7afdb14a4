//! What is done next for a job. Pure: no I/O, and the clock is an argument.
//!
//! The order is what the promise of at most one start rests on: *prepare* (uploads, which start nothing), *claim* (the
//! attempt enters the status), *call* (the session starts the command unless it already has). Nothing is prepared for an
//! attempt that is claimed, and nothing is called for one that is not.

use jiff::{SignedDuration, Timestamp};

use super::capture::without_output;
use super::conversation::{Conversation, Heard, UNREADABLE_ANSWERS};
use super::observe::{NotReady, Observed};
use crate::api::command_job::{Attempt, AttemptReason, CommandJob, CommandResult};
use crate::runtime::{Next, Plan};

/// How long after its claim an attempt may still be started. Later the session refuses for good.
pub const START_BY: SignedDuration = SignedDuration::from_secs(120);

/// How long an attempt that cannot be reached is asked for after the latest moment at which it can have ended: the
/// longest cooldown that Azure allows, after which no session is left that could answer.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_secs(3600);

/// Seconds between TERM and KILL when a command is killed.
pub const GRACE_SECONDS: u32 = 10;

/// How old a preparation may be when it is claimed. A session whose cooldown passed would have lost the ticket.
const PREPARED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How often what a command printed is looked for in its session before the job ends without it.
const LOOKS_FOR_OUTPUT: u32 = 3;

/// How many attempts may be void in a row before the job ends as one that could not be started.
const VOID_ATTEMPTS: usize = 10;

/// The pause after the second void attempt in a row; it doubles with each further one.
const VOID_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// One effect, with every choice made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Upload what the attempt needs into its session. Starts nothing; may be repeated.
    Prepare {
        /// Number of the attempt.
        attempt: i32,
    },
    /// Write the attempt into the status, over exactly the version of the object that was planned for.
    Claim {
        /// Number of the attempt.
        attempt: i32,
    },
    /// Ask the session to start the command unless that has happened, and to wait for its end.
    Call {
        /// Number of the attempt.
        attempt: i32,
        /// The latest moment of a start, by the operator's clock.
        start_by: Timestamp,
    },
    /// Ask the session's files how the attempt ended, because its answers keep getting lost.
    ReadEnd {
        /// Number of the attempt.
        attempt: i32,
    },
    /// Read what the command printed.
    Collect {
        /// Number of the attempt.
        attempt: i32,
    },
    /// Write the end of the job into the status.
    Finish(Verdict),
    /// The job is being deleted: kill its command and release its session.
    Discard {
        /// Number of the attempt.
        attempt: i32,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command's end is known.
    Known(Box<CommandResult>),
    /// It cannot be known.
    Lost(AttemptReason),
    /// The command was never started, because it could not be prepared in the session.
    Unprepared,
}

/// Decides the next step of a job.
pub fn plan(job: &CommandJob, observed: &Observed, now: Timestamp) -> Plan<Step> {
    let status = job.status.as_ref();
    if status.and_then(|it| it.phase).is_some_and(|it| it.is_terminal()) {
        return Plan::rest(Next::AwaitChange);
    }
    let live = status.and_then(|it| live_attempt(&it.attempts));
    if job.metadata.deletion_timestamp.is_some() {
        return match live {
            Some(attempt) if !observed.conversation.discarded => Plan::step(
                Step::Discard {
                    attempt: attempt.number,
                },
                Next::AwaitChange,
            ),
            _ => Plan::rest(Next::AwaitChange),
        };
    }
    match live {
        None => start(next_number(job).max(observed.conversation.spoilt + 1), observed, now),
        Some(attempt) => go_on(job, attempt, observed, now),
    }
}

/// The attempt of which something may be running: the last one, unless it has ended or is void.
pub fn live_attempt(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts.last().filter(|it| it.outcome.is_none() && it.reason.is_none())
}

/// The number of the attempt that follows those in the status.
pub fn next_number(job: &CommandJob) -> i32 {
    job.status
        .iter()
        .flat_map(|it| &it.attempts)
        .map(|it| it.number)
        .max()
        .unwrap_or(0)
        + 1
}

fn start(number: i32, observed: &Observed, now: Timestamp) -> Plan<Step> {
    if let Err(not_ready) = &observed.ready {
        return Plan::rest(wait(not_ready));
    }
    let is_prepared = observed.conversation.prepared.as_ref().is_some_and(|it| {
        it.attempt == number
            && now.duration_since(it.at) < PREPARED_FOR
            && observed.fingerprint.as_deref() == Some(it.fingerprint.as_str())
    });
    if is_prepared {
        Plan::step(Step::Claim { attempt: number }, Next::Again)
    } else {
        Plan::step(Step::Prepare { attempt: number }, Next::Again)
    }
}

fn go_on(job: &CommandJob, attempt: &Attempt, observed: &Observed, now: Timestamp) -> Plan<Step> {
    let finish = |verdict| Plan::step(Step::Finish(verdict), Next::AwaitChange);
    if observed.digest.as_deref() != Some(attempt.session.as_str()) {
        // The operator's key is not the one that this attempt was claimed with, so its session cannot be found again.
        return finish(Verdict::Lost(AttemptReason::SessionReplaced));
    }
    let number = attempt.number;
    let given_up = now > given_up_at(job, attempt);
    match observed.conversation.heard_of(number) {
        Some(Heard::Collected(result)) => finish(Verdict::Known(result.clone())),
        Some(Heard::Ended(look)) if given_up || observed.conversation.missing_output >= LOOKS_FOR_OUTPUT => {
            finish(Verdict::Known(Box::new(without_output(look))))
        }
        Some(Heard::Ended(_)) => Plan::step(Step::Collect { attempt: number }, Next::Again),
        Some(Heard::Unprepared) => finish(Verdict::Unprepared),
        Some(Heard::Replaced) => finish(Verdict::Lost(AttemptReason::SessionReplaced)),
        Some(Heard::Died) => finish(Verdict::Lost(AttemptReason::RunnerDied)),
        Some(Heard::PoolGone) => finish(Verdict::Lost(AttemptReason::Unreachable)),
        Some(Heard::Void) => after_void(job, attempt, observed, now),
        Some(Heard::Running | Heard::NotBegun | Heard::Nothing) | None if given_up => {
            finish(Verdict::Lost(AttemptReason::Unreachable))
        }
        Some(Heard::Running | Heard::NotBegun | Heard::Nothing) | None => match &observed.reachable {
            Err(not_ready) => Plan::rest(wait(not_ready)),
            Ok(()) if observed.conversation.unreadable >= UNREADABLE_ANSWERS => {
                Plan::step(Step::ReadEnd { attempt: number }, Next::Again)
            }
            Ok(()) => Plan::step(
                Step::Call {
                    attempt: number,
                    start_by: attempt.start_time.0 + START_BY,
                },
                Next::Again,
            ),
        },
    }
}

/// Another attempt takes the place of a void one: at once after the first, later and later after those that follow, and
/// not for ever, because a session whose clock is wrong lets every start come too late.
fn after_void(job: &CommandJob, attempt: &Attempt, observed: &Observed, now: Timestamp) -> Plan<Step> {
    let attempts = job.status.iter().flat_map(|it| &it.attempts).rev().skip(1);
    let earlier = attempts.take_while(|it| it.reason == Some(AttemptReason::Void)).count();
    if earlier + 1 >= VOID_ATTEMPTS {
        return Plan::step(Step::Finish(Verdict::Unprepared), Next::AwaitChange);
    }
    let doublings = u32::try_from(earlier).unwrap_or(0);
    let pause = if earlier == 0 {
        SignedDuration::ZERO
    } else {
        VOID_PAUSE * 2_i32.pow(doublings - 1)
    };
    let next = attempt.start_time.0 + pause;
    if now < next {
        return Plan::rest(Next::At(next));
    }
    start(
        (attempt.number + 1).max(observed.conversation.spoilt + 1),
        observed,
        now,
    )
}

/// When nothing more can come of an attempt: its latest start, its deadline, the grace, and the time for which a session
/// can outlive them.
fn given_up_at(job: &CommandJob, attempt: &Attempt) -> Timestamp {
    let running = SignedDuration::from_secs(i64::from(job.spec.timeout_seconds) + i64::from(GRACE_SECONDS));
    attempt.start_time.0 + START_BY + running + GIVE_UP_AFTER
}

fn wait(not_ready: &NotReady) -> Next {
    Next::Poll {
        after: not_ready.retry_after,
    }
}

/// Whether what the conversation knows is of a live attempt of this job.
pub fn is_under_way(job: &CommandJob, conversation: &Conversation) -> bool {
    job.status
        .as_ref()
        .and_then(|it| live_attempt(&it.attempts))
        .is_some_and(|attempt| !matches!(conversation.heard_of(attempt.number), Some(Heard::Void)))
}

#[cfg(test)]
mod tests;
