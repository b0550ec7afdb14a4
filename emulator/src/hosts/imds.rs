//! Tokens in the manner of the Azure Instance Metadata Service (managed identities documentation, API 2018-02-01).

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::identities::{self, Selector};
use crate::identity::{ManagedIdentity, ManagedIdentityKind};
use crate::{AppState, query};

/// Path of the token endpoint.
pub const PATH: &str = "/metadata/identity/oauth2/token";

/// Versions of IMDS that have tokens of identities (IMDS documentation, supported API versions since 2018-02-01).
const VERSIONS: [&str; 28] = [
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-02-01",
    "2019-03-11",
    "2019-04-30",
    "2019-06-01",
    "2019-06-04",
    "2019-08-01",
    "2019-08-15",
    "2019-11-01",
    "2020-06-01",
    "2020-07-15",
    "2020-09-01",
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
];

/// What is refused: `error` and `error_description` of a 400.
type Refusal = (&'static str, String);

/// Answers a request to the token endpoint.
pub fn answer(state: &AppState, host: &str, request: &Request, parameters: &[(String, String)]) -> Response {
    if request.method() != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    match token(state, host, request, parameters) {
        Ok(body) => reply(StatusCode::OK, &body),
        Err((error, description)) => reply(
            StatusCode::BAD_REQUEST,
            &json!({ "error": error, "error_description": description }),
        ),
    }
}

fn token(state: &AppState, host: &str, request: &Request, parameters: &[(String, String)]) -> Result<Value, Refusal> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if !header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(("bad_request_102", "Required metadata header not specified".to_owned()));
    }
    if request.headers().contains_key("x-forwarded-for") {
        let message = "Requests with an X-Forwarded-For header are not allowed";
        return Err(("invalid_request", message.to_owned()));
    }
    let required = |name: &str| {
        query::find(parameters, name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                (
                    "invalid_request",
                    format!("Required query variable '{name}' is missing"),
                )
            })
    };
    if !VERSIONS.contains(&required("api-version")?) {
        return Err(("invalid_request", "The api-version is not supported".to_owned()));
    }
    let resource = required("resource")?;

    let store = state.store();
    let usable = identities::usable(&store, host);
    let identity = choose(&usable, &Selector::read(parameters))?;
    if !state.tokens().knows_resource(resource) {
        let message = format!(
            "AADSTS50001: The application named {resource} was not found in the tenant named {}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
            store.tenant_id
        );
        return Err(("invalid_resource", message));
    }
    let lifetime = state.behaviour().tokens.host_lifetime_seconds;
    let access_token = state
        .tokens()
        .issue(&identity.principal(&store.tenant_id), resource, lifetime);
    // Clients compare with their own clock, which the virtual one may be ahead of.
    let now = jiff::Timestamp::now().as_second();
    // All numbers are strings.
    Ok(json!({
        "access_token": access_token,
        "refresh_token": "",
        "client_id": identity.client_id,
        "expires_in": lifetime.to_string(),
        "expires_on": (now + i64::from(lifetime)).to_string(),
        "ext_expires_in": lifetime.to_string(),
        "not_before": now.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// The identity that is meant. Without a selector it is the system-assigned one, or else the only one.
fn choose<'a>(usable: &[&'a ManagedIdentity], selector: &Selector<'_>) -> Result<&'a ManagedIdentity, Refusal> {
    let not_found = || ("invalid_request", "Identity not found".to_owned());
    match selector {
        Selector::None => {
            let system = usable
                .iter()
                .find(|one| one.kind == ManagedIdentityKind::SystemAssigned);
            match (system, usable) {
                (Some(identity), _) | (None, [identity]) => Ok(identity),
                (None, []) => Err(not_found()),
                (None, _) => Err((
                    "invalid_request",
                    "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request".to_owned(),
                )),
            }
        }
        Selector::Several => Err((
            "invalid_request",
            "Only one of client_id, object_id and mi_res_id can be specified".to_owned(),
        )),
        _ => usable
            .iter()
            .copied()
            .find(|identity| selector.takes(identity))
            .ok_or_else(not_found),
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(SERVER, HeaderValue::from_static("IMDS/150.870.65.1325"));
    response
}
