//! At rest nothing is written; in trouble nothing spins; what is deleted goes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{World, object, shell_pool};

fn every_second(mut object: Value) -> Value {
    object["spec"]["interval"] = json!("1s");
    object
}

async fn settled(world: &World) {
    world
        .apply(&every_second(object(
            "ResourceGroup",
            "jobs",
            &json!({"tags": {"a": "b"}}),
        )))
        .await;
    world.apply(&every_second(shell_pool("shell", 5))).await;
    world.until_available("ResourceGroup", "jobs").await;
    world.until_available("SessionPool", "shell").await;
}

fn of_resources(requests: &[Value]) -> Vec<&Value> {
    let is_arm = |it: &&Value| {
        it["path"]
            .as_str()
            .is_some_and(|path| path.to_lowercase().contains("/resourcegroups/"))
    };
    requests.iter().filter(is_arm).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_sixty_drift_checks_at_rest_nothing_is_written() {
    let world = World::new("rest").await;
    world.hasten().await;
    settled(&world).await;
    let versions = || async {
        let mut versions = Vec::new();
        for (kind, name) in [
            ("AzureAccount", "default"),
            ("ResourceGroup", "jobs"),
            ("SessionPool", "shell"),
        ] {
            versions.push(world.read(kind, name).await.expect("it").metadata.resource_version);
        }
        versions
    };
    // The write that reported readiness is the last one.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = versions().await;
    world.forget_requests().await;
    let seen = |requests: &[Value], part: &str| {
        of_resources(requests)
            .into_iter()
            .filter(|it| {
                it["path"]
                    .as_str()
                    .is_some_and(|path| path.to_lowercase().ends_with(part))
            })
            .count()
    };
    world
        .until("sixty checks were made of both", || async {
            let requests = world.requests().await;
            (seen(&requests, "/sessionpools/shell") >= 60 && seen(&requests, "/resourcegroups/jobs") >= 60)
                .then_some(())
        })
        .await;
    let requests = world.requests().await;
    let writes: Vec<_> = of_resources(&requests)
        .into_iter()
        .filter(|it| it["method"] != "GET")
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_resource_manager_delay_and_nothing_else() {
    let world = World::new("faults").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    settled(&world).await;
    world.forget_requests().await;
    let path = "/resourceGroups/jobs";
    let fault = async |method: &str, action: &Value| {
        let fault = json!({"match": {"method": method, "path": path}, "times": 1, "action": action});
        world.fault(&fault).await;
    };
    let actions = [
        json!({"status": 429, "headers": {"Retry-After": "1"}}),
        json!({"status": 429}),
        json!({"status": 500, "body": {"error": {"code": "InternalServerError", "message": "x"}}}),
        json!({"status": 503, "body": "<html>busy</html>"}),
        json!({"status": 404, "body": "<html>who?</html>"}),
        json!({"reset": true}),
        json!({"dropResponse": true}),
        json!({"truncateBytes": 20}),
        json!({"delayMilliseconds": 700}),
    ];
    let pool = azure.pool_id("jobs", "shell");
    let mut passes = 0;
    for (round, action) in actions.iter().enumerate() {
        fault("GET", action).await;
        fault("PUT", action).await;
        azure
            .patch(
                &pool,
                &json!({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 50 + round}}}),
            )
            .await;
        // The journal tells, because a GET of the test's own would meet the fault in the operator's place.
        world
            .until(&format!("the drift is repaired in spite of {action}"), || async {
                let requests = world.requests().await;
                let is_repair = |it: &Value| {
                    // An answer that was dropped was none for the journal either, but the write was made.
                    let is_made = action["dropResponse"] == true
                        || it["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
                    is_made
                        && it["method"] == "PUT"
                        && it["path"]
                            .as_str()
                            .is_some_and(|path| path.ends_with("/sessionPools/shell"))
                };
                requests.iter().any(is_repair).then_some(())
            })
            .await;
        passes += world.requests().await.len();
        world.forget_requests().await;
    }
    world.control(reqwest::Method::DELETE, "faults", None).await;
    let repaired = azure.find(&pool).await.expect("the pool");
    assert_eq!(repaired["properties"]["scaleConfiguration"]["maxConcurrentSessions"], 5);
    world.until_available("SessionPool", "shell").await;
    for action in [&actions[0], &actions[4], &actions[6]] {
        fault("GET", action).await;
        fault("DELETE", action).await;
    }
    world.delete("SessionPool", "shell").await;
    world.delete("ResourceGroup", "jobs").await;
    world.until_gone("SessionPool", "shell").await;
    world.until_gone("ResourceGroup", "jobs").await;
    world.control(reqwest::Method::DELETE, "faults", None).await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
    passes += world.requests().await.len();
    assert!(passes < 1000, "{passes} requests are a hot loop");
}

async fn delete_namespace(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    api.delete(&world.namespace, &DeleteParams::default())
        .await
        .expect("it can be deleted");
}

async fn until_namespace_is_gone(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    world
        .until("the namespace is gone", || async {
            api.get_opt(&world.namespace)
                .await
                .expect("an answer")
                .is_none()
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_with_everything_in_it_while_the_operator_holds_its_tokens() {
    let world = World::new("warm").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    settled(&world).await;
    delete_namespace(&world).await;
    until_namespace_is_gone(&world).await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_tokens_are_lost_says_so_and_lets_go_on_demand() {
    let mut world = World::new("cold").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    settled(&world).await;
    world.kill_operator();
    delete_namespace(&world).await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = world.ours();
    world
        .until("the Secret is gone", || async {
            secrets
                .get_opt("default-credentials")
                .await
                .expect("an answer")
                .is_none()
                .then_some(())
        })
        .await;
    world.start_operator().await;
    let gone = world.until_reason("SessionPool", "shell", "CredentialGone").await;
    assert!(gone.message.contains("lifeguard.dev/abandon"), "{}", gone.message);
    assert!(
        gone.message.to_lowercase().contains("/sessionpools/shell"),
        "{}",
        gone.message
    );

    world
        .merge("SessionPool", "shell", &json!({"spec": {"deletionPolicy": "Retain"}}))
        .await;
    world.until_gone("SessionPool", "shell").await;
    let group = world.read("ResourceGroup", "jobs").await.expect("it waits");
    let uid = group.metadata.uid.expect("a uid");
    world
        .merge(
            "ResourceGroup",
            "jobs",
            &json!({"metadata": {"annotations": {"lifeguard.dev/abandon": "another"}}}),
        )
        .await;
    world.until_reason("ResourceGroup", "jobs", "CredentialGone").await;
    world
        .merge(
            "ResourceGroup",
            "jobs",
            &json!({"metadata": {"annotations": {"lifeguard.dev/abandon": uid}}}),
        )
        .await;
    until_namespace_is_gone(&world).await;
    assert!(azure.find(&azure.pool_id("jobs", "shell")).await.is_some());
    assert!(world.operator_log().contains("is left in Azure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_abandoned_goes_although_azure_refuses_to_show_it() {
    let world = World::new("refused").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    settled(&world).await;
    let denied = json!({"error": {"code": "AuthorizationFailed", "message": "the role was taken away"}});
    world
        .fault(&json!({
            "match": {"method": "GET", "path": r"/sessionPools/shell\?"}, "times": 100_000,
            "action": {"status": 403, "body": denied},
        }))
        .await;
    world.delete("SessionPool", "shell").await;
    world.until_reason("SessionPool", "shell", "Unauthorized").await;
    let pool = world.read("SessionPool", "shell").await.expect("it waits");
    let annotations = json!({"lifeguard.dev/abandon": pool.metadata.uid.expect("a uid")});
    world
        .merge(
            "SessionPool",
            "shell",
            &json!({"metadata": {"annotations": annotations}}),
        )
        .await;
    world.until_gone("SessionPool", "shell").await;
    world.control(reqwest::Method::DELETE, "faults", None).await;
    assert!(azure.find(&azure.pool_id("jobs", "shell")).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_does_not_let_be_claimed_is_not_said_to_be_taken_over() {
    let world = World::new("locked").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    azure
        .put(&azure.group_id("jobs"), &json!({"location": "northcentralus"}))
        .await;
    let locked = json!({"error": {"code": "ScopeLocked", "message": "the group is locked"}});
    world
        .fault(&json!({
            "match": {"method": "PUT", "path": r"/resourceGroups/jobs\?"}, "times": 1000,
            "action": {"status": 409, "body": locked},
        }))
        .await;
    let policies = json!({"managementPolicy": "CreateOnly", "adoptionPolicy": "IfExists"});
    world.apply(&object("ResourceGroup", "jobs", &policies)).await;
    let refused = world.until_reason("ResourceGroup", "jobs", "Rejected").await;
    assert!(refused.message.contains("ScopeLocked"), "{}", refused.message);
    assert!(!world.operator_log().contains("was taken over"));
}
