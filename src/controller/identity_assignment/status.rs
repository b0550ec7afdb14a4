//! The status of an IdentityAssignment.

use jiff::Timestamp;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{IdentityAssignment, IdentityAssignmentStatus};
use crate::azure::operation;
use crate::controller::azure_resource::{Subject, drift};
use crate::controller::policy::Lifecycle;
use crate::controller::readiness::Verdict;
use crate::runtime::{Outcome, Seen};

use super::course::{Course, course};
use super::goal::wanted_marks;
use super::look::{Look, View};
use super::target::short_name;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &IdentityAssignment,
    seen: &Seen<'_, Look>,
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
    let (verdict, status) = match (seen.outcome, seen.observed) {
        (Outcome::Failed(failure), _) => (Verdict::of_failure(failure, now)?, known),
        (Outcome::Done(_), None) => return None,
        (Outcome::Done(_), Some(look)) => {
            let course = course(&subject, look, now);
            let status = match look {
                Look::Held(_) => known,
                Look::Seen(view) => found(&subject, view, &course, known),
            };
            (course.verdict, status)
        }
    };
    let conditions = verdict.conditions(&before.azure.conditions, object.metadata.generation, now);
    Some(IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            conditions,
            ..status.azure
        },
        ..status
    })
}

fn found(
    subject: &Subject<'_>,
    view: &View,
    course: &Course,
    known: IdentityAssignmentStatus,
) -> IdentityAssignmentStatus {
    let block = view.block();
    // What is being deleted wants nothing any more; what it had is told until it is gone.
    let (system, ids) = match subject.lifecycle {
        Lifecycle::Wanted => (
            block.system().filter(|_| view.wanted.system).cloned(),
            wanted_marks(view)
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
    let is_there = view.actual.is_some();
    IdentityAssignmentStatus {
        azure: AzureResourceStatus {
            id: (is_there && !course.has_let_go).then(|| view.id.to_string()),
            provisioning_state: view
                .actual
                .as_ref()
                .and_then(operation::provisioning_state)
                .map(str::to_owned),
            drift: drift::shown(&course.drift, &view.key),
            ..known.azure
        },
        principal_id: system.principal_id,
        tenant_id: system.tenant_id,
        user_assigned_identities: ids,
        ..known
    }
}
