//! What is done next for an attempt.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{AttemptKey, AttemptState, Command, Finding, KeptFor, Limits, Preparation, Slot, Ticket};
use crate::api::command_job::{Attempt, AttemptReason, CommandResult};
use crate::controller::command_job::output::{ended_with_session, without_output};
use crate::controller::command_job::runner::KillReason;

/// An attempt that is in the job's status: from there on it may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptClaim {
    /// The attempt.
    pub key: AttemptKey,
    /// What a start must find in the session.
    pub ticket: Ticket,
    /// When it was claimed.
    pub at: Timestamp,
    /// The digest of its session's identifier.
    pub session: String,
    /// A keyed digest of the secret values that it was given.
    pub secrets_digest: Option<String>,
    /// Names the account that it runs as, if that is one that the pool lends.
    pub lent_account: Option<String>,
    /// Names its session, if that is kept for other commands.
    pub slot: Option<Slot>,
}

impl AttemptClaim {
    /// The claim that an attempt in a status is.
    pub fn of(attempt: &Attempt) -> Self {
        Self {
            key: AttemptKey::of_number(attempt.number),
            ticket: Ticket(attempt.ticket.clone()),
            at: attempt.start_time.0,
            session: attempt.session.clone(),
            secrets_digest: attempt.secrets_digest.clone(),
            lent_account: attempt.lent_account.clone(),
            slot: attempt.slot.as_ref().and_then(|it| it.parse().ok()),
        }
    }
}

/// What a new attempt would be.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Where its files would lie.
    pub place: &'a str,
    /// What would be put where, as a keyed digest.
    pub contents: &'a str,
    /// A ticket that no preparation has had yet.
    pub fresh: &'a Ticket,
}

/// What there is to know of the world around an attempt that is claimed.
#[derive(Clone, Copy, Debug)]
pub struct Pursuit<'a> {
    /// The claim.
    pub claim: &'a AttemptClaim,
    /// How long the command may run.
    pub timeout: SignedDuration,
    /// The digest of the attempt's session, as it is derived now.
    pub session: &'a str,
    /// The digest of the secret values that are at hand.
    pub secrets_digest: Option<&'a str>,
    /// Whether the session can be asked.
    pub is_reachable: bool,
    /// When and why the job wants the command to end, if it does.
    pub stop: Option<Stop>,
    /// How soon what the command printed last is wanted, if it is.
    pub tail_within: Option<Duration>,
}

impl Pursuit<'_> {
    /// Whether the values are known that must not show in what the command prints.
    fn is_maskable(&self) -> bool {
        let given = self.claim.secrets_digest.as_deref();
        given.is_none() || given == self.secrets_digest
    }
}

/// A wish of the job that its command ends, whatever the command is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: KillReason,
    /// From then on; until then it may run.
    pub at: Timestamp,
}

/// What is done next for an attempt that is not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeforeClaim {
    /// Have the executor do this.
    Do(Command),
    /// Write the attempt, with this preparation, into the job's status.
    Claim(Preparation),
    /// Leave what was put elsewhere. Nothing was started there, and that target is no longer the job's.
    Leave,
}

/// What is done next for an attempt that is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "there is one for a moment, and nowhere many")]
pub enum AfterClaim {
    /// Have the executor do this.
    Do(Command),
    /// Nothing before then.
    Wait(Timestamp),
    /// Nothing, until the target can be reached.
    Blocked,
    /// It has come to its end.
    End(Ending),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The command's end is known.
    Known(Box<CommandResult>),
    /// It cannot be known.
    Lost(AttemptReason),
    /// The command was never started, because it could not be prepared in the session.
    Unprepared,
    /// The start came too late. Nothing ran nor ever will, so another attempt can take its place, unless too many of them did.
    Void,
}

impl AttemptState {
    /// For an attempt that is not claimed.
    pub fn begin(&self, key: AttemptKey, around: Surroundings<'_>, limits: &Limits, now: Timestamp) -> BeforeClaim {
        if self.place.as_deref().is_some_and(|it| it != around.place) {
            return BeforeClaim::Leave;
        }
        let usable =
            |it: &&Preparation| now.duration_since(it.at) < limits.preparation_lasts && it.contents == around.contents;
        match self.preparation.as_ref().filter(usable) {
            Some(preparation) => BeforeClaim::Claim(preparation.clone()),
            None => BeforeClaim::Do(Command::Prepare {
                key,
                ticket: around.fresh.clone(),
            }),
        }
    }

