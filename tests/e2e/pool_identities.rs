//! Identities of session pools: attached as the spec says, waited for, and compared as Azure spells them.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object};

fn pool(members: &Value) -> Value {
    let mut spec = json!({
        "resourceGroupRef": {"name": "jobs"}, "containerType": "Shell", "interval": OFTEN,
        "scaleConfiguration": {"maxConcurrentSessions": 5},
    });
    let members = members.as_object().expect("an object").clone();
    spec.as_object_mut().expect("an object").extend(members);
    object("SessionPool", "shell", &spec)
}

fn attached(names: &[&str]) -> Value {
    let references = names.iter().map(|name| json!({"managedIdentityRef": {"name": name}}));
    json!({"type": "UserAssigned", "userAssignedIdentities": references.collect::<Value>()})
}

fn identity(name: &str) -> Value {
    object("ManagedIdentity", name, &json!({"resourceGroupRef": {"name": "jobs"}}))
}

/// The names of the user-assigned identities of the pool in Azure, in order, and the kind of its block.
async fn in_azure(azure: &Azure) -> Option<(String, Vec<String>)> {
    let pool = azure.find(&azure.pool_id("jobs", "shell")).await?;
    let block = &pool["identity"];
    let ids = block["userAssignedIdentities"].as_object().into_iter().flatten();
    let mut names: Vec<String> = ids
        .filter_map(|(id, _)| id.rsplit('/').next())
        .map(str::to_lowercase)
        .collect();
    names.sort();
    Some((block["type"].as_str()?.replace(' ', ""), names))
}

