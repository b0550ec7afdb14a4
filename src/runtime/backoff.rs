//! How often each object failed, or was polled, in a row.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{pace::Pace, requeue::Tries};

/// Passes that follow each other faster are counted as one: a status that a failing pass wrote is a change of the object,
/// which asks for the next pass at once, and a second of those must not use up minutes of backoff.
const ONE_PASS: Duration = Duration::from_secs(1);

/// Counts per object uid. An entry exists only while an object is failing or in progress, and goes with the object.
#[derive(Debug, Default)]
pub struct Backoff {
    entries: Mutex<HashMap<String, Entry>>,
    pace: Pace,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    count: Count,
    since: Timestamp,
    counted: Timestamp,
}

#[derive(Debug, Clone, Copy)]
enum Count {
    Failures(u32),
    Polls(u32),
}

/// A number of passes in a row and when the first of them was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streak {
    /// How many, this one included.
    pub count: u32,
    /// The time of the first.
    pub since: Timestamp,
}

impl Streak {
    /// The passes, as seen now.
    pub fn tries(self, now: Timestamp) -> Tries {
        Tries {
            count: self.count,
            lasted: Duration::try_from(now.duration_since(self.since)).unwrap_or_default(),
        }
    }
}

impl Backoff {
    /// Counts of an operator that goes at this pace.
    pub fn at_pace(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// Counts a failure.
    pub fn failed(&self, uid: &str, now: Timestamp) -> Streak {
        self.count(uid, now, |count, step| match count {
            Some(Count::Failures(n)) => Count::Failures(n.saturating_add(step)),
            Some(Count::Polls(_)) | None => Count::Failures(1),
        })
    }

    /// Counts a pass that ended with something under way.
    pub fn polled(&self, uid: &str, now: Timestamp) -> Streak {
        self.count(uid, now, |count, step| match count {
            Some(Count::Polls(n)) => Count::Polls(n.saturating_add(step)),
            Some(Count::Failures(_)) | None => Count::Polls(1),
        })
    }

    /// Forgets everything about an object: a pass succeeded, or the object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no object is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn count(&self, uid: &str, now: Timestamp, next: impl FnOnce(Option<Count>, u32) -> Count) -> Streak {
        let one_pass = SignedDuration::try_from(self.pace.of(ONE_PASS)).unwrap_or(SignedDuration::ZERO);
        let mut entries = self.lock();
        let before = entries.get(uid).copied();
        let is_one = before.is_some_and(|entry| now.duration_since(entry.counted) < one_pass);
        let count = next(before.map(|entry| entry.count), u32::from(!is_one));
        let continues = before.filter(|entry| std::mem::discriminant(&entry.count) == std::mem::discriminant(&count));
        let entry = Entry {
            count,
            since: continues.map_or(now, |entry| entry.since),
            counted: continues.filter(|_| is_one).map_or(now, |entry| entry.counted),
        };
        entries.insert(uid.to_owned(), entry);
        let Entry { since, .. } = entry;
        let (Count::Failures(count_now) | Count::Polls(count_now)) = count;
        Streak {
            count: count_now,
            since,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every change is a single insert or remove, so a panic elsewhere cannot leave half of one behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn failures_in_a_row_count_up_and_remember_the_first() {
        let backoff = Backoff::default();
        assert_eq!(backoff.failed("a", at(1)), Streak { count: 1, since: at(1) });
        assert_eq!(backoff.failed("a", at(5)), Streak { count: 2, since: at(1) });
        assert_eq!(backoff.failed("b", at(6)), Streak { count: 1, since: at(6) });
    }

    #[test]
    fn failures_within_a_second_are_one() {
        let backoff = Backoff::default();
        let after = |milliseconds| at(1) + SignedDuration::from_millis(milliseconds);
        for (milliseconds, count) in [(0, 1), (10, 1), (999, 1), (1000, 2), (1500, 2), (2000, 3)] {
            assert_eq!(backoff.failed("a", after(milliseconds)), Streak { count, since: at(1) });
        }
    }

    #[test]
    fn progress_ends_a_row_of_failures() {
        let backoff = Backoff::default();
        backoff.failed("a", at(1));
        assert_eq!(backoff.polled("a", at(2)), Streak { count: 1, since: at(2) });
        assert_eq!(backoff.failed("a", at(3)), Streak { count: 1, since: at(3) });
    }

    #[test]
    fn an_object_that_succeeded_or_went_leaves_nothing_behind() {
        let backoff = Backoff::default();
        backoff.failed("a", at(1));
        backoff.forget("a");
        assert!(backoff.is_empty());
        assert_eq!(backoff.failed("a", at(9)), Streak { count: 1, since: at(9) });
    }
}