    /// For an attempt that is claimed.
    pub fn pursue(&self, around: Pursuit<'_>, limits: &Limits, now: Timestamp) -> AfterClaim {
        let claim = around.claim;
        if around.session != claim.session {
            // The operator's key is not the one that this attempt was claimed with, so its session cannot be found again.
            return AfterClaim::End(Ending::Lost(AttemptReason::KeyReplaced));
        }
        let is_given_up = now > given_up_at(claim, around.timeout, limits) || self.is_out_of_hearing(limits, now);
        match &self.finding {
            Finding::Collected(result) => AfterClaim::End(Ending::Known(result.clone())),
            Finding::Ended(report) => {
                if !around.is_maskable() || is_given_up || self.looks_for_output >= limits.looks_for_output {
                    return AfterClaim::End(Ending::Known(Box::new(without_output(report))));
                }
                let (claim, report) = (claim.clone(), report.clone());
                self.ask(
                    Command::Collect { claim, report },
                    around,
                    self.pause_for_output(limits),
                    now,
                )
            }
            Finding::Unprepared => AfterClaim::End(Ending::Unprepared),
            Finding::Void => AfterClaim::End(Ending::Void),
            Finding::Replaced => AfterClaim::End(Ending::Lost(AttemptReason::SessionReplaced)),
            Finding::Removed => AfterClaim::End(Ending::Lost(AttemptReason::FilesRemoved)),
            Finding::Died => AfterClaim::End(Ending::Lost(AttemptReason::RunnerDied)),
            Finding::Gone => AfterClaim::End(Ending::Lost(AttemptReason::PoolDeleted)),
            Finding::Running if self.is_released && self.is_deaf => {
                let reason = self.told.map_or(KillReason::Timeout, |it| it.reason);
                AfterClaim::End(Ending::Known(Box::new(ended_with_session(reason))))
            }
            Finding::Running if self.is_released => AfterClaim::End(Ending::Lost(AttemptReason::SessionUnresponsive)),
            Finding::Running | Finding::NotBegun | Finding::Nothing if is_given_up => {
                AfterClaim::End(Ending::Lost(AttemptReason::Unreachable))
            }
            Finding::Running | Finding::NotBegun | Finding::Nothing => {
                let claim = claim.clone();
                if self.unreadable >= limits.unreadable_answers {
                    return self.ask(Command::ReadEnd { claim }, around, SignedDuration::ZERO, now);
                }
                let is_to_stop = around.stop.is_some_and(|it| now >= it.at);
                let command = match around.stop.filter(|_| is_to_stop) {
                    Some(stop) => self.stopping(&claim, stop.reason, limits, now),
                    None if self.finding == Finding::Running => self.overdue(&claim, around.timeout, limits, now),
                    None => None,
                };
                if let Some(command) = command {
                    return self.ask(command, around, self.pause_for_release(limits), now);
                }
                let tail_within = around.tail_within.filter(|_| around.is_maskable());
                let window = window(around.stop, limits, now);
                let window = tail_within.map_or(window, |it| it.min(window));
                let with_tail = tail_within.is_some();
                // A start of which nothing was heard yet need not be sent again only to see what became of it.
                let may_have_begun = is_to_stop && self.finding == Finding::Nothing && self.may_still_start();
                if self.finding == Finding::Running || may_have_begun {
                    let poll = Command::Poll {
                        claim,
                        window,
                        with_tail,
                        empties: self.emptying.by_poll(),
                    };
                    return self.ask(poll, around, limits.between_calls, now);
                }
                let start_by = later(claim.at, limits.start_within);
                let is_reused = claim
                    .slot
                    .as_ref()
                    .is_some_and(|it| it.tenancy.kept_for == KeptFor::AnyCommand);
                // Nobody but who has prepared it can have sent a start.
                let is_own = self.preparation.as_ref().is_some_and(|it| it.ticket == claim.ticket);
                let empties = is_reused && is_own && self.emptying.by_start();
                let start = Command::Start {
                    claim,
                    start_by,
                    window,
                    with_tail,
                    empties,
                };
                self.ask(start, around, SignedDuration::ZERO, now)
            }
        }
    }

    fn ask(&self, command: Command, around: Pursuit<'_>, pause: SignedDuration, now: Timestamp) -> AfterClaim {
        if !around.is_reachable {
            return AfterClaim::Blocked;
        }
        self.after(pause, now).map_or(AfterClaim::Do(command), AfterClaim::Wait)
    }

