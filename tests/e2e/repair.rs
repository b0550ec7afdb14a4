//! What others delete or change in Azure is put right, for each of the objects of the examples; and while nobody does,
//! nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::examples::{APP, CONTAINER_GROUP, OTHER_APP, is_ours, named, objects, surroundings, until_all_ready};
use crate::hosts::APPS;
use crate::landscape::{Landscape, assert_same};
use crate::world::{OFTEN, World};

/// How many drift checks of each resource are watched.
const CHECKS: usize = 60;
/// How many there are at least until an object that has something to write has written it.
const FEW_CHECKS: usize = 4;

/// Both examples in one namespace, compared with Azure every second: two identity assignments share a container app.
async fn settled(world: &World) -> Vec<Value> {
    // So many reads a second are nothing that a subscription allows for long.
    world.behave(&json!({"arm": {"throttling": false}})).await;
    let mut all = BTreeMap::new();
    for mut object in ["tutorial", "managed-identities"].into_iter().flat_map(objects) {
        if is_ours(&object) && !matches!(named(&object).0, "AzureAccount" | "CommandJob") {
            object["spec"]["interval"] = OFTEN.into();
        }
        let (kind, name) = named(&object);
        all.insert((kind.to_owned(), name.to_owned()), object);
    }
    let objects: Vec<_> = all.into_values().collect();
    for object in &objects {
        world.apply(object).await;
    }
    until_all_ready(world, &objects).await;
    objects
}

async fn versions_of<K>(world: &World, versions: &mut BTreeMap<String, String>)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = world.ours();
    for object in api.list(&ListParams::default()).await.expect("a list") {
        let key = format!("{} {}", K::kind(&()), object.name_any());
        versions.insert(key, object.resource_version().unwrap_or_default());
    }
}

/// The resourceVersion of everything that the operator could write to.
async fn versions(world: &World, objects: &[Value]) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for object in objects.iter().filter(|it| is_ours(it)) {
        let (kind, name) = named(object);
        let found = world.read(kind, name).await.expect("it");
        versions.insert(format!("{kind} {name}"), found.resource_version().unwrap_or_default());
    }
    versions_of::<Secret>(world, &mut versions).await;
    versions_of::<ConfigMap>(world, &mut versions).await;
    versions_of::<Event>(world, &mut versions).await;
    versions
}

