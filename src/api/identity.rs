//! The identities that an Azure resource has, as its `identity` block says them, by reference.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form;
use super::reference::LocalReference;

/// The managed identities of an Azure resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.type.contains('UserAssigned') == (has(self.userAssignedIdentities) && size(self.userAssignedIdentities) > 0)", "userAssignedIdentities must be set when type is UserAssigned or SystemAssigned,UserAssigned, and only then"))]
pub struct ManagedServiceIdentity {
    /// Which kinds of managed identity are attached.
    #[serde(rename = "type")]
    pub kind: IdentityType,
    /// The user-assigned identities. Required for the types that include them, and not allowed for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub user_assigned_identities: Vec<UserAssignedIdentityReference>,
}

/// Which kinds of identity a resource has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IdentityType {
    /// An identity that Azure creates with the resource and deletes with it.
    SystemAssigned,
    /// The identities of `userAssignedIdentities`, which exist by themselves.
    UserAssigned,
    /// Both kinds.
    #[serde(rename = "SystemAssigned,UserAssigned")]
    SystemAssignedUserAssigned,
}

impl IdentityType {
    /// Whether the resource has an identity of its own.
    pub fn is_system_assigned(self) -> bool {
        match self {
            Self::SystemAssigned | Self::SystemAssignedUserAssigned => true,
            Self::UserAssigned => false,
        }
    }
}

/// Names a user-assigned identity: exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.managedIdentityRef) != has(self.resourceId)", "exactly one of managedIdentityRef and resourceId must be set"))]
pub struct UserAssignedIdentityReference {
    /// A ManagedIdentity of this namespace. The object waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity_ref: Option<LocalReference>,
    /// Azure resource id of an identity that no object of this namespace manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = form::IDENTITY_ID)
    )]
    pub resource_id: Option<String>,
}
