//! IdentityBinding: attaches identities to a container app, a container group or a session pool that somebody else
//! manages, and detaches exactly those again.
//!
//! It owns no resource of its own, so it has a course of its own: its target belongs to others, and of the target it
//! writes only identities and the tags that remember which of them it attached.

mod act;
mod course;
mod goal;
mod look;
mod observe;
mod record;
mod status;
mod target;
#[cfg(test)]
mod tests;

pub use course::Step;
pub use look::Look;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::reference::LocalReference;
use crate::api::{IdentityBinding, IdentityBindingStatus, ManagedIdentity, ResourceGroup};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Key, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use self::act::Turns;
use self::course::course;
use super::azure_resource::{self, AzureObject, Memories, Reported, Subject, tell_account};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::role_assignment::{Referred, tell_assignments};

/// The reconciler of IdentityBindings.
pub struct IdentityBindingReconciler {
    context: Context,
    memories: Memories,
    turns: Turns,
}

/// The controller of IdentityBindings; identities that wait for a binding to let go, and assignments that wait for its
/// principal, are triggered by its changes.
pub fn controller(context: &Context, source: Source<IdentityBinding>) -> Controller<IdentityBindingReconciler> {
    let reconciler = Arc::new(IdentityBindingReconciler {
        context: context.clone(),
        memories: Memories::default(),
        turns: Turns::default(),
    });
    let told = context.clone();
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        Settings::default(),
        context.stop().clone(),
    )
    .on_change(move |binding: &IdentityBinding| {
        tell_account(&told, binding);
        tell_those_who_wait(&told, binding);
    })
    .report_to(context.health().check("identitybindings"))
}

/// Asks for passes over the bindings that refer to an identity.
pub fn tell_bindings_of_identity(context: &Context, identity: &ManagedIdentity) {
    let key = Key::of(identity);
    tell_bindings(context, &key.namespace, |binding| {
        identity_references(binding).any(|it| it.name == key.name)
    });
}

/// Asks for passes over the bindings whose target is in a group.
pub fn tell_bindings_of_group(context: &Context, group: &ResourceGroup) {
    let key = Key::of(group);
    tell_bindings(context, &key.namespace, |binding| {
        let target = &binding.spec.target;
        let mut named = target.container_app.iter().chain(&target.container_group);
        named.any(|it| it.resource_group_ref.as_ref().is_some_and(|it| it.name == key.name))
    });
}

fn tell_bindings(context: &Context, namespace: &str, concerns: impl Fn(&IdentityBinding) -> bool) {
    for binding in context.identity_bindings.in_namespace(namespace) {
        if concerns(&binding) {
            context.identity_bindings.trigger(Key::of(&*binding));
        }
    }
}

fn tell_those_who_wait(context: &Context, binding: &IdentityBinding) {
    let key = Key::of(binding);
    for reference in identity_references(binding) {
        let identity = Key::new(key.namespace.clone(), &reference.name);
        context.managed_identities.trigger(identity);
    }
    tell_assignments(context, Referred::IdentityBinding, binding);
}

fn identity_references(binding: &IdentityBinding) -> impl Iterator<Item = &LocalReference> {
    let identities = binding.spec.identity.user_assigned_identities.iter();
    identities.filter_map(|it| it.managed_identity_ref.as_ref())
}

impl AzureObject for IdentityBinding {
    fn management(&self) -> &ManagementSpec {
        &self.spec.management
    }

    fn reported(&self) -> Reported<'_> {
        self.status.as_ref().map_or_else(Reported::default, |status| Reported {
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
            id: status.id.as_deref(),
            provisioning_state: status.provisioning_state.as_deref(),
            drift: &status.drift,
        })
    }
}

impl Reconciler for IdentityBindingReconciler {
    type Object = IdentityBinding;
    type Observed = Look;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<IdentityBinding>) -> Result<Look, Error> {
        observe::observe(&self.context, &self.memories, object).await
    }

    fn plan(object: &IdentityBinding, observed: &Look, now: Timestamp) -> Plan<Step> {
        let course = course(&Subject::of(object), observed, now);
        Plan {
            step: course.step,
            next: course.next,
            verdict: (),
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        act::carry_out(&self.context, &self.memories, &self.turns, pass, step).await
    }

    fn summarize(object: &IdentityBinding, seen: Seen<'_, Look>, now: Timestamp) -> Option<IdentityBindingStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &IdentityBinding, status: &IdentityBindingStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.conditions)
    }

    fn settled(object: &IdentityBinding) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<IdentityBinding>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
        tell_those_who_wait(&self.context, object);
    }
}
