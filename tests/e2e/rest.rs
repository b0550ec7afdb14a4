//! At rest nothing is written; in trouble nothing spins; what is deleted goes.

use std::time::Instant;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object, shell_pool, shortest_poll};

/// A group and a pool, compared with Azure at this interval.
async fn settled(world: &World, interval: &str) {
    let group = json!({"tags": {"a": "b"}, "interval": interval});
    world.apply(&object("ResourceGroup", "jobs", &group)).await;
    let mut pool = shell_pool("shell", 5);
    pool["spec"]["interval"] = interval.into();
    world.apply(&pool).await;
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
    settled(&world, OFTEN).await;
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
    let both = ["/resourceGroups/jobs", "/sessionPools/shell"];
    world.until_read(&both, 2).await;
    let before = versions().await;
    let requests = world.until_read(&both, 60).await;
    let writes: Vec<_> = of_resources(&requests)
        .into_iter()
        .filter(|it| it["method"] != "GET")
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(versions().await, before);
}

/// Requests for one change of a pool while one read and one write of it fail, at most: the change itself, three passes of a
/// read and a write, and a look after each change of the status.
const MOST_REQUESTS: usize = 12;

/// What a look at a group that is being deleted reads: the group, what is in it, and a token every now and then.
const REQUESTS_PER_LOOK: u128 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_resource_manager_delay_and_nothing_else() {
    let world = World::new("faults").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    // Looked at when they change, and otherwise hardly ever: so all requests are of faults and what they led to.
    settled(&world, "24h").await;
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
    let found = azure.find(&pool).await.expect("the pool");
    let mut drifted = json!({"location": found["location"], "tags": found["tags"], "properties": found["properties"]});
    for read_only in ["provisioningState", "poolManagementEndpoint", "nodeCount"] {
        drifted["properties"]
            .as_object_mut()
            .expect("an object")
            .remove(read_only);
    }
    for (round, action) in actions.iter().enumerate() {
        fault("GET", action).await;
        fault("PATCH", action).await;
        // A PUT, because a PATCH of the test's own would meet the fault in the operator's place.
        drifted["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = json!(50 + round);
        azure.put(&pool, &drifted).await;
        let touched = json!({"metadata": {"annotations": {"test": round.to_string()}}});
        world.merge("SessionPool", "shell", &touched).await;
        // The journal tells, because a GET of the test's own would meet the fault in the operator's place.
        world
            .until(&format!("the drift is repaired in spite of {action}"), || async {
                let requests = world.requests().await;
                let is_repair = |it: &Value| {
                    // An answer that was dropped was none for the journal either, but the write was made.
                    let is_made = action["dropResponse"] == true
                        || it["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
                    is_made
                        && it["method"] == "PATCH"
                        && it["path"]
                            .as_str()
                            .is_some_and(|path| path.ends_with("/sessionPools/shell"))
                };
                requests.iter().any(is_repair).then_some(())
            })
            .await;
        world.until_available("SessionPool", "shell").await;
        let asked = world.requests().await.len();
        assert!(asked <= MOST_REQUESTS, "{asked} requests because of {action}");
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
    world.forget_requests().await;
    let started = Instant::now();
    world.delete("SessionPool", "shell").await;
    world.delete("ResourceGroup", "jobs").await;
    world.until_gone("SessionPool", "shell").await;
    world.until_gone("ResourceGroup", "jobs").await;
    // Both are looked at again and again until Azure shows that they are gone, and their deletion is asked for once more
    // after each fault.
    let requests = world.requests().await;
    let deletions = requests.iter().filter(|it| it["method"] == "DELETE").count();
    assert!(
        deletions <= 2 + 3,
        "{deletions} deletions of two resources under three faults"
    );
    let looks = 1 + started.elapsed().as_millis() / shortest_poll().as_millis();
    let (asked, most) = (requests.len() as u128, 2 * REQUESTS_PER_LOOK * looks);
    assert!(asked < most, "{asked} requests, expected at most {most}");
    world.control(reqwest::Method::DELETE, "faults", None).await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
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
    settled(&world, OFTEN).await;
    delete_namespace(&world).await;
    until_namespace_is_gone(&world).await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_whose_tokens_are_lost_says_so_and_lets_go_on_demand() {
    let mut world = World::new("cold").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    settled(&world, OFTEN).await;
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
    settled(&world, OFTEN).await;
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
    let puts = world
        .requests()
        .await
        .into_iter()
        .filter(|it| it["method"] == "PUT" && it["status"] == 409);
    assert_eq!(puts.count(), 1, "it was tried");
    let group = azure.find(&azure.group_id("jobs")).await.expect("the group");
    assert_eq!(group["tags"].get("lifeguard-owner"), None);

    // One that had been published for the refusal would long be there when the next one is.
    world.control(reqwest::Method::DELETE, "faults", None).await;
    azure
        .put(
            &azure.group_id("jobs"),
            &json!({"location": "northcentralus", "tags": {"team": "other"}}),
        )
        .await;
    let touched = json!({"metadata": {"annotations": {"test": "touched"}}});
    world.merge("ResourceGroup", "jobs", &touched).await;
    world.until_available("ResourceGroup", "jobs").await;
    let events: Api<Event> = world.ours();
    let adoptions = world
        .until("it is told that the group was taken over", || async {
            let events = events.list(&ListParams::default()).await.ok()?.items;
            let adoptions: Vec<_> = events
                .into_iter()
                .filter(|it| it.reason.as_deref() == Some("Adopted"))
                .collect();
            (!adoptions.is_empty()).then_some(adoptions)
        })
        .await;
    assert_eq!(
        adoptions.len(),
        1,
        "once, and not of the write that was refused: {adoptions:?}"
    );
    let group = azure.find(&azure.group_id("jobs")).await.expect("the group");
    assert!(group["tags"]["lifeguard-owner"].is_string());
}
