//! ManagedIdentity: keeps a Microsoft.ManagedIdentity/userAssignedIdentities resource, its federated credentials, and the
//! ConfigMap that its ids are exported to, as its spec says.

mod credential;
mod issuer;
#[cfg(test)]
mod tests;
mod trust;

pub use issuer::Issuers;

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::azure_resource::{AzureResourceStatus, ManagementPolicy, ManagementSpec};
use crate::api::condition::Reason;
use crate::api::managed_identity::FederatedCredential;
use crate::api::reference::LocalReference;
use crate::api::{ManagedIdentity, ManagedIdentitySpec, ManagedIdentityStatus, ResourceGroup};
use crate::azure::ResourceId;
use crate::azure::managed_identity::{
    FederatedIdentityCredential, MANAGED_IDENTITY_API_VERSION, MANAGED_IDENTITY_TYPE, SHAPE,
};
use crate::runtime::ObjectId;

use super::accounts::Account;
use super::azure_resource::children::ChildrenState;
use super::azure_resource::export::Exported;
use super::azure_resource::policy::Intent;
use super::azure_resource::{
    ArmType, AzureKind, AzureObject, Body, Dependency, Desired, Gathering, Occupants, ResourceState, Subject, Tagging,
    account_id, body_of, locate, location_of, may_use,
};
use super::context::Context;
use super::error::Error;
use super::ownership::OwnerMark;
use super::readiness::Verdict;
use super::reference::Reference;

use credential::{needs_cluster_issuer, trust, wanted};
use issuer::Issuer;
use trust::{AllowedIssuers, Trust};

/// What is read before an identity is: what its federated credentials depend on.
#[derive(Debug, Clone, Default)]
pub struct IdentityFacts {
    /// The issuer of this cluster, where it is needed and known.
    pub issuer: Option<String>,
    /// Why it is not known.
    pub issuer_is_untold: Option<String>,
    /// The issuers that may be trusted besides.
    pub allowed_issuers: AllowedIssuers,
    /// The audience that the cloud asks for.
    pub audience: String,
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

impl AzureKind for ManagedIdentity {
    const ARM: ArmType = ArmType {
        noun: "identity",
        resource_type: MANAGED_IDENTITY_TYPE,
        shape: &SHAPE,
        immutable: &["location"],
        patchable: &[],
        tagging: Tagging::MergePatch,
        mark: OwnerMark::Tag,
        is_regional: true,
    };
    /// Its twenty federated credentials are written in one pass.
    const PLANS_PER_PASS: u32 = 40;
    type Settings = Issuers;
    type Facts = IdentityFacts;
    type Child = FederatedIdentityCredential;

    fn api_version(&self, _: &Desired) -> &'static str {
        MANAGED_IDENTITY_API_VERSION
    }

