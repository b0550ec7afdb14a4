//! The routes of environments, container apps and container groups.

use axum::http::Method;

use super::router::{no_method, no_route};
use super::target::Target;
use super::{ArmError, ArmReply, ArmRequest, container_apps, container_groups, managed_environments, versions};
use crate::store::Store;

/// Answers a path below the provider's namespace that starts with one of the three types; `at` is the index of that
/// segment.
pub fn answer(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
    tail: &[&str],
    at: usize,
) -> Result<ArmReply, ArmError> {
    let (resource_type, supported) = match tail.first() {
        Some(&"managedenvironments") => (managed_environments::TYPE, versions::CONTAINER_APPS),
        Some(&"containerapps") => (container_apps::TYPE, versions::CONTAINER_APPS),
        _ => (container_groups::TYPE, versions::CONTAINER_GROUPS),
    };
    versions::check(request.api_version, supported, resource_type)?;
    let method = &request.arrived.method;
    let Some(name) = request.arrived.segments.get(at + 1) else {
        if *method != Method::GET {
            return Err(no_method(request));
        }
        return match resource_type {
            managed_environments::TYPE => managed_environments::list(request, store, subscription, group),
            container_apps::TYPE => container_apps::list(request, store, subscription, group),
            _ => container_groups::list(request, store, subscription, group),
        };
    };
    let Some(group) = group else {
        return Err(no_route(request));
    };
    let target = Target::new(resource_type, subscription, group, name);
    match (resource_type, method, &tail[2..]) {
        (managed_environments::TYPE, &Method::PUT, []) => managed_environments::put(request, store, &target),
        (managed_environments::TYPE, &Method::GET, []) => managed_environments::get_one(request, store, &target),
        (managed_environments::TYPE, &Method::DELETE, []) => managed_environments::delete(request, store, &target),
        (container_apps::TYPE, &Method::PUT, []) => container_apps::put(request, store, &target),
        (container_apps::TYPE, &Method::PATCH, []) => container_apps::patch(request, store, &target),
        (container_apps::TYPE, &Method::GET, []) => container_apps::get_one(request, store, &target),
        (container_apps::TYPE, &Method::DELETE, []) => container_apps::delete(request, store, &target),
        (container_apps::TYPE, &Method::POST, [action]) => container_apps::act(request, store, &target, action),
        (container_groups::TYPE, &Method::PUT, []) => container_groups::put(request, store, &target),
        (container_groups::TYPE, &Method::PATCH, []) => container_groups::patch(request, store, &target),
        (container_groups::TYPE, &Method::GET, []) => container_groups::get_one(request, store, &target),
        (container_groups::TYPE, &Method::DELETE, []) => container_groups::delete(request, store, &target),
        (container_groups::TYPE, &Method::POST, [action]) => container_groups::act(request, store, &target, action),
        (_, _, []) => Err(no_method(request)),
        _ => Err(no_route(request)),
    }
}
