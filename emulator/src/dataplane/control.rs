//! Endpoints of the control API that are about sessions.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::delete;
use serde_json::json;

use super::close_all;
use crate::control::refusal;
use crate::store::Pool;
use crate::{AppState, query};

/// `DELETE /_emulator/sessions?pool=<ARM id>&identifier=<id>`: ends a session, or all of a pool, as a crash of the platform
/// would. The same identifier silently gets a new one.
pub fn control_routes() -> axum::Router<AppState> {
    axum::Router::new().route("/_emulator/sessions", delete(crash))
}

async fn crash(State(state): State<AppState>, RawQuery(text): RawQuery) -> Response {
    let pairs = query::parse(&text.unwrap_or_default());
    let Some(id) = query::find(&pairs, "pool") else {
        return refusal(StatusCode::BAD_REQUEST, "the parameter `pool` is missing");
    };
    let pool = state.store().resource(id).and_then(Pool::of);
    let Some(pool) = pool else {
        return refusal(StatusCode::NOT_FOUND, "there is no such pool");
    };
    let registry = &state.dataplane().registry;
    let gone = match query::find(&pairs, "identifier") {
        None => registry.remove_pool(pool.instance),
        Some(identifier) => {
            let mut sessions = registry.list(&pool, state.clock().now());
            sessions.retain(|session| session.identifier == identifier && registry.remove(pool.instance, session));
            sessions
        }
    };
    let count = gone.len();
    close_all(gone).await;
    axum::Json(json!({ "ended": count })).into_response()
}
