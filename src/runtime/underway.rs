//! The passes under way, and what the watch has delivered of their objects since they began.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::Resource;
use tokio::sync::watch;

/// What the watch delivered of an object while a pass over it was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivered {
    /// Nothing with another version.
    Nothing,
    /// This version and none after it.
    Version(u64),
    /// Its departure from the watch.
    Departure,
}

/// The passes under way, by uid. There is never more than one over an object.
#[derive(Debug, Default)]
pub struct Underway(Mutex<HashMap<String, watch::Sender<Delivered>>>);

/// A pass under way, until it is dropped.
#[derive(Debug)]
pub struct CurrentPass<'a> {
    underway: &'a Underway,
    uid: String,
    delivered: watch::Receiver<Delivered>,
}

impl Underway {
    /// A pass over the object begins.
    pub fn enter(&self, uid: &str) -> CurrentPass<'_> {
        let (sender, delivered) = watch::channel(Delivered::Nothing);
        self.lock().insert(uid.to_owned(), sender);
        CurrentPass {
            underway: self,
            uid: uid.to_owned(),
            delivered,
        }
    }

    /// The watch delivered a version of the object.
    pub fn saw<K: Resource>(&self, object: &K) {
        if let Some(version) = version(object) {
            self.tell(object, Delivered::Version(version));
        }
    }

    /// The object left the watch. Returns whether a pass over it is under way, which then has to handle that.
    pub fn lost<K: Resource>(&self, object: &K) -> bool {
        self.tell(object, Delivered::Departure)
    }

    fn tell<K: Resource>(&self, object: &K, news: Delivered) -> bool {
        let passes = self.lock();
        let pass = passes.get(object.meta().uid.as_deref().unwrap_or_default());
        if let Some(pass) = pass {
            pass.send_if_modified(|known| {
                let is_news = news > *known;
                *known = news.max(*known);
                is_news
            });
        }
        pass.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Delivered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CurrentPass<'_> {
    /// What the watch delivers while the pass is under way.
    pub fn delivered(&self) -> watch::Receiver<Delivered> {
        self.delivered.clone()
    }

    /// The pass is over. Returns whether the object left the watch meanwhile; later departures are not reported to it.
    pub fn leave(self) -> bool {
        let mut passes = self.underway.lock();
        passes.remove(&self.uid);
        let has_left = *self.delivered.borrow() == Delivered::Departure;
        drop(passes);
        has_left
    }
}

impl Drop for CurrentPass<'_> {
    fn drop(&mut self) {
        self.underway.lock().remove(&self.uid);
    }
}

/// The version of an object as a number, which the API server guarantees for its own storage.
pub fn version<K: Resource>(object: &K) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}
