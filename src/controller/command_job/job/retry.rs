//! What the end of an attempt means for its job: whether another one follows, and when.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::{SignedDuration, Timestamp};

use super::plan::attempts;
use crate::api::command_job::{
    Attempt, AttemptReason, CommandJob, CommandResult, ExitCodeOperator, FailedOutcome, FailureAction, FailureRule,
    Outcome,
};
use crate::controller::command_job::attempt::Ending;

/// How many attempts in a row may be void before the job ends as one that could not be started.
pub const VOID_ATTEMPTS: usize = 10;

/// How many attempts in a row may end because their sessions could not prepare the command: what keeps the first three from
/// it is more likely in the command than in the sessions.
pub const UNPREPARED_ATTEMPTS: usize = 3;

/// How many attempts a job may have, whatever became of them. Each costs a session.
const MOST_ATTEMPTS: i32 = 1000;

/// The pause after the second attempt in a row in which nothing ran; it doubles with each further one.
const UNSTARTED_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// The pause after the first failed attempt; it doubles with each further one. As a Job's.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);

/// The longest pause after a failed attempt. As a Job's.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(6);

/// What the end of an attempt means for its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The job ends with it.
    End(Because),
    /// Another attempt follows.
    Again {
        /// Whether this one counts as a failed one.
        is_failure: bool,
    },
}

/// Why a job ends with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// That is how the command, or the job, was to end.
    OwnEnd,
    /// The job was active for longer than it may be.
    ActiveDeadline,
    /// The rule of this index says that such a failure fails the job.
    Rule(usize),
    /// As many attempts failed as may be followed by another one.
    BackoffLimit,
    /// It has had as many attempts as a job may have.
    MostAttempts,
}

impl Because {
    /// Whether the last attempt counts as a failed one.
    pub fn is_failure(self) -> bool {
        match self {
            Self::OwnEnd | Self::ActiveDeadline => false,
            Self::Rule(_) | Self::BackoffLimit | Self::MostAttempts => true,
        }
    }
}

/// What follows from the end of the last attempt in the status.
pub fn consequence(job: &CommandJob, ending: &Ending, now: Timestamp) -> Consequence {
    let in_a_row = |reason| {
        1 + unstarted(attempts(job).rev().skip(1))
            .filter(|it| it.reason == Some(reason))
            .count()
    };
    match ending {
        Ending::Void if in_a_row(AttemptReason::Void) >= VOID_ATTEMPTS => Consequence::End(Because::OwnEnd),
        Ending::Unprepared if in_a_row(AttemptReason::PreparationFailed) >= UNPREPARED_ATTEMPTS => {
            Consequence::End(Because::OwnEnd)
        }
        Ending::Void | Ending::Unprepared => Consequence::Again { is_failure: false },
        Ending::Known(result) => match (result.outcome, result.exit_code) {
            (Outcome::Exited, Some(0)) | (Outcome::Cancelled, _) => Consequence::End(Because::OwnEnd),
            (Outcome::TimedOut, _) if is_by_active_deadline(job, result, now) => {
                Consequence::End(Because::ActiveDeadline)
            }
            (outcome, exit_code) => after_failure(job, outcome, exit_code),
        },
        Ending::Lost(_) => after_failure(job, Outcome::Lost, None),
    }
}

fn after_failure(job: &CommandJob, outcome: Outcome, exit_code: Option<i32>) -> Consequence {
    let rules = job.spec.failure_policy.iter().flat_map(|it| &it.rules).enumerate();
    let mut matching = rules.filter(|(_, rule)| matches(rule, outcome, exit_code));
    let is_last = attempts(job).last().is_some_and(|it| it.number >= MOST_ATTEMPTS);
    match matching.next().map(|(index, rule)| (index, rule.action)) {
        Some((index, FailureAction::FailJob)) => Consequence::End(Because::Rule(index)),
        Some((_, FailureAction::Count)) | None if failed(job) >= job.spec.backoff_limit => {
            Consequence::End(Because::BackoffLimit)
        }
        _ if is_last => Consequence::End(Because::MostAttempts),
        Some((_, FailureAction::Ignore)) => Consequence::Again { is_failure: false },
        Some((_, FailureAction::Count)) | None => Consequence::Again { is_failure: true },
    }
}

