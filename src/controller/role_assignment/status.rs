//! The status of a RoleAssignment.

use jiff::Timestamp;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::azure::ResourceId;
use crate::controller::azure_resource::{self, Assessment, Observation};
use crate::controller::readiness::Verdict;
use crate::runtime::{Outcome, Seen};

use super::observe::{Aim, Claim, Observed};

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &RoleAssignment,
    seen: &Seen<'_, Observed, Assessment>,
    now: Timestamp,
) -> Option<RoleAssignmentStatus> {
    let azure = azure_resource::summarize(object, seen, now)?;
    let before = object.status.clone().unwrap_or_default();
    let id = azure.id.clone();
    let status = RoleAssignmentStatus {
        azure: AzureResourceStatus {
            id: before.azure.id.clone(),
            ..azure
        },
        ..before
    };
    Some(match claimed(seen, id.as_deref()) {
        Some(claim) => with_claim(status, claim),
        None => status,
    })
}

/// What is wanted, once the status names it.
fn claimed<'a>(seen: &Seen<'a, Observed, Assessment>, id: Option<&str>) -> Option<&'a Claim> {
    let observed = seen.observed?;
    let (Aim::Ensure(Some(claim)), Observation::Seen(_), Outcome::Done(_)) =
        (&observed.aim, &observed.observation, seen.outcome)
    else {
        return None;
    };
    (id?.parse::<ResourceId>().ok()? == claim.id).then_some(claim)
}

/// The status that names an assignment before it is written.
pub fn recorded(object: &RoleAssignment, claim: &Claim, verdict: &Verdict, now: Timestamp) -> RoleAssignmentStatus {
    with_claim(told(object, verdict, now), claim)
}

/// The status without the assignment that it named.
pub fn forgotten(object: &RoleAssignment, verdict: &Verdict, now: Timestamp) -> RoleAssignmentStatus {
    RoleAssignmentStatus {
        azure: AzureResourceStatus {
            id: None,
            drift: Vec::new(),
            ..told(object, verdict, now).azure
        },
        ..RoleAssignmentStatus::default()
    }
}

fn told(object: &RoleAssignment, verdict: &Verdict, now: Timestamp) -> RoleAssignmentStatus {
    let before = object.status.clone().unwrap_or_default();
    RoleAssignmentStatus {
        azure: AzureResourceStatus {
            observed_generation: object.metadata.generation,
            conditions: verdict.conditions(&before.azure.conditions, object.metadata.generation, now),
            ..before.azure
        },
        ..before
    }
}

fn with_claim(status: RoleAssignmentStatus, claim: &Claim) -> RoleAssignmentStatus {
    let Claim { id, tuple } = claim;
    RoleAssignmentStatus {
        azure: AzureResourceStatus {
            id: Some(id.to_string()),
            ..status.azure
        },
        principal_id: Some(tuple.principal.to_string()),
        role_definition_id: Some(tuple.role.definition_id(tuple.scope.subscription())),
        scope: Some(tuple.scope.to_string()),
    }
}
