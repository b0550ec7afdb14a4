//! Where a job stands in the queue of a pool. Pure.

use std::cmp::Ordering;

use jiff::{SignedDuration, Timestamp};

use super::ledger::Ledger;
use super::line::{QueuePosition, Rank, WaitsFor};

/// From how many turns an estimate is made, at least.
const TURNS_FOR_AN_ESTIMATE: usize = 5;

impl Ledger {
    /// What a job is told of where it waits; `None` as long as that is not worth a write.
    pub fn told(&self, uid: &str) -> Option<QueuePosition> {
        let (namespace, rank) = self.ranks.get(uid)?;
        let line = &self.tenants.get(namespace)?.line;
        line.get(line.index(rank))?.told.map(|(told, _)| told)
    }

    /// What there is to tell a job of its position, from 1: how many turns it is away if nobody else comes.
    pub fn position(&self, namespace: &str, rank: &Rank, now: Timestamp) -> QueuePosition {
        let own = self.tenants.get(namespace);
        let index = own.map_or(0, |it| it.line.index(rank));
        let has = self.places.has(namespace);
        let level = has as usize + index;
        let order = own.map(|it| (it.served, namespace));
        let others = self.tenants.iter().filter(|(name, _)| &***name != namespace);
        let before: usize = others
            .map(|(name, other)| {
                let theirs = self.places.has(name);
                // As many of theirs come before as bring them to where this one then is; and one more where they came there
                // first.
                let is_first = match theirs.cmp(&has) {
                    Ordering::Less => false,
                    Ordering::Equal => Some((other.served, &**name)) < order,
                    Ordering::Greater => true,
                };
                let room = (level + usize::from(is_first)).saturating_sub(theirs as usize);
                other.line.len().min(room)
            })
            .sum();
        let position = u32::try_from(index + before + 1).unwrap_or(u32::MAX);
        let wish = own.and_then(|it| it.line.get(index)?.wish.as_ref());
        let waits_for = if wish.is_some_and(|it| it.is_exclusive() && self.places.is_busy(&it.tenancy)) {
            WaitsFor::Session
        } else if own.is_some_and(|it| self.is_at_share(namespace, it)) {
            WaitsFor::Share
        } else {
            WaitsFor::Place
        };
        QueuePosition {
            position,
            of: u32::try_from(self.ranks.len()).unwrap_or(u32::MAX).max(position),
            estimate: self.estimate(position, now),
            waits_for,
        }
    }

    /// When a position's turn comes if turns come as often as lately.
    fn estimate(&self, position: u32, now: Timestamp) -> Option<Timestamp> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        if self.recent.len() < TURNS_FOR_AN_ESTIMATE {
            return None;
        }
        let turns = i32::try_from(self.recent.len() - 1).ok()?;
        // That nothing has come for a while counts as well.
        let each = (last.duration_since(*first) / turns).max(now.duration_since(*last) / 2);
        let wait = each.checked_mul(i32::try_from(position).ok()?)?;
        let expected = now.checked_add(wait.max(SignedDuration::ZERO)).ok()?;
        Timestamp::from_second(expected.as_second()).ok()
    }
}
