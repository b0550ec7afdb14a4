//! Since when each object is not as it should be, by reason.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::pace::Pace;

/// More reasons than an object has in a row; what comes after them is counted from its last occurrence.
const MOST_REASONS: usize = 16;

/// For how long an object has given each of its reasons. It begins when the reason is given first, goes on whatever other
/// reasons come in between, and ends when the object is as it should be or its spec changes.
///
/// It is lost with the process: a wait then begins anew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Waited {
    since: Vec<(Cow<'static, str>, Timestamp)>,
    pace: Pace,
}

impl Waited {
    /// For how long the reason has been given: as long as it would be at full [`Pace`]; zero if it is new.
    pub fn for_reason(&self, reason: &str, now: Timestamp) -> Duration {
        let since = self.since.iter().find(|(known, _)| known == reason);
        let waited = since.and_then(|(_, since)| Duration::try_from(now.duration_since(*since)).ok());
        self.pace.at_full(waited.unwrap_or_default())
    }

    /// An object that has given one reason since then.
    pub fn since(reason: impl Into<Cow<'static, str>>, at: Timestamp) -> Self {
        Self {
            since: vec![(reason.into(), at)],
            pace: Pace::FULL,
        }
    }
}

/// What is known of all objects of a controller, by uid. An entry exists only while an object gives a reason.
#[derive(Debug, Default)]
pub(super) struct Waits {
    entries: Mutex<HashMap<String, Entry>>,
    pace: Pace,
}

#[derive(Debug, Default)]
struct Entry {
    generation: Option<i64>,
    since: Vec<(Cow<'static, str>, Timestamp)>,
}

impl Waits {
    /// Of an operator that goes at this pace.
    pub fn at_pace(pace: Pace) -> Self {
        Self {
            pace,
            ..Self::default()
        }
    }

    /// What is known of an object of this generation.
    pub fn of(&self, uid: &str, generation: Option<i64>) -> Waited {
        let entries = self.lock();
        let entry = entries.get(uid).filter(|it| it.generation == generation);
        Waited {
            since: entry.map(|it| it.since.clone()).unwrap_or_default(),
            pace: self.pace,
        }
    }

    /// The object gave a reason.
    pub fn note(&self, uid: &str, generation: Option<i64>, reason: Cow<'static, str>, now: Timestamp) {
        let mut entries = self.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        if entry.generation != generation {
            *entry = Entry {
                generation,
                since: Vec::new(),
            };
        }
        if !entry.since.iter().any(|(known, _)| *known == reason) {
            entry.since.truncate(MOST_REASONS - 1);
            entry.since.push((reason, now));
        }
    }

    /// The object is as it should be, or gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Every change leaves an entry whole.
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
    fn each_reason_is_counted_from_its_first_occurrence_whatever_comes_in_between() {
        let waits = Waits::default();
        for (reason, second) in [("A", 10), ("B", 20), ("A", 30), ("B", 40)] {
            waits.note("uid", Some(1), reason.into(), at(second));
        }
        let waited = waits.of("uid", Some(1));
        assert_eq!(waited.for_reason("A", at(50)), Duration::from_secs(40));
        assert_eq!(waited.for_reason("B", at(50)), Duration::from_secs(30));
        assert_eq!(waited.for_reason("C", at(50)), Duration::ZERO);
    }

    #[test]
    fn another_spec_waits_anew() {
        let waits = Waits::default();
        waits.note("uid", Some(1), "A".into(), at(0));
        assert_eq!(waits.of("uid", Some(2)), Waited::default());
        waits.note("uid", Some(2), "A".into(), at(30));
        assert_eq!(
            waits.of("uid", Some(2)).for_reason("A", at(40)),
            Duration::from_secs(10)
        );
    }

    #[test]
    fn an_object_that_is_as_it_should_be_leaves_nothing_behind() {
        let waits = Waits::default();
        waits.note("uid", Some(1), "A".into(), at(0));
        waits.forget("uid");
        assert!(waits.lock().is_empty());
    }

    #[test]
    fn at_a_faster_pace_a_wait_is_over_sooner() {
        let waits = Waits::at_pace("0.1".parse().unwrap());
        waits.note("uid", None, "A".into(), at(0));
        assert_eq!(waits.of("uid", None).for_reason("A", at(60)), Duration::from_mins(10));
    }

    #[test]
    fn reasons_without_end_take_bounded_memory() {
        let waits = Waits::default();
        for number in 0..1000 {
            waits.note("uid", None, number.to_string().into(), at(number));
        }
        assert!(waits.of("uid", None).since.len() <= MOST_REASONS);
    }
}
