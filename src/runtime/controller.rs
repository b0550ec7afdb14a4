//! A controller: the watches of one kind, and a pass for every object that changed, was triggered or is due.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt};
use kube::{
    Resource,
    core::{DeserializeGuard, ObjectMeta, PartialObjectMeta, PartialObjectMetaExt},
};
use kube_runtime::{
    controller::{Action, Config, Controller as KubeController, Error, RunnerError},
    reflector::ObjectRef,
    utils::Backoff,
    watcher,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::{
    counters::Counters,
    drive::{Drive, Settings},
    events::Events,
    health::HealthCheck,
    reconciler::{Object, Reconciler},
    references::{Entry, Kind, ObjectId, References},
    snapshot::{Cache, Key},
    source::{Notice, Shard, Source, Witness, triggering},
    status::StatusWriter,
};

/// The controller of one kind. It does nothing until it is run.
pub struct Controller<R: Reconciler> {
    source: Source<R::Object>,
    drive: Arc<Drive<R>>,
    observers: Vec<Observer<R::Object>>,
    check: Option<HealthCheck>,
    stop: CancellationToken,
}

type Observer<K> = Box<dyn Fn(&K, Change) + Send + Sync>;
type PassResult<K> = Result<(ObjectRef<DeserializeGuard<K>>, Action), Error<Infallible, watcher::Error>>;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It appeared or changed.
    Seen,
    /// It is gone.
    Gone,
}

/// Why a controller ended before it was stopped. The process must end then, or the kind would no longer be reconciled.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The queue of passes broke.
    #[error("the queue of passes ended")]
    Queue(#[source] RunnerError),
    /// The watches ended.
    #[error("the watches ended")]
    Ended,
}

impl<R: Reconciler> Controller<R> {
    /// A controller that reconciles what `source` watches and writes status through `status`, until `stop` is cancelled.
    pub fn new(
        source: Source<R::Object>,
        reconciler: Arc<R>,
        status: StatusWriter<R::Object>,
        events: Events,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        let drive = Drive::new(reconciler, source.cache(), status, events, settings, stop.clone());
        Self {
            source,
            drive: Arc::new(drive),
            observers: Vec::new(),
            check: None,
            stop,
        }
    }

    /// Keeps the entries of this kind in the index: `entry` says what an object refers to.
    #[must_use]
    pub fn indexed(
        mut self,
        references: References,
        entry: impl Fn(&R::Object) -> Entry + Send + Sync + 'static,
    ) -> Self
    where
        R::Object: Kind,
    {
        self.observers.push(Box::new(move |object, change| {
            let id = ObjectId::of(object);
            match change {
                Change::Seen => references.set(&id, entry(object)),
                Change::Gone => references.remove(&id),
            }
        }));
        self
    }

    /// Reports to `check` when everything was listed once, and when the watches keep failing.
    #[must_use]
    pub fn report_to(mut self, check: HealthCheck) -> Self {
        self.check = Some(check);
        self
    }

    /// The objects that are watched.
    pub fn cache(&self) -> Cache<R::Object> {
        self.source.cache()
    }

    /// The counters of the passes so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.drive.counters()
    }

    /// Runs until `stop` is cancelled; passes under way are finished first. Any other end is an error.
    pub async fn run(self) -> Result<(), ControllerError> {
        let kind = R::Object::kind(&());
        let cache = self.source.cache();
        let counters = self.drive.counters();
        let observers = Arc::new(self.observers);
        let (config, notice) = (self.source.config.clone(), self.source.notice());
        let mut results = futures::stream::select_all(self.source.shards.into_iter().map(|shard| {
            let witness = ControllerWitness {
                drive: Arc::clone(&self.drive),
                observers: Arc::clone(&observers),
                check: self.check.clone(),
            };
            shard_stream(shard, config.clone(), notice.clone(), witness, self.stop.clone()).boxed()
        }));
        let primed = async {
            cache.ready().await;
            tracing::info!(%kind, objects = cache.len(), "watching");
            if let Some(check) = &self.check {
                check.ready();
            }
        };
        let passes = async {
            while let Some(result) = results.next().await {
                match result {
                    // The pass itself has said what there is to say.
                    Ok(_) => {}
                    Err(Error::ReconcilerFailed(never, _)) => match never {},
                    // Deleted while it waited for its turn.
                    Err(Error::ObjectNotFound(object)) => tracing::debug!(%object, "gone before its pass"),
                    Err(Error::QueueError(error)) => tracing::warn!(%kind, %error, "watch interrupted"),
                    Err(Error::RunnerError(error)) => return Err(ControllerError::Queue(error)),
                }
            }
            if self.stop.is_cancelled() {
                Ok(())
            } else {
                Err(ControllerError::Ended)
            }
        };
        let mut passes = std::pin::pin!(passes);
        let ended = tokio::select! {
            ended = &mut passes => ended,
            () = primed => passes.await,
        };
        tracing::info!(%kind, passes = counters.passes(), status_writes = counters.status_writes(), "stopped");
        ended
    }
}

