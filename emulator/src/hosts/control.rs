//! The part of the control API that is about hosts.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HostError, identities};
use crate::control::{NewAssignment, parse, refusal};
use crate::{AppState, query};

/// Routes below `/_emulator/` for hosts.
pub(crate) fn control_routes() -> Router<AppState> {
    Router::new().route("/_emulator/hosts", get(show).post(give_roles))
}

/// Where a host's workload asks for tokens; the operator's host without `resourceId`.
async fn show(State(state): State<AppState>, RawQuery(text): RawQuery) -> Response {
    let parameters = query::parse(&text.unwrap_or_default());
    let id = query::find(&parameters, "resourceId").map(str::to_owned);
    match describe(&state, id.as_deref()) {
        Ok(body) => Json(body).into_response(),
        Err(refused) => *refused,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Roles {
    resource_id: Option<String>,
    role_assignments: Vec<NewAssignment>,
}

/// Gives roles to the system-assigned identity of a host, in effect at once.
async fn give_roles(State(state): State<AppState>, body: bytes::Bytes) -> Response {
    match assign(&state, &body) {
        Ok(body) => (StatusCode::CREATED, Json(body)).into_response(),
        Err(refused) => *refused,
    }
}

fn assign(state: &AppState, body: &[u8]) -> Result<Value, Box<Response>> {
    let wanted: Roles = parse(body)?;
    let roles: Vec<&'static str> = wanted
        .role_assignments
        .iter()
        .map(NewAssignment::role)
        .collect::<Result<_, _>>()?;
    let described = describe(state, wanted.resource_id.as_deref())?;
    let Some(object_id) = described["principalId"].as_str() else {
        let message = "the host has no system-assigned identity";
        return Err(Box::new(refusal(StatusCode::CONFLICT, message)));
    };
    let now = state.clock().now();
    let mut store = state.store();
    for (assignment, role) in wanted.role_assignments.iter().zip(roles) {
        assignment.give(&mut store, role, object_id, now);
    }
    Ok(described)
}

fn describe(state: &AppState, id: Option<&str>) -> Result<Value, Box<Response>> {
    let id = id.map_or_else(|| state.store().operator_host(), str::to_owned);
    let endpoints = super::open(state, &id).map_err(|error| {
        let status = match error {
            HostError::Unknown(_) => StatusCode::NOT_FOUND,
            HostError::Listen(..) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Box::new(refusal(status, error.to_string()))
    })?;
    let store = state.store();
    let system = identities::system_assigned(&store, &id);
    let mut body = json!(endpoints);
    body["principalId"] = json!(system.map(|identity| &identity.object_id));
    body["clientId"] = json!(system.map(|identity| &identity.client_id));
    Ok(body)
}
