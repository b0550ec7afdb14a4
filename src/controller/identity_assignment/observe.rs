//! One look at an identity assignment's target, and at what the assignment refers to.

use kube::ResourceExt;

use crate::api::identity::UserAssignedIdentityReference;
use crate::api::{IdentityAssignment, OWNER_TAG};
use crate::azure::resource_group::tag;
use crate::azure::{ArmClient, AzureError, ErrorClass};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    Blocked, Dependency, Histories, History, IdentityPrincipal, Observation, Reports, Subject, explain_failure, find,
    is_of_another_namespace, open_account, principal_of, unreadable,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::ownership::Owner;
use crate::controller::reference::usable_identity;
use crate::runtime::{Key, ObjectId};

use super::observation::{TargetObservation, TargetState, WantedIdentities};
use super::record::Signature;
use super::target::{TargetKind, locate};

/// Looks at the target, once its account and its group are there. An identity assignment that is being deleted, or that
/// has to take back what goes, asks for no more than it needs.
pub async fn observe(
    context: &Context,
    histories: &Histories,
    object: &IdentityAssignment,
) -> Result<TargetObservation, Error> {
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Blocked(blocked) => return Ok(Observation::Blocked(blocked)),
    };
    let lifecycle = Subject::of(object).lifecycle;
    let wanted = match lifecycle {
        Lifecycle::Wanted => wanted(context, account.account.arm(), object).await,
        Lifecycle::Deleted => WantedIdentities::default(),
    };
    // What is taken back is where the status says, even if its group goes at the same time.
    let takes_back = wanted.unmet.as_ref().is_some_and(|it| it.is_going) && object.reported().id.is_some();
    let placed = if takes_back { Lifecycle::Deleted } else { lifecycle };
    let id = match locate(context, object, &account.account, placed).await {
        Ok(id) => id,
        Err(blocked) => return Ok(Observation::Blocked(blocked)),
    };
    let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
    let arm = account.account.arm().clone();
    let mut resource = TargetState {
        arm: Some(arm),
        id,
        kind: TargetKind::of(&object.spec.target),
        signature: Signature::new(context.cluster(), &namespace, &object.name_any(), &uid),
        wanted,
        actual: None,
        pause: None,
        managed_elsewhere: None,
        role_assignments: match lifecycle {
            Lifecycle::Wanted => Vec::new(),
            Lifecycle::Deleted => role_assignments(context, object).await,
        },
        account_is_marked: account.is_marked,
        history: History {
            pace: context.settings().pace,
            ..histories.of(&uid)
        },
        key: context.key().clone(),
    };
    if let Err(error) = read(&mut resource).await {
        let place = (account.account.arm(), &resource.id);
        return Ok(Observation::Blocked(unreadable(context, object, place, error).await?));
    }
    if resource.kind == TargetKind::Pool {
        resource.managed_elsewhere = manager_of_pool(context, &namespace, &resource);
    }
    if lifecycle == Lifecycle::Wanted {
        resource.forget_if_converged();
    }
    histories.keep(&uid, resource.history.clone());
    Ok(Observation::Seen(Box::new(resource)))
}

async fn read(resource: &mut TargetState) -> Result<(), AzureError> {
    let Some(arm) = resource.arm.clone() else { return Ok(()) };
    match find(&arm, &resource.id, resource.kind.api_version()).await {
        Ok(found) => resource.take(found),
        // Nothing of a provider can exist in a subscription that has not registered it.
        Err(error) if error.class() == ErrorClass::Unregistered => resource.take(None),
        Err(error) => return Err(error),
    }
    explain_failure(&arm, resource.actual.as_ref(), &mut resource.history).await;
    Ok(())
}

/// The identities of the spec, as far as they may be used.
async fn wanted(context: &Context, arm: &ArmClient, object: &IdentityAssignment) -> WantedIdentities {
    let identity = &object.spec.identity;
    let namespace = object.namespace().unwrap_or_default();
    let mut wanted = WantedIdentities {
        system: identity.kind.is_system_assigned(),
        ..WantedIdentities::default()
    };
    for reference in &identity.user_assigned_identities {
        let UserAssignedIdentityReference {
            managed_identity_ref,
            resource_id,
        } = reference;
        let (id, principal) = match (managed_identity_ref, resource_id) {
            (Some(reference), _) => match usable_identity(context, &namespace, &reference.name).await {
                Ok(identity) => (identity.id, IdentityPrincipal::Known(identity.principal_id)),
                Err(unusable) => {
                    let id = known_id(context, &namespace, &reference.name);
                    wanted.miss(unusable.clone().into(), unusable.is_going(), id);
                    continue;
                }
            },
            (None, Some(text)) => match text.parse() {
                Ok(id) => {
                    let principal = principal_of(context, arm, &id).await;
                    (id, principal)
                }
                Err(error) => {
                    let message =
                        format!("spec.identity.userAssignedIdentities: `{text}` is not the id of an identity: {error}");
                    wanted.miss(Blocked::Invalid(message), false, Some(text.clone()));
                    continue;
                }
            },
            (None, None) => continue,
        };
        if is_of_another_namespace(context, &namespace, &id).await {
            let id = id.to_string();
            wanted.miss(Blocked::ForeignIdentity { id: id.clone() }, false, Some(id));
            continue;
        }
        match principal {
            IdentityPrincipal::Absent => {
                let id = id.to_string();
                wanted.miss(Blocked::IdentityNotFound { id: id.clone() }, false, Some(id));
                continue;
            }
            IdentityPrincipal::Known(principal) => _ = wanted.principals.insert(id.key(), principal),
            IdentityPrincipal::Unknown => {}
        }
        wanted.ids.push(id.to_string());
    }
    wanted
}

/// The id of an identity that cannot be used now.
fn known_id(context: &Context, namespace: &str, name: &str) -> Option<String> {
    let found = context.managed_identities.get(&Key::new(namespace, name))?;
    found.reported().id.clone()
}

/// RoleAssignments that still hold a role of the target's system-assigned identity.
async fn role_assignments(context: &Context, object: &IdentityAssignment) -> Vec<String> {
    let needing = context.references().needed_by(&ObjectId::of(object)).await;
    needing.into_iter().map(|it| it.key.name).collect()
}

/// Why a pool's identities are a matter of a SessionPool object, if the pool's mark names one of this cluster.
fn manager_of_pool(context: &Context, namespace: &str, resource: &TargetState) -> Option<String> {
    let owner = Owner::parse(tag(resource.actual.as_ref()?, OWNER_TAG)?)?;
    if !owner.is_of(context.cluster()) {
        return None;
    }
    let who = match owner.name_in(namespace) {
        Some(name) => format!("SessionPool {name}"),
        None => "a SessionPool object".to_owned(),
    };
    Some(format!(
        "{} is managed by {who}: set the identities in its spec.identity",
        resource.id
    ))
}
