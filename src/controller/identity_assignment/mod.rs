//! IdentityAssignment: attaches identities to a container app, a container group or a session pool that somebody else
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
use crate::api::{IdentityAssignment, IdentityAssignmentStatus, ManagedIdentity, ResourceGroup};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Key, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use self::act::Turns;
use self::course::course;
use super::azure_resource::{self, AzureObject, Memories, Reported, Subject, tell_account};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::role_assignment::{Referred, tell_assignments};

/// The reconciler of IdentityAssignments.
pub struct IdentityAssignmentReconciler {
    context: Context,
    memories: Memories,
    turns: Turns,
}

/// The controller of IdentityAssignments; identities that wait for an identity assignment to let go, and role
/// assignments that wait for its principal, are triggered by its changes.
pub fn controller(context: &Context, source: Source<IdentityAssignment>) -> Controller<IdentityAssignmentReconciler> {
    let reconciler = Arc::new(IdentityAssignmentReconciler {
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
    .on_change(move |assignment: &IdentityAssignment| {
        tell_account(&told, assignment);
        tell_those_who_wait(&told, assignment);
    })
    .report_to(context.health().check("identityassignments"))
}

/// Asks for passes over the identity assignments that refer to an identity.
pub fn tell_identity_assignments_of_identity(context: &Context, identity: &ManagedIdentity) {
    let key = Key::of(identity);
    tell_identity_assignments(context, &key.namespace, |assignment| {
        identity_references(assignment).any(|it| it.name == key.name)
    });
}

/// Asks for passes over the identity assignments whose target is in a group.
pub fn tell_identity_assignments_of_group(context: &Context, group: &ResourceGroup) {
    let key = Key::of(group);
    tell_identity_assignments(context, &key.namespace, |assignment| {
        let target = &assignment.spec.target;
        let mut named = target.container_app.iter().chain(&target.container_group);
        named.any(|it| it.resource_group_ref.as_ref().is_some_and(|it| it.name == key.name))
    });
}

fn tell_identity_assignments(context: &Context, namespace: &str, concerns: impl Fn(&IdentityAssignment) -> bool) {
    for assignment in context.identity_assignments.in_namespace(namespace) {
        if concerns(&assignment) {
            context.identity_assignments.trigger(Key::of(&*assignment));
        }
    }
}

fn tell_those_who_wait(context: &Context, assignment: &IdentityAssignment) {
    let key = Key::of(assignment);
    for reference in identity_references(assignment) {
        let identity = Key::new(key.namespace.clone(), &reference.name);
        context.managed_identities.trigger(identity);
    }
    tell_assignments(context, Referred::IdentityAssignment, assignment);
}

fn identity_references(assignment: &IdentityAssignment) -> impl Iterator<Item = &LocalReference> {
    let identities = assignment.spec.identity.user_assigned_identities.iter();
    identities.filter_map(|it| it.managed_identity_ref.as_ref())
}

impl AzureObject for IdentityAssignment {
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

impl Reconciler for IdentityAssignmentReconciler {
    type Object = IdentityAssignment;
    type Observed = Look;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<IdentityAssignment>) -> Result<Look, Error> {
        observe::observe(&self.context, &self.memories, object).await
    }

    fn plan(object: &IdentityAssignment, observed: &Look, now: Timestamp) -> Plan<Step> {
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

    fn summarize(
        object: &IdentityAssignment,
        seen: Seen<'_, Look>,
        now: Timestamp,
    ) -> Option<IdentityAssignmentStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &IdentityAssignment, status: &IdentityAssignmentStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.conditions)
    }

    fn settled(object: &IdentityAssignment) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<IdentityAssignment>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
        tell_those_who_wait(&self.context, object);
    }
}
