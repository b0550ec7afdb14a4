//! Resource groups.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{ArmError, ArmReply, ArmRequest, access, operations, paging, regions, resources, tags};
use crate::clock::seconds;
use crate::json::{get, get_str};
use crate::store::{OperationOutcome, ResourceGroup, Store};

const MAX_NAME_CHARS: usize = 90;

/// The id of a group.
pub fn id(subscription: &str, name: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{name}")
}

/// The group of a name, or ARM's 404.
pub fn require<'a>(store: &'a Store, subscription: &str, name: &str) -> Result<&'a ResourceGroup, ArmError> {
    store.group(subscription, name).ok_or_else(|| {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "ResourceGroupNotFound",
            format!("Resource group '{name}' could not be found."),
        )
    })
}

/// The 409 of everything that would change a group, or something in it, while it is being deleted.
pub fn refuse_deleting(group: &ResourceGroup) -> Result<(), ArmError> {
    if group.deleted_at.is_none() {
        return Ok(());
    }
    Err(ArmError::gateway(
        StatusCode::CONFLICT,
        "ResourceGroupBeingDeleted",
        format!(
            "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
            group.name
        ),
    ))
}

/// `PUT /subscriptions/{s}/resourcegroups/{rg}`.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, subscription: &str, name: &str) -> Result<ArmReply, ArmError> {
    let scope = id(subscription, name);
    access::authorize(
        request,
        store,
        &scope,
        "Microsoft.Resources/subscriptions/resourceGroups/write",
    )?;
    check_name(name)?;
    let body = request.body()?;
    check_members(&body)?;
    let Some(location) = get_str(&body, "location").filter(|location| !location.is_empty()) else {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    if regions::display_name(location).is_none() {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "LocationNotAvailableForResourceGroup",
            format!(
                "The provided location '{location}' is not available for resource group. List of available regions is '{}'.",
                regions::REGIONS
                    .iter()
                    .map(|region| regions::normalise(region))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ));
    }
    let location = regions::normalise(location);
    let tags = tags::read(get(&body, "tags"))?;
    let managed_by = get_str(&body, "managedBy").map(str::to_owned);
    let key = Store::group_key(subscription, name);
    if let Some(known) = store.groups.get_mut(&key) {
        refuse_deleting(known)?;
        if known.location != location {
            return Err(ArmError::gateway(
                StatusCode::CONFLICT,
                "InvalidResourceGroupLocation",
                format!(
                    "Invalid resource group location '{location}'. The Resource group already exists in location '{}'.",
                    known.location
                ),
            ));
        }
        known.tags = tags;
        known.managed_by = managed_by;
        return Ok(ArmReply::ok(render(known)));
    }
    let group = ResourceGroup {
        id: scope,
        name: name.to_owned(),
        location,
        tags,
        managed_by,
        deleted_at: None,
    };
    let body = render(&group);
    store.groups.insert(key, group);
    Ok(ArmReply::json(StatusCode::CREATED, body))
}

/// `PATCH /subscriptions/{s}/resourcegroups/{rg}`: `tags` are replaced as a whole.
pub fn patch(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    name: &str,
) -> Result<ArmReply, ArmError> {
    let scope = id(subscription, name);
    access::authorize(
        request,
        store,
        &scope,
        "Microsoft.Resources/subscriptions/resourceGroups/write",
    )?;
    refuse_deleting(require(store, subscription, name)?)?;
    let body = request.body()?;
    check_members(&body)?;
    let tags = get(&body, "tags").map(|value| tags::read(Some(value))).transpose()?;
    let managed_by = get(&body, "managedBy").map(|value| value.as_str().map(str::to_owned));
    let Some(group) = store.groups.get_mut(&Store::group_key(subscription, name)) else {
        return Ok(ArmReply::empty(StatusCode::NOT_FOUND));
    };
    if let Some(tags) = tags {
        group.tags = tags;
    }
    if let Some(managed_by) = managed_by {
        group.managed_by = managed_by;
    }
    Ok(ArmReply::ok(render(group)))
}

/// `GET /subscriptions/{s}/resourcegroups/{rg}`.
pub fn get_one(request: &ArmRequest<'_>, store: &Store, subscription: &str, name: &str) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &id(subscription, name),
        "Microsoft.Resources/subscriptions/resourceGroups/read",
    )?;
    let body = render(require(store, subscription, name)?);
    Ok(ArmReply::ok(tags::as_read(request, body)))
}

