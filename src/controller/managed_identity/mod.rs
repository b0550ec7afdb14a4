//! ManagedIdentity: keeps a Microsoft.ManagedIdentity/userAssignedIdentities resource, its federated credentials, and the
//! ConfigMap that its ids are exported to, as its spec says.

mod credentials;
mod dependents;
mod effect;
mod export;
mod issuer;
mod observe;
mod plan;
mod reference;
mod status;
#[cfg(test)]
mod tests;
mod wanted;

pub use plan::Step;
pub use reference::{is_of_another_namespace, known_client_id, of_another_namespace};

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::azure_resource::ManagementSpec;
use crate::api::{ManagedIdentity, ManagedIdentityStatus, ResourceGroup};
use crate::runtime::drive::Settings;
use crate::runtime::{Controller, Effect, Note, Pass, Plan, Reconciler, Seen, Snapshot, Source};

use super::azure_resource::{self, Assessment, AzureObject, Histories, Observation, Reports};
use super::context::Context;
use super::error::Error;
use super::readiness;
use crate::controller::reference::Reference;

use credentials::CredentialMemory;
use issuer::ClusterIssuer;
use observe::Details;

/// The plans that one pass over an identity may make: its twenty federated credentials are written in one pass.
const PLANS_PER_PASS: u32 = 40;

/// The reconciler of ManagedIdentities.
pub struct ManagedIdentityReconciler {
    context: Context,
    histories: Histories,
    credential_memories: Histories<CredentialMemory>,
    issuer: ClusterIssuer,
}

/// What a pass over an identity observed.
#[derive(Debug)]
pub struct Observed {
    observation: Observation,
    /// What belongs to an identity that is there and may be used.
    details: Option<Details>,
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

/// The controller of ManagedIdentities; what refers to an identity is triggered by its changes. `issuer` is that of this
/// cluster's ServiceAccount tokens, unless the API server is to be asked.
pub fn controller(
    context: &Context,
    source: Source<ManagedIdentity>,
    issuer: Option<&str>,
) -> Controller<ManagedIdentityReconciler> {
    let reconciler = Arc::new(ManagedIdentityReconciler {
        context: context.clone(),
        histories: Histories::default(),
        credential_memories: Histories::default(),
        issuer: ClusterIssuer::new(issuer),
    });
    let settings = Settings {
        plans_per_pass: PLANS_PER_PASS,
        ..context.settings()
    };
    Controller::new(
        source,
        reconciler,
        context.status_writer(),
        context.events().clone(),
        settings,
        context.stop().clone(),
    )
    .indexed(context.references().clone(), azure_resource::entry)
    .report_to(context.health().check("managedidentities"))
}

impl AzureObject for ManagedIdentity {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
    }

    fn references(&self) -> Vec<Reference> {
        let namespace = self.meta().namespace.as_deref().unwrap_or_default();
        let group = self.spec.resource_group_ref.iter();
        group.map(|it| Reference::to::<ResourceGroup>(namespace, it)).collect()
    }
}

impl Reconciler for ManagedIdentityReconciler {
    type Object = ManagedIdentity;
    type Observed = Observed;
    type Step = Step;
    type Verdict = Assessment;
    type Error = Error;

    async fn observe(&self, object: &Snapshot<ManagedIdentity>) -> Result<Observed, Error> {
        let observation = observe::identity(&self.context, &self.histories, object).await?;
        let details = observe::details(
            &self.context,
            &self.credential_memories,
            &self.issuer,
            object,
            &observation,
        )
        .await?;
        Ok(Observed { observation, details })
    }

    fn plan(object: &ManagedIdentity, observed: &Observed, now: Timestamp) -> Plan<Step, Assessment> {
        plan::decide_identity(object, observed, now).into_plan()
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, Error> {
        match step {
            Step::Azure(step) => {
                let is_write = matches!(step, azure_resource::Step::Write(_) | azure_resource::Step::Tag { .. });
                let effect = azure_resource::carry_out(&self.context, &self.histories, pass, step).await?;
                // What belongs to the identity was not looked at while it was not there, or not as it should be.
                Ok(match effect {
                    Effect::Replan if is_write => Effect::Reobserve,
                    effect => effect,
                })
            }
            Step::Record {
                credentials,
                config_map,
            } => Self::record(pass, credentials, config_map).await,
            Step::Credential(write) => self.write_credential(pass, write).await,
            Step::Export(step) => self.write_export(pass, step).await,
        }
    }

    fn summarize(
        object: &ManagedIdentity,
        seen: Seen<'_, Observed, Assessment>,
        now: Timestamp,
    ) -> Option<ManagedIdentityStatus> {
        status::summarize(object, &seen, now)
    }

    fn notes(object: &ManagedIdentity, status: &ManagedIdentityStatus) -> Vec<Note> {
        azure_resource::notes(object, &status.azure.conditions)
    }

    fn settled(object: &ManagedIdentity) -> bool {
        object.meta().deletion_timestamp.is_none()
            && readiness::is_ready(&object.reported().conditions, object.meta().generation)
    }

    fn gone(&self, object: &Snapshot<ManagedIdentity>) {
        let uid = object.uid().unwrap_or_default();
        self.histories.forget(&uid);
        self.credential_memories.forget(&uid);
        azure_resource::close_account(&self.context, &**object);
    }
}
