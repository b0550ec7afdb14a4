//! ResourceGroup: a Microsoft.Resources/resourceGroups resource.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::azure_resource::{AzureResourceSpec, AzureResourceStatus, without_export};
use super::immutable;

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
    printcolumn(name = "LOCATION", type_ = "string", json_path = ".status.location"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(immutable::AZURE_NAME).message("azureName cannot be changed; create another object").field_path(".spec.azureName")
)]
#[x_kube(validation = (immutable::LOCATION, "location cannot be changed: Azure cannot move a resource group to another region"))]
#[x_kube(validation = ("!has(self.azureName) || (self.azureName.matches('^[-A-Za-z0-9_().]+$') && !self.azureName.endsWith('.'))", "azureName may contain letters, digits, hyphens, underscores, parentheses and dots, and must not end with a dot"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(name, name.lowerAscii() != 'lifeguard-owner')", "the tag lifeguard-owner is reserved"))]
#[x_kube(validation = ("!has(self.tags) || self.tags.all(a, self.tags.exists_one(b, b.lowerAscii() == a.lowerAscii()))", "the names of tags must differ in more than letter case"))]
pub struct ResourceGroupSpec {
    /// What every kind that owns an Azure resource has.
    #[serde(flatten)]
    pub azure: AzureResourceSpec,
}

/// The observed state of a ResourceGroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[schemars(transform = without_export)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGroupStatus {
    /// What every kind that has something in Azure reports.
    #[serde(flatten)]
    pub azure: AzureResourceStatus,
}
