//! SessionPool: keeps a Microsoft.App/sessionPools resource as its spec says.

mod body;
mod identities;
mod observe;
mod secrets;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{FINALIZER, ManagedIdentity, ResourceGroup, SessionPool, SessionPoolStatus};
use crate::azure::Cloud;
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source, finalizer};

use super::azure_resource::{self, Assessment, AzureObject, Histories, Observation, Reports, Step, Subject, decide};
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::reference::Reference;

/// The reconciler of SessionPools.
pub struct SessionPoolReconciler {
    context: Context,
    histories: Histories,
}

/// What a pass over a pool observed.
pub struct Observed {
    observation: Observation,
    cloud: Arc<Cloud>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.observation.fmt(f)
    }
}

impl AsRef<Observation> for Observed {
    fn as_ref(&self) -> &Observation {
        &self.observation
    }
}

impl AsMut<Observation> for Observed {
    fn as_mut(&mut self) -> &mut Observation {
        &mut self.observation
    }
}

/// The controller of SessionPools; jobs that wait for a pool are triggered by its changes.
pub fn controller(context: &Context, source: Source<SessionPool>) -> Controller<SessionPoolReconciler> {
    let reconciler = Arc::new(SessionPoolReconciler {
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
    .report_to(context.health().check("sessionpools"))
}

impl AzureObject for SessionPool {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
    }

    /// An identity has to outlive a pool that goes as well: the pool may still use it.
    fn references(&self) -> Vec<Reference> {
        let namespace = self.meta().namespace.as_deref().unwrap_or_default();
        let is_going = self.meta().deletion_timestamp.is_some() && finalizer::has(self, FINALIZER);
        let group = self.spec.resource_group_ref.iter();
        let group = group.map(|it| Reference::to::<ResourceGroup>(namespace, it));
        let identities = identities::references(&self.spec);
        let identities = identities.map(|it| Reference::to::<ManagedIdentity>(namespace, it).needed(is_going));
        group.chain(identities).collect()
    }
}

impl Reconciler for SessionPoolReconciler {
    type Object = SessionPool;
    type Observed = Observed;
    type Step = Step;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<SessionPool>) -> Result<Observed, Error> {
        let observation = observe::observe(&self.context, &self.histories, object).await?;
        Ok(Observed {
            observation,
            cloud: Arc::clone(self.context.cloud()),
        })
    }

    fn plan(object: &SessionPool, observed: &Observed, now: Timestamp) -> Plan<Step, Assessment> {
        let mut decision = decide(&Subject::of(object), &observed.observation, now);
        if let Observation::Seen(resource) = &observed.observation {
            status::refine(&mut decision, resource, &observed.cloud);
        }
        decision.into_plan()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        azure_resource::carry_out(&self.context, &self.histories, pass, step).await
    }

    fn summarize(
        object: &SessionPool,
        seen: Seen<'_, Observed, Assessment>,
        now: Timestamp,
    ) -> Option<SessionPoolStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &SessionPool, status: &SessionPoolStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &SessionPool) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<SessionPool>) {
        self.histories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
