//! Bodies of PUT against the official schema of the API version that they are sent with.

use serde_json::{Value, json};

use crate::api::spec_schema;
use crate::azure::official_schema::{narrower, violations};
use crate::azure::role_definition::AUTHORIZATION_API_VERSION;
use crate::controller::azure_resource::Body;
use crate::controller::ownership::Origin;

use super::model::{World, stored, tuple};

/// None where the schemas are not.
fn assignment_violations(body: &Value) -> Option<Vec<String>> {
    violations(
        AUTHORIZATION_API_VERSION,
        "Microsoft.Authorization/roleAssignments",
        "/resourceDefinitions/roleAssignments",
        body,
    )
}

#[test]
fn every_body_is_valid_against_the_official_schema() {
    let id = tuple(1).id().unwrap();
    let mut resource = World::new(&json!({})).resource(id.clone());
    resource.desired = Body(tuple(1).body());
    let created = resource.body(Origin::Created);
    let mut actual = stored(&id, &tuple(1), Some("by hand"));
    actual["properties"]["condition"] = "true".into();
    actual["properties"]["conditionVersion"] = "2.0".into();
    resource.take_note(Some(actual));
    let adopted = resource.body(Origin::Adopted);
    assert_eq!(
        adopted.0["properties"]["condition"], "true",
        "what the spec does not set is kept"
    );
    let disowned = resource.mark_body(None);
    for body in [&created, &adopted, &disowned] {
        let Some(found) = assignment_violations(&body.0) else {
            return;
        };
        assert_eq!(found, Vec::<String>::new(), "{}", body.0);
        for name in ["scope", "createdOn", "updatedOn", "createdBy", "updatedBy"] {
            assert!(body.0["properties"].get(name).is_none(), "{name}: {}", body.0);
        }
    }
    let mut wrong = created.0;
    wrong["properties"]["principalType"] = "Robot".into();
    assert_ne!(
        assignment_violations(&wrong),
        Some(Vec::new()),
        "the schema tells right from wrong"
    );
}

#[test]
fn what_azure_takes_of_a_principal_the_definition_takes() {
    let ours = spec_schema("RoleAssignment");
    let found = narrower(
        &format!("{AUTHORIZATION_API_VERSION}/Microsoft.Authorization.json"),
        "/definitions/RoleAssignmentProperties",
        &ours["properties"]["principal"],
    );
    let Some(found) = found else { return };
    // It is a GUID.
    assert_eq!(
        found,
        [
            "principalId: minLength 36",
            "principalId: maxLength 36",
            "principalId: of a form"
        ]
    );
}
