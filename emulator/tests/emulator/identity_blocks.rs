//! The `identity` block, by the example of session pools.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{IDENTITIES, POOLS, Wire, shell_pool};

const CONTRIBUTOR: &str = "f7669afb-68b2-44b4-9c5f-6d2a47fddda0";
const IDENTITY_OPERATOR: &str = "f1a07417-d97a-45cb-824c-7a7467783830";

/// An emulator with two identities, `one` and `two`, and a pool that has none.
async fn with_pool() -> (Wire, String, [String; 2]) {
    let wire = Wire::start().await.with_group("rg").await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let identity = wire.with_identity("rg", name).await;
        ids.push(identity["id"].as_str().unwrap().to_owned());
    }
    let path = wire.pool("rg", "pool");
    wire.put(&path, POOLS, shell_pool()).await.expect(200);
    (wire, path, ids.try_into().unwrap())
}

async fn patch(wire: &Wire, path: &str, identity: Value) -> Value {
    let answer = wire.patch(path, POOLS, json!({ "identity": identity })).await;
    let mut body = answer.expect(200).body;
    body["identity"].take()
}

fn attached(identity: &Value) -> Vec<&str> {
    let ids = identity["userAssignedIdentities"].as_object();
    ids.into_iter()
        .flat_map(|ids| ids.keys())
        .map(|id| id.rsplit('/').next().unwrap())
        .collect()
}

#[tokio::test]
async fn an_attached_identity_shows_its_principal() {
    let (wire, path, [one, _]) = with_pool().await;
    let identity = wire.get(&one, IDENTITIES).await.expect(200).body;
    let shouted = one.to_ascii_uppercase();
    let block = patch(
        &wire,
        &path,
        json!({ "type": "UserAssigned", "userAssignedIdentities": { shouted: {} } }),
    )
    .await;
    let (id, ids) = block["userAssignedIdentities"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert!(id.eq_ignore_ascii_case(&one));
    assert!(id.contains("/resourcegroups/"), "{id}");
    assert_eq!(ids["principalId"], identity["properties"]["principalId"]);
    assert_eq!(ids["clientId"], identity["properties"]["clientId"]);
    assert!(block.get("principalId").is_none());
}

#[tokio::test]
async fn a_merge_patch_keeps_what_it_does_not_name_and_null_detaches() {
    let (wire, path, [one, two]) = with_pool().await;
    patch(
        &wire,
        &path,
        json!({ "type": "UserAssigned", "userAssignedIdentities": { &one: {} } }),
    )
    .await;
    let both = patch(
        &wire,
        &path,
        json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { &two: {} } }),
    )
    .await;
    assert_eq!(both["type"], "SystemAssigned,UserAssigned");
    assert_eq!(attached(&both), ["one", "two"]);
    let shouted = one.to_ascii_uppercase();
    let second = patch(&wire, &path, json!({ "userAssignedIdentities": { shouted: null } })).await;
    assert_eq!(attached(&second), ["two"]);
    assert_eq!(second["principalId"], both["principalId"]);
    let system = patch(
        &wire,
        &path,
        json!({ "type": "SystemAssigned", "userAssignedIdentities": null }),
    )
    .await;
    assert_eq!(system["type"], "SystemAssigned");
    assert_eq!(system["principalId"], both["principalId"]);
    assert!(system.get("userAssignedIdentities").is_none());
    wire.patch(&path, POOLS, json!({ "identity": { "type": "None" } }))
        .await
        .expect(200);
    let none = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(none["identity"], json!({ "type": "None" }));
    let fresh = patch(&wire, &path, json!({ "type": "SystemAssigned" })).await;
    assert_ne!(fresh["principalId"], both["principalId"], "a new principal");
}

#[tokio::test]
async fn a_put_replaces_the_block_and_keeps_the_principal_of_the_system() {
    let (wire, path, [one, two]) = with_pool().await;
    let mut body = shell_pool();
    body["identity"] = json!({ "type": "SystemAssigned,UserAssigned", "userAssignedIdentities": { &one: {} } });
    let first = wire.put(&path, POOLS, body.clone()).await.expect(200).body["identity"].take();
    body["identity"] = json!({ "type": "systemassigned, userassigned", "userAssignedIdentities": { &two: {} } });
    let second = wire.put(&path, POOLS, body.clone()).await.expect(200).body["identity"].take();
    assert_eq!(attached(&second), ["two"]);
    assert_eq!(second["principalId"], first["principalId"]);
    body.as_object_mut().unwrap().remove("identity");
    wire.put(&path, POOLS, body).await.expect(200);
    let none = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(none["identity"], json!({ "type": "None" }));
}

#[tokio::test]
async fn a_block_whose_parts_do_not_fit_is_refused() {
    let (wire, path, [one, _]) = with_pool().await;
    let cases = [
        json!({ "type": "UserAssigned" }),
        json!({ "type": "Everything" }),
        json!({ "type": "SystemAssigned", "userAssignedIdentities": { &one: {} } }),
        json!({ "type": "UserAssigned", "userAssignedIdentities": { "one": {} } }),
        json!({ "type": "UserAssigned", "userAssignedIdentities": { &one: null } }),
    ];
    for identity in cases {
        wire.patch(&path, POOLS, json!({ "identity": identity }))
            .await
            .expect_error(400, "InvalidParameter");
    }
    let absent = wire.identity("rg", "absent");
    let identity = json!({ "type": "UserAssigned", "userAssignedIdentities": { absent: {} } });
    wire.patch(&path, POOLS, json!({ "identity": identity }))
        .await
        .expect_error(400, "FailedIdentityOperation");
}

#[tokio::test]
async fn whoever_attaches_an_identity_must_be_allowed_to_assign_it() {
    let (wire, path, [one, _]) = with_pool().await;
    let (_, contributor) = wire.application(&[(&path, CONTRIBUTOR)]).await;
    let (_, operator) = wire
        .application(&[(&path, CONTRIBUTOR), (&one, IDENTITY_OPERATOR)])
        .await;
    let attach = json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": { &one: {} } } });
    wire.arm_as(&contributor, Method::PATCH, &path, POOLS, Some(attach.clone()))
        .await
        .expect_error(403, "LinkedAuthorizationFailed");
    wire.arm_as(&operator, Method::PATCH, &path, POOLS, Some(attach))
        .await
        .expect(200);
    let detach = json!({ "identity": { "type": "None" } });
    wire.arm_as(&contributor, Method::PATCH, &path, POOLS, Some(detach))
        .await
        .expect(200);
}

#[tokio::test]
async fn an_attached_identity_that_is_made_anew_has_to_be_attached_again() {
    let (wire, path, [one, _]) = with_pool().await;
    let attach = json!({ "type": "UserAssigned", "userAssignedIdentities": { &one: {} } });
    let before = patch(&wire, &path, attach.clone()).await;
    wire.delete(&one, IDENTITIES).await.expect(200);
    let identity = wire.with_identity("rg", "one").await;
    let stale = wire.get(&path, POOLS).await.expect(200).body["identity"].take();
    assert_eq!(stale, before);
    let after = patch(&wire, &path, attach).await;
    let ids = after["userAssignedIdentities"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    assert_eq!(ids["principalId"], identity["properties"]["principalId"]);
}
