//! Sessions that nobody knows of any more. Pure.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

/// The sessions of one pool that were seen and belong to no job, by the digest of their identifiers.
#[derive(Debug)]
pub struct Sightings {
    seen: HashMap<String, Timestamp>,
    /// How long ago a session must have been seen first before it is ended: whatever was under way then has been written since.
    seen_for: SignedDuration,
}

impl Sightings {
    /// None yet; what is seen for so long is to be ended.
    pub fn new(seen_for: SignedDuration) -> Self {
        Self {
            seen: HashMap::new(),
            seen_for,
        }
    }

    /// Of the sessions that the pool has now, those that are to be ended: nothing that lives has known them for as long as it
    /// takes. `known` are those of jobs, found out after `listed`.
    pub fn look<'a>(
        &mut self,
        listed: impl IntoIterator<Item = &'a str>,
        known: &HashSet<String>,
        now: Timestamp,
    ) -> Vec<String> {
        let stray: HashSet<&str> = listed.into_iter().filter(|it| !known.contains(*it)).collect();
        self.seen.retain(|digest, _| stray.contains(digest.as_str()));
        let mut due = Vec::new();
        for digest in stray {
            let first = *self.seen.entry(digest.to_owned()).or_insert(now);
            if now.duration_since(first) >= self.seen_for {
                due.push(digest.to_owned());
            }
        }
        due.sort();
        due
    }

    /// Whether a session was seen that has to be looked at again.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn a_session_is_ended_once_it_was_seen_twice_a_minute_apart_and_no_job_knows_it() {
        let known = HashSet::from(["known".to_owned()]);
        let mut sightings = Sightings::new(SignedDuration::from_secs(60));
        let mut look = |listed: &[&str], seconds| sightings.look(listed.iter().copied(), &known, at(seconds));
        assert!(look(&["known", "stray", "gone"], 0).is_empty());
        assert!(look(&["known", "stray"], 59).is_empty());
        assert_eq!(
            look(&["known", "stray", "gone"], 60),
            ["stray"],
            "one that was gone begins anew"
        );
        assert_eq!(look(&["stray", "gone"], 119), ["stray"]);
        assert_eq!(look(&["gone"], 120), ["gone"]);
        assert!(look(&[], 121).is_empty());
        assert!(sightings.is_empty());
    }
}
