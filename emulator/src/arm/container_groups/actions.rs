//! POST actions of a container group: start, stop, restart.

use axum::http::StatusCode;

use super::{refuse_transition, result_url};
use crate::arm::target::{self, Target};
use crate::arm::{ArmError, ArmReply, ArmRequest, long_running, operations};
use crate::store::{PendingKind, Store};

/// Carries out an action, whose name is in lower case. Containers that start anew have a new start time and nothing of
/// what was in them.
pub fn act(request: &ArmRequest<'_>, store: &mut Store, group: &Target, action: &str) -> Result<ArmReply, ArmError> {
    let (verb, status) = match action {
        "start" => ("start/action", StatusCode::ACCEPTED),
        "stop" => ("stop/action", StatusCode::NO_CONTENT),
        "restart" => ("restart/action", StatusCode::NO_CONTENT),
        _ => {
            return Err(ArmError::gateway(
                StatusCode::NOT_FOUND,
                "InvalidResourceType",
                format!("The resource type '{}' has no action '{action}'.", super::TYPE),
            ));
        }
    };
    group.enter(request, store, verb)?;
    let mut resource = group.find(store)?.clone();
    refuse_transition(&resource)?;
    if action == "stop" {
        resource.workload.stopped = true;
        store.put_resource(resource, request.now);
        return Ok(ArmReply::empty(status));
    }
    resource.workload.stopped = false;
    resource.workload.started_at = Some(request.now);
    target::touch(&mut resource, request);
    let due = long_running::begin(request, &mut resource, PendingKind::Update);
    let location = resource.location.clone();
    store.put_resource(resource, request.now);
    let Some(due) = due else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let operation = long_running::remember(request, store, group, PendingKind::Update, due);
    let url = result_url(request, group, &location, &operation);
    Ok(operations::retry_after(
        request,
        ArmReply::empty(status).with("location", url),
    ))
}
