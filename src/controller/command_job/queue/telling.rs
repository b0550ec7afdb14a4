//! Which of the jobs that wait are told where they stand. Pure.
//!
//! A write for each step forward of each job would be one for every pair of jobs. So the first ten positions are told when
//! they change, the others when they have halved, each job at most once in half a minute, and all jobs together a few times a
//! second; and a job that waits for less than a second is told nothing.

use jiff::{SignedDuration, Timestamp};

use super::ledger::Ledger;
use super::line::{QueuePosition, QueuedJob};
use crate::runtime::Key;

/// Positions up to this are told when they change.
const NEAR: u32 = 10;

/// How long a job waits before it is told so.
pub const FIRST_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// The shortest time from one telling of a job to the next.
pub const BETWEEN: SignedDuration = SignedDuration::from_secs(30);

/// How many jobs may be told, in one round.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// For the first time.
    pub first: usize,
    /// Of a new position.
    pub again: usize,
}

/// For each second.
pub const A_SECOND: Allowance = Allowance { first: 25, again: 10 };

/// What may be told in all, however many rounds there are.
#[derive(Debug, Default)]
pub struct Pacer(Option<Timestamp>);

impl Pacer {
    /// What may be told in a round that begins now.
    pub fn allowance(&mut self, now: Timestamp) -> Allowance {
        let second = SignedDuration::from_secs(1);
        if self.0.is_some_and(|last| now.duration_since(last).abs() < second) {
            return Allowance { first: 0, again: 0 };
        }
        self.0 = Some(now);
        A_SECOND
    }
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// Who is told, and what.
    pub tell: Vec<(String, Key, QueuePosition)>,
    /// Whether somebody has to be told later, even if nothing changes.
    pub is_more: bool,
}

/// Whom of those that wait to tell what.
pub fn round(ledger: &Ledger, allowance: &mut Allowance, now: Timestamp) -> Round {
    let mut round = Round::default();
    let mut due: Vec<(bool, QueuePosition, &str, &QueuedJob)> = Vec::new();
    for (namespace, waiting) in ledger.waiting() {
        let told = ledger.position(namespace, &waiting.rank, now);
        let since = match waiting.told {
            None => waiting.since + FIRST_AFTER,
            Some((before, at)) if is_news(before, told) => at + BETWEEN,
            Some(_) => continue,
        };
        if now < since {
            round.is_more = true;
        } else {
            due.push((waiting.told.is_none(), told, namespace, waiting));
        }
    }
    // Those who are served the soonest have the least time to be told in.
    due.sort_unstable_by_key(|(_, told, ..)| told.position);
    for (is_first, told, namespace, waiting) in due {
        let left = if is_first {
            &mut allowance.first
        } else {
            &mut allowance.again
        };
        if *left == 0 {
            round.is_more = true;
            continue;
        }
        *left -= 1;
        round.tell.push((
            waiting.rank.uid().to_string(),
            Key::new(namespace, waiting.rank.name()),
            told,
        ));
    }
    round
}

fn is_news(before: QueuePosition, now: QueuePosition) -> bool {
    let (told, position) = (before.position, now.position);
    let is_nearer = position != told && (position <= NEAR || position <= told / 2);
    is_nearer || before.waits_for != now.waits_for
}
