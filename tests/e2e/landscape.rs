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
            lines.insert(line(&group["id"], &json!({"tags": tags(&group["tags"], namespace)})));
        }
        let mut principals = BTreeMap::new();
        for listed in self.list(&format!("{subscription}/resources")).await {
            let id = listed["id"].as_str().expect("an id");
            let Some(found) = self.find(id).await else {
                lines.insert(format!("{} is listed and not there", id.to_lowercase()));
                continue;
            };
            let mut about = json!({"tags": tags(&found["tags"], namespace), "location": found["location"]});
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
                        // It has the port that the emulator listens on.
                        members.remove("poolManagementEndpoint");
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
                    // Such as the first principal of the emulator; or one that is gone.
                    "to": principals.get(&principal).map_or("somebody who is no resource", String::as_str),
                    "type": properties["principalType"],
                    "description": unnamed(&properties["description"], namespace),
                }),
            ));
        }
        lines
    }
}

/// Fails with what differs, if anything does.
pub fn assert_same(found: &Landscape, expected: &Landscape, what: &str) {
    let surplus: Vec<_> = found.difference(expected).collect();
    let missing: Vec<_> = expected.difference(found).collect();
    assert!(
        surplus.is_empty() && missing.is_empty(),
        "{what}: surplus in Azure {surplus:#?}, missing {missing:#?}"
    );
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

/// The tags, without what is in their names of the object that wrote them.
fn tags(tags: &Value, namespace: &str) -> BTreeSet<String> {
    let written = tags.as_object().into_iter().flatten().map(|(name, value)| {
        let name = match name.to_lowercase() {
            name if name.starts_with("lifeguard-assignment-") => "lifeguard-assignment-…".to_owned(),
            name => name,
        };
        format!("{name}={}", text(&unnamed(value, namespace)))
    });
    written.collect()
}

/// The value with the UIDs and the namespace in its texts made the same everywhere.
fn unnamed(value: &Value, namespace: &str) -> Value {
    match value {
        Value::String(text) => {
            let parts = without_seal(text).split_inclusive(['/', ':', ' ']).map(|part| {
                let word = part.trim_end_matches(['/', ':', ' ']);
                let name = if word == namespace {
                    "NAMESPACE"
                } else if Uuid::parse_str(word).is_ok() || is_short_uid(word) {
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

/// An owner's mark without its seal, which is another one for each id and key; any other text as it is.
fn without_seal(text: &str) -> &str {
    match text.rsplit_once('/') {
        Some((owner, _)) if owner.ends_with("/created") || owner.ends_with("/adopted") => owner,
        _ => text,
    }
}

/// The beginning of a UID, which is as much of one as fits into the tags of identity assignments.
fn is_short_uid(word: &str) -> bool {
    word.len() == 8 && word.chars().all(|it| it.is_ascii_hexdigit())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

fn line(id: &Value, about: &Value) -> String {
    format!("{} {about}", text(id))
}
