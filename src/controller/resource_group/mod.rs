//! ResourceGroup: keeps a Microsoft.Resources/resourceGroups resource as its spec says.

mod observe;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{ResourceGroup, ResourceGroupStatus};
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, Assessment, AzureObject, Histories, Observation, Reports, Step, Subject, decide};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::reference::Reference;

/// The reconciler of ResourceGroups.
pub struct ResourceGroupReconciler {
    context: Context,
    histories: Histories,
}

/// The controller of ResourceGroups; pools and identities that refer to a group are triggered by its changes.
pub fn controller(context: &Context, source: Source<ResourceGroup>) -> Controller<ResourceGroupReconciler> {
    let reconciler = Arc::new(ResourceGroupReconciler {
        context: context.clone(),
        histories: Histories::default(),
    });
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        context.settings(),
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
    type Observed = Observation;
    type Step = Step;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<ResourceGroup>) -> Result<Observation, Error> {
        observe::observe(&self.context, &self.histories, object).await
    }

    fn plan(object: &ResourceGroup, observed: &Observation, now: Timestamp) -> Plan<Step, Assessment> {
        decide(&Subject::of(object), observed, now).into_plan()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        azure_resource::carry_out(&self.context, &self.histories, pass, step).await
    }

    fn summarize(
        object: &ResourceGroup,
        seen: Seen<'_, Observation, Assessment>,
        now: Timestamp,
    ) -> Option<ResourceGroupStatus> {
        let azure = azure_resource::summarize(object, &seen, now)?;
        Some(ResourceGroupStatus { azure })
    }

    fn notes(object: &ResourceGroup, status: &ResourceGroupStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &ResourceGroup) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<ResourceGroup>) {
        self.histories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