/// `HEAD /subscriptions/{s}/resourcegroups/{rg}`: 204 or 404.
pub fn head(request: &ArmRequest<'_>, store: &Store, subscription: &str, name: &str) -> Result<ArmReply, ArmError> {
    get_one(request, store, subscription, name).map(|_| ArmReply::empty(StatusCode::NO_CONTENT))
}

/// `DELETE /subscriptions/{s}/resourcegroups/{rg}`: the group and all in it go when the operation is through.
pub fn delete(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    name: &str,
) -> Result<ArmReply, ArmError> {
    let scope = id(subscription, name);
    access::authorize(
        request,
        store,
        &scope,
        "Microsoft.Resources/subscriptions/resourceGroups/delete",
    )?;
    require(store, subscription, name)?;
    let behaviour = request.state.behaviour();
    let due = request.now + seconds(behaviour.arm.group_deletion_seconds);
    let Some(group) = store.groups.get_mut(&Store::group_key(subscription, name)) else {
        return Ok(ArmReply::empty(StatusCode::NOT_FOUND));
    };
    let due = *group.deleted_at.get_or_insert(due);
    let target = group.id.clone();
    let operation = operations::start(store, request.now, due, target, OperationOutcome::Succeeded, true);
    let location = request.url(&format!(
        "/subscriptions/{subscription}/operationresults/{}",
        operations::opaque("group", &operation)
    ));
    Ok(ArmReply::empty(StatusCode::ACCEPTED)
        .with("location", location)
        .with("retry-after", behaviour.arm.retry_after_seconds.to_string()))
}

/// `GET /subscriptions/{s}/resourcegroups`.
pub fn list(request: &ArmRequest<'_>, store: &Store, subscription: &str) -> Result<ArmReply, ArmError> {
    let prefix = format!("/subscriptions/{subscription}/resourcegroups/").to_ascii_lowercase();
    let filter = resources::Filter::parse(request.arrived.parameter("$filter"))?;
    let scope = format!("/subscriptions/{subscription}");
    let action = "Microsoft.Resources/subscriptions/resourceGroups/read";
    // A principal with rights on single groups sees those.
    let items: Vec<Value> = store
        .groups
        .range(prefix.clone()..)
        .take_while(|(key, _)| key.starts_with(&prefix))
        .map(|(_, group)| group)
        .filter(|group| {
            filter.takes(
                &group.id,
                "Microsoft.Resources/resourceGroups",
                &group.location,
                group.tags.as_ref(),
            )
        })
        .filter(|group| access::authorize(request, store, &group.id, action).is_ok())
        .map(render)
        .collect();
    if items.is_empty() && store.groups.is_empty() {
        access::authorize(request, store, &scope, action)?;
    }
    Ok(paging::page(request, items))
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let allowed = |one: char| one.is_alphanumeric() || matches!(one, '-' | '_' | '.' | '(' | ')');
    if name.chars().count() > MAX_NAME_CHARS || name.ends_with('.') || !name.chars().all(allowed) {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "InvalidResourceGroup",
            format!(
                "The provided resource group name '{name}' has invalid characters or is too long. The name can only be a letter, digit, '-', '.', '(', ')' or '_', must not end with '.', and has at most {MAX_NAME_CHARS} characters."
            ),
        ));
    }
    Ok(())
}

fn check_members(body: &Value) -> Result<(), ArmError> {
    const KNOWN: [&str; 8] = [
        "id",
        "name",
        "type",
        "location",
        "tags",
        "managedBy",
        "properties",
        "systemData",
    ];
    let unknown = body
        .as_object()
        .into_iter()
        .flat_map(|members| members.keys())
        .find(|name| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)));
    unknown.map_or(Ok(()), |name| {
        Err(ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: 'Could not find member '{name}' on object of type 'ResourceGroupDefinition'. Path '{name}', line 1, position 1.'."
        )))
    })
}

fn render(group: &ResourceGroup) -> Value {
    let state = if group.deleted_at.is_some() {
        "Deleting"
    } else {
        "Succeeded"
    };
    let mut body = json!({
        "id": group.id,
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": { "provisioningState": state },
    });
    if let Some(tags) = &group.tags {
        body["tags"] = json!(tags);
    }
    if let Some(managed_by) = &group.managed_by {
        body["managedBy"] = json!(managed_by);
    }
    body
}
