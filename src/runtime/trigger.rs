//! Passes that something else than the object asks for.

use std::{fmt::Debug, marker::PhantomData, sync::Arc};

use futures::{Stream, StreamExt};
use kube::{Api, Resource};
use kube_runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;

use super::{reconciler::Object, snapshot::Key, source::strip};

/// Asks the controller of kind `K` for a pass over an object.
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
    /// Asks for a pass over the object, soon. Never blocks.
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

    /// Watches related objects and asks for passes over those that `related` names, whenever one of them appears, changes
    /// or goes. Runs for ever; watch `PartialObjectMeta<P>` where metadata suffices. Never for Secrets of all namespaces.
    pub async fn follow<P>(self, apis: Vec<Api<P>>, config: watcher::Config, related: impl Fn(&P) -> Vec<Key>)
    where
        P: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let streams = apis.into_iter().map(|api| touched(api, config.clone()).boxed());
        let mut objects = futures::stream::select_all(streams);
        while let Some(object) = objects.next().await {
            match object {
                Ok(object) => related(&object).into_iter().for_each(|key| self.trigger(key)),
                Err(error) => tracing::warn!(kind = %P::kind(&()), %error, "watch of related objects interrupted"),
            }
        }
    }
}

fn touched<P>(api: Api<P>, config: watcher::Config) -> impl Stream<Item = watcher::Result<P>> + Send
where
    P: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(api, config)
        .default_backoff()
        .modify(|object: &mut P| strip(object.meta_mut()))
        .touched_objects()
}
