//! ResourceGroup: a Microsoft.Resources/resourceGroups resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceSpec, Drift};

/// An Azure resource group. Other operators have a kind of the same name: write `resourcegroups.lifeguard.dev`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "ResourceGroup",
    plural = "resourcegroups",
    shortname = "azrg",
    category = "lifeguard",
    category = "azure",
    namespaced,
    status = "ResourceGroupStatus",
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
    printcolumn(name = "STATE", type_ = "string", json_path = ".status.provisioningState"),
    printcolumn(name = "LOCATION", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = ("has(self.azureName) == has(oldSelf.azureName) && (!has(self.azureName) || self.azureName == oldSelf.azureName)", "azureName cannot be changed; create another object"))]
#[x_kube(validation = ("has(self.location) == has(oldSelf.location) && (!has(self.location) || self.location == oldSelf.location)", "location cannot be changed: Azure moves no resource group"))]
#[x_kube(validation = ("!has(self.azureName) || (self.azureName.matches('^[-A-Za-z0-9_().]+$') && !self.azureName.endsWith('.'))", "azureName may hold letters, digits and -_().  and may not end with a dot"))]
#[x_kube(validation = ("!has(self.tags) || !('lifeguard-owner' in self.tags)", "the tag lifeguard-owner is reserved"))]
pub struct ResourceGroupSpec {
    /// What every kind that owns an Azure resource has.
    #[serde(flatten)]
    pub azure: AzureResourceSpec,
}

/// The observed state of a ResourceGroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGroupStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has looked at the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`; and `Reconciling` or `Stalled`, which are present only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Azure resource id of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Azure's own state of the group, such as `Succeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// Properties that differ from the spec and are not corrected, because of `managementPolicy` or because Azure
    /// cannot change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
}
