//! Role assignments.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::filter::Filter;
use super::{Scope, definition_id};
use crate::arm::{ArmError, ArmReply, ArmRequest, access, groups, paging};
use crate::behaviour::RepeatedAssignment;
use crate::clock::seconds;
use crate::json::{get, get_str};
use crate::roles::{Revocation, RoleAssignment, covers, definitions};
use crate::store::Store;

const PRINCIPAL_TYPES: [&str; 5] = ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"];
/// Role assignments that a subscription may have.
const MOST_IN_A_SUBSCRIPTION: usize = 4000;
const DETAILS: [&str; 4] = [
    "description",
    "condition",
    "conditionVersion",
    "delegatedManagedIdentityResourceId",
];

/// `PUT {scope}/providers/Microsoft.Authorization/roleAssignments/{guid}`.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, scope: &Scope, name: &str) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &scope.id,
        "Microsoft.Authorization/roleAssignments/write",
    )?;
    require_scope(store, scope)?;
    let bad = |code, message: String| Err(ArmError::new(StatusCode::BAD_REQUEST, code, message));
    if !is_guid(name) {
        return bad(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."),
        );
    }
    let body = request.body()?;
    let properties = get(&body, "properties").cloned().unwrap_or(Value::Null);
    let text = |name: &str| get_str(&properties, name).unwrap_or_default();
    let (definition, principal_id) = (text("roleDefinitionId"), text("principalId"));
    if definition.is_empty() || principal_id.is_empty() {
        return Err(ArmError::invalid_content(
            "The request content was invalid and could not be deserialized: 'properties.roleDefinitionId and properties.principalId are required'.",
        ));
    }
    let Some(guid) = definition_guid(definition) else {
        return bad("BadRequestFormat", "The request was incorrectly formatted.".to_owned());
    };
    let Some(role) = definitions::by_guid(guid) else {
        return bad(
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{guid}' does not exist."),
        );
    };
    if !is_guid(principal_id) {
        return bad(
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment, not '{principal_id}'."),
        );
    }
    let asked_type = get_str(&properties, "principalType").filter(|kind| !kind.is_empty());
    let principal_type = match asked_type {
        None => None,
        Some(kind) => match PRINCIPAL_TYPES.iter().find(|known| known.eq_ignore_ascii_case(kind)) {
            Some(known) => Some(*known),
            None => return bad("BadRequestFormat", format!("The principal type '{kind}' is not valid.")),
        },
    };
    check_principal(request, store, principal_id, principal_type)?;
    let details = read_details(&properties)?;

    let same_tuple = |one: &RoleAssignment| {
        one.scope.eq_ignore_ascii_case(&scope.id)
            && one.role.eq_ignore_ascii_case(guid)
            && one.principal_id.eq_ignore_ascii_case(principal_id)
    };
    if let Some(known) = store
        .assignments
        .iter_mut()
        .find(|one| one.name.eq_ignore_ascii_case(name))
    {
        if !same_tuple(known) {
            return bad(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.".to_owned(),
            );
        }
        if known.details != details {
            known.details = details;
            known.updated = request.now;
            request.principal.object_id.clone_into(&mut known.updated_by);
            let body = render(known, scope);
            return Ok(ArmReply::ok(body));
        }
        return match request.state.behaviour().roles.repeated_assignment {
            RepeatedAssignment::Accepted => Ok(ArmReply::ok(render(known, scope))),
            RepeatedAssignment::Conflict => Err(exists(&known.name)),
        };
    }
    if let Some(known) = store.assignments.iter().find(|one| same_tuple(one)) {
        return Err(exists(&known.name));
    }
    check_limit(store, scope)?;
    let effective = request.now + seconds(request.state.behaviour().roles.propagation_seconds);
    let assignment = RoleAssignment {
        name: name.to_ascii_lowercase(),
        scope: scope.id.clone(),
        role: role.guid.to_owned(),
        principal_id: principal_id.to_owned(),
        principal_type: principal_type.unwrap_or("ServicePrincipal").to_owned(),
        details,
        created: request.now,
        updated: request.now,
        updated_by: request.principal.object_id.clone(),
        effective,
    };
    let body = render(&assignment, scope);
    store.assignments.push(assignment);
    Ok(ArmReply::json(StatusCode::CREATED, body))
}

/// The texts beside the tuple. Conditions are refused: what they would keep a principal from is not evaluated here, so
/// that an assignment with one would give more than it says.
fn read_details(properties: &Value) -> Result<Map<String, Value>, ArmError> {
    let mut details = Map::new();
    for name in DETAILS {
        match get(properties, name) {
            None | Some(Value::Null) => {}
            Some(value @ Value::String(_)) => {
                details.insert(name.to_owned(), value.clone());
            }
            Some(_) => {
                return Err(ArmError::invalid_content(format!(
                    "The request content was invalid and could not be deserialized: 'properties.{name} must be a string'."
                )));
            }
        }
    }
    if details.contains_key("condition") {
        return Err(ArmError::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotEmulated",
            "The emulator does not evaluate conditions of role assignments.",
        ));
    }
    Ok(details)
}

/// Whether a text is a GUID as Azure writes them, with hyphens and nothing around it.
fn is_guid(text: &str) -> bool {
    text.len() == uuid::fmt::Hyphenated::LENGTH && Uuid::parse_str(text).is_ok()
}

/// The GUID of a role definition's id, which may be that of the tenant, of a subscription or of any scope.
fn definition_guid(id: &str) -> Option<&str> {
    let (parent, guid) = id.rsplit_once('/')?;
    let is_definition = parent
        .to_ascii_lowercase()
        .ends_with("/providers/microsoft.authorization/roledefinitions");
    (is_definition && is_guid(guid)).then_some(guid)
}

