//! The common part of a status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;

use crate::api::azure_resource::{AzureResourceStatus, Ownership};
use crate::api::condition::{Reason, kind};
use crate::azure::{Location, operation};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::ownership::{Origin, Presence};
use crate::controller::readiness;
use crate::runtime::conditions::{Conditions, Truth};
use crate::runtime::{Note, PassOutcome, Seen};

use super::blocked::Blocked;
use super::decision::{Assessment, may_use};
use super::drift::shown;
use super::observation::{Observation, ResourceState};
use super::subject::{AzureObject, Subject};

/// The common part of a new status; `None` leaves the status as it is.
///
/// A fixpoint: an object that has the answer as its status gets the same answer again.
pub fn summarize<K: AzureObject>(
    object: &K,
    seen: &Seen<'_, impl AsRef<Observation>, Assessment>,
    now: Timestamp,
) -> Option<AzureResourceStatus> {
    let known = match (seen.observed.map(AsRef::as_ref), seen.verdict) {
        (Some(Observation::Seen(resource)), Some(assessment)) => found(object, resource, assessment),
        // It was written, and the status that would have said where was not.
        (Some(Observation::Blocked(Blocked::Moved { known, .. })), _) => {
            let before = object.reported().clone();
            let id = before.id.or_else(|| Some(known.to_string()));
            AzureResourceStatus { id, ..before }
        }
        (Some(Observation::Seen(_) | Observation::Blocked(_)) | None, _) => object.reported().clone(),
    };
    told(object, seen, known, now)
}

/// The common part of a new status, where `known` says what was found in Azure; `None` leaves the status as it is.
pub fn told<K: AzureObject, O>(
    object: &K,
    seen: &Seen<'_, O, Assessment>,
    known: AzureResourceStatus,
    now: Timestamp,
) -> Option<AzureResourceStatus> {
    let subject = Subject::of(object);
    if subject.lifecycle == Lifecycle::Deleted && !subject.has_finalizer {
        return None;
    }
    let (verdict, assessment, known) = match (seen.outcome, seen.observed) {
        (PassOutcome::Failed(failure), _) => {
            let drift = object.reported().drift.clone();
            let known = AzureResourceStatus { drift, ..known };
            let verdict = subject.waiting(seen.waited, now).of_failure(failure)?;
            (subject.with_ways_out(verdict), None, known)
        }
        (PassOutcome::Done(_), None) => return None,
        (PassOutcome::Done(_), Some(_)) => {
            let assessment = seen.verdict?;
            let known = AzureResourceStatus {
                id: known.id.filter(|_| !assessment.has_let_go),
                last_handled_reconcile_at: subject.request.map(str::to_owned),
                ..known
            };
            (assessment.verdict.clone(), Some(assessment), known)
        }
    };
    let generation = object.meta().generation;
    let mut conditions = verdict.conditions(&known.conditions, generation, now);
    if let Some(assessment) = assessment {
        conditions = with_facts(conditions, assessment, generation, now);
    }
    Some(AzureResourceStatus {
        observed_generation: generation,
        conditions,
        ..known
    })
}

/// The conditions with `InSync` and `Provisioned`, as far as anybody can tell.
fn with_facts(
    conditions: Vec<Condition>,
    assessment: &Assessment,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let Assessment {
        verdict,
        in_sync,
        provisioned,
        ..
    } = assessment;
    let facts = [
        (kind::IN_SYNC, in_sync, "Azure has what the spec says"),
        (
            kind::PROVISIONED,
            provisioned,
            "Azure has the resource, and it can be used",
        ),
    ];
    let mut conditions = Conditions::from_previous(&conditions, generation, now);
    for (kind, fact, message) in facts {
        match fact {
            None => {}
            Some(true) => _ = conditions.set(kind, Truth::True, Reason::Available.as_str(), message),
            Some(false) => _ = conditions.set(kind, Truth::False, verdict.reason.as_str(), &verdict.message),
        }
    }
    conditions.into_vec()
}

/// The events for a status that was just written.
pub fn notes<K: AzureObject>(object: &K, conditions: &[Condition]) -> Vec<Note> {
    readiness::notes(&object.reported().conditions, conditions)
}

/// What the status says of a resource that was looked at.
fn found<K: AzureObject>(object: &K, resource: &ResourceState, assessment: &Assessment) -> AzureResourceStatus {
    let before = object.reported().clone();
    let usable = resource
        .actual
        .as_ref()
        .filter(|_| may_use(&Subject::of(object), resource));
    let text = |text: &str| Some(text.to_owned());
    let location = |actual: &Value| text(Location::new(actual.get("location")?.as_str()?).as_str());
    AzureResourceStatus {
        ownership: match resource.presence() {
            Presence::Owned(Origin::Created) => Some(Ownership::Created),
            Presence::Owned(Origin::Adopted) => Some(Ownership::Adopted),
            Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => None,
        },
        // Another's resource is none of ours, but what we had we may still have to find again.
        id: usable.map(|_| resource.id.to_string()).or(before.id),
        provisioning_state: usable.and_then(operation::provisioning_state).and_then(text),
        location: usable.and_then(location).or(before.location),
        drift: shown(&assessment.drift, &resource.key),
        ..before
    }
}
