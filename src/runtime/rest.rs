//! How often settled objects have a pass, those of a namespace together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::limits::LOOKS_PER_SECOND;

/// The settled objects, and how often each of them wants a pass; clones share them.
///
/// Where those of a namespace want more passes together than it may cause, the ones with the shortest intervals have them
/// less often, all of these alike, and the others as they want. Passes after a change, or while something is under way, do
/// not count.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    inner: Arc<Mutex<Resting>>,
}

#[derive(Debug, Default)]
struct Resting {
    namespaces: HashMap<String, Intervals>,
    objects: HashMap<String, (String, Duration)>,
}

/// How many objects want which pause between two looks.
type Intervals = BTreeMap<Duration, u32>;

impl Rest {
    /// An object is settled from now on, and wants a pass so often. Returns how often it has one.
    pub fn begin(&self, namespace: &str, uid: &str, every: Duration) -> Duration {
        let mut resting = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        resting.end(uid);
        let intervals = resting.namespaces.entry(namespace.to_owned()).or_default();
        *intervals.entry(every).or_default() += 1;
        let shortest = shortest_interval(intervals, LOOKS_PER_SECOND);
        resting.objects.insert(uid.to_owned(), (namespace.to_owned(), every));
        every.max(shortest)
    }

    /// An object is no longer settled.
    pub fn end(&self, uid: &str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).end(uid);
    }
}

impl Resting {
    fn end(&mut self, uid: &str) {
        let Some((namespace, every)) = self.objects.remove(uid) else {
            return;
        };
        let Some(intervals) = self.namespaces.get_mut(&namespace) else {
            return;
        };
        if let Some(count) = intervals.get_mut(&every) {
            *count -= 1;
            if *count == 0 {
                intervals.remove(&every);
            }
        }
        if intervals.is_empty() {
            self.namespaces.remove(&namespace);
        }
    }
}

/// The shortest pause between two looks at one object by which all of them together are not looked at more often than that;
/// zero where they do not want to be.
fn shortest_interval(intervals: &Intervals, looks_per_second: f64) -> Duration {
    let looks = |every: Duration, count: u32| f64::from(count) / every.as_secs_f64().max(0.001);
    let mut wanted: f64 = intervals.iter().map(|(every, count)| looks(*every, *count)).sum();
    if wanted <= looks_per_second {
        return Duration::ZERO;
    }
    // Those with the shorter pauses get one in common, out of what the others leave.
    let mut slowed = 0.0;
    let mut longer = intervals.iter().peekable();
    while let Some((every, count)) = longer.next() {
        slowed += f64::from(*count);
        wanted = (wanted - looks(*every, *count)).max(0.0);
        let is_last = longer.peek().is_none();
        let left = looks_per_second - if is_last { 0.0 } else { wanted };
        let Ok(pause) = Duration::try_from_secs_f64(slowed / left) else {
            continue;
        };
        if longer.peek().is_none_or(|(next, _)| pause <= **next) {
            return pause;
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_namespace_of_many_that_want_a_look_each_second_has_few_looks_and_others_have_what_they_want() {
        let rest = Rest::default();
        let mut last = Duration::ZERO;
        for number in 0..2000 {
            last = rest.begin("many", &format!("uid-{number}"), SECOND);
        }
        assert_eq!(last, 400 * SECOND);
        assert_eq!(rest.begin("few", "other", SECOND), SECOND);
        // What wants less than it would get is not slowed for it, and counts once however often it begins.
        for _ in 0..2 {
            assert_eq!(rest.begin("many", "slow", 3600 * SECOND), 3600 * SECOND);
        }
        for number in 0..1990 {
            rest.end(&format!("uid-{number}"));
        }
        let pause = rest.begin("many", "uid-1999", SECOND);
        assert!(pause > 2 * SECOND && pause < 2 * SECOND + SECOND / 100, "{pause:?}");
        for number in 1990..2000 {
            rest.end(&format!("uid-{number}"));
        }
        rest.end("slow");
        rest.end("other");
        let left = rest.inner.lock().unwrap();
        assert!(left.namespaces.is_empty() && left.objects.is_empty());
    }

    #[test]
    fn three_thousand_objects_at_the_default_interval_are_not_slowed() {
        let intervals = [(600 * SECOND, 3000)].into();
        assert_eq!(shortest_interval(&intervals, LOOKS_PER_SECOND), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn all_together_are_looked_at_as_often_as_they_may_and_no_oftener(
            intervals in prop::collection::btree_map((1_u64..100_000).prop_map(|it| SECOND * u32::try_from(it).unwrap()), 1_u32..3000, 1..20),
        ) {
            let shortest = shortest_interval(&intervals, LOOKS_PER_SECOND);
            let looks = |shortest: Duration| -> f64 {
                intervals.iter().map(|(every, count)| f64::from(*count) / every.max(&shortest).as_secs_f64()).sum()
            };
            prop_assert!(looks(shortest) <= LOOKS_PER_SECOND * 1.000_001, "{} with {shortest:?}", looks(shortest));
            if looks(Duration::ZERO) > LOOKS_PER_SECOND {
                prop_assert!(looks(shortest) >= LOOKS_PER_SECOND * 0.999_999, "{} with {shortest:?}", looks(shortest));
            } else {
                prop_assert_eq!(shortest, Duration::ZERO);
            }
        }
    }
}
