//! A container group as it is answered.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::arm::identity_block::{self, Spelling};
use crate::arm::regions;
use crate::json::{get, get_str};
use crate::store::{PendingKind, Resource};

/// The group, without secure values and with the state of its containers.
pub fn render(resource: &Resource) -> Value {
    let mut properties = resource.properties.clone();
    hide_secrets(&mut properties);
    let zones = properties.as_object_mut().and_then(|members| members.remove("zones"));
    show_containers(&mut properties, resource);
    show_address(&mut properties, resource);
    properties["provisioningState"] = json!(provisioning_state(resource));
    properties["instanceView"] = json!({ "events": [], "state": group_state(resource) });
    let mut body = json!({
        "id": resource.id,
        "name": resource.name,
        "type": resource.resource_type,
        // Container Instances answers the location as it is in paths, unlike Container Apps.
        "location": regions::normalise(&resource.location),
        "identity": identity_block::render(resource.identity.as_ref(), Spelling::Spaced),
        "properties": properties,
    });
    if resource.identity.is_none() {
        body.as_object_mut().map(|members| members.remove("identity"));
    }
    if let Some(tags) = &resource.tags {
        body["tags"] = json!(tags);
    }
    if let Some(zones) = zones {
        body["zones"] = zones;
    }
    body
}

fn provisioning_state(resource: &Resource) -> &str {
    match resource.pending.as_ref().map(|pending| pending.kind) {
        None => &resource.provisioning_state,
        Some(PendingKind::Create | PendingKind::Update) => "Pending",
        Some(PendingKind::Delete) => "Deleting",
    }
}

fn group_state(resource: &Resource) -> &'static str {
    match (&resource.pending, resource.workload.stopped) {
        (Some(_), _) => "Pending",
        (None, true) => "Stopped",
        (None, false) => "Running",
    }
}

/// Values that can be written and never read: they are left out.
fn hide_secrets(properties: &mut Value) {
    let drop = |value: &mut Value, name: &str| {
        if let Value::Object(members) = value {
            members.retain(|member, _| !member.eq_ignore_ascii_case(name));
        }
    };
    for credential in items(properties, "imageRegistryCredentials") {
        drop(credential, "password");
    }
    for kind in ["containers", "initContainers"] {
        for container in items(properties, kind) {
            let Some(inner) = member(container, "properties") else {
                continue;
            };
            for variable in items(inner, "environmentVariables") {
                drop(variable, "secureValue");
            }
        }
    }
    for volume in items(properties, "volumes") {
        if let Some(Value::Object(files)) = member(volume, "secret") {
            files.clear();
        }
        if let Some(share) = member(volume, "azureFile") {
            drop(share, "storageAccountKey");
        }
    }
    if let Some(logs) = member(properties, "diagnostics").and_then(|one| member(one, "logAnalytics")) {
        drop(logs, "workspaceKey");
    }
    for extension in items(properties, "extensions") {
        if let Some(inner) = member(extension, "properties") {
            drop(inner, "protectedSettings");
        }
    }
}

fn show_containers(properties: &mut Value, resource: &Resource) {
    let view = instance_view(resource);
    for container in items(properties, "containers") {
        let Some(inner) = member(container, "properties") else {
            continue;
        };
        for (name, default) in [("ports", json!([])), ("environmentVariables", json!([]))] {
            if get(inner, name).is_none() {
                inner[name] = default;
            }
        }
        if let Some(view) = &view {
            inner["instanceView"] = view.clone();
        }
    }
}

/// The state of a container; `None` while its group is being created.
fn instance_view(resource: &Resource) -> Option<Value> {
    if resource
        .pending
        .as_ref()
        .is_some_and(|pending| pending.kind == PendingKind::Create)
    {
        return None;
    }
    let text = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let started = resource.workload.started_at.map(text);
    let current = if resource.workload.stopped {
        json!({ "state": "Terminated", "startTime": started, "exitCode": 0, "finishTime": text(resource.modified_at), "detailStatus": "Completed" })
    } else {
        json!({ "state": "Running", "startTime": started, "detailStatus": "" })
    };
    Some(json!({ "restartCount": 0, "currentState": current, "events": [] }))
}

fn show_address(properties: &mut Value, resource: &Resource) {
    let Some(Value::Object(address)) = member(properties, "ipAddress") else {
        return;
    };
    let label = get_str(&Value::Object(address.clone()), "dnsNameLabel").map(str::to_owned);
    address.insert("ip".to_owned(), json!("203.0.113.20"));
    if let Some(label) = label {
        let fqdn = format!("{label}.{}.azurecontainer.io", resource.location);
        address.insert("fqdn".to_owned(), json!(fqdn));
    }
}

/// The member of a name, whatever its case, to change it.
fn member<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let members: &mut Map<String, Value> = value.as_object_mut()?;
    members
        .iter_mut()
        .find(|(member, _)| member.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn items<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    member(value, name).and_then(Value::as_array_mut).into_iter().flatten()
}
