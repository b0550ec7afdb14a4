//! Endpoints of the control API that are about sessions.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use serde_json::json;

use super::allocations::Ending;
use super::registry::Registry;
use super::session::{Manner, Session};
use super::{close_all, expire};
use crate::clock::Clock;
use crate::control::refusal;
use crate::store::Pool;
use crate::{AppState, query};

/// - `DELETE /_emulator/sessions?pool=<ARM id>&identifier=<id>`: ends a session, or all of a pool, as a crash of the platform
///   would. The next request with the identifier silently gets a new one.
/// - `POST /_emulator/sessions/replace?pool=<ARM id>&identifier=<id>`: puts a new session in the place of one, or of all of a
///   pool, at once.
/// - `GET /_emulator/allocations?pool=<ARM id>`: the journal of sessions, of one pool or of all; `DELETE` clears it.
pub fn control_routes() -> axum::Router<AppState> {
    axum::Router::new()
        .route("/_emulator/sessions", delete(crash))
        .route("/_emulator/sessions/replace", post(replace))
        .route("/_emulator/allocations", get(allocations).delete(clear_allocations))
}

/// The live sessions that a request means.
struct Meant {
    pool: Pool,
    identifiers: Vec<String>,
}

impl Meant {
    fn of(state: &AppState, text: Option<String>) -> Result<Self, Box<Response>> {
        let refuse = |status, message: &str| Box::new(refusal(status, message));
        let pairs = query::parse(&text.unwrap_or_default());
        let id = query::find(&pairs, "pool")
            .ok_or_else(|| refuse(StatusCode::BAD_REQUEST, "the parameter `pool` is missing"))?;
        let pool = state.store().resource(id).and_then(Pool::of);
        let pool = pool.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "there is no such pool"))?;
        let identifiers = match query::find(&pairs, "identifier") {
            Some(identifier) => vec![identifier.to_owned()],
            None => {
                let sessions = registry(state).list(&pool, state.clock());
                sessions.iter().map(|session| session.identifier.clone()).collect()
            }
        };
        Ok(Self { pool, identifiers })
    }

    fn end(&self, registry: &Registry, clock: &Clock) -> Vec<Arc<Session>> {
        let end = |identifier| registry.end(self.pool.instance, identifier, Ending::Crashed, clock);
        self.identifiers
            .iter()
            .filter_map(|identifier| end(identifier))
            .collect()
    }
}

async fn crash(State(state): State<AppState>, RawQuery(text): RawQuery) -> Response {
    let meant = match Meant::of(&state, text) {
        Ok(meant) => meant,
        Err(refused) => return *refused,
    };
    let gone = meant.end(registry(&state), state.clock());
    let count = gone.len();
    close_all(gone).await;
    axum::Json(json!({ "ended": count })).into_response()
}

async fn replace(State(state): State<AppState>, RawQuery(text): RawQuery) -> Response {
    let meant = match Meant::of(&state, text) {
        Ok(meant) => meant,
        Err(refused) => return *refused,
    };
    let manner = Manner::of(&state.behaviour().sessions);
    let mut gone = Vec::new();
    for identifier in &meant.identifiers {
        if let Some((old, new)) = registry(&state).replace(&meant.pool, identifier, state.clock(), manner) {
            tokio::spawn(expire(state.clone(), meant.pool.instance, new));
            gone.push(old);
        }
    }
    let count = gone.len();
    close_all(gone).await;
    axum::Json(json!({ "replaced": count })).into_response()
}

async fn allocations(State(state): State<AppState>, RawQuery(text): RawQuery) -> Response {
    let pairs = query::parse(&text.unwrap_or_default());
    let wanted = query::find(&pairs, "pool");
    let is_meant = |pool: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(pool));
    let mut gone = Vec::new();
    let report = registry(&state).report(state.clock(), is_meant, &mut gone);
    tokio::spawn(close_all(gone));
    axum::Json(report).into_response()
}

async fn clear_allocations(State(state): State<AppState>) -> StatusCode {
    registry(&state).clear_journal();
    StatusCode::NO_CONTENT
}

fn registry(state: &AppState) -> &Registry {
    &state.dataplane().registry
}
