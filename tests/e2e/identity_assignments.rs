//! Identities that are attached to what others manage: beside those of others, and away again without these.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::hosts::APPS;
use crate::world::{OFTEN, World, object};

/// A world with the resource group `jobs`, compared with Azure every second.
async fn world(name: &str) -> (World, Azure) {
    let world = World::new(name).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    (world, azure)
}

fn identity(name: &str) -> Value {
    object(
        "ManagedIdentity",
        name,
        &json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN}),
    )
}

/// An identity assignment of ManagedIdentity objects, and of the system-assigned identity.
fn assignment(name: &str, target: &Value, system: bool, references: &[&str]) -> Value {
    let kind = match (system, references.is_empty()) {
        (true, true) => "SystemAssigned",
        (true, false) => "SystemAssigned,UserAssigned",
        (false, _) => "UserAssigned",
    };
    let mut identity = json!({"type": kind});
    if !references.is_empty() {
        let references = references.iter().map(|it| json!({"managedIdentityRef": {"name": it}}));
        identity["userAssignedIdentities"] = references.collect();
    }
    object(
        "IdentityAssignment",
        name,
        &json!({"interval": OFTEN, "target": target, "identity": identity}),
    )
}

fn app(name: &str) -> Value {
    json!({"containerApp": {"name": name, "resourceGroup": APPS}})
}

fn group(name: &str) -> Value {
    json!({"containerGroup": {"name": name, "resourceGroup": APPS}})
}