fn shard_stream<R: Reconciler>(
    shard: Shard<R::Object>,
    config: watcher::Config,
    notice: Notice<R::Object>,
    witness: ControllerWitness<R>,
    stop: CancellationToken,
) -> impl Stream<Item = PassResult<R::Object>> + Send {
    let store = shard.writer.as_reader();
    let drive = Arc::clone(&witness.drive);
    let objects = triggering(shard.api, config, shard.writer, shard.now_primed, notice, witness);
    KubeController::for_stream(objects, store)
        // How many passes there are at a time is decided where namespaces have their turns.
        .with_config(Config::default().concurrency(0))
        // The watch has its own backoff; another one here would also hold up the triggers.
        .trigger_backoff(NoBackoff)
        .watches_stream(keys::<R::Object>(shard.triggered), |object| {
            let key = Key::of(&object);
            [ObjectRef::new(&key.name).within(&key.namespace)]
        })
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            |object, drive: Arc<Drive<R>>| drive.pass(object),
            |_, never: &Infallible, _| match *never {},
            drive,
        )
}

/// Triggers in the form in which kube takes them: as objects of which only namespace and name matter.
fn keys<K: Object>(
    triggered: UnboundedReceiver<Key>,
) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + 'static {
    futures::stream::unfold(triggered, |mut triggered| async move {
        let Some(key) = triggered.recv().await else {
            // Nobody is left who could trigger; the watches go on.
            return std::future::pending().await;
        };
        let meta = ObjectMeta {
            namespace: Some(key.namespace),
            name: Some(key.name),
            ..ObjectMeta::default()
        };
        Some((Ok(meta.into_response_partial()), triggered))
    })
}

struct ControllerWitness<R: Reconciler> {
    drive: Arc<Drive<R>>,
    observers: Arc<Vec<Observer<R::Object>>>,
    check: Option<HealthCheck>,
}

impl<R: Reconciler> ControllerWitness<R> {
    fn tell(&self, object: &DeserializeGuard<R::Object>, change: Change) {
        if let Ok(object) = &object.0 {
            let told = catch_unwind(AssertUnwindSafe(|| {
                for observer in &*self.observers {
                    observer(object, change);
                }
            }));
            if told.is_err() {
                tracing::error!(object = %Key::of(object), "a panic while others were told of a change");
            }
        }
    }
}

impl<R: Reconciler> Witness<R::Object> for ControllerWitness<R> {
    fn saw(&self, object: &DeserializeGuard<R::Object>) {
        self.drive.saw(object);
        self.tell(object, Change::Seen);
    }

    fn saw_no_news(&self, object: &DeserializeGuard<R::Object>) {
        self.drive.saw(object);
    }

    fn lost(&self, object: DeserializeGuard<R::Object>) {
        self.tell(&object, Change::Gone);
        self.drive.lost(object);
    }

    fn interrupted(&self) {
        self.drive.counters().count_watch_error();
        if let Some(check) = &self.check {
            check.failed();
        }
    }
}

struct NoBackoff;

impl Iterator for NoBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoBackoff {
    fn reset(&mut self) {}
}
