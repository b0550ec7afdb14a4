//! Which pools were told of which guests, so that a pool with many jobs has not as many events.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The most that is remembered; beyond it everything is forgotten and told again.
const MOST: usize = 10_000;

/// Pools, by the UID of their objects, and the namespaces of guests. It may be lost.
#[derive(Debug, Default)]
pub struct HostsTold(Mutex<BTreeSet<(String, String)>>);

impl HostsTold {
    /// Whether a pool was not told of a namespace before; from now on it was.
    pub fn is_new(&self, pool: String, guest: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST {
            told.clear();
        }
        told.insert((pool, guest.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::HostsTold;

    #[test]
    fn a_pool_is_told_once_of_each_namespace() {
        let told = HostsTold::default();
        let new = |pool: &str, guest| told.is_new(pool.to_owned(), guest);
        assert_eq!(
            [new("p", "a"), new("p", "a"), new("p", "b"), new("q", "a")],
            [true, false, true, true]
        );
    }
}