/// Waits until Azure is as it was, and every object ready.
async fn repaired(world: &World, azure: &Azure, objects: &[Value], before: &Landscape, what: &str) {
    let last = std::sync::Mutex::new(Vec::new());
    let look = || async {
        let now = azure.landscape(&world.namespace).await;
        let difference: Vec<_> = now.symmetric_difference(before).cloned().collect();
        {
            let mut last = last.lock().expect("no panic");
            if *last != difference {
                eprintln!("{what}: {difference:#?}");
                last.clone_from(&difference);
            }
        }
        if difference.is_empty() {
            return Some(());
        }
        // Every look is dozens of requests.
        tokio::time::sleep(Duration::from_millis(200)).await;
        None
    };
    world.until(&format!("{what} is put right"), look).await;
    until_all_ready(world, objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_sixty_checks_of_identities_at_rest_nothing_is_written() {
    let (world, azure) = surroundings("still").await;
    let objects = settled(&world).await;
    let uami = azure.identity_id("mygroup", "myshellpool-uami");
    let checked = [
        azure.group_id("mygroup"),
        azure.pool_id("mygroup", "myshellpool"),
        uami.clone(),
        format!("{uami}/federatedIdentityCredentials"),
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments",
            azure.pool_id("mygroup", "myshellpool")
        ),
        azure.app_id(APPS, APP),
        azure.container_group_id(APPS, CONTAINER_GROUP),
    ];
    // What told of readiness is the last that was written; events follow a moment later.
    world.until_read(&checked, FEW_CHECKS).await;
    let before = versions(&world, &objects).await;
    let landscape = azure.landscape(&world.namespace).await;
    let requests = world.until_read(&checked, CHECKS).await;
    let is_write = |it: &&Value| {
        let path = it["path"].as_str().unwrap_or_default();
        it["method"] != "GET" && !path.ends_with("/oauth2/v2.0/token")
    };
    let writes: Vec<_> = requests.iter().filter(is_write).collect();
    assert!(writes.is_empty(), "written to Azure: {writes:?}");
    assert_eq!(versions(&world, &objects).await, before, "written to Kubernetes");
    assert_same(&azure.landscape(&world.namespace).await, &landscape, "at rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_delete_in_azure_is_there_again() {
    let (mut world, azure) = surroundings("deleted").await;
    let objects = settled(&world).await;
    let before = azure.landscape(&world.namespace).await;
    let uami = azure.identity_id("mygroup", "myshellpool-uami");
    let principal = principal_of(&azure, &uami).await;

    azure
        .delete(&format!("{uami}/federatedIdentityCredentials/lifeguard-runner"))
        .await;
    repaired(&world, &azure, &objects, &before, "a deleted federated credential").await;

    for assignment in assignments(&azure, &principal).await {
        azure.delete(&assignment).await;
    }
    repaired(&world, &azure, &objects, &before, "a deleted role assignment").await;

    let detached = json!({"identity": {"type": "None"}});
    azure.patch(&azure.app_id(APPS, APP), &detached).await;
    repaired(&world, &azure, &objects, &before, "a detached identity").await;

    azure.patch(&azure.app_id(APPS, OTHER_APP), &detached).await;
    repaired(
        &world,
        &azure,
        &objects,
        &before,
        "a system-assigned identity that was turned off",
    )
    .await;

    let container_group = azure.container_group_id(APPS, CONTAINER_GROUP);
    azure.delete(&container_group).await;
    world
        .until("the container group is gone", || async {
            azure.find(&container_group).await.is_none().then_some(())
        })
        .await;
    azure.container_group(&world, CONTAINER_GROUP).await;
    repaired(
        &world,
        &azure,
        &objects,
        &before,
        "a container group that was made anew",
    )
    .await;

    let exported: Api<ConfigMap> = world.ours();
    let data = exported.get("my-container-app-id").await.expect("it").data;
    let delete = DeleteParams::default();
    exported.delete("my-container-app-id", &delete).await.expect("it");
    world
        .until("the ConfigMap is there again", || async {
            let found = exported.get_opt("my-container-app-id").await.ok()??;
            (found.data == data).then_some(())
        })
        .await;

    // An operator that wrote them just now would think for a minute that Azure does not show them yet.
    world.kill_operator();
    azure.delete(&azure.pool_id("mygroup", "myshellpool")).await;
    world.start_operator().await;
    repaired(&world, &azure, &objects, &before, "a deleted pool").await;

    world.kill_operator();
    azure.delete(&uami).await;
    world.start_operator().await;
    repaired(&world, &azure, &objects, &before, "a deleted identity").await;
    let successor = principal_of(&azure, &uami).await;
    assert_ne!(principal, successor);
    assert_eq!(assignments(&azure, &principal).await, Vec::<String>::new(), "orphans");

    world.kill_operator();
    azure.delete(&azure.group_id("mygroup")).await;
    world.start_operator().await;
    repaired(&world, &azure, &objects, &before, "a deleted group").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_others_change_in_azure_is_changed_back_and_what_they_add_is_kept() {
    let (world, azure) = surroundings("changed").await;
    let objects = settled(&world).await;
    let uami = azure.identity_id("mygroup", "myshellpool-uami");
    let foreign = azure.identity_id(APPS, "theirs");
    azure.put(&foreign, &json!({"location": "northcentralus"})).await;
    let theirs = json!({"properties": {
        "issuer": "https://elsewhere.example.com", "subject": "theirs", "audiences": ["api://AzureADTokenExchange"],
    }});
    azure
        .put(&format!("{uami}/federatedIdentityCredentials/theirs"), &theirs)
        .await;
    let attached = json!({"identity": {
        "type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {foreign.as_str(): {}},
    }});
    azure.patch(&azure.app_id(APPS, APP), &attached).await;
    // Nobody objects to any of this.
    let checked = [format!("{uami}/federatedIdentityCredentials"), azure.app_id(APPS, APP)];
    world.until_read(&checked, FEW_CHECKS).await;
    until_all_ready(&world, &objects).await;
    let before = azure.landscape(&world.namespace).await;
    let app = before
        .iter()
        .find(|line| line.starts_with(&azure.app_id(APPS, APP).to_lowercase()));
    let app = app.expect("the app");
    for part in ["systemassigned", "/theirs", "/myshellpool-uami", "/my-container-app-id"] {
        assert!(app.contains(part), "{part} is gone: {app}");
    }
    assert!(before.iter().any(|line| line.contains("elsewhere.example.com")));

    let other_subject = json!({"properties": {
        "issuer": lifeguard_local::ControlPlane::ISSUER, "subject": "system:serviceaccount:other:other",
        "audiences": ["api://AzureADTokenExchange"],
    }});
    azure
        .put(
            &format!("{uami}/federatedIdentityCredentials/lifeguard-runner"),
            &other_subject,
        )
        .await;
    repaired(&world, &azure, &objects, &before, "another subject").await;

    let pool = azure.pool_id("mygroup", "myshellpool");
    let other = json!({"properties": {"scaleConfiguration": {"maxConcurrentSessions": 9}}});
    azure.patch(&pool, &other).await;
    repaired(&world, &azure, &objects, &before, "another size of the pool").await;

    let without = json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {uami.as_str(): null}}});
    azure.patch(&azure.app_id(APPS, APP), &without).await;
    // Which also turned the system-assigned identity off, that was somebody else's.
    let after: BTreeSet<_> = before
        .iter()
        .map(|line| {
            if line == app {
                line.replace("\"systemassigned\",", "")
            } else {
                line.clone()
            }
        })
        .collect();
    repaired(&world, &azure, &objects, &after, "an identity that was taken out").await;
}

async fn principal_of(azure: &Azure, identity: &str) -> String {
    let found = azure.find(identity).await.expect("the identity");
    found["properties"]["principalId"]
        .as_str()
        .expect("a principal")
        .to_owned()
}

/// The ids of a principal's assignments.
async fn assignments(azure: &Azure, principal: &str) -> Vec<String> {
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments",
        azure.subscription_id()
    );
    let all = azure.list(&list).await;
    all.iter()
        .filter(|it| it["properties"]["principalId"] == principal)
        .map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect()
}
