//! The control API below `/_emulator/`, which tests use. It asks for no token: the port is on the loopback interface.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::AppState;
use crate::faults::FaultRequest;
use crate::identity::{Application, FederatedCredential, is_certificate};
use crate::roles::{RoleAssignment, definitions};
use crate::store::Store;

/// Routes of the control API.
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/_emulator/requests", get(requests).delete(clear_requests))
        .route("/_emulator/executions", get(executions).delete(clear_executions))
        .route("/_emulator/faults", get(faults).post(arm_fault).delete(clear_faults))
        .route("/_emulator/behaviour", get(behaviour).put(set_behaviour))
        .route("/_emulator/clock", get(clock).post(advance_clock))
        .route("/_emulator/issuers", post(register_issuer))
        .route("/_emulator/applications", post(register_application))
        .merge(crate::dataplane::control_routes())
        .merge(crate::hosts::control_routes())
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "the control API has no such endpoint") })
        .with_state(state)
}

/// An error answer of the control API.
pub(crate) fn refusal(status: StatusCode, message: impl Into<String>) -> Response {
    let message: String = message.into();
    (
        status,
        Json(json!({ "error": { "code": status.as_u16(), "message": message } })),
    )
        .into_response()
}

/// Reads a JSON body, whatever its content type says.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    serde_json::from_slice(body).map_err(|error| Box::new(refusal(StatusCode::BAD_REQUEST, error.to_string())))
}

async fn requests(State(state): State<AppState>) -> Response {
    Json(state.journal().requests()).into_response()
}

async fn clear_requests(State(state): State<AppState>) -> StatusCode {
    state.journal().clear_requests();
    StatusCode::NO_CONTENT
}

async fn executions(State(state): State<AppState>) -> Response {
    Json(state.journal().executions()).into_response()
}

async fn clear_executions(State(state): State<AppState>) -> StatusCode {
    state.journal().clear_executions();
    StatusCode::NO_CONTENT
}

async fn faults(State(state): State<AppState>) -> Response {
    Json(state.faults().list()).into_response()
}

