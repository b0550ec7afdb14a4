//! Two namespaces whose accounts have the same credential, so that Azure would let either do everything: what one manages
//! is still not the other's.

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
}
