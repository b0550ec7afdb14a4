//! Deadlines of very many objects, in little memory.
//!
//! There may be far more finished objects than active ones. Of each, only namespace, name, uid and a time are
//! kept here, and of those without a deadline nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    time::Duration,
};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::Resource;
use kube_runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use super::snapshot::Key;

/// Looks at the clock at least this often, because a wall clock may be set.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// An object whose deadline has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Where it is.
    pub key: Key,
    /// Its UID: whatever is done must be done to this object only, and not to a later one of the same name.
    pub uid: String,
}

/// Deadlines by time. Pure: it has no clock.
#[derive(Debug, Default)]
pub struct Deadlines {
    /// Ordered by time; the number tells apart what is due at the same time.
    queue: BTreeMap<(Timestamp, u64), Due>,
    by_uid: HashMap<String, (Timestamp, u64)>,
    counter: u64,
}

impl Deadlines {
    /// Sets or moves the deadline of an object.
    pub fn set(&mut self, due: Due, when: Timestamp) {
        self.remove(&due.uid);
        self.counter += 1;
        self.by_uid.insert(due.uid.clone(), (when, self.counter));
        self.queue.insert((when, self.counter), due);
    }

    /// Forgets an object.
    pub fn remove(&mut self, uid: &str) {
        if let Some(place) = self.by_uid.remove(uid) {
            self.queue.remove(&place);
        }
    }

    /// Forgets all objects but these.
    pub fn retain(&mut self, uids: &HashSet<String>) {
        self.by_uid.retain(|uid, _| uids.contains(uid));
        self.queue.retain(|_, due| uids.contains(&due.uid));
    }

    /// Takes out the object that has been due for longest, if one is.
    pub fn pop(&mut self, now: Timestamp) -> Option<Due> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let due = entry.remove();
        self.by_uid.remove(&due.uid);
        Some(due)
    }

    /// When the next object is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|((when, _), _)| *when)
    }

    /// How many objects have a deadline.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no object has one.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// Follows a watch, best one of metadata only, and calls `expire` for each object when the deadline that
/// `deadline` read from it has come, one at a time. `expire` answers when to try again, or `None` if it is done with the
/// object. Returns when `stop` is cancelled or the watch ends.
pub async fn run<P, E, F>(
    events: impl Stream<Item = watcher::Result<Event<P>>>,
    deadline: impl Fn(&P) -> Option<Timestamp>,
    expire: E,
    stop: CancellationToken,
) where
    P: Resource<DynamicType = ()>,
    E: Fn(Due) -> F,
    F: Future<Output = Option<Timestamp>>,
{
    let mut events = std::pin::pin!(events);
    let mut deadlines = Deadlines::default();
    let mut listed = None;
    loop {
        let wait = deadlines.next().map_or(LONGEST_SLEEP, |when| {
            Duration::try_from(when.duration_since(Timestamp::now()))
                .unwrap_or_default()
                .min(LONGEST_SLEEP)
        });
        tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => match event {
                Some(Ok(event)) => follow(&mut deadlines, &mut listed, event, &deadline),
                Some(Err(error)) => tracing::warn!(kind = %P::kind(&()), %error, "watch interrupted"),
                None => return,
            },
            () = tokio::time::sleep(wait) => {
                if let Some(due) = deadlines.pop(Timestamp::now())
                    && let Some(again) = expire(due.clone()).await
                {
                    deadlines.set(due, again);
                }
            }
        }
    }
}

fn follow<P: Resource<DynamicType = ()>>(
    deadlines: &mut Deadlines,
    // The uids of a list under way.
    listed: &mut Option<HashSet<String>>,
    event: Event<P>,
    deadline: impl Fn(&P) -> Option<Timestamp>,
) {
    let uid = |object: &P| object.meta().uid.clone().unwrap_or_default();
    match event {
        Event::Init => *listed = Some(HashSet::new()),
        Event::InitDone => deadlines.retain(&listed.take().unwrap_or_default()),
        Event::Delete(object) => deadlines.remove(&uid(&object)),
        Event::Apply(object) | Event::InitApply(object) => {
            let due = Due {
                key: Key::of(&object),
                uid: uid(&object),
            };
            match deadline(&object) {
                Some(when) => {
                    if let Some(listed) = listed {
                        listed.insert(due.uid.clone());
                    }
                    deadlines.set(due, when);
                }
                None => deadlines.remove(&due.uid),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(uid: &str) -> Due {
        Due {
            key: Key::new("n", uid),
            uid: uid.into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn objects_come_out_in_the_order_of_their_deadlines_and_not_before() {
        let mut deadlines = Deadlines::default();
        for (uid, when) in [("c", 30), ("a", 10), ("b", 20), ("b2", 20)] {
            deadlines.set(due(uid), at(when));
        }
        assert_eq!(deadlines.pop(at(9)), None);
        assert_eq!(deadlines.next(), Some(at(10)));
        let order: Vec<_> = std::iter::from_fn(|| deadlines.pop(at(25)))
            .map(|due| due.uid)
            .collect();
        assert_eq!(order, ["a", "b", "b2"]);
        assert_eq!(deadlines.len(), 1);
    }

    #[test]
    fn a_deadline_can_be_moved_and_removed() {
        let mut deadlines = Deadlines::default();
        deadlines.set(due("a"), at(10));
        deadlines.set(due("a"), at(20));
        assert_eq!(deadlines.pop(at(10)), None);
        deadlines.remove("a");
        assert!(deadlines.is_empty());
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_new_list_forgets_what_is_not_on_it() {
        let mut deadlines = Deadlines::default();
        deadlines.set(due("a"), at(10));
        deadlines.set(due("b"), at(10));
        deadlines.retain(&HashSet::from(["b".to_owned()]));
        assert_eq!(deadlines.pop(at(10)), Some(due("b")));
        assert!(deadlines.is_empty());
    }
}
