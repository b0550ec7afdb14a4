//! What an assignment should say: whom, which role, where.

use std::fmt::Display;
use std::str::FromStr;

use kube::ResourceExt;

use crate::api::role_assignment::PrincipalType;
use crate::api::{IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool};
use crate::azure::role_assignment::Tuple;
use crate::azure::role_definition::{built_in, find_by_name};
use crate::azure::{ArmClient, PrincipalId, ResourceId, RoleId};
use crate::controller::azure_resource::{Blocked, Reports};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::reference::{self, Referable, Unresolved};

/// What an assignment should say, and how its principal is to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedAssignment {
    /// What it should say.
    pub tuple: Tuple,
    /// What the principal is; with it Azure does not look the principal up, which it may not know everywhere yet.
    pub principal_type: PrincipalType,
}

/// Reads what an object refers to.
pub async fn resolve(
    context: &Context,
    arm: &ArmClient,
    object: &RoleAssignment,
) -> Result<Result<WantedAssignment, Blocked>, Error> {
    let (principal, principal_type) = match principal(context, object).await {
        Ok(principal) => principal,
        Err(blocked) => return Ok(Err(blocked)),
    };
    let scope = match scope(context, object).await {
        Ok(scope) => scope,
        Err(blocked) => return Ok(Err(blocked)),
    };
    let role = role(arm, object, &scope).await?;
    Ok(role.map(|role| WantedAssignment {
        tuple: Tuple { scope, role, principal },
        principal_type,
    }))
}

async fn principal(context: &Context, object: &RoleAssignment) -> Result<(PrincipalId, PrincipalType), Blocked> {
    let spec = &object.spec.principal;
    let principal = if let Some(reference) = &spec.managed_identity_ref {
        let read = |identity: &ManagedIdentity| identity.status.as_ref()?.principal_id.clone();
        referenced(context, object, &reference.name, "principal", read).await?
    } else if let Some(reference) = &spec.identity_assignment_ref {
        let read = |assignment: &IdentityAssignment| assignment.status.as_ref()?.principal_id.clone();
        referenced(context, object, &reference.name, SYSTEM_ASSIGNED, read).await?
    } else if let Some(reference) = &spec.session_pool_ref {
        let read = |pool: &SessionPool| pool.status.as_ref()?.principal_id.clone();
        referenced(context, object, &reference.name, SYSTEM_ASSIGNED, read).await?
    } else {
        let given = spec.principal_id.as_deref().unwrap_or_default().parse();
        let given = given.map_err(|error| Blocked::Invalid(format!("spec.principal.principalId is {error}")))?;
        return Ok((given, spec.principal_type.unwrap_or_default()));
    };
    Ok((principal, PrincipalType::ServicePrincipal))
}

const SYSTEM_ASSIGNED: &str = "system-assigned identity";

async fn scope(context: &Context, object: &RoleAssignment) -> Result<ResourceId, Blocked> {
    let spec = &object.spec.scope;
    if let Some(reference) = &spec.session_pool_ref {
        let read = |pool: &SessionPool| pool.reported().id.clone();
        referenced(context, object, &reference.name, "id", read).await
    } else if let Some(reference) = &spec.resource_group_ref {
        let read = |group: &ResourceGroup| group.reported().id.clone();
        referenced(context, object, &reference.name, "id", read).await
    } else {
        let given = spec.resource_id.as_deref().unwrap_or_default().parse();
        given.map_err(|error| Blocked::Invalid(format!("spec.scope.resourceId is not valid: {error}")))
    }
}

/// The role. What a name meant when the assignment was made stays: Azure may give the name to another role.
async fn role(arm: &ArmClient, object: &RoleAssignment, scope: &ResourceId) -> Result<Result<RoleId, Blocked>, Error> {
    let name = &object.spec.role;
    let recorded = object.status.as_ref().and_then(|it| it.role_definition_id.as_deref());
    if let Some(role) = name.parse().ok().or_else(|| built_in(name)) {
        return Ok(Ok(role));
    }
    if let Some(role) = recorded.and_then(RoleId::of_definition) {
        return Ok(Ok(role));
    }
    let found = find_by_name(arm, scope, name).await?;
    let message = match found.as_slice() {
        [role] => return Ok(Ok(*role)),
        [] => format!("no role at {scope} is named `{name}`; spec.role takes a name or a GUID"),
        [..] => format!(
            "{} roles at {scope} are named `{name}`: set spec.role to the GUID of one",
            found.len()
        ),
    };
    Ok(Err(Blocked::RoleNotFound(message)))
}

/// What a ready object of this namespace has in its status.
async fn referenced<K: Referable, T: FromStr<Err: Display>>(
    context: &Context,
    object: &RoleAssignment,
    name: &str,
    what: &'static str,
    read: impl Fn(&K) -> Option<String>,
) -> Result<T, Blocked> {
    let namespace = object.namespace().unwrap_or_default();
    let found = reference::resolve::<K>(context, &namespace, name).await?;
    let text = read(&found).ok_or_else(|| Unresolved::Lacking {
        kind: K::NAME,
        name: name.to_owned(),
        what,
    })?;
    let unreadable = |error| Unresolved::not_ready::<K>(name, format!(": its {what} is {error}"));
    Ok(text.parse().map_err(unreadable)?)
}
