//! Session pools as ARM knows them: `Microsoft.App/sessionPools`.

use serde_json::Value;

use super::arm::{ArmClient, ArmResponse};
use super::comparison::Shape;
use super::error::AzureError;
use super::resource_id::ResourceId;

/// The resource type.
pub const SESSION_POOL_TYPE: &str = "Microsoft.App/sessionPools";

/// A version of the pool's contract. GET and PUT of one pool use the same one, because a version drops what it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PoolApiVersion {
    /// The newest stable version whose official schema has everything of a Python or custom-container pool.
    V2025_07_01,
    /// The version whose `containerType` lists `Shell`, `NodeLTS` and `GpuBase`, and which has `mcpServerSettings`
    /// and `probes`. No stable version lists those container types; `probes` are in this and in 2025-02-02-preview,
    /// and are missing from 2025-01-01, 2025-07-01 and 2026-01-01.
    V2025_10_02Preview,
}

impl PoolApiVersion {
    /// The version for a pool with these `properties`: the stable one if it has all of them.
    pub fn for_properties(properties: &Value) -> Self {
        let stable_type = match text(properties, "containerType") {
            None => true,
            Some(kind) => kind.eq_ignore_ascii_case("PythonLTS") || kind.eq_ignore_ascii_case("CustomContainer"),
        };
        let set = |name: &str| properties.get(name).is_some_and(|value| !value.is_null());
        let containers = properties
            .pointer("/customContainerTemplate/containers")
            .and_then(Value::as_array);
        let probes = containers
            .is_some_and(|containers| containers.iter().any(|c| c.get("probes").is_some_and(|p| !p.is_null())));
        if stable_type && !set("mcpServerSettings") && !probes {
            Self::V2025_07_01
        } else {
            Self::V2025_10_02Preview
        }
    }

    /// The version for reading a pool: the one with the most properties.
    pub fn for_reading() -> Self {
        Self::V2025_10_02Preview
    }

    /// The value of the `api-version` parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2025_07_01 => "2025-07-01",
            Self::V2025_10_02Preview => "2025-10-02-preview",
        }
    }
}

/// What a PUT of a pool may not carry, what ARM never returns, what it returns in another spelling, and what it adds
/// (schema of 2025-10-02-preview, recorded answers of 2024-10-02-preview; that every attached identity has a setting is known
/// to the authors of Terraform's resource).
pub const SHAPE: Shape = Shape {
    read_only: &[
        "id",
        "name",
        "type",
        "systemdata",
        "identity.principalid",
        "identity.tenantid",
        "properties.provisioningstate",
        "properties.poolmanagementendpoint",
        "properties.nodecount",
        "properties.templateupdatestatus",
        "properties.mcpserversettings.mcpserverendpoint",
    ],
    write_only: &["properties.secrets.value"],
    identifiers: &[
        "properties.environmentid",
        "properties.managedidentitysettings.identity",
        "properties.customcontainertemplate.registrycredentials.identity",
    ],
    case_insensitive: &[
        "properties.containertype",
        "properties.poolmanagementtype",
        "properties.dynamicpoolconfiguration.lifecycleconfiguration.lifecycletype",
        "properties.sessionnetworkconfiguration.status",
        "properties.managedidentitysettings.lifecycle",
        "properties.customcontainertemplate.containers.probes.type",
        "properties.customcontainertemplate.containers.probes.httpget.scheme",
    ],
    added: &[("properties.managedidentitysettings", "lifecycle", "None")],
};

/// What a PATCH of a pool takes, each member as a whole (schemas of all versions since 2025-01-01). `identity` is one as well, and
/// left out here: a PATCH with it attaches and detaches single identities.
pub const PATCHABLE: &[&str] = &[
    "tags",
    "properties.scaleconfiguration",
    "properties.secrets",
    "properties.dynamicpoolconfiguration",
    "properties.customcontainertemplate",
    "properties.sessionnetworkconfiguration",
];

/// Reads a pool; `None` if it or its group does not exist.
pub async fn find(
    arm: &ArmClient,
    id: &ResourceId,
    version: PoolApiVersion,
) -> Result<Option<ArmResponse>, AzureError> {
    arm.find(id.as_str(), version.as_str()).await
}

/// The endpoint of the pool's data plane; absent until the pool is provisioned.
pub fn management_endpoint(pool: &Value) -> Option<&str> {
    text(pool.get("properties")?, "poolManagementEndpoint").filter(|endpoint| !endpoint.is_empty())
}

/// The endpoint of the pool's MCP server; absent while it is off.
pub fn mcp_server_endpoint(pool: &Value) -> Option<&str> {
    text(pool.pointer("/properties/mcpServerSettings")?, "mcpServerEndpoint").filter(|endpoint| !endpoint.is_empty())
}