/// The names of the user-assigned identities that a resource has, and `system`.
fn attached(resource: &Value) -> BTreeSet<String> {
    let block = &resource["identity"];
    let system = block["principalId"].as_str().map(|_| "system".to_owned());
    let ids = block["userAssignedIdentities"].as_object().into_iter().flatten();
    let name = |id: &str| id.rsplit('/').next().unwrap_or_default().to_lowercase();
    system.into_iter().chain(ids.map(|(id, _)| name(id))).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn records(resource: &Value) -> usize {
    let tags = resource["tags"].as_object().into_iter().flatten();
    tags.filter(|(name, _)| name.starts_with("lifeguard-assignment-"))
        .count()
}

async fn until_attached(world: &World, azure: &Azure, id: &str, expected: &[&str]) -> Value {
    world
        .until(&format!("{id} has {expected:?}"), || async {
            let found = azure.find(id).await?;
            (attached(&found) == names(expected)).then_some(found)
        })
        .await
}

/// The operator's writes of a resource, as method and path.
async fn writes(world: &World, id: &str) -> Vec<String> {
    let lower = id.to_lowercase();
    let of_id = |it: &Value| {
        let path = it["path"].as_str().unwrap_or_default().to_lowercase();
        let method = it["method"].as_str().unwrap_or_default();
        (path.starts_with(&lower) && method != "GET").then(|| format!("{method} {}", &path[lower.len()..]))
    };
    world.requests().await.iter().filter_map(of_id).collect()
}

/// Somebody else attaches an identity.
async fn attach_by_hand(world: &World, azure: &Azure, id: &str, name: &str) {
    let identity = azure.identity_id(APPS, name);
    azure.put(&identity, &json!({"location": "northcentralus"})).await;
    let block = json!({"type": "UserAssigned", "userAssignedIdentities": {identity: {}}});
    if id.contains("containerGroups") {
        let mut body = azure.find(id).await.expect("the group");
        body["identity"] = block;
        azure.put(id, &body).await;
    } else {
        azure.patch(id, &json!({"identity": block})).await;
    }
    world
        .until("the change is through", || async {
            let found = azure.find(id).await?;
            (found["properties"]["provisioningState"] == "Succeeded").then_some(())
        })
        .await;
}

/// Somebody else deletes the target, and it is gone.
async fn delete_by_hand(world: &World, azure: &Azure, id: &str) {
    azure.delete(id).await;
    world
        .until("it is deleted", || async {
            azure.find(id).await.is_none().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_of_an_app_come_and_go_beside_those_of_others_and_its_secrets_stay() {
    let (world, azure) = world("assignments").await;
    let id = azure.container_app(&world, "web").await;
    attach_by_hand(&world, &azure, &id, "theirs").await;
    world.forget_requests().await;
    world
        .apply(&assignment("web", &app("web"), true, &["ours", "more"]))
        .await;
    world
        .until_reason("IdentityAssignment", "web", "ReferenceNotFound")
        .await;
    world.apply(&identity("ours")).await;
    world.apply(&identity("more")).await;
    world.until_available("IdentityAssignment", "web").await;
    let found = azure.find(&id).await.expect("the app");
    assert_eq!(attached(&found), names(&["system", "ours", "more", "theirs"]));
    assert_eq!(records(&found), 1);
    let status = world.read("IdentityAssignment", "web").await.expect("it").data["status"].clone();
    assert_eq!(status["principalId"], found["identity"]["principalId"]);
    assert_eq!(status["tenantId"], found["identity"]["tenantId"]);
    assert_eq!(status["target"], "app/web");
    assert_eq!(status["userAssignedIdentities"].as_array().map(Vec::len), Some(2));

    // A list that shrinks detaches what it lost.
    world.apply(&assignment("web", &app("web"), true, &["ours"])).await;
    until_attached(&world, &azure, &id, &["system", "ours", "theirs"]).await;
    world.until_available("IdentityAssignment", "web").await;
    assert_eq!(writes(&world, &id).await, ["PATCH ", "PATCH "]);

    // What others take away is given again.
    azure
        .patch(
            &id,
            &json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {azure.identity_id("jobs", "ours"): null}}}),
        )
        .await;
    until_attached(&world, &azure, &id, &["system", "ours", "theirs"]).await;
    world.until_available("IdentityAssignment", "web").await;

    world.delete("IdentityAssignment", "web").await;
    world.until_gone("IdentityAssignment", "web").await;
    let found = azure.find(&id).await.expect("the app");
    assert_eq!((attached(&found), records(&found)), (names(&["theirs"]), 0));
    let requests = writes(&world, &id).await;
    assert!(requests.iter().all(|it| it == "PATCH "), "{requests:?}");
    let secrets = azure.post(&format!("{id}/listSecrets"), &json!({})).await;
    assert_eq!(secrets["value"][0]["value"], "canary-of-the-app");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_two_identity_assignments_goes_with_the_last_of_them() {
    let (world, azure) = world("shared").await;
    let id = azure.container_app(&world, "web").await;
    world.apply(&identity("ours")).await;
    for name in ["one", "two"] {
        world.apply(&assignment(name, &app("web"), false, &["ours"])).await;
    }
    for name in ["one", "two"] {
        world.until_available("IdentityAssignment", name).await;
    }
    world
        .until("both recorded it", || async {
            let found = azure.find(&id).await?;
            (records(&found) == 2).then_some(())
        })
        .await;
    world.delete("IdentityAssignment", "one").await;
    world.until_gone("IdentityAssignment", "one").await;
    assert_eq!(attached(&azure.find(&id).await.expect("the app")), names(&["ours"]));
    world.delete("IdentityAssignment", "two").await;
    world.until_gone("IdentityAssignment", "two").await;
    let found = azure.find(&id).await.expect("the app");
    assert_eq!((attached(&found), records(&found)), (names(&[]), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_group_is_replaced_only_where_nothing_is_lost() {
    let (world, azure) = world("groups").await;
    let plain = azure.container_group(&world, "plain").await;
    attach_by_hand(&world, &azure, &plain, "theirs").await;
    let secret = azure.container_group(&world, "secret").await;
    let mut body = azure.find(&secret).await.expect("the group");
    body["properties"]["containers"][0]["properties"]["environmentVariables"] =
        json!([{"name": "TOKEN", "secureValue": "canary"}]);
    azure.put(&secret, &body).await;
    let before = azure.find(&plain).await.expect("the group");
    world.forget_requests().await;
    world.apply(&identity("ours")).await;
    world
        .apply(&assignment("plain", &group("plain"), true, &["ours"]))
        .await;
    world
        .apply(&assignment("secret", &group("secret"), true, &["ours"]))
        .await;
    world.until_available("IdentityAssignment", "plain").await;
    let after = azure.find(&plain).await.expect("the group");
    assert_eq!(attached(&after), names(&["system", "ours", "theirs"]));
    for kept in ["osType", "restartPolicy", "sku"] {
        assert_eq!(after["properties"][kept], before["properties"][kept], "{kept}");
    }
    let refused = world
        .until_reason("IdentityAssignment", "secret", "UnsupportedTarget")
        .await;
    assert!(refused.message.contains("TOKEN"), "{}", refused.message);
    assert_eq!(writes(&world, &secret).await, Vec::<String>::new());
    for name in ["plain", "secret"] {
        world.delete("IdentityAssignment", name).await;
        world.until_gone("IdentityAssignment", name).await;
    }
    let found = azure.find(&plain).await.expect("the group");
    assert_eq!((attached(&found), records(&found)), (names(&["theirs"]), 0));
    assert_eq!(writes(&world, &plain).await, ["PUT ", "PUT "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_has_its_identities_from_its_object_and_only_without_one_from_an_identity_assignment() {
    let (world, azure) = world("pools").await;
    world.pool("shell", 5).await;
    let theirs = azure.pool_id("jobs", "theirs");
    let properties = json!({"containerType": "Shell", "poolManagementType": "Dynamic",
        "scaleConfiguration": {"maxConcurrentSessions": 5},
        "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}}});
    azure
        .put(
            &theirs,
            &json!({"location": "northcentralus", "properties": properties}),
        )
        .await;
    let managed = azure.pool_id("jobs", "shell");
    for (name, id) in [("managed", &managed), ("theirs", &theirs)] {
        let target = json!({"sessionPool": {"resourceId": id}});
        world.apply(&assignment(name, &target, true, &[])).await;
    }
    let refused = world
        .until_reason("IdentityAssignment", "managed", "UseSpecIdentity")
        .await;
    assert!(refused.message.contains("SessionPool shell"), "{}", refused.message);
    world.until_available("IdentityAssignment", "theirs").await;
    until_attached(&world, &azure, &theirs, &["system"]).await;
    assert_eq!(attached(&azure.find(&managed).await.expect("the pool")), names(&[]));
    for name in ["managed", "theirs"] {
        world.delete("IdentityAssignment", name).await;
        world.until_gone("IdentityAssignment", name).await;
    }
    let found = azure.find(&theirs).await.expect("the pool");
    assert_eq!((attached(&found), records(&found)), (names(&[]), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_is_detached_first_and_attached_again_when_it_is_back() {
    let (world, azure) = world("going").await;
    let id = azure.container_app(&world, "web").await;
    for name in ["ours", "more"] {
        world.apply(&identity(name)).await;
    }
    world
        .apply(&assignment("web", &app("web"), false, &["ours", "more"]))
        .await;
    world.until_available("IdentityAssignment", "web").await;
    world.delete("ManagedIdentity", "ours").await;
    world.until_gone("ManagedIdentity", "ours").await;
    assert!(azure.find(&azure.identity_id("jobs", "ours")).await.is_none());
    world
        .until_reason("IdentityAssignment", "web", "ReferenceNotFound")
        .await;
    let status = world.read("IdentityAssignment", "web").await.expect("it").data["status"].clone();
    assert_eq!(status["id"], Value::Null);
    assert_eq!(attached(&azure.find(&id).await.expect("the app")), names(&["more"]));
    world.apply(&identity("ours")).await;
    world.until_available("IdentityAssignment", "web").await;
    assert_eq!(
        attached(&azure.find(&id).await.expect("the app")),
        names(&["more", "ours"])
    );

    // An app that somebody deletes is waited for, and does not hold up a deletion.
    delete_by_hand(&world, &azure, &id).await;
    world.until_reason("IdentityAssignment", "web", "NotFound").await;
    azure.container_app(&world, "web").await;
    world.until_available("IdentityAssignment", "web").await;
    until_attached(&world, &azure, &id, &["more", "ours"]).await;
    delete_by_hand(&world, &azure, &id).await;
    world.until_reason("IdentityAssignment", "web", "NotFound").await;
    world.delete("IdentityAssignment", "web").await;
    world.until_gone("IdentityAssignment", "web").await;
}
