//! What is done for an attempt of which nothing is wanted any more.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::emptying::Parting;
use super::next::later;
use super::{AttemptClaim, AttemptKey, AttemptState, Command, KeptFor, Limits, Slot};
use crate::controller::command_job::runner::{Baseline, KillReason};

/// Why an attempt is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// Nothing of it runs any more, or ever will.
    Idle,
    /// Its job was deleted: the command is killed, and the session ends with everything in it.
    Abandoned,
}

/// What is done next for an attempt of which nothing is wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterEnd {
    /// Have the executor do this.
    Do(Command),
    /// Nothing before then.
    Wait(Timestamp),
    /// Let another command have its session; of one that is emptied, what it was before its first command. Where that is refused,
    /// [`AttemptState::on_refused_keeping`].
    Keep(Option<Baseline>),
    /// Nothing any more: its session is released, or left to its own end.
    Rest,
}

impl AttemptState {
    /// For an attempt of which nothing is wanted any more. `claim` is what is in the status of it, if anything is; `slot` names its
    /// session, if that is kept for other commands.
    ///
    /// A session is not released while a start that was never answered may still arrive: it would allocate another one,
    /// which nobody releases. Where an abandoned command is seen to have ended, its start has arrived.
    pub fn leave(
        &self,
        key: AttemptKey,
        claim: Option<&AttemptClaim>,
        slot: Option<&Slot>,
        farewell: Farewell,
        limits: &Limits,
        now: Timestamp,
    ) -> AfterEnd {
        if self.is_released || self.failed_releases > limits.release_pauses.len() {
            return AfterEnd::Rest;
        }
        let is_shared = slot.is_some_and(|it| it.tenancy.kept_for == KeptFor::OneKey);
        let parting = match farewell {
            _ if self.failed_releases > 0 => Parting::Release,
            Farewell::Idle => self.parting(slot, claim.is_some()),
            // The files of others are in it.
            Farewell::Abandoned if is_shared => self.parting(slot, claim.is_some()),
            Farewell::Abandoned => Parting::Release,
        };
        match (parting, claim) {
            (Parting::Keep(baseline), _) => return AfterEnd::Keep(baseline),
            (Parting::Empty(baseline), Some(claim)) => {
                let claim = claim.clone();
                return AfterEnd::Do(Command::Empty { claim, baseline });
            }
            (Parting::Empty(_), None) | (Parting::Release, _) => {}
        }
        if let Some(claim) = claim {
            let arrived = later(claim.at, limits.start_within + SignedDuration::from_secs(1));
            let may_start = self.may_still_start() && now < arrived;
            match farewell {
                Farewell::Idle if may_start => return AfterEnd::Wait(arrived),
                Farewell::Abandoned if self.finding.is_final() => {}
                Farewell::Abandoned if may_start || (is_shared && !self.is_past_ending(limits, now)) => {
                    return self.end_abandoned(claim, limits, now);
                }
                Farewell::Idle | Farewell::Abandoned => {}
            }
        }
        self.after(self.pause_for_release(limits), now)
            .map_or(AfterEnd::Do(Command::Release { key }), AfterEnd::Wait)
    }

    /// Whether the command was told to end long ago.
    fn is_past_ending(&self, limits: &Limits, now: Timestamp) -> bool {
        let grace = SignedDuration::from_secs(i64::from(limits.grace_seconds));
        self.told
            .is_some_and(|it| now > later(it.first, grace + limits.overdue_after))
    }

    /// Has the command of a deleted job end, or never begin, and looks until it has.
    fn end_abandoned(&self, claim: &AttemptClaim, limits: &Limits, now: Timestamp) -> AfterEnd {
        if !self.is_cancelled {
            return AfterEnd::Do(Command::Cancel {
                claim: claim.clone(),
                reason: KillReason::Delete,
                grace_seconds: limits.grace_seconds,
            });
        }
        if let Some(next) = self.after(limits.between_checks, now) {
            return AfterEnd::Wait(next);
        }
        AfterEnd::Do(Command::Poll {
            claim: claim.clone(),
            window: Duration::from_secs(u64::from(limits.grace_seconds) + 2),
            with_tail: false,
            empties: None,
        })
    }

    /// Nobody wants its session.
    pub fn on_refused_keeping(&mut self) {
        self.is_unwanted = true;
    }
}
