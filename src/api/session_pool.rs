//! SessionPool: a Microsoft.App/sessionPools resource. Property names and nesting of `spec` are those of API version
//! 2025-10-02-preview.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceSpec, AzureResourceStatus};
use super::command_job::DefaultSessionMode;
use super::form;
use super::identity::ManagedServiceIdentity;
use super::immutable;
use super::reference::{LocalReference, SecretKeySelector};

mod container;
mod sharing;

pub use container::{
    Container, ContainerEnvironmentVariable, ContainerResources, CustomContainerTemplate, HttpGetProbe, HttpHeader,
    HttpScheme, Ingress, Probe, ProbeKind, RegistryCredentials, TcpSocketProbe,
};
pub use sharing::{Labels, NamespacesFrom, Share, SharedNamespaces};

/// An Azure Container Apps session pool. Azure keeps isolated sandboxes, called sessions, ready in it, and CommandJobs
/// run in them.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "SessionPool",
    plural = "sessionpools",
    shortname = "azsp",
    category = "lifeguard",
    category = "azure",
    namespaced,
    status = "SessionPoolStatus",
    derive = "PartialEq",
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "TYPE", type_ = "string", json_path = ".spec.containerType"),
    printcolumn(name = "MAX", type_ = "integer", json_path = ".spec.scaleConfiguration.maxConcurrentSessions"),
    printcolumn(name = "STATE", type_ = "string", json_path = ".status.provisioningState"),
    printcolumn(name = "LOCATION", type_ = "string", json_path = ".status.location", priority = 1),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("has(self.spec.azureName) || self.metadata.name.matches('^[a-z][a-z0-9-]{1,61}[a-z0-9]$')", "metadata.name is not a valid session pool name (3 to 63 lower-case letters, digits and hyphens, starting with a letter); set spec.azureName"),
    validation = Rule::new(immutable::AZURE_NAME).message("azureName cannot be changed; create another object").field_path(".spec.azureName")
)]
#[x_kube(validation = (immutable::LOCATION, "location cannot be changed: Azure cannot move a session pool to another region"))]
#[x_kube(validation = ("!has(self.azureName) || self.azureName.matches('^[a-z][a-z0-9-]{1,61}[a-z0-9]$')", "azureName must be 3 to 63 lower-case letters, digits and hyphens, starting with a letter"))]
#[x_kube(validation = ("!(has(self.resourceGroup) && has(self.resourceGroupRef))", "only one of resourceGroup and resourceGroupRef may be set"))]
#[x_kube(validation = (immutable::RESOURCE_GROUP, "resourceGroup cannot be changed; create another object"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(name, name.lowerAscii() != 'lifeguard-owner')", "the tag lifeguard-owner is reserved"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(a, self.tags.exists_one(b, b.lowerAscii() == a.lowerAscii()))", "the names of tags must differ in more than letter case"))]
#[x_kube(validation = ("self.containerType == oldSelf.containerType", "containerType cannot be changed; create another pool"))]
#[x_kube(validation = (immutable::ENVIRONMENT_ID, "environmentId cannot be changed; create another pool"))]
#[x_kube(validation = ("self.containerType != 'CustomContainer' || has(self.environmentId)", "environmentId is required for containerType CustomContainer"))]
#[x_kube(validation = ("self.containerType == 'CustomContainer' ? has(self.customContainerTemplate) : !has(self.customContainerTemplate)", "customContainerTemplate is required for containerType CustomContainer and not allowed for the built-in types"))]
#[x_kube(validation = ("self.containerType == 'CustomContainer' || !has(self.scaleConfiguration) || !has(self.scaleConfiguration.readySessionInstances)", "scaleConfiguration.readySessionInstances is for containerType CustomContainer only"))]
#[x_kube(validation = ("self.containerType == 'CustomContainer' || !has(self.dynamicPoolConfiguration) || !has(self.dynamicPoolConfiguration.lifecycleConfiguration) || self.dynamicPoolConfiguration.lifecycleConfiguration.lifecycleType == 'Timed'", "lifecycleType OnContainerExit is for containerType CustomContainer only"))]
#[x_kube(validation = ("!has(self.identity) || !has(self.managedIdentitySettings) || self.managedIdentitySettings.all(s, (has(s.managedIdentityRef) ? has(self.identity.userAssignedIdentities) && self.identity.userAssignedIdentities.exists(u, has(u.resourceId) || u.managedIdentityRef.name == s.managedIdentityRef.name) : (s.identity.lowerAscii() == 'system' ? self.identity.type.contains('SystemAssigned') : has(self.identity.userAssignedIdentities) && self.identity.userAssignedIdentities.exists(u, has(u.managedIdentityRef) || u.resourceId.lowerAscii() == s.identity.lowerAscii()))))", "managedIdentitySettings may name only identities that spec.identity attaches"))]
#[x_kube(validation = ("!has(self.identity) || !has(self.customContainerTemplate) || !has(self.customContainerTemplate.registryCredentials) || !(has(self.customContainerTemplate.registryCredentials.identity) || has(self.customContainerTemplate.registryCredentials.managedIdentityRef)) || (has(self.customContainerTemplate.registryCredentials.managedIdentityRef) ? has(self.identity.userAssignedIdentities) && self.identity.userAssignedIdentities.exists(u, has(u.resourceId) || u.managedIdentityRef.name == self.customContainerTemplate.registryCredentials.managedIdentityRef.name) : (self.customContainerTemplate.registryCredentials.identity.lowerAscii() == 'system' ? self.identity.type.contains('SystemAssigned') : has(self.identity.userAssignedIdentities) && self.identity.userAssignedIdentities.exists(u, has(u.managedIdentityRef) || u.resourceId.lowerAscii() == self.customContainerTemplate.registryCredentials.identity.lowerAscii())))", "registryCredentials may name only an identity that spec.identity attaches"))]
pub struct SessionPoolSpec {
    /// What every kind that owns an Azure resource has.
    #[serde(flatten)]
    pub azure: AzureResourceSpec,
    /// Name of the resource group. Default: the AzureAccount's. It cannot be changed, but the same group may be named by
    /// `resourceGroupRef` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: Option<String>,
    /// The resource group, as a ResourceGroup of this namespace. The pool waits until it is ready. It cannot be
    /// changed, but the same group may be named by `resourceGroup` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_ref: Option<LocalReference>,
    /// What runs in a session of the pool. It cannot be changed.
    pub container_type: ContainerType,
    /// How sessions are allocated. Default `Dynamic`, the only value that Azure accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self == 'Dynamic'", "poolManagementType must be Dynamic: Azure refuses Manual, though its schema lists it"))]
    pub pool_management_type: Option<PoolManagementType>,
    /// Azure resource id of the Container Apps environment. Required for `CustomContainer`. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub environment_id: Option<String>,
    /// How many sessions there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_configuration: Option<ScaleConfiguration>,
    /// How long a session lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_pool_configuration: Option<DynamicPoolConfiguration>,
    /// Secrets of the pool, which `env[].secretRef` and `passwordSecretRef` name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<PoolSecret>,
    /// The containers of a session. Required for `CustomContainer`, and not allowed for other types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_container_template: Option<CustomContainerTemplate>,
    /// The network of the sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_network_configuration: Option<SessionNetworkConfiguration>,
    /// The managed identities of the pool; any others are detached. When absent, identities that others attached are kept,
    /// and those that an earlier spec attached are detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ManagedServiceIdentity>,
    /// Which of the pool's identities may be used in its sessions, and by whom. When absent, the settings that others made
    /// are kept, except for identities that `identity` removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub managed_identity_settings: Vec<ManagedIdentitySetting>,
    /// The pool's MCP (Model Context Protocol) server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_server_settings: Option<McpServerSettings>,
    /// Other namespaces whose CommandJobs may use the pool, and the account that they run as. If several entries include a
    /// namespace, the first one applies. Default: none; only CommandJobs of this namespace may use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sharing: Vec<Share>,
    /// What applies to CommandJobs in this pool that do not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_defaults: Option<JobDefaults>,
    /// Where to write the pool's id and endpoints, for workloads that call it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<SessionPoolExport>,
}

