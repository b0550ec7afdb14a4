//! What every kind that owns an Azure resource has in its spec and status.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::reference::LocalReference;

/// How an object rules what it has in Azure: flattened into the `spec` of every kind that has something there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagementSpec {
    /// The AzureAccount of this namespace whose credential and subscription are used. Default: the AzureAccount
    /// named `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<LocalReference>,
    /// What happens in Azure when this object is deleted. Default: `Delete` for what was created by this object,
    /// `Retain` for what was adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether what exists already may be taken over.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// How much in Azure this object rules.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// When true, Azure is observed and reported, and nothing in it is changed or deleted.
    #[serde(default)]
    pub suspend: bool,
    /// How often Azure is compared with this object, such as `10m`. Default 10m, at least 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// Fields shared by every kind that owns a tracked Azure resource, flattened into its `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureResourceSpec {
    /// How the object rules the resource.
    #[serde(flatten)]
    pub management: ManagementSpec,
    /// Name of the resource in Azure. Default: `metadata.name`. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub azure_name: Option<String>,
    /// Azure region, as a name (`northcentralus`) or as Azure displays it (`North Central US`). Default: that of the
    /// AzureAccount. Azure moves no resource, so it cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub location: Option<String>,
    /// Tags on the Azure resource. Tags that others put there are kept. `lifeguard-owner` is reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 49))]
    pub tags: BTreeMap<String, String>,
}

impl AzureResourceSpec {
    /// The resource's name in Azure, for an object with this metadata.
    pub fn name<'a>(&'a self, meta: &'a ObjectMeta) -> &'a str {
        let own = self.azure_name.as_deref();
        own.or(meta.name.as_deref()).unwrap_or_default()
    }
}

/// What happens to the Azure resource when the Kubernetes object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The Azure resource is deleted, and the object goes when it is gone.
    Delete,
    /// The Azure resource stays; the owner tag is removed from it.
    Retain,
}

/// Whether a resource that exists already may be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// A resource that this object did not create is left alone, and the object is `Stalled` (`AlreadyExists`).
    #[default]
    Never,
    /// An existing resource is taken over; an absent one is created.
    IfExists,
    /// An existing resource is taken over; an absent one is waited for, never created.
    MustExist,
}

/// How much of the Azure resource the object rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// The resource is created, and what differs from the spec is put right.
    #[default]
    Enforce,
    /// The resource is created and later only observed: differences are reported in `status.drift`.
    CreateOnly,
    /// The resource is only observed: it is never created, changed or deleted.
    ObserveOnly,
}

/// One property of the Azure resource that differs from the spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Path of the property in Azure's own names, such as `properties.scaleConfiguration.maxConcurrentSessions`.
    pub path: String,
    /// What the spec says, as JSON; a keyed digest where the value is secret.
    pub desired: String,
    /// What Azure has, as JSON; a keyed digest where the value is secret.
    pub actual: String,
}
