//! Tokens in the manner of App Service and Container Apps (`IDENTITY_ENDPOINT`, API 2019-08-01).

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::identities::{self, Selector};
use crate::identity::ManagedIdentityKind;
use crate::{AppState, query};

/// Path of the endpoint, as Container Apps has it.
pub const PATH: &str = "/msi/token";

const API_VERSION: &str = "2019-08-01";

/// Answers a request to the endpoint.
pub fn answer(state: &AppState, host: &str, request: &Request, parameters: &[(String, String)]) -> Response {
    if request.method() != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match token(state, host, request, parameters) {
        Ok(body) => reply(StatusCode::OK, &body),
        Err((status, message)) => reply(
            status,
            &json!({
                "statusCode": status.as_u16(),
                "message": message,
                "correlationId": Uuid::new_v4(),
            }),
        ),
    }
}

fn token(
    state: &AppState,
    host: &str,
    request: &Request,
    parameters: &[(String, String)],
) -> Result<Value, (StatusCode, String)> {
    let refused = |status: StatusCode, message: &str| Err((status, message.to_owned()));
    let store = state.store();
    let wanted = store.hosts.get(host).map(|endpoint| endpoint.header.as_str());
    match request.headers().get("x-identity-header").map(HeaderValue::as_bytes) {
        None => return refused(StatusCode::UNAUTHORIZED, "The X-IDENTITY-HEADER header is missing."),
        Some(given) if Some(given) != wanted.map(str::as_bytes) => {
            return refused(StatusCode::FORBIDDEN, "The X-IDENTITY-HEADER header is wrong.");
        }
        Some(_) => {}
    }
    if query::find(parameters, "api-version") != Some(API_VERSION) {
        return refused(StatusCode::BAD_REQUEST, "The api-version must be 2019-08-01.");
    }
    let Some(resource) = query::find(parameters, "resource").filter(|resource| !resource.is_empty()) else {
        return refused(StatusCode::BAD_REQUEST, "The resource parameter is missing.");
    };
    let usable = identities::usable(&store, host);
    let identity = match Selector::read(parameters) {
        // Unlike IMDS it looks for the system-assigned identity only.
        Selector::None => usable
            .iter()
            .find(|one| one.kind == ManagedIdentityKind::SystemAssigned)
            .ok_or("Unable to load the proper Managed Identity."),
        selector => usable.iter().find(|one| selector.takes(one)).ok_or(
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        ),
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(message) => return refused(StatusCode::BAD_REQUEST, message),
    };
    if !state.tokens().knows_resource(resource) {
        // The service does not say which mistake it was.
        let message = "An unexpected error occured while fetching the AAD Token. Please contact support with the provided Correlation Id.";
        return refused(StatusCode::INTERNAL_SERVER_ERROR, message);
    }
    let lifetime = state.behaviour().tokens.host_lifetime_seconds;
    let access_token = state
        .tokens()
        .issue(&identity.principal(&store.tenant_id), resource, lifetime);
    // Clients compare with their own clock, which the virtual one may be ahead of. There is no `expires_in`.
    let expires_on = jiff::Timestamp::now().as_second() + i64::from(lifetime);
    Ok(json!({
        "access_token": access_token,
        "expires_on": expires_on.to_string(),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": identity.client_id,
    }))
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}
