//! ResourceGroup: keeps a Microsoft.Resources/resourceGroups resource as its spec says.

mod observe;
mod status;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{ResourceGroup, ResourceGroupStatus};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Key, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, AzureObject, Look, Memories, Reported, Step, Subject, course, tell_account};
use super::context::Context;
use super::error::Error;
use super::identity_binding::tell_bindings_of_group;
use super::managed_identity::tell_identities;
use super::readiness;
use super::role_assignment::{Referred, tell_assignments};

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
    let told = context.clone();
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        Settings::default(),
        context.stop().clone(),
    )
    .on_change(move |group: &ResourceGroup| {
        tell_account(&told, group);
        tell_pools(&told, group);
        tell_assignments(&told, Referred::ResourceGroup, group);
        tell_identities(&told, &Key::of(group));
        tell_bindings_of_group(&told, group);
    })
    .report_to(context.health().check("resourcegroups"))
}

/// Asks for passes over the pools that refer to the group.
fn tell_pools(context: &Context, group: &ResourceGroup) {
    let key = Key::of(group);
    for pool in context.session_pools.in_namespace(&key.namespace) {
        if pool
            .spec
            .resource_group_ref
            .as_ref()
            .is_some_and(|it| it.name == key.name)
        {
            context.session_pools.trigger(Key::of(&*pool));
        }
    }
}

impl AzureObject for ResourceGroup {
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
        azure_resource::notes(object, &status.conditions)
    }

    fn settled(object: &ResourceGroup) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<ResourceGroup>) {
        self.memories.forget(&object.uid().unwrap_or_default());
        azure_resource::close_account(&self.context, &**object);
    }
}