async fn until_attached(world: &World, azure: &Azure, kind: &str, names: &[&str]) {
    let what = format!("the pool has {kind} {names:?}");
    world
        .until(&what, || async {
            let (found, ids) = in_azure(azure).await?;
            (found == kind && ids == names).then_some(())
        })
        .await;
    world.until_available("SessionPool", "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_waits_for_its_identities_has_exactly_those_and_gives_up_none_that_it_was_not_asked_about() {
    let world = World::new("pool-identities").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    let setting = json!([{"managedIdentityRef": {"name": "one"}, "lifecycle": "Main"}]);
    let with_one = pool(&json!({"identity": attached(&["one"]), "managedIdentitySettings": setting}));
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.until_available("ResourceGroup", "jobs").await;
    world.apply(&with_one).await;
    let waiting = world.until_reason("SessionPool", "shell", "ReferenceNotFound").await;
    assert!(waiting.message.contains("ManagedIdentity one"), "{waiting:?}");
    world.apply(&identity("one")).await;
    until_attached(&world, &azure, "UserAssigned", &["one"]).await;
    let found = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");
    assert_eq!(found["properties"]["managedIdentitySettings"][0]["lifecycle"], "Main");

    // At rest nothing is written, whatever the spelling of ids.
    let requests = world.until_read(&["/sessionPools/shell"], 4).await;
    let is_write = |it: &&Value| ["PUT", "PATCH", "DELETE"].contains(&it["method"].as_str().unwrap_or_default());
    assert_eq!(requests.iter().filter(is_write).count(), 0);

    // A second one, and the pool's own.
    world.apply(&identity("two")).await;
    world.until_available("ManagedIdentity", "two").await;
    let mut both = attached(&["one", "two"]);
    both["type"] = "SystemAssigned,UserAssigned".into();
    world
        .apply(&pool(&json!({"identity": both, "managedIdentitySettings": setting})))
        .await;
    until_attached(&world, &azure, "SystemAssigned,UserAssigned", &["one", "two"]).await;
    let principal =
        |object: Option<kube::api::DynamicObject>| object?.data["status"]["principalId"].as_str().map(str::to_owned);
    assert!(principal(world.read("SessionPool", "shell").await).is_some());
    // Azure has added settings for the two of which the spec says none: nobody's drift.
    let found = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");
    let settings = found["properties"]["managedIdentitySettings"]
        .as_array()
        .expect("a list");
    assert_eq!(settings.len(), 3, "{settings:?}");
    let requests = world.until_read(&["/sessionPools/shell"], 4).await;
    assert_eq!(requests.iter().filter(is_write).count(), 0);
    world.until_available("SessionPool", "shell").await;

    // Somebody detaches one by hand: it is put right.
    let two = azure
        .find(&azure.identity_id("jobs", "two"))
        .await
        .expect("the identity")["id"]
        .clone();
    let detach = json!({"identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {two.as_str().expect("an id"): null}}});
    azure.patch(&azure.pool_id("jobs", "shell"), &detach).await;
    until_attached(&world, &azure, "SystemAssigned,UserAssigned", &["one", "two"]).await;

    // What is taken out of the spec is detached, with its setting.
    world.apply(&pool(&json!({"identity": attached(&["two"])}))).await;
    until_attached(&world, &azure, "UserAssigned", &["two"]).await;
    let found = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");
    // Azure adds one for each identity that has none.
    let settings = found["properties"]["managedIdentitySettings"]
        .as_array()
        .expect("a list");
    let lifecycles: Vec<_> = settings.iter().map(|it| &it["lifecycle"]).collect();
    assert_eq!(lifecycles, ["None"]);

    // A spec that says nothing of identities any more gives its own back. What others attach then it leaves alone, also
    // where the pool is written for something else.
    world.apply(&pool(&json!({}))).await;
    until_attached(&world, &azure, "None", &[]).await;
    let theirs =
        json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {two.as_str().expect("an id"): {}}}});
    azure.patch(&azure.pool_id("jobs", "shell"), &theirs).await;
    world.apply(&pool(&json!({"tags": {"team": "batch"}}))).await;
    world
        .until("the tag is there", || async {
            let found = azure.find(&azure.pool_id("jobs", "shell")).await?;
            (found["tags"]["team"] == "batch").then_some(())
        })
        .await;
    until_attached(&world, &azure, "UserAssigned", &["two"]).await;

    // Nor has a pool identities by a type that says that it has none.
    let none = pool(&json!({"identity": {"type": "None"}}));
    let refusal = world.try_apply_in(&world.namespace, &none).await;
    assert!(refusal.is_err_and(|it| it.to_string().contains("spec.identity.type")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_was_made_anew_is_attached_anew_and_one_that_goes_is_waited_for() {
    let mut world = World::new("pool-renewed").await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    world.apply(&identity("one")).await;
    world.apply(&pool(&json!({"identity": attached(&["one"])}))).await;
    until_attached(&world, &azure, "UserAssigned", &["one"]).await;
    let principal = || async {
        let found = azure.find(&azure.pool_id("jobs", "shell")).await?;
        let ids = found["identity"]["userAssignedIdentities"]
            .as_object()?
            .values()
            .next()?
            .clone();
        ids["principalId"].as_str().map(str::to_owned)
    };
    let first = principal().await.expect("a principal");
    // Somebody deletes it in Azure; its object makes another one of the same id. (An operator that wrote it just now would
    // think that Azure does not show it yet.)
    world.kill_operator();
    azure.delete(&azure.identity_id("jobs", "one")).await;
    world.start_operator().await;
    let touched = |identity: Value| {
        let mut identity = identity;
        identity["spec"]["interval"] = OFTEN.into();
        identity
    };
    world.apply(&touched(identity("one"))).await;
    world
        .until("the pool has the new principal", || async {
            let now = principal().await?;
            (now != first).then_some(())
        })
        .await;
    world.until_available("SessionPool", "shell").await;

    world.delete("ManagedIdentity", "one").await;
    world.until_gone("ManagedIdentity", "one").await;
    let waiting = world.until_reason("SessionPool", "shell", "ReferenceNotFound").await;
    assert!(waiting.message.contains("ManagedIdentity one"), "{waiting:?}");
    // The deletion of a pool needs none of its identities.
    world.delete("SessionPool", "shell").await;
    world.until_gone("SessionPool", "shell").await;
    assert_eq!(azure.find(&azure.pool_id("jobs", "shell")).await, None);
}
