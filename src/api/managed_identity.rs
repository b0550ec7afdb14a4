//! ManagedIdentity: a Microsoft.ManagedIdentity/userAssignedIdentities resource with its federated credentials.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceSpec, AzureResourceStatus, without_state};
use super::form;
use super::immutable;
use super::reference::LocalReference;

/// A user-assigned managed identity: Azure roles can be assigned to it, and ServiceAccounts of the cluster can act as
/// it without a secret.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "ManagedIdentity",
    plural = "managedidentities",
    shortname = "azmi",
    category = "lifeguard",
    category = "azure",
    namespaced,
    status = "ManagedIdentityStatus",
    derive = "PartialEq",
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "CLIENT-ID", type_ = "string", json_path = ".status.clientId"),
    printcolumn(name = "PRINCIPAL-ID", type_ = "string", json_path = ".status.principalId", priority = 1),
    printcolumn(name = "LOCATION", type_ = "string", json_path = ".status.location", priority = 1),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("has(self.spec.azureName) || self.metadata.name.matches('^[a-z0-9][-a-z0-9]{2,127}$')", "metadata.name is not a valid name of a managed identity (3 to 128 letters, digits, hyphens and underscores, starting with a letter or digit); set spec.azureName"),
    validation = Rule::new(immutable::AZURE_NAME).message("azureName cannot be changed; create another object").field_path(".spec.azureName")
)]
#[x_kube(validation = (immutable::LOCATION, "location cannot be changed: Azure cannot move an identity to another region"))]
#[x_kube(validation = ("!has(self.azureName) || self.azureName.matches('^[A-Za-z0-9][-A-Za-z0-9_]{2,127}$')", "azureName must be 3 to 128 letters, digits, hyphens and underscores, starting with a letter or digit"))]
#[x_kube(validation = ("!(has(self.resourceGroup) && has(self.resourceGroupRef))", "only one of resourceGroup and resourceGroupRef may be set"))]
#[x_kube(validation = (immutable::RESOURCE_GROUP, "resourceGroup cannot be changed; create another object"))]
#[x_kube(validation = ("!has(self.federatedCredentials) || self.federatedCredentials.all(a, self.federatedCredentials.exists_one(b, b.name.lowerAscii() == a.name.lowerAscii()))", "the names of federatedCredentials must differ in more than letter case"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(name, name.lowerAscii() != 'lifeguard-owner')", "the tag lifeguard-owner is reserved"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(a, self.tags.exists_one(b, b.lowerAscii() == a.lowerAscii()))", "the names of tags must differ in more than letter case"))]
pub struct ManagedIdentitySpec {
    /// What every kind that owns an Azure resource has.
    #[serde(flatten)]
    pub azure: AzureResourceSpec,
    /// Name of the resource group. Default: the AzureAccount's. It cannot be changed, but the same group may be named by
    /// `resourceGroupRef` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: Option<String>,
    /// The resource group, as a ResourceGroup of this namespace. The identity waits until it is ready. It cannot be
    /// changed, but the same group may be named by `resourceGroup` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_ref: Option<LocalReference>,
    /// Which resources may use the identity. Azure's default is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation_scope: Option<IsolationScope>,
    /// Who may act as this identity without a secret: Azure exchanges tokens of these issuers and subjects for tokens
    /// of the identity. Credentials that others added in Azure are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub federated_credentials: Vec<FederatedCredential>,
    /// Where to write the identity's ids, for workloads that need them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<IdentityExport>,
}

/// Which resources may use an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IsolationScope {
    /// Resources of every region.
    None,
    /// Only resources of the identity's own region.
    Regional,
}

/// One federated identity credential: the issuer and subject of tokens that are exchanged for the identity's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.serviceAccountRef) != has(self.subject)", "exactly one of serviceAccountRef and subject must be set"))]
#[x_kube(validation = ("has(self.serviceAccountRef) || has(self.issuer)", "issuer is required together with subject"))]
pub struct FederatedCredential {
    /// Name of the credential in Azure: 3 to 120 letters, digits, hyphens and underscores, starting with a letter or
    /// digit.
    #[schemars(length(min = 3, max = 120), regex(pattern = form::CREDENTIAL_NAME))]
    pub name: String,
    /// A ServiceAccount of this namespace that may act as the identity. It need not exist yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<LocalReference>,
    /// Issuer of the tokens, exactly as in their claim `iss`. Default with `serviceAccountRef`: this cluster's issuer. The
    /// installation must allow any other issuer (`managedIdentities.allowedIssuers` of the chart).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 600), regex(pattern = form::ISSUER))]
    pub issuer: Option<String>,
    /// Subject of the tokens, exactly as in their claim `sub`, for issuers other than Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 600))]
    pub subject: Option<String>,
    /// Audience of the tokens. Default: the one that the Azure cloud asks for, such as `api://AzureADTokenExchange`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1), inner(length(min = 1, max = 600)))]
    pub audiences: Vec<String>,
}

/// Where an identity's ids are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityExport {
    /// A ConfigMap of this namespace that the operator creates, keeps up to date, and deletes with this object. Its
    /// keys are `clientId`, `principalId`, `tenantId` and `id`. A ConfigMap of that name that this object did not create
    /// is left alone.
    pub config_map: LocalReference,
}

/// The observed state of a ManagedIdentity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(transform = without_state)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentityStatus {
    /// What every kind that has something in Azure reports.
    #[serde(flatten)]
    pub azure: AzureResourceStatus,
    /// Object id of the identity's service principal, which roles can be assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Client id of the identity, by which applications name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Microsoft Entra tenant of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Names of the federated credentials that this object wrote or is about to write. They are removed when the spec
    /// no longer has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub federated_credentials: Vec<String>,
}
