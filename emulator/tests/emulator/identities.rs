//! `Microsoft.ManagedIdentity/userAssignedIdentities`, and the principals behind them.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wire::{IDENTITIES, POOLS, RESOURCES, ROLES, Wire, shell_pool};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

fn principal(identity: &Value) -> &str {
    identity["properties"]["principalId"].as_str().unwrap()
}

/// Assigns Reader on a group without saying what the principal is.
async fn assign(wire: &Wire, principal: &str) -> crate::wire::Answer {
    let scope = wire.group("rg");
    let path = format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
        Uuid::new_v4()
    );
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{READER}"),
        "principalId": principal,
    } });
    wire.put(&path, ROLES, body).await
}

#[tokio::test]
async fn an_identity_is_there_at_once_with_its_principal() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.identity("rg", "one");
    let body = json!({ "location": "West Europe", "tags": { "team": "a" } });
    let created = wire.put(&path, IDENTITIES, body).await.expect(201).body;
    assert_eq!(
        created["id"],
        path.replace("/resourceGroups/", "/resourcegroups/"),
        "the provider spells the group segment in lower case"
    );
    assert_eq!(created["type"], "Microsoft.ManagedIdentity/userAssignedIdentities");
    assert_eq!(created["location"], "westeurope");
    assert_eq!(created["tags"], json!({ "team": "a" }));
    let properties = &created["properties"];
    assert_eq!(properties["tenantId"], wire.emulator.ready().tenant_id);
    assert_eq!(properties["isolationScope"], "None");
    assert_ne!(properties["principalId"], properties["clientId"]);
    assert_eq!(wire.get(&path, IDENTITIES).await.expect(200).body, created);
    let lower = path.to_ascii_lowercase();
    assert_eq!(wire.get(&lower, IDENTITIES).await.expect(200).body, created);
}

#[tokio::test]
async fn an_identity_keeps_its_principal_until_it_is_deleted() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.identity("rg", "one");
    let first = wire.with_identity("rg", "one").await;
    let body = json!({ "location": "westeurope", "tags": { "a": "b" } });
    let again = wire.put(&path, IDENTITIES, body).await.expect(200).body;
    assert_eq!(again["properties"], first["properties"]);
    assert_eq!(again["tags"], json!({ "a": "b" }));
    let patched = wire
        .patch(&path, IDENTITIES, json!({ "tags": { "c": "d" } }))
        .await
        .expect(200)
        .body;
    assert_eq!(patched["tags"], json!({ "c": "d" }), "PATCH replaces all tags");
    assert_eq!(patched["properties"], first["properties"]);

    wire.delete(&path, IDENTITIES).await.expect(200);
    wire.delete(&path, IDENTITIES).await.expect(204);
    wire.get(&path, IDENTITIES).await.expect_error(404, "ResourceNotFound");
    let second = wire.with_identity("rg", "one").await;
    assert_ne!(second["properties"]["principalId"], first["properties"]["principalId"]);
    assert_ne!(second["properties"]["clientId"], first["properties"]["clientId"]);
}

#[tokio::test]
async fn identities_are_listed_in_a_group_and_in_the_subscription() {
    let wire = Wire::start().await.with_group("rg").await.with_group("other").await;
    wire.with_identity("rg", "one").await;
    wire.with_identity("other", "two").await;
    let names = |list: &Value| -> Vec<String> {
        let items = list["value"].as_array().unwrap().iter();
        items.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let collection = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let group = wire
        .get(&format!("{}/{collection}", wire.group("rg")), IDENTITIES)
        .await
        .expect(200)
        .body;
    assert_eq!(names(&group), ["one"]);
    assert!(group.get("nextLink").is_none());
    let all = wire
        .get(&format!("{}/{collection}", wire.subscription()), IDENTITIES)
        .await
        .expect(200)
        .body;
    assert_eq!(names(&all), ["two", "one"]);
    let page = wire
        .get(&format!("{}/{collection}?$top=1", wire.subscription()), IDENTITIES)
        .await
        .expect(200)
        .body;
    assert_eq!(names(&page), ["two"]);
    let next = wire.follow(page["nextLink"].as_str().unwrap()).await.expect(200).body;
    assert_eq!(names(&next), ["one"]);
    let in_group = wire
        .get(&format!("{}/resources", wire.group("rg")), RESOURCES)
        .await
        .expect(200)
        .body;
    assert_eq!(names(&in_group), ["one"]);
}

#[tokio::test]
async fn every_version_answers_and_isolation_came_late() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.identity("rg", "one");
    let body = json!({ "location": "westeurope", "properties": { "isolationScope": "Regional" } });
    wire.put(&path, IDENTITIES, body.clone()).await.expect(201);
    let versions = [
        ("2018-11-30", false),
        ("2021-09-30-preview", false),
        ("2022-01-31-preview", false),
        ("2023-01-31", false),
        ("2024-11-30", true),
        ("2025-01-31-preview", true),
        ("2025-05-31-preview", true),
    ];
    for (version, has_it) in versions {
        let shown = wire.get(&path, version).await.expect(200).body;
        let isolation = shown["properties"].get("isolationScope");
        assert_eq!(isolation, has_it.then_some(&json!("Regional")), "{version}");
    }
    wire.put(&path, "2023-01-31", body)
        .await
        .expect_error(400, "InvalidRequestContent");
    wire.get(&path, "2024-11-31")
        .await
        .expect_error(400, "InvalidApiVersionParameter");
    wire.get(&path, POOLS)
        .await
        .expect_error(400, "NoRegisteredProviderFound");
}

