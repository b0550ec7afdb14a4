//! What every kind that owns an Azure resource has in its spec and status.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::reference::LocalReference;

/// What an object may do in Azure: flattened into the `spec` of every kind that has something there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagementSpec {
    /// The AzureAccount of this namespace whose credential and subscription are used. Default: the AzureAccount
    /// named `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<LocalReference>,
    /// What happens in Azure when this object is deleted. Default: `Delete` for what this object created, `Retain` for
    /// what it adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// Whether to take over a resource that already exists in Azure. Default `Never`.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// What Lifeguard may change in Azure. Default `Enforce`.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// While true, nothing in Azure is created, changed or deleted; differences are still reported. Default false.
    #[serde(default)]
    pub suspend: bool,
    /// How often Azure is compared with this object, such as `10m`. Default 10m, at least 1s. The
    /// operator compares less often if the namespace has too many objects.
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
    /// Azure region, as a name (`northcentralus`) or as Azure displays it (`North Central US`). Default: the
    /// AzureAccount's. It cannot be changed: Azure cannot move a resource to another region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 90))]
    pub location: Option<String>,
    /// Tags of the Azure resource. Tags that others set are kept. Azure ignores letter case in tag names, so names must
    /// differ in more than that. `lifeguard-owner` is reserved.
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

/// What happens in Azure when an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// What this object manages in Azure is deleted, and then the object is removed.
    Delete,
    /// Everything stays in Azure; only the tag or description that names this object as the owner is removed.
    Retain,
}

/// Whether an object takes over what already exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// A resource that this object did not create is left alone; the object is `Stalled` with the reason `AlreadyExists`.
    #[default]
    Never,
    /// An existing resource is taken over, and a missing one is created.
    IfExists,
    /// An existing resource is taken over. A missing one is not created; the object waits for it.
    MustExist,
}

/// What an object may change in Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// Lifeguard creates what is missing and corrects what differs from the spec.
    #[default]
    Enforce,
    /// Lifeguard creates what is missing and then only observes it. Differences are reported in `status.drift`.
    CreateOnly,
    /// Lifeguard only observes. It never creates, changes or deletes anything.
    ObserveOnly,
}

/// What every kind that has something in Azure reports: flattened into its `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureResourceStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has observed the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `InSync`, `Provisioned`, and while they are true `Reconciling` or `Stalled`. `InSync` says whether the
    /// resource in Azure matches the spec. `Provisioned` says whether the object's own resource exists and can be used, as
    /// specified or not; an IdentityAssignment has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Azure resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Provisioning state that Azure reports, such as `Succeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<String>,
    /// Whether this object created or adopted the resource, as its signed owner tag (for role assignments: its description)
    /// in Azure says. Absent while no object owns it, or another one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<Ownership>,
    /// Azure region of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Properties that differ from the spec and are not corrected, because of the policy or because Azure cannot change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// Name of the ConfigMap that this object wrote or is about to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_config_map: Option<String>,
    /// The value of the annotation `lifeguard.dev/reconcile-requested-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

impl AzureResourceStatus {
    /// What an object reports that has no status yet.
    pub const NOTHING: Self = Self {
        observed_generation: None,
        conditions: Vec::new(),
        id: None,
        provisioning_state: None,
        ownership: None,
        location: None,
        drift: Vec::new(),
        exported_config_map: None,
        last_handled_reconcile_at: None,
    };
}

/// How a resource came to the object that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ownership {
    /// The object created the resource.
    Created,
    /// The resource existed, and the object took it over.
    Adopted,
}

/// Takes members out of the schema of a status whose kind has nothing to say there.
fn without(schema: &mut Schema, members: &[&str]) {
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.retain(|name, _| !members.contains(&name.as_str()));
    }
}

/// For a resource of which Azure tells no state of its own and which exports nothing.
pub(super) fn without_state_and_export(schema: &mut Schema) {
    without(schema, &["provisioningState", "exportedConfigMap", "location"]);
}

/// For a resource of which Azure tells no state of its own.
pub(super) fn without_state(schema: &mut Schema) {
    without(schema, &["provisioningState"]);
}

/// For somebody else's resource, which exports nothing.
pub(super) fn without_location_and_export(schema: &mut Schema) {
    without(schema, &["exportedConfigMap", "location", "ownership"]);
}

/// For a resource that exports nothing.
pub(super) fn without_export(schema: &mut Schema) {
    without(schema, &["exportedConfigMap"]);
}

/// One property of the Azure resource that differs from the spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Path of the property in Azure's own names, such as `properties.scaleConfiguration.maxConcurrentSessions`.
    pub path: String,
    /// What the spec says, as JSON; a keyed digest if the value is secret.
    pub desired: String,
    /// What Azure has, as JSON; a keyed digest if the value is secret.
    pub actual: String,
}
