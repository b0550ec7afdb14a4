//! The examples of whole documents are applied as they stand and do in Azure what they say.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::azure::Azure;
use crate::hosts::{APPS, Host, execute};
use crate::jobs::result;
use crate::landscape::{Landscape, assert_same};
use crate::standing::ready;
use crate::world::{World, WorldOptions, control_plane};

/// The container app that both examples presuppose.
pub const APP: &str = "my-container-app";
/// The container app that has both kinds of identity.
pub const OTHER_APP: &str = "my-other-container-app";
/// The container group.
pub const CONTAINER_GROUP: &str = "mycontainer";

/// A world with neither account nor objects, and what the examples presuppose: a subscription that was used before, two
/// container apps and a container group.
pub async fn surroundings(name: &str) -> (World, Azure) {
    let options = WorldOptions {
        without_account: true,
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    // A bare call, which only prints, would at times lose what it printed: the runner is not in it to make up for that.
    world.behave(&json!({"sessions": {"lostWriteProbability": 0.0}})).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    azure.container_app(&world, APP).await;
    azure.container_app(&world, OTHER_APP).await;
    azure.container_group(&world, CONTAINER_GROUP).await;
    (world, azure)
}

/// The folder of an example.
pub fn folder(example: &str) -> PathBuf {
    crate::world::chart().join("../../examples").join(example)
}

/// The objects of an example, in the order of `kubectl apply -f`.
pub fn objects(example: &str) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(folder(example))
        .expect("a folder")
        .map(|it| it.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a file");
        serde_saphyr::from_multiple::<Value>(&text).expect("valid YAML")
    };
    files.iter().flat_map(read).collect()
}

/// Kind and name of an object.
pub fn named(object: &Value) -> (&str, &str) {
    let kind = object["kind"].as_str().expect("a kind");
    (kind, object["metadata"]["name"].as_str().expect("a name"))
}

/// Whether an object is of one of our kinds.
pub fn is_ours(object: &Value) -> bool {
    object["apiVersion"] == "lifeguard.dev/v1alpha1"
}

/// Waits until every one of these objects of ours is ready; a job, until it has succeeded.
pub async fn until_all_ready(world: &World, objects: &[Value]) {
    for object in objects.iter().filter(|it| is_ours(it)) {
        let (kind, name) = named(object);
        let last = std::sync::Mutex::new(None);
        world
            .until(&format!("{kind} {name} is ready"), || async {
                let standing = world.read(kind, name).await.as_ref().and_then(ready);
                let is_ready = standing.as_ref().is_some_and(|it| it.status == "True");
                let mut last = last.lock().expect("no panic");
                if *last != standing {
                    // What was waited for in vain is understood from what came instead.
                    eprintln!("{} {kind} {name}: {standing:?}", world.namespace);
                    last.clone_from(&standing);
                }
                is_ready.then_some(())
            })
            .await;
    }
}

/// Waits until none of these objects of ours is there.
pub async fn until_all_gone(world: &World, objects: &[Value]) {
    for object in objects.iter().filter(|it| is_ours(it)) {
        let (kind, name) = named(object);
        let last = std::sync::Mutex::new(None);
        world
            .until(&format!("{kind} {name} is gone"), || async {
                let object = world.read(kind, name).await;
                let standing = object.as_ref().and_then(ready);
                let mut last = last.lock().expect("no panic");
                if *last != standing {
                    eprintln!("{} {kind} {name}: {standing:?}", world.namespace);
                    last.clone_from(&standing);
                }
                object.is_none().then_some(())
            })
            .await;
    }
}

/// Runs `kubectl` in the test's namespace.
async fn kubectl(world: &World, arguments: &[&str]) -> String {
    let mut all = vec!["--namespace".to_owned(), world.namespace.clone()];
    all.extend(arguments.iter().map(|it| (*it).to_owned()));
    tokio::task::spawn_blocking(move || control_plane().kubectl().run(&all))
        .await
        .expect("no panic")
        .expect("kubectl succeeds")
}

async fn apply_as_it_stands(world: &World, example: &str) -> Vec<Value> {
    let folder = folder(example).display().to_string();
    kubectl(world, &["apply", "-f", &folder]).await;
    let objects = objects(example);
    until_all_ready(world, &objects).await;
    objects
}

/// Deletes what was applied, as a person does, and compares what is left in Azure with what was there.
async fn delete_again(world: &World, azure: &Azure, example: &str, objects: &[Value], before: &Landscape) {
    let folder = folder(example).display().to_string();
    kubectl(world, &["delete", "--wait=false", "-f", &folder]).await;
    until_all_gone(world, objects).await;
    assert_same(&azure.landscape(&world.namespace).await, before, "after deletion");
}

