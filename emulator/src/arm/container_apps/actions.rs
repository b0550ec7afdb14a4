//! POST actions of a container app: its secrets, its token for exec and log streams, starting and stopping.

use axum::http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{refuse_busy, render};
use crate::arm::app_shape::Shape;
use crate::arm::target::{self, Target};
use crate::arm::{ArmError, ArmReply, ArmRequest, long_running, regions};
use crate::json::get;
use crate::store::{PendingKind, Store};

/// How long a token of `getAuthtoken` is good for.
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Carries out an action, whose name is in lower case.
pub fn act(request: &ArmRequest<'_>, store: &mut Store, app: &Target, action: &str) -> Result<ArmReply, ArmError> {
    match action {
        "listsecrets" => list_secrets(request, store, app),
        "getauthtoken" => auth_token(request, store, app),
        "start" => power(request, store, app, false),
        "stop" => power(request, store, app, true),
        _ => Err(ArmError::gateway(
            StatusCode::NOT_FOUND,
            "InvalidResourceType",
            format!("The resource type '{}' has no action '{action}'.", super::TYPE),
        )),
    }
}

/// The only answer that has the values of secrets. References to a key vault come as references.
fn list_secrets(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "listSecrets/action")?;
    let resource = app.find(store)?;
    let secrets = get(&resource.properties, "configuration")
        .and_then(|configuration| get(configuration, "secrets"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    Ok(ArmReply::ok(json!({ "value": secrets })).by_provider())
}

fn auth_token(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "getAuthToken/action")?;
    let resource = app.find(store)?;
    let lifetime = u32::try_from(TOKEN_LIFETIME.as_secs()).unwrap_or(u32::MAX);
    let token = request.state.tokens().issue(&request.principal, &resource.id, lifetime);
    let expires = (request.now + TOKEN_LIFETIME)
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string();
    let body = json!({
        "id": resource.id,
        "name": resource.name,
        "type": resource.resource_type,
        "location": regions::display_name(&resource.location),
        "properties": { "token": token, "expires": expires },
    });
    Ok(ArmReply::ok(body).by_provider())
}

/// Starts or stops it: 202 with `Location`, or 200 when it takes no time.
fn power(request: &ArmRequest<'_>, store: &mut Store, app: &Target, stop: bool) -> Result<ArmReply, ArmError> {
    app.enter(request, store, if stop { "stop/action" } else { "start/action" })?;
    let mut resource = app.find(store)?.clone();
    refuse_busy(&resource)?;
    resource.workload.stopped = stop;
    target::touch(&mut resource, request);
    let due = long_running::begin(request, &mut resource, PendingKind::Update);
    let location = resource.location.clone();
    let body = render(&resource, Shape::Write);
    store.put_resource(resource, request.now);
    let Some(due) = due else {
        return Ok(ArmReply::ok(body).by_provider());
    };
    let operation = long_running::remember(request, store, app, PendingKind::Update, due);
    let url = long_running::app_url(request, app, &location, "containerappOperationResults", &operation);
    let reply = ArmReply::json(StatusCode::ACCEPTED, body).by_provider();
    Ok(long_running::with_url(request, reply, "location", url))
}
