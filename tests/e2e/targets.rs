//! Where a job may run, and as whom.

use kube::Api;
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use serde_json::{Value, json};

use crate::data_plane::pool_id;
use crate::jobs::{also, reason, result};
use crate::world::{World, object, script};

fn in_pool(target: &Value) -> Value {
    json!({"target": target, "script": "echo ran"})
}

async fn get(world: &World, namespace: &str, name: &str) -> CommandJob {
    let api: Api<CommandJob> = Api::namespaced(world.client.clone(), namespace);
    api.get(name).await.expect("the job")
}

async fn until_reason(world: &World, namespace: &str, name: &str, condition: &str, why: &str) {
    world
        .until(&format!("{namespace}/{name} says {why}"), || async {
            let job = get(world, namespace, name).await;
            assert_ne!(
                job.status.as_ref().and_then(|it| it.phase),
                Some(Phase::Running),
                "{name} is not to run"
            );
            (reason(&job, condition).as_deref() == Some(why)).then_some(())
        })
        .await;
}

async fn until_ran(world: &World, namespace: &str, name: &str) -> CommandJob {
    let job = world
        .until(&format!("{namespace}/{name} has ended"), || async {
            let job = get(world, namespace, name).await;
            job.status.as_ref()?.phase?.is_terminal().then_some(job)
        })
        .await;
    assert_eq!(result(&job), (0, b"ran\n".to_vec(), Vec::new()), "{name}");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_in_a_pool_by_its_resource_id_and_with_the_account_that_it_names() {
    let world = World::new("targets").await;
    let own = world.namespace.clone();
    // Jobs may come before everything that they need.
    world
        .job("early", &in_pool(&json!({"sessionPoolRef": {"name": "shell"}})))
        .await;
    until_reason(&world, &own, "early", "Reconciling", "ReferenceNotFound").await;
    let as_runner = also(script("echo ran"), &json!({"accountRef": {"name": "runner"}}));
    world.job("as-runner", &as_runner).await;
    world.pool("shell", 10).await;
    until_ran(&world, &own, "early").await;
    until_reason(&world, &own, "as-runner", "Reconciling", "AccountNotFound").await;
    world.account_in(&own, "runner").await;
    until_ran(&world, &own, "as-runner").await;

    let id = pool_id(&world, "shell");
    let by_id = |id: &str| in_pool(&json!({"sessionPool": {"resourceId": id}}));
    world.job("by-id", &by_id(&id)).await;
    world
        .job("by-lower-id", &by_id(&id.replace("resourceGroups", "resourcegroups")))
        .await;
    world
        .job(
            "by-id-as-runner",
            &also(by_id(&id), &json!({"accountRef": {"name": "runner"}})),
        )
        .await;
    for name in ["by-id", "by-lower-id", "by-id-as-runner"] {
        let job = until_ran(&world, &own, name).await;
        assert_eq!(
            job.status.and_then(|it| it.target).as_deref(),
            Some("pool/shell"),
            "{name}"
        );
    }
    world.job("by-wrong-id", &by_id(&id.replace("/shell", "/none"))).await;
    until_reason(&world, &own, "by-wrong-id", "Reconciling", "ReferenceNotFound").await;

    let python = object(
        "SessionPool",
        "python",
        &json!({
            "resourceGroupRef": {"name": "jobs"}, "containerType": "PythonLTS",
            "scaleConfiguration": {"maxConcurrentSessions": 5},
        }),
    );
    world.apply(&python).await;
    world
        .job("in-python", &in_pool(&json!({"sessionPoolRef": {"name": "python"}})))
        .await;
    until_reason(&world, &own, "in-python", "Stalled", "UnsupportedTarget").await;
    world
        .job("in-python-by-id", &by_id(&id.replace("/shell", "/python")))
        .await;
    // An object that only looks at a pool does not make it another.
    let claim = json!({
        "resourceGroupRef": {"name": "jobs"}, "azureName": "python", "containerType": "Shell",
        "managementPolicy": "ObserveOnly",
    });
    world.apply(&object("SessionPool", "claimed", &claim)).await;
    world.until_reason("SessionPool", "claimed", "Drifted").await;
    let status = world.read("SessionPool", "claimed").await.expect("it").data["status"].clone();
    assert_eq!(status["containerType"], "PythonLTS");
    world
        .job("in-claimed", &in_pool(&json!({"sessionPoolRef": {"name": "claimed"}})))
        .await;
    until_reason(&world, &own, "in-claimed", "Stalled", "UnsupportedTarget").await;
    world
        .until("a Python pool runs no shell commands", || async {
            let job = get(&world, &own, "in-python-by-id").await;
            (reason(&job, "Stalled").as_deref() == Some("UnsupportedTarget")).then_some(())
        })
        .await;
}
