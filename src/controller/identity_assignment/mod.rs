//! IdentityAssignment: attaches identities to a container app, a container group or a session pool that somebody else
//! manages, and detaches exactly those again.
//!
//! It owns no resource of its own, so it has a decision of its own: its target belongs to others, and of the target it
//! writes only identities and the tags that remember which of them it attached.

mod answer;
mod decision;
mod effect;
mod goal;
mod observation;
mod observe;
mod record;
mod status;
mod target;
#[cfg(test)]
mod tests;

pub use decision::AssignmentStep;
pub use observation::TargetObservation;

use std::borrow::Cow;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::reference::LocalReference;
use crate::api::{FINALIZER, IdentityAssignment, IdentityAssignmentStatus, ManagedIdentity, ResourceGroup};
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source, Waited, finalizer};

use self::decision::decide;
use self::effect::Turns;
use super::azure_resource::{self, Assessment, AzureObject, Histories, Reports, Subject};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::reference::Reference;

/// The reconciler of IdentityAssignments.
pub struct IdentityAssignmentReconciler {
    context: Context,
    histories: Histories,
    turns: Turns,
}

/// The controller of IdentityAssignments; identities that wait for an identity assignment to let go, and role
/// assignments that wait for its principal, are triggered by its changes.
pub fn controller(context: &Context, source: Source<IdentityAssignment>) -> Controller<IdentityAssignmentReconciler> {
    let reconciler = IdentityAssignmentReconciler {
        context: context.clone(),
        histories: Histories::default(),
        turns: Turns::default(),
    };
    context.controller(source, reconciler, context.settings(), azure_resource::entry)
}

fn identity_references(assignment: &IdentityAssignment) -> impl Iterator<Item = &LocalReference> {
    let identities = assignment.spec.identity.user_assigned_identities.iter();
    identities.filter_map(|it| it.managed_identity_ref.as_ref())
}

impl AzureObject for IdentityAssignment {
    fn management(&self) -> &ManagementSpec {
        &self.spec.management
    }

    /// An identity outlives what attached it.
    fn references(&self) -> Vec<Reference> {
        let namespace = self.meta().namespace.as_deref().unwrap_or_default();
        let holds = self.reported().id.is_some() && finalizer::has(self, FINALIZER);
        let target = &self.spec.target;
        let groups = target.container_app.iter().chain(&target.container_group);
        let groups = groups.filter_map(|it| it.resource_group_ref.as_ref());
        let groups = groups.map(|it| Reference::to::<ResourceGroup>(namespace, it));
        let identities = identity_references(self);
        let identities = identities.map(|it| Reference::to::<ManagedIdentity>(namespace, it).needed(holds));
        groups.chain(identities).collect()
    }
}

impl Reconciler for IdentityAssignmentReconciler {
    type Object = IdentityAssignment;
    type Observed = TargetObservation;
    type Step = AssignmentStep;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<IdentityAssignment>) -> Result<TargetObservation, Error> {
        observe::observe(&self.context, &self.histories, object).await
    }

    fn plan(
        object: &IdentityAssignment,
        observed: &TargetObservation,
        waited: &Waited,
        now: Timestamp,
    ) -> Plan<AssignmentStep, Assessment> {
        let decision = decide(&Subject::of(object), observed, now);
        decision.with_end(object, waited, now).into_plan()
    }

    fn reason(assessment: &Assessment) -> Option<Cow<'static, str>> {
        assessment.verdict.reason_of_wait()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: AssignmentStep) -> Result<Effect, Error> {
        effect::carry_out(&self.context, &self.histories, &self.turns, pass, step).await
    }

    fn summarize(
        object: &IdentityAssignment,
        seen: Seen<'_, TargetObservation, Assessment>,
        now: Timestamp,
    ) -> Option<IdentityAssignmentStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &IdentityAssignment, status: &IdentityAssignmentStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &IdentityAssignment) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<IdentityAssignment>) {
        self.histories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
