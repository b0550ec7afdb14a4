//! Which object refers to which, and which objects a change wakes: a reverse index that the watches keep up to date.
//!
//! Objects of all kinds are in one index, so that a change of one wakes those that refer to it, and the end of one can wait
//! for those that still need it, without anybody going through a cache.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt, future::join_all};
use kube::Resource;

use super::reconciler::Object;
use super::snapshot::{Cache, Key};
use super::trigger::Triggers;

/// Kind, namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// The kind, as in manifests.
    pub kind: &'static str,
    /// Namespace and name.
    pub key: Key,
}

/// A kind whose name is known without an object of it. (`kind()` of kube's trait lends its name only as long as its argument.)
pub trait Kind {
    /// The kind, as manifests say it.
    const NAME: &'static str;
}

impl ObjectId {
    /// Names an object of a kind.
    pub fn new<K: Kind>(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: K::NAME,
            key: Key::new(namespace, name),
        }
    }

    /// Names this object.
    pub fn of<K: Kind + Resource>(object: &K) -> Self {
        Self {
            kind: K::NAME,
            key: Key::of(object),
        }
    }
}

/// What an object refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An object, by its name. It need not exist.
    Object(ObjectId),
    /// Something outside the cluster, by a key that its provider spells in the same way.
    External(String),
}

/// One object's entry in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What the object refers to, and whether it needs each of them until it is deleted itself: then the deletion of the
    /// other waits for it.
    pub refers: BTreeMap<Target, bool>,
    /// The key of what the object provides outside the cluster.
    pub provides: Option<String>,
}

impl Entry {
    /// Adds a reference. One that is added twice is needed if either is.
    pub fn refer(&mut self, target: Target, is_needed: bool) {
        *self.refers.entry(target).or_default() |= is_needed;
    }
}

/// The index; clones share it.
#[derive(Clone, Default)]
pub struct References {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    graph: Mutex<Graph>,
    kinds: Mutex<HashMap<&'static str, Watch>>,
}

