//! SessionPool: keeps a Microsoft.App/sessionPools resource as its spec says.

mod body;
mod identities;
mod secrets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde_json::Value;

use crate::api::azure_resource::{AzureResourceStatus, ManagementSpec};
use crate::api::condition::{Reason, kind};
use crate::api::reference::LocalReference;
use crate::api::{FINALIZER, ManagedIdentity, ResourceGroup, SessionPool, SessionPoolStatus};
use crate::azure::session_pool::{
    PATCHABLE, PoolApiVersion, SESSION_POOL_TYPE, SHAPE, container_type, foreign_secrets, management_endpoint,
    max_concurrent_sessions, mcp_server_endpoint,
};
use crate::azure::{Cloud, IdentityBlock, ResourceId};
use crate::runtime::{Next, ObjectId, finalizer};

use super::accounts::Account;
use super::azure_resource::children::NoChild;
use super::azure_resource::export::Exported;
use super::azure_resource::policy::Intent;
use super::azure_resource::{
    ArmType, AzureKind, AzureObject, Blocked, Decision, Dependency, Desired, Gathering, KindStep, Occupants,
    ResourceState, Subject, Tagging, locate, may_use,
};
use super::context::Context;
use super::error::Error;
use super::ownership::{OwnerMark, Presence};
use super::readiness::{Standing, Verdict};
use super::reference::Reference;

use identities::{Identities, settings_left, still_attached, taken_back};
use secrets::{SecretError, SecretValue};

/// What is read before a pool is. A pool that is being deleted needs no secrets and no identities.
#[derive(Debug)]
pub struct PoolFacts {
    cloud: Arc<Cloud>,
    /// The values of its secrets; `None` if the spec leaves the pool's secrets alone.
    secrets: Option<Vec<SecretValue>>,
    identities: Option<Identities>,
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

impl AzureKind for SessionPool {
    const ARM: ArmType = ArmType {
        noun: "session pool",
        resource_type: SESSION_POOL_TYPE,
        shape: &SHAPE,
        immutable: &["location", "properties.containertype", "properties.environmentid"],
        patchable: PATCHABLE,
        // ARM returns no secret values, so a PUT of the pool as it is would lose them.
        tagging: Tagging::MergePatch,
        mark: OwnerMark::Tag,
        is_regional: true,
    };
    type Settings = ();
    type Facts = PoolFacts;
    type Child = NoChild;

    fn api_version(&self, desired: &Desired) -> &'static str {
        PoolApiVersion::for_properties(&desired.body.0["properties"]).as_str()
    }

