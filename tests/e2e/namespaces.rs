//! A namespace is deleted while jobs wait and run in it: nothing is left, and no command runs on.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use lifeguard::api::CommandJob;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::jobs::result;
use crate::witness::Witness;
use crate::world::{World, script};

/// The Secret of the account `default`.
const SECRET: &str = "default-credentials";

async fn delete_namespace(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    api.delete(&world.namespace, &DeleteParams::default())
        .await
        .expect("a namespace");
}

async fn namespace_is_gone(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    world
        .until("the namespace is gone", || async {
            let found = api.get_opt(&world.namespace).await.ok()?;
            found.is_none().then_some(())
        })
        .await;
}

/// A job that has ended, one that runs until it is killed, and one that waits for something that never comes.
async fn populate(world: &World, witness: &Witness) {
    world.pool("shell", 10).await;
    let ended = world.run("ended", &script("echo done")).await;
    assert_eq!(result(&ended), (0, b"done\n".to_vec(), Vec::new()));
    let mut waiting = script("echo never");
    waiting["env"] = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "missing", "key": "a"}}}]);
    world.job("waiting", &waiting).await;
    world
        .job("running", &script(&format!("{}; sleep 3600", witness.held("running"))))
        .await;
    let runs = || async { (witness.count("running") == 1).then_some(()) };
    world.until("the command runs", runs).await;
}

async fn nothing_runs(world: &World, witness: &Witness) {
    let ended = || async { (witness.connected() == 0).then_some(()) };
    world.until("the command has been killed", ended).await;
    assert_eq!(witness.count("running"), 1, "the command ran so often");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_deleted_while_its_jobs_run_leaves_nothing_in_azure() {
    let world = World::new("deleted").await;
    let witness = Witness::new().await;
    let azure = Azure::login(&world).await;
    populate(&world, &witness).await;
    delete_namespace(&world).await;
    namespace_is_gone(&world).await;
    assert_eq!(azure.find(&azure.group_id("jobs")).await, None);
    nothing_runs(&world, &witness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_restarted_while_a_namespace_is_being_deleted_goes_on_with_it() {
    let mut world = World::new("restarted").await;
    let witness = Witness::new().await;
    let azure = Azure::login(&world).await;
    populate(&world, &witness).await;
    // Something keeps the credential for a while, so that the operator is back before it goes.
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let keep = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let patch = PatchParams::default();
    secrets
        .patch(SECRET, &patch, &keep(json!(["example.com/kept"])))
        .await
        .expect("the Secret");
    world.kill_operator();
    delete_namespace(&world).await;
    let jobs: Api<CommandJob> = world.ours();
    world
        .until("the jobs are gone", || async {
            let jobs = jobs.list(&ListParams::default()).await.ok()?;
            jobs.items.is_empty().then_some(())
        })
        .await;
    world.start_operator().await;
    world
        .until("Azure is empty", || async {
            let found = azure.find(&azure.group_id("jobs")).await;
            found.is_none().then_some(())
        })
        .await;
    secrets
        .patch(SECRET, &patch, &keep(json!(null)))
        .await
        .expect("the Secret");
    namespace_is_gone(&world).await;
    nothing_runs(&world, &witness).await;
}
