//! `Microsoft.ContainerInstance/containerGroups`: the resource and its power state. No container runs, so there are no
//! logs, and nothing can be executed.
//!
//! Secure values are never answered; a PUT that was built from a GET therefore loses them. PATCH changes tags only, so
//! that identities need a PUT of the whole group, which restarts its containers (Container Instances documentation).

mod actions;
mod render;
mod rules;

pub use actions::act;
use axum::http::StatusCode;
pub use render::render;
use serde_json::{Value, json};

use super::identity_block::{self, Owner, Write};
use super::target::{self, Target};
use super::{ArmError, ArmReply, ArmRequest, long_running, operations, paging, tags};
use crate::json::get;
use crate::store::{PendingKind, Resource, Store};

/// Type of container groups as ARM's metadata spell it.
pub const TYPE: &str = "Microsoft.ContainerInstance/containerGroups";

/// PUT: creates or replaces. A change of anything but tags restarts the containers.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, group: &Target) -> Result<ArmReply, ArmError> {
    group.enter(request, store, "write")?;
    let body = request.body()?;
    let location = target::location(&body, TYPE)?;
    let tags = tags::read(get(&body, "tags"))?;
    let (mut resource, created) = group.find_or_new(request, store, location)?;
    if created {
        rules::check_name(&group.name)?;
    } else {
        refuse_transition(&resource)?;
    }
    let owner = Owner {
        id: &resource.id,
        action: "Microsoft.ContainerInstance/containerGroups/write",
        before: resource.identity.as_ref(),
    };
    let identity = identity_block::read(request, store, owner, get(&body, "identity"), Write::Replace)?;
    let given = get(&body, "properties").cloned().unwrap_or_else(|| json!({}));
    let mut properties = rules::read(&given, &group.name, identity.as_ref())?;
    if let Some(zones) = get(&body, "zones") {
        properties["zones"] = zones.clone();
    }
    if !created {
        rules::check_immutable(&group.name, &resource.properties, &properties)?;
    }
    // What has failed is tried again.
    let has_failed = resource.provisioning_state != "Succeeded";
    let changed = created || has_failed || resource.identity != identity || resource.properties != properties;
    resource.tags = tags;
    resource.identity = identity;
    resource.properties = properties;
    if changed {
        resource.workload.stopped = false;
        resource.workload.started_at = Some(request.now);
    }
    target::touch(&mut resource, request);
    if !changed {
        let body = render(&resource);
        store.put_resource(resource, request.now);
        return Ok(ArmReply::ok(body));
    }
    let kind = if created {
        PendingKind::Create
    } else {
        PendingKind::Update
    };
    let due = long_running::begin(request, &mut resource, kind);
    let location = resource.location.clone();
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let reply = ArmReply::json(status, render(&resource));
    store.put_resource(resource, request.now);
    let Some(due) = due else { return Ok(reply) };
    let operation = long_running::remember(request, store, group, kind, due);
    let url = operation_url(request, group, &location, &operation);
    Ok(operations::retry_after(
        request,
        reply.with("azure-asyncoperation", url),
    ))
}

/// PATCH: replaces `tags`; everything else in the body is ignored, identities included.
pub fn patch(request: &ArmRequest<'_>, store: &mut Store, group: &Target) -> Result<ArmReply, ArmError> {
    group.enter(request, store, "write")?;
    let body = request.body()?;
    let mut resource = group.find(store)?.clone();
    if let Some(given) = get(&body, "tags") {
        resource.tags = tags::read(Some(given))?;
    }
    target::touch(&mut resource, request);
    let body = render(&resource);
    store.put_resource(resource, request.now);
    Ok(ArmReply::ok(body))
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, group: &Target) -> Result<ArmReply, ArmError> {
    group.enter(request, store, "read")?;
    Ok(ArmReply::ok(render(group.find(store)?)))
}

/// DELETE: 202 with `Location`; 200 with the group when it takes no time; 204 where there is none.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, group: &Target) -> Result<ArmReply, ArmError> {
    group.enter(request, store, "delete")?;
    let Some(mut resource) = store.resource(&group.id()).cloned() else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let due = long_running::begin(request, &mut resource, PendingKind::Delete);
    let location = resource.location.clone();
    let body = render(&resource);
    store.put_resource(resource, request.now);
    let Some(due) = due else { return Ok(ArmReply::ok(body)) };
    let operation = long_running::remember(request, store, group, PendingKind::Delete, due);
    let url = result_url(request, group, &location, &operation);
    let reply = ArmReply::empty(StatusCode::ACCEPTED).with("location", url);
    Ok(operations::retry_after(request, reply))
}

/// GET on the collection of a group or of the subscription.
pub fn list(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmReply, ArmError> {
    let items: Vec<Value> = target::list(request, store, TYPE, subscription, group)?
        .into_iter()
        .map(render)
        .collect();
    Ok(paging::page(request, items))
}

/// Refuses a change while another one is under way.
fn refuse_transition(resource: &Resource) -> Result<(), ArmError> {
    if resource.pending.is_none() {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::CONFLICT,
        "ContainerGroupTransitioning",
        format!(
            "The container group '{}' is still transitioning, please retry later.",
            resource.name
        ),
    ))
}

/// URL of an operation's status.
fn operation_url(request: &ArmRequest<'_>, group: &Target, location: &str, operation: &str) -> String {
    request.url(&format!(
        "/subscriptions/{}/providers/Microsoft.ContainerInstance/locations/{location}/operations/{operation}",
        group.subscription
    ))
}

/// URL of an operation's result: 202 until it is through.
fn result_url(request: &ArmRequest<'_>, group: &Target, location: &str, operation: &str) -> String {
    request.url(&format!(
        "/subscriptions/{}/providers/Microsoft.ContainerInstance/locations/{location}/operationResults/{operation}",
        group.subscription
    ))
}
