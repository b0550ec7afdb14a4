//! RoleAssignments: made, refused, adopted, repaired, replaced and taken back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::jobs::result;
use crate::world::{OFTEN, World, WorldOptions, object, script, shell_pool};

pub const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

pub fn assignment(name: &str, principal: &Value, role: &str, scope: &Value) -> Value {
    object(
        "RoleAssignment",
        name,
        &json!({"principal": principal, "role": role, "scope": scope, "interval": OFTEN}),
    )
}

/// An application that may do nothing, as somebody registered it in Microsoft Entra ID.
async fn application(world: &World) -> Value {
    world.control(Method::POST, "applications", Some(&json!({}))).await
}

fn principal(application: &Value) -> Value {
    json!({"principalId": application["objectId"], "principalType": "ServicePrincipal"})
}

pub fn shell() -> Value {
    json!({"sessionPoolRef": {"name": "shell"}})
}

pub async fn with(name: &str, arguments: &[&str]) -> (World, Azure) {
    let options = WorldOptions {
        arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    (world, azure)
}

/// The assignments at exactly this scope.
pub async fn assigned(azure: &Azure, scope: &str) -> Vec<Value> {
    let all = azure
        .list(&format!("{scope}/providers/Microsoft.Authorization/roleAssignments"))
        .await;
    let is_here = |it: &Value| {
        it["properties"]["scope"]
            .as_str()
            .is_some_and(|it| it.eq_ignore_ascii_case(scope))
    };
    all.into_iter().filter(is_here).collect()
}

pub fn text<'a>(assignment: &'a Value, name: &str) -> &'a str {
    assignment["properties"][name].as_str().unwrap_or_default()
}

