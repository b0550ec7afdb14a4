//! `Microsoft.App/sessionPools`.

mod progress;
mod render;
mod rules;
mod schema;
mod template;

use axum::http::StatusCode;
use progress::{begin, refuse_busy, start, status_url};
pub use render::{Shape, render};
use serde_json::{Value, json};
use uuid::Uuid;

use super::identity_block::{self, Owner, Write};
use super::target::{self, Target};
use super::{ArmError, ArmReply, ArmRequest, managed_environments, operations, paging, tags};
use crate::json::{get, get_str, merge_patch};
use crate::store::{OperationOutcome, Pending, PendingKind, Store};

/// Type of session pools as ARM's metadata spell it.
pub const TYPE: &str = "Microsoft.App/sessionPools";

/// The action of a PUT or PATCH.
const WRITE: &str = "Microsoft.App/sessionPools/write";

/// PUT: creates or replaces.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, pool: &Target) -> Result<ArmReply, ArmError> {
    pool.enter(request, store, "write")?;
    let body = request.body()?;
    let behaviour = request.state.behaviour();
    schema::check_top_level(&body, request.api_version, &behaviour)?;
    let location = target::location(&body, TYPE)?;
    let tags = tags::read(get(&body, "tags"))?;
    let pool_id = pool.id();
    let before = store.resource(&pool_id).cloned();
    let owner = owner(&pool_id, before.as_ref().and_then(|known| known.identity.as_ref()));
    let identity = identity_block::read(request, store, owner, get(&body, "identity"), Write::Replace)?;
    let given = get(&body, "properties").cloned().unwrap_or_else(|| json!({}));
    let mut properties = schema::read(&given, request.api_version, schema::Use::Put, &behaviour)?;
    let write = rules::Write {
        identity: identity.as_ref(),
        before: before.as_ref().map(|known| &known.properties),
        names_type: true,
        version: request.api_version,
        behaviour: &behaviour,
    };
    write.complete_and_check(&mut properties)?;
    if let Some(environment) = get_str(&properties, "environmentId").filter(|id| !id.is_empty()) {
        managed_environments::require(request, store, (WRITE, &pool_id), environment)?;
    }

    let key = pool.key();
    let (mut resource, created) = pool.find_or_new(request, store, location)?;
    if created {
        rules::check_name(&pool.name)?;
    } else {
        refuse_busy(&resource)?;
        rules::check_immutable(&resource.properties, &properties)?;
    }
    resource.tags = tags;
    resource.identity = identity;
    resource.properties = properties;
    target::touch(&mut resource, request);
    let kind = if created {
        PendingKind::Create
    } else {
        PendingKind::Update
    };
    let asynchronous = begin(request, &mut resource, kind);
    let body = render(request, &resource, Shape::Write);
    let due = resource.pending.as_ref().map(|pending| pending.due);
    let location = resource.location.clone();
    store.put_resource(resource, request.now);

    let status = if created && asynchronous {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let reply = ArmReply::json(status, body).by_provider();
    Ok(match due {
        None => reply,
        Some(due) => {
            let operation = start(request, store, due, key, false);
            let url = status_url(request, pool, &location, "operationStatuses", &operation);
            operations::retry_after(request, reply.with("azure-asyncoperation", url))
        }
    })
}

