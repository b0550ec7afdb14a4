//! Container groups as ARM knows them, as far as their identities go: `Microsoft.ContainerInstance/containerGroups`.
//!
//! PATCH changes tags only (specification of 2025-09-01, `ContainerGroups_Update`), so identities are changed by a PUT of
//! the whole group, which restarts its containers ("Update containers in Azure Container Instances"). GET leaves out
//! secret values; a PUT built from it would lose them, so [`unreturned_values`] says beforehand which those are.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::comparison::Shape;
use super::operation::{self, Progress};
use super::overlay::overlay;

/// The resource type.
pub const CONTAINER_GROUP_TYPE: &str = "Microsoft.ContainerInstance/containerGroups";
/// The newest stable version whose schema is published.
pub const CONTAINER_GROUP_API_VERSION: &str = "2025-09-01";

/// Which members of a group a PUT may not carry.
pub const SHAPE: Shape = Shape {
    read_only: &[
        "id",
        "name",
        "type",
        "systemdata",
        "identity",
        "properties.provisioningstate",
        "properties.instanceview",
        "properties.iscreatedfromstandbypool",
        "properties.ipaddress.fqdn",
        "properties.containers.properties.instanceview",
        "properties.initcontainers.properties.instanceview",
    ],
    write_only: &[],
    identifiers: &[],
    case_insensitive: &[],
    added: &[],
};

/// The body of a PUT that gives the group these identities and tags and keeps everything else that GET returned.
pub fn replacement(group: &Value, identity: Value, tags: Map<String, Value>) -> Value {
    let mut body = overlay(group, &json!({}), &SHAPE);
    body["identity"] = identity;
    body["tags"] = Value::Object(tags);
    body
}

/// Values that the group has, or may have, and that GET does not return: a PUT without them would lose them.
///
/// An environment variable without a value and without a reference is a secure one; whether an extension has protected
/// settings cannot be told, so every extension counts.
pub fn unreturned_values(group: &Value) -> Vec<String> {
    let properties = member(group, "properties");
    let mut found = Vec::new();
    for kind in ["containers", "initContainers"] {
        for container in items(properties, kind) {
            let inner = member(container, "properties");
            for variable in items(inner, "environmentVariables") {
                if !has_any(variable, &["value", "secureValueReference"]) {
                    let (container, variable) = (name(container), name(variable));
                    found.push(format!("the environment variable {variable} of container {container}"));
                }
            }
        }
    }
    for credential in items(properties, "imageRegistryCredentials") {
        if !has_any(credential, &["passwordReference", "identity"]) {
            let server = member(credential, "server").as_str().unwrap_or("?");
            found.push(format!("the password of the registry {server}"));
        }
    }
    for volume in items(properties, "volumes") {
        if has_any(volume, &["secret"]) {
            found.push(format!("the secret volume {}", name(volume)));
        }
        let share = member(volume, "azureFile");
        if share.is_object() && !has_any(share, &["storageAccountKeyReference"]) {
            found.push(format!("the storage account key of volume {}", name(volume)));
        }
    }
    if member(member(properties, "diagnostics"), "logAnalytics").is_object() {
        found.push("the key of the Log Analytics workspace".to_owned());
    }
    for extension in items(properties, "extensions") {
        found.push(format!("the protected settings of extension {}", name(extension)));
    }
    found
}

/// The progress of the group's last operation. `Unhealthy`, `NotAccessible` and `PreProvisioned` are states to stay in
/// (`ContainerGroupProvisioningState` of azure-mgmt-containerinstance 10.2).
pub fn progress(group: &Value, retry_after: Option<Duration>) -> Progress {
    let state = operation::provisioning_state(group).unwrap_or_default();
    let stays = ["Unhealthy", "NotAccessible", "PreProvisioned", "NotSpecified"];
    if stays.iter().any(|it| it.eq_ignore_ascii_case(state)) {
        return Progress::Done;
    }
    operation::of_resource(group, retry_after)
}

/// A member, whatever its case; `Null` if there is none.
fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let found = value
        .as_object()
        .and_then(|members| members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name)));
    found.map_or(&Value::Null, |(_, value)| value)
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    member(value, name).as_array().into_iter().flatten()
}

fn has_any(value: &Value, names: &[&str]) -> bool {
    names.iter().any(|name| !member(value, name).is_null())
}