fn exists(name: &str) -> ArmError {
    ArmError::new(
        StatusCode::CONFLICT,
        "RoleAssignmentExists",
        format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            name.replace('-', "")
        ),
    )
}

/// Refuses one assignment more than a subscription may have (role-based access control limits).
fn check_limit(store: &Store, scope: &Scope) -> Result<(), ArmError> {
    let Some(subscription) = &scope.subscription else {
        return Ok(());
    };
    let subscription = format!("/subscriptions/{subscription}");
    let inside = |one: &&RoleAssignment| covers(&subscription, &one.scope);
    if store.assignments.iter().filter(inside).count() < MOST_IN_A_SUBSCRIPTION {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "RoleAssignmentLimitExceeded",
        "No more role assignments can be created in this subscription.",
    ))
}

/// The directory check that `principalType: ServicePrincipal` leaves out: every principal here is one.
fn check_principal(
    request: &ArmRequest<'_>,
    store: &Store,
    principal_id: &str,
    principal_type: Option<&str>,
) -> Result<(), ArmError> {
    let replication = seconds(request.state.behaviour().roles.principal_replication_seconds);
    let known = store
        .directory
        .principal_created(principal_id)
        .is_some_and(|created| created + replication <= request.now);
    if principal_type == Some("ServicePrincipal") {
        return Ok(());
    }
    if known {
        return match principal_type {
            None => Ok(()),
            Some(kind) => Err(ArmError::new(
                StatusCode::BAD_REQUEST,
                "UnmatchedPrincipalType",
                format!(
                    "The PrincipalId '{}' has type 'ServicePrincipal', which is different from specified PrincipalType '{kind}'.",
                    principal_id.replace('-', "")
                ),
            )),
        };
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "PrincipalNotFound",
        format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
            principal_id.replace('-', ""),
            store.tenant_id
        ),
    ))
}

/// `GET {scope}/providers/Microsoft.Authorization/roleAssignments/{guid}`.
pub fn get_one(request: &ArmRequest<'_>, store: &Store, scope: &Scope, name: &str) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &scope.id,
        "Microsoft.Authorization/roleAssignments/read",
    )?;
    let found = store
        .assignments
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name) && one.scope.eq_ignore_ascii_case(&scope.id));
    match found {
        Some(assignment) => Ok(ArmReply::ok(render(assignment, scope))),
        None => Err(ArmError::new(
            StatusCode::NOT_FOUND,
            "RoleAssignmentNotFound",
            format!("The role assignment '{name}' is not found."),
        )),
    }
}

/// `DELETE {scope}/providers/Microsoft.Authorization/roleAssignments/{guid}`: 200 with what was deleted, or 204.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, scope: &Scope, name: &str) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &scope.id,
        "Microsoft.Authorization/roleAssignments/delete",
    )?;
    let found = store
        .assignments
        .iter()
        .position(|one| one.name.eq_ignore_ascii_case(name) && one.scope.eq_ignore_ascii_case(&scope.id));
    Ok(match found {
        Some(at) => {
            let assignment = store.assignments.remove(at);
            let body = render(&assignment, scope);
            let until = request.now + seconds(request.state.behaviour().roles.propagation_seconds);
            store.revocations.push(Revocation { assignment, until });
            ArmReply::ok(body)
        }
        None => ArmReply::empty(StatusCode::NO_CONTENT),
    })
}

/// `GET {scope}/providers/Microsoft.Authorization/roleAssignments`: at, above and below the scope.
pub fn list(request: &ArmRequest<'_>, store: &Store, scope: &Scope) -> Result<ArmReply, ArmError> {
    access::authorize(
        request,
        store,
        &scope.id,
        "Microsoft.Authorization/roleAssignments/read",
    )?;
    let filter = Filter::parse(request.arrived.parameter("$filter"))?;
    let items = store
        .assignments
        .iter()
        .filter(|one| filter.takes(one, &scope.id))
        .map(|one| render(one, scope))
        .collect();
    Ok(paging::page(request, items))
}

fn require_scope(store: &Store, scope: &Scope) -> Result<(), ArmError> {
    let (Some(subscription), Some(group)) = (&scope.subscription, &scope.group) else {
        return Ok(());
    };
    groups::refuse_deleting(groups::require(store, subscription, group)?)?;
    // Parts of a resource are scopes too, such as a vault's secrets: they are there if the resource is.
    let is_inside = || store.resources.keys().any(|id| covers(id, &scope.id));
    if scope.id.to_ascii_lowercase().contains("/providers/") && !is_inside() {
        return Err(ArmError::gateway(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("The Resource '{}' was not found.", scope.id),
        ));
    }
    Ok(())
}

fn render(assignment: &RoleAssignment, scope: &Scope) -> Value {
    let detail = |name: &str| assignment.details.get(name).cloned().unwrap_or(Value::Null);
    let prefix = if assignment.scope == "/" { "" } else { &assignment.scope };
    json!({
        "properties": {
            "roleDefinitionId": definition_id(scope, &assignment.role),
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": detail("condition"),
            "conditionVersion": detail("conditionVersion"),
            "createdOn": assignment.created,
            "updatedOn": assignment.updated,
            "createdBy": null,
            "updatedBy": assignment.updated_by,
            "delegatedManagedIdentityResourceId": detail("delegatedManagedIdentityResourceId"),
            "description": detail("description"),
        },
        "id": format!("{prefix}/providers/Microsoft.Authorization/roleAssignments/{}", assignment.name),
        "type": "Microsoft.Authorization/roleAssignments",
        "name": assignment.name,
    })
}
