//! `/listSessions`, `/session` and `/metadata`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Call;
use super::allocations::Ending;
use super::error::ServiceError;
use super::session::Session;

/// `GET /listSessions`.
pub(super) fn list(call: &Call) -> Result<Response, ServiceError> {
    let skip = match call.target.parameter("skip") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| ServiceError::bad_request("InvalidSkip", "The skip parameter must be a number."))?,
    };
    let page_size = call.state.behaviour().sessions.page_size.max(1);
    let sessions = call.state.dataplane().registry.list(&call.pool, call.state.clock());
    let page: Vec<Value> = sessions
        .iter()
        .skip(skip)
        .take(page_size)
        .map(|session| describe(session))
        .collect();
    let mut body = json!({ "sessions": page });
    let next = skip.saturating_add(page_size);
    if sessions.len() > next {
        let (root, base, version) = (call.state.root(), &call.target.base, call.version.as_str());
        body["nextLink"] = format!("{root}{base}/listSessions?api-version={version}&skip={next}").into();
    }
    Ok(Json(body).into_response())
}

/// `GET /session`. It allocates nothing.
pub(super) fn get(call: &Call) -> Result<Response, ServiceError> {
    let identifier = call.target.identifier()?;
    let registry = &call.state.dataplane().registry;
    let session = registry.touch(&call.pool, identifier, call.state.clock());
    let session = session.ok_or_else(|| unknown(identifier))?;
    Ok(Json(describe(&session)).into_response())
}

/// `DELETE /session`. When it is answered, every process of the session is gone.
pub(super) async fn delete(call: &Call) -> Result<Response, ServiceError> {
    let identifier = call.target.identifier()?;
    let registry = &call.state.dataplane().registry;
    let session = registry.end(call.pool.instance, identifier, Ending::Deleted, call.state.clock());
    let session = session.ok_or_else(|| unknown(identifier))?;
    session.close().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /metadata`: what the sessions of the pool have. The emulator's have what the machine has.
pub(super) fn metadata(call: &Call) -> Response {
    let runtime = match call.pool.container_type.to_ascii_lowercase().as_str() {
        "shell" => "Shell",
        "nodelts" => "Node",
        _ => "Python",
    };
    let now = call.state.clock().now();
    Json(json!({
        "runtimes": [{ "name": runtime }],
        "preInstalledPackages": [],
        "createdAt": now,
        "lastUpdatedAt": now,
    }))
    .into_response()
}

fn describe(session: &Session) -> Value {
    json!({
        "identifier": session.identifier,
        "createdAt": session.created,
        "lastAccessedAt": session.last_accessed(),
        "expireAt": session.expires(),
        "etag": session.etag,
    })
}

fn unknown(identifier: &str) -> ServiceError {
    ServiceError::new(
        StatusCode::NOT_FOUND,
        "SessionNotFound",
        format!("Session '{identifier}' was not found."),
    )
}
