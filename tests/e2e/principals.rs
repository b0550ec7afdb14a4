//! Whom roles are assigned to: unknown yet, made anew, and given up.

use serde_json::{Value, json};

use crate::hosts::APPS;
use crate::roles::{EXECUTOR, assigned, assignment, shell, text, with};
use crate::world::{OFTEN, object};

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_that_entra_does_not_know_is_waited_for() {
    let (world, azure) = with("roles-principal", &[]).await;
    world.pool("shell", 5).await;
    let nobody = json!({"principalId": "12345678-0000-0000-0000-000000000000", "principalType": "Group"});
    world.apply(&assignment("nobody", &nobody, EXECUTOR, &shell())).await;
    let waiting = world
        .until_reason("RoleAssignment", "nobody", "PrincipalNotFound")
        .await;
    assert_eq!(waiting.status, "False");
    let conditions = world.read("RoleAssignment", "nobody").await.expect("it").data["status"]["conditions"].clone();
    let is_there = |kind: &str| {
        conditions
            .as_array()
            .is_some_and(|it| it.iter().any(|it| it["type"] == kind))
    };
    assert!(is_there("Reconciling") && !is_there("Stalled"), "{conditions}");
    world.delete("RoleAssignment", "nobody").await;
    world.until_gone("RoleAssignment", "nobody").await;
    assert_eq!(
        assigned(&azure, &azure.pool_id("jobs", "shell")).await,
        Vec::<Value>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_recreated_gets_a_new_assignment_and_the_orphan_is_removed() {
    let (mut world, azure) = with("roles-identity", &[]).await;
    // Everything at once, and what needs the others first.
    world
        .apply(&assignment(
            "executor",
            &json!({"managedIdentityRef": {"name": "runner"}}),
            EXECUTOR,
            &shell(),
        ))
        .await;
    world
        .apply(&object(
            "ManagedIdentity",
            "runner",
            &json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN}),
        ))
        .await;
    world.pool("shell", 5).await;
    world.until_available("RoleAssignment", "executor").await;
    let pool = azure.pool_id("jobs", "shell");
    let before = assigned(&azure, &pool).await;
    assert_eq!(before.len(), 1, "{before:#?}");

    // An operator that wrote it just now would think that Azure does not show it yet.
    world.kill_operator();
    azure.delete(&azure.identity_id("jobs", "runner")).await;
    world.start_operator().await;
    let after = world
        .until("the new principal has the role, and the old one has not", || async {
            let found = assigned(&azure, &pool).await;
            let is_new = found.len() == 1 && found[0]["name"] != before[0]["name"];
            is_new.then_some(found)
        })
        .await;
    world.until_available("RoleAssignment", "executor").await;
    let identity = azure
        .find(&azure.identity_id("jobs", "runner"))
        .await
        .expect("an identity");
    assert_eq!(
        after[0]["properties"]["principalId"],
        identity["properties"]["principalId"]
    );
    assert_ne!(
        after[0]["properties"]["principalId"],
        before[0]["properties"]["principalId"]
    );

    // The identity alone: it waits for the assignment, which takes itself back.
    world.delete("ManagedIdentity", "runner").await;
    world.until_gone("ManagedIdentity", "runner").await;
    assert_eq!(assigned(&azure, &pool).await, Vec::<Value>::new());
    world
        .until_reason("RoleAssignment", "executor", "ReferenceNotFound")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_assigned_identity_that_its_identity_assignment_gives_up_takes_its_role_assignment_with_it() {
    let (world, azure) = with("roles-system", &[]).await;
    let app = azure.container_app(&world, "web").await;
    world.pool("shell", 5).await;
    let web_has = |identity: Value| {
        let target = json!({"containerApp": {"name": "web", "resourceGroup": APPS}});
        let spec = json!({"interval": OFTEN, "target": target, "identity": identity});
        object("IdentityAssignment", "web", &spec)
    };
    let identity = json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN});
    world.apply(&object("ManagedIdentity", "another", &identity)).await;
    world.apply(&web_has(json!({"type": "SystemAssigned"}))).await;
    let web = json!({"identityAssignmentRef": {"name": "web"}});
    world.apply(&assignment("executor", &web, EXECUTOR, &shell())).await;
    world.until_available("RoleAssignment", "executor").await;
    let pool = azure.pool_id("jobs", "shell");
    assert_eq!(assigned(&azure, &pool).await.len(), 1);

    let another = json!([{"managedIdentityRef": {"name": "another"}}]);
    world
        .apply(&web_has(
            json!({"type": "UserAssigned", "userAssignedIdentities": another}),
        ))
        .await;
    world
        .until("the assignment is taken back", || async {
            let status = world.read("RoleAssignment", "executor").await?.data["status"].clone();
            (status.get("id").is_none() && assigned(&azure, &pool).await.is_empty()).then_some(())
        })
        .await;
    world
        .until_reason("RoleAssignment", "executor", "ReferenceNotReady")
        .await;

    world.apply(&web_has(json!({"type": "SystemAssigned"}))).await;
    world.until_available("RoleAssignment", "executor").await;
    let found = azure.find(&app).await.expect("the app");
    let made = assigned(&azure, &pool).await;
    assert_eq!(made.len(), 1);
    assert_eq!(text(&made[0], "principalId"), found["identity"]["principalId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_own_identity_gets_a_role_and_the_pool_outlives_the_assignment() {
    let (world, azure) = with("roles-own", &[]).await;
    world.pool("shell", 5).await;
    let agent = |identity: Value| {
        let spec = json!({
            "interval": OFTEN, "resourceGroupRef": {"name": "jobs"}, "containerType": "Shell", "identity": identity,
        });
        object("SessionPool", "agent", &spec)
    };
    // Everything at once: the assignment waits for the pool.
    let own = json!({"sessionPoolRef": {"name": "agent"}});
    world.apply(&assignment("executor", &own, EXECUTOR, &shell())).await;
    world.apply(&agent(json!({"type": "SystemAssigned"}))).await;
    world.until_available("RoleAssignment", "executor").await;
    let pool = azure.pool_id("jobs", "shell");
    let principal =
        azure.find(&azure.pool_id("jobs", "agent")).await.expect("the pool")["identity"]["principalId"].clone();
    let made = assigned(&azure, &pool).await;
    assert_eq!(made.len(), 1);
    assert_eq!(text(&made[0], "principalId"), principal);

    // The pool alone: it waits for the assignment, which takes itself back.
    world.delete("SessionPool", "agent").await;
    world.until_gone("SessionPool", "agent").await;
    assert_eq!(assigned(&azure, &pool).await, Vec::<Value>::new());
    world
        .until_reason("RoleAssignment", "executor", "ReferenceNotFound")
        .await;
}