#[tokio::test]
async fn what_the_provider_refuses() {
    let wire = Wire::start().await.with_group("rg").await;
    let good = json!({ "location": "westeurope" });
    for name in ["ab", "-abc", "a.bc", &"a".repeat(129)] {
        wire.put(&wire.identity("rg", name), IDENTITIES, good.clone())
            .await
            .expect_error(400, "InvalidResourceName");
    }
    let path = wire.identity("rg", "one");
    wire.put(&path, IDENTITIES, json!({}))
        .await
        .expect_error(400, "LocationRequired");
    wire.put(&path, IDENTITIES, json!({ "location": "atlantis" }))
        .await
        .expect_error(400, "LocationNotAvailableForResourceType");
    let odd = json!({ "location": "westeurope", "properties": { "isolationScope": "Planetary" } });
    wire.put(&path, IDENTITIES, odd)
        .await
        .expect_error(400, "InvalidParameter");
    wire.patch(&path, IDENTITIES, json!({ "tags": {} }))
        .await
        .expect_error(404, "ResourceNotFound");
    wire.put(&wire.identity("nowhere", "one"), IDENTITIES, good.clone())
        .await
        .expect_error(404, "ResourceGroupNotFound");
    wire.with_identity("rg", "one").await;
    wire.put(&path, IDENTITIES, json!({ "location": "northeurope" }))
        .await
        .expect_error(409, "InvalidResourceLocation");
    let (_, reader) = wire.application(&[(&wire.group("rg"), READER)]).await;
    wire.arm_as(&reader, Method::GET, &path, IDENTITIES, None)
        .await
        .expect(200);
    wire.arm_as(&reader, Method::PUT, &path, IDENTITIES, Some(good))
        .await
        .expect_error(403, "AuthorizationFailed");
}

#[tokio::test]
async fn a_subscription_registers_the_provider_first() {
    let wire = Wire::with(json!({})).await.with_group("rg").await;
    let body = json!({ "location": "westeurope" });
    wire.put(&wire.identity("rg", "one"), IDENTITIES, body.clone())
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
    let register = format!("{}/providers/Microsoft.ManagedIdentity/register", wire.subscription());
    wire.arm(Method::POST, &register, RESOURCES, None).await.expect(200);
    wire.advance(31).await;
    wire.put(&wire.identity("rg", "one"), IDENTITIES, body)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_fresh_principal_is_not_found_until_the_directory_has_spread_it() {
    let wire = Wire::start().await.with_group("rg").await;
    let identity = wire.with_identity("rg", "one").await;
    assign(&wire, principal(&identity))
        .await
        .expect_error(400, "PrincipalNotFound");
    wire.advance(61).await;
    assign(&wire, principal(&identity)).await.expect(201);
}

#[tokio::test]
async fn assignments_of_a_deleted_principal_stay_as_orphans() {
    let wire = Wire::start().await.with_group("rg").await;
    let identity = wire.with_identity("rg", "one").await;
    wire.advance(61).await;
    let assignment = assign(&wire, principal(&identity)).await.expect(201).body;
    wire.delete(&wire.identity("rg", "one"), IDENTITIES).await.expect(200);
    let orphan = wire
        .get(assignment["id"].as_str().unwrap(), ROLES)
        .await
        .expect(200)
        .body;
    assert_eq!(orphan["properties"]["principalId"], principal(&identity));
    assign(&wire, principal(&identity))
        .await
        .expect_error(400, "PrincipalNotFound");
}

#[tokio::test]
async fn the_group_takes_its_identities_with_it() {
    let wire = Wire::start().await.with_group("rg").await.with_group("other").await;
    let identity = wire.with_identity("other", "one").await;
    wire.advance(61).await;
    wire.delete(&wire.group("other"), RESOURCES).await.expect(202);
    wire.advance(31).await;
    assign(&wire, principal(&identity))
        .await
        .expect_error(400, "PrincipalNotFound");
}

#[tokio::test]
async fn the_system_assigned_identity_of_a_resource_is_read_below_it() {
    let wire = Wire::start().await.with_group("rg").await;
    let pool = wire.pool("rg", "pool");
    let mut body = shell_pool();
    wire.put(&pool, POOLS, body.clone()).await.expect(200);
    let path = format!("{pool}/providers/Microsoft.ManagedIdentity/identities/default");
    wire.get(&path, IDENTITIES).await.expect_error(404, "ResourceNotFound");
    body["identity"] = json!({ "type": "SystemAssigned" });
    let put = wire.put(&pool, POOLS, body).await.expect(200).body;
    let identity = wire.get(&path, IDENTITIES).await.expect(200).body;
    assert_eq!(identity["id"], path);
    assert_eq!(identity["type"], "Microsoft.ManagedIdentity/identities");
    assert_eq!(principal(&identity), put["identity"]["principalId"].as_str().unwrap());
    Uuid::parse_str(identity["properties"]["clientId"].as_str().unwrap()).unwrap();
    wire.delete(&pool, POOLS).await.expect(204);
    assign(&wire, principal(&identity))
        .await
        .expect_error(400, "PrincipalNotFound");
}
