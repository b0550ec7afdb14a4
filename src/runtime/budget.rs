//! How much each namespace may cause of what is said in events and in the log. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::Instant;

/// How much of something a namespace may cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// So much at once.
    pub burst: u32,
    /// So much comes back each second.
    pub per_second: f64,
}

/// What each namespace has left of its allowance.
#[derive(Debug)]
pub struct Budgets {
    allowance: Allowance,
    namespaces: HashMap<String, Budget>,
}

#[derive(Debug)]
struct Budget {
    left: f64,
    at: Instant,
    withheld: u64,
}

impl Budget {
    fn fill(&mut self, allowance: Allowance, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * allowance.per_second).min(f64::from(allowance.burst));
        self.at = now;
    }
}

impl Budgets {
    /// Every namespace has all of its allowance.
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            namespaces: HashMap::new(),
        }
    }

    /// Whether a namespace may cause one more. One that may not is counted.
    pub fn take(&mut self, namespace: &str, now: Instant) -> bool {
        let allowance = self.allowance;
        let budget = match self.namespaces.get_mut(namespace) {
            Some(budget) => budget,
            None => {
                // Who has all of it is as one who never was here.
                self.namespaces.retain(|_, budget| {
                    budget.fill(allowance, now);
                    budget.withheld > 0 || budget.left < f64::from(allowance.burst)
                });
                self.namespaces.entry(namespace.to_owned()).or_insert(Budget {
                    left: f64::from(allowance.burst),
                    at: now,
                    withheld: 0,
                })
            }
        };
        budget.fill(allowance, now);
        if budget.left < 1.0 {
            budget.withheld += 1;
            return false;
        }
        budget.left -= 1.0;
        true
    }

    /// What was withheld of each namespace since it was asked last.
    pub fn withheld(&mut self) -> Vec<(String, u64)> {
        let mut found: Vec<_> = self
            .namespaces
            .iter_mut()
            .filter(|(_, budget)| budget.withheld > 0)
            .map(|(namespace, budget)| (namespace.clone(), std::mem::take(&mut budget.withheld)))
            .collect();
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const ALLOWANCE: Allowance = Allowance {
        burst: 10,
        per_second: 2.0,
    };

    #[test]
    fn a_namespace_that_says_too_much_is_cut_and_counted_and_no_other_is() {
        let (mut budgets, now) = (Budgets::new(ALLOWANCE), Instant::now());
        let taken = (0..25).filter(|_| budgets.take("loud", now)).count();
        assert_eq!(taken, 10);
        assert!(budgets.take("quiet", now));
        assert_eq!(budgets.withheld(), [("loud".to_owned(), 15)]);
        assert_eq!(budgets.withheld(), []);
        let later = now + Duration::from_secs(3);
        let taken = (0..25).filter(|_| budgets.take("loud", later)).count();
        assert_eq!(taken, 6);
    }

    #[test]
    fn namespaces_are_not_remembered_for_ever() {
        let (mut budgets, mut now) = (Budgets::new(ALLOWANCE), Instant::now());
        for number in 0..1000 {
            assert!(budgets.take(&format!("namespace-{number}"), now));
            now += Duration::from_secs(1);
        }
        assert_eq!(budgets.namespaces.len(), 1);
    }

    proptest! {
        #[test]
        fn nobody_causes_more_than_a_burst_and_what_comes_back(pauses in prop::collection::vec(0_u64..2000, 1..200)) {
            let start = Instant::now();
            let (mut budgets, mut now, mut taken) = (Budgets::new(ALLOWANCE), start, 0.0);
            for pause in pauses {
                now += Duration::from_millis(pause);
                taken += f64::from(u8::from(budgets.take("one", now)));
                prop_assert!(taken <= 10.0 + 2.0 * (now - start).as_secs_f64() + 1e-6);
            }
        }
    }
}