fn status_of(object: &kube::api::DynamicObject, name: &str) -> String {
    let value = object.data["status"][name].as_str();
    value.unwrap_or_else(|| panic!("no status.{name}")).to_owned()
}

async fn secrets_of(azure: &Azure, app: &str) -> Value {
    azure
        .post(&format!("{}/listSecrets", azure.app_id(APPS, app)), &json!({}))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_prints_hello_world_from_a_job_and_from_the_container_app() {
    let (world, azure) = surroundings("tutorial").await;
    // Neither the principal nor its role is there at once, as in Azure.
    let slow = json!({"roles": {"propagationSeconds": 4.0, "principalReplicationSeconds": 2.0}});
    world.behave(&slow).await;
    let before = azure.landscape(&world.namespace).await;
    let app = Host::of(&world, &azure.app_id(APPS, APP)).await;
    let (status, _) = app.ask_imds(&world, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "an app without identity gets no token");

    let objects = apply_as_it_stands(&world, "tutorial").await;
    let job = world.ended("hello").await;
    assert_eq!(result(&job), (0, b"Hello world!\n".to_vec(), Vec::new()));

    // "From inside your Azure Container App", with curl.
    let pool = azure
        .find(&azure.pool_id("mygroup", "myshellpool"))
        .await
        .expect("the pool");
    let (status, token) = app.ask_imds(&world, None).await;
    assert_eq!(status, StatusCode::OK, "{token}");
    let (status, answer) = execute(&world, &pool, &token, "echo Hello world!").await;
    assert!(status.is_success(), "{status} {answer}");
    assert!(answer.to_string().contains("Hello world!"), "{answer}");

    // The executor may execute and nothing else.
    let identity = world.read("ManagedIdentity", "myshellpool-uami").await.expect("it");
    let principal = status_of(&identity, "principalId");
    let assignments = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments",
        azure.subscription_id()
    );
    let roles: Vec<_> = azure
        .list(&assignments)
        .await
        .into_iter()
        .filter(|it| it["properties"]["principalId"] == principal)
        .map(|it| it["properties"]["scope"].as_str().unwrap_or_default().to_lowercase())
        .collect();
    assert_eq!(roles, [azure.pool_id("mygroup", "myshellpool").to_lowercase()]);

    delete_again(&world, &azure, "tutorial", &objects, &before).await;
    let (status, _) = app.ask_imds(&world, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "the identity is detached");
}

#[tokio::test(flavor = "multi_thread")]
async fn managed_identities_of_every_kind_are_used_from_where_they_are_attached() {
    let (world, azure) = surroundings("managed").await;
    let before = azure.landscape(&world.namespace).await;
    let objects = apply_as_it_stands(&world, "managed-identities").await;
    let pool = azure
        .find(&azure.pool_id("my-container-apps", "mypool"))
        .await
        .expect("the pool");
    let identity = world.read("ManagedIdentity", "my-container-app-id").await.expect("it");
    let client_id = status_of(&identity, "clientId");

    let app = Host::of(&world, &azure.app_id(APPS, APP)).await;
    let other = Host::of(&world, &azure.app_id(APPS, OTHER_APP)).await;
    let container = Host::of(&world, &azure.container_group_id(APPS, CONTAINER_GROUP)).await;
    for (what, answered) in [
        (
            "user-assigned, in an app",
            app.ask_endpoint(&world, Some(&client_id)).await,
        ),
        ("system-assigned, in a group", container.ask_imds(&world, None).await),
        (
            "user-assigned, of both",
            other.ask_endpoint(&world, Some(&client_id)).await,
        ),
        ("system-assigned, of both", other.ask_endpoint(&world, None).await),
    ] {
        let (status, token) = answered;
        assert_eq!(status, StatusCode::OK, "{what}: {token}");
        let (status, answer) = execute(&world, &pool, &token, "echo it works").await;
        assert!(status.is_success(), "{what}: {status} {answer}");
        assert!(answer.to_string().contains("it works"), "{what}: {answer}");
    }
    let (status, _) = container.ask_imds(&world, Some(&client_id)).await;
    assert!(status.is_client_error(), "an identity that is attached elsewhere");

    let exported: k8s_openapi::api::core::v1::ConfigMap = world.ours().get("my-container-app-id").await.expect("it");
    let exported = exported.data.expect("data");
    assert_eq!(exported["clientId"], client_id);
    assert!(Uuid::parse_str(&exported["tenantId"]).is_ok());
    let secret = secrets_of(&azure, APP).await;
    assert!(secret.to_string().contains("canary-of-the-app"), "{secret}");

    delete_again(&world, &azure, "managed-identities", &objects, &before).await;
    let secret = secrets_of(&azure, APP).await;
    assert!(secret.to_string().contains("canary-of-the-app"), "{secret}");
}