/// What applies to the CommandJobs of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobDefaults {
    /// Which sessions jobs have whose `spec.session.mode` is absent. Default `Fresh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_mode: Option<DefaultSessionMode>,
    /// How many jobs after the first one may have a session with mode `Reused`; then it is released. Default: as many as there
    /// are within the hours that are paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_reuses: Option<i32>,
}

/// What runs in a session of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ContainerType {
    /// Containers of your own, in a Container Apps environment of your own.
    CustomContainer,
    /// Microsoft's Python code interpreter.
    #[serde(rename = "PythonLTS")]
    PythonLts,
    /// A shell with common tools. CommandJobs run in pools of this type.
    Shell,
    /// Microsoft's Node.js code interpreter.
    #[serde(rename = "NodeLTS")]
    NodeLts,
    /// A base image with GPU support.
    GpuBase,
}

/// How a pool's sessions are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PoolManagementType {
    /// Azure allocates a session on request.
    Dynamic,
    /// Listed in Azure's schema, but refused by Azure.
    Manual,
}

/// How many sessions a pool may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.readySessionInstances) || !has(self.maxConcurrentSessions) || self.readySessionInstances <= self.maxConcurrentSessions", "readySessionInstances may not exceed maxConcurrentSessions"))]
pub struct ScaleConfiguration {
    /// How many sessions may exist at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_concurrent_sessions: Option<i32>,
    /// How many unused sessions are kept ready; for `CustomContainer` only. Azure accepts 1 to one less
    /// than `maxConcurrentSessions`. A pool that had 0 or the maximum before Azure introduced that rule keeps its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ready_session_instances: Option<i32>,
}

