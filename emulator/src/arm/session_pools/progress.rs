//! Operations under way on a session pool.

use axum::http::StatusCode;
use jiff::Timestamp;

use super::{ArmError, ArmRequest, Target, operations};
use crate::clock::seconds;
use crate::json::get_str;
use crate::store::{OperationOutcome, Pending, PendingKind, Resource, Store};

/// Refuses a change of a pool while an operation is under way on it.
pub fn refuse_busy(resource: &Resource) -> Result<(), ArmError> {
    let Some(pending) = &resource.pending else {
        return Ok(());
    };
    let (code, what) = match pending.kind {
        PendingKind::Delete => ("Conflict", "is being deleted"),
        PendingKind::Create | PendingKind::Update => ("OperationInProgress", "has an operation in progress"),
    };
    Err(ArmError::new(
        StatusCode::CONFLICT,
        code,
        format!(
            "The session pool '{}' {what}. Try again when it is through.",
            resource.name
        ),
    ))
}

/// Puts an operation under way if pools of this type have them; says whether it did.
pub fn begin(request: &ArmRequest<'_>, resource: &mut Resource, kind: PendingKind) -> bool {
    let arm = &request.state.behaviour().arm;
    let custom = get_str(&resource.properties, "containerType") == Some("CustomContainer");
    if !custom && !arm.asynchronous_built_in_pools {
        if kind != PendingKind::Delete {
            "Succeeded".clone_into(&mut resource.provisioning_state);
        }
        return false;
    }
    if resource
        .pending
        .as_ref()
        .is_none_or(|pending| pending.kind != PendingKind::Delete)
    {
        let outcome = if kind == PendingKind::Delete {
            OperationOutcome::Succeeded
        } else {
            arm.pool_outcome.clone()
        };
        resource.pending = Some(Pending {
            kind,
            due: request.now + seconds(arm.operation_seconds),
            outcome,
        });
    }
    true
}

/// Remembers the operation for its status endpoints and returns its id.
pub fn start(request: &ArmRequest<'_>, store: &mut Store, due: Timestamp, target: String, deletes: bool) -> String {
    let outcome = if deletes {
        OperationOutcome::Succeeded
    } else {
        request.state.behaviour().arm.pool_outcome.clone()
    };
    operations::start(store, request.now, due, target, outcome, deletes)
}

/// URL of an operation's status endpoint.
pub fn status_url(request: &ArmRequest<'_>, pool: &Target, location: &str, kind: &str, operation: &str) -> String {
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.App/locations/{location}/{kind}/{}",
        pool.subscription,
        operations::opaque("sessionPools", operation)
    );
    operations::signed_url(request, &path)
}
