//! Kubernetes Events. They inform people; nothing depends on them.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{
    budget::Budgets,
    conditions::shortened,
    error::ApiError,
    limits::{EVENTS, REPORTED_EVERY},
};

const TIMEOUT: Duration = Duration::from_secs(5);
/// The API server refuses longer notes (`events.k8s.io/v1`).
const MAX_NOTE_BYTES: usize = 1024;
/// The API server refuses longer reasons and actions.
const MAX_WORD_BYTES: usize = 128;
/// More at once are dropped, to spare an API server that is so slow.
const MAX_IN_FLIGHT: usize = 64;

/// How alarming an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A step that every object takes, and that its status tells: it is in the log, and no event.
    Routine,
    /// As expected.
    Normal,
    /// Somebody may have to act.
    Warning,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How alarming it is.
    pub severity: Severity,
    /// Why it happened: one CamelCase word.
    pub reason: Cow<'static, str>,
    /// What was being done: one CamelCase word.
    pub action: Cow<'static, str>,
    /// The text for people; cut to 1024 bytes. Never a secret.
    pub message: String,
}

/// Publishes events in the background. Never fails, blocks or delays its caller.
///
/// Every note becomes an event of its own, because it is published for a transition only. (kube's `Recorder` merges
/// repeats under the first text and keeps six minutes of events in memory.)
#[derive(Clone)]
pub struct Events {
    client: Client,
    controller: String,
    instance: String,
    permits: Arc<Semaphore>,
    budgets: Arc<Mutex<Spent>>,
    tracker: TaskTracker,
}

/// What namespaces have left, and when it was last told of which more was dropped.
struct Spent {
    budgets: Budgets,
    reported: Instant,
}

impl Events {
    /// Events of `controller` (for example `example.com/operator`), reported by `instance` (the pod's name).
    pub fn new(client: Client, controller: impl Into<String>, instance: impl Into<String>) -> Self {
        Self {
            client,
            controller: controller.into(),
            instance: instance.into(),
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            budgets: Arc::new(Mutex::new(Spent {
                budgets: Budgets::new(EVENTS),
                reported: Instant::now(),
            })),
            tracker: TaskTracker::new(),
        }
    }

    /// Publishes a note about an object, within 5 s or not at all: not if its namespace has used up its quota.
    pub fn publish<K: Resource<DynamicType = ()>>(&self, regarding: &K, note: &Note) {
        let reference = regarding.object_ref(&());
        if !self.is_within_budget(reference.namespace.as_deref().unwrap_or_default(), Instant::now()) {
            tracing::debug!(reason = %note.reason, "event dropped, its namespace has too many");
            return;
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            tracing::debug!(reason = %note.reason, "event dropped, too many are under way");
            return;
        };
        let event = self.event(reference, note, Timestamp::now());
        let api: Api<Event> = Api::namespaced(
            self.client.clone(),
            event.metadata.namespace.as_deref().unwrap_or("default"),
        );
        self.tracker.spawn(async move {
            let _permit = permit;
            match tokio::time::timeout(TIMEOUT, api.create(&PostParams::default(), &event)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(reason = event.reason, error = %ApiError::from(error), "event not published");
                }
                Err(_) => tracing::warn!(reason = event.reason, "event not published in time"),
            }
        });
    }

    /// Waits until everything published so far is sent or given up, at most 5 s after the last.
    pub async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    fn is_within_budget(&self, namespace: &str, now: Instant) -> bool {
        let mut spent = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let is_within = spent.budgets.take(namespace);
        if now.saturating_duration_since(spent.reported) >= REPORTED_EVERY {
            spent.reported = now;
            for (namespace, events) in spent.budgets.withheld() {
                tracing::warn!(
                    namespace,
                    events,
                    "events were dropped, because the namespace has too many"
                );
            }
        }
        is_within
    }

    fn event(&self, regarding: ObjectReference, note: &Note, now: Timestamp) -> Event {
        let name = regarding.name.as_deref().unwrap_or_default();
        // An object's name may have 253 characters, and so may an event's.
        let unique = format!("{:x}{:04x}", now.as_nanosecond(), fastrand::u16(..));
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{unique}", shortened(name, 200))),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(match note.severity {
                Severity::Routine | Severity::Normal => "Normal".to_owned(),
                Severity::Warning => "Warning".to_owned(),
            }),
            reason: Some(shortened(&note.reason, MAX_WORD_BYTES).to_owned()),
            action: Some(shortened(&note.action, MAX_WORD_BYTES).to_owned()),
            note: Some(shortened(&note.message, MAX_NOTE_BYTES).to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}
