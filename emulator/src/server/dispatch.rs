//! What every request passes through: faults, the part of Azure it is for, and the journal.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use tower::ServiceExt as _;

use super::ConnectionControl;
use crate::faults::FaultAction;
use crate::journal::RequestEntry;
use crate::{AppState, arm, control, dataplane, hosts, identity, redaction};

/// Largest request body that is read at all: above every limit that a part of Azure has of its own.
const MAX_BODY_BYTES: usize = 260 * 1024 * 1024;

/// The port that a request came in by.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// The TLS port.
    Azure,
    /// The port of a host, by its lower-cased id.
    Host(Arc<str>),
}

/// Answers one request.
pub(super) async fn answer(
    state: AppState,
    connection: ConnectionControl,
    door: Door,
    request: hyper::Request<Incoming>,
) -> Response {
    if matches!(door, Door::Azure) && request.uri().path().starts_with("/_emulator") {
        let request = request.map(Body::new);
        return control::router(state)
            .oneshot(request)
            .await
            .unwrap_or_else(|never: Infallible| match never {});
    }

    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => {
            // The client went away in the middle of its request.
            connection.close();
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let entry = RequestEntry {
        time: state.clock().now(),
        host: match &door {
            Door::Azure => None,
            Door::Host(host) => Some(host.to_string()),
        },
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        status: None,
        body: redaction::journal_body(content_type, &body),
        principal: state.tokens().peek(&parts.headers).map(|principal| principal.object_id),
        client_request_id: parts
            .headers
            .get("x-ms-client-request-id")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        fault: None,
    };
    let path_and_query = parts.uri.path_and_query().map_or("/", |both| both.as_str());
    let fault = state.faults().take(parts.method.as_str(), path_and_query);
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(connection.clone());

    // In a task of its own, because a client that hangs up stops nothing on the service's side: a request that is held
    // back by a fault arrives all the same.
    let carried_out = tokio::spawn(carry_out(state, connection, door, request, entry, fault));
    carried_out.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Carries a request out as the fault allows, and writes it into the journal.
async fn carry_out(
    state: AppState,
    connection: ConnectionControl,
    door: Door,
    request: Request,
    mut entry: RequestEntry,
    fault: Option<(u64, FaultAction)>,
) -> Response {
    let Some((id, action)) = fault else {
        let response = route(state.clone(), door, request).await;
        entry.status = Some(response.status().as_u16());
        state.journal().record_request(entry);
        return response;
    };
    entry.fault = Some(id);
    if let Some(milliseconds) = action.delay_milliseconds {
        state.faults().delay(Duration::from_millis(milliseconds)).await;
    }
    if action.reset {
        connection.reset();
        state.journal().record_request(entry);
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(status) = action.status {
        entry.status = Some(status);
        state.journal().record_request(entry);
        return replacement(status, &action);
    }
    let response = route(state.clone(), door, request).await;
    if action.drop_response {
        connection.close();
        state.journal().record_request(entry);
        return response;
    }
    entry.status = Some(response.status().as_u16());
    state.journal().record_request(entry);
    match action.truncate_bytes {
        Some(bytes) => truncated(response, bytes).await,
        None => response,
    }
}

/// Hands a request to the host that it was sent to, or to the part of Azure that its first path segment names.
async fn route(state: AppState, door: Door, request: Request) -> Response {
    if let Door::Host(host) = door {
        return hosts::answer(&state, &host, &request);
    }
    let first = request
        .uri()
        .path()
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    let first = first.to_ascii_lowercase();
    if first.ends_with(".dynamicsessions.io") || first.ends_with(".azurecontainerapps.io") {
        return dataplane::handle(state, request).await;
    }
    if arm::is_root(&first) {
        return arm::handle(state, request).await;
    }
    if first == identity::graph::HOST {
        return identity::graph::handle(state, request).await;
    }
    identity::handle(state, request).await
}

fn replacement(status: u16, action: &FaultAction) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (body, is_json) = match &action.body {
        None => (Bytes::new(), false),
        Some(Value::String(text)) => (Bytes::from(text.clone()), false),
        Some(value) => (Bytes::from(value.to_string()), true),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if is_json {
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
    }
    for (name, value) in &action.headers {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(text)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The answer with its full `content-length`, whose body breaks off after `bytes`.
async fn truncated(response: Response, bytes: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return Response::from_parts(parts, Body::empty());
    };
    let body = body.to_bytes();
    if bytes >= body.len() {
        return Response::from_parts(parts, Body::from(body));
    }
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let head = futures::stream::iter([Ok(body.slice(..bytes))]);
    let cut = futures::stream::once(async {
        // What was sent so far must have left before the connection breaks.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
    });
    Response::from_parts(parts, Body::from_stream(head.chain(cut)))
}
