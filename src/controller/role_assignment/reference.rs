//! What an assignment refers to: whom, which role, where.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::api::condition::{Reason, kind};
use crate::api::role_assignment::PrincipalType;
use crate::api::{IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool};
use crate::azure::role_assignment::Tuple;
use crate::azure::role_definition::{built_in, find_by_name};
use crate::azure::{ArmClient, PrincipalId, ResourceId, RoleId};
use crate::controller::azure_resource::Held;
use crate::controller::context::{Context, Watched};
use crate::controller::error::Error;
use crate::controller::readiness::{Verdict, is_ready};
use crate::runtime::conditions::find;
use crate::runtime::reconciler::Object;
use crate::runtime::{ApiError, Key, Next};

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
    Gone(Held),
    /// Something is not there yet.
    NotYet(Held),
}

/// Reads what an object refers to.
pub async fn resolve(
    context: &Context,
    arm: &ArmClient,
    object: &RoleAssignment,
) -> Result<Result<Wanted, Unresolved>, Error> {
    let (principal, principal_type) = match principal(context, object).await? {
        Ok(principal) => principal,
        Err(unresolved) => return Ok(Err(unresolved)),
    };
    let scope = match scope(context, object).await? {
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

type Resolved<T> = Result<Result<T, Unresolved>, Error>;

async fn principal(context: &Context, object: &RoleAssignment) -> Resolved<(PrincipalId, PrincipalType)> {
    let spec = &object.spec.principal;
    let text = if let Some(reference) = &spec.managed_identity_ref {
        let look = |identity: &ManagedIdentity| identity.status.as_ref().and_then(|it| it.principal_id.clone());
        let watched = &context.managed_identities;
        referenced(context, object, watched, "ManagedIdentity", &reference.name, look).await?
    } else if let Some(reference) = &spec.identity_assignment_ref {
        let look = |assignment: &IdentityAssignment| assignment.status.as_ref().and_then(|it| it.principal_id.clone());
        let watched = &context.identity_assignments;
        referenced(context, object, watched, "IdentityAssignment", &reference.name, look).await?
    } else {
        let text = spec.principal_id.clone().unwrap_or_default();
        return Ok(match text.parse() {
            Ok(principal) => Ok((principal, spec.principal_type.unwrap_or_default())),
            Err(error) => {
                let message = format!("spec.principal.principalId is {error}");
                Err(Unresolved::NotYet(stalled(Reason::InvalidSpec, message)))
            }
        });
    };
    Ok(text.and_then(|(text, who)| match text.parse() {
        Ok(principal) => Ok((principal, PrincipalType::ServicePrincipal)),
        Err(error) => {
            let message = format!("the principal of {who} is {error}");
            Err(Unresolved::NotYet(waiting(Reason::ReferenceNotReady, message)))
        }
    }))
}

async fn scope(context: &Context, object: &RoleAssignment) -> Resolved<ResourceId> {
    let spec = &object.spec.scope;
    let text = if let Some(reference) = &spec.session_pool_ref {
        let look = |pool: &SessionPool| pool.status.as_ref().and_then(|it| it.id.clone());
        let watched = &context.session_pools;
        referenced(context, object, watched, "SessionPool", &reference.name, look).await?
    } else if let Some(reference) = &spec.resource_group_ref {
        let look = |group: &ResourceGroup| group.status.as_ref().and_then(|it| it.id.clone());
        let watched = &context.resource_groups;
        referenced(context, object, watched, "ResourceGroup", &reference.name, look).await?
    } else {
        let text = spec.resource_id.as_deref().unwrap_or_default();
        return Ok(text.parse().map_err(|error| {
            let message = format!("spec.scope.resourceId is not valid: {error}");
            Unresolved::NotYet(stalled(Reason::InvalidSpec, message))
        }));
    };
    Ok(text.and_then(|(text, which)| {
        text.parse().map_err(|error| {
            let message = format!("the id of {which} is not valid: {error}");
            Unresolved::NotYet(waiting(Reason::ReferenceNotReady, message))
        })
    }))
}

/// The role. What a name meant when the assignment was made stays: Azure may give the name to another role.
async fn role(arm: &ArmClient, object: &RoleAssignment, scope: &ResourceId) -> Result<Result<RoleId, Held>, Error> {
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
async fn referenced<K>(
    context: &Context,
    object: &RoleAssignment,
    watched: &Watched<K>,
    kind_name: &str,
    name: &str,
    look: impl Fn(&K) -> Option<String>,
) -> Resolved<(String, String)>
where
    K: Object + HasConditions,
{
    watched.cache().ready().await;
    let namespace = object.namespace().unwrap_or_default();
    let who = format!("{kind_name} {name}");
    let Some(found) = watched.get(&Key::new(namespace.clone(), name)) else {
        // An object that cannot be decoded is not in the cache. A role must not be taken away because of that.
        let is_gone =
            object.status.as_ref().is_some_and(|it| it.id.is_some()) && !exists::<K>(context, &namespace, name).await?;
        let held = waiting(
            Reason::ReferenceNotFound,
            format!("{who} does not exist in this namespace"),
        );
        return Ok(Err(if is_gone {
            Unresolved::Gone(held)
        } else {
            Unresolved::NotYet(held)
        }));
    };
    let (meta, conditions) = (found.meta(), found.conditions());
    if meta.deletion_timestamp.is_some() {
        let held = waiting(Reason::ReferenceNotReady, format!("{who} is being deleted"));
        return Ok(Err(Unresolved::Gone(held)));
    }
    if !is_ready(conditions, meta.generation) {
        let because = match find(conditions, kind::READY) {
            Some(ready) if ready.status != "True" => format!(": {}: {}", ready.reason, ready.message),
            Some(_) | None => " yet".to_owned(),
        };
        let held = waiting(Reason::ReferenceNotReady, format!("{who} is not ready{because}"));
        return Ok(Err(Unresolved::NotYet(held)));
    }
    Ok(match look(&found) {
        Some(text) => Ok((text, who)),
        // It is all that it should be, so nothing will come: as with a target whose system-assigned identity went.
        None => Err(Unresolved::Gone(waiting(
            Reason::ReferenceNotReady,
            format!("{who} is ready and has no principal or id to refer to"),
        ))),
    })
}

async fn exists<K: Object>(context: &Context, namespace: &str, name: &str) -> Result<bool, Error> {
    let api: Api<K> = Api::namespaced(context.client().clone(), namespace);
    // The operator may list its kinds, and get none of them.
    let only = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = api.list_metadata(&only).await.map_err(ApiError::from)?;
    Ok(!found.items.is_empty())
}

/// The kinds that can be referred to.
trait HasConditions {
    fn conditions(&self) -> &[Condition];
}

macro_rules! has_conditions {
    ($($kind:ty),+) => {
        $(impl HasConditions for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map(|it| it.conditions.as_slice()).unwrap_or_default()
            }
        })+
    };
}

has_conditions!(ManagedIdentity, IdentityAssignment, SessionPool, ResourceGroup);

fn waiting(reason: Reason, message: String) -> Held {
    Held {
        verdict: Verdict::progressing(reason, message),
        next: PACE,
        is_credential_gone: false,
    }
}

pub(super) fn stalled(reason: Reason, message: String) -> Held {
    Held {
        verdict: Verdict::stalled(reason, message),
        next: PACE,
        is_credential_gone: false,
    }
}
