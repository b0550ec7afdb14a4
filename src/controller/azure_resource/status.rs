//! The common part of a status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::azure_resource::AzureResourceStatus;
use crate::azure::operation;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::readiness::{self, Verdict};
use crate::runtime::{Note, Outcome, Seen};

use super::decision::{Assessment, may_use};
use super::drift::shown;
use super::observation::Observation;
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
    let (verdict, drift) = match (seen.outcome, seen.verdict, observation) {
        (Outcome::Failed(failure), _, _) => (Verdict::of_failure(failure, now)?, before.drift.clone()),
        (Outcome::Done(_), None, _) | (Outcome::Done(_), _, None) => return None,
        (Outcome::Done(_), Some(Assessment { verdict, .. }), Some(Observation::Blocked(_))) => {
            (verdict.clone(), before.drift.clone())
        }
        (Outcome::Done(_), Some(Assessment { verdict, drift }), Some(Observation::Seen(resource))) => {
            (verdict.clone(), shown(drift, &resource.key))
        }
    };
    let (id, provisioning_state) = identity(&subject, observation, before);
    Some(AzureResourceStatus {
        observed_generation: object.meta().generation,
        conditions: verdict.conditions(&before.conditions, object.meta().generation, now),
        id,
        provisioning_state,
        drift,
        ..before.clone()
    })
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