/// PATCH: an RFC 7396 merge patch of what can be changed; `secrets` are replaced as a whole.
pub fn patch(request: &ArmRequest<'_>, store: &mut Store, pool: &Target) -> Result<ArmReply, ArmError> {
    pool.enter(request, store, "write")?;
    let body = request.body()?;
    let behaviour = request.state.behaviour();
    let key = pool.key();
    let mut resource = pool.find(store)?.clone();
    refuse_busy(&resource)?;
    schema::check_top_level(&body, request.api_version, &behaviour)?;
    target::check_location(&body, &resource, "session pool")?;
    if let Some(given) = get(&body, "tags") {
        resource.tags = tags::read(Some(given))?;
    }
    if let Some(given) = get(&body, "identity") {
        let pool_id = pool.id();
        let owner = owner(&pool_id, resource.identity.as_ref());
        resource.identity = identity_block::read(request, store, owner, Some(given), Write::Merge)?;
    }
    let given = get(&body, "properties");
    let changes = match given {
        None => json!({}),
        Some(given) => schema::read(given, request.api_version, schema::Use::Patch, &behaviour)?,
    };
    let mut properties = resource.properties.clone();
    if get(&body, "identity").is_some() {
        rules::drop_settings_of_others(&mut properties, resource.identity.as_ref());
    }
    merge_patch(&mut properties, &changes);
    if given.is_some() || get(&body, "identity").is_some() {
        let write = rules::Write {
            identity: resource.identity.as_ref(),
            before: Some(&resource.properties),
            names_type: get(&changes, "containerType").is_some(),
            version: request.api_version,
            behaviour: &behaviour,
        };
        write.complete_and_check(&mut properties)?;
    }
    rules::check_immutable(&resource.properties, &properties)?;
    resource.properties = properties;
    target::touch(&mut resource, request);
    begin(request, &mut resource, PendingKind::Update);
    let body = render(request, &resource, Shape::Write);
    let due = resource.pending.as_ref().map(|pending| pending.due);
    let location = resource.location.clone();
    store.put_resource(resource, request.now);
    Ok(match due {
        None => ArmReply::ok(body).by_provider(),
        Some(due) => {
            let operation = start(request, store, due, key, false);
            let result = status_url(request, pool, &location, "operationResults", &operation);
            let status = status_url(request, pool, &location, "operationStatuses", &operation);
            let reply = ArmReply::json(StatusCode::ACCEPTED, body).by_provider();
            operations::retry_after(
                request,
                reply.with("location", result).with("azure-asyncoperation", status),
            )
        }
    })
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, pool: &Target) -> Result<ArmReply, ArmError> {
    pool.enter(request, store, "read")?;
    let resource = pool.find(store)?;
    let body = render(request, resource, Shape::Read);
    Ok(ArmReply::ok(tags::as_read(request, body)).by_provider())
}

/// HEAD: 204 or 404.
pub fn head(request: &ArmRequest<'_>, store: &mut Store, pool: &Target) -> Result<ArmReply, ArmError> {
    get_one(request, store, pool).map(|_| ArmReply::empty(StatusCode::NO_CONTENT).by_provider())
}

/// DELETE: 204 at once for built-in types and absent pools, 202 with `Location` for custom containers.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, pool: &Target) -> Result<ArmReply, ArmError> {
    match pool.enter(request, store, "delete") {
        // What is in no group is gone already.
        Err(error) if error.code == "ResourceGroupNotFound" => {
            return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
        }
        entered => entered?,
    }
    let key = pool.key();
    let Some(mut resource) = store.resource(&key).cloned() else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let asynchronous = begin(request, &mut resource, PendingKind::Delete);
    if !asynchronous {
        resource.pending = Some(Pending {
            kind: PendingKind::Delete,
            due: request.now,
            outcome: OperationOutcome::Succeeded,
        });
    }
    let due = resource.pending.as_ref().map_or(request.now, |pending| pending.due);
    let location = resource.location.clone();
    store.resources.insert(key.clone(), resource);
    if !asynchronous {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT).by_provider());
    }
    let operation = start(request, store, due, key, true);
    let url = status_url(request, pool, &location, "operationResults", &operation);
    let reply = ArmReply::empty(StatusCode::ACCEPTED)
        .by_provider()
        .with("location", url);
    Ok(operations::retry_after(request, reply))
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
        .map(|resource| render(request, resource, Shape::Read))
        .collect();
    Ok(paging::page(request, items).by_provider())
}

/// POST of an action: the key of the MCP server.
pub fn act(request: &ArmRequest<'_>, store: &mut Store, pool: &Target, action: &str) -> Result<ArmReply, ArmError> {
    let rotate = match action {
        "fetchmcpservercredentials" => false,
        "rotatemcpservercredentials" => true,
        _ => {
            return Err(ArmError::gateway(
                StatusCode::NOT_FOUND,
                "InvalidResourceType",
                format!("The resource type '{TYPE}' has no action '{action}'."),
            ));
        }
    };
    pool.enter(request, store, &format!("{action}/action"))?;
    let key = pool.key();
    let resource = store.resources.get_mut(&key).ok_or_else(|| pool.not_found())?;
    let settings = get(&resource.properties, "mcpServerSettings");
    let on = |name: &str| {
        settings
            .and_then(|one| get(one, name))
            .and_then(Value::as_bool)
            .unwrap_or_default()
    };
    if !on("isMcpServerEnabled") || on("isMcpServerApiKeyDisabled") {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            // The code and words that were seen live for a pool without one.
            "SessionMCPServerNotEnabled",
            format!("Session pool '{}' does not have MCP Server enabled.", pool.name),
        ));
    }
    if rotate || resource.mcp_api_key.is_none() {
        resource.mcp_api_key = Some(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    }
    Ok(ArmReply::ok(json!({ "apiKey": resource.mcp_api_key })).by_provider())
}

fn owner<'a>(id: &'a str, before: Option<&'a Value>) -> Owner<'a> {
    Owner {
        id,
        action: WRITE,
        before,
    }
}
