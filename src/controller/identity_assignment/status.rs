//! The status of an IdentityAssignment.

use jiff::Timestamp;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{IdentityAssignment, IdentityAssignmentStatus};
use crate::azure::operation;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{Subject, drift, with_sync};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Outcome, Seen};

use super::decision::TargetAssessment;
use super::goal::wanted_marks;
use super::observation::{TargetObservation, TargetState};
use super::target::short_name;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &IdentityAssignment,
    seen: &Seen<'_, TargetObservation, TargetAssessment>,
    now: Timestamp,
) -> Option<IdentityAssignmentStatus> {
    let subject = Subject::of(object);
    if subject.lifecycle == Lifecycle::Deleted && !subject.has_finalizer {
        return None;
    }
    let before = object.status.clone().unwrap_or_default();
    let known = IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            observed_generation: object.metadata.generation,
            ..before.azure.clone()
        },
        target: Some(short_name(&object.spec.target)),
        ..before.clone()
    };
    let (verdict, status) = match (seen.outcome, seen.verdict, seen.observed) {
        (Outcome::Failed(failure), _, _) => (Verdict::of_failure(failure, now)?, known),
        (Outcome::Done(_), None, _) | (Outcome::Done(_), _, None) => return None,
        (Outcome::Done(_), Some(assessment), Some(observation)) => {
            let status = match observation {
                TargetObservation::Blocked(_) => known,
                TargetObservation::Seen(resource) => found(&subject, resource, assessment, known),
            };
            (assessment.verdict.clone(), status)
        }
    };
    let (in_sync, last_handled_reconcile_at) = match (seen.outcome, seen.observed, seen.verdict) {
        (Outcome::Done(_), Some(TargetObservation::Seen(_)), Some(assessment)) => {
            let is_wanted = subject.lifecycle == Lifecycle::Wanted;
            let in_sync = assessment.drift.is_empty() && assessment.verdict.standing == Standing::Ready;
            (is_wanted.then_some(in_sync), subject.request.map(str::to_owned))
        }
        _ => (None, before.azure.last_handled_reconcile_at.clone()),
    };
    let generation = object.metadata.generation;
    let conditions = verdict.conditions(&before.azure.conditions, generation, now);
    let conditions = with_sync(conditions, &verdict, in_sync, generation, now);
    Some(IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            conditions,
            last_handled_reconcile_at,
            ..status.azure
        },
        ..status
    })
}

fn found(
    subject: &Subject<'_>,
    resource: &TargetState,
    assessment: &TargetAssessment,
    known: IdentityAssignmentStatus,
) -> IdentityAssignmentStatus {
    let block = resource.block();
    // What is being deleted wants nothing any more; what it had is told until it is gone.
    let (system, ids) = match subject.lifecycle {
        Lifecycle::Wanted => (
            block.system().filter(|_| resource.wanted.system).cloned(),
            wanted_marks(resource)
                .filter_map(|(_, id)| id)
                .filter(|id| block.get(id).is_some())
                .map(str::to_owned)
                .collect(),
        ),
        Lifecycle::Deleted => (
            block.system().filter(|_| known.principal_id.is_some()).cloned(),
            known
                .user_assigned_identities
                .iter()
                .filter(|id| block.get(id).is_some())
                .cloned()
                .collect(),
        ),
    };
    let system = system.unwrap_or_default();
    let is_there = resource.actual.is_some();
    IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            id: (is_there && !assessment.has_let_go).then(|| resource.id.to_string()),
            provisioning_state: resource
                .actual
                .as_ref()
                .and_then(operation::provisioning_state)
                .map(str::to_owned),
            drift: drift::shown(&assessment.drift, &resource.key),
            ..known.azure
        },
        principal_id: system.principal_id,
        tenant_id: system.tenant_id,
        user_assigned_identities: ids,
        ..known
    }
}
