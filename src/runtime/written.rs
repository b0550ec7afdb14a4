//! The operator's own writes, until the watch delivers them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use super::{reconciler::Object, snapshot::Snapshot, underway::version};

/// The answers to writes that the watch has not delivered yet, by uid.
///
/// A pass that follows at once would otherwise decide on the version before its predecessor's write, repeat its effects
/// and lose against itself. Versions are compared as numbers, which the API server guarantees for its own storage; where
/// they are not numbers the watched object is used.
#[derive(Debug)]
pub struct Written<K>(Mutex<HashMap<String, Snapshot<K>>>);

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Object> Written<K> {
    /// Remembers the answer to a write.
    pub fn remember(&self, object: &Snapshot<K>) {
        if let Some(uid) = object.uid() {
            self.lock().insert(uid, object.clone());
        }
    }

    /// What was last written to the object, if the watch has not caught up with it.
    ///
    /// Call this before reading the cache: when a write is no longer here, the cache already has it.
    pub fn get(&self, uid: &str) -> Option<Snapshot<K>> {
        self.lock().get(uid).cloned()
    }

    /// The watch delivered this version.
    pub fn caught_up(&self, watched: &K) {
        let uid = watched.meta().uid.as_deref().unwrap_or_default();
        let mut entries = self.lock();
        if entries.get(uid).is_some_and(|written| !is_newer(&**written, watched)) {
            entries.remove(uid);
        }
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// How many writes the watch has not delivered yet.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether the watch has delivered every write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Snapshot<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the written version is newer than the watched one.
pub fn is_newer<K: Object>(written: &K, watched: &K) -> bool {
    matches!((version(written), version(watched)), (Some(written), Some(watched)) if written > watched)
}
