//! The `identity` block of a session pool.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ArmError;
use crate::json::{get, get_str, merge_patch};
use crate::store::Store;

/// The block as it is stored and answered; `None` when the pool has no identity.
///
/// With `before` the given one is a merge patch of it: `null` takes an identity away. The principal of a system-assigned
/// identity stays the same while the pool keeps it.
pub fn read(given: Option<&Value>, before: Option<&Value>, store: &Store) -> Result<Option<Value>, ArmError> {
    let Some(given) = given.filter(|given| !given.is_null()) else {
        return Ok(None);
    };
    let mut merged = before.cloned().unwrap_or_else(|| json!({}));
    merge_patch(&mut merged, given);
    let text = get_str(&merged, "type").unwrap_or("None");
    let mut system = false;
    let mut user = false;
    for part in text.split(',').map(str::trim) {
        match part.to_ascii_lowercase().as_str() {
            "none" => {}
            "systemassigned" => system = true,
            "userassigned" => user = true,
            _ => {
                let message = format!(
                    "The identity type '{text}' is not one of None, SystemAssigned, UserAssigned and SystemAssigned,UserAssigned."
                );
                return Err(ArmError::invalid_parameter("identity.type", message));
            }
        }
    }
    let ids = get(&merged, "userAssignedIdentities")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if user == ids.is_empty() {
        let message = if user {
            "The identity type UserAssigned needs userAssignedIdentities."
        } else {
            "userAssignedIdentities needs the identity type UserAssigned."
        };
        return Err(ArmError::invalid_parameter("identity.userAssignedIdentities", message));
    }
    let mut assigned = Map::new();
    for id in ids.keys() {
        let lower = id.to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').collect();
        let [
            "",
            "subscriptions",
            _,
            "resourcegroups",
            _,
            "providers",
            "microsoft.managedidentity",
            "userassignedidentities",
            _,
        ] = segments.as_slice()
        else {
            let message = format!("'{id}' is not the id of a user-assigned identity.");
            return Err(ArmError::invalid_parameter("identity.userAssignedIdentities", message));
        };
        let derived = |part: &str| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{lower}#{part}").as_bytes());
        assigned.insert(
            id.clone(),
            json!({ "principalId": derived("principal"), "clientId": derived("client") }),
        );
    }
    let kind = match (system, user) {
        (false, false) => return Ok(None),
        (true, false) => "SystemAssigned",
        (false, true) => "UserAssigned",
        (true, true) => "SystemAssigned,UserAssigned",
    };
    let mut identity = json!({ "type": kind });
    if system {
        let known = before
            .and_then(|before| get_str(before, "principalId"))
            .map(str::to_owned);
        identity["principalId"] = json!(known.unwrap_or_else(|| Uuid::new_v4().to_string()));
        identity["tenantId"] = json!(store.tenant_id);
    }
    if user {
        identity["userAssignedIdentities"] = Value::Object(assigned);
    }
    Ok(Some(identity))
}
