//! What an assignment refers to: whom, which role, where.

use std::time::Duration;

use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::api::role_assignment::PrincipalType;
use crate::api::{IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool};
use crate::azure::role_assignment::Tuple;
use crate::azure::role_definition::{built_in, find_by_name};
use crate::azure::{ArmClient, PrincipalId, ResourceId, RoleId};
use crate::controller::azure_resource::{Blocked, Reports, unresolved};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::readiness::Verdict;
use crate::controller::reference::{self, Referable};
use crate::runtime::Next;

/// The pause between two looks at what triggers tell of anyway, and at what only Azure knows.
const PACE: Next = Next::Resync(Duration::from_mins(1));

/// What an assignment should say, and how its principal is to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it should say.
    pub tuple: Tuple,
    /// What the principal is; with it Azure does not look the principal up, which it may not know everywhere yet.
    pub principal_type: PrincipalType,
}

/// Why it cannot be told what an assignment should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// Something it refers to is gone or going, so the assignment has nothing to be for.
    Gone(Blocked),
    /// Something is not there yet.
    NotYet(Blocked),
}

/// Reads what an object refers to.
pub async fn resolve(
    context: &Context,
    arm: &ArmClient,
    object: &RoleAssignment,
) -> Result<Result<Wanted, Unresolved>, Error> {
    let (principal, principal_type) = match principal(context, object).await {
        Ok(principal) => principal,
        Err(unresolved) => return Ok(Err(unresolved)),
    };
    let scope = match scope(context, object).await {
        Ok(scope) => scope,
        Err(unresolved) => return Ok(Err(unresolved)),
    };
    let role = match role(arm, object, &scope).await? {
        Ok(role) => role,
        Err(held) => return Ok(Err(Unresolved::NotYet(held))),
    };
    let tuple = Tuple { scope, role, principal };
    Ok(Ok(Wanted { tuple, principal_type }))
}

async fn principal(context: &Context, object: &RoleAssignment) -> Result<(PrincipalId, PrincipalType), Unresolved> {
    let spec = &object.spec.principal;
    let text = if let Some(reference) = &spec.managed_identity_ref {
        let read = |identity: &ManagedIdentity| identity.status.as_ref().and_then(|it| it.principal_id.clone());
        referenced(context, object, &reference.name, "principal", read).await
    } else if let Some(reference) = &spec.identity_assignment_ref {
        let read = |assignment: &IdentityAssignment| assignment.status.as_ref().and_then(|it| it.principal_id.clone());
        referenced(context, object, &reference.name, "system-assigned identity", read).await
    } else {
        let text = spec.principal_id.clone().unwrap_or_default();
        return match text.parse() {
            Ok(principal) => Ok((principal, spec.principal_type.unwrap_or_default())),
            Err(error) => {
                let message = format!("spec.principal.principalId is {error}");
                Err(Unresolved::NotYet(stalled(Reason::InvalidSpec, message)))
            }
        };
    };
    text.and_then(|(text, who)| match text.parse() {
        Ok(principal) => Ok((principal, PrincipalType::ServicePrincipal)),
        Err(error) => {
            let message = format!("the principal of {who} is {error}");
            Err(Unresolved::NotYet(waiting(Reason::ReferenceNotReady, message)))
        }
    })
}

async fn scope(context: &Context, object: &RoleAssignment) -> Result<ResourceId, Unresolved> {
    let spec = &object.spec.scope;
    let text = if let Some(reference) = &spec.session_pool_ref {
        let read = |pool: &SessionPool| pool.reported().id.clone();
        referenced(context, object, &reference.name, "id", read).await
    } else if let Some(reference) = &spec.resource_group_ref {
        let read = |group: &ResourceGroup| group.reported().id.clone();
        referenced(context, object, &reference.name, "id", read).await
    } else {
        let text = spec.resource_id.as_deref().unwrap_or_default();
        return text.parse().map_err(|error| {
            let message = format!("spec.scope.resourceId is not valid: {error}");
            Unresolved::NotYet(stalled(Reason::InvalidSpec, message))
        });
    };
    text.and_then(|(text, which)| {
        text.parse().map_err(|error| {
            let message = format!("the id of {which} is not valid: {error}");
            Unresolved::NotYet(waiting(Reason::ReferenceNotReady, message))
        })
    })
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
    Ok(match found.as_slice() {
        [role] => Ok(*role),
        [] => Err(stalled(
            Reason::RoleNotFound,
            format!("{scope} knows no role named `{name}`; spec.role takes a name or a GUID"),
        )),
        [..] => Err(stalled(
            Reason::RoleNotFound,
            format!(
                "{scope} knows {} roles named `{name}`: put the GUID into spec.role",
                found.len()
            ),
        )),
    })
}

/// What a ready object of this namespace has in its status, with the object in words.
async fn referenced<K: Referable>(
    context: &Context,
    object: &RoleAssignment,
    name: &str,
    what: &'static str,
    read: impl Fn(&K) -> Option<String>,
) -> Result<(String, String), Unresolved> {
    let namespace = object.namespace().unwrap_or_default();
    let lacking = || reference::Unresolved::Lacking {
        kind: K::NAME,
        name: name.to_owned(),
        what,
    };
    let found = reference::resolve::<K>(context, &namespace, name).await;
    match found.and_then(|found| read(&found).ok_or_else(lacking)) {
        Ok(text) => Ok((text, format!("{} {name}", K::NAME))),
        Err(why) if why.is_going() => Err(Unresolved::Gone(unresolved(&why))),
        Err(why) => Err(Unresolved::NotYet(unresolved(&why))),
    }
}

fn waiting(reason: Reason, message: String) -> Blocked {
    Blocked {
        verdict: Verdict::progressing(reason, message),
        next: PACE,
        is_credential_gone: false,
    }
}

pub(super) fn stalled(reason: Reason, message: String) -> Blocked {
    Blocked {
        verdict: Verdict::stalled(reason, message),
        next: PACE,
        is_credential_gone: false,
    }
}