/// Whether a rule is about an attempt that ended like this. An exit code counts only where the command chose it.
fn matches(rule: &FailureRule, outcome: Outcome, exit_code: Option<i32>) -> bool {
    if let Some(codes) = &rule.on_exit_codes {
        let Some(code) = exit_code.filter(|_| outcome == Outcome::Exited) else {
            return false;
        };
        return codes.values.contains(&code) == (codes.operator == ExitCodeOperator::In);
    }
    let of = match outcome {
        Outcome::Lost => FailedOutcome::Lost,
        Outcome::TimedOut => FailedOutcome::TimedOut,
        Outcome::Exited | Outcome::Cancelled => return false,
    };
    rule.on_outcome.as_ref().is_some_and(|it| it.values.contains(&of))
}

/// How many attempts have failed so far.
pub fn failed(job: &CommandJob) -> i32 {
    job.status.as_ref().and_then(|it| it.failed).unwrap_or(0)
}

/// When the job has been active for as long as it may be; `None` while nothing of it has begun.
pub fn active_until(job: &CommandJob) -> Option<Timestamp> {
    let seconds = job.spec.active_deadline_seconds?;
    let started = job.status.as_ref()?.start_time.as_ref()?.0;
    Some(
        started
            .checked_add(SignedDuration::from_secs(i64::from(seconds)))
            .unwrap_or(Timestamp::MAX),
    )
}

/// Whether a command was killed because of its job's deadline, and not of its own. It ran for a shorter time then.
fn is_by_active_deadline(job: &CommandJob, result: &CommandResult, now: Timestamp) -> bool {
    let ran_its_time = result
        .execution_time_in_milliseconds
        .is_some_and(|it| it >= i64::from(job.spec.timeout_seconds) * 1000);
    active_until(job).is_some_and(|it| now >= it) && !ran_its_time
}

/// When the attempt that follows those in the status may begin; `None` for the first one.
///
/// It follows from the status alone, and by chance only as far as the job's uid does, so that a restart changes nothing.
pub fn next_attempt(job: &CommandJob) -> Option<Timestamp> {
    let last = attempts(job).next_back()?;
    let pause = match last.outcome {
        Some(_) => pause_after_failure(job, last),
        None => pause_after_unstarted(job),
    };
    // Of one that is void and still open it is not to be known when it ended.
    let ended = last.completion_time.as_ref().unwrap_or(&last.start_time).0;
    Some(ended.checked_add(pause).unwrap_or(Timestamp::MAX))
}

fn pause_after_failure(job: &CommandJob, last: &Attempt) -> SignedDuration {
    let failures = attempts(job).filter(|it| it.outcome.is_some()).count();
    let pause = doubled(FIRST_PAUSE, failures.saturating_sub(1)).min(LONGEST_PAUSE);
    let mut hasher = DefaultHasher::new();
    (&job.metadata.uid, last.number).hash(&mut hasher);
    // Up to a fifth longer, so that jobs that failed together do not begin together.
    let fifths = i64::try_from(hasher.finish() % 1000).unwrap_or(0);
    pause + SignedDuration::from_millis(pause.as_secs() * fifths / 5)
}

/// At once after the first, later and later after those that follow: a session whose clock is wrong lets every start come too
/// late.
fn pause_after_unstarted(job: &CommandJob) -> SignedDuration {
    match unstarted(attempts(job).rev().skip(1)).count() {
        0 => SignedDuration::ZERO,
        earlier => doubled(UNSTARTED_PAUSE, earlier - 1),
    }
}

/// Those in a row of which it is certain that nothing ran.
fn unstarted<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> impl Iterator<Item = &'a Attempt> {
    attempts.take_while(|it| {
        it.outcome.is_none() && matches!(it.reason, Some(AttemptReason::Void | AttemptReason::PreparationFailed))
    })
}

fn doubled(pause: SignedDuration, times: usize) -> SignedDuration {
    pause * 2_i32.pow(u32::try_from(times).unwrap_or(10).min(10))
}

#[cfg(test)]
mod tests;
