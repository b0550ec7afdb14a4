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
        .expect(200);
    let strict = json!({ "roles": { "repeatedAssignment": "Conflict" } });
    wire.control(Method::PUT, "behaviour", Some(strict)).await.expect(200);
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
    wire.advance(61).await;
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

#[tokio::test]
async fn a_deleted_assignment_keeps_its_effect_until_that_has_spread() {
    let wire = Wire::start().await.with_group("rg").await;
    let (application, token) = wire.application(&[]).await;
    let scope = wire.group("rg");
    let path = assignment(&scope, Uuid::new_v4());
    let principal = application["objectId"].as_str().unwrap();
    wire.put(&path, ROLES, body(&scope, READER, principal))
        .await
        .expect(201);
    wire.advance(61).await;
    wire.delete(&path, ROLES).await.expect(200);
    let read = || wire.arm_as(&token, Method::GET, &scope, "2025-04-01", None);
    read().await.expect(200);
    wire.advance(61).await;
    read().await.expect_error(403, "AuthorizationFailed");
}

#[tokio::test]
async fn a_name_is_taken_in_the_whole_tenant() {
    let wire = Wire::start().await.with_group("one").await.with_group("two").await;
    let (principal, name) = (Uuid::new_v4().to_string(), Uuid::new_v4());
    let (one, two) = (wire.group("one"), wire.group("two"));
    wire.put(&assignment(&one, name), ROLES, body(&one, READER, &principal))
        .await
        .expect(201);
    wire.put(&assignment(&two, name), ROLES, body(&two, READER, &principal))
        .await
        .expect_error(400, "RoleAssignmentUpdateNotPermitted");
    wire.get(&assignment(&two, name), ROLES)
        .await
        .expect_error(404, "RoleAssignmentNotFound");
    wire.delete(&assignment(&two, name), ROLES).await.expect(204);
    wire.get(&assignment(&one, name), ROLES).await.expect(200);
}

#[tokio::test]
async fn whoever_may_not_assign_roles_is_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let (_, contributor) = wire
        .application(&[(&scope, "b24988ac-6180-42a0-ab88-20f7382dd24c")])
        .await;
    let (_, administrator) = wire
        .application(&[(&scope, "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9")])
        .await;
    let path = assignment(&scope, Uuid::new_v4());
    let wanted = || Some(body(&scope, READER, &Uuid::nil().to_string()));
    wire.arm_as(&contributor, Method::PUT, &path, ROLES, wanted())
        .await
        .expect_error(403, "AuthorizationFailed");
    wire.arm_as(&administrator, Method::PUT, &path, ROLES, wanted())
        .await
        .expect(201);
    wire.arm_as(&contributor, Method::DELETE, &path, ROLES, None)
        .await
        .expect_error(403, "AuthorizationFailed");
}

#[tokio::test]
async fn a_type_that_the_principal_has_not_is_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let (application, _) = wire.application(&[]).await;
    wire.advance(61).await;
    let mut user = body(&scope, READER, application["objectId"].as_str().unwrap());
    user["properties"]["principalType"] = json!("User");
    let path = assignment(&scope, Uuid::new_v4());
    wire.put(&path, ROLES, user)
        .await
        .expect_error(400, "UnmatchedPrincipalType");
}

#[tokio::test]
async fn assignments_go_with_the_resource_or_group_that_is_their_scope() {
    let wire = Wire::start().await.with_group("rg").await;
    let pool = wire.pool("rg", "pool");
    wire.put(&pool, POOLS, shell_pool()).await.expect(200);
    let (group, principal) = (wire.group("rg"), Uuid::new_v4().to_string());
    let (at_pool, at_group) = (assignment(&pool, Uuid::new_v4()), assignment(&group, Uuid::new_v4()));
    wire.put(&at_pool, ROLES, body(&pool, EXECUTOR, &principal))
        .await
        .expect(201);
    wire.put(&at_group, ROLES, body(&group, READER, &principal))
        .await
        .expect(201);
    let listed = || async {
        let list = format!(
            "{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{principal}'",
            wire.subscription()
        );
        let list = wire.get(&list, ROLES).await.expect(200).body;
        list["value"].as_array().unwrap().len()
    };
    assert_eq!(listed().await, 2);
    wire.delete(&pool, POOLS).await.expect(204);
    wire.get(&at_pool, ROLES)
        .await
        .expect_error(404, "RoleAssignmentNotFound");
    assert_eq!(listed().await, 1);
    wire.delete(&group, "2025-04-01").await.expect(202);
    wire.advance(31).await;
    assert_eq!(listed().await, 0);
}

#[tokio::test]
async fn an_unknown_filter_is_refused_and_the_known_ones_are_joined() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let principal = Uuid::new_v4().to_string();
    let path = assignment(&scope, Uuid::new_v4());
    wire.put(&path, ROLES, body(&scope, READER, &principal))
        .await
        .expect(201);
    let list = |scope: &str, filter: &str| {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}");
        let wire = &wire;
        async move { wire.get(&path, ROLES).await }
    };
    let both = format!("atScope()%20and%20assignedTo('{principal}')");
    for (at, count) in [(scope.clone(), 1), (wire.subscription(), 0)] {
        let answer = list(&at, &both).await.expect(200);
        assert_eq!(answer.body["value"].as_array().unwrap().len(), count, "{at}");
    }
    list(&scope, "roleName%20eq%20'Reader'")
        .await
        .expect_error(400, "UnsupportedQuery");
}

#[tokio::test]
async fn ids_and_texts_of_assignments_are_of_their_form() {
    let wire = Wire::start().await.with_group("rg").await;
    let scope = wire.group("rg");
    let principal = Uuid::new_v4();
    let good = body(&scope, READER, &principal.to_string());
    let put = async |name: String, member: &str, value: Value| {
        let mut wrong = good.clone();
        wrong["properties"][member] = value;
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        wire.put(&path, ROLES, wrong).await
    };
    let name = || Uuid::new_v4().to_string();
    let simple = Uuid::new_v4().simple().to_string();
    put(simple, "description", Value::Null)
        .await
        .expect_error(400, "InvalidRoleAssignmentId");
    for wrong in [READER.to_owned(), format!("/roleDefinitions/{READER}")] {
        put(name(), "roleDefinitionId", json!(wrong))
            .await
            .expect_error(400, "BadRequestFormat");
    }
    put(name(), "principalId", json!(principal.urn().to_string()))
        .await
        .expect_error(400, "InvalidPrincipalId");
    put(name(), "description", json!({ "owner": "me" }))
        .await
        .expect_error(400, "InvalidRequestContent");
    put(name(), "condition", json!("@Resource[name] StringEquals 'x'"))
        .await
        .expect_error(501, "NotEmulated");
}
