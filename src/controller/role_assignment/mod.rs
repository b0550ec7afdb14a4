//! RoleAssignment: keeps a Microsoft.Authorization/roleAssignments resource as its spec says.
//!
//! Azure changes no assignment, and two of them never say the same. So what an object wants is a tuple of scope, role and
//! principal, and when what its spec refers to becomes another tuple (an identity that was created again has another
//! principal), the assignment that it holds is taken back before another one is made.

mod grants;
mod observe;
mod permission;
mod plan;
mod reference;
mod status;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{
    FINALIZER, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, RoleAssignmentStatus, SessionPool,
};
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source, finalizer};

use super::azure_resource::{self, Assessment, AzureObject, Histories, Reports};
use super::context::Context;
use super::error::Error;
use super::readiness;
use crate::controller::reference::Reference;

pub use grants::{Grant, GrantError, Grants, Permission};
pub use observe::{Aim, Claim, Observed};
pub use plan::Step;

/// The reconciler of RoleAssignments.
pub struct RoleAssignmentReconciler {
    context: Context,
    histories: Histories,
    grants: Grants,
}

/// The controller of RoleAssignments.
pub fn controller(
    context: &Context,
    source: Source<RoleAssignment>,
    grants: Grants,
) -> Controller<RoleAssignmentReconciler> {
    let reconciler = RoleAssignmentReconciler {
        context: context.clone(),
        histories: Histories::default(),
        grants,
    };
    context.controller(source, reconciler, context.settings(), azure_resource::entry)
}

impl AzureObject for RoleAssignment {
    fn management(&self) -> &ManagementSpec {
        &self.spec.management
    }

    /// A principal outlives the assignments of its roles. What manages a scope that is named by its id is told of too: a role
    /// may depend on it.
    fn references(&self) -> Vec<Reference> {
        let namespace = self.meta().namespace.as_deref().unwrap_or_default();
        let holds = self.reported().id.is_some() && finalizer::has(self, FINALIZER);
        let (principal, scope) = (&self.spec.principal, &self.spec.scope);
        let identity = principal.managed_identity_ref.as_ref();
        let assignment = principal.identity_assignment_ref.as_ref();
        let pool = scope.session_pool_ref.as_ref();
        let group = scope.resource_group_ref.as_ref();
        [
            identity.map(|it| Reference::to::<ManagedIdentity>(namespace, it).needed(holds)),
            assignment.map(|it| Reference::to::<IdentityAssignment>(namespace, it).needed(holds)),
            pool.map(|it| Reference::to::<SessionPool>(namespace, it)),
            group.map(|it| Reference::to::<ResourceGroup>(namespace, it)),
            scope.resource_id.as_deref().and_then(Reference::to_resource),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Reconciler for RoleAssignmentReconciler {
    type Object = RoleAssignment;
    type Observed = Observed;
    type Step = Step;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<RoleAssignment>) -> Result<Observed, Error> {
        observe::observe(&self.context, &self.histories, &self.grants, object).await
    }

    fn plan(object: &RoleAssignment, observed: &Observed, now: Timestamp) -> Plan<Step, Assessment> {
        plan::decide_assignment(object, observed, now).into_plan()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        let object = pass.object().clone();
        match step {
            Step::Azure(step) => azure_resource::carry_out(&self.context, &self.histories, pass, step).await,
            Step::Record { claim, verdict } => {
                let status = status::recorded(&object, &claim, &verdict, Timestamp::now());
                pass.write_status(&status).await?;
                Ok(Effect::Replan)
            }
            Step::Forget { verdict } => {
                let status = status::forgotten(&object, &verdict, Timestamp::now());
                pass.write_status(&status).await?;
                self.histories.forget(&object.uid().unwrap_or_default());
                Ok(Effect::Reobserve)
            }
        }
    }

    fn summarize(
        object: &RoleAssignment,
        seen: Seen<'_, Observed, Assessment>,
        now: Timestamp,
    ) -> Option<RoleAssignmentStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &RoleAssignment, status: &RoleAssignmentStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &RoleAssignment) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<RoleAssignment>) {
        self.histories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
