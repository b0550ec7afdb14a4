//! The common part of a status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::condition::{Reason, kind};
use crate::azure::{Location, operation};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::readiness::{self, Verdict};
use crate::runtime::conditions::{Conditions, Truth};
use crate::runtime::{Note, Outcome, Seen};

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
    let subject = Subject::of(object);
    if subject.lifecycle == Lifecycle::Deleted && !subject.has_finalizer {
        return None;
    }
    let before = object.reported();
    let observation = seen.observed.map(AsRef::as_ref);
    let (verdict, drift, in_sync) = match (seen.outcome, seen.verdict, observation) {
        (Outcome::Failed(failure), _, _) => (Verdict::of_failure(failure, now)?, before.drift.clone(), None),
        (Outcome::Done(_), None, _) | (Outcome::Done(_), _, None) => return None,
        (Outcome::Done(_), Some(assessment), Some(Observation::Blocked(_))) => {
            (assessment.verdict.clone(), before.drift.clone(), None)
        }
        (Outcome::Done(_), Some(assessment), Some(Observation::Seen(resource))) => (
            assessment.verdict.clone(),
            shown(&assessment.drift, &resource.key),
            assessment.in_sync,
        ),
    };
    let (id, provisioning_state) = identity(&subject, observation, before);
    Some(AzureResourceStatus {
        observed_generation: object.meta().generation,
        conditions: with_sync(
            verdict.conditions(&before.conditions, object.meta().generation, now),
            &verdict,
            in_sync,
            object.meta().generation,
            now,
        ),
        location: match observation {
            Some(Observation::Seen(resource)) if id.is_some() => location(resource).or_else(|| before.location.clone()),
            Some(Observation::Seen(_) | Observation::Blocked(_)) | None => before.location.clone(),
        },
        id,
        provisioning_state,
        drift,
        last_handled_reconcile_at: match seen.outcome {
            Outcome::Done(_) => subject.request.map(str::to_owned),
            Outcome::Failed(_) => before.last_handled_reconcile_at.clone(),
        },
        ..before.clone()
    })
}

/// The conditions with `InSync`, as far as anybody can tell.
pub fn with_sync(
    conditions: Vec<Condition>,
    verdict: &Verdict,
    in_sync: Option<bool>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let (truth, reason, message) = match in_sync {
        None => return conditions,
        Some(true) => (
            Truth::True,
            Reason::Available,
            "Azure has what the spec says".to_owned(),
        ),
        Some(false) => (Truth::False, verdict.reason, verdict.message.clone()),
    };
    let mut conditions = Conditions::from_previous(&conditions, generation, now);
    conditions.set(kind::IN_SYNC, truth, reason.as_str(), &message);
    conditions.into_vec()
}

fn location(resource: &ResourceState) -> Option<String> {
    let location = resource.actual.as_ref()?.get("location")?.as_str()?;
    Some(Location::new(location).as_str().to_owned())
}

/// The events for a status that was just written.
pub fn notes<K: AzureObject>(object: &K, conditions: &[Condition]) -> Vec<Note> {
    readiness::notes(&object.reported().conditions, conditions)
}

fn identity(
    subject: &Subject<'_>,
    observation: Option<&Observation>,
    before: &AzureResourceStatus,
) -> (Option<String>, Option<String>) {
    let known = (before.id.clone(), before.provisioning_state.clone());
    match observation {
        None | Some(Observation::Blocked(_)) => known,
        Some(Observation::Seen(resource)) => match &resource.actual {
            Some(actual) if may_use(subject, resource) => (
                Some(resource.id.to_string()),
                operation::provisioning_state(actual).map(str::to_owned),
            ),
            // Another's resource is none of ours, but what we had we may still have to find again.
            Some(_) | None => (known.0, None),
        },
    }
}
