//! Azure Resource Manager.

mod access;
mod app_shape;
mod authorization;
mod container_apps;
mod container_groups;
mod containers;
mod deployments;
mod error;
mod groups;
mod headers;
pub mod identity_block;
mod kinds;
mod long_running;
mod managed_environments;
mod managed_identities;
mod metadata;
mod operations;
mod paging;
mod providers;
mod regions;
mod request;
mod resources;
mod router;
mod session_pools;
mod subscriptions;
mod system_data;
mod tags;
mod target;
mod throttle;
mod versions;

use axum::extract::Request;
use axum::response::Response;
pub use deployments::run_in_background as run_deployments;
pub use error::ArmError;
pub use request::{ArmReply, ArmRequest};
pub use throttle::{Taken, Throttle};

use crate::AppState;

/// Whether a first path segment, lower-cased, is one of ARM's.
pub fn is_root(segment: &str) -> bool {
    matches!(segment, "subscriptions" | "tenants" | "providers" | "metadata")
}

/// Answers a request to ARM.
pub async fn handle(state: AppState, request: Request) -> Response {
    let arrived = request::Arrived::read(request).await;
    let mut limits = headers::RateLimits::default();
    let reply = router::answer(&state, &arrived, &mut limits);
    // What was deleted without an operation is gone now, and its sessions with it, not with the next request.
    drop(state.store());
    if let Ok(held) = &reply
        && let Some(until) = held.held_until
    {
        state.clock().sleep_until(until).await;
    }
    headers::finish(&state, &arrived, &limits, reply)
}
