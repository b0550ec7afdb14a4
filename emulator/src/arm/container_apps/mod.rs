//! `Microsoft.App/containerApps`: the resource, its secrets and its power state. No container runs.
//!
//! GET never shows the values of secrets, and a PUT whose secrets have none is refused with `ContainerAppSecretInvalid`
//! (reported by many clients of the live service): who replaces an app has to ask `listSecrets` first. PATCH is an
//! RFC 7396 merge patch and keeps what it does not mention.

mod actions;
mod render;
mod rules;
mod schema;

pub use actions::act;
use axum::http::StatusCode;
pub use render::render;
use serde_json::{Value, json};

use super::app_shape::Shape;
use super::identity_block::{self, Owner, Write};
use super::target::{self, Target};
use super::{ArmError, ArmReply, ArmRequest, long_running, paging, tags};
use crate::json::{get, merge_patch};
use crate::store::{PendingKind, Resource, Store};

/// Type of container apps as ARM's metadata spell it.
pub const TYPE: &str = "Microsoft.App/containerApps";

/// PUT: creates or replaces. What it leaves out is gone afterwards, identities and secrets included.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "write")?;
    let arm = &request.state.behaviour().arm;
    let body = schema::read_top(&request.body()?, request.api_version, arm)?;
    let location = target::location(&body, TYPE)?;
    let tags = tags::read(get(&body, "tags"))?;
    let given = get(&body, "properties").cloned().unwrap_or_else(|| json!({}));
    let mut properties = schema::read(&given, request.api_version, arm)?;
    schema::drop_nulls(&mut properties);

    let (mut resource, created) = app.find_or_new(request, store, location)?;
    if created {
        rules::check_name(&app.name)?;
    } else {
        refuse_busy(&resource)?;
    }
    let owner = owner(&resource);
    let identity = identity_block::read(request, store, owner, get(&body, "identity"), Write::Replace)?;
    rules::complete_and_check(&mut properties, identity.as_ref())?;
    rules::check_environment(request, store, app, &properties)?;
    if !created {
        rules::check_immutable(&resource.properties, &properties)?;
    }
    resource.identity = identity;
    resource.tags = tags;
    resource.properties = properties;
    let kind = if created {
        PendingKind::Create
    } else {
        PendingKind::Update
    };
    // 201 for an app that is there too, as recorded; the Azure CLI waits for the operation of no other status.
    write(request, store, app, resource, kind, |body| {
        ArmReply::json(StatusCode::CREATED, body)
    })
}

/// PATCH: an RFC 7396 merge patch of `tags`, `identity` and `properties`; lists are replaced as a whole.
pub fn patch(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "write")?;
    let arm = &request.state.behaviour().arm;
    let body = schema::read_top(&request.body()?, request.api_version, arm)?;
    let mut resource = app.find(store)?.clone();
    refuse_busy(&resource)?;
    target::check_location(&body, &resource, "container app")?;
    if let Some(given) = get(&body, "tags") {
        let mut tags = json!(resource.tags);
        merge_patch(&mut tags, given);
        resource.tags = tags::read(Some(&tags))?;
    }
    let given = get(&body, "identity");
    let identity = identity_block::read(request, store, owner(&resource), given, Write::Merge)?;
    let mut properties = resource.properties.clone();
    if let Some(given) = get(&body, "properties") {
        let changes = schema::read(given, request.api_version, arm)?;
        merge_patch(&mut properties, &changes);
        schema::drop_nulls(&mut properties);
    }
    rules::complete_and_check(&mut properties, identity.as_ref())?;
    rules::check_immutable(&resource.properties, &properties)?;
    resource.identity = identity;
    resource.properties = properties;
    write(request, store, app, resource, PendingKind::Update, ArmReply::ok)
}

/// Stores what a write made of the app and answers with it: at once, or as an asynchronous operation.
fn write(
    request: &ArmRequest<'_>,
    store: &mut Store,
    app: &Target,
    mut resource: Resource,
    kind: PendingKind,
    reply: impl FnOnce(Value) -> ArmReply,
) -> Result<ArmReply, ArmError> {
    target::touch(&mut resource, request);
    let due = long_running::begin(request, &mut resource, kind);
    let location = resource.location.clone();
    let mut reply = reply(render(&resource, Shape::Write)).by_provider();
    store.put_resource(resource, request.now);
    let Some(due) = due else { return Ok(reply) };
    let operation = long_running::remember(request, store, app, kind, due);
    let url = |endpoint: &str| long_running::app_url(request, app, &location, endpoint, &operation);
    if request.arrived.method == axum::http::Method::PATCH {
        reply.status = StatusCode::ACCEPTED;
        reply = reply.with("location", url("containerappOperationResults"));
    }
    let status = url("containerappOperationStatuses");
    Ok(long_running::with_url(request, reply, "azure-asyncoperation", status))
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "read")?;
    Ok(ArmReply::ok(render(app.find(store)?, Shape::Read)).by_provider())
}

/// DELETE: 202 with `Location`, or 204 where there is none.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, app: &Target) -> Result<ArmReply, ArmError> {
    app.enter(request, store, "delete")?;
    let Some(mut resource) = store.resource(&app.id()).cloned() else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let due = long_running::begin(request, &mut resource, PendingKind::Delete);
    let location = resource.location.clone();
    store.put_resource(resource, request.now);
    let Some(due) = due else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT).by_provider());
    };
    let operation = long_running::remember(request, store, app, PendingKind::Delete, due);
    let url = long_running::app_url(request, app, &location, "containerappOperationResults", &operation);
    let reply = ArmReply::empty(StatusCode::ACCEPTED).by_provider();
    Ok(long_running::with_url(request, reply, "location", url))
}

/// GET on the collection of a group or of the subscription.
pub fn list(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmReply, ArmError> {
    let items = target::list(request, store, TYPE, subscription, group)?
        .into_iter()
        .map(|resource| render(resource, Shape::Read))
        .collect();
    Ok(paging::page(request, items).by_provider())
}

fn owner(resource: &Resource) -> Owner<'_> {
    Owner {
        id: &resource.id,
        action: "Microsoft.App/containerApps/write",
        before: resource.identity.as_ref(),
    }
}

/// Refuses a change while an operation is under way.
fn refuse_busy(resource: &Resource) -> Result<(), ArmError> {
    if resource.pending.is_none() {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::CONFLICT,
        "ContainerAppOperationInProgress",
        format!(
            "Cannot modify a container app '{}' because there is an active provisioning operation in progress.",
            resource.name
        ),
    ))
}
