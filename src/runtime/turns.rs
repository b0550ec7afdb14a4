//! Turns for what waits: the namespaces take turns, however much of each waits.

use std::collections::{HashMap, VecDeque};

/// The items that wait, by namespace, the oldest first. Pure.
#[derive(Debug)]
pub struct NamespaceTurns<T> {
    waiting: HashMap<String, VecDeque<T>>,
    /// The namespaces of which something waits, each once.
    order: VecDeque<String>,
}

impl<T> Default for NamespaceTurns<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> NamespaceTurns<T> {
    /// Adds an item of a namespace to those that wait.
    pub fn wait(&mut self, namespace: &str, what: T) {
        match self.waiting.get_mut(namespace) {
            Some(waiting) => waiting.push_back(what),
            None => {
                self.waiting.insert(namespace.to_owned(), VecDeque::from([what]));
                self.order.push_back(namespace.to_owned());
            }
        }
    }

    /// Removes and returns the item whose turn it is, if any waits.
    pub fn take_next(&mut self) -> Option<T> {
        let namespace = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&namespace)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_one_comes_after_one_of_each_other_namespace() {
        let mut turns = NamespaceTurns::default();
        for number in 0..1000 {
            turns.wait("many", number);
        }
        turns.wait("few", -1);
        let order: Vec<i32> = std::iter::from_fn(|| turns.take_next()).take(4).collect();
        assert_eq!(order, [0, -1, 1, 2]);
    }

    proptest! {
        #[test]
        fn everything_comes_once_in_its_own_order_and_after_one_of_each_other_namespace_at_a_time(
            steps in prop::collection::vec(prop::option::of(0_usize..5), 0..300),
        ) {
            let mut turns = NamespaceTurns::default();
            let (mut begun, mut ended) = ([0_u32; 5], [0_u32; 5]);
            // How many turns each other namespace had since something of this one is the next to come.
            let mut since = [[0_u32; 5]; 5];
            for step in steps {
                let Some(who) = step else {
                    let Some((who, number)) = turns.take_next() else {
                        prop_assert_eq!(begun, ended);
                        continue;
                    };
                    prop_assert_eq!(number, ended[who]);
                    ended[who] += 1;
                    since[who] = [0; 5];
                    for other in (0..5).filter(|other| *other != who && begun[*other] > ended[*other]) {
                        since[other][who] += 1;
                        prop_assert!(since[other][who] <= 1);
                    }
                    continue;
                };
                if begun[who] == ended[who] {
                    since[who] = [0; 5];
                }
                turns.wait(&format!("namespace-{who}"), (who, begun[who]));
                begun[who] += 1;
            }
        }
    }
}
