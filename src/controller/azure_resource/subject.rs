//! The object that a decision is about.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::azure_resource::{AzureResourceStatus, DeletionPolicy, ManagementSpec};
use crate::api::condition::{Reason, kind};
use crate::api::{
    ABANDON_ANNOTATION, FINALIZER, IdentityAssignment, ManagedIdentity, RECONCILE_ANNOTATION, ResourceGroup,
    RoleAssignment, SessionPool,
};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::readiness::{Standing, Verdict};
use crate::controller::reference::{self, Reference};
use crate::controller::waiting::Waiting;
use crate::controller::watched::WatchedKind;
use crate::runtime::conditions::find;
use crate::runtime::references::Entry;
use crate::runtime::{Target, Waited, finalizer};

use super::dependency::account_id;

/// How often a resource is compared with its object where `spec.interval` does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(10);

/// What all kinds that have something in Azure have in their status.
pub trait Reports {
    /// That part of the status.
    fn reported(&self) -> &AzureResourceStatus;
}

/// A kind that has something in Azure.
pub trait AzureObject: WatchedKind + Reports {
    /// What all such kinds have in their spec.
    fn management(&self) -> &ManagementSpec;
    /// What the object refers to besides its account.
    fn references(&self) -> Vec<Reference>;
}

/// What the index knows of an object: its references, that to its account included, which has to outlive whatever the
/// object has in Azure; and the resource that it reports.
pub fn entry<K: AzureObject>(object: &K) -> Entry {
    let account = Reference {
        target: Target::Object(account_id(object)),
        is_needed: finalizer::has(object, FINALIZER),
    };
    let references = object.references().into_iter().chain([account]);
    reference::entry(references, object.reported().id.as_deref())
}

/// What an object reports that has no status yet.
static NOTHING: AzureResourceStatus = AzureResourceStatus::NOTHING;

macro_rules! reported {
    ($($kind:ty),+) => {
        $(impl Reports for $kind {
            fn reported(&self) -> &AzureResourceStatus {
                self.status.as_ref().map_or(&NOTHING, |it| &it.azure)
            }
        })+
    };
}

reported!(
    IdentityAssignment,
    ManagedIdentity,
    ResourceGroup,
    RoleAssignment,
    SessionPool
);

/// The object as decisions see it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The common part of its spec.
    pub spec: &'a ManagementSpec,
    /// Whether it is to exist.
    pub lifecycle: Lifecycle,
    /// Whether it carries the finalizer.
    pub has_finalizer: bool,
    /// Whether somebody decided to let it go although its resource is still there.
    pub is_abandoned: bool,
    /// The object's UID.
    pub uid: &'a str,
    /// Whether the annotation by which that is decided names something else than the object's UID.
    pub is_abandoned_wrongly: bool,
    /// Its conditions so far.
    pub conditions: &'a [Condition],
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Since when it is `Stalled`, if it is.
    pub stalled_since: Option<Timestamp>,
    /// The last known id of its resource.
    pub id: Option<&'a str>,
    /// The value of the annotation by which a look was asked for.
    pub request: Option<&'a str>,
    /// Whether nobody has acted on that yet.
    pub is_requested: bool,
}

impl<'a> Subject<'a> {
    /// The subject that an object is.
    pub fn of<K: AzureObject>(object: &'a K) -> Self {
        let meta = object.meta();
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|it| it.get(name));
        let abandoned = annotation(ABANDON_ANNOTATION);
        let request = annotation(RECONCILE_ANNOTATION).map(String::as_str);
        let reported = object.reported();
        Self {
            spec: object.management(),
            lifecycle: if meta.deletion_timestamp.is_some() {
                Lifecycle::Deleted
            } else {
                Lifecycle::Wanted
            },
            has_finalizer: finalizer::has(object, FINALIZER),
            // The UID has to be named, so that the annotation of one object cannot be carried over to another.
            is_abandoned: abandoned.is_some() && abandoned == meta.uid.as_ref(),
            uid: meta.uid.as_deref().unwrap_or_default(),
            is_abandoned_wrongly: abandoned.is_some() && abandoned != meta.uid.as_ref(),
            conditions: &reported.conditions,
            generation: meta.generation,
            stalled_since: find(&reported.conditions, kind::STALLED).map(|it| it.last_transition_time.0),
            id: reported.id.as_deref(),
            request,
            is_requested: request.is_some() && request != reported.last_handled_reconcile_at.as_deref(),
        }
    }

    /// The pause between two looks at a resource at rest.
    pub fn interval(&self) -> Duration {
        let own = self.spec.interval.as_ref().and_then(|it| it.duration());
        own.unwrap_or(DEFAULT_INTERVAL).max(Duration::from_secs(1))
    }

    /// What a verdict on it depends on besides.
    pub fn waiting(&self, waited: &'a Waited, now: Timestamp) -> Waiting<'a> {
        Waiting {
            conditions: self.conditions,
            generation: self.generation,
            waited,
            now,
        }
    }

    /// The verdict, and for an object that is being deleted and does not go by itself, how it can.
    pub fn with_ways_out(&self, mut verdict: Verdict) -> Verdict {
        if self.lifecycle == Lifecycle::Wanted {
            return verdict;
        }
        let Self { uid, .. } = self;
        let goes = verdict.standing == Standing::Progressing && verdict.reason == Reason::Deleting;
        let mut ways = Vec::new();
        if !goes && self.spec.deletion_policy != Some(DeletionPolicy::Retain) {
            ways.push("set spec.deletionPolicy to Retain".to_owned());
        }
        if !goes {
            ways.push(format!("set the annotation {ABANDON_ANNOTATION} to {uid}"));
        }
        let mut sentences = vec![verdict.message.trim_end_matches('.').to_owned()];
        if !ways.is_empty() {
            let ways = ways.join(", or ");
            sentences.push(format!("To let the object go and leave what it has in Azure, {ways}"));
        }
        if self.is_abandoned_wrongly {
            sentences.push(format!(
                "The annotation {ABANDON_ANNOTATION} is ignored: it has to be the object's uid, {uid}"
            ));
        }
        verdict.message = sentences.join(". ");
        verdict
    }
}

/// How long ago something was; zero if the clock went back.
pub fn age(at: Timestamp, now: Timestamp) -> Duration {
    let age: SignedDuration = now.duration_since(at);
    Duration::try_from(age).unwrap_or_default()
}