/// The configuration of a dynamic pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicPoolConfiguration {
    /// When a session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_configuration: Option<LifecycleConfiguration>,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.lifecycleType == 'Timed' || !has(self.cooldownPeriodInSeconds)", "cooldownPeriodInSeconds may be set only with lifecycleType Timed"))]
#[x_kube(validation = ("self.lifecycleType == 'OnContainerExit' || !has(self.maxAlivePeriodInSeconds)", "maxAlivePeriodInSeconds may be set only with lifecycleType OnContainerExit"))]
pub struct LifecycleConfiguration {
    /// What ends a session. Default `Timed`.
    #[serde(default)]
    pub lifecycle_type: LifecycleType,
    /// Seconds without a request after which a `Timed` session is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 3600))]
    pub cooldown_period_in_seconds: Option<i32>,
    /// Seconds after which an `OnContainerExit` session is destroyed even if its container still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_alive_period_in_seconds: Option<i32>,
}

/// What may end a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LifecycleType {
    /// A time without requests: `cooldownPeriodInSeconds`.
    #[default]
    Timed,
    /// The exit of its container.
    OnContainerExit,
}

/// One secret of a pool; its value comes from a Secret of this namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSecret {
    /// Name of the secret in Azure: lower-case letters, digits, hyphens and dots.
    #[schemars(length(min = 1, max = 253), regex(pattern = form::POOL_SECRET_NAME))]
    pub name: String,
    /// Where the value comes from.
    pub value_from: PoolSecretSource,
}

/// Where the value of a pool's secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSecretSource {
    /// A key of a Secret of this namespace.
    pub secret_key_ref: SecretKeySelector,
}

/// The network of a pool's sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionNetworkConfiguration {
    /// Whether sessions may open connections to the outside. Azure's default is `EgressDisabled`.
    pub status: SessionNetworkStatus,
}

