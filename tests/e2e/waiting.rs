//! What is waited for has an end, what was refused is tried again, what works goes on, and what cannot go says how it can.

use lifeguard::api::command_job::Phase;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::hosts::APPS;
use crate::jobs::result;
use crate::world::{OFTEN, World, object, script, shell_pool};

async fn world(name: &str) -> (World, Azure) {
    let world = World::new(name).await;
    world.hasten().await;
    // These tests ask much more often than the service lets anybody.
    world.behave(&json!({"arm": {"throttling": false}})).await;
    let azure = Azure::login(&world).await;
    (world, azure)
}

/// A pool that is often compared with Azure, with these members.
fn pool(name: &str, members: &Value) -> Value {
    let mut pool = shell_pool(name, 5);
    let members = members.as_object().expect("an object").clone();
    pool["spec"]["interval"] = OFTEN.into();
    pool["spec"].as_object_mut().expect("an object").extend(members);
    pool
}

async fn has_condition(world: &World, kind: &str, name: &str, condition: &str) -> bool {
    let object = world.read(kind, name).await.expect("the object");
    let conditions = object.data["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .iter()
        .any(|it| it["type"] == condition && it["status"] == "True")
}

/// The message of the condition, once it is there. Of one read, because between two the object may change.
async fn until_stalled(world: &World, kind: &str, name: &str, reason: &str) -> String {
    world
        .until(&format!("{kind} {name} is stalled for {reason}"), || async {
            let object = world.read(kind, name).await?;
            let conditions = object.data["status"]["conditions"].as_array()?;
            let stalled = conditions
                .iter()
                .find(|it| it["type"] == "Stalled" && it["status"] == "True")?;
            (stalled["reason"] == reason).then(|| stalled["message"].as_str().map(str::to_owned))?
        })
        .await
}

/// An answer in the place of Azure's own, until [`answer_again`] or for so many times.
async fn answer(world: &World, method: &str, path: &str, times: usize, status: u16, code: &str) {
    let body = json!({"error": {"code": code, "message": format!("{code} of this test.")}});
    let action = json!({"status": status, "body": body});
    world
        .fault(&json!({"match": {"method": method, "path": path}, "times": times, "action": action}))
        .await;
}

async fn answer_again(world: &World) {
    world.control(reqwest::Method::DELETE, "faults", None).await;
}

/// The principal that a resource has by an identity, and that of the identity itself.
async fn principals(azure: &Azure, resource: &str, identity: &str) -> Option<(String, String)> {
    let block = azure.find(resource).await?["identity"]["userAssignedIdentities"].clone();
    let attached = block
        .as_object()?
        .iter()
        .find(|(id, _)| id.eq_ignore_ascii_case(identity))?;
    let own = azure.find(identity).await?["properties"]["principalId"]
        .as_str()?
        .to_owned();
    Some((attached.1["principalId"].as_str()?.to_owned(), own))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_deleted_and_made_again_is_attached_again_whoever_made_it_and_however_it_is_named() {
    let (world, azure) = world("made-again").await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    let managed = json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN});
    world.apply(&object("ManagedIdentity", "managed", &managed)).await;
    world.until_available("ManagedIdentity", "managed").await;
    azure.container_app(&world, "web").await;
    azure.container_group(&world, "batch").await;
    let foreign = azure.identity_id(APPS, "foreign");
    azure.put(&foreign, &json!({"location": "northcentralus"})).await;
    let both = json!({"type": "UserAssigned", "userAssignedIdentities": [
        {"managedIdentityRef": {"name": "managed"}}, {"resourceId": foreign},
    ]});
    let targets = [
        (
            "app",
            json!({"containerApp": {"name": "web", "resourceGroup": APPS}}),
            azure.app_id(APPS, "web"),
        ),
        (
            "group",
            json!({"containerGroup": {"name": "batch", "resourceGroup": APPS}}),
            azure.container_group_id(APPS, "batch"),
        ),
    ];
    for (name, target, _) in &targets {
        let spec = json!({"interval": OFTEN, "target": target, "identity": both});
        world.apply(&object("IdentityAssignment", name, &spec)).await;
    }
    world.apply(&pool("shell", &json!({"identity": both}))).await;
    for (kind, name) in [
        ("IdentityAssignment", "app"),
        ("IdentityAssignment", "group"),
        ("SessionPool", "shell"),
    ] {
        world.until_available(kind, name).await;
    }
    let managed = azure.identity_id("jobs", "managed");
    let pool = azure.pool_id("jobs", "shell");
    let resources: Vec<&str> = targets
        .iter()
        .map(|(_, _, id)| id.as_str())
        .chain([pool.as_str()])
        .collect();

    azure.delete(&managed).await;
    azure.delete(&foreign).await;
    azure.put(&foreign, &json!({"location": "northcentralus"})).await;
    for resource in resources {
        for identity in [&managed, &foreign] {
            world
                .until(&format!("{resource} has the new principal of {identity}"), || async {
                    let (attached, own) = principals(&azure, resource, identity).await?;
                    (attached == own).then_some(())
                })
                .await;
        }
    }
    for (kind, name) in [
        ("IdentityAssignment", "app"),
        ("IdentityAssignment", "group"),
        ("SessionPool", "shell"),
    ] {
        world.until_available(kind, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_others_that_is_gone_does_not_stop_a_change_of_the_pool_that_has_it() {
    let (world, azure) = world("dead-identity").await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.apply(&pool("shell", &json!({}))).await;
    world.until_available("SessionPool", "shell").await;
    let gone = azure.identity_id("jobs", "gone");
    azure.put(&gone, &json!({"location": "northcentralus"})).await;
    let id = azure.pool_id("jobs", "shell");
    let block = json!({"type": "UserAssigned", "userAssignedIdentities": {gone.clone(): {}}});
    azure.patch(&id, &json!({"identity": block})).await;
    azure.until_succeeded(&world, &id).await;
    azure.delete(&gone).await;

    let scale = json!({"scaleConfiguration": {"maxConcurrentSessions": 7}});
    world.apply(&pool("shell", &scale)).await;
    world.until_available("SessionPool", "shell").await;
    let found = azure.find(&id).await.expect("the pool");
    assert_eq!(found["properties"]["scaleConfiguration"]["maxConcurrentSessions"], 7);
    let attached = found["identity"]["userAssignedIdentities"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(attached, Some(1), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_identity_is_stalled_with_its_id_while_the_pool_serves_jobs_and_is_attached_once_it_exists() {
    let (world, azure) = world("mistyped").await;
    world.pool("shell", 5).await;
    azure.container_app(&world, "web").await;
    let mistyped = azure.identity_id("jobs", "audti");
    let block = json!({"type": "UserAssigned", "userAssignedIdentities": [{"resourceId": mistyped}]});
    world.apply(&pool("shell", &json!({"identity": block}))).await;
    let target = json!({"containerApp": {"name": "web", "resourceGroup": APPS}});
    let spec = json!({"interval": OFTEN, "target": target, "identity": block});
    world.apply(&object("IdentityAssignment", "app", &spec)).await;
    for (kind, name) in [("SessionPool", "shell"), ("IdentityAssignment", "app")] {
        let waiting = world.until_reason(kind, name, "IdentityNotFound").await;
        assert!(waiting.message.contains("audti"), "{waiting:?}");
    }
    assert!(!has_condition(&world, "SessionPool", "shell", "Stalled").await);
    assert!(has_condition(&world, "SessionPool", "shell", "Provisioned").await);
    let job = world.run("meanwhile", &script("echo works")).await;
    assert_eq!(
        job.status.as_ref().and_then(|it| it.phase),
        Some(Phase::Succeeded),
        "{:?}",
        result(&job)
    );

    for (kind, name) in [("SessionPool", "shell"), ("IdentityAssignment", "app")] {
        let message = until_stalled(&world, kind, name, "IdentityNotFound").await;
        assert!(message.contains("audti") && message.contains("10 minutes"), "{message}");
    }
    azure.put(&mistyped, &json!({"location": "northcentralus"})).await;
    for (kind, name) in [("SessionPool", "shell"), ("IdentityAssignment", "app")] {
        world.until_available(kind, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passed_is_overcome_without_a_change_of_the_object() {
    let (world, azure) = world("refused-once").await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.until_available("ResourceGroup", "jobs").await;
    for (number, (status, code)) in [
        (409, "ScopeLocked"),
        (403, "RequestDisallowedByPolicy"),
        (400, "QuotaExceeded"),
        (423, "Locked"),
        (400, "SomethingNew"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("pool-{number}");
        answer(&world, "PUT", &format!(r"/sessionPools/{name}\?"), 1, status, code).await;
        world.apply(&pool(&name, &json!({}))).await;
    }
    for number in 0..5 {
        world.until_available("SessionPool", &format!("pool-{number}")).await;
    }
    // A change as well as a creation.
    answer(&world, "PATCH", r"/sessionPools/pool-0\?", 1, 409, "ScopeLocked").await;
    let scale = json!({"scaleConfiguration": {"maxConcurrentSessions": 7}});
    world.apply(&pool("pool-0", &scale)).await;
    let refused = world.until_reason("SessionPool", "pool-0", "Rejected").await;
    assert!(refused.message.contains("ScopeLocked"), "{refused:?}");
    assert!(has_condition(&world, "SessionPool", "pool-0", "Provisioned").await);
    world.until_available("SessionPool", "pool-0").await;

    let role = json!({
        "role": "Azure ContainerApps Session Executor", "principal": {"managedIdentityRef": {"name": "runner"}},
        "scope": {"sessionPoolRef": {"name": "pool-1"}},
    });
    let path = "/roleAssignments/";
    answer(&world, "PUT", path, 1, 400, "HashConflictOnDifferentRoleAssignmentIds").await;
    let identity = json!({"resourceGroupRef": {"name": "jobs"}});
    world.apply(&object("ManagedIdentity", "runner", &identity)).await;
    world.apply(&object("RoleAssignment", "runner", &role)).await;
    world.until_available("RoleAssignment", "runner").await;
    drop(azure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_comes_after_the_object_is_waited_for_and_one_that_never_comes_is_stalled() {
    let (world, _azure) = world("right-comes-late").await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.until_available("ResourceGroup", "jobs").await;
    answer(
        &world,
        "PUT",
        r"/sessionPools/shell\?",
        1000,
        403,
        "AuthorizationFailed",
    )
    .await;
    world.apply(&pool("shell", &json!({}))).await;
    world.until_reason("SessionPool", "shell", "Unauthorized").await;
    assert!(!has_condition(&world, "SessionPool", "shell", "Stalled").await);
    assert!(has_condition(&world, "SessionPool", "shell", "Reconciling").await);
    let message = until_stalled(&world, "SessionPool", "shell", "Unauthorized").await;
    assert!(message.contains("role"), "{message}");
    answer_again(&world).await;
    world.until_available("SessionPool", "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_whose_account_lost_its_rights_say_how_they_can_go_and_retain_always_lets_go() {
    let (world, azure) = world("lost-rights").await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    let retained = json!({"deletionPolicy": "Retain"});
    world.apply(&pool("kept", &retained)).await;
    world.apply(&pool("shut", &retained)).await;
    world.apply(&pool("stuck", &json!({}))).await;
    world.apply(&pool("vanished", &json!({}))).await;
    let identity = json!({"resourceGroupRef": {"name": "jobs"}});
    world.apply(&object("ManagedIdentity", "runner", &identity)).await;
    let role = json!({
        "role": "Azure ContainerApps Session Executor", "principal": {"managedIdentityRef": {"name": "runner"}},
        "scope": {"sessionPoolRef": {"name": "stuck"}},
    });
    world.apply(&object("RoleAssignment", "runner", &role)).await;
    let all = [
        ("SessionPool", "kept"),
        ("SessionPool", "shut"),
        ("SessionPool", "stuck"),
        ("SessionPool", "vanished"),
        ("ManagedIdentity", "runner"),
        ("RoleAssignment", "runner"),
    ];
    for (kind, name) in all {
        world.until_available(kind, name).await;
    }
    // One may still be read and no longer be written.
    answer(
        &world,
        "PATCH",
        r"/sessionPools/shut\?",
        1000,
        403,
        "AuthorizationFailed",
    )
    .await;
    for path in [
        "/sessionPools/(kept|stuck|vanished)",
        "/userAssignedIdentities/runner",
        "/roleAssignments",
    ] {
        answer(&world, "GET", path, 100_000, 403, "AuthorizationFailed").await;
        answer(&world, "DELETE", path, 100_000, 403, "AuthorizationFailed").await;
    }
    for (kind, name) in all.into_iter().filter(|(_, name)| *name != "vanished") {
        world.delete(kind, name).await;
    }
    world.until_gone("SessionPool", "kept").await;
    world.until_gone("SessionPool", "shut").await;
    for (kind, name) in [("SessionPool", "stuck"), ("RoleAssignment", "runner")] {
        let told = world.until_reason(kind, name, "Unauthorized").await.message;
        let object = world.read(kind, name).await.expect("it is still there");
        let uid = object.metadata.uid.expect("a uid");
        for way in [
            "Give the account the role",
            "spec.deletionPolicy to Retain",
            "lifeguard.dev/abandon",
            &uid,
        ] {
            assert!(told.contains(way), "{kind} {name}: {told}");
        }
    }
    world
        .merge(
            "SessionPool",
            "stuck",
            &json!({"metadata": {"annotations": {"lifeguard.dev/abandon": "true"}}}),
        )
        .await;
    world
        .until("the wrong value is told", || async {
            let told = world.standing("SessionPool", "stuck").await?.message;
            told.contains("is ignored").then_some(())
        })
        .await;
    for (kind, name) in [
        ("RoleAssignment", "runner"),
        ("SessionPool", "stuck"),
        ("ManagedIdentity", "runner"),
    ] {
        let uid = world.read(kind, name).await.expect("it is still there").metadata.uid;
        world
            .merge(
                kind,
                name,
                &json!({"metadata": {"annotations": {"lifeguard.dev/abandon": uid}}}),
            )
            .await;
        world.until_gone(kind, name).await;
    }
    // Whose group is known to be gone is gone.
    answer(
        &world,
        "GET",
        r"/resourceGroups/jobs\?",
        100_000,
        404,
        "ResourceGroupNotFound",
    )
    .await;
    world.delete("SessionPool", "vanished").await;
    world.until_gone("SessionPool", "vanished").await;
    drop(azure);
}
