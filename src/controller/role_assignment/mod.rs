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
mod triggers;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, AzureObject, Memories, Reported, tell_account};
use super::context::Context;
use super::error::Error;
use super::readiness;

pub use grants::{Grant, GrantError, Grants, Permission};
pub use observe::{Aim, Claim, Observed};
pub use plan::Step;
pub use triggers::{Referred, tell_assignments};

/// The reconciler of RoleAssignments.
pub struct RoleAssignmentReconciler {
    context: Context,
    memories: Memories,
    grants: Grants,
}

/// The controller of RoleAssignments. What they refer to triggers them by [`tell_assignments`].
pub fn controller(
    context: &Context,
    source: Source<RoleAssignment>,
    grants: Grants,
) -> Controller<RoleAssignmentReconciler> {
    let reconciler = Arc::new(RoleAssignmentReconciler {
        context: context.clone(),
        memories: Memories::default(),
        grants,
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
    .on_change(move |assignment: &RoleAssignment| {
        tell_account(&told, assignment);
        triggers::tell_principal(&told, assignment);
    })
    .report_to(context.health().check("roleassignments"))
}

impl AzureObject for RoleAssignment {
    fn management(&self) -> &ManagementSpec {
        &self.spec.management
    }

    fn reported(&self) -> Reported<'_> {
        self.status.as_ref().map_or_else(Reported::default, |status| Reported {
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
            id: status.id.as_deref(),
            provisioning_state: None,
            drift: &status.drift,
        })
    }
}

impl Reconciler for RoleAssignmentReconciler {
    type Object = RoleAssignment;
    type Observed = Observed;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<RoleAssignment>) -> Result<Observed, Error> {
        observe::observe(&self.context, &self.memories, &self.grants, object).await
    }

    fn plan(object: &RoleAssignment, observed: &Observed, now: Timestamp) -> Plan<Step> {
        let decided = plan::decide(object, observed, now);
        Plan {
            step: decided.step,
            next: decided.next,
            verdict: (),
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        let object = pass.object().clone();
        match step {
            Step::Azure(step) => azure_resource::carry_out(&self.context, &self.memories, pass, step).await,
            Step::Record { claim, verdict } => {
                let status = status::recorded(&object, &claim, &verdict, Timestamp::now());
                pass.write_status(&status).await?;
                Ok(Effect::Replan)
            }
            Step::Forget { verdict } => {
                let status = status::forgotten(&object, &verdict, Timestamp::now());
                pass.write_status(&status).await?;
                self.memories.forget(&object.uid().unwrap_or_default());
                Ok(Effect::Reobserve)
            }
        }
    }

    fn summarize(object: &RoleAssignment, seen: Seen<'_, Observed>, now: Timestamp) -> Option<RoleAssignmentStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &RoleAssignment, status: &RoleAssignmentStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.conditions)
    }

    fn settled(object: &RoleAssignment) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<RoleAssignment>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
