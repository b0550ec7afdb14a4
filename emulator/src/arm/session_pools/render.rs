//! A session pool as the API versions show it.

use serde_json::{Map, Value, json};

use super::{ArmRequest, schema};
use crate::arm::{regions, system_data};
use crate::json::{get, get_str};
use crate::store::{Resource, container_host};

/// Which answer a pool is shown in; the service shows some members differently in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The answer of PUT and PATCH.
    Write,
    /// The answer of GET and of lists.
    Read,
}

/// The pool, as the request's API version shows it.
pub fn render(request: &ArmRequest<'_>, resource: &Resource, shape: Shape) -> Value {
    let version = request.api_version;
    let mut body = json!({
        "id": resource.id,
        "name": resource.name,
        // Recorded: the last segment comes in lower case.
        "type": "Microsoft.App/sessionpools",
        "location": regions::display_name(&resource.location).unwrap_or(&resource.location),
        // Recorded: timestamps of GET have no zone.
        "systemData": system_data::render(resource, shape == Shape::Write),
        "properties": properties(request, resource, shape),
    });
    if let Some(tags) = &resource.tags {
        body["tags"] = json!(tags);
    }
    if schema::has_identity(version, &request.state.behaviour().pools) {
        match (&resource.identity, shape) {
            (Some(identity), _) => body["identity"] = identity.clone(),
            // Recorded with 2024-10-02-preview.
            (None, Shape::Read) if schema::has_identity_settings(version) => {
                body["identity"] = json!({ "type": "None" });
            }
            (None, _) => {}
        }
    }
    body
}

fn properties(request: &ArmRequest<'_>, resource: &Resource, shape: Shape) -> Value {
    let version = request.api_version;
    let stored = &resource.properties;
    let member = |name: &str| get(stored, name).cloned().unwrap_or(Value::Null);
    let kind = get_str(stored, "containerType").unwrap_or_default();
    let custom = kind == "CustomContainer";
    let endpoint = endpoint(request, resource, custom);

    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    show("environmentId", member("environmentId"));
    show("containerType", json!(kind));
    show("poolManagementType", member("poolManagementType"));
    if custom {
        let ready = get(stored, "scaleConfiguration").and_then(|scale| get(scale, "readySessionInstances"));
        show("nodeCount", ready.cloned().unwrap_or(json!(0)));
    }
    show("scaleConfiguration", member("scaleConfiguration"));
    show("secrets", secrets(stored));
    show("dynamicPoolConfiguration", dynamic(stored, version));
    show("customContainerTemplate", template(stored, version));
    show("sessionNetworkConfiguration", member("sessionNetworkConfiguration"));
    show("poolManagementEndpoint", json!(endpoint));
    show("provisioningState", json!(resource.state()));
    if schema::has_identity_settings(version) {
        let settings =
            get(stored, "managedIdentitySettings").filter(|list| list.as_array().is_some_and(|one| !one.is_empty()));
        let none = if shape == Shape::Read { json!([]) } else { Value::Null };
        show("managedIdentitySettings", settings.cloned().unwrap_or(none));
    }
    if schema::has_previews(version) {
        show("mcpServerSettings", mcp(stored, &endpoint));
        if custom {
            show("templateUpdateStatus", template_status(resource));
        }
    }
    Value::Object(shown)
}

/// Host names are path prefixes on the emulator's one port, as nothing resolves names here.
fn endpoint(request: &ArmRequest<'_>, resource: &Resource, custom: bool) -> String {
    let root = request.state.root();
    let region = &resource.location;
    if custom {
        return format!("{root}/{}", container_host(resource));
    }
    let segments: Vec<&str> = resource.id.split('/').collect();
    format!(
        "{root}/{region}.dynamicsessions.io/subscriptions/{}/resourceGroups/{}/sessionPools/{}",
        segments.get(2).unwrap_or(&""),
        segments.get(4).unwrap_or(&""),
        resource.name
    )
}

/// Names only: values can be written, never read.
fn secrets(stored: &Value) -> Value {
    let Some(Value::Array(secrets)) = get(stored, "secrets") else {
        return Value::Null;
    };
    secrets
        .iter()
        .map(|secret| json!({ "name": get_str(secret, "name") }))
        .collect()
}

fn dynamic(stored: &Value, version: &str) -> Value {
    let configuration = get(stored, "dynamicPoolConfiguration").cloned().unwrap_or(Value::Null);
    if !schema::is_flat(version) {
        return configuration;
    }
    let lifecycle = get(&configuration, "lifecycleConfiguration")
        .cloned()
        .unwrap_or(Value::Null);
    json!({
        "executionType": get(&lifecycle, "lifecycleType"),
        "cooldownPeriodInSeconds": get(&lifecycle, "cooldownPeriodInSeconds"),
    })
}

fn template(stored: &Value, version: &str) -> Value {
    let mut template = get(stored, "customContainerTemplate").cloned().unwrap_or(Value::Null);
    if !schema::has_probes(version)
        && let Some(Value::Array(containers)) = template.get_mut("containers")
    {
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            container.remove("probes");
        }
    }
    template
}

fn mcp(stored: &Value, endpoint: &str) -> Value {
    let Some(settings) = get(stored, "mcpServerSettings") else {
        return Value::Null;
    };
    let flag = |name: &str| get(settings, name).and_then(Value::as_bool).unwrap_or_default();
    let enabled = flag("isMcpServerEnabled");
    let mut shown = json!({
        "isMcpServerEnabled": enabled,
        "isMcpServerApiKeyDisabled": flag("isMcpServerApiKeyDisabled"),
    });
    if enabled {
        shown["mcpServerEndpoint"] = json!(format!("{endpoint}/mcp"));
    }
    shown
}

fn template_status(resource: &Resource) -> Value {
    let template = get(&resource.properties, "customContainerTemplate")
        .cloned()
        .unwrap_or(Value::Null);
    let ready = get(&resource.properties, "scaleConfiguration")
        .and_then(|scale| get(scale, "readySessionInstances"))
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let done = resource.pending.is_none();
    json!({
        "activeTemplate": {
            "details": if done { "Succeeded" } else { "InProgress" },
            "createdTime": resource.modified_at,
            "status": {
                "expectedCount": ready,
                "readyCount": if done { ready } else { 0 },
                "pendingCount": if done { 0 } else { ready },
                "imagePullFailCount": 0,
                "crashCount": 0,
                "allocatedCount": 0,
            },
            "containers": get(&template, "containers"),
            "ingress": get(&template, "ingress"),
        },
        "desiredTemplate": null,
    })
}