fn name(value: &Value) -> &str {
    member(value, "name").as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::identity_block::{IdentityBlock, Spelling};
    use crate::azure::official_schema::violations;

    const ID: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";

    /// A group as GET answers it, with all that can be returned.
    fn returned() -> Value {
        json!({
            "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerInstance/containerGroups/g",
            "name": "g", "type": CONTAINER_GROUP_TYPE, "location": "westeurope", "zones": ["1"],
            "tags": {"team": "a"},
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {ID: {"principalId": "p", "clientId": "c"}}},
            "properties": {
                "provisioningState": "Succeeded", "instanceView": {"events": [], "state": "Running"},
                "isCreatedFromStandbyPool": false, "osType": "Linux", "restartPolicy": "Always", "sku": "Standard",
                "ipAddress": {"type": "Public", "ip": "203.0.113.20", "fqdn": "x.westeurope.azurecontainer.io",
                              "dnsNameLabel": "x", "ports": [{"protocol": "TCP", "port": 80}]},
                "imageRegistryCredentials": [{"server": "r.azurecr.io", "identity": ID}],
                "volumes": [{"name": "scratch", "emptyDir": {}},
                            {"name": "code", "gitRepo": {"repository": "https://git.example/r.git"}}],
                "containers": [{"name": "main", "properties": {
                    "image": "r.azurecr.io/i:1", "command": ["sleep", "1"], "ports": [{"port": 80}],
                    "environmentVariables": [{"name": "A", "value": ""}],
                    "resources": {"requests": {"cpu": 1.0, "memoryInGB": 1.5}},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                    "instanceView": {"restartCount": 0},
                }}],
                "initContainers": [{"name": "init", "properties": {"image": "i", "instanceView": {"restartCount": 0}}}],
            },
        })
    }

    #[test]
    fn a_replacement_keeps_everything_else_and_is_valid_by_the_official_schema() {
        let group = returned();
        let identity = IdentityBlock::new(true, [ID]).replacement(Spelling::Spaced);
        let tags = json!({"team": "a", "lifeguard-assignment-0a": "x"});
        let body = replacement(&group, identity, tags.as_object().cloned().unwrap());
        for kept in [
            "/zones",
            "/properties/ipAddress/dnsNameLabel",
            "/properties/volumes",
            "/properties/imageRegistryCredentials",
            "/properties/containers/0/properties/environmentVariables",
            "/properties/containers/0/properties/resources",
        ] {
            assert_eq!(body.pointer(kept), group.pointer(kept), "{kept}");
        }
        assert!(!body.to_string().contains("instanceView") && !body.to_string().contains("fqdn"));
        assert_eq!(body["identity"]["type"], "SystemAssigned, UserAssigned");
        assert_eq!(body["identity"]["userAssignedIdentities"][ID], json!({}));
        let pointer = "/resourceDefinitions/containerGroups";
        let found = violations(CONTAINER_GROUP_API_VERSION, CONTAINER_GROUP_TYPE, pointer, &body);
        assert_eq!(found.unwrap_or_default(), Vec::<String>::new(), "{body:#}");
    }

    #[test]
    fn a_group_whose_values_are_all_returned_lacks_none() {
        assert_eq!(unreturned_values(&returned()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_value_that_is_not_returned_is_named() {
        for (pointer, value, expected) in [
            (
                "/properties/containers/0/properties/environmentVariables",
                json!([{"name": "TOKEN"}]),
                "the environment variable TOKEN of container main",
            ),
            (
                "/properties/containers/0/properties/environmentVariables",
                json!([{"name": "TOKEN", "value": null}]),
                "the environment variable TOKEN of container main",
            ),
            (
                "/properties/imageRegistryCredentials",
                json!([{"server": "r.io", "username": "u"}]),
                "the password of the registry r.io",
            ),
            (
                "/properties/volumes",
                json!([{"name": "keys", "secret": {}}]),
                "the secret volume keys",
            ),
            (
                "/properties/volumes",
                json!([{"name": "share", "azureFile": {"shareName": "s", "storageAccountName": "a"}}]),
                "the storage account key of volume share",
            ),
        ] {
            let mut group = returned();
            *group.pointer_mut(pointer).unwrap() = value;
            assert_eq!(unreturned_values(&group), [expected]);
        }
        let mut group = returned();
        group["properties"]["diagnostics"] = json!({"logAnalytics": {"workspaceId": "w"}});
        group["properties"]["extensions"] =
            json!([{"name": "e", "properties": {"extensionType": "t", "version": "1"}}]);
        assert_eq!(unreturned_values(&group).len(), 2);
    }

    #[test]
    fn references_are_returned() {
        let mut group = returned();
        group["properties"]["containers"][0]["properties"]["environmentVariables"] =
            json!([{"name": "TOKEN", "secureValueReference": "s"}]);
        group["properties"]["volumes"] = json!([{"name": "share", "azureFile": {
            "shareName": "s", "storageAccountName": "a", "storageAccountKeyReference": "k"}}]);
        assert_eq!(unreturned_values(&group), Vec::<String>::new());
    }

    #[test]
    fn a_group_that_is_unhealthy_is_not_under_way() {
        let state = |state: &str| progress(&json!({"properties": {"provisioningState": state}}), None);
        assert_eq!(state("Unhealthy"), Progress::Done);
        assert_eq!(state("Pending"), Progress::Running(None));
    }
}
