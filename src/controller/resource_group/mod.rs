//! ResourceGroup: keeps a Microsoft.Resources/resourceGroups resource as its spec says.

mod observe;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{ResourceGroup, ResourceGroupStatus};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, AzureObject, Look, Memories, Reports, Step, Subject, course};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::reference::Reference;

/// The reconciler of ResourceGroups.
pub struct ResourceGroupReconciler {
    context: Context,
    memories: Memories,
}

/// The controller of ResourceGroups; pools and identities that refer to a group are triggered by its changes.
pub fn controller(context: &Context, source: Source<ResourceGroup>) -> Controller<ResourceGroupReconciler> {
    let reconciler = Arc::new(ResourceGroupReconciler {
        context: context.clone(),
        memories: Memories::default(),
    });
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        Settings::default(),
        context.stop().clone(),
    )
    .indexed(context.references().clone(), azure_resource::entry)
    .report_to(context.health().check("resourcegroups"))
}

impl AzureObject for ResourceGroup {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
    }

    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }
}

impl Reconciler for ResourceGroupReconciler {
    type Object = ResourceGroup;
    type Observed = Look;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<ResourceGroup>) -> Result<Look, Error> {
        observe::observe(&self.context, &self.memories, object).await
    }

    fn plan(object: &ResourceGroup, observed: &Look, now: Timestamp) -> Plan<Step> {
        let course = course(&Subject::of(object), observed, now);
        Plan {
            step: course.step,
            next: course.next,
            verdict: (),
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        azure_resource::carry_out(&self.context, &self.memories, pass, step).await
    }

    fn summarize(object: &ResourceGroup, seen: Seen<'_, Look>, now: Timestamp) -> Option<ResourceGroupStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &ResourceGroup, status: &ResourceGroupStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &ResourceGroup) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<ResourceGroup>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