struct Watch {
    enqueue: Box<dyn Fn(Key) + Send + Sync>,
    listed: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl References {
    /// Objects of this kind are woken by `triggers`, and the index is complete only once `cache` is.
    pub fn register<K: Object + Kind>(&self, cache: Cache<K>, triggers: Triggers<K>) {
        let watch = Watch {
            enqueue: Box::new(move |key| triggers.trigger(key)),
            listed: Arc::new(move || {
                let cache = cache.clone();
                async move { cache.ready().await }.boxed()
            }),
        };
        self.kinds().insert(K::NAME, watch);
    }

    /// An object has appeared or changed: wakes what refers to it, and what it needs now or no longer.
    pub fn set(&self, id: &ObjectId, entry: Entry) {
        let woken = self.graph().replace(id, Some(entry));
        self.wake(woken);
    }

    /// An object is gone.
    pub fn remove(&self, id: &ObjectId) {
        let woken = self.graph().replace(id, None);
        self.wake(woken);
    }

    /// Wakes what refers to an object that has changed in a way that no watch shows.
    pub fn wake_referrers(&self, id: &ObjectId) {
        let woken = self.graph().referrers_of(id, None);
        self.wake(woken);
    }

    /// The objects that need this one until they are gone themselves, in order. Waits until all kinds were listed once.
    pub async fn needed_by(&self, id: &ObjectId) -> Vec<ObjectId> {
        let listed: Vec<_> = self.kinds().values().map(|watch| Arc::clone(&watch.listed)).collect();
        join_all(listed.into_iter().map(|it| it())).await;
        self.known_to_need(id)
    }

    /// Like [`needed_by`](Self::needed_by), as far as is known now.
    pub fn known_to_need(&self, id: &ObjectId) -> Vec<ObjectId> {
        self.graph().needed_by(id)
    }

    /// The objects that are responsible for something outside the cluster, in order. Waits until all kinds were listed once.
    pub async fn providers(&self, external: &str) -> Vec<ObjectId> {
        let listed: Vec<_> = self.kinds().values().map(|watch| Arc::clone(&watch.listed)).collect();
        join_all(listed.into_iter().map(|it| it())).await;
        self.graph().providers(external)
    }

    fn wake(&self, woken: BTreeSet<ObjectId>) {
        let kinds = self.kinds();
        for ObjectId { kind, key } in woken {
            if let Some(watch) = kinds.get(kind) {
                (watch.enqueue)(key);
            }
        }
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.inner.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<&'static str, Watch>> {
        self.inner.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Graph {
    entries: BTreeMap<ObjectId, Known>,
    referrers: BTreeMap<Arc<Target>, BTreeMap<ObjectId, bool>>,
    providers: BTreeMap<String, BTreeSet<ObjectId>>,
}

/// An entry as it is kept: thousands of objects refer to the same few.
#[derive(Debug, Clone, Default)]
struct Known {
    refers: Box<[(Arc<Target>, bool)]>,
    provides: Option<String>,
}

impl Known {
    fn needs(&self, target: &Target) -> Option<bool> {
        let (_, is_needed) = self.refers.iter().find(|(it, _)| **it == *target)?;
        Some(*is_needed)
    }
}

impl Graph {
    /// Replaces an entry, and returns the objects that are to be woken.
    fn replace(&mut self, id: &ObjectId, entry: Option<Entry>) -> BTreeSet<ObjectId> {
        let old = self.entries.remove(id).unwrap_or_default();
        let is_there = entry.is_some();
        let Entry { refers, provides } = entry.unwrap_or_default();
        let refers = refers
            .into_iter()
            .map(|(target, is_needed)| (self.interned(target), is_needed));
        let new = Known {
            refers: refers.collect(),
            provides,
        };
        let mut woken = BTreeSet::new();
        for (target, _) in old.refers.iter().chain(&new.refers) {
            let (before, after) = (old.needs(target), new.needs(target));
            if before != after {
                self.link(target, id, after);
            }
            if let Target::Object(other) = &**target
                && before.is_some_and(|it| it) != after.is_some_and(|it| it)
            {
                woken.insert(other.clone());
            }
        }
        woken.extend(self.referrers_of(id, old.provides.as_ref()));
        if old.provides != new.provides {
            if let Some(external) = &old.provides
                && let Some(providers) = self.providers.get_mut(external)
            {
                providers.remove(id);
                if providers.is_empty() {
                    self.providers.remove(external);
                }
            }
            if let Some(external) = &new.provides {
                self.providers.entry(external.clone()).or_default().insert(id.clone());
            }
        }
        if is_there {
            self.entries.insert(id.clone(), new);
        }
        woken.extend(self.referrers_of(id, None));
        woken.remove(id);
        woken
    }

    /// What refers to the object, to what it provides, or to something else that it provided.
    fn referrers_of(&self, id: &ObjectId, formerly: Option<&String>) -> BTreeSet<ObjectId> {
        let provided = self.entries.get(id).and_then(|entry| entry.provides.as_ref());
        let external = provided.into_iter().chain(formerly).cloned().map(Target::External);
        let targets = std::iter::once(Target::Object(id.clone())).chain(external);
        targets
            .filter_map(|target| self.referrers.get(&target))
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect()
    }

    /// The target as whoever refers to it already has it.
    fn interned(&self, target: Target) -> Arc<Target> {
        let known = self.referrers.get_key_value(&target);
        known.map_or_else(|| Arc::new(target), |(known, _)| Arc::clone(known))
    }

    fn link(&mut self, target: &Arc<Target>, from: &ObjectId, is_needed: Option<bool>) {
        if let Some(is_needed) = is_needed {
            let referrers = self.referrers.entry(Arc::clone(target)).or_default();
            referrers.insert(from.clone(), is_needed);
        } else if let Some(referrers) = self.referrers.get_mut(target) {
            referrers.remove(from);
            if referrers.is_empty() {
                self.referrers.remove(target);
            }
        }
    }

    fn needed_by(&self, id: &ObjectId) -> Vec<ObjectId> {
        let referrers = self.referrers.get(&Target::Object(id.clone()));
        let needing = referrers.into_iter().flatten().filter(|(_, is_needed)| **is_needed);
        needing.map(|(referrer, _)| referrer.clone()).collect()
    }

    fn providers(&self, external: &str) -> Vec<ObjectId> {
        let providers = self.providers.get(external);
        providers.into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId {
            kind: "Widget",
            key: Key::new("ns", name),
        }
    }

    fn entry(refers: &[(&str, bool)], provides: Option<&str>) -> Entry {
        Entry {
            refers: refers
                .iter()
                .map(|(name, is_needed)| match name.strip_prefix('/') {
                    Some(_) => (Target::External((*name).to_owned()), *is_needed),
                    None => (Target::Object(id(name)), *is_needed),
                })
                .collect(),
            provides: provides.map(str::to_owned),
        }
    }

    fn names(ids: impl IntoIterator<Item = ObjectId>) -> Vec<String> {
        ids.into_iter().map(|it| it.key.name).collect()
    }

    #[test]
    fn a_change_wakes_what_refers_to_it() {
        let mut graph = Graph::default();
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[("group", false)], None)))),
            [""; 0]
        );
        assert_eq!(names(graph.replace(&id("group"), Some(Entry::default()))), ["pool"]);
        assert_eq!(names(graph.replace(&id("group"), None)), ["pool"]);
        graph.replace(&id("pool"), None);
        assert_eq!(names(graph.replace(&id("group"), Some(Entry::default()))), [""; 0]);
    }

    #[test]
    fn what_is_needed_hears_when_it_begins_and_when_it_ends() {
        let mut graph = Graph::default();
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[("account", false)], None)))),
            [""; 0]
        );
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[("account", true)], None)))),
            ["account"]
        );
        assert_eq!(names(graph.needed_by(&id("account"))), ["pool"]);
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[("account", true)], None)))),
            [""; 0]
        );
        assert_eq!(names(graph.replace(&id("pool"), None)), ["account"]);
        assert_eq!(names(graph.needed_by(&id("account"))), [""; 0]);
    }

    #[test]
    fn what_is_named_by_its_id_is_the_same_for_whoever_provides_it() {
        let mut graph = Graph::default();
        graph.replace(&id("assignment"), Some(entry(&[("/pool", false)], None)));
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[], Some("/pool"))))),
            ["assignment"]
        );
        assert_eq!(names(graph.providers("/pool")), ["pool"]);
        assert_eq!(
            names(graph.replace(&id("pool"), Some(entry(&[], None)))),
            ["assignment"]
        );
        assert_eq!(names(graph.providers("/pool")), [""; 0]);
    }

    #[test]
    fn an_object_that_refers_to_itself_does_not_wake_itself() {
        let mut graph = Graph::default();
        assert_eq!(
            names(graph.replace(&id("a"), Some(entry(&[("a", true)], None)))),
            [""; 0]
        );
    }

    proptest! {
        /// However objects came and went, the index says what one that is built anew would say.
        #[test]
        fn the_index_has_no_history(
            changes in prop::collection::vec((0..4_usize, prop::option::of(prop::collection::vec((0..5_usize, any::<bool>()), 0..4))), 0..20),
        ) {
            const NAMES: [&str; 5] = ["a", "b", "c", "d", "/e"];
            let mut graph = Graph::default();
            let mut latest = BTreeMap::new();
            for (who, refers) in changes {
                let entry = refers.map(|refers| {
                    let refers: Vec<_> = refers.into_iter().map(|(name, is_needed)| (NAMES[name], is_needed)).collect();
                    entry(&refers, Some(NAMES[4]).filter(|_| who == 0))
                });
                latest.insert(id(NAMES[who]), entry.clone());
                graph.replace(&id(NAMES[who]), entry);
            }
            let mut fresh = Graph::default();
            for (id, entry) in latest {
                fresh.replace(&id, entry);
            }
            prop_assert_eq!(graph.referrers, fresh.referrers);
            prop_assert_eq!(graph.providers, fresh.providers);
        }
    }
}