async fn arm_fault(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    let fault: FaultRequest = match parse(&body) {
        Ok(fault) => fault,
        Err(refused) => return *refused,
    };
    match state.faults().arm(fault) {
        Ok(id) => (StatusCode::CREATED, Json(json!({ "id": id }))).into_response(),
        Err(error) => refusal(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn clear_faults(State(state): State<AppState>) -> StatusCode {
    state.faults().clear();
    StatusCode::NO_CONTENT
}

async fn behaviour(State(state): State<AppState>) -> Response {
    Json(&*state.behaviour()).into_response()
}

async fn set_behaviour(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    let patch: Value = match parse(&body) {
        Ok(patch) => patch,
        Err(refused) => return *refused,
    };
    match state.behaviour().merged(&patch) {
        Ok(merged) => {
            state.set_behaviour(merged);
            state.throttle().reset();
            behaviour(State(state)).await
        }
        Err(error) => refusal(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn clock(State(state): State<AppState>) -> Response {
    let clock = state.clock();
    Json(json!({ "now": clock.now(), "offsetSeconds": clock.offset().as_secs_f64() })).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    advance_seconds: f64,
}

async fn advance_clock(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    let advance: Advance = match parse(&body) {
        Ok(advance) => advance,
        Err(refused) => return *refused,
    };
    let Ok(by) = Duration::try_from_secs_f64(advance.advance_seconds) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "advanceSeconds must not be negative: the clock never goes back",
        );
    };
    if !state.clock().advance(by) {
        return refusal(
            StatusCode::BAD_REQUEST,
            "the clock can be ahead by a thousand years at most",
        );
    }
    state.touch();
    // What is due by the new time happens now, not with the next request.
    drop(state.store());
    clock(State(state)).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Issuer {
    issuer: String,
    jwks: Value,
}

async fn register_issuer(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    let issuer: Issuer = match parse(&body) {
        Ok(issuer) => issuer,
        Err(refused) => return *refused,
    };
    if !issuer.jwks["keys"].is_array() {
        return refusal(
            StatusCode::BAD_REQUEST,
            "jwks must be a JWKS document: an object with the array `keys`",
        );
    }
    state.store().directory.issuers.insert(issuer.issuer, issuer.jwks);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewApplication {
    client_id: Option<String>,
    client_secret: Option<String>,
    certificate: Option<String>,
    #[serde(default)]
    federated_credentials: Vec<FederatedCredential>,
    #[serde(default)]
    role_assignments: Vec<NewAssignment>,
}

/// A role assignment that is in effect at once, as one that was made long ago.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewAssignment {
    scope: String,
    role_definition_id: String,
}

impl NewAssignment {
    /// The built-in role that it names.
    pub(crate) fn role(&self) -> Result<&'static str, Box<Response>> {
        let guid = self.role_definition_id.rsplit('/').next().unwrap_or_default();
        definitions::by_guid(guid).map(|role| role.guid).ok_or_else(|| {
            let message = format!("no built-in role has the id {}", self.role_definition_id);
            Box::new(refusal(StatusCode::BAD_REQUEST, message))
        })
    }

    /// Gives the role to a principal, unless it has it.
    pub(crate) fn give(&self, store: &mut Store, role: &'static str, object_id: &str, now: Timestamp) {
        assign(store, &self.scope, role, object_id, now);
    }
}

/// Registers an application. One of the same client id is replaced and keeps its object id; its roles are in effect at
/// once, as those of an application that was set up long ago.
async fn register_application(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    let wanted: NewApplication = match parse(&body) {
        Ok(wanted) => wanted,
        Err(refused) => return *refused,
    };
    if wanted.certificate.as_deref().is_some_and(|pem| !is_certificate(pem)) {
        return refusal(StatusCode::BAD_REQUEST, "certificate is no X.509 certificate in PEM");
    }
    let roles: Vec<&'static str> = match wanted.role_assignments.iter().map(NewAssignment::role).collect() {
        Ok(roles) => roles,
        Err(refused) => return *refused,
    };
    let now = state.clock().now();
    let mut store = state.store();
    let client_id = wanted.client_id.unwrap_or_else(|| Uuid::new_v4().to_string());
    let known = store.directory.application(&client_id).cloned();
    let object_id = known.as_ref().map_or_else(
        || Uuid::new_v4().to_string(),
        |application| application.object_id.clone(),
    );
    let application = Application {
        client_id: client_id.clone(),
        object_id: object_id.clone(),
        client_secret: wanted
            .client_secret
            .or(known.and_then(|application| application.client_secret))
            .or_else(|| Some(crate::store::new_secret())),
        certificate: wanted.certificate,
        federated_credentials: wanted.federated_credentials,
        created: now,
    };
    let answer = json!({
        "clientId": client_id, "objectId": object_id, "clientSecret": application.client_secret,
    });
    match store
        .directory
        .applications
        .iter()
        .position(|one| one.client_id.eq_ignore_ascii_case(&client_id))
    {
        Some(at) => store.directory.applications[at] = application,
        None => store.directory.applications.push(application),
    }
    for (assignment, role) in wanted.role_assignments.iter().zip(roles) {
        assignment.give(&mut store, role, &object_id, now);
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

fn assign(store: &mut Store, scope: &str, role: &str, object_id: &str, now: Timestamp) {
    let same = |one: &RoleAssignment| {
        one.scope.eq_ignore_ascii_case(scope) && one.role == role && one.principal_id == object_id
    };
    if store.assignments.iter().any(same) {
        return;
    }
    store.assignments.push(RoleAssignment {
        name: Uuid::new_v4().to_string(),
        scope: scope.to_owned(),
        role: role.to_owned(),
        principal_id: object_id.to_owned(),
        principal_type: "ServicePrincipal".to_owned(),
        details: Map::new(),
        created: now,
        updated: now,
        updated_by: object_id.to_owned(),
        effective: Timestamp::UNIX_EPOCH,
    });
}
