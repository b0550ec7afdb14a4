//! A container app as it is answered.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{rules, schema};
use crate::arm::app_shape::{self, Shape};
use crate::arm::managed_environments;
use crate::json::{get, get_str};
use crate::store::{PendingKind, Resource};

/// The app, without the values of its secrets.
pub fn render(resource: &Resource, shape: Shape) -> Value {
    // Seen in answers of the live service: the type in the id has no capitals.
    let id = resource.id.replace("/containerApps/", "/containerapps/");
    let mut body = app_shape::envelope(resource, id, shape);
    body.insert("properties".to_owned(), Value::Object(properties(resource)));
    Value::Object(body)
}

fn properties(resource: &Resource) -> Map<String, Value> {
    let stored = &resource.properties;
    let environment = rules::environment_id(stored).unwrap_or_default();
    let domain = managed_environments::default_domain(environment, &resource.location);
    let template = get(stored, "template").cloned().unwrap_or(Value::Null);
    let revision = format!("{}--{}", resource.name, revision_suffix(resource, &template));
    let ready = resource
        .pending
        .as_ref()
        .is_none_or(|pending| pending.kind != PendingKind::Create);

    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    show("provisioningState", json!(resource.state()));
    show("runningStatus", json!(running_status(resource)));
    show("managedEnvironmentId", json!(environment));
    show("environmentId", json!(environment));
    show(
        "workloadProfileName",
        get(stored, "workloadProfileName")
            .cloned()
            .unwrap_or(json!("Consumption")),
    );
    show("outboundIpAddresses", json!(["203.0.113.10"]));
    show("latestRevisionName", json!(revision));
    show(
        "latestReadyRevisionName",
        if ready { json!(revision) } else { Value::Null },
    );
    show("latestRevisionFqdn", json!(format!("{revision}.{domain}")));
    show(
        "configuration",
        configuration(stored, &format!("{}.{domain}", resource.name)),
    );
    show("template", template);
    if let Some(patching) = get(stored, "patchingConfiguration") {
        show("patchingConfiguration", patching.clone());
    }
    show("delegatedIdentities", json!([]));
    shown
}

fn running_status(resource: &Resource) -> &'static str {
    match (&resource.pending, resource.workload.stopped) {
        (Some(_), _) => "Progressing",
        (None, true) => "Stopped",
        (None, false) => "Running",
    }
}

/// The same template is the same revision: a change of identities makes no new one (Container Apps documentation).
fn revision_suffix(resource: &Resource, template: &Value) -> String {
    if let Some(suffix) = get_str(template, "revisionSuffix").filter(|suffix| !suffix.is_empty()) {
        return suffix.to_owned();
    }
    let hash = Uuid::new_v5(&resource.instance, template.to_string().as_bytes());
    hash.simple().to_string()[..7].to_owned()
}

/// `configuration` with all members that there are, absent ones as null and secrets without values.
fn configuration(stored: &Value, host: &str) -> Value {
    let configuration = get(stored, "configuration").cloned().unwrap_or_else(|| json!({}));
    let member = |name: &str| get(&configuration, name).cloned().unwrap_or(Value::Null);
    let mut ingress = member("ingress");
    if let Value::Object(ingress) = &mut ingress {
        ingress.insert("fqdn".to_owned(), json!(host));
    }
    let mut shown = json!({
        "secrets": secrets(&member("secrets")),
        "activeRevisionsMode": member("activeRevisionsMode"),
        "ingress": ingress,
        "registries": member("registries"),
        "identitySettings": get(&configuration, "identitySettings").cloned().unwrap_or_else(|| json!([])),
        "dapr": member("dapr"),
        "runtime": member("runtime"),
        "maxInactiveRevisions": member("maxInactiveRevisions"),
        "service": member("service"),
    });
    for name in schema::PREVIEW_CONFIGURATION {
        if let Some(value) = get(&configuration, name) {
            shown[*name] = value.clone();
        }
    }
    shown
}

fn secrets(stored: &Value) -> Value {
    let Some(secrets) = stored.as_array() else {
        return Value::Null;
    };
    secrets
        .iter()
        .map(|secret| {
            let mut shown = secret.as_object().cloned().unwrap_or_default();
            shown.retain(|name, _| !name.eq_ignore_ascii_case("value"));
            Value::Object(shown)
        })
        .collect()
}
