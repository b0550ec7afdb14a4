//! Asynchronous operations on a resource: how they begin, what they keep others from doing, and their status URLs.

use jiff::Timestamp;

use super::target::Target;
use super::{ArmReply, ArmRequest, operations};
use crate::clock::seconds;
use crate::store::{OperationOutcome, Pending, PendingKind, Resource, Store};

/// Puts an operation under way on an environment, a container app or a container group; returns when it is through.
///
/// With operations that take no time there is none to return: a creation or change is through, a deletion is before the
/// answer is sent. A deletion that is under way goes on and is not begun again.
pub fn begin(request: &ArmRequest<'_>, resource: &mut Resource, kind: PendingKind) -> Option<Timestamp> {
    let arm = &request.state.behaviour().arm;
    if let Some(pending) = &resource.pending
        && pending.kind == PendingKind::Delete
    {
        return Some(pending.due);
    }
    let outcome = match kind {
        PendingKind::Delete => OperationOutcome::Succeeded,
        PendingKind::Create | PendingKind::Update => arm.container_outcome.clone(),
    };
    let due = request.now + seconds(arm.operation_seconds);
    if due <= request.now && kind != PendingKind::Delete {
        outcome.as_str().clone_into(&mut resource.provisioning_state);
        return None;
    }
    resource.pending = Some(Pending { kind, due, outcome });
    (due > request.now).then_some(due)
}

/// Remembers an operation for its status endpoints and returns its id.
pub fn remember(
    request: &ArmRequest<'_>,
    store: &mut Store,
    target: &Target,
    kind: PendingKind,
    due: Timestamp,
) -> String {
    let deletes = kind == PendingKind::Delete;
    let outcome = if deletes {
        OperationOutcome::Succeeded
    } else {
        request.state.behaviour().arm.container_outcome.clone()
    };
    operations::start(store, request.now, due, target.key(), outcome, deletes)
}

/// URL of a status endpoint of `Microsoft.App`, signed and long as session pools have it. `endpoint` is the path segment
/// that tells results from statuses and the types from one another.
pub fn app_url(request: &ArmRequest<'_>, target: &Target, location: &str, endpoint: &str, operation: &str) -> String {
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.App/locations/{location}/{endpoint}/{operation}",
        target.subscription
    );
    operations::signed_url(request, &path)
}

/// The same answer with the header of an operation's status or result.
pub fn with_url(request: &ArmRequest<'_>, reply: ArmReply, header: &'static str, url: String) -> ArmReply {
    operations::retry_after(request, reply.with(header, url))
}
