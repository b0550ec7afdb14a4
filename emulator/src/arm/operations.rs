//! Asynchronous operations and their status endpoints.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use uuid::Uuid;

use super::{ArmError, ArmReply, ArmRequest, access};
use crate::query;
use crate::roles::covers;
use crate::store::{Operation, OperationOutcome, Store};

/// How long the status of an operation can be asked for after its end.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// Remembers an operation and returns its id.
pub fn start(
    store: &mut Store,
    started: Timestamp,
    due: Timestamp,
    target: String,
    outcome: OperationOutcome,
    deletes: bool,
) -> String {
    let id = Uuid::new_v4().to_string();
    store
        .operations
        .retain(|_, operation| operation.due + REMEMBERED > started);
    store.operations.insert(
        id.clone(),
        Operation {
            id: id.clone(),
            target,
            started,
            due,
            outcome,
            deletes,
        },
    );
    id
}

/// An operation's id as paths of status endpoints carry it: base64 of `{kind}:{id}`.
pub fn opaque(kind: &str, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}:{id}"))
}

/// A status URL as session pools give it: signed with a certificate, some 3 to 4 KB long, and another one every time.
pub fn signed_url(request: &ArmRequest<'_>, path: &str) -> String {
    let ticks = 621_355_968_000_000_000 + request.now.as_microsecond() * 10;
    let mut noise = Vec::new();
    let mut block = Sha512::digest(Uuid::new_v4().as_bytes());
    while noise.len() < 2200 {
        noise.extend_from_slice(&block);
        block = Sha512::digest(block);
    }
    format!(
        "{}&t={ticks}&c={}&s={}&h={}",
        request.url(path),
        URL_SAFE_NO_PAD.encode(&noise[..1850]),
        URL_SAFE_NO_PAD.encode(&noise[1850..2106]),
        URL_SAFE_NO_PAD.encode(&noise[2106..2138]),
    )
}

/// The operation of a subscription that a path segment names, by its id or opaquely, or 404.
pub fn find<'a>(store: &'a Store, subscription: &str, segment: &str) -> Result<&'a Operation, ArmError> {
    let opaque = || {
        let bytes = URL_SAFE_NO_PAD.decode(segment).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        store.operations.get(text.split_once(':')?.1)
    };
    let subscription = format!("/subscriptions/{subscription}");
    store
        .operations
        .get(segment)
        .or_else(opaque)
        .filter(|operation| covers(&subscription, &operation.target))
        .ok_or_else(|| {
            ArmError::new(
                StatusCode::NOT_FOUND,
                "OperationNotFound",
                "The operation could not be found.",
            )
        })
}

/// `GET /subscriptions/{s}/operationresults/{id}`: the end of the deletion of a group or a deployment.
pub fn group_result(
    request: &ArmRequest<'_>,
    store: &Store,
    subscription: &str,
    segment: &str,
) -> Result<ArmReply, ArmError> {
    let operation = find(store, subscription, segment)?;
    if operation.due <= request.now {
        // Documented so for deployments.
        let is_deployment = operation.target.to_ascii_lowercase().contains("/deployments/");
        return Ok(ArmReply::empty(if is_deployment {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::OK
        }));
    }
    let location = request.url(&query_free(&request.arrived.path));
    let retry_after = request.state.behaviour().arm.retry_after_seconds;
    Ok(ArmReply::empty(StatusCode::ACCEPTED)
        .with("location", location)
        .with("retry-after", retry_after.to_string()))
}

/// `GET …/locations/{loc}/operationResults/{id}`: 202 with a fresh `Location`, at the end 204 or the resource.
///
/// Whoever knows the id may ask how far it is: it is of no scope that a role on a group would cover. The resource is only
/// shown to those who may read it.
pub fn provider_result(
    request: &ArmRequest<'_>,
    store: &Store,
    subscription: &str,
    segment: &str,
) -> Result<ArmReply, ArmError> {
    let operation = find(store, subscription, segment)?;
    if operation.due > request.now {
        let location = signed_url(request, &query_free(&request.arrived.path));
        return Ok(retry_after(
            request,
            ArmReply::empty(StatusCode::ACCEPTED).with("location", location),
        )
        .by_provider());
    }
    if operation.deletes {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT).by_provider());
    }
    match store.resource(&operation.target) {
        Some(resource) => {
            let read = format!("{}/read", resource.resource_type);
            access::authorize(request, store, &resource.id, &read)?;
            Ok(ArmReply::ok(super::resources::show(request, resource)).by_provider())
        }
        None => Ok(ArmReply::empty(StatusCode::NO_CONTENT).by_provider()),
    }
}

/// `GET …/locations/{loc}/operationStatuses/{id}`: always 200, the state is in the body.
pub fn provider_status(
    request: &ArmRequest<'_>,
    store: &Store,
    subscription: &str,
    segment: &str,
) -> Result<ArmReply, ArmError> {
    let operation = find(store, subscription, segment)?;
    let ended = operation.due <= request.now;
    let status = if ended {
        operation.outcome.as_str()
    } else {
        "InProgress"
    };
    let mut body = json!({
        "id": query::decode_segment(&request.arrived.path),
        "name": operation.id,
        "status": status,
        "startTime": operation.started,
    });
    if ended {
        body["endTime"] = json!(operation.due);
        if operation.outcome != OperationOutcome::Succeeded {
            body["error"] = failure(store, operation);
        }
        return Ok(ArmReply::ok(body).by_provider());
    }
    Ok(retry_after(request, ArmReply::ok(body)).by_provider())
}

/// What a failed operation says about its resource.
fn failure(store: &Store, operation: &Operation) -> Value {
    let resource_type = store.resource(&operation.target).map(|one| one.resource_type.as_str());
    let (code, message) = match resource_type {
        Some(super::container_apps::TYPE) => (
            "ContainerAppOperationError",
            "Failed to provision revision for container app.",
        ),
        Some(super::managed_environments::TYPE) => (
            "ManagedEnvironmentProvisioningError",
            "Failed to provision the managed environment.",
        ),
        Some(super::container_groups::TYPE) => (
            "DeploymentFailed",
            "The containers of the container group failed to start.",
        ),
        _ => ("SessionPoolProvisioningFailed", "Failed to provision the session pool."),
    };
    json!({ "code": code, "message": message })
}

/// Adds `Retry-After`: always for container groups, and where the switch says so for `Microsoft.App`.
pub fn retry_after(request: &ArmRequest<'_>, reply: ArmReply) -> ArmReply {
    let arm = &request.state.behaviour().arm;
    let always = request
        .arrived
        .lower
        .iter()
        .any(|segment| segment == "microsoft.containerinstance");
    if always || arm.retry_after_on_pools {
        reply.with("retry-after", arm.retry_after_seconds.to_string())
    } else {
        reply
    }
}

fn query_free(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}
