//! The data plane of session pools, below `/{region}.dynamicsessions.io/`.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::{AppState, Options};

/// The sessions of all pools.
#[derive(Debug)]
pub struct DataPlane {}

impl DataPlane {
    /// A data plane without sessions. Fails when the wanted isolation is not to be had.
    pub fn new(_options: &Options) -> Result<Self, DataPlaneError> {
        Ok(Self {})
    }

    /// Ends every session of a pool that was deleted. `instance` is [`crate::Pool::instance`].
    pub fn pool_deleted(&self, _pool_id: &str, _instance: uuid::Uuid) {}

    /// Ends every session.
    pub async fn stop(&self) {}
}

/// Endpoints of the control API that are about sessions.
pub fn control_routes() -> axum::Router<AppState> {
    axum::Router::new()
}

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {}

/// Answers a request whose path starts with `/{region}.dynamicsessions.io/` or `/{pool}….azurecontainerapps.io/`.
pub async fn handle(_state: AppState, _request: Request) -> Response {
    let body = json!({ "error": { "code": "NotFound", "message": "The data plane is not there." } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}