/// The pool's container type, such as `Shell`.
pub fn container_type(pool: &Value) -> Option<&str> {
    text(pool.get("properties")?, "containerType")
}

/// Whether a pool of this container type runs shell commands.
pub fn runs_shell(container_type: &str) -> bool {
    container_type.eq_ignore_ascii_case("Shell")
}

/// How long an idle session lives, in seconds; absent for pools whose sessions live until their container exits.
pub fn cooldown_seconds(pool: &Value) -> Option<u64> {
    let value = pool.pointer("/properties/dynamicPoolConfiguration/lifecycleConfiguration/cooldownPeriodInSeconds")?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// How many sessions the pool may have at the same time.
pub fn max_concurrent_sessions(pool: &Value) -> Option<u32> {
    let value = pool.pointer("/properties/scaleConfiguration/maxConcurrentSessions")?;
    value
        .as_u64()
        .and_then(|it| u32::try_from(it).ok())
        .or_else(|| value.as_str()?.parse().ok())
}

/// The names of secrets that the pool has and the desired part does not set. A PUT would lose their values, because
/// ARM never returns them and replaces the array as a whole.
pub fn foreign_secrets(pool: &Value, desired: &Value) -> Vec<String> {
    let names = |value: &Value| -> Vec<String> {
        let secrets = value.pointer("/properties/secrets").and_then(Value::as_array);
        secrets
            .into_iter()
            .flatten()
            .filter_map(|secret| text(secret, "name").map(str::to_owned))
            .collect()
    };
    let desired = names(desired);
    names(pool).into_iter().filter(|name| !desired.contains(name)).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{PoolApiVersion, SHAPE, cooldown_seconds, foreign_secrets, management_endpoint, mcp_server_endpoint};
    use crate::azure::comparison::compare;

    #[test]
    fn the_stable_version_is_used_for_all_that_it_can_say() {
        for (properties, version) in [
            (json!({"containerType": "PythonLTS"}), "2025-07-01"),
            (
                json!({"containerType": "CustomContainer", "mcpServerSettings": null}),
                "2025-07-01",
            ),
            (json!({"containerType": "Shell"}), "2025-10-02-preview"),
            (json!({"containerType": "NodeLTS"}), "2025-10-02-preview"),
            (
                json!({"containerType": "PythonLTS", "mcpServerSettings": {}}),
                "2025-10-02-preview",
            ),
            (
                json!({"containerType": "CustomContainer", "customContainerTemplate": {"containers": [{}, {"probes": []}]}}),
                "2025-10-02-preview",
            ),
        ] {
            assert_eq!(
                PoolApiVersion::for_properties(&properties).as_str(),
                version,
                "{properties}"
            );
        }
    }

    /// The answer that was recorded for a code-interpreter pool, reduced.
    fn recorded() -> Value {
        json!({
            "id": "/subscriptions/S/resourceGroups/rg/providers/Microsoft.App/sessionpools/p",
            "location": "North Central US", "tags": null, "identity": {"type": "None"},
            "properties": {
                "environmentId": null, "containerType": "PythonLTS", "poolManagementType": "Dynamic",
                "scaleConfiguration": {"maxConcurrentSessions": 5},
                "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}},
                "managedIdentitySettings": null, "provisioningState": "Succeeded",
                "poolManagementEndpoint": "https://northcentralus.dynamicsessions.io/subscriptions/S",
            },
        })
    }

    #[test]
    fn a_pool_that_arm_spells_otherwise_has_not_drifted() {
        let desired = json!({
            "location": "northcentralus",
            "properties": {
                "containerType": "pythonLTS", "poolManagementType": "dynamic", "managedIdentitySettings": [],
                "scaleConfiguration": {"maxConcurrentSessions": 5},
                "dynamicPoolConfiguration": {"lifecycleConfiguration": {"cooldownPeriodInSeconds": "300"}},
            },
        });
        assert_eq!(compare(&desired, &recorded(), &SHAPE).differences, []);
    }

    #[test]
    fn a_pool_that_was_changed_shows_where() {
        let desired = json!({
            "location": "westus",
            "properties": {"scaleConfiguration": {"maxConcurrentSessions": 6, "readySessionInstances": 2}},
        });
        let comparison = compare(&desired, &recorded(), &SHAPE);
        let paths: Vec<&str> = comparison
            .differences
            .iter()
            .map(|difference| difference.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "location",
                "properties.scaleConfiguration.maxConcurrentSessions",
                "properties.scaleConfiguration.readySessionInstances",
            ]
        );
        // The service drops this one for built-in pools: it is not returned at all.
        assert_eq!(comparison.differences[2].actual, None);
    }

    #[test]
    fn secrets_are_compared_by_name_and_their_values_cannot_be() {
        let desired = json!({"properties": {"secrets": [{"name": "b", "value": "1"}, {"name": "a", "value": "2"}]}});
        let same = json!({"properties": {"secrets": [{"name": "a"}, {"name": "b"}]}});
        let comparison = compare(&desired, &same, &SHAPE);
        assert!(comparison.is_equal());
        assert_eq!(
            comparison.unverifiable,
            ["properties.secrets[b].value", "properties.secrets[a].value"]
        );
        let more = json!({"properties": {"secrets": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}});
        assert_eq!(
            compare(&desired, &more, &SHAPE).differences[0].path,
            "properties.secrets[c]"
        );
        assert_eq!(foreign_secrets(&more, &desired), ["c"]);
    }

    #[test]
    fn identities_are_the_same_in_any_case() {
        let desired = json!({
            "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {"/subscriptions/s/a": {}}},
            "properties": {"managedIdentitySettings": [{"identity": "System", "lifecycle": "Main"}]},
        });
        let actual = json!({
            "identity": {"type": "UserAssigned, SystemAssigned", "userAssignedIdentities": {"/Subscriptions/S/A": {"clientId": "x"}}},
            "properties": {"managedIdentitySettings": [{"identity": "system", "lifecycle": "main"}]},
        });
        assert_eq!(compare(&desired, &actual, &SHAPE).differences, []);
    }

    #[test]
    fn the_settings_that_azure_adds_for_other_identities_are_no_drift() {
        let settings = |list: Value| json!({"properties": {"managedIdentitySettings": list}});
        let main = json!({"identity": "/subscriptions/s/a", "lifecycle": "Main"});
        let added = json!({"identity": "system", "lifecycle": "none"});
        let granted = json!({"identity": "system", "lifecycle": "Main"});
        let paths = |desired: &Value, actual: Value| -> Vec<String> {
            let found = compare(&settings(desired.clone()), &settings(actual), &SHAPE).differences;
            found.into_iter().map(|it| it.path).collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(paths(&json!([main]), json!([main, added])), none);
        assert_eq!(paths(&json!([]), json!([added])), none);
        assert_eq!(
            paths(&json!([main]), json!([main, granted])),
            ["properties.managedIdentitySettings[system]"]
        );
        assert_eq!(
            paths(&json!([]), json!([added, granted])),
            ["properties.managedIdentitySettings[1]"]
        );
        assert_eq!(
            paths(&json!([granted]), json!([added])),
            ["properties.managedIdentitySettings[system].lifecycle"]
        );
    }

    #[test]
    fn identities_that_are_attached_besides_missing_or_replaced_are_differences() {
        let id = "/subscriptions/s/a";
        let desired =
            json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {id: {"principalId": "new"}}}});
        let paths = |identity: Value| -> Vec<String> {
            let found = compare(&desired, &json!({"identity": identity}), &SHAPE).differences;
            found.into_iter().map(|it| it.path).collect()
        };
        let user = |ids: Value| json!({"type": "UserAssigned", "userAssignedIdentities": ids});
        let none: [&str; 0] = [];
        assert_eq!(paths(user(json!({"/Subscriptions/S/A": {"principalId": "NEW"}}))), none);
        assert_eq!(paths(user(json!({id: {}}))), none);
        assert_eq!(
            paths(user(json!({id: {"principalId": "old"}}))),
            ["identity.userAssignedIdentities[/subscriptions/s/a].principalId"]
        );
        assert_eq!(
            paths(user(json!({id: {}, "/b": {}}))),
            ["identity.userAssignedIdentities[/b]"]
        );
        assert_eq!(
            paths(json!({"type": "None"})),
            ["identity.type", "identity.userAssignedIdentities[/subscriptions/s/a]"]
        );
        assert_eq!(
            paths(json!({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {id: {}}})),
            ["identity.type"]
        );
    }

    #[test]
    fn what_a_pool_offers_is_read_from_its_answer() {
        let pool = recorded();
        assert_eq!(
            management_endpoint(&pool),
            Some("https://northcentralus.dynamicsessions.io/subscriptions/S")
        );
        assert_eq!(cooldown_seconds(&pool), Some(300));
        assert_eq!(
            management_endpoint(&json!({"properties": {"poolManagementEndpoint": ""}})),
            None
        );
        let with_mcp = |settings: Value| json!({"properties": {"mcpServerSettings": settings}});
        for (settings, endpoint) in [
            (
                json!({"mcpServerEndpoint": "https://host/mcp"}),
                Some("https://host/mcp"),
            ),
            (json!({"isMcpServerEnabled": false, "mcpServerEndpoint": ""}), None),
            (Value::Null, None),
        ] {
            assert_eq!(mcp_server_endpoint(&with_mcp(settings)), endpoint);
        }
    }
}
