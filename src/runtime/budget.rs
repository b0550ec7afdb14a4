//! How many events and log lines each namespace may cause.

use std::collections::BTreeMap;

use governor::clock::MonotonicClock;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// What each namespace has left of its quota, and how much of those that exceeded it was withheld.
#[derive(Debug)]
pub struct Budgets {
    limiter: RateLimiter<String, HashMapStateStore<String>, MonotonicClock>,
    withheld: BTreeMap<String, u64>,
}

impl Budgets {
    /// Every namespace has all of the quota.
    pub fn new(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::hashmap_with_clock(quota, MonotonicClock),
            withheld: BTreeMap::new(),
        }
    }

    /// Whether a namespace may cause one more. One that may not is counted.
    pub fn take(&mut self, namespace: &str) -> bool {
        let namespace = namespace.to_owned();
        let may = self.limiter.check_key(&namespace).is_ok();
        if !may {
            *self.withheld.entry(namespace).or_default() += 1;
        }
        may
    }

    /// How much was withheld of each namespace since the last call. Forgets the namespaces that have all of their quota.
    pub fn withheld(&mut self) -> BTreeMap<String, u64> {
        self.limiter.retain_recent();
        std::mem::take(&mut self.withheld)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_namespace_that_says_too_much_is_cut_and_counted_and_no_other_is() {
        let burst = NonZeroU32::new(10).unwrap();
        let mut budgets = Budgets::new(Quota::per_hour(burst));
        let taken = (0..25).filter(|_| budgets.take("loud")).count();
        assert_eq!(taken, 10);
        assert!(budgets.take("quiet"));
        assert_eq!(budgets.withheld(), [("loud".to_owned(), 15)].into());
        assert_eq!(budgets.withheld(), BTreeMap::new());
    }
}
