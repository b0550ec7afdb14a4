//! Where a resource is may be said in other words, and is not changed: what says another place is told and not done.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::hosts::APPS;
use crate::world::{OFTEN, World, object};

async fn surroundings(name: &str) -> (World, Azure) {
    let world = World::new(name).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    for (group, azure_name) in [("jobs", "jobs"), ("alias", "JOBS"), ("other", "other")] {
        let policy = if group == "alias" { "ObserveOnly" } else { "Enforce" };
        let spec = json!({"azureName": azure_name, "managementPolicy": policy, "interval": OFTEN});
        world.apply(&object("ResourceGroup", group, &spec)).await;
    }
    for group in ["jobs", "alias", "other"] {
        world.until_available("ResourceGroup", group).await;
    }
    (world, azure)
}

fn pool(place: &Value) -> Value {
    let mut spec =
        json!({"containerType": "Shell", "interval": OFTEN, "scaleConfiguration": {"maxConcurrentSessions": 5}});
    let place = place.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(place);
    object("SessionPool", "shell", &spec)
}

/// The writes among requests, as method and path.
fn writes(requests: &[Value]) -> Vec<String> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let writes = requests
        .iter()
        .filter(|it| it["method"] != "GET" && text(it, "path").to_lowercase().starts_with("/subscriptions/"));
    writes
        .map(|it| format!("{} {}", text(it, "method"), text(it, "path")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_group_is_said_otherwise_stays_as_it_is_and_one_that_would_move_is_told_and_left_alone() {
    let (world, azure) = surroundings("placed").await;
    let by_reference = json!({"resourceGroupRef": {"name": "jobs"}});
    world.apply(&pool(&by_reference)).await;
    world.until_available("SessionPool", "shell").await;
    let before = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");

    for place in [
        json!({"resourceGroup": "Jobs", "azureName": "shell"}),
        by_reference.clone(),
        json!({"resourceGroupRef": {"name": "alias"}, "location": "North Central US", "poolManagementType": "Dynamic"}),
        // The account's group and region.
        json!({}),
        json!({"resourceGroup": "jobs", "location": "northcentralus"}),
    ] {
        world.forget_requests().await;
        world.apply(&pool(&place)).await;
        world.until_available("SessionPool", "shell").await;
        assert_eq!(writes(&world.requests().await), Vec::<String>::new(), "{place}");
    }
    assert_eq!(azure.find(&azure.pool_id("jobs", "shell")).await.expect("it"), before);

    // Another group, which only the reference tells.
    world.forget_requests().await;
    let moved = json!({"resourceGroupRef": {"name": "other"}});
    world.apply(&pool(&moved)).await;
    let told = world.until_reason("SessionPool", "shell", "ImmutableChange").await;
    assert!(told.message.contains("spec.resourceGroupRef"), "{}", told.message);
    assert!(
        told.message.contains("set spec.resourceGroup to jobs"),
        "{}",
        told.message
    );
    // Another region than Azure has; the definition does not know that of the account.
    world.apply(&pool(&json!({}))).await;
    world.until_available("SessionPool", "shell").await;
    world.apply(&pool(&json!({"location": "westeurope"}))).await;
    let told = world.until_reason("SessionPool", "shell", "ImmutableChange").await;
    assert!(
        told.message.contains("location") && told.message.contains("North Central US"),
        "{}",
        told.message
    );
    assert_eq!(writes(&world.requests().await), Vec::<String>::new());
    assert_eq!(azure.find(&azure.pool_id("other", "shell")).await, None);
    world.apply(&pool(&json!({"resourceGroup": "jobs"}))).await;
    world.until_available("SessionPool", "shell").await;

    // What goes is what the object has, wherever its spec points.
    world.apply(&pool(&moved)).await;
    world.until_reason("SessionPool", "shell", "ImmutableChange").await;
    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    assert_eq!(azure.find(&azure.pool_id("jobs", "shell")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_group_is_changed_while_it_is_made_is_not_forgotten_where_it_was_made() {
    let (world, azure) = surroundings("replaced").await;
    let slow = json!({
        "match": {"method": "PUT", "path": "/sessionPools/"}, "times": 1, "action": {"delayMilliseconds": 3000},
    });
    world.fault(&slow).await;
    world.apply(&pool(&json!({"resourceGroupRef": {"name": "jobs"}}))).await;
    // After its finalizer it is asked for by what the spec said then.
    world
        .until("the pool is about to be asked for", || async {
            let finalizers = world.read("SessionPool", "shell").await?.metadata.finalizers;
            finalizers.is_some_and(|it| !it.is_empty()).then_some(())
        })
        .await;
    world
        .apply(&pool(&json!({"resourceGroupRef": {"name": "other"}})))
        .await;
    let told = world.until_reason("SessionPool", "shell", "ImmutableChange").await;
    assert!(
        told.message.contains("set spec.resourceGroup to jobs"),
        "{}",
        told.message
    );
    let status = world.read("SessionPool", "shell").await.expect("it").data["status"].clone();
    let known = status["id"].as_str().unwrap_or_default().to_lowercase();
    assert_eq!(known, azure.pool_id("jobs", "shell").to_lowercase());
    assert_eq!(azure.find(&azure.pool_id("other", "shell")).await, None);
    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    assert_eq!(azure.find(&azure.pool_id("jobs", "shell")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_may_be_said_by_its_name_or_by_its_id_and_stays_the_same() {
    let (world, azure) = surroundings("targeted").await;
    let id = azure.container_app(&world, "web").await;
    let assignment = |app: Value| {
        let spec = json!({
            "interval": OFTEN, "target": {"containerApp": app}, "identity": {"type": "SystemAssigned"},
        });
        object("IdentityAssignment", "web", &spec)
    };
    let by_name = assignment(json!({"name": "web", "resourceGroup": APPS}));
    world.apply(&by_name).await;
    world.until_available("IdentityAssignment", "web").await;
    for other_words in [assignment(json!({"resourceId": id.to_lowercase()})), by_name.clone()] {
        world.forget_requests().await;
        world.apply(&other_words).await;
        world.until_available("IdentityAssignment", "web").await;
        assert_eq!(writes(&world.requests().await), Vec::<String>::new());
    }
    world
        .apply(&assignment(json!({"resourceId": azure.app_id("other", "web")})))
        .await;
    let told = world.until_reason("IdentityAssignment", "web", "ImmutableChange").await;
    assert!(
        told.message.contains("spec.target.containerApp.resourceId"),
        "{}",
        told.message
    );
    world.delete("IdentityAssignment", "web").await;
    world.until_gone("IdentityAssignment", "web").await;
    let app = azure.find(&id).await.expect("the app");
    assert!(app["identity"]["principalId"].is_null(), "{}", app["identity"]);
}