/// The writes of role assignments since the requests were last forgotten.
async fn writes(world: &World) -> Vec<Value> {
    let of_assignments = |it: &Value| {
        it["path"]
            .as_str()
            .is_some_and(|it| it.to_lowercase().contains("/roleassignments/"))
    };
    let requests = world.requests().await;
    requests
        .into_iter()
        .filter(|it| it["method"] != "GET" && of_assignments(it))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_waits_for_its_pool_is_made_once_repaired_and_taken_back() {
    let (world, azure) = with("roles", &[]).await;
    let somebody = application(&world).await;
    let executor = "azure containerapps session EXECUTOR";
    world
        .apply(&assignment("first", &principal(&somebody), executor, &shell()))
        .await;
    world.until_reason("RoleAssignment", "first", "ReferenceNotFound").await;
    world.pool("shell", 5).await;
    world.until_available("RoleAssignment", "first").await;

    let pool = azure.pool_id("jobs", "shell");
    let found = assigned(&azure, &pool).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(text(&found[0], "roleDefinitionId").ends_with(EXECUTOR), "{found:#?}");
    assert_eq!(found[0]["properties"]["principalId"], somebody["objectId"]);
    let owner = text(&found[0], "description");
    assert!(
        owner.starts_with("lifeguard-owner: ") && owner.contains(&format!("/{}/first/", world.namespace)),
        "{owner}"
    );
    let status = world.read("RoleAssignment", "first").await.expect("it").data["status"].clone();
    assert_eq!(status["id"], found[0]["id"]);
    assert_eq!(status["principalId"], somebody["objectId"]);
    assert_eq!(
        status["scope"].as_str().map(str::to_lowercase),
        Some(pool.to_lowercase())
    );

    // The same once more: the pool by its id, the role by its GUID.
    let by_id = json!({"resourceId": pool.to_uppercase().replace("/SUBSCRIPTIONS/", "/subscriptions/")});
    world
        .apply(&assignment("second", &principal(&somebody), EXECUTOR, &by_id))
        .await;
    let second = world.until_reason("RoleAssignment", "second", "AlreadyExists").await;
    assert!(second.message.contains("/first/"), "{}", second.message);

    // Nothing is written at rest, and what is deleted by hand is made again under the same name.
    world.forget_requests().await;
    world
        .until("there were some looks", || async {
            let looks = world.requests().await.len();
            (looks > 20).then_some(())
        })
        .await;
    assert_eq!(writes(&world).await, Vec::<Value>::new());
    let id = found[0]["id"].as_str().expect("an id").to_owned();
    azure.delete(&id).await;
    world
        .until("the assignment is made again", || async {
            azure.find(&id).await.map(|_| ())
        })
        .await;
    assert_eq!(assigned(&azure, &pool).await.len(), 1);

    // The second one takes its turn when the first is gone.
    world.delete("RoleAssignment", "first").await;
    world.until_gone("RoleAssignment", "first").await;
    world.until_available("RoleAssignment", "second").await;
    let found = assigned(&azure, &pool).await;
    assert!(text(&found[0], "description").contains("/second/"), "{found:#?}");

    // Everything at once: the scope may go before what is assigned at it.
    for (kind, name) in [
        ("ResourceGroup", "jobs"),
        ("SessionPool", "shell"),
        ("RoleAssignment", "second"),
    ] {
        world.delete(kind, name).await;
    }
    for (kind, name) in [
        ("RoleAssignment", "second"),
        ("SessionPool", "shell"),
        ("ResourceGroup", "jobs"),
    ] {
        world.until_gone(kind, name).await;
    }
    assert_eq!(azure.find(&id).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_without_its_pool_is_taken_back_and_made_again_with_it() {
    let (world, azure) = with("roles-wait", &[]).await;
    let somebody = application(&world).await;
    world.pool("shell", 5).await;
    world
        .apply(&assignment("executor", &principal(&somebody), EXECUTOR, &shell()))
        .await;
    world.until_available("RoleAssignment", "executor").await;
    // The pool stays in Azure: what is taken back is taken back by the operator.
    world
        .merge("SessionPool", "shell", &json!({"spec": {"deletionPolicy": "Retain"}}))
        .await;
    world.until_available("SessionPool", "shell").await;
    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    let pool = azure.pool_id("jobs", "shell");
    world
        .until("the assignment is taken back", || async {
            let status = world.read("RoleAssignment", "executor").await?.data["status"].clone();
            (status.get("id").is_none() && assigned(&azure, &pool).await.is_empty()).then_some(())
        })
        .await;
    world
        .until_reason("RoleAssignment", "executor", "ReferenceNotFound")
        .await;
    assert!(azure.find(&pool).await.is_some());
    let mut again = shell_pool("shell", 5);
    again["spec"]["adoptionPolicy"] = json!("IfExists");
    world.apply(&again).await;
    world.until_available("RoleAssignment", "executor").await;
    assert_eq!(assigned(&azure, &pool).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_assigned_by_hand_is_refused_then_adopted_and_kept() {
    let (world, azure) = with("roles-adopt", &[]).await;
    let somebody = application(&world).await;
    world.pool("shell", 5).await;
    let pool = azure.pool_id("jobs", "shell");
    let by_hand = format!(
        "{pool}/providers/Microsoft.Authorization/roleAssignments/{}",
        uuid::Uuid::new_v4()
    );
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{EXECUTOR}",
        azure.subscription_id()
    );
    let properties = json!({
        "roleDefinitionId": role, "principalId": somebody["objectId"], "principalType": "ServicePrincipal",
        "description": "by hand",
    });
    azure.put(&by_hand, &json!({"properties": properties})).await;
    world
        .apply(&assignment("executor", &principal(&somebody), EXECUTOR, &shell()))
        .await;
    let refused = world.until_reason("RoleAssignment", "executor", "AlreadyExists").await;
    assert!(refused.message.contains("spec.adoptionPolicy"), "{}", refused.message);
    world
        .merge(
            "RoleAssignment",
            "executor",
            &json!({"spec": {"adoptionPolicy": "IfExists"}}),
        )
        .await;
    world.until_available("RoleAssignment", "executor").await;
    let found = assigned(&azure, &pool).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(text(&found[0], "description").contains("/adopted/"), "{found:#?}");
    world.delete("RoleAssignment", "executor").await;
    world.until_gone("RoleAssignment", "executor").await;
    let kept = azure.find(&by_hand).await.expect("it is kept");
    assert_eq!(text(&kept, "description"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_installation_does_not_grant_is_never_written() {
    let (world, azure) = with("roles-grant", &[]).await;
    azure.register().await;
    let somebody = principal(&application(&world).await);
    world.pool("shell", 5).await;
    // A group and a pool that others made: one adopts the group, one only observes the pool.
    azure
        .put(&azure.group_id("theirs"), &json!({"location": "northcentralus"}))
        .await;
    let by_hand = json!({
        "location": "northcentralus",
        "properties": {
            "containerType": "Shell", "poolManagementType": "Dynamic",
            "scaleConfiguration": {"maxConcurrentSessions": 3},
            "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 600}},
        },
    });
    azure.put(&azure.pool_id("theirs", "secret"), &by_hand).await;
    world
        .apply(&object(
            "ResourceGroup",
            "theirs",
            &json!({"adoptionPolicy": "IfExists"}),
        ))
        .await;
    let mut observed = shell_pool("observed", 3);
    observed["spec"] = json!({
        "resourceGroup": "theirs", "azureName": "secret", "containerType": "Shell", "managementPolicy": "ObserveOnly",
    });
    world.apply(&observed).await;
    world.until_available("ResourceGroup", "theirs").await;
    world
        .until("the pool is observed", || async {
            let ready = world.standing("SessionPool", "observed").await?;
            (ready.status == "True").then_some(())
        })
        .await;
    world.forget_requests().await;

    let subscription = azure.subscription_id();
    let group = |name: &str| json!({"resourceGroupRef": {"name": name}});
    let id = |id: &str| json!({"resourceId": id});
    for (name, role, scope) in [
        ("owner", "Owner", shell()),
        ("contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c", group("jobs")),
        ("subscription", EXECUTOR, id(&subscription)),
        ("adopted-group", EXECUTOR, group("theirs")),
        ("adopted-group-by-id", EXECUTOR, id(&azure.group_id("theirs"))),
        ("observed", EXECUTOR, json!({"sessionPoolRef": {"name": "observed"}})),
        ("observed-by-id", EXECUTOR, id(&azure.pool_id("theirs", "secret"))),
    ] {
        world.apply(&assignment(name, &somebody, role, &scope)).await;
        let refused = world.until_reason("RoleAssignment", name, "RoleNotGrantable").await;
        assert!(
            refused.message.contains("administrator") && refused.message.contains("--grantable-role"),
            "{name}: {}",
            refused.message
        );
    }
    assert_eq!(writes(&world).await, Vec::<Value>::new());
    // What a group that was created holds is of whoever put it there.
    world
        .apply(&assignment("created-group", &somebody, EXECUTOR, &group("jobs")))
        .await;
    world.until_available("RoleAssignment", "created-group").await;
    // Whoever may write tags says that the group was created, while its object rests.
    let rests = json!({"spec": {"suspend": true}});
    world.merge("ResourceGroup", "theirs", &rests).await;
    world.until_reason("ResourceGroup", "theirs", "Suspended").await;
    let theirs = azure.group_id("theirs");
    let mark = azure.find(&theirs).await.expect("the group")["tags"]["lifeguard-owner"].clone();
    let mark = mark.as_str().expect("a mark").to_owned();
    assert!(mark.contains("/adopted/"), "{mark}");
    let unsealed = mark.rsplit_once('/').expect("a seal").0.replace("/adopted", "/created");
    for forged in [mark.replace("/adopted/", "/created/"), unsealed] {
        let body = json!({"location": "northcentralus", "tags": {"lifeguard-owner": forged}});
        azure.put(&theirs, &body).await;
        let now = forged.rsplit('/').next().expect("a part").replace(['-', '_'], "x");
        for (kind, name) in [("ResourceGroup", "theirs"), ("RoleAssignment", "adopted-group")] {
            let asked = json!({"metadata": {"annotations": {"lifeguard.dev/reconcile-requested-at": now}}});
            world.merge(kind, name, &asked).await;
            let status = world
                .until("it was looked at again", || async {
                    let status = world.read(kind, name).await?.data["status"].clone();
                    (status["lastHandledReconcileAt"] == *now).then_some(status)
                })
                .await;
            if kind == "ResourceGroup" {
                assert_eq!(status["ownership"], "Adopted");
            }
        }
        world
            .until_reason("RoleAssignment", "adopted-group", "RoleNotGrantable")
            .await;
    }
    assert_eq!(assigned(&azure, &theirs).await, Vec::<Value>::new());
    // The object puts its mark right.
    world
        .merge("ResourceGroup", "theirs", &json!({"spec": {"suspend": false}}))
        .await;
    world
        .until("the mark is as it was", || async {
            let found = azure.find(&theirs).await?;
            (found["tags"]["lifeguard-owner"] == *mark).then_some(())
        })
        .await;
    // An object that was refused holds nothing and goes.
    world.delete("RoleAssignment", "owner").await;
    world.until_gone("RoleAssignment", "owner").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_grants_roles_by_guid_below_a_scope_and_names_are_looked_up() {
    let line = format!("{READER}@/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000002/resourcegroups/JOBS");
    let administrator = "f58310d9-a9f6-439a-9e8d-f62e7b41a168@*";
    let arguments = ["--grantable-role", &line, "--grantable-role", administrator];
    let (world, azure) = with("roles-flag", &arguments).await;
    assert_eq!(
        azure.subscription_id(),
        "/subscriptions/00000000-0000-0000-0000-000000000002"
    );
    let somebody = principal(&application(&world).await);
    world.pool("shell", 5).await;
    let subscription = json!({"resourceId": azure.subscription_id()});
    for (name, role, scope) in [
        ("reader", "Reader", shell()),
        // Only Azure knows this name.
        (
            "administrator",
            "role based access control administrator",
            subscription.clone(),
        ),
    ] {
        world.apply(&assignment(name, &somebody, role, &scope)).await;
        world.until_available("RoleAssignment", name).await;
    }
    for (name, role, scope, reason) in [
        ("reader-of-all", "Reader", subscription, "RoleNotGrantable"),
        // The list replaces the default.
        ("executor", EXECUTOR, shell(), "RoleNotGrantable"),
        ("unknown", "Lord of the Pools", shell(), "RoleNotFound"),
    ] {
        world.apply(&assignment(name, &somebody, role, &scope)).await;
        world.until_reason("RoleAssignment", name, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_its_role_to_be_effective_and_runs_once() {
    let (world, _) = with("roles-job", &[]).await;
    world.behave(&json!({"roles": {"propagationSeconds": 3600}})).await;
    let somebody = application(&world).await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "runner"},
            "stringData": {"clientSecret": somebody["clientSecret"]},
        }))
        .await;
    let credential = json!({"clientSecret": {"clientId": somebody["clientId"], "secretKeyRef": {"name": "runner"}}});
    let azure = world.azure();
    let account = json!({
        "tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id, "credential": credential,
    });
    world.apply(&object("AzureAccount", "runner", &account)).await;
    let mut job = script("echo once");
    job["accountRef"] = json!({"name": "runner"});
    world.job("hello", &job).await;
    world
        .apply(&assignment("executor", &principal(&somebody), EXECUTOR, &shell()))
        .await;
    world.pool("shell", 5).await;
    world.until_available("RoleAssignment", "executor").await;

    let waiting = world.until_reason("CommandJob", "hello", "RolePropagating").await;
    let client_id = somebody["clientId"].as_str().expect("a client id");
    for words in ["sessionPools/shell", client_id, "10 minutes"] {
        assert!(waiting.message.contains(words), "{words}: {}", waiting.message);
    }
    let status = world.read("CommandJob", "hello").await.expect("it").data["status"].clone();
    assert_eq!(
        (&status["phase"], status.get("attempts")),
        (&json!("Queued"), None),
        "{status}"
    );
    assert_eq!(world.executions().await, Vec::<Value>::new());

    world
        .control(Method::POST, "clock", Some(&json!({"advanceSeconds": 3601})))
        .await;
    let ended = world.ended("hello").await;
    assert_eq!(result(&ended), (0, b"once\n".to_vec(), Vec::new()));
    assert_eq!(ended.status.map(|it| it.attempts.len()), Some(1));
}
