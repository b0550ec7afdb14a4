//! `Microsoft.ManagedIdentity/userAssignedIdentities`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{TYPE, check_name, spelled_as_answered};
use crate::arm::target::{self, Target};
use crate::arm::{ArmError, ArmReply, ArmRequest, groups, kinds, paging, resources, tags};
use crate::behaviour::UnknownProperties;
use crate::identity::{ManagedIdentity, ManagedIdentityKind};
use crate::json::{get, get_str};
use crate::store::{OperationOutcome, Pending, PendingKind, Resource, Store};

const LONGEST_NAME: usize = 128;

/// PUT: creates or replaces, at once. The principal of an identity that is there stays.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, identity: &Target) -> Result<ArmReply, ArmError> {
    identity.enter(request, store, "write")?;
    let body = request.body()?;
    let location = target::location(&body, TYPE)?;
    let tags = tags::read(get(&body, "tags"))?;
    let isolation = read_properties(request, &body)?.unwrap_or("None");
    let (mut resource, created) = identity.find_or_new(request, store, location)?;
    if created {
        check_name(&identity.name, LONGEST_NAME)?;
        let principal = ManagedIdentity::new(
            &spelled_as_answered(&resource.id),
            ManagedIdentityKind::UserAssigned,
            request.now,
        );
        store.directory.managed_identities.push(principal);
    }
    resource.tags = tags;
    resource.properties = json!({ "isolationScope": isolation });
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(ArmReply::json(status, save(request, store, resource)))
}

/// PATCH: `tags` are replaced as a whole.
pub fn patch(request: &ArmRequest<'_>, store: &mut Store, identity: &Target) -> Result<ArmReply, ArmError> {
    identity.enter(request, store, "write")?;
    let body = request.body()?;
    let mut resource = identity.find(store)?.clone();
    target::check_location(&body, &resource, "user-assigned identity")?;
    if let Some(given) = get(&body, "tags") {
        resource.tags = tags::read(Some(given))?;
    }
    if let Some(isolation) = read_properties(request, &body)? {
        resource.properties = json!({ "isolationScope": isolation });
    }
    Ok(ArmReply::ok(save(request, store, resource)))
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, identity: &Target) -> Result<ArmReply, ArmError> {
    identity.enter(request, store, "read")?;
    let resource = identity.find(store)?;
    Ok(ArmReply::ok(render(request, store, resource)))
}

/// DELETE: 200, or 204 for an absent one. What it is attached to keeps its id, and its role assignments stay as orphans.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, identity: &Target) -> Result<ArmReply, ArmError> {
    match identity.enter(request, store, "delete") {
        // What is in no group is gone already.
        Err(error) if error.code == "ResourceGroupNotFound" => {
            return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
        }
        entered => entered?,
    }
    let key = identity.key();
    let Some(resource) = store.resources.get_mut(&key) else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    resource.pending = Some(Pending {
        kind: PendingKind::Delete,
        due: request.now,
        outcome: OperationOutcome::Succeeded,
    });
    Ok(ArmReply::empty(StatusCode::OK))
}

/// GET on the collection of a group or of the subscription.
pub fn list(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmReply, ArmError> {
    target::list(request, store, TYPE, subscription, group)?;
    let scope = group.map_or_else(
        || format!("/subscriptions/{subscription}"),
        |name| groups::id(subscription, name),
    );
    let items = resources::inside(store, &scope)
        .filter(|resource| resource.resource_type == TYPE)
        .map(|resource| render(request, store, resource))
        .collect();
    Ok(paging::page(request, items))
}

fn save(request: &ArmRequest<'_>, store: &mut Store, mut resource: Resource) -> Value {
    target::touch(&mut resource, request);
    let body = render(request, store, &resource);
    store.put_resource(resource, request.now);
    body
}

fn render(request: &ArmRequest<'_>, store: &Store, resource: &Resource) -> Value {
    let principal = store.directory.managed_identity_of(&resource.id);
    let mut body = json!({
        "id": spelled_as_answered(&resource.id),
        "name": resource.name,
        "type": TYPE,
        "location": resource.location,
        "tags": resource.tags.clone().unwrap_or_default(),
        "properties": {
            "tenantId": store.tenant_id,
            "principalId": principal.map(|one| &one.object_id),
            "clientId": principal.map(|one| &one.client_id),
        },
    });
    if has_isolation(request.api_version) {
        body["properties"]["isolationScope"] = json!(get_str(&resource.properties, "isolationScope"));
    }
    body
}

/// `isolationScope` came with 2024-11-30 (azure-mgmt-msi 7.1.0).
fn has_isolation(version: &str) -> bool {
    version.get(..10).is_some_and(|date| date >= "2024-11-30")
}

/// Checks the members of the body and of its `properties`, and answers `isolationScope` if it is given.
fn read_properties(request: &ArmRequest<'_>, body: &Value) -> Result<Option<&'static str>, ArmError> {
    const TOP: [&str; 7] = ["id", "name", "type", "location", "tags", "properties", "systemData"];
    // Read-only ones are taken and ignored, so that what GET answered can be sent back.
    const READ_ONLY: [&str; 3] = ["tenantId", "principalId", "clientId"];
    let refuse_unknown = |given: Option<&Value>, known: &[&str], isolation: bool| {
        let names = given.and_then(Value::as_object).into_iter().flat_map(|one| one.keys());
        let unknown = names
            .filter(|name| !(isolation && name.eq_ignore_ascii_case("isolationScope")))
            .find(|name| !known.iter().any(|one| one.eq_ignore_ascii_case(name)));
        match unknown {
            Some(name) if request.state.behaviour().arm.unknown_properties == UnknownProperties::Refuse => {
                Err(ArmError::invalid_content(format!(
                    "The request content was invalid and could not be deserialized: 'Could not find member '{name}' on object of type 'Identity'.'."
                )))
            }
            _ => Ok(()),
        }
    };
    let isolated = has_isolation(request.api_version);
    refuse_unknown(Some(body), &TOP, false)?;
    let properties = get(body, "properties");
    kinds::check(properties.unwrap_or(&Value::Null), &[])?;
    refuse_unknown(properties, &READ_ONLY, isolated)?;
    let given = properties.and_then(|properties| get(properties, "isolationScope"));
    match given {
        Some(given) if isolated && !given.is_null() => ["None", "Regional"]
            .into_iter()
            .find(|known| given.as_str().is_some_and(|text| text.eq_ignore_ascii_case(known)))
            .map(Some)
            .ok_or_else(|| {
                ArmError::invalid_parameter(
                    "properties.isolationScope",
                    format!("The isolation scope {given} is not one of None and Regional."),
                )
            }),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::versions;

    #[test]
    fn isolation_came_with_the_stable_version_of_2024() {
        let with: Vec<&str> = versions::MANAGED_IDENTITIES
            .iter()
            .copied()
            .filter(|version| has_isolation(version))
            .collect();
        assert_eq!(with, ["2025-05-31-preview", "2025-01-31-preview", "2024-11-30"]);
    }
}
