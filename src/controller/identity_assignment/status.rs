//! The status of an IdentityAssignment.

use jiff::Timestamp;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{IdentityAssignment, IdentityAssignmentStatus};
use crate::azure::operation;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{Assessment, Observation, Subject, drift, told};
use crate::runtime::{PassOutcome, Seen};

use super::observation::{TargetObservation, TargetState};
use super::target::short_name;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &IdentityAssignment,
    seen: &Seen<'_, TargetObservation, Assessment>,
    now: Timestamp,
) -> Option<IdentityAssignmentStatus> {
    let known = match (seen.outcome, seen.observed, seen.verdict) {
        (PassOutcome::Done(_), Some(Observation::Seen(resource)), Some(assessment)) => {
            found(object, resource, assessment)
        }
        _ => object.status.clone().unwrap_or_default(),
    };
    let azure = told(object, seen, known.azure, now)?;
    Some(IdentityAssignmentStatus {
        azure,
        target: Some(short_name(&object.spec.target)),
        ..known
    })
}

fn found(object: &IdentityAssignment, resource: &TargetState, assessment: &Assessment) -> IdentityAssignmentStatus {
    let before = object.status.clone().unwrap_or_default();
    // What is being deleted wants nothing any more; what it had is told until it is gone.
    let (tells_system, ids) = match Subject::of(object).lifecycle {
        Lifecycle::Wanted => (resource.wanted.system, resource.wanted.ids.clone()),
        Lifecycle::Deleted => (before.principal_id.is_some(), before.user_assigned_identities),
    };
    let (actual, block) = (resource.actual.as_ref(), resource.block());
    let system = block.system().filter(|_| tells_system).cloned().unwrap_or_default();
    IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            id: actual.map(|_| resource.id.to_string()),
            provisioning_state: actual.and_then(operation::provisioning_state).map(str::to_owned),
            drift: drift::shown(&assessment.drift, &resource.key),
            ..before.azure
        },
        principal_id: system.principal_id,
        tenant_id: system.tenant_id,
        user_assigned_identities: ids.into_iter().filter(|id| block.get(id).is_some()).collect(),
        target: before.target,
    }
}