/// Whether sessions may reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionNetworkStatus {
    /// Sessions may open connections.
    EgressEnabled,
    /// Sessions may not open connections.
    EgressDisabled,
}

/// The MCP server of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpServerSettings {
    /// Whether the MCP server is on. Azure's default is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_mcp_server_enabled: Option<bool>,
    /// Whether access by API key is disabled. Azure's default is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_mcp_server_api_key_disabled: Option<bool>,
}

/// Who may use an identity of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.identity) != has(self.managedIdentityRef)", "exactly one of identity and managedIdentityRef must be set"))]
pub struct ManagedIdentitySetting {
    /// `system` for the system-assigned identity, or the Azure resource id of a user-assigned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = form::IDENTITY_ID_OR_SYSTEM)
    )]
    pub identity: Option<String>,
    /// A user-assigned identity, as a ManagedIdentity of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity_ref: Option<LocalReference>,
    /// Who may use the identity in a session. Azure's default is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<IdentityLifecycle>,
}

/// Who may use an identity in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdentityLifecycle {
    /// Only the platform, such as to pull images.
    None,
    /// The main containers of a session: they can get tokens of the identity.
    Main,
    /// Init containers only. A pool's template has none, so nothing in a session gets tokens.
    Init,
    /// Every container of a session.
    All,
}

/// Where the id and the endpoints of a pool are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPoolExport {
    /// A ConfigMap of this namespace that the operator creates, keeps up to date, and deletes with this object. Its
    /// keys are `id`, `poolManagementEndpoint`, and where the pool has them `mcpServerEndpoint` and `principalId`. A
    /// ConfigMap of that name that this object did not create is left alone.
    pub config_map: LocalReference,
}

/// The observed state of a SessionPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPoolStatus {
    /// What every kind that has something in Azure reports.
    #[serde(flatten)]
    pub azure: AzureResourceStatus,
    /// Container type that Azure reports. CommandJobs use this value and not that of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_type: Option<String>,
    /// Endpoint of the pool's sessions, as Azure reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_management_endpoint: Option<String>,
    /// Endpoint of the pool's MCP (Model Context Protocol) server, as Azure reports it; absent while the server is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_server_endpoint: Option<String>,
    /// Object id of the pool's system-assigned identity, which roles can be assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The identities of the spec that the pool has: Azure resource ids, and `system` for the system-assigned one. They
    /// are detached when the spec no longer has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub attached_identities: Vec<String>,
    /// How many sessions may exist at the same time, as Azure reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_sessions: Option<i32>,
    /// The sessions of the pool, counted by the CommandJobs that use them. It may be half a minute old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<PoolSessions>,
    /// A keyed digest of the secret values that were last sent to Azure. Azure never returns them; the digest shows that a
    /// Secret has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_digest: Option<String>,
}

/// The sessions of a pool, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolSessions {
    /// How many sessions CommandJobs have, or are about to get, and that are being released.
    pub in_use: i32,
    /// How many sessions no CommandJob has for now, and are kept for the next one that may have them, with `session.mode` `Reused`
    /// or `Shared`. A job that waits for a place gets that of a `Reused` one. Default 0.
    #[serde(default)]
    pub kept: i32,
    /// How many CommandJobs wait for one.
    pub queued: i32,
    /// How many sessions of the pool are not CommandJobs' of this cluster, as far as is known.
    pub foreign: i32,
    /// For how many hours Azure has billed the sessions of CommandJobs, by namespace: each session costs every hour that was
    /// begun since it was allocated. It counts from when the operator first saw the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into()]))]
    pub billed_hours: Vec<BilledHours>,
}

/// What the sessions of a namespace cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BilledHours {
    /// The namespace of the CommandJobs.
    pub namespace: String,
    /// Hours of sessions.
    pub hours: i64,
}
