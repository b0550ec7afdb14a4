//! Deployments that were asked for: reading, cancelling and deleting their records.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Place, authorize, find, render};
use crate::arm::{ArmError, ArmReply, ArmRequest, groups, operations, paging};
use crate::clock::seconds;
use crate::store::{Deployment, OperationOutcome, Store};

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "read")?;
    let deployment = find(store, place)?;
    Ok(ArmReply::ok(super::render(store, deployment, request)))
}

/// GET of the collection, newest first.
pub fn list(request: &ArmRequest<'_>, store: &Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "read")?;
    groups::require(store, place.subscription, place.group)?;
    let filter = request.arrived.parameter("$filter").unwrap_or_default().trim();
    let wanted = match filter.split_once(" eq ") {
        None if filter.is_empty() => None,
        Some((name, value)) if name.trim().eq_ignore_ascii_case("provisioningState") => {
            Some(value.trim().trim_matches('\'').to_owned())
        }
        _ => {
            return Err(ArmError::gateway(
                StatusCode::BAD_REQUEST,
                "InvalidFilterInQueryString",
                format!("Invalid $filter '{filter}' specified in the query string."),
            ));
        }
    };
    let prefix = place.id(store).to_ascii_lowercase();
    let mut found: Vec<&Deployment> = store
        .deployments
        .range(prefix.clone()..)
        .take_while(|(key, _)| key.starts_with(&prefix))
        .map(|(_, deployment)| deployment)
        .filter(|one| {
            wanted
                .as_ref()
                .is_none_or(|state| state.eq_ignore_ascii_case(one.state()))
        })
        .collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.started));
    let items = found
        .into_iter()
        .map(|one| super::render(store, one, request))
        .collect();
    Ok(paging::page(request, items))
}

/// DELETE: 202 until the record is gone. What was deployed stays.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "delete")?;
    let Ok(deployment) = find(store, place) else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    if deployment.is_active() {
        return Err(ArmError::gateway(
            StatusCode::CONFLICT,
            "DeploymentActive",
            format!(
                "The deployment '{}' cannot be deleted while it is running.",
                deployment.id
            ),
        ));
    }
    let id = deployment.id.clone();
    let due = request.now + seconds(request.state.behaviour().arm.deployment_phase_seconds);
    if let Some(deployment) = store.deployments.get_mut(&id.to_ascii_lowercase()) {
        deployment.deleted_at.get_or_insert(due);
    }
    let operation = operations::start(store, request.now, due, id, OperationOutcome::Succeeded, true);
    let location = request.url(&format!(
        "/subscriptions/{}/operationresults/{}",
        place.subscription,
        operations::opaque("deployment", &operation)
    ));
    let reply = ArmReply::empty(StatusCode::ACCEPTED).with("location", location);
    Ok(operations::retry_after(request, reply))
}

/// POST `cancel`: what was asked for goes on, nothing more is.
pub fn cancel(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "cancel/action")?;
    let key = find(store, place)?.id.to_ascii_lowercase();
    let now = request.now;
    match store.deployments.get_mut(&key) {
        Some(deployment) if deployment.is_active() => {
            deployment.end(now, OperationOutcome::Canceled);
            deployment.error = Some(json!({
                "code": "DeploymentCanceled",
                "message": "The deployment was canceled by the user.",
            }));
            Ok(ArmReply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(ArmError::gateway(
            StatusCode::CONFLICT,
            "DeploymentCannotBeCancelled",
            format!(
                "The deployment '{}' cannot be cancelled, because it is not active.",
                place.name
            ),
        )),
    }
}

/// GET of `operations`, or of one of them.
pub fn list_operations(
    request: &ArmRequest<'_>,
    store: &Store,
    place: Place<'_>,
    wanted: Option<&String>,
) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "operations/read")?;
    let all = render::operations(find(store, place)?, request.now);
    let Some(wanted) = wanted else {
        return Ok(paging::page(request, all));
    };
    let same = |one: &&Value| {
        one["operationId"]
            .as_str()
            .is_some_and(|id| id.eq_ignore_ascii_case(wanted))
    };
    all.iter().find(same).cloned().map(ArmReply::ok).ok_or_else(|| {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "DeploymentOperationNotFound",
            format!("The deployment operation '{wanted}' could not be found."),
        )
    })
}

/// Always 200 for an operation that is known; the state is in the body.
pub fn status(
    request: &ArmRequest<'_>,
    store: &Store,
    place: Place<'_>,
    operation: Option<&String>,
) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "operationstatuses/read")?;
    let deployment = find(store, place)?;
    if operation.is_none_or(|one| !one.eq_ignore_ascii_case(&deployment.operation)) {
        return Err(ArmError::gateway(
            StatusCode::NOT_FOUND,
            "DeploymentOperationStatusNotFound",
            "The status of the deployment operation could not be found.",
        ));
    }
    let mut body = json!({ "status": deployment.state() });
    if deployment.is_active() {
        return Ok(operations::retry_after(request, ArmReply::ok(body)));
    }
    if let Some(error) = &deployment.error {
        body["error"] = error.clone();
    }
    Ok(ArmReply::ok(body))
}
