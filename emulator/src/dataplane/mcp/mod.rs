//! The MCP server of a pool: JSON-RPC 2.0 by POST on `{pool}/mcp`.
//!
//! It speaks the Model Context Protocol of 2025-03-26 without sessions or streams of its own, as Microsoft's pages describe the
//! service's: `initialize`, `tools/list`, `tools/call`. Clients authenticate with the key that ARM gives out
//! (`fetchMcpServerCredentials`); where the pool has the key disabled, with a token, as for executions.

mod tools;

use axum::Json;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Call;
use super::error::ServiceError;
use crate::AppState;
use crate::json::get;
use crate::store::Pool;

const PROTOCOL_VERSION: &str = "2025-03-26";

/// The header of the key.
const KEY_HEADER: &str = "x-ms-apikey";

/// An error of JSON-RPC: its code and message.
#[derive(Debug)]
struct RpcError(i32, String);

impl RpcError {
    fn invalid_parameters(message: impl Into<String>) -> Self {
        Self(-32602, message.into())
    }
}

/// Whether the request is let in by the pool's key; `false` where the pool wants a token instead. Fails where there is no
/// server, or the key is wrong.
pub(super) fn is_let_in_by_key(state: &AppState, pool: &Pool, parts: &Parts) -> Result<bool, ServiceError> {
    let settings = get(&pool.properties, "mcpServerSettings");
    let on = |name: &str| {
        settings
            .and_then(|settings| get(settings, name))
            .and_then(Value::as_bool)
            .unwrap_or_default()
    };
    if !on("isMcpServerEnabled") {
        return Err(ServiceError::bad_request(
            "SessionMCPServerNotEnabled",
            format!("Session pool '{}' does not have MCP Server enabled.", pool.name),
        ));
    }
    if on("isMcpServerApiKeyDisabled") {
        return Ok(false);
    }
    let key = state
        .store()
        .resource(&pool.id)
        .and_then(|pool| pool.mcp_api_key.clone());
    let given = parts.headers.get(KEY_HEADER).map(HeaderValue::as_bytes);
    if given.is_some() && given == key.as_deref().map(str::as_bytes) {
        return Ok(true);
    }
    Err(ServiceError::new(
        StatusCode::UNAUTHORIZED,
        "Unauthorized",
        format!("Unauthorized: the header {KEY_HEADER} must have the key of the pool's MCP server."),
    ))
}

/// Answers a request to the server, whose caller may use the pool.
pub(super) async fn answer(call: &Call) -> Response {
    if call.parts.method != Method::POST {
        // No stream of messages from the server, and no session of the protocol to end.
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        response.headers_mut().insert("allow", HeaderValue::from_static("POST"));
        return response;
    }
    let Ok(message) = serde_json::from_slice::<Value>(&call.body) else {
        let error = RpcError(-32700, "The body is not JSON.".to_owned());
        return (StatusCode::BAD_REQUEST, Json(failed(&Value::Null, error))).into_response();
    };
    let answers = match message {
        Value::Array(batch) => {
            let mut answers = Vec::new();
            for message in &batch {
                answers.extend(respond(call, message).await);
            }
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        message => respond(call, &message).await,
    };
    match answers {
        Some(answers) => Json(answers).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

/// The answer to a message; none to a notification.
async fn respond(call: &Call, message: &Value) -> Option<Value> {
    let Some(method) = message.get("method").and_then(Value::as_str) else {
        let error = RpcError(-32600, "The message has no method.".to_owned());
        return Some(failed(&Value::Null, error));
    };
    let id = message.get("id").filter(|id| !id.is_null())?;
    let parameters = message.get("params").unwrap_or(&Value::Null);
    let result = match method {
        "initialize" => Ok(json!({
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": { "tools": { "list": true, "call": true } },
            "serverInfo": { "name": "Microsoft Container Apps MCP Server", "version": "1.0.0" },
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({ "tools": tools::list() })),
        "tools/call" => tools::call(call, parameters).await,
        _ => Err(RpcError(-32601, format!("There is no method '{method}'."))),
    };
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failed(id, error),
    })
}

fn failed(id: &Value, RpcError(code, message): RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
