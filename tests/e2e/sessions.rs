//! Sessions: waited for, lost, given back. Whatever becomes of them, nothing runs twice.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use lifeguard::api::command_job::{AttemptReason, Outcome, Phase, QueueReason};
use lifeguard::api::{CommandJob, SessionPool};
use serde_json::{Value, json};

use crate::data_plane::{crash_sessions, live_sessions, until_released};
use crate::jobs::{in_pool, message, reason, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, script, shell_pool};

fn assert_lost(job: &CommandJob, why: AttemptReason) {
    assert_eq!(reason(job, "Failed").as_deref(), Some("Lost"));
    let status = job.status.as_ref().expect("a status");
    assert_eq!(status.result.as_ref().map(|it| it.outcome), Some(Outcome::Lost));
    assert_eq!(status.attempts.len(), 1, "it is not tried again");
    assert_eq!(status.attempts[0].reason, Some(why));
}

async fn until_heard(world: &World, witness: &Witness, line: &str) {
    world
        .until(&format!("{line} is heard"), || async {
            (witness.count(line) > 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_makes_jobs_wait_and_all_of_them_succeed() {
    let world = World::new("capacity").await;
    for pool in ["not-found", "too-many"] {
        world.pool(pool, 2).await;
    }
    for (pool, exhaustion) in [("not-found", "NotFound"), ("too-many", "TooManyRequests")] {
        let switches = json!({"sessions": {"exhaustion": exhaustion, "exhaustionRetryAfterSeconds": 2}});
        world.behave(&switches).await;
        let witness = Witness::new().await;
        let names: Vec<String> = (0..8).map(|number| format!("{pool}-{number}")).collect();
        for name in &names {
            let text = format!("{}; echo {name}", witness.asked(name));
            world.job(name, &in_pool(pool, &text)).await;
        }
        let waits = |job: &CommandJob| {
            let status = job.status.as_ref();
            let queue = status.and_then(|it| it.queue.as_ref());
            reason(job, "Reconciling").as_deref() == Some("PoolExhausted")
                && status.and_then(|it| it.phase) == Some(Phase::Queued)
                && queue.map(|it| it.reason) == Some(QueueReason::Capacity)
        };
        world
            .until("two jobs run and six wait for a session", || async {
                let mut waiting = 0;
                for name in &names {
                    let job: CommandJob = world.ours().get(name).await.ok()?;
                    waiting += usize::from(waits(&job));
                }
                (waiting == 6 && witness.count_prefix(pool) == 2).then_some(())
            })
            .await;
        witness.open();
        for name in &names {
            let job = world.ended(name).await;
            assert_eq!(result(&job), (0, format!("{name}\n").into_bytes(), Vec::new()));
            assert_eq!(witness.count(name), 1, "{name}");
            assert_eq!(job.status.and_then(|it| it.queue), None, "{name}");
        }
        until_released(&world, pool).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_session_was_replaced_is_lost_and_never_started_again() {
    let world = World::new("replaced").await;
    for pool in ["running", "claimed"] {
        world.pool(pool, 10).await;
    }
    let witness = Witness::new().await;
    for name in ["one", "two"] {
        world.job(name, &in_pool("running", &witness.asked(name))).await;
        until_heard(&world, &witness, name).await;
    }
    crash_sessions(&world, "running").await;
    for name in ["one", "two"] {
        assert_lost(&world.ended(name).await, AttemptReason::SessionReplaced);
        assert_eq!(witness.count(name), 1, "{name}");
    }

    // Replaced after the claim, while the start is on its way.
    let delay = json!({
        "match": {"method": "POST", "path": "sessionPools/claimed/executions"}, "times": 1,
        "action": {"delayMilliseconds": 3000},
    });
    world.fault(&delay).await;
    world.job("three", &in_pool("claimed", &witness.told("three"))).await;
    world
        .until("the job is claimed", || async {
            let job: CommandJob = world.ours().get("three").await.ok()?;
            (job.status?.phase == Some(Phase::Running)).then_some(())
        })
        .await;
    crash_sessions(&world, "claimed").await;
    assert_lost(&world.ended("three").await, AttemptReason::SessionReplaced);
    assert_eq!(witness.count("three"), 0, "an empty session starts nothing");
    // The pool is as good as before. (The empty sessions stay for as long as a start that was never answered may arrive.)
    world.run("four", &in_pool("running", &witness.told("four"))).await;
    assert_eq!(witness.count("four"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_pool_is_deleted_while_it_runs_says_so() {
    let world = World::new("undermined").await;
    world.pool("shell", 5).await;
    let witness = Witness::new().await;
    world.job("running", &script(&witness.asked("running"))).await;
    until_heard(&world, &witness, "running").await;
    let pools: Api<SessionPool> = world.ours();
    let deleted = pools.delete("shell", &DeleteParams::default()).await;
    drop(deleted.expect("deleted"));
    let job = world.ended("running").await;
    assert_lost(&job, AttemptReason::PoolDeleted);
    let failed = message(&job, "Failed");
    assert!(failed.contains("the session pool was deleted"), "{failed}");
    assert_eq!(witness.count("running"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_job_kills_its_command_and_gives_its_session_back() {
    let options = WorldOptions {
        // So that a request for a command that goes on is answered soon, and is in the journal.
        arguments: vec!["--poll-window".to_owned(), "1".to_owned()],
        ..WorldOptions::default()
    };
    let mut world = World::with("deleted", options).await;
    world.pool("shell", 10).await;
    let witness = Witness::new().await;
    // It ignores what can be ignored, and leaves a daemon; both stay connected for as long as they live.
    let stubborn = |line: &str| {
        let held = witness.held(line);
        format!("{held}; trap '' TERM HUP; setsid -f sleep 600; while :; do sleep 1; done")
    };
    let jobs: Api<CommandJob> = world.ours();
    let names = ["warm", "cold"];
    for name in names {
        world.job(name, &script(&stubborn(name))).await;
        until_heard(&world, &witness, name).await;
    }
    let removed = |job: Result<_, kube::Error>| drop(job.expect("deleted"));
    removed(jobs.delete("warm", &DeleteParams::default()).await);
    world
        .until("one session is left", || async {
            (live_sessions(&world, "shell").await.len() == 1).then_some(())
        })
        .await;
    assert!(
        jobs.get_opt("warm").await.expect("an answer").is_none(),
        "no finalizer keeps it"
    );

    // An operator that was started anew knows the session as well.
    world.kill_operator();
    world.forget_requests().await;
    world.start_operator().await;
    // Two requests, of which one may still be of the operator that was killed.
    world
        .until("the new operator has asked for the command", || async {
            let requests = world.requests().await;
            let is_call = |it: &&Value| it["path"].as_str().is_some_and(|it| it.ends_with("/shell/executions"));
            (requests.iter().filter(is_call).count() > 1).then_some(())
        })
        .await;
    removed(jobs.delete("cold", &DeleteParams::default()).await);
    until_released(&world, "shell").await;
    world
        .until("nothing of the commands is left", || async {
            (witness.connected() == 0).then_some(())
        })
        .await;

    // A job that waits can be deleted as well.
    world.apply(&shell_pool("full", 1)).await;
    world.job("holder", &in_pool("full", &witness.asked("holder"))).await;
    until_heard(&world, &witness, "holder").await;
    world.job("waiting", &in_pool("full", &witness.told("waiting"))).await;
    world
        .until("the second job waits", || async {
            let job: CommandJob = world.ours().get("waiting").await.ok()?;
            (reason(&job, "Reconciling").as_deref() == Some("PoolExhausted")).then_some(())
        })
        .await;
    removed(jobs.delete("waiting", &DeleteParams::default()).await);
    witness.open();
    world.ended("holder").await;
    until_released(&world, "full").await;
    assert_eq!(witness.count("waiting"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operators_key_what_was_under_way_is_lost_and_never_started_again() {
    let options = WorldOptions {
        own_release: true,
        ..WorldOptions::default()
    };
    let mut world = World::with("key", options).await;
    world.pool("shell", 10).await;
    let witness = Witness::new().await;
    let before = world.run("before", &script("echo kept")).await;
    world
        .job("warm", &script(&format!("{}; echo ran", witness.asked("warm"))))
        .await;
    until_heard(&world, &witness, "warm").await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let delete = || async {
        let deleted = secrets.delete("lifeguard-operator-key", &DeleteParams::default()).await;
        deleted.expect("the key is in the operator's namespace");
    };
    // The operator that has the key goes on with it.
    delete().await;
    witness.open();
    assert_eq!(result(&world.ended("warm").await).1, b"ran\n");

    witness.close();
    world.job("under-way", &script(&witness.asked("under-way"))).await;
    until_heard(&world, &witness, "under-way").await;
    world.kill_operator();
    world.start_operator().await;
    assert_lost(&world.ended("under-way").await, AttemptReason::KeyReplaced);
    assert_eq!(witness.count("under-way"), 1);
    // What had ended is as it was, and new jobs run.
    assert_eq!(result(&world.ended("before").await), result(&before));
    let after = world.run("after", &script("echo new")).await;
    assert_eq!(result(&after).1, b"new\n");
}
