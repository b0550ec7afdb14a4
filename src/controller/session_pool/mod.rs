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
use crate::api::{SessionPool, SessionPoolStatus};
use crate::azure::Cloud;
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Next, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, AzureObject, Look, Memories, Reported, Step, Subject, course, tell_account};
use super::command_job::tell_jobs;
use super::context::Context;
use super::error::Error;
use super::readiness;
use super::role_assignment::{Referred, tell_assignments};

/// The reconciler of SessionPools.
pub struct SessionPoolReconciler {
    context: Context,
    memories: Memories,
}

/// What a pass over a pool observed.
pub struct Observed {
    look: Look,
    cloud: Arc<Cloud>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look.fmt(f)
    }
}

impl AsMut<Look> for Observed {
    fn as_mut(&mut self) -> &mut Look {
        &mut self.look
    }
}

/// The controller of SessionPools; jobs that wait for a pool are triggered by its changes.
pub fn controller(context: &Context, source: Source<SessionPool>) -> Controller<SessionPoolReconciler> {
    let reconciler = Arc::new(SessionPoolReconciler {
        context: context.clone(),
        memories: Memories::default(),
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
    .on_change(move |pool: &SessionPool| {
        tell_account(&told, pool);
        tell_jobs(&told, pool);
        tell_assignments(&told, Referred::SessionPool, pool);
    })
    .report_to(context.health().check("sessionpools"))
}

impl AzureObject for SessionPool {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
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

impl Reconciler for SessionPoolReconciler {
    type Object = SessionPool;
    type Observed = Observed;
    type Step = Step;
    type Verdict = ();
    type Error = Error;

    async fn observe(&self, object: &Snapshot<SessionPool>) -> Result<Observed, Error> {
        let look = observe::observe(&self.context, &self.memories, object).await?;
        Ok(Observed {
            look,
            cloud: Arc::clone(self.context.cloud()),
        })
    }

    fn plan(object: &SessionPool, observed: &Observed, now: Timestamp) -> Plan<Step> {
        let course = course(&Subject::of(object), &observed.look, now);
        let next = match &observed.look {
            Look::Seen(view) if status::lacks_endpoint(&course.verdict, view, &observed.cloud) => {
                Next::Poll { after: None }
            }
            Look::Seen(_) | Look::Held(_) => course.next,
        };
        Plan {
            step: course.step,
            next,
            verdict: (),
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        azure_resource::carry_out(&self.context, &self.memories, pass, step).await
    }

    fn summarize(object: &SessionPool, seen: Seen<'_, Observed>, now: Timestamp) -> Option<SessionPoolStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &SessionPool, status: &SessionPoolStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.conditions)
    }

    fn settled(object: &SessionPool) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<SessionPool>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
