//! Requests for passes that do not come from the object itself.

use std::{marker::PhantomData, sync::Arc};

use tokio::sync::mpsc::UnboundedSender;

use super::{reconciler::Object, snapshot::Key};

/// Requests passes over objects from the controller of kind `K`.
///
/// Any number of requests for an object become one pass once it runs; requests for objects that are not watched are
/// ignored.
pub struct Triggers<K> {
    pub(super) routes: Arc<Vec<Route>>,
    pub(super) kind: PhantomData<fn() -> K>,
}

pub(super) struct Route {
    /// `None`: every namespace.
    pub(super) namespace: Option<String>,
    pub(super) sender: UnboundedSender<Key>,
}

impl<K> Clone for Triggers<K> {
    fn clone(&self) -> Self {
        Self {
            routes: Arc::clone(&self.routes),
            kind: PhantomData,
        }
    }
}

impl<K: Object> Triggers<K> {
    /// Requests a pass over the object, soon. Never blocks.
    pub fn trigger(&self, key: Key) {
        let route = self
            .routes
            .iter()
            .find(|route| route.namespace.as_deref().is_none_or(|own| own == key.namespace));
        if let Some(route) = route {
            // Only a controller that ended no longer listens.
            let _ = route.sender.send(key);
        }
    }
}
