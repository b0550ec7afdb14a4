//! Where a template is deployed to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A resource group with its subscription and tenant, as it was when the deployment was asked for.
///
/// It is what `resourceGroup()`, `subscription()` and `tenant()` yield, and what ids of resources begin with. It is never
/// read again: a deployment has one value for each of its expressions, however the group changes meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// Id of the tenant.
    pub tenant_id: String,
    /// Id of the subscription, a GUID.
    pub subscription_id: String,
    /// Display name of the subscription.
    pub subscription_name: String,
    /// ARM id of the group, in the group's own spelling, without a trailing slash.
    pub group_id: String,
    /// Name of the group, in its own spelling.
    pub group_name: String,
    /// Location of the group, normalised (`westeurope`).
    pub location: String,
    /// Tags of the group.
    pub tags: Map<String, Value>,
}

impl Scope {
    /// `resourceGroup()`.
    pub(crate) fn group(&self) -> Value {
        json!({
            "id": self.group_id,
            "name": self.group_name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": self.location,
            "tags": self.tags,
            "properties": { "provisioningState": "Succeeded" },
        })
    }

    /// `subscription()`.
    pub(crate) fn subscription(&self) -> Value {
        json!({
            "id": format!("/subscriptions/{}", self.subscription_id),
            "subscriptionId": self.subscription_id,
            "tenantId": self.tenant_id,
            "displayName": self.subscription_name,
        })
    }

    /// `tenant()`.
    pub(crate) fn tenant(&self) -> Value {
        json!({ "tenantId": self.tenant_id })
    }
}
