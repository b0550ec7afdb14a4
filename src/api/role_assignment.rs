//! RoleAssignment: a Microsoft.Authorization/roleAssignments resource.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceStatus, ManagementSpec, without_state_and_export};
use super::form;
use super::immutable;
use super::reference::LocalReference;

/// Assigns an Azure role to a principal at a scope. The installation decides which roles may be assigned, and where.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "RoleAssignment",
    plural = "roleassignments",
    shortname = "azra",
    category = "lifeguard",
    category = "azure",
    namespaced,
    status = "RoleAssignmentStatus",
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
    printcolumn(name = "ROLE", type_ = "string", json_path = ".spec.role"),
    printcolumn(
        name = "PRINCIPAL-ID",
        type_ = "string",
        json_path = ".status.principalId",
        priority = 1
    ),
    printcolumn(name = "SCOPE", type_ = "string", json_path = ".status.scope", priority = 1),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = (immutable::PRINCIPAL, "principal cannot be changed: Azure cannot change an assignment; create another object"))]
#[x_kube(validation = (immutable::ROLE, "role cannot be changed: Azure cannot change an assignment; create another object"))]
#[x_kube(validation = (immutable::SCOPE, "scope cannot be changed: Azure cannot change an assignment; create another object"))]
pub struct RoleAssignmentSpec {
    /// How the object rules the assignment.
    #[serde(flatten)]
    pub management: ManagementSpec,
    /// The principal that gets the role. Exactly one of `managedIdentityRef`, `identityAssignmentRef`, `sessionPoolRef`
    /// and `principalId` must be set. It cannot be changed.
    pub principal: Principal,
    /// The role: its name in any letter case, such as `Azure ContainerApps Session Executor`, or its GUID. It cannot be
    /// changed.
    #[schemars(length(min = 1, max = 512), regex(pattern = form::ROLE))]
    pub role: String,
    /// Where the role applies. Exactly one member must be set. It cannot be changed.
    pub scope: AssignmentScope,
}

/// Who gets a role: exactly one of `managedIdentityRef`, `identityAssignmentRef`, `sessionPoolRef` and `principalId`
/// is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.managedIdentityRef) ? 1 : 0) + (has(self.identityAssignmentRef) ? 1 : 0) + (has(self.sessionPoolRef) ? 1 : 0) + (has(self.principalId) ? 1 : 0) == 1", "exactly one of managedIdentityRef, identityAssignmentRef, sessionPoolRef and principalId must be set"))]
#[x_kube(validation = ("!has(self.principalType) || has(self.principalId)", "principalType may be set only together with principalId"))]
pub struct Principal {
    /// A ManagedIdentity of this namespace. The object waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity_ref: Option<LocalReference>,
    /// An IdentityAssignment of this namespace, for the system-assigned identity of its target. The object waits until
    /// it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_assignment_ref: Option<LocalReference>,
    /// A SessionPool of this namespace, for its own system-assigned identity. The object waits until it is ready, and the
    /// pool's deletion waits until the assignment is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool_ref: Option<LocalReference>,
    /// Object id, in Microsoft Entra ID, of a principal that no object of this namespace manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 36, max = 36),
        regex(pattern = form::GUID)
    )]
    pub principal_id: Option<String>,
    /// What kind of principal `principalId` is. Default `ServicePrincipal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<PrincipalType>,
}

/// Kinds of principals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A group of Microsoft Entra ID.
    Group,
    /// An application or a managed identity.
    #[default]
    ServicePrincipal,
    /// A group of another tenant.
    ForeignGroup,
    /// A device.
    Device,
}

/// Where a role applies: exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.sessionPoolRef) ? 1 : 0) + (has(self.resourceGroupRef) ? 1 : 0) + (has(self.resourceId) ? 1 : 0) == 1", "exactly one of sessionPoolRef, resourceGroupRef and resourceId must be set"))]
pub struct AssignmentScope {
    /// A SessionPool of this namespace. The object waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool_ref: Option<LocalReference>,
    /// A ResourceGroup of this namespace. The object waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_group_ref: Option<LocalReference>,
    /// Azure resource id of a resource, resource group or subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = form::SCOPE_ID))]
    pub resource_id: Option<String>,
}

/// The observed state of a RoleAssignment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(transform = without_state_and_export)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentStatus {
    /// What every kind that has something in Azure reports.
    #[serde(flatten)]
    pub azure: AzureResourceStatus,
    /// Object id of the principal that has the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Azure resource id of the role definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_definition_id: Option<String>,
    /// Azure resource id of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}
