//! What Azure takes of a session pool that the definition cannot tell: said in Azure's words.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object};

/// A world with the group `jobs`, and the id of an environment in it.
async fn with_environment(name: &str) -> (World, String) {
    let world = World::new(name).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.until_available("ResourceGroup", "jobs").await;
    let environment = azure.environment(&world, "jobs").await;
    (world, environment)
}

fn pool(name: &str, more: &Value) -> Value {
    let mut spec = json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN});
    let more = more.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(more);
    object("SessionPool", name, &spec)
}

/// The scale of a pool of which so many sessions are ready.
fn ready(count: u32) -> Value {
    json!({"scaleConfiguration": {"maxConcurrentSessions": 5, "readySessionInstances": count}})
}

fn custom(environment: &str, ready_sessions: u32) -> Value {
    let mut spec = ready(ready_sessions);
    spec["containerType"] = "CustomContainer".into();
    spec["environmentId"] = environment.into();
    spec["customContainerTemplate"] = json!({"containers": [{"name": "main", "image": "r.example/i:1"}]});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_takes_of_no_new_pool_is_said_in_its_words_and_passes_when_the_spec_is_corrected() {
    const READY: &str = "SessionPoolInvalidReadySessionInstances";
    let (world, environment) = with_environment("pool-rules").await;
    let python = json!({"containerType": "PythonLTS", "identity": {"type": "SystemAssigned"}});
    let no_identity = json!({"identity": null});
    for (name, spec, code, corrected) in [
        ("none-ready", custom(&environment, 0), READY, ready(1)),
        ("all-ready", custom(&environment, 5), READY, ready(4)),
        ("python", python, "SessionPoolManagedIdentityCreationError", no_identity),
    ] {
        world.apply(&pool(name, &spec)).await;
        let refused = world.until_reason("SessionPool", name, "Rejected").await;
        assert!(refused.message.contains(code), "{name}: {}", refused.message);
        world.merge("SessionPool", name, &json!({"spec": corrected})).await;
        world.until_available("SessionPool", name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_from_before_a_rule_of_azure_is_kept_as_it_is() {
    let (world, environment) = with_environment("pool-of-old").await;
    world
        .behave(&json!({"pools": {"readySessionInstances": "UpToMaximum"}}))
        .await;
    world.apply(&pool("old", &custom(&environment, 0))).await;
    world.until_available("SessionPool", "old").await;
    world.behave(&json!({"pools": {"readySessionInstances": null}})).await;
    world
        .merge("SessionPool", "old", &json!({"spec": {"tags": {"team": "batch"}}}))
        .await;
    world.until_available("SessionPool", "old").await;
    let azure = Azure::login(&world).await;
    let found = azure.find(&azure.pool_id("jobs", "old")).await.expect("the pool");
    assert_eq!(found["tags"]["team"], "batch");
    assert_eq!(found["properties"]["scaleConfiguration"]["readySessionInstances"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_takes_and_does_not_keep_is_named_and_not_written_at_every_look() {
    let (world, environment) = with_environment("not-kept").await;
    let mut spec = custom(&environment, 1);
    spec["mcpServerSettings"] = json!({"isMcpServerEnabled": true});
    world.apply(&pool("custom", &spec)).await;
    let drifted = world.until_reason("SessionPool", "custom", "Drifted").await;
    assert!(drifted.message.contains("mcpServerSettings"), "{}", drifted.message);
    let requests = world.until_read(&["/sessionPools/custom"], 10).await;
    assert!(requests.iter().all(|it| it["method"] != "PUT"), "{requests:?}");
}
