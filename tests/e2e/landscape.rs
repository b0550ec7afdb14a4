//! All that there is in a subscription, so that two of its states can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::azure::Azure;

/// Everything in a subscription, one line for each thing: groups, resources, federated credentials, identities attached,
/// roles assigned. What Azure makes anew each time is left out or named: a principal is whose it is, and neither times
/// nor UIDs of Kubernetes objects are there.
pub type Landscape = BTreeSet<String>;

impl Azure {
    /// Everything in the subscription.
    pub async fn landscape(&self, namespace: &str) -> Landscape {
        let subscription = self.subscription_id();
        let mut lines = Landscape::new();
        for group in self.list(&format!("{subscription}/resourcegroups")).await {
            lines.insert(line(&group["id"], &json!({"tags": unnamed(&group["tags"], namespace)})));
        }
        let mut principals = BTreeMap::new();
        for listed in self.list(&format!("{subscription}/resources")).await {
            let id = listed["id"].as_str().expect("an id");
            let Some(found) = self.find(id).await else {
                lines.insert(format!("{} is listed and not there", id.to_lowercase()));
                continue;
            };
            let mut about = json!({"tags": unnamed(&found["tags"], namespace), "location": found["location"]});
            match found["type"].as_str().unwrap_or_default().to_lowercase().as_str() {
                "microsoft.managedidentity/userassignedidentities" => {
                    principals.insert(text(&found["properties"]["principalId"]), id.to_lowercase());
                    for credential in self.list(&format!("{id}/federatedIdentityCredentials")).await {
                        lines.insert(line(&credential["id"], &unnamed(&credential["properties"], namespace)));
                    }
                }
                "microsoft.app/sessionpools" => {
                    let mut properties = found["properties"].clone();
                    if let Some(members) = properties.as_object_mut() {
                        members.remove("nodeCount");
                    }
                    about["properties"] = properties;
                    about["identity"] = attached(&found["identity"]);
                }
                _ => {
                    if let Some(principal) = found["identity"]["principalId"].as_str() {
                        principals.insert(principal.to_lowercase(), id.to_lowercase());
                    }
                    about["identity"] = attached(&found["identity"]);
                }
            }
            lines.insert(line(&found["id"], &about));
        }
        let assignments = format!("{subscription}/providers/Microsoft.Authorization/roleAssignments");
        for assignment in self.list(&assignments).await {
            let properties = &assignment["properties"];
            let principal = text(&properties["principalId"]);
            let role = text(&properties["roleDefinitionId"]);
            lines.insert(line(
                &properties["scope"],
                &json!({
                    "assigned": role.rsplit('/').next(),
                    "to": principals.get(&principal).unwrap_or(&principal),
                    "type": properties["principalType"],
                    "description": unnamed(&properties["description"], namespace),
                }),
            ));
        }
        lines
    }
}

/// The identity block, in one spelling and without ids that Azure gave.
fn attached(block: &Value) -> Value {
    let mut kinds: Vec<_> = block["type"]
        .as_str()
        .unwrap_or("None")
        .split(',')
        .map(|it| it.trim().to_lowercase())
        .collect();
    kinds.sort();
    let identities: BTreeSet<_> = block["userAssignedIdentities"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, _)| id.to_lowercase())
        .collect();
    json!({"type": kinds, "userAssigned": identities})
}

/// The value with the UIDs and the namespace in its texts made the same everywhere.
fn unnamed(value: &Value, namespace: &str) -> Value {
    match value {
        Value::String(text) => {
            let parts = text.split_inclusive(['/', ':', ' ']).map(|part| {
                let word = part.trim_end_matches(['/', ':', ' ']);
                let name = if word == namespace {
                    "NAMESPACE"
                } else if Uuid::parse_str(word).is_ok() {
                    "UID"
                } else {
                    word
                };
                format!("{name}{}", &part[word.len()..])
            });
            Value::String(parts.collect())
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), unnamed(member, namespace)))
            .collect(),
        Value::Array(items) => items.iter().map(|it| unnamed(it, namespace)).collect(),
        other => other.clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

fn line(id: &Value, about: &Value) -> String {
    format!("{} {about}", text(id))
}
