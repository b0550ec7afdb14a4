//! Cheap handles to watched objects.

use std::{fmt, ops::Deref, sync::Arc};

use kube::{Resource, core::DeserializeGuard};
use kube_runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use super::reconciler::Object;

/// Namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of an object; empty strings where the object has none.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        )
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One version of one object, shared with the cache where it came from. Cloning is cheap; it never changes.
pub struct Snapshot<K>(Version<K>);

enum Version<K> {
    /// Always `Ok` inside: the constructor checks it.
    Watched(Arc<DeserializeGuard<K>>),
    Answered(Arc<K>),
}

impl<K> Snapshot<K> {
    /// A handle to an object that a watch delivered; `None` if it could not be decoded.
    pub fn watched(object: Arc<DeserializeGuard<K>>) -> Option<Self> {
        object.0.is_ok().then_some(Self(Version::Watched(object)))
    }

    /// A handle to an object that the API server returned for a write or a read.
    pub fn answered(object: K) -> Self {
        Self(Version::Answered(Arc::new(object)))
    }
}

impl<K> Clone for Snapshot<K> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Version::Watched(object) => Version::Watched(Arc::clone(object)),
            Version::Answered(object) => Version::Answered(Arc::clone(object)),
        })
    }
}

impl<K> Deref for Snapshot<K> {
    type Target = K;

    fn deref(&self) -> &K {
        match &self.0 {
            Version::Watched(object) => object
                .0
                .as_ref()
                .expect("invariant: only decoded objects become snapshots"),
            Version::Answered(object) => object,
        }
    }
}

impl<K: fmt::Debug> fmt::Debug for Snapshot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// All watched objects of a kind, in every namespace that is watched.
///
/// It may lag behind the API server; objects that cannot be decoded are not in it.
pub struct Cache<K: Object> {
    pub(super) shards: Arc<Vec<CacheShard<K>>>,
}

pub(super) struct CacheShard<K: Object> {
    /// `None`: all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) store: Store<DeserializeGuard<K>>,
    /// Whether the store was filled. `Store::wait_until_ready` of kube-runtime 5.0 wakes only the last of several that
    /// wait, and its own controller is one of them.
    pub(super) primed: watch::Receiver<bool>,
}

impl<K: Object> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            shards: Arc::clone(&self.shards),
        }
    }
}

impl<K: Object> Cache<K> {
    /// The object, if it exists and could be decoded.
    pub fn get(&self, key: &Key) -> Option<Snapshot<K>> {
        self.guarded(key).and_then(Snapshot::watched)
    }

    /// All objects that could be decoded, in no order.
    pub fn list(&self) -> Vec<Snapshot<K>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.store.state())
            .filter_map(Snapshot::watched)
            .collect()
    }

    /// How many objects are watched, those that cannot be decoded included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.store.len()).sum()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns once every namespace was listed. Never returns if the controller of this cache ended before that.
    pub async fn ready(&self) {
        for shard in self.shards.iter() {
            if shard.primed.clone().wait_for(|primed| *primed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the object is known not to exist: its namespace was listed, and it is not in the list.
    pub fn lacks(&self, key: &Key) -> bool {
        let primed = self.shard(&key.namespace).is_some_and(|shard| *shard.primed.borrow());
        primed && self.guarded(key).is_none()
    }

    pub(super) fn guarded(&self, key: &Key) -> Option<Arc<DeserializeGuard<K>>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        self.shard(&key.namespace)?.store.get(&reference)
    }

    fn shard(&self, namespace: &str) -> Option<&CacheShard<K>> {
        self.shards
            .iter()
            .find(|shard| shard.namespace.as_deref().is_none_or(|own| own == namespace))
    }
}
