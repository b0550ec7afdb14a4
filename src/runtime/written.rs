//! Reading one's own writes.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;

use super::{reconciler::Object, snapshot::Snapshot};

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

    /// The newer of the watched object and what was last written to it. Forgets a write that the watch caught up with.
    pub fn latest(&self, watched: Snapshot<K>) -> Snapshot<K> {
        let uid = watched.meta().uid.as_deref().unwrap_or_default();
        let mut entries = self.lock();
        match entries.get(uid) {
            Some(written) if is_newer(&**written, &*watched) => written.clone(),
            Some(_) => {
                entries.remove(uid);
                watched
            }
            None => watched,
        }
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

    /// How many writes the watch has not caught up with.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether the watch has caught up with every write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Snapshot<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_newer<K: Object>(written: &K, watched: &K) -> bool {
    matches!((version(written), version(watched)), (Some(written), Some(watched)) if written > watched)
}

fn version<K: Object>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}
