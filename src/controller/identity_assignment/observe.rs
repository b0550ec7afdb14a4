//! One look at an identity assignment's target, and at what the assignment refers to.

use kube::ResourceExt;

use crate::api::identity::UserAssignedIdentityReference;
use crate::api::{IdentityAssignment, OWNER_TAG, SessionPool};
use crate::azure::operation::{self, Progress};
use crate::azure::resource_group::tag;
use crate::azure::{AzureError, ErrorClass};
use crate::controller::azure_error::is_credential_refused;

use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    Answer, Blocked, Dependency, Histories, Reports, Subject, account_key, cause_of_failure, credential_gone, find,
    open_account,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::ownership::Owner;
use crate::controller::readiness::Verdict;
use crate::controller::reference::is_of_another_namespace;
use crate::controller::reference::usable_identity;
use crate::runtime::references::Kind;
use crate::runtime::{Key, ObjectId};

use super::goal::Goal;
use super::observation::{TargetObservation, TargetState, Unmet, Wanted};
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
        Dependency::Blocked(blocked) => return Ok(TargetObservation::Blocked(blocked)),
    };
    let lifecycle = Subject::of(object).lifecycle;
    let wanted = match lifecycle {
        Lifecycle::Wanted => wanted(context, object).await,
        Lifecycle::Deleted => Wanted::default(),
    };
    // What is taken back is where the status says, even if its group goes at the same time.
    let takes_back = wanted.unmet.as_ref().is_some_and(|it| it.is_going) && object.reported().id.is_some();
    let placed = if takes_back { Lifecycle::Deleted } else { lifecycle };
    let id = match locate(context, object, &account.account, placed).await {
        Ok(id) => id,
        Err(blocked) => return Ok(TargetObservation::Blocked(blocked)),
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
        account_is_held: account.is_held,
        history: histories.of(&uid),
        key: context.key().clone(),
    };
    if let Err(error) = read(&mut resource).await {
        return refused(context, object, lifecycle, error);
    }
    if resource.kind == TargetKind::Pool {
        resource.managed_elsewhere = manager_of_pool(context, &namespace, &resource).await;
    }
    if lifecycle == Lifecycle::Wanted {
        resource.forget_if_converged();
    }
    histories.keep(&uid, resource.history.clone());
    Ok(TargetObservation::Seen(Box::new(resource)))
}

async fn read(resource: &mut TargetState) -> Result<(), AzureError> {
    let Some(arm) = resource.arm.clone() else { return Ok(()) };
    match find(&arm, &resource.id, resource.kind.api_version()).await {
        Ok(found) => {
            resource.pause = found.as_ref().and_then(|it| it.retry_after);
            resource.actual = found.map(|it| it.body);
        }
        // Nothing of a provider can exist in a subscription that has not registered it.
        Err(error) if error.class() == ErrorClass::Unregistered => resource.actual = None,
        Err(error) => return Err(error),
    }
    let failed = resource
        .actual
        .as_ref()
        .is_some_and(|actual| matches!(operation::of_resource(actual, None), Progress::Failed(_)));
    if failed && let Some(operation) = resource.history.operation.take() {
        resource.history.operation_error = cause_of_failure(&arm, &operation).await;
    }
    Ok(())
}

fn refused(
    context: &Context,
    object: &IdentityAssignment,
    lifecycle: Lifecycle,
    error: AzureError,
) -> Result<TargetObservation, Error> {
    if !is_credential_refused(&error) {
        return Err(error.into());
    }
    context.doubt_account(&account_key(object));
    match lifecycle {
        Lifecycle::Wanted => Err(error.into()),
        Lifecycle::Deleted => Ok(TargetObservation::Blocked(credential_gone(object, &error.to_string()))),
    }
}

/// The identities of the spec, as far as they may be used.
async fn wanted(context: &Context, object: &IdentityAssignment) -> Wanted {
    let identity = &object.spec.identity;
    let namespace = object.namespace().unwrap_or_default();
    let mut wanted = Wanted {
        system: identity.kind.is_system_assigned(),
        ..Wanted::default()
    };
    for reference in &identity.user_assigned_identities {
        let UserAssignedIdentityReference {
            managed_identity_ref,
            resource_id,
        } = reference;
        let id = match (managed_identity_ref, resource_id) {
            (Some(reference), _) => match usable_identity(context, &namespace, &reference.name).await {
                Ok(identity) => identity.id.to_string(),
                Err(unusable) => {
                    let id = known_id(context, &namespace, &reference.name);
                    wanted.miss(Blocked::from(unusable.clone()).verdict(), unusable.is_going(), id);
                    continue;
                }
            },
            (None, Some(id)) => id.clone(),
            (None, None) => continue,
        };
        if is_of_another_namespace(context, &namespace, &id).await {
            let foreign = Blocked::ForeignIdentity { id: id.clone() };
            wanted.miss(foreign.verdict(), false, Some(id));
        } else {
            wanted.ids.push(id);
        }
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

/// Why a pool's identities are a matter of its SessionPool object, if it has one: the pool's owner tag says so, or the
/// object itself does.
async fn manager_of_pool(context: &Context, namespace: &str, resource: &TargetState) -> Option<String> {
    let owner = resource.actual.as_ref().and_then(|it| tag(it, OWNER_TAG));
    let is_owned = owner
        .and_then(Owner::parse)
        .is_some_and(|it| it.is_of(context.cluster()));
    let providers = context.references().providers(&resource.id.key()).await;
    let object = providers.into_iter().find(|it| it.kind == SessionPool::NAME);
    if !is_owned && object.is_none() {
        return None;
    }
    let who = match object {
        Some(ObjectId { key, .. }) if key.namespace == namespace => format!("SessionPool {}", key.name),
        Some(_) | None => "a SessionPool object".to_owned(),
    };
    Some(format!(
        "{} is managed by {who}: put the identities into its spec.identity",
        resource.id
    ))
}

impl Wanted {
    fn miss(&mut self, verdict: Verdict, is_going: bool, id: Option<String>) {
        let unmet = self.unmet.get_or_insert_with(|| Unmet {
            verdict: verdict.clone(),
            is_going: false,
            going_ids: Vec::new(),
            has_unknown: false,
        });
        if is_going && !unmet.is_going {
            unmet.verdict = verdict;
        }
        match (is_going, id) {
            (true, id) => {
                unmet.is_going = true;
                unmet.going_ids.extend(id);
            }
            // It may be used again soon, and what is attached for it stays.
            (false, Some(id)) => self.ids.push(id),
            (false, None) => unmet.has_unknown = true,
        }
    }
}

impl TargetState {
    /// A write that had its effect must not be mistaken for one that Azure ignores, should the same drift come again.
    pub(super) fn forget_if_converged(&mut self) {
        if self.actual.is_none() || !Goal::wanted(self, true).is_reached(self) {
            return;
        }
        self.history.disowned = 0;
        if let Some(write) = &mut self.history.write
            && write.answer == Answer::Accepted
        {
            write.fingerprint.clear();
            let is_running = self
                .actual
                .as_ref()
                .is_some_and(|it| matches!(operation::of_resource(it, None), Progress::Running(_)));
            if !is_running {
                self.history.write = None;
            }
        }
    }
}
