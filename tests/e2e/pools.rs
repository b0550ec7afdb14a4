//! SessionPools and ResourceGroups: created, adopted, refused, repaired, observed.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object, shell_pool};

fn pool(name: &str, more: &Value) -> Value {
    let mut pool = shell_pool(name, 5);
    let spec = pool["spec"].as_object_mut().expect("a spec");
    spec.extend(more.as_object().expect("an object").clone());
    spec.insert("interval".into(), OFTEN.into());
    pool
}

async fn jobs_group(world: &World) {
    world
        .apply(&object("ResourceGroup", "jobs", &json!({"interval": OFTEN})))
        .await;
}

fn max_sessions(pool: &Value) -> &Value {
    &pool["properties"]["scaleConfiguration"]["maxConcurrentSessions"]
}

fn by_hand(max: u32) -> Value {
    json!({
        "location": "northcentralus", "tags": {"team": "other"},
        "properties": {
            "containerType": "Shell", "poolManagementType": "Dynamic",
            "scaleConfiguration": {"maxConcurrentSessions": max},
            "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 600}},
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_waits_for_its_group_registers_the_provider_and_is_created_with_an_owner_tag() {
    let world = World::new("created").await;
    world.behave(&json!({"arm": {"registrationSeconds": 1.0}})).await;
    let azure = Azure::login(&world).await;
    world.apply(&pool("shell", &json!({"tags": {"team": "mine"}}))).await;
    world.until_reason("SessionPool", "shell", "ReferenceNotFound").await;
    jobs_group(&world).await;
    world.until_available("ResourceGroup", "jobs").await;
    world.until_reason("SessionPool", "shell", "RegisteringProvider").await;
    world.until_available("SessionPool", "shell").await;

    let id = azure.pool_id("jobs", "shell");
    let found = azure.find(&id).await.expect("the pool exists");
    assert_eq!(found["tags"]["team"], "mine");
    let owner = found["tags"]["lifeguard-owner"].as_str().expect("an owner tag");
    assert!(
        owner.contains(&format!("/{}/shell/", world.namespace)) && owner.contains("/created/"),
        "{owner}"
    );
    let status = world.read("SessionPool", "shell").await.expect("the object").data["status"].clone();
    assert_eq!(status["id"].as_str().map(str::to_lowercase), Some(id.to_lowercase()));
    assert_eq!(status["provisioningState"], "Succeeded");
    assert!(
        status["poolManagementEndpoint"]
            .as_str()
            .is_some_and(|it| it.contains("/sessionPools/shell")),
        "{status}"
    );

    // Changed by hand and by the spec: both are put right.
    azure
        .patch(
            &id,
            &json!({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 50}}}),
        )
        .await;
    world
        .until("the drift is repaired", || async {
            (max_sessions(&azure.find(&id).await?) == 5).then_some(())
        })
        .await;
    world
        .merge(
            "SessionPool",
            "shell",
            &json!({"spec": {"scaleConfiguration": {"maxConcurrentSessions": 7}}}),
        )
        .await;
    world
        .until("the change is made", || async {
            (max_sessions(&azure.find(&id).await?) == 7).then_some(())
        })
        .await;
    assert_eq!(azure.find(&id).await.expect("the pool")["tags"]["team"], "mine");

    // Deleted by hand: created again, once a stale answer can be ruled out.
    azure.delete(&id).await;
    world
        .until("the pool is created again", || async {
            azure.find(&id).await.map(|_| ())
        })
        .await;
    world.until_available("SessionPool", "shell").await;

    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    assert_eq!(azure.find(&id).await, None);
    world.delete("ResourceGroup", "jobs").await;
    world.until_gone("ResourceGroup", "jobs").await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_exists_is_refused_then_adopted_on_demand_and_kept_when_the_object_goes() {
    let world = World::new("adopted").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    azure.register().await;
    azure
        .put(&azure.group_id("jobs"), &json!({"location": "northcentralus"}))
        .await;
    let id = azure.pool_id("jobs", "shell");
    azure.put(&id, &by_hand(3)).await;

    jobs_group(&world).await;
    let refused = world.until_reason("ResourceGroup", "jobs", "AlreadyExists").await;
    assert!(refused.message.contains("spec.adoptionPolicy"), "{}", refused.message);
    world
        .merge(
            "ResourceGroup",
            "jobs",
            &json!({"spec": {"adoptionPolicy": "IfExists"}}),
        )
        .await;
    world.until_available("ResourceGroup", "jobs").await;

    world.apply(&pool("shell", &json!({}))).await;
    world.until_reason("SessionPool", "shell", "AlreadyExists").await;
    assert_eq!(max_sessions(&azure.find(&id).await.expect("the pool")), 3);
    let endpoint = &world.read("SessionPool", "shell").await.expect("it").data["status"]["poolManagementEndpoint"];
    assert!(
        endpoint.is_null(),
        "another's pool is never offered to jobs: {endpoint}"
    );

    world
        .merge(
            "SessionPool",
            "shell",
            &json!({"spec": {"adoptionPolicy": "MustExist"}}),
        )
        .await;
    world.until_available("SessionPool", "shell").await;
    let adopted = azure.find(&id).await.expect("the pool");
    assert_eq!(max_sessions(&adopted), 5);
    assert_eq!(adopted["tags"]["team"], "other", "what the spec does not set is kept");
    assert!(
        adopted["tags"]["lifeguard-owner"]
            .as_str()
            .is_some_and(|it| it.contains("/adopted/"))
    );

    // Another object of this cluster does not take it away.
    world
        .apply(&pool(
            "twin",
            &json!({"azureName": "shell", "adoptionPolicy": "IfExists"}),
        ))
        .await;
    world.until_reason("SessionPool", "twin", "OwnedByAnother").await;
    world.delete("SessionPool", "twin").await;
    world.until_gone("SessionPool", "twin").await;

    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    let kept = azure.find(&id).await.expect("what was adopted is kept");
    assert!(kept["tags"]["lifeguard-owner"].is_null(), "{}", kept["tags"]);
    assert_eq!(kept["tags"]["team"], "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_suspend_forbid_writes() {
    let world = World::new("policies").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    jobs_group(&world).await;
    world.apply(&pool("paused", &json!({"suspend": true}))).await;
    let paused = world.until_reason("SessionPool", "paused", "Suspended").await;
    assert_eq!(paused.status, "False");
    world
        .apply(&pool("watched", &json!({"managementPolicy": "ObserveOnly"})))
        .await;
    world.until_reason("SessionPool", "watched", "NotFound").await;
    assert_eq!(azure.find(&azure.pool_id("jobs", "paused")).await, None);

    let watched = azure.pool_id("jobs", "watched");
    azure.put(&watched, &by_hand(3)).await;
    let drifted = world.until_reason("SessionPool", "watched", "Drifted").await;
    assert_eq!(drifted.status, "True");
    let object = world.read("SessionPool", "watched").await.expect("it");
    let drift = object.data["status"]["drift"].as_array().expect("drift").clone();
    let scale = drift
        .iter()
        .find(|it| it["path"] == "properties.scaleConfiguration.maxConcurrentSessions");
    assert_eq!(
        scale.map(|it| (&it["desired"], &it["actual"])),
        Some((&json!("5"), &json!("3"))),
        "{drift:?}"
    );

    world
        .apply(&pool("once", &json!({"managementPolicy": "CreateOnly"})))
        .await;
    world.until_available("SessionPool", "once").await;
    let once = azure.pool_id("jobs", "once");
    azure
        .patch(
            &once,
            &json!({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 50}}}),
        )
        .await;
    world.until_reason("SessionPool", "once", "Drifted").await;
    assert_eq!(max_sessions(&azure.find(&once).await.expect("it")), 50);

    // A suspended object goes at once, and the resource stays with its owner tag.
    world
        .merge("SessionPool", "once", &json!({"spec": {"suspend": true}}))
        .await;
    world.until_reason("SessionPool", "once", "Suspended").await;
    world.delete("SessionPool", "once").await;
    world.until_gone("SessionPool", "once").await;
    let left = azure.find(&once).await.expect("it stays");
    assert!(left["tags"]["lifeguard-owner"].is_string());
    // The same object again finds its own resource.
    world.apply(&pool("once", &json!({"deletionPolicy": "Retain"}))).await;
    world.until_available("SessionPool", "once").await;
    assert_eq!(max_sessions(&azure.find(&once).await.expect("it")), 5);
    world.delete("SessionPool", "once").await;
    world.until_gone("SessionPool", "once").await;
    assert!(azure.find(&once).await.expect("retained")["tags"]["lifeguard-owner"].is_null());

    world.delete("SessionPool", "watched").await;
    world.until_gone("SessionPool", "watched").await;
    assert!(azure.find(&watched).await.is_some());
    // The pools by hand are in the way of the group.
    world.delete("ResourceGroup", "jobs").await;
    let blocked = world.until_reason("ResourceGroup", "jobs", "GroupNotEmpty").await;
    assert!(
        blocked.message.to_lowercase().contains(&watched.to_lowercase()),
        "{}",
        blocked.message
    );
    azure.delete(&watched).await;
    azure.delete(&once).await;
    world.until_gone("ResourceGroup", "jobs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_container_pool_gets_its_secrets_and_follows_their_change() {
    let world = World::new("custom").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    jobs_group(&world).await;
    world.until_available("ResourceGroup", "jobs").await;
    let environment = azure.environment(&world, "jobs").await;
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"}, "stringData": {"password": value}});
    let spec = json!({
        "resourceGroupRef": {"name": "jobs"}, "containerType": "CustomContainer", "environmentId": environment,
        "scaleConfiguration": {"maxConcurrentSessions": 5, "readySessionInstances": 1}, "interval": OFTEN,
        "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 600}},
        "secrets": [{"name": "password", "valueFrom": {"secretKeyRef": {"name": "registry", "key": "password"}}}],
        "customContainerTemplate": {
            "registryCredentials": {"server": "r.example", "username": "u", "passwordSecretRef": "password"},
            "containers": [{"name": "main", "image": "r.example/i:1", "resources": {"cpu": 0.5, "memory": "1Gi"},
                            "env": [{"name": "TOKEN", "secretRef": "password"}]}],
            "ingress": {"targetPort": 8080},
        },
    });
    world.apply(&object("SessionPool", "custom", &spec)).await;
    let missing = world.until_reason("SessionPool", "custom", "SecretNotFound").await;
    assert!(
        missing
            .message
            .contains("spec.secrets[0]: Secret registry does not exist"),
        "{}",
        missing.message
    );
    world.apply(&secret("canary-one")).await;
    world.until_available("SessionPool", "custom").await;
    let digest = |object: kube::api::DynamicObject| object.data["status"]["secretsDigest"].clone();
    let first = digest(world.read("SessionPool", "custom").await.expect("it"));
    assert!(first.is_string());

    world.apply(&secret("canary-two")).await;
    world
        .until("the new value is given", || async {
            let object = world.read("SessionPool", "custom").await?;
            (digest(object) != first).then_some(())
        })
        .await;
    world.until_available("SessionPool", "custom").await;
    assert!(
        !world.operator_log().contains("canary-"),
        "a secret value is in the log"
    );
    let object = world.read("SessionPool", "custom").await.expect("it");
    assert!(!serde_json::to_string(&object).expect("JSON").contains("canary-"));

    world.delete("SessionPool", "custom").await;
    world.until_gone("SessionPool", "custom").await;
    assert_eq!(azure.find(&azure.pool_id("jobs", "custom")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_refuses_is_said_once_and_not_sent_again() {
    let world = World::new("refused").await;
    world.hasten().await;
    jobs_group(&world).await;
    world
        .apply(&pool(
            "huge",
            &json!({"scaleConfiguration": {"maxConcurrentSessions": 9000}}),
        ))
        .await;
    let refused = world.until_reason("SessionPool", "huge", "Rejected").await;
    assert!(refused.message.contains("maxConcurrentSessions"), "{}", refused.message);
    let requests = world.until_read(&["/sessionPools/huge"], 5).await;
    let writes: Vec<_> = requests.iter().filter(|it| it["method"] == "PUT").collect();
    assert!(writes.is_empty(), "{writes:?}");
    world
        .merge(
            "SessionPool",
            "huge",
            &json!({"spec": {"scaleConfiguration": {"maxConcurrentSessions": 9}}}),
        )
        .await;
    world.until_available("SessionPool", "huge").await;

    world
        .behave(&json!({"arm": {"poolOutcome": "Failed", "asynchronousBuiltInPools": true}}))
        .await;
    world.apply(&pool("broken", &json!({}))).await;
    let failed = world.until_reason("SessionPool", "broken", "ProvisioningFailed").await;
    assert!(
        failed.message.contains("SessionPoolProvisioningFailed"),
        "{}",
        failed.message
    );
    world.behave(&json!({"arm": {"poolOutcome": "Succeeded"}})).await;
    world
        .merge(
            "SessionPool",
            "broken",
            &json!({"spec": {"scaleConfiguration": {"maxConcurrentSessions": 6}}}),
        )
        .await;
    world.until_available("SessionPool", "broken").await;
}
