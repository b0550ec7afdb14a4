//! Azure Resource Manager.

mod throttle;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
pub use throttle::Throttle;

use crate::AppState;

/// Whether a first path segment, lower-cased, is one of ARM's.
pub fn is_root(segment: &str) -> bool {
    matches!(segment, "subscriptions" | "tenants" | "providers" | "metadata")
}

/// Answers a request to ARM.
pub async fn handle(_state: AppState, _request: Request) -> Response {
    StatusCode::NOT_FOUND.into_response()
}