    async fn gather(
        &self,
        gathering: Gathering<'_, Issuers>,
    ) -> Result<Dependency<(ResourceId, IdentityFacts)>, Error> {
        let (spec, context) = (&self.spec, gathering.context);
        let (group, group_ref) = (spec.resource_group.as_deref(), spec.resource_group_ref.as_ref());
        let id = match locate(self, &gathering, &spec.azure, group, group_ref).await {
            Ok(id) => id,
            Err(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        let Issuers { cluster, allowed } = gathering.settings;
        let mut facts = IdentityFacts {
            allowed_issuers: allowed.clone(),
            audience: context.cloud().federation_audience.clone(),
            ..IdentityFacts::default()
        };
        if self.meta().deletion_timestamp.is_none() && needs_cluster_issuer(&spec.federated_credentials, allowed) {
            match cluster.get(context.client()).await? {
                Issuer::Known(issuer) => facts.issuer = Some(issuer),
                Issuer::Untold { why } => facts.issuer_is_untold = Some(why),
            }
        }
        Ok(Dependency::Met((id, facts)))
    }

    fn desired(&self, _: &IdentityFacts, account: &Account, _: &Context) -> Desired {
        Desired {
            body: desired(&self.spec),
            defaults: location_of(account),
            secrets_digest: None,
        }
    }

    /// An identity outlives what is assigned or attached still, pools that go as well, and accounts that objects are removed
    /// from Azure with. Its own account waits for it.
    async fn inspect(
        &self,
        context: &Context,
        intent: Intent,
        _: &mut IdentityFacts,
        resource: &mut ResourceState,
    ) -> Result<(), Error> {
        if intent != Intent::Delete {
            return Ok(());
        }
        let own_account = account_id(self);
        let needing = context.references().needed_by(&ObjectId::of(self)).await;
        let others: Vec<ObjectId> = needing.into_iter().filter(|it| *it != own_account).collect();
        resource.occupants = Occupants::objects(&others);
        Ok(())
    }

    fn children(&self, facts: &IdentityFacts) -> ChildrenState<FederatedIdentityCredential> {
        let namespace = self.namespace().unwrap_or_default();
        let issuer = facts.issuer.as_deref();
        let is_observer = self.spec.azure.management.management_policy == ManagementPolicy::ObserveOnly;
        let trust = |it: &FederatedCredential| match trust(it, &facts.allowed_issuers, issuer) {
            // An object that only observes writes nothing, so it gives nothing away.
            Trust::Refused if is_observer => Trust::Allowed,
            trust => trust,
        };
        let (refused, named): (Vec<_>, Vec<_>) = self
            .spec
            .federated_credentials
            .iter()
            .partition(|it| trust(it) == Trust::Refused);
        let writable = named.iter().copied().filter(|it| trust(it) == Trust::Allowed);
        ChildrenState {
            named: named.iter().map(|it| it.name.clone()).collect(),
            wanted: wanted(writable, &namespace, issuer, &facts.audience),
            withheld: not_allowed(&refused, issuer).or_else(|| facts.issuer_is_untold.as_deref().map(issuer_unknown)),
            ..ChildrenState::default()
        }
    }

    fn recorded_children(&self) -> &[String] {
        let status = self.status.as_ref();
        status.map(|it| it.federated_credentials.as_slice()).unwrap_or_default()
    }

    fn export(&self) -> Option<&LocalReference> {
        self.spec.export.as_ref().map(|it| &it.config_map)
    }

    fn exported(&self, resource: &ResourceState) -> Option<Exported> {
        exported(resource.id.as_str(), resource.actual.as_ref()?)
    }

    fn status_of(
        &self,
        azure: AzureResourceStatus,
        children: Vec<String>,
        _: Option<&IdentityFacts>,
        resource: Option<&ResourceState>,
    ) -> ManagedIdentityStatus {
        let before = self.status.clone().unwrap_or_default();
        let (principal_id, client_id, tenant_id) = match resource {
            None => (before.principal_id, before.client_id, before.tenant_id),
            Some(resource) => {
                let subject = Subject::of(self);
                let actual = resource.actual.as_ref().filter(|_| may_use(&subject, resource));
                let text = |name: &str| {
                    let value = actual?.pointer(&format!("/properties/{name}"));
                    value.and_then(Value::as_str).map(str::to_owned)
                };
                (text("principalId"), text("clientId"), text("tenantId"))
            }
        };
        ManagedIdentityStatus {
            azure,
            principal_id,
            client_id,
            tenant_id,
            federated_credentials: children,
        }
    }

    fn common(status: &ManagedIdentityStatus) -> &AzureResourceStatus {
        &status.azure
    }
}

/// What an identity should be: what the spec sets and nothing else.
fn desired(spec: &ManagedIdentitySpec) -> Body {
    let mut body = body_of(&spec.azure);
    body["properties"] = json!({});
    if let Some(scope) = spec.isolation_scope {
        body["properties"]["isolationScope"] =
            serde_json::to_value(scope).expect("invariant: an enumeration is plain data");
    }
    Body(body)
}

/// Why credentials of issuers that are not allowed are not in Azure.
fn not_allowed(refused: &[&FederatedCredential], cluster_issuer: Option<&str>) -> Option<Verdict> {
    let first = refused.first()?;
    let names: Vec<_> = refused.iter().map(|it| it.name.as_str()).collect();
    let issuer = first.issuer.as_deref().unwrap_or_default();
    let own = cluster_issuer.map_or_else(String::new, |own| format!("; that of this cluster is {own}"));
    Some(Verdict::stalled(
        Reason::IssuerNotAllowed,
        format!(
            "the federated credential {} trusts the issuer {issuer}, which this installation does not allow{own}. Its \
             administrator can allow it by the chart's managedIdentities.allowedIssuers, or --allowed-issuer. Not in Azure, or \
             removed if this object had written them: {}",
            first.name,
            names.join(", ")
        ),
    ))
}

fn issuer_unknown(why: &str) -> Verdict {
    let message = format!(
        "the issuer of this cluster's ServiceAccount tokens is not known: {why}. Start the operator with \
         --service-account-issuer, or set the chart's workloadIdentity.issuer"
    );
    Verdict::stalled(Reason::InvalidSpec, message)
}

/// What the ConfigMap holds.
fn exported(id: &str, actual: &Value) -> Option<Exported> {
    let text = |name: &str| actual.pointer(&format!("/properties/{name}"))?.as_str();
    let values = [
        ("clientId", text("clientId")?),
        ("principalId", text("principalId")?),
        ("tenantId", text("tenantId")?),
        ("id", id),
    ];
    Some(values.map(|(key, value)| (key, Some(value.to_owned()))).into())
}
