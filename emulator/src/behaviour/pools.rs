//! Switches of what Azure Resource Manager takes of a session pool, where public evidence differs.

use serde::{Deserialize, Serialize};

/// What Azure Resource Manager takes of a session pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PoolsBehaviour {
    /// What `readySessionInstances` of a pool of custom containers may be.
    pub ready_session_instances: ReadySessions,
    /// Whether the management type `Manual` is taken, which the schema lists. Authors of clients of the live service found
    /// that it takes only `Dynamic`.
    pub manual_management: bool,
    /// Container types whose pools take no `identity`. A public template and the tests of Terraform's resource know that
    /// of `PythonLTS`.
    pub container_types_without_identity: Vec<String>,
    /// Whether a pool that has no `identity` takes `managedIdentitySettings`, as the tests of a public Bicep module deploy it.
    pub settings_without_identity: bool,
    /// Whether pools of built-in types take an `environmentId`. Terraform's resource and public templates have it; the Azure
    /// CLI refuses it before it asks the service.
    pub environment_of_built_in_types: bool,
    /// The first preview version that takes `NodeLTS`. Schemas list it much later than the Azure CLI's tests made such pools.
    pub first_version_with_node_lts: String,
    /// The first version with `identity` and `registryCredentials.identity`, as public templates deploy them. Its SDK's
    /// models lack both.
    pub first_version_with_identity: String,
}

/// What `readySessionInstances` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadySessions {
    /// From 1 to one less than `maxConcurrentSessions`, as the live service has it since about the middle of 2026. A pool
    /// whose numbers stay as they are lives on.
    BelowMaximum,
    /// From 0 to `maxConcurrentSessions`, as it was before.
    UpToMaximum,
}

impl Default for PoolsBehaviour {
    fn default() -> Self {
        Self {
            ready_session_instances: ReadySessions::BelowMaximum,
            manual_management: false,
            container_types_without_identity: vec!["PythonLTS".to_owned()],
            settings_without_identity: true,
            environment_of_built_in_types: true,
            first_version_with_node_lts: "2024-02-02-preview".to_owned(),
            first_version_with_identity: "2024-08-02-preview".to_owned(),
        }
    }
}
