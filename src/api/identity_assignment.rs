//! IdentityAssignment: the `identity` block of a container app, a container group or a session pool.

use kube::{CustomResource, KubeSchema};
use schemars::Schema;
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceStatus, ManagementSpec, without_location_and_export};
use super::form;
use super::identity::ManagedServiceIdentity;
use super::immutable;
use super::reference::LocalReference;

/// Attaches managed identities to a container app, container group or session pool that is managed elsewhere.
/// Identities that others attached are kept. Deleting the object detaches exactly what it attached.
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
#[schemars(transform = narrowed)]
pub struct IdentityAssignmentSpec {
    /// How the object rules what it attaches. There is no `adoptionPolicy`: identities that others attached are always
    /// used and never taken over.
    #[serde(flatten)]
    pub management: ManagementSpec,
    /// What the identities are attached to. Exactly one member must be set. It cannot be changed, but the same resource
    /// may be named in another way.
    pub target: AssignmentTarget,
    /// The identities to attach.
    pub identity: ManagedServiceIdentity,
}

/// What others attached is used as it is and stays, so there is nothing that an adoption policy could say.
fn narrowed(schema: &mut Schema) {
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
#[x_kube(validation = (immutable::TARGET_TYPE, "the target cannot be changed to one of another type; create another object"))]
pub struct AssignmentTarget {
    /// A container app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_app: Option<TargetResource>,
    /// A container group. Azure restarts its containers whenever its identities change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_group: Option<TargetResource>,
    /// A session pool that no SessionPool object manages. The identities of one that has an object are set in that
    /// object's `spec.identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool: Option<TargetPool>,
}

/// A resource that is managed elsewhere, by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.name) != has(self.resourceId)", "exactly one of name and resourceId must be set"))]
#[x_kube(validation = ("!has(self.resourceId) || (!has(self.resourceGroup) && !has(self.resourceGroupRef))", "resourceGroup and resourceGroupRef may be set only together with name"))]
#[x_kube(validation = ("!(has(self.resourceGroup) && has(self.resourceGroupRef))", "only one of resourceGroup and resourceGroupRef may be set"))]
#[x_kube(validation = (immutable::NAME_OR_ID, "the target cannot be changed: this is the name or id of another resource; create another object"))]
#[x_kube(validation = (immutable::RESOURCE_GROUP, "resourceGroup cannot be changed; create another object"))]
pub struct TargetResource {
    /// Name of the resource in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = form::RESOURCE_NAME))]
    pub name: Option<String>,
    /// Name of its resource group. Default: the AzureAccount's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub resource_group: Option<String>,
    /// Its resource group, as a ResourceGroup of this namespace. The object waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_ref: Option<LocalReference>,
    /// Azure resource id, instead of the name and the resource group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = form::RESOURCE_ID)
    )]
    pub resource_id: Option<String>,
}

/// A session pool that is managed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetPool {
    /// Azure resource id of the session pool.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = form::POOL_ID)
    )]
    #[x_kube(validation = (immutable::IN_ANY_CASE, "resourceId cannot be changed; create another object"))]
    pub resource_id: String,
}

/// The observed state of an IdentityAssignment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(transform = without_location_and_export)]
#[serde(rename_all = "camelCase")]
pub struct IdentityAssignmentStatus {
    /// What every kind that has something in Azure reports.
    #[serde(flatten)]
    pub azure: AzureResourceStatus,
    /// The target in short: `app/NAME`, `group/NAME` or `pool/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Object id of the target's system-assigned identity, which roles can be assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Microsoft Entra tenant of the target's system-assigned identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Azure resource ids of those user-assigned identities of the spec that are attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub user_assigned_identities: Vec<String>,
}
