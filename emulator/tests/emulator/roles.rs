//! `Microsoft.Authorization`.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wire::{POOLS, ROLES, Wire, shell_pool};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";

fn assignment(scope: &str, name: Uuid) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

fn body(scope: &str, role: &str, principal: &str) -> Value {
    json!({ "properties": {
        "roleDefinitionId": format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    } })
}

#[tokio::test]
async fn a_role_is_found_by_its_name() {
    let wire = Wire::start().await;
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName%20eq%20'Azure%20ContainerApps%20Session%20Executor'",
        wire.group("any")
    );
    let list = wire.get(&path, "2022-05-01-preview").await.expect(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    assert_eq!(list["value"][0]["name"], EXECUTOR);
    assert_eq!(
        list["value"][0]["id"],
        format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{EXECUTOR}",
            wire.subscription()
        )
    );
    assert!(list["value"][0]["properties"]["permissions"][0]["dataActions"].is_array());
}

#[tokio::test]
async fn an_assignment_is_created_read_listed_and_deleted() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    let scope = wire.pool("rg", "pool");
    let principal = Uuid::new_v4().to_string();
    let path = assignment(&scope, Uuid::new_v4());
    let created = wire
        .put(&path, ROLES, body(&scope, EXECUTOR, &principal))
        .await
        .expect(201)
        .body;
    let properties = &created["properties"];
    assert_eq!(
        properties["roleDefinitionId"],
        format!(
            "{}/providers/Microsoft.Authorization/roleDefinitions/{EXECUTOR}",
            wire.subscription()
        ),
        "the definition's id is normalised to the subscription's"
    );
    assert_eq!(properties["scope"], scope);
    assert_eq!(properties["createdBy"], Value::Null);
    assert_eq!(properties["condition"], Value::Null);
    assert_eq!(created["id"], path);
    assert_eq!(wire.get(&path, ROLES).await.expect(200).body["id"], path);

    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{principal}'",
        wire.subscription()
    );
    assert_eq!(
        wire.get(&list, ROLES).await.expect(200).body["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let at = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()",
        wire.subscription()
    );
    let at = wire.get(&at, ROLES).await.expect(200).body;
    assert!(
        at["value"].as_array().unwrap().iter().all(|one| one["id"] != path),
        "below the scope is left out"
    );

    assert_eq!(wire.delete(&path, ROLES).await.expect(200).body["id"], path);
    wire.delete(&path, ROLES).await.expect(204);
    wire.get(&path, ROLES).await.expect_error(404, "RoleAssignmentNotFound");
}

#[tokio::test]
async fn the_same_tuple_and_a_changed_tuple_are_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let principal = Uuid::new_v4().to_string();
    let path = assignment(&scope, Uuid::new_v4());
    wire.put(&path, ROLES, body(&scope, READER, &principal))
        .await
        .expect(201);
    wire.put(&path, ROLES, body(&scope, READER, &principal))
        .await
        .expect_error(409, "RoleAssignmentExists");
    wire.put(
        &assignment(&scope, Uuid::new_v4()),
        ROLES,
        body(&scope, READER, &principal),
    )
    .await
    .expect_error(409, "RoleAssignmentExists");
    wire.put(&path, ROLES, body(&scope, EXECUTOR, &principal))
        .await
        .expect_error(400, "RoleAssignmentUpdateNotPermitted");
    let mut described = body(&scope, READER, &principal);
    described["properties"]["description"] = json!("why");
    assert_eq!(
        wire.put(&path, ROLES, described).await.expect(200).body["properties"]["description"],
        "why"
    );
}

#[tokio::test]
async fn a_new_principal_is_not_found_unless_its_type_is_given() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let (application, _) = wire.application(&[]).await;
    let principal = application["objectId"].as_str().unwrap();
    let mut untyped = body(&scope, READER, principal);
    untyped["properties"].as_object_mut().unwrap().remove("principalType");
    let path = assignment(&scope, Uuid::new_v4());
    let refused = wire.put(&path, ROLES, untyped.clone()).await;
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&principal.replace('-', ""))
    );
    refused.expect_error(400, "PrincipalNotFound");
    wire.advance(21).await;
    wire.put(&path, ROLES, untyped).await.expect(201);
}

#[tokio::test]
async fn malformed_assignments_are_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let path = assignment(&scope, Uuid::new_v4());
    let principal = Uuid::new_v4().to_string();
    let unknown = Uuid::new_v4().to_string();
    let cases = [
        (body(&scope, &unknown, &principal), "RoleDefinitionDoesNotExist"),
        (body(&scope, "reader", &principal), "BadRequestFormat"),
        (body(&scope, READER, "me"), "InvalidPrincipalId"),
        (json!({ "properties": {} }), "InvalidRequestContent"),
    ];
    for (body, code) in cases {
        wire.put(&path, ROLES, body).await.expect_error(400, code);
    }
    let named = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/mine");
    wire.put(&named, ROLES, body(&scope, READER, &principal))
        .await
        .expect_error(400, "InvalidRoleAssignmentId");
    let nowhere = assignment(&wire.group("nowhere"), Uuid::new_v4());
    wire.put(&nowhere, ROLES, body(&scope, READER, &principal))
        .await
        .expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn an_assignment_has_no_effect_until_it_has_spread() {
    let wire = Wire::start().await.with_group("rg").await;
    let (application, token) = wire.application(&[]).await;
    let scope = wire.group("rg");
    let path = assignment(&scope, Uuid::new_v4());
    let principal = application["objectId"].as_str().unwrap();
    wire.put(&path, ROLES, body(&scope, READER, principal))
        .await
        .expect(201);
    let read = || wire.arm_as(&token, Method::GET, &scope, "2025-04-01", None);
    read().await.expect_error(403, "AuthorizationFailed");
    wire.advance(61).await;
    read().await.expect(200);
}
