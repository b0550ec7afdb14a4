//! IdentityAssignment: the `identity` block of a container app, a container group or a session pool.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::azure_resource::{Drift, ManagementSpec};
use super::identity::ManagedServiceIdentity;
use super::reference::LocalReference;

/// Attaches managed identities to a container app or container group that somebody else manages. Identities that others
/// attached stay, and on deletion exactly what was attached here is detached.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "IdentityAssignment",
    plural = "identityassignments",
    shortname = "azia",
    category = "lifeguard",
    category = "azure",
    namespaced,
    status = "IdentityAssignmentStatus",
    derive = "PartialEq",
    printcolumn(
        name = "READY",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "REASON",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "TYPE", type_ = "string", json_path = ".spec.identity.type"),
    printcolumn(name = "TARGET", type_ = "string", json_path = ".status.target"),
    printcolumn(
        name = "PRINCIPAL-ID",
        type_ = "string",
        json_path = ".status.principalId",
        priority = 1
    ),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(transform = without_adoption_policy)]
#[x_kube(validation = ("self.target == oldSelf.target", "target cannot be changed; create another object"))]
#[x_kube(validation = ("self.identity.type != 'None'", "identity.type must be SystemAssigned, UserAssigned or SystemAssigned,UserAssigned"))]
#[x_kube(validation = ("!has(self.interval) || duration(self.interval) >= duration('1s')", "interval must be at least 1s"))]
pub struct IdentityAssignmentSpec {
    /// How the object rules what it attaches. There is no `adoptionPolicy`: identities that others attached are always
    /// used and never taken over.
    #[serde(flatten)]
    pub management: ManagementSpec,
    /// What the identities are attached to. It cannot be changed.
    pub target: AssignmentTarget,
    /// The identities.
    pub identity: ManagedServiceIdentity,
}

/// What others attached is used as it is and stays, so there is nothing that an adoption policy could say.
fn without_adoption_policy(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.remove("adoptionPolicy");
    }
}

/// What identities are attached to: exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.containerApp) ? 1 : 0) + (has(self.containerGroup) ? 1 : 0) + (has(self.sessionPool) ? 1 : 0) == 1", "exactly one of containerApp, containerGroup and sessionPool must be set"))]
#[x_kube(validation = ("!has(self.containerApp) || !has(self.containerApp.resourceId) || self.containerApp.resourceId.lowerAscii().contains('/providers/microsoft.app/containerapps/')", "containerApp.resourceId must be the id of a Microsoft.App/containerApps resource"))]
#[x_kube(validation = ("!has(self.containerGroup) || !has(self.containerGroup.resourceId) || self.containerGroup.resourceId.lowerAscii().contains('/providers/microsoft.containerinstance/containergroups/')", "containerGroup.resourceId must be the id of a Microsoft.ContainerInstance/containerGroups resource"))]
pub struct AssignmentTarget {
    /// A container app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_app: Option<TargetResource>,
    /// A container group. Azure restarts its containers when its identities change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_group: Option<TargetResource>,
    /// A session pool that no SessionPool object manages; one that does has its identities in its own `spec.identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool: Option<TargetPool>,
}

/// A resource that is managed elsewhere, by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.name) != has(self.resourceId)", "exactly one of name and resourceId must be set"))]
#[x_kube(validation = ("!has(self.resourceId) || (!has(self.resourceGroup) && !has(self.resourceGroupRef))", "resourceGroup and resourceGroupRef go with name"))]
#[x_kube(validation = ("!(has(self.resourceGroup) && has(self.resourceGroupRef))", "only one of resourceGroup and resourceGroupRef may be set"))]
pub struct TargetResource {
    /// Name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: Option<String>,
    /// Its resource group. Default: that of the AzureAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: Option<String>,
    /// A ResourceGroup object of this namespace that is its resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_ref: Option<LocalReference>,
    /// Azure resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$")
    )]
    pub resource_id: Option<String>,
}

/// A session pool that is managed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetPool {
    /// Azure resource id.
    #[schemars(
        length(min = 1, max = 1024),
        regex(
            pattern = "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[aA]pp/[sS]ession[pP]ools/[^/]+$"
        )
    )]
    pub resource_id: String,
}

/// The observed state of an IdentityAssignment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityAssignmentStatus {
    /// The generation of the spec that this status describes; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, and while true `Reconciling` or `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Azure resource id of what the identities are attached to; absent while nothing may be attached there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the identities are attached to, in short: `app/NAME`, `group/NAME` or `pool/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Azure's own state of that resource, such as `Succeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// Object id of the system-assigned identity, which roles are assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Microsoft Entra tenant of the system-assigned identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Resource ids of the user-assigned identities of the spec that are attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub user_assigned_identities: Vec<String>,
    /// Differences from the spec that are not put right because of the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}
