//! Watch streams: they tolerate objects that cannot be decoded, drop what is not used, and notice what was deleted.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    marker::PhantomData,
    sync::Arc,
};

use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, core::DeserializeGuard};
use kube_runtime::{
    WatchStreamExt,
    reflector::{Lookup, Store, store::Writer},
    watcher::{self, Event},
};
use tokio::sync::{
    mpsc::{UnboundedReceiver, unbounded_channel},
    watch,
};

use super::{
    limits::{ANNOTATION_CHARS, PAGE},
    reconciler::Object,
    snapshot::{Cache, CacheShard, Key},
    trigger::{Route, Triggers},
};

/// Which namespaces are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them, by one cluster-wide watch.
    Cluster,
    /// These, by a watch each, so that permissions in these namespaces suffice.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// All namespaces if the list is empty, else those on it.
    pub fn new(namespaces: impl IntoIterator<Item = String>) -> Self {
        let namespaces: BTreeSet<String> = namespaces.into_iter().collect();
        if namespaces.is_empty() {
            Self::Cluster
        } else {
            Self::Namespaces(namespaces)
        }
    }

    /// One API handle for each watch.
    pub fn apis<K>(&self, client: &Client) -> Vec<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.names()
            .into_iter()
            .map(|namespace| api(client, namespace.as_deref()))
            .collect()
    }

    fn names(&self) -> Vec<Option<String>> {
        match self {
            Self::Cluster => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

type Comparison<K> = dyn Fn(&K, &K) -> bool + Send + Sync;

/// What is taken notice of.
pub(super) struct Notice<K> {
    /// Takes away what is not kept of an object.
    shorten: fn(&mut K),
    /// Whether the second version of an object has anything new for somebody who knows the first.
    is_news: Arc<Comparison<K>>,
}

impl<K> Clone for Notice<K> {
    fn clone(&self) -> Self {
        Self {
            shorten: self.shorten,
            is_news: Arc::clone(&self.is_news),
        }
    }
}

/// The watches of one kind, not yet running, with handles to what they will fill.
///
/// The cache and the triggers can be given to other controllers before this one runs.
pub struct Source<K: Object> {
    pub(super) shards: Vec<Shard<K>>,
    pub(super) config: watcher::Config,
    notice: Notice<K>,
    cache: Cache<K>,
    triggers: Triggers<K>,
}

/// One watch. A store holds the objects of exactly one watch, because a re-list replaces all of it.
pub(super) struct Shard<K: Object> {
    pub(super) api: Api<DeserializeGuard<K>>,
    pub(super) writer: Writer<DeserializeGuard<K>>,
    pub(super) now_primed: watch::Sender<bool>,
    pub(super) triggered: UnboundedReceiver<Key>,
}

impl<K: Object> Source<K> {
    /// Prepares to watch `scope`, limited by the selectors of `config`.
    pub fn new(client: &Client, scope: &Scope, config: watcher::Config) -> Self {
        let mut shards = Vec::new();
        let mut stores = Vec::new();
        let mut routes = Vec::new();
        for namespace in scope.names() {
            let writer = Writer::new(());
            let (sender, triggered) = unbounded_channel();
            let (now_primed, primed) = watch::channel(false);
            stores.push(CacheShard {
                namespace: namespace.clone(),
                store: writer.as_reader(),
                primed,
            });
            routes.push(Route {
                namespace: namespace.clone(),
                sender,
            });
            shards.push(Shard {
                api: api(client, namespace.as_deref()),
                writer,
                now_primed,
                triggered,
            });
        }
        Self {
            shards,
            config: config.page_size(PAGE),
            notice: Notice {
                shorten: |_| {},
                is_news: Arc::new(|_, _| true),
            },
            cache: Cache {
                shards: Arc::new(stores),
            },
            triggers: Triggers {
                routes: Arc::new(routes),
                kind: PhantomData,
            },
        }
    }

    /// Keeps of each object only what `shorten` leaves of it. Whoever needs the rest reads it.
    #[must_use]
    pub fn shortened(mut self, shorten: fn(&mut K)) -> Self {
        self.notice.shorten = shorten;
        self
    }

    /// Takes no notice of a change of nothing but what `shown` leaves out of an object: it is in the cache, and neither causes a pass
    /// nor wakes anybody.
    #[must_use]
    pub fn comparing(mut self, shown: fn(&K) -> K) -> Self
    where
        K: PartialEq,
    {
        self.notice.is_news = Arc::new(move |before, after| {
            let versionless = |object: &K| {
                let mut object = object.clone();
                object.meta_mut().resource_version = None;
                object
            };
            let (before, after) = (versionless(before), versionless(after));
            // Where nothing differs, something has changed that is not kept, such as somebody's annotation.
            before == after || shown(&before) != shown(&after)
        });
        self
    }

    pub(super) fn notice(&self) -> Notice<K> {
        self.notice.clone()
    }

    /// The objects, once the controller runs.
    pub fn cache(&self) -> Cache<K> {
        self.cache.clone()
    }

    /// Requests passes over the objects.
    pub fn triggers(&self) -> Triggers<K> {
        self.triggers.clone()
    }
}

/// Drops what is not used and may be large: managedFields, labels, owners, and the annotations that are not of the
/// kind's own API group. Of those not more than their first characters are kept.
pub fn strip<K: Resource<DynamicType = ()>>(object: &mut K) {
    let own = format!("{}/", K::group(&()));
    let meta = object.meta_mut();
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    let annotations = meta.annotations.take().unwrap_or_default();
    let kept = annotations.into_iter().filter(|(name, _)| name.starts_with(&own));
    let kept: BTreeMap<_, _> = kept.map(|(name, value)| (name, bounded(value))).collect();
    meta.annotations = (!kept.is_empty()).then_some(kept);
}

fn bounded(value: String) -> String {
    match value.char_indices().nth(ANNOTATION_CHARS) {
        Some((end, _)) => value[..end].to_owned(),
        None => value,
    }
}

/// What happens on a watch, beside the objects that it triggers.
pub(super) trait Witness<K: Object>: Send {
    /// The store holds this version now.
    fn saw(&self, object: &DeserializeGuard<K>);
    /// The store holds this version now, and nothing that matters has changed.
    fn saw_no_news(&self, object: &DeserializeGuard<K>);
    /// The store no longer holds this object.
    fn lost(&self, object: DeserializeGuard<K>);
    /// The watch was interrupted; it is resumed with backoff.
    fn interrupted(&self);
}

/// The stream of objects to reconcile; fills the store and tells the witness.
pub(super) fn triggering<K: Object>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut writer: Writer<DeserializeGuard<K>>,
    now_primed: watch::Sender<bool>,
    notice: Notice<K>,
    witness: impl Witness<K> + 'static,
) -> impl Stream<Item = watcher::Result<DeserializeGuard<K>>> + Send {
    let store = writer.as_reader();
    let Notice { shorten, is_news } = notice;
    let mut departures = Departures::default();
    watcher::watcher(api, config)
        .default_backoff()
        .modify(move |object: &mut DeserializeGuard<K>| {
            strip(object);
            if let Ok(object) = &mut object.0 {
                shorten(object);
            }
        })
        .filter_map(move |event| {
            let mut is_told = true;
            match &event {
                Ok(event) => {
                    let departed = departures.follow(event, &store);
                    if let Event::Apply(object) = event
                        && let Some(before) = store.get(&object.to_object_ref(()))
                        && let (Ok(before), Ok(after)) = (&before.0, &object.0)
                    {
                        is_told = is_news(before, after);
                    }
                    writer.apply_watcher_event(event);
                    for object in departed {
                        witness.lost(object);
                    }
                    match event {
                        Event::Apply(object) if is_told => witness.saw(object),
                        Event::Apply(object) => witness.saw_no_news(object),
                        Event::InitDone => {
                            // Whoever waits for the list finds what follows from it, too.
                            store.state().iter().for_each(|object| witness.saw(object));
                            now_primed.send_replace(true);
                        }
                        // The store takes over a list as a whole, when it is done.
                        Event::Init | Event::InitApply(_) | Event::Delete(_) => {}
                    }
                }
                Err(_) => witness.interrupted(),
            }
            std::future::ready(is_told.then_some(event))
        })
        .applied_objects()
}

/// Finds out which objects are gone: deleted on the watch, missing after a re-list, or replaced by one of the same name.
#[derive(Debug, Default)]
struct Departures {
    /// The uids of a re-list under way.
    listed: HashSet<String>,
}

impl Departures {
    /// To be called before the event is applied to the store.
    fn follow<K: Object>(
        &mut self,
        event: &Event<DeserializeGuard<K>>,
        store: &Store<DeserializeGuard<K>>,
    ) -> Vec<DeserializeGuard<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(uid(object).to_owned());
                Vec::new()
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                store
                    .state_filter(|object| !listed.contains(uid(object)))
                    .iter()
                    .map(|o| (**o).clone())
                    .collect()
            }
            Event::Apply(object) => {
                let namesake = store
                    .get(&object.to_object_ref(()))
                    .filter(|known| uid(&**known) != uid(object));
                namesake.iter().map(|o| (**o).clone()).collect()
            }
            Event::Delete(object) => vec![object.clone()],
        }
    }
}

fn uid<K: Resource>(object: &K) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
