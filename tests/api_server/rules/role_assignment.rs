//! Of RoleAssignment.

use serde_json::json;

use super::Change::{Create, Update};
use super::{A_GUID, Case};

pub fn cases() -> Vec<Case> {
    let assignment = |path, rule, accepted, refused| Case {
        kind: "RoleAssignment",
        path,
        rule,
        accepted,
        refused,
    };
    let other = json!({"name": "other"});
    vec![
        assignment(
            "spec",
            "principal cannot be changed: Azure cannot change an assignment; create another object",
            Update(json!({}), json!({"suspend": true})),
            Update(json!({}), json!({"principal": {"managedIdentityRef": other}})),
        ),
        assignment(
            "spec",
            "role cannot be changed: Azure cannot change an assignment; create another object",
            Update(json!({}), json!({"role": "azure containerapps session executor"})),
            Update(json!({}), json!({"role": "Reader"})),
        ),
        assignment(
            "spec",
            "scope cannot be changed: Azure cannot change an assignment; create another object",
            Update(json!({}), json!({"suspend": true})),
            Update(json!({}), json!({"scope": {"sessionPoolRef": other}})),
        ),
        assignment(
            "spec.principal",
            "exactly one of managedIdentityRef, identityAssignmentRef, sessionPoolRef and principalId must be set",
            Create(json!({"principal": {"managedIdentityRef": null, "identityAssignmentRef": other}})),
            Create(json!({"principal": {"identityAssignmentRef": other}})),
        ),
        assignment(
            "spec.principal",
            "exactly one of managedIdentityRef, identityAssignmentRef, sessionPoolRef and principalId must be set",
            Create(json!({"principal": {"managedIdentityRef": null, "sessionPoolRef": other}})),
            Create(json!({"principal": {"sessionPoolRef": other}})),
        ),
        assignment(
            "spec.principal",
            "principalType may be set only together with principalId",
            Create(json!({"principal": {"managedIdentityRef": null, "principalId": A_GUID, "principalType": "Group"}})),
            Create(json!({"principal": {"principalType": "Group"}})),
        ),
        assignment(
            "spec.scope",
            "exactly one of sessionPoolRef, resourceGroupRef and resourceId must be set",
            Create(json!({"scope": {"sessionPoolRef": null, "resourceGroupRef": other}})),
            Create(json!({"scope": {"resourceGroupRef": other}})),
        ),
    ]
}
