//! Two namespaces whose accounts have the same credential, so that Azure would let either do everything: what one manages
//! is still not the other's.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{World, WorldOptions, object, shell_pool};

/// The other namespace.
const THEIRS: &str = "strangers-of-strangers";

/// A namespace with the account of the test's own, a resource group `jobs` and an identity `theirs` in it.
async fn strangers(world: &World, azure: &Azure) -> String {
    let namespace = THEIRS;
    world.create_namespace(namespace).await;
    world.account_in(namespace, "default").await;
    let group = object("ResourceGroup", "jobs", &json!({}));
    world.apply_in(namespace, &group).await;
    let identity = object(
        "ManagedIdentity",
        "theirs",
        &json!({"resourceGroupRef": {"name": "jobs"}}),
    );
    let theirs = world.apply_in(namespace, &identity).await;
    let objects = world.objects(namespace, &identity);
    let name = theirs.metadata.name.expect("a name");
    world
        .until("the identity is managed", || async {
            let found = objects.get(&name).await.ok()?;
            found.data["status"]["id"].is_string().then_some(())
        })
        .await;
    azure.identity_id("jobs", "theirs")
}

fn user_assigned(reference: &Value) -> Value {
    json!({"type": "UserAssigned", "userAssignedIdentities": [reference]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_another_namespace_is_attached_by_no_field() {
    let options = WorldOptions {
        namespaces: vec![THEIRS.to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("strangers", options).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    let theirs = strangers(&world, &azure).await;
    let app = azure.container_app(&world, "web").await;

    // Whoever may read the subscription may look at it.
    let observer = json!({"managementPolicy": "ObserveOnly", "azureName": "theirs", "resourceGroup": "jobs"});
    world.apply(&object("ManagedIdentity", "seen", &observer)).await;
    world.until_available("ManagedIdentity", "seen").await;

    // Ids have no case.
    let shouted = theirs.replace("theirs", "THEIRS").replace("/jobs/", "/JOBS/");
    let references = [
        ("by-id", json!({"resourceId": shouted})),
        ("by-reference", json!({"managedIdentityRef": {"name": "seen"}})),
    ];
    for (name, reference) in &references {
        let identity = user_assigned(reference);
        let assignment = json!({"target": {"containerApp": {"resourceId": app}}, "identity": identity});
        world.apply(&object("IdentityAssignment", name, &assignment)).await;
        let mut pool = shell_pool(name, 5);
        pool["spec"]["resourceGroup"] = "jobs".into();
        pool["spec"].as_object_mut().expect("a spec").remove("resourceGroupRef");
        pool["spec"]["identity"] = identity;
        world.apply(&pool).await;
    }
    for (name, _) in &references {
        for kind in ["IdentityAssignment", "SessionPool"] {
            let refused = world.until_reason(kind, name, "OwnedByAnother").await;
            assert!(refused.message.contains("another namespace"), "{}", refused.message);
        }
        assert_eq!(azure.find(&azure.pool_id("jobs", name)).await, None);
    }
    let found = azure.find(&app).await.expect("the app");
    assert!(found["identity"]["userAssignedIdentities"].is_null(), "{found:#}");

    // What a server may take for the same id, and is nobody's to us, is no id at all.
    for (name, altered) in [
        ("encoded", theirs.replace("theirs", "%74heirs")),
        ("query", format!("{theirs}?x")),
        ("fragment", format!("{theirs}#x")),
        ("parameter", format!("{theirs};x")),
    ] {
        let identity = user_assigned(&json!({"resourceId": altered}));
        let assignment = json!({"target": {"containerApp": {"resourceId": app}}, "identity": identity});
        world.apply(&object("IdentityAssignment", name, &assignment)).await;
        let mut pool = shell_pool(name, 5);
        pool["spec"]["resourceGroup"] = "jobs".into();
        pool["spec"].as_object_mut().expect("a spec").remove("resourceGroupRef");
        let mut using = pool.clone();
        pool["spec"]["identity"] = identity;
        using["spec"]["managedIdentitySettings"] = json!([{"identity": altered, "lifecycle": "Main"}]);
        using["metadata"]["name"] = format!("{name}-used").into();
        for object in [&pool, &using] {
            world.apply(object).await;
        }
        for (kind, name) in [
            ("IdentityAssignment", name.to_owned()),
            ("SessionPool", name.to_owned()),
            ("SessionPool", format!("{name}-used")),
        ] {
            let refused = world.until_reason(kind, &name, "InvalidSpec").await;
            assert!(
                refused.message.contains("is not the id of an identity"),
                "{}",
                refused.message
            );
        }
        assert_eq!(azure.find(&azure.pool_id("jobs", name)).await, None);
    }
    let found = azure.find(&app).await.expect("the app");
    assert!(found["identity"]["userAssignedIdentities"].is_null(), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_not_deleted_with_what_another_namespace_has_in_it() {
    const GUESTS: &str = "strangers-in-a-group";
    let (world, azure) = world("strangers-group", GUESTS).await;
    world.pool("shell", 5).await;
    let mut theirs = shell_pool("theirs", 5);
    theirs["spec"]["resourceGroup"] = "jobs".into();
    theirs["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("resourceGroupRef");
    let deployed = world.apply_in(GUESTS, &theirs).await;
    world.until_in(GUESTS, "SessionPool", "theirs", "Available").await;

    // All of the group's own namespace goes, and theirs stays where it is.
    world.delete("SessionPool", "shell").await;
    world.delete("ResourceGroup", "jobs").await;
    world.until_gone("SessionPool", "shell").await;
    let waiting = world.until_reason("ResourceGroup", "jobs", "GroupNotEmpty").await;
    assert!(
        waiting.message.to_lowercase().contains("/sessionpools/theirs"),
        "{}",
        waiting.message
    );
    assert!(azure.find(&azure.pool_id("jobs", "theirs")).await.is_some());

    let name = deployed.metadata.name.expect("a name");
    let pools = world.objects(GUESTS, &theirs);
    pools.delete(&name, &DeleteParams::default()).await.expect("deleted");
    world.until_gone("ResourceGroup", "jobs").await;
}

/// The world with a namespace of strangers that has the same credential.
async fn world(name: &str, namespace: &'static str) -> (World, Azure) {
    let options = WorldOptions {
        namespaces: vec![namespace.to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.create_namespace(namespace).await;
    world.account_in(namespace, "default").await;
    (world, azure)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_namespaces_object_only_claims_stalls_nobody() {
    const CLAIMING: &str = "strangers-claiming";
    let (world, azure) = world("strangers-claims", CLAIMING).await;
    let app = azure.container_app(&world, "web").await;
    world.pool("shell", 5).await;
    let in_group = json!({"resourceGroupRef": {"name": "jobs"}});
    world.apply(&object("ManagedIdentity", "mine", &in_group)).await;
    world.until_available("ManagedIdentity", "mine").await;
    let identity = user_assigned(&json!({"resourceId": azure.identity_id("jobs", "mine")}));
    let mut pool = shell_pool("attached", 5);
    pool["spec"]["identity"] = identity.clone();
    let assignment = json!({"target": {"containerApp": {"resourceId": app}}, "identity": identity});
    let mut assignment = object("IdentityAssignment", "attached", &assignment);
    world.apply(&pool).await;
    world.apply(&assignment).await;
    world.until_available("SessionPool", "attached").await;
    world.until_available("IdentityAssignment", "attached").await;

    // Whoever may read the group may look at what is in it. Then the observers want it for themselves.
    for policy in ["ObserveOnly", "Enforce"] {
        let reason = if policy == "Enforce" {
            "OwnedByAnother"
        } else {
            "Available"
        };
        let mut claims = [
            object(
                "ManagedIdentity",
                "claim",
                &json!({"azureName": "mine", "resourceGroup": "jobs"}),
            ),
            shell_pool("claim", 5),
        ];
        claims[1]["spec"]["azureName"] = "shell".into();
        claims[1]["spec"]["resourceGroup"] = "jobs".into();
        claims[1]["spec"]
            .as_object_mut()
            .expect("a spec")
            .remove("resourceGroupRef");
        for claim in &mut claims {
            claim["spec"]["managementPolicy"] = policy.into();
            world.apply_in(CLAIMING, claim).await;
            let (kind, name) = (claim["kind"].as_str().expect("a kind"), "claim");
            world.until_in(CLAIMING, kind, name, reason).await;
        }
    }
    for object in [&mut pool, &mut assignment] {
        object["metadata"]["annotations"] = json!({"lifeguard.dev/reconcile-requested-at": "now"});
        world.apply(object).await;
        let (kind, name) = (object["kind"].as_str().expect("a kind").to_owned(), "attached");
        let status = world
            .until("it was looked at again", || async {
                let status = world.read(&kind, name).await?.data["status"].clone();
                (status["lastHandledReconcileAt"] == "now").then_some(status)
            })
            .await;
        let conditions = status["conditions"].as_array().expect("conditions").clone();
        let ready = conditions.into_iter().find(|it| it["type"] == "Ready").expect("Ready");
        assert_eq!(
            (&ready["status"], &ready["reason"]),
            (&json!("True"), &json!("Available")),
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_another_namespace_is_entered_neither_by_its_id_nor_by_an_observer() {
    const ENTERING: &str = "strangers-entering";
    let (world, azure) = world("strangers-enter", ENTERING).await;
    world.pool("shell", 5).await;
    let mut observer = shell_pool("seen", 5);
    observer["spec"]["azureName"] = "shell".into();
    observer["spec"]["resourceGroup"] = "jobs".into();
    observer["spec"]["managementPolicy"] = "ObserveOnly".into();
    observer["spec"]
        .as_object_mut()
        .expect("a spec")
        .remove("resourceGroupRef");
    world.apply_in(ENTERING, &observer).await;
    world.until_in(ENTERING, "SessionPool", "seen", "Available").await;
    for (name, target) in [
        (
            "by-id",
            json!({"sessionPool": {"resourceId": azure.pool_id("jobs", "shell")}}),
        ),
        ("by-observer", json!({"sessionPoolRef": {"name": "seen"}})),
    ] {
        let job = object("CommandJob", name, &json!({"target": target, "script": "true"}));
        world.apply_in(ENTERING, &job).await;
        world
            .until_in(ENTERING, "CommandJob", name, "NamespaceNotAllowed")
            .await;
    }
    assert_eq!(world.executions().await, Vec::<Value>::new());
}
