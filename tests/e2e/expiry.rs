//! What happens to a job after it was started: what can still be changed, and when the object goes.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use serde_json::{Value, json};

use crate::jobs::{also, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, object, script, typed};

async fn patch(world: &World, name: &str, spec: &Value) -> kube::Result<CommandJob> {
    let jobs: Api<CommandJob> = world.ours();
    jobs.patch(name, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec})))
        .await
}

async fn until_gone(world: &World, name: &str) {
    let jobs: Api<CommandJob> = world.ours();
    world
        .until(&format!("{name} is deleted"), || async {
            jobs.get_opt(name).await.expect("an answer").is_none().then_some(())
        })
        .await;
}

/// Waits until the status speaks of the newest generation.
async fn until_observed(world: &World, name: &str) -> CommandJob {
    world
        .until(&format!("{name} is observed"), || async {
            let job: CommandJob = world.ours().get(name).await.expect("the job");
            let observed = job.status.as_ref()?.observed_generation;
            (observed == job.metadata.generation).then_some(job)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn once_started_only_the_time_to_live_can_be_changed_and_that_is_observed_even_after_the_end() {
    let options = WorldOptions {
        arguments: vec!["--poll-window".to_owned(), "2".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("changes", options).await;
    let witness = Witness::new().await;
    let spec = script(&format!("{}; echo ran", witness.asked("started")));
    // Before the start anything can be changed.
    world
        .job("job", &also(spec.clone(), &json!({"timeoutSeconds": 5})))
        .await;
    patch(&world, "job", &json!({"timeoutSeconds": 100}))
        .await
        .expect("nothing has been started");
    world.pool("shell", 10).await;
    world
        .until("the command runs", || async {
            (witness.count("started") == 1).then_some(())
        })
        .await;
    for change in [
        json!({"script": "echo other"}),
        json!({"script": null, "command": ["true"]}),
        json!({"timeoutSeconds": 5}),
        json!({"env": [{"name": "A", "value": "1"}]}),
        json!({"stdin": "x"}),
        json!({"output": {"maxBytes": 5}}),
        json!({"accountRef": {"name": "other"}}),
        json!({"target": {"sessionPoolRef": {"name": "other"}}}),
    ] {
        let refused = patch(&world, "job", &change).await.expect_err("refused").to_string();
        assert!(refused.contains("the command has been started"), "{change}: {refused}");
    }
    patch(&world, "job", &json!({"ttlSecondsAfterFinished": 3600}))
        .await
        .expect("allowed");
    let job = until_observed(&world, "job").await;
    assert_eq!(job.status.and_then(|it| it.phase), Some(Phase::Running));
    witness.open();
    let ended = world.ended("job").await;
    assert_eq!(result(&ended), (0, b"ran\n".to_vec(), Vec::new()));

    patch(&world, "job", &json!({"ttlSecondsAfterFinished": 7200}))
        .await
        .expect("allowed");
    let changed = until_observed(&world, "job").await;
    assert!(changed.metadata.generation > ended.metadata.generation);
    let (before, after) = (ended.status.expect("a status"), changed.status.expect("a status"));
    assert_eq!(
        (before.result, before.completion_time),
        (after.result, after.completion_time)
    );
    assert!(
        after
            .conditions
            .iter()
            .all(|it| it.observed_generation == changed.metadata.generation)
    );
    patch(&world, "job", &json!({"ttlSecondsAfterFinished": 0}))
        .await
        .expect("allowed");
    until_gone(&world, "job").await;
    assert_eq!(witness.count("started"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_go_when_their_time_has_come_and_those_of_gitops_tools_only_when_they_say_so() {
    let options = WorldOptions {
        arguments: vec!["--default-ttl".to_owned(), "1".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("expiry", options).await;
    world.pool("shell", 10).await;
    let jobs: Api<CommandJob> = world.ours();
    let argo = json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}});
    let flux = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}});
    let ttl = |seconds: i32| json!({"ttlSecondsAfterFinished": seconds});
    let cases = [
        ("argo", argo.clone(), json!({})),
        ("flux", flux, json!({})),
        ("patient", json!({}), ttl(3600)),
        ("argo-at-once", argo, ttl(0)),
        ("at-once", json!({}), ttl(0)),
        ("soon", json!({}), ttl(2)),
        ("default", json!({}), json!({})),
    ];
    for (name, metadata, spec) in &cases {
        let mut job = object("CommandJob", name, &also(script("echo ran"), spec));
        job["metadata"] = also(job["metadata"].clone(), metadata);
        jobs.create(&PostParams::default(), &typed(&job))
            .await
            .expect("accepted");
    }
    for (name, ..) in &cases[..3] {
        world.ended(name).await;
    }
    for (name, ..) in &cases[3..] {
        until_gone(&world, name).await;
    }
    // A job that ended later than those that stay has gone by its default time, so theirs has passed as well.
    world.job("last", &script("true")).await;
    until_gone(&world, "last").await;
    for (name, ..) in &cases[..3] {
        assert!(
            jobs.get_opt(name).await.expect("an answer").is_some(),
            "{name} was deleted"
        );
    }
}
