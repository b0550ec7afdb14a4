//! The journal of allocations: every session that there was, what it cost, and how many there were at a time.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::journal::CAPACITY;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Ending {
    /// A client deleted it.
    Deleted,
    /// No request came for the pool's cooldown.
    CooledDown,
    /// It was as old as its pool lets sessions become.
    MaximumAge,
    /// What runs in its container exited, in a pool whose sessions live until then.
    ContainerExited,
    /// Its container ended by itself, or the control API ended it.
    Crashed,
    /// The control API put another one in its place.
    Replaced,
    /// Its pool was deleted.
    PoolDeleted,
    /// There never was a container.
    NeverStarted,
}

/// One session, from its allocation to its end.
#[derive(Debug, Clone)]
pub(super) struct Allocation {
    pub(super) pool: String,
    pub(super) identifier: String,
    pub(super) etag: Uuid,
    pub(super) allocated_at: Timestamp,
    pub(super) ended: Option<(Ending, Timestamp)>,
    pub(super) executions: u64,
}

/// The sessions that have ended, and the requests that got none.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    ended: VecDeque<Allocation>,
    forgotten: u64,
    refused: BTreeMap<String, u64>,
}

/// What all sessions of a pool come to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    allocated: u64,
    executions: u64,
    billed_hours: i64,
    live: u64,
    peak: u64,
    refused: u64,
}

impl Allocations {
    /// Adds a session that has ended. Of more than [`CAPACITY`] the oldest are forgotten.
    pub(super) fn end(&mut self, allocation: Allocation) {
        if self.ended.len() >= CAPACITY {
            self.ended.pop_front();
            self.forgotten += 1;
        }
        self.ended.push_back(allocation);
    }

    /// Counts a request for which its pool had no session left.
    pub(super) fn refuse(&mut self, pool: &str) {
        *self.refused.entry(pool.to_owned()).or_default() += 1;
    }

    /// What is known of these pools' sessions; `live` are those that have not ended.
    pub(super) fn report(&self, live: Vec<Allocation>, now: Timestamp, is_meant: impl Fn(&str) -> bool) -> Value {
        let mut sessions: Vec<Allocation> = self.ended.iter().cloned().chain(live).collect();
        sessions.retain(|session| is_meant(&session.pool));
        sessions.sort_by_key(|session| session.allocated_at);
        let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
        for session in &sessions {
            let total = totals.entry(&session.pool).or_default();
            total.allocated += 1;
            total.executions += session.executions;
            total.billed_hours += session.billed_hours(now);
            total.live += u64::from(session.ended.is_none());
        }
        for (pool, refused) in self.refused.iter().filter(|(pool, _)| is_meant(pool)) {
            totals.entry(pool).or_default().refused = *refused;
        }
        let pools: Vec<Value> = totals
            .into_iter()
            .map(|(pool, mut total)| {
                total.peak = peak(sessions.iter().filter(|session| session.pool == pool));
                let mut total = json!(total);
                total["pool"] = pool.into();
                total
            })
            .collect();
        let sessions: Vec<Value> = sessions.iter().map(|session| session.describe(now)).collect();
        json!({ "sessions": sessions, "pools": pools, "forgotten": self.forgotten })
    }
}

impl Allocation {
    /// Each session is billed from its allocation to its end, every hour that was started.
    fn billed_hours(&self, now: Timestamp) -> i64 {
        let until = match self.ended {
            Some((Ending::NeverStarted, _)) => return 0,
            Some((_, at)) => at,
            None => now,
        };
        let hours = until.duration_since(self.allocated_at).as_secs_f64() / 3600.0;
        #[expect(clippy::cast_possible_truncation, reason = "the clock ends after a thousand years")]
        let started = hours.ceil() as i64;
        started.max(1)
    }

    fn describe(&self, now: Timestamp) -> Value {
        json!({
            "pool": self.pool,
            "identifier": self.identifier,
            "etag": self.etag,
            "allocatedAt": self.allocated_at,
            "endedAt": self.ended.map(|(_, at)| at),
            "ending": self.ended.map(|(ending, _)| ending),
            "executions": self.executions,
            "billedHours": self.billed_hours(now),
        })
    }
}

/// How many of the sessions there were at the same time, at most. One that ends as another begins makes room for it.
fn peak<'a>(sessions: impl Iterator<Item = &'a Allocation>) -> u64 {
    let mut changes: Vec<(Timestamp, i64)> = Vec::new();
    for session in sessions {
        changes.push((session.allocated_at, 1));
        changes.extend(session.ended.map(|(_, at)| (at, -1)));
    }
    changes.sort_unstable();
    let mut live = 0;
    let running = changes.into_iter().map(|(_, change)| {
        live += change;
        live
    });
    running.max().unwrap_or_default().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn allocation(from: i64, until: Option<i64>) -> Allocation {
        Allocation {
            pool: "pool".to_owned(),
            identifier: "session".to_owned(),
            etag: Uuid::nil(),
            allocated_at: at(from),
            ended: until.map(|until| (Ending::Deleted, at(until))),
            executions: 1,
        }
    }

    #[test]
    fn every_hour_that_was_started_is_billed() {
        for (seconds, hours) in [(0, 1), (1, 1), (3600, 1), (3601, 2), (7200, 2), (100 * 3600 + 1, 101)] {
            assert_eq!(allocation(5, Some(5 + seconds)).billed_hours(at(0)), hours, "{seconds}");
            assert_eq!(
                allocation(5, None).billed_hours(at(5 + seconds)),
                hours,
                "{seconds}, still there"
            );
        }
        let mut never_started = allocation(0, None);
        never_started.ended = Some((Ending::NeverStarted, at(10_000)));
        assert_eq!(never_started.billed_hours(at(0)), 0);
    }

    #[test]
    fn the_peak_is_the_most_sessions_at_one_time() {
        for (spans, expected) in [
            (vec![], 0),
            (vec![(0, Some(0))], 0),
            (vec![(0, None)], 1),
            (vec![(0, Some(5)), (5, Some(9)), (9, None)], 1),
            (vec![(0, Some(6)), (5, Some(9)), (9, None)], 2),
            (vec![(8, None), (0, Some(9)), (7, Some(8)), (1, Some(2))], 2),
            (vec![(1, None), (2, None), (3, None)], 3),
        ] {
            let sessions: Vec<Allocation> = spans.iter().map(|(from, until)| allocation(*from, *until)).collect();
            assert_eq!(peak(sessions.iter()), expected, "{spans:?}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_and_counted() {
        let mut allocations = Allocations::default();
        for second in 0..=CAPACITY {
            allocations.end(allocation(second.try_into().unwrap(), None));
        }
        assert_eq!((allocations.ended.len(), allocations.forgotten), (CAPACITY, 1));
        assert_eq!(allocations.ended[0].allocated_at, at(1));
    }
}