    async fn gather(&self, gathering: Gathering<'_, ()>) -> Result<Dependency<(ResourceId, PoolFacts)>, Error> {
        let (spec, context) = (&self.spec, gathering.context);
        let (group, group_ref) = (spec.resource_group.as_deref(), spec.resource_group_ref.as_ref());
        let id = match locate(self, &gathering, &spec.azure, group, group_ref).await {
            Ok(id) => id,
            Err(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        let mut facts = PoolFacts {
            cloud: Arc::clone(context.cloud()),
            secrets: None,
            identities: None,
        };
        if self.meta().deletion_timestamp.is_some() {
            return Ok(Dependency::Met((id, facts)));
        }
        let namespace = self.namespace().unwrap_or_default();
        facts.secrets = match desired_secrets(context, &namespace, self, gathering.given_secrets).await? {
            Dependency::Met(secrets) => secrets,
            Dependency::Blocked(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        Ok(
            match Identities::find(context, gathering.account.arm(), &namespace, spec).await {
                Ok(identities) => {
                    facts.identities = Some(identities);
                    Dependency::Met((id, facts))
                }
                Err(blocked) => Dependency::Blocked(blocked),
            },
        )
    }

    fn desired(&self, facts: &PoolFacts, account: &Account, context: &Context) -> Desired {
        let secrets = facts.secrets.as_deref();
        Desired {
            body: body::desired(&self.spec, secrets, facts.identities.as_ref()),
            defaults: body::defaults(account.spec().location.as_deref()),
            secrets_digest: secrets
                .filter(|values| !values.is_empty())
                .map(|values| secrets::digest(values, context.key())),
        }
    }

    /// A pool's own identity outlives the roles that were assigned to it.
    async fn inspect(
        &self,
        context: &Context,
        intent: Intent,
        _: &mut PoolFacts,
        resource: &mut ResourceState,
    ) -> Result<(), Error> {
        if intent == Intent::Delete {
            resource.occupants = Occupants::objects(&context.references().needed_by(&ObjectId::of(self)).await);
        }
        Ok(())
    }

    fn complete(&self, facts: &PoolFacts, resource: &mut ResourceState) {
        let Some(actual) = &resource.actual else { return };
        if self.spec.identity.is_none()
            && let Some(block) = taken_back(self.attached_identities(), actual)
        {
            resource.desired.0["identity"] = block;
        }
        let left = settings_left(&resource.desired.0, actual);
        if facts.secrets.is_none() {
            resource.unwritable = unknown_secrets(&foreign_secrets(actual, &resource.desired.0));
        }
        if let Some(settings) = left {
            resource.desired.0["properties"]["managedIdentitySettings"] = settings;
        }
    }

    /// A pool without an endpoint of this cloud cannot be used, whatever else is right.
    fn refine(
        &self,
        facts: &PoolFacts,
        resource: &ResourceState,
        _: Timestamp,
        decision: &mut Decision<KindStep<NoChild>>,
    ) {
        let cloud = &facts.cloud;
        let endpoint = endpoint(resource).map(|endpoint| cloud.check_pool_endpoint(endpoint));
        if !matches!(endpoint, Some(Ok(()))) {
            decision.provisioned = decision.provisioned.map(|_| false);
        }
        if decision.verdict.standing != Standing::Ready {
            return;
        }
        match endpoint {
            Some(Ok(())) => {}
            Some(Err(error)) => decision.verdict = Verdict::stalled(Reason::UnsupportedCloud, error.to_string()),
            None if cloud.sessions.is_none() => {
                let message = format!("cloud {} has no known host of dynamic sessions", cloud.name);
                decision.verdict = Verdict::stalled(Reason::UnsupportedCloud, message);
            }
            None => {
                let message = "Azure has not given the pool's endpoint yet";
                decision.verdict = Verdict::progressing(Reason::Provisioning, message);
                decision.next = Next::Poll { after: None };
            }
        }
    }

    fn export(&self) -> Option<&LocalReference> {
        self.spec.export.as_ref().map(|it| &it.config_map)
    }

    fn exported(&self, resource: &ResourceState) -> Option<Exported> {
        exported(resource.id.as_str(), resource.actual.as_ref()?)
    }

    fn given_secrets_digest(&self) -> Option<String> {
        self.status.as_ref()?.secrets_digest.clone()
    }

    fn status_of(
        &self,
        azure: AzureResourceStatus,
        _: Vec<String>,
        facts: Option<&PoolFacts>,
        resource: Option<&ResourceState>,
    ) -> SessionPoolStatus {
        let before = self.status.clone().unwrap_or_default();
        let (Some(PoolFacts { cloud, .. }), Some(resource)) = (facts, resource) else {
            return SessionPoolStatus { azure, ..before };
        };
        let endpoint = endpoint(resource).filter(|it| cloud.check_pool_endpoint(it).is_ok());
        let usable = resource
            .actual
            .as_ref()
            .filter(|_| may_use(&Subject::of(self), resource));
        SessionPoolStatus {
            azure,
            container_type: usable.and_then(container_type).map(str::to_owned),
            pool_management_endpoint: usable.and(endpoint).map(str::to_owned),
            mcp_server_endpoint: usable.and_then(mcp_server_endpoint).map(str::to_owned),
            attached_identities: match (&resource.actual, resource.presence()) {
                (Some(actual), Presence::Owned(_)) => {
                    let wanted = self
                        .spec
                        .identity
                        .as_ref()
                        .map(|_| IdentityBlock::of(&resource.desired.0));
                    still_attached(wanted.as_ref(), self.attached_identities(), actual)
                }
                (Some(_), _) => before.attached_identities,
                (None, _) => Vec::new(),
            },
            principal_id: resource.actual.as_ref().and_then(principal_id).map(str::to_owned),
            max_concurrent_sessions: usable
                .and_then(max_concurrent_sessions)
                .and_then(|it| i32::try_from(it).ok()),
            // Whoever counts them writes it.
            sessions: before.sessions,
            secrets_digest: if self.spec.secrets.is_empty() && !has_secrets(resource) {
                None
            } else {
                resource.given_secrets_digest.clone()
            },
        }
    }

    fn common(status: &SessionPoolStatus) -> &AzureResourceStatus {
        &status.azure
    }
}

impl SessionPool {
    /// What the status records of the identities that it attached.
    fn attached_identities(&self) -> &[String] {
        let status = self.status.as_ref();
        status.map(|it| it.attached_identities.as_slice()).unwrap_or_default()
    }
}

/// A pool without what is counted of its sessions, which changes often and matters to nobody but its reader.
pub fn shown(pool: &SessionPool) -> SessionPool {
    let mut pool = pool.clone();
    if let Some(status) = &mut pool.status {
        status.sessions = None;
        status
            .azure
            .conditions
            .retain(|it| it.type_ != kind::SESSIONS_AVAILABLE);
    }
    pool
}

fn endpoint(resource: &ResourceState) -> Option<&str> {
    resource.actual.as_ref().and_then(management_endpoint)
}

/// The principal of the pool's own identity, if it has one.
fn principal_id(pool: &Value) -> Option<&str> {
    pool.pointer("/identity/principalId")?.as_str()
}

/// What the ConfigMap holds.
fn exported(id: &str, pool: &Value) -> Option<Exported> {
    let endpoint = management_endpoint(pool)?;
    let values = [
        ("id", Some(id)),
        ("poolManagementEndpoint", Some(endpoint)),
        ("mcpServerEndpoint", mcp_server_endpoint(pool)),
        ("principalId", principal_id(pool)),
    ];
    Some(values.map(|(key, value)| (key, value.map(str::to_owned))).into())
}

fn has_secrets(resource: &ResourceState) -> bool {
    let secrets = resource
        .actual
        .as_ref()
        .and_then(|it| it.pointer("/properties/secrets")?.as_array());
    secrets.is_some_and(|secrets| !secrets.is_empty())
}

/// The values of the pool's secrets; `None` if the spec leaves its secrets alone. Once they were given, a spec without
/// secrets takes them away again.
async fn desired_secrets(
    context: &Context,
    namespace: &str,
    object: &SessionPool,
    were_given: bool,
) -> Result<Dependency<Option<Vec<SecretValue>>>, Error> {
    if object.spec.secrets.is_empty() && !were_given {
        return Ok(Dependency::Met(None));
    }
    match secrets::read(context.client(), namespace, &object.spec.secrets).await {
        Ok(values) => Ok(Dependency::Met(Some(values))),
        Err(SecretError::Api(error)) => Err(error.into()),
        Err(error @ SecretError::TooLarge { .. }) => Ok(Dependency::Blocked(Blocked::Invalid(error.to_string()))),
        Err(error @ SecretError::Missing { .. }) => Ok(Dependency::Blocked(Blocked::SecretNotFound(error.to_string()))),
    }
}

fn unknown_secrets(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "the pool has secrets that spec.secrets does not name: {}. Azure never returns their values, so any write would \
             lose them: name them in spec.secrets",
            names.join(", ")
        )
    })
}
