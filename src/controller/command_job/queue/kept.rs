//! Sessions that a job has left for another one.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bill::hours_begun;
use super::seat::Seat;
use crate::controller::command_job::runner::{AttemptId, Baseline};

/// How long before its next hour begins a session ends that nobody has.
const BEFORE_NEXT_HOUR: SignedDuration = SignedDuration::from_secs(30);

/// What is known of a session that a job has left for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// What it was before its first command, if it is emptied for each one.
    pub baseline: Option<Baseline>,
    /// The attempt that had it last, whose files are in it.
    pub earlier: Option<AttemptId>,
    /// How many jobs have had it.
    pub jobs: u32,
    /// How many jobs may have it, if somebody says.
    pub most_jobs: Option<u32>,
    /// How long it is kept for the next one; else for as long as it is paid for.
    pub idle: Option<Duration>,
}

impl KeptSession {
    /// Until when it is kept if nobody wants it or its place and it was allocated then; `None` if it is not kept at all.
    pub fn until(&self, allocated: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let until = match self.idle {
            Some(idle) => now.checked_add(idle),
            None => {
                let hours = i64::try_from(hours_begun(allocated, now)).unwrap_or(i64::MAX);
                let paid = SignedDuration::from_secs(hours.saturating_mul(3600)) - BEFORE_NEXT_HOUR;
                allocated.checked_add(paid)
            }
        };
        let is_spent = self.most_jobs.is_some_and(|most| self.jobs >= most);
        until.ok().filter(|until| *until > now && !is_spent)
    }
}

/// Looks after a session that nobody has, until it is dropped: then somebody has it again.
pub trait Keeper: Send + Sync {
    /// Ends the session, in the background, and lets go of its place in the pool once that is done.
    fn retire(&self, seat: Arc<Seat>);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn a_session_is_kept_until_shortly_before_another_hour_of_it_is_billed() {
        let kept = KeptSession {
            baseline: None,
            earlier: None,
            jobs: 1,
            most_jobs: None,
            idle: None,
        };
        for (now, until) in [
            (0, Some(3570)),
            (3569, Some(3570)),
            (3570, None),
            (3599, None),
            (3600, Some(7170)),
            (9000, Some(10_770)),
        ] {
            assert_eq!(kept.until(at(0), at(now)), until.map(at), "{now}");
        }
        let shared = KeptSession {
            idle: Some(Duration::from_mins(5)),
            ..kept.clone()
        };
        assert_eq!(shared.until(at(0), at(3590)), Some(at(3890)), "whatever it costs");
        for (most_jobs, jobs, is_kept) in [(Some(2), 1, true), (Some(2), 2, false), (None, 1000, true)] {
            let kept = KeptSession {
                jobs,
                most_jobs,
                ..kept.clone()
            };
            assert_eq!(kept.until(at(0), at(1)).is_some(), is_kept, "{most_jobs:?} {jobs}");
        }
    }
}