    /// What ends a command that runs although its runner should have ended it long ago: it may have stopped or killed what watches
    /// over it. First it is told to end; one that goes on all the same ends with its session.
    fn overdue(
        &self,
        claim: &AttemptClaim,
        timeout: SignedDuration,
        limits: &Limits,
        now: Timestamp,
    ) -> Option<Command> {
        let grace = SignedDuration::from_secs(i64::from(limits.grace_seconds));
        let overdue = claim.at + limits.start_within + timeout + grace + limits.overdue_after;
        if now > overdue && !self.is_cancelled {
            return Some(Command::Cancel {
                claim: claim.clone(),
                reason: KillReason::Timeout,
                grace_seconds: limits.grace_seconds,
            });
        }
        let is_deaf = self.is_deaf && now > overdue + grace + limits.overdue_after;
        // It takes files and answers no call: the command keeps it from answering.
        let is_mute = self.unheard >= limits.unheard_calls && now > overdue + grace + limits.mute_after;
        ((is_deaf || is_mute) && self.may_be_released(limits)).then_some(Command::Release { key: claim.key })
    }

    /// What ends a command that its job wants to end. It is told until its session took that, and ends with its session if it
    /// goes on all the same. One that has not begun is told as well: its start then finds that it must not begin.
    fn stopping(&self, claim: &AttemptClaim, reason: KillReason, limits: &Limits, now: Timestamp) -> Option<Command> {
        let told = self.told.filter(|_| self.is_cancelled);
        let is_to_be_told = told.is_none_or(|told| !self.takes_files && now >= later(told.last, limits.between_checks));
        let grace = SignedDuration::from_secs(i64::from(limits.grace_seconds));
        let is_over = |since: Timestamp, pause| now > later(since, grace + pause);
        let is_spent = told.is_some_and(|told| {
            let heard = self.takes_files;
            (self.is_deaf && heard && is_over(told.last, limits.overdue_after))
                || (self.is_deaf && is_over(told.first, limits.mute_after))
                || (self.unheard >= limits.unheard_calls && is_over(told.last, limits.mute_after))
        });
        if is_spent && self.finding == Finding::Running && self.may_be_released(limits) {
            return Some(Command::Release { key: claim.key });
        }
        is_to_be_told.then(|| Command::Cancel {
            claim: claim.clone(),
            reason,
            grace_seconds: limits.grace_seconds,
        })
    }

    /// Whether the command was told to end for so long that no session is left that did not hear it.
    fn is_out_of_hearing(&self, limits: &Limits, now: Timestamp) -> bool {
        let grace = SignedDuration::from_secs(i64::from(limits.grace_seconds));
        let told = self.told.map(|it| later(it.first, grace + limits.session_outlives));
        told.is_some_and(|it| now > it)
    }

    fn may_be_released(&self, limits: &Limits) -> bool {
        self.failed_releases <= limits.release_pauses.len()
    }

    pub(super) fn pause_for_release(&self, limits: &Limits) -> SignedDuration {
        match self.failed_releases {
            0 => SignedDuration::ZERO,
            failed => limits.release_pauses[failed - 1],
        }
    }

    fn pause_for_output(&self, limits: &Limits) -> SignedDuration {
        if self.looks_for_output > 0 {
            limits.between_looks
        } else {
            SignedDuration::ZERO
        }
    }

    /// When a pause after the last command is over, if it is not.
    pub(super) fn after(&self, pause: SignedDuration, now: Timestamp) -> Option<Timestamp> {
        let over = later(self.issued_at?, pause);
        (now < over).then_some(over)
    }
}

/// How long a call may wait: not beyond the moment at which the command is to be told to end, and then only for as long as
/// that takes.
fn window(stop: Option<Stop>, limits: &Limits, now: Timestamp) -> Duration {
    let grace = Duration::from_secs(u64::from(limits.grace_seconds) + 2);
    let most = stop.map_or(Duration::MAX, |stop| {
        match Duration::try_from(stop.at.duration_since(now)) {
            Ok(left) if !left.is_zero() => left,
            _ => grace,
        }
    });
    limits.window.min(most).max(Duration::from_secs(1))
}

/// When nothing more can come of an attempt: its latest start, its deadline, the grace, and the time for which a session
/// can outlive them.
fn given_up_at(claim: &AttemptClaim, timeout: SignedDuration, limits: &Limits) -> Timestamp {
    let grace = SignedDuration::from_secs(i64::from(limits.grace_seconds));
    later(
        claim.at,
        limits.start_within + timeout + grace + limits.session_outlives,
    )
}

/// A claim's time is from a status, which may say anything.
pub(super) fn later(time: Timestamp, pause: SignedDuration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}
