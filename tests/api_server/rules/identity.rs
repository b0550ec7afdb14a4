//! Of the `identity` block that several kinds have.

use serde_json::json;

use super::Case;
use super::Change::Create;

pub fn of(kind: &'static str) -> [Case; 2] {
    let user_assigned = |references: serde_json::Value| {
        Create(json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": references}}))
    };
    [
        Case {
            kind,
            path: "spec.identity",
            rule: "userAssignedIdentities must be set when type is UserAssigned or SystemAssigned,UserAssigned, and only then",
            accepted: user_assigned(json!([{"managedIdentityRef": {"name": "one"}}])),
            refused: user_assigned(json!([])),
        },
        Case {
            kind,
            path: "spec.identity.userAssignedIdentities[]",
            rule: "exactly one of managedIdentityRef and resourceId must be set",
            accepted: user_assigned(json!([{"managedIdentityRef": {"name": "one"}}])),
            refused: user_assigned(json!([{}])),
        },
    ]
}
