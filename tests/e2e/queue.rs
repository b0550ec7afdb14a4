//! The queue for the sessions of a pool: who has one, who is next, and what each is told.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lifeguard::api::command_job::{CommandJob, Phase, QueueReason, QueueStatus};
use lifeguard::api::session_pool::{PoolSessions, SessionPool};
use lifeguard::controller::operator_key::hex;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::data_plane::{end_session, live_sessions, take_session, until_released};
use crate::jobs::{also, in_pool, reason};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, object, shell_pool, typed};

async fn queue_of(world: &World, name: &str) -> Option<QueueStatus> {
    let job: CommandJob = world.ours().get(name).await.ok()?;
    job.status?.queue
}

async fn until_running(world: &World, namespace: &str, name: &str) {
    let jobs: Api<CommandJob> = Api::namespaced(world.client.clone(), namespace);
    world
        .until(&format!("{name} runs"), || async {
            (jobs.get(name).await.ok()?.status?.phase? == Phase::Running).then_some(())
        })
        .await;
}

/// The digests of all sessions that ever were, in the order of their allocation.
async fn allocated(world: &World) -> Vec<String> {
    let journal = world.control(Method::GET, "allocations", None).await;
    let mut sessions = journal["sessions"].as_array().cloned().expect("a list of sessions");
    sessions.sort_by_key(|it| it["allocatedAt"].as_str().map(str::to_owned));
    let digest = |it: &Value| {
        let digest = Sha256::digest(it["identifier"].as_str().unwrap_or_default());
        hex(&digest[..8])
    };
    sessions.iter().map(digest).collect()
}

async fn sessions_of(world: &World, pool: &str) -> Option<PoolSessions> {
    let pool: SessionPool = world.ours().get(pool).await.ok()?;
    pool.status?.sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_beyond_the_maximum_wait_without_a_request_see_where_they_stand_and_go_one_by_one() {
    let world = World::new("queue").await;
    world.pool("shell", 1).await;
    let witness = Witness::new().await;
    world.job("holder", &in_pool("shell", &witness.asked("holder"))).await;
    until_running(&world, &world.namespace, "holder").await;
    let waits = async |name: &str, priority: i32| {
        let spec = also(in_pool("shell", &witness.asked(name)), &json!({"priority": priority}));
        world.job(name, &spec).await;
        world
            .until(&format!("{name} is told that it waits"), || async {
                let queue = queue_of(&world, name).await?;
                (queue.reason == QueueReason::Capacity && queue.position.is_some() && queue.of.is_some()).then_some(())
            })
            .await;
    };
    // Told one after the other, so they are of different seconds: that is how exact a creation time is.
    waits("first", 0).await;
    waits("second", 0).await;
    world
        .until("the pool says how many wait", || async {
            let sessions = sessions_of(&world, "shell").await?;
            let hours = sessions.billed_hours.first().map(|it| (it.namespace.clone(), it.hours));
            let is_told = sessions.in_use == 1 && sessions.queued == 2 && hours == Some((world.namespace.clone(), 1));
            is_told.then_some(())
        })
        .await;

    // Whoever waits asks Azure nothing, and writes nothing.
    let versions = |world: &World| {
        let jobs: Api<CommandJob> = world.ours();
        async move {
            let list = jobs.list(&ListParams::default()).await.expect("the jobs");
            list.items
                .into_iter()
                .map(|it| it.metadata.resource_version)
                .collect::<Vec<_>>()
        }
    };
    world.forget_requests().await;
    let before = versions(&world).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(versions(&world).await, before);
    let others: Vec<_> = world
        .requests()
        .await
        .into_iter()
        .filter(|it| {
            let path = it["path"].as_str().unwrap_or_default();
            path.contains("/sessionPools/shell/") && !path.ends_with("/executions")
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");
    // The youngest, which goes before them.
    waits("urgent", 5).await;

    // One after the other, each when the one before it has given its session back.
    witness.open();
    let mut names = BTreeMap::new();
    for name in ["holder", "urgent", "first", "second"] {
        let job = world.ended(name).await;
        let status = job.status.expect("a status");
        assert_eq!(status.phase, Some(Phase::Succeeded), "{name}");
        names.insert(status.attempts[0].session.clone(), name);
    }
    let order: Vec<_> = allocated(&world).await.iter().map(|it| names[it]).collect();
    assert_eq!(order, ["holder", "urgent", "first", "second"]);
    until_released(&world, "shell").await;
    let refused: Vec<_> = world
        .requests()
        .await
        .into_iter()
        .filter(|it| {
            it["path"]
                .as_str()
                .is_some_and(|it| it.contains("/sessionPools/shell/"))
                && it["status"].as_u64() >= Some(400)
        })
        .collect();
    assert!(refused.is_empty(), "nobody asks a full pool: {refused:?}");
    world
        .until("the pool is seen to be free", || async {
            let sessions = sessions_of(&world, "shell").await?;
            (sessions.in_use == 0 && sessions.queued == 0 && sessions.billed_hours.first()?.hours == 4).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_one_job_is_served_before_the_many_of_another_namespace_and_has_no_more_than_its_share() {
    let guest = "queue-guest";
    let options = WorldOptions {
        namespaces: vec![guest.to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("queue-shared", options).await;
    world.create_namespace(guest).await;
    world.pool("shell", 3).await;
    let mut shared = shell_pool("shell", 3);
    shared["spec"]["sharing"] = json!([
        {"namespaces": {"from": "All"}, "accountRef": {"name": "default"}, "maxConcurrentSessions": 1},
    ]);
    world.apply(&shared).await;
    world.until_available("SessionPool", "shell").await;
    let witness = Witness::new().await;
    for number in 0..6 {
        let name = format!("many-{number}");
        let spec = also(in_pool("shell", &witness.asked(&name)), &json!({"priority": 1000}));
        world.job(&name, &spec).await;
    }
    world
        .until("the pool is full", || async {
            (witness.count_prefix("many-") == 3).then_some(())
        })
        .await;
    let jobs: Api<CommandJob> = Api::namespaced(world.client.clone(), guest);
    for name in ["guest-1", "guest-2"] {
        let spec = json!({
            "target": {"sessionPoolRef": {"name": "shell", "namespace": world.namespace}}, "script": witness.asked(name),
        });
        let job: CommandJob = typed(&object("CommandJob", name, &spec));
        jobs.create(&PostParams::default(), &job)
            .await
            .expect("the job is accepted");
    }
    let waits = |name: &'static str, position: i32| {
        let (jobs, world) = (jobs.clone(), &world);
        async move {
            world
                .until(&format!("{name} is number {position}"), || async {
                    (jobs.get(name).await.ok()?.status?.queue?.position == Some(position)).then_some(())
                })
                .await;
        }
    };
    waits("guest-1", 1).await;
    // One session is given back, and the guest's more urgent job has it.
    let urgent = Patch::Merge(json!({"spec": {"priority": 7}}));
    jobs.patch("guest-2", &PatchParams::default(), &urgent)
        .await
        .expect("a priority can be changed");
    let ours: Api<CommandJob> = world.ours();
    let running: Vec<_> = (0..6)
        .map(|it| format!("many-{it}"))
        .filter(|it| witness.count(it) == 1)
        .collect();
    ours.delete(&running[0], &DeleteParams::default())
        .await
        .expect("it is deleted");
    until_running(&world, guest, "guest-2").await;
    world
        .until("the guest's other job waits for its own", || async {
            let queue = jobs.get("guest-1").await.ok()?.status?.queue?;
            (queue.reason == QueueReason::Share).then_some(())
        })
        .await;
    let more: Vec<_> = running[1..].to_vec();
    ours.delete(&more[0], &DeleteParams::default())
        .await
        .expect("it is deleted");
    world
        .until("another of the many has what the guest may not have", || async {
            (witness.count_prefix("many-") == 4).then_some(())
        })
        .await;
    assert_eq!(witness.count("guest-1"), 0);
    witness.open();
    world.ended_in(guest, "guest-2").await;
    world.ended_in(guest, "guest-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_refuses_for_no_known_reason_is_tried_again_and_says_so() {
    let world = World::new("queue-refusing").await;
    world.pool("shell", 2).await;
    for exhaustion in ["NotFound", "TooManyRequests", "InternalServerError"] {
        world
            .behave(&json!({"sessions": {"exhaustion": exhaustion, "unlistedSessions": 2}}))
            .await;
        let names: Vec<String> = (0..4).map(|it| format!("{}-{it}", exhaustion.to_lowercase())).collect();
        for name in &names {
            world.job(name, &in_pool("shell", "echo ran")).await;
        }
        for name in &names {
            world
                .until(&format!("{name} waits"), || async {
                    let job: CommandJob = world.ours().get(name).await.ok()?;
                    (reason(&job, "Reconciling").as_deref() == Some("PoolExhausted")).then_some(())
                })
                .await;
        }
        world
            .until("the pool says that it refuses", || async {
                let pool: SessionPool = world.ours().get("shell").await.ok()?;
                let conditions = pool.status?.azure.conditions;
                let refuses = |it: &_| {
                    let it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition = it;
                    it.type_ == "SessionsAvailable" && it.status == "False"
                };
                conditions.iter().any(refuses).then_some(())
            })
            .await;
        world.behave(&json!({"sessions": {"unlistedSessions": 0}})).await;
        for name in &names {
            let job = world.ended(name).await;
            assert_eq!(job.status.and_then(|it| it.phase), Some(Phase::Succeeded), "{name}");
        }
        until_released(&world, "shell").await;
    }
    world
        .until("the pool says that it has sessions again", || async {
            let pool: SessionPool = world.ours().get("shell").await.ok()?;
            let conditions = pool.status?.azure.conditions;
            conditions
                .iter()
                .any(|it| it.type_ == "SessionsAvailable" && it.status == "True")
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_for_the_sessions_of_others_too() {
    let world = World::new("queue-foreign").await;
    world.pool("shell", 2).await;
    for identifier in ["foreign-1", "foreign-2"] {
        take_session(&world, "shell", identifier).await;
    }
    for name in ["one", "two"] {
        world.job(name, &in_pool("shell", "echo ran")).await;
    }
    world
        .until("the sessions of others are seen", || async {
            let sessions = sessions_of(&world, "shell").await?;
            (sessions.foreign == 2 && sessions.queued == 2 && sessions.in_use == 0).then_some(())
        })
        .await;
    end_session(&world, "shell", "foreign-1").await;
    for name in ["one", "two"] {
        let job = world.ended(name).await;
        assert_eq!(job.status.and_then(|it| it.phase), Some(Phase::Succeeded), "{name}");
    }
    assert_eq!(live_sessions(&world, "shell").await, ["foreign-2"], "it is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_started_anew_gives_nobody_a_session_that_a_job_has() {
    let mut world = World::new("queue-restart").await;
    world.pool("shell", 2).await;
    let witness = Witness::new().await;
    let names: Vec<String> = (0..6).map(|it| format!("job-{it}")).collect();
    for name in &names {
        world.job(name, &in_pool("shell", &witness.asked(name))).await;
    }
    world
        .until("the pool is full", || async {
            (witness.count_prefix("job-") == 2).then_some(())
        })
        .await;
    world.kill_operator();
    world.forget_requests().await;
    world.start_operator().await;
    for name in names.iter().filter(|it| witness.count(it) == 0) {
        world
            .until(&format!("{name} is told that it waits"), || async {
                queue_of(&world, name).await?.position.map(drop)
            })
            .await;
    }
    assert_eq!(live_sessions(&world, "shell").await.len(), 2);
    witness.open();
    for name in &names {
        world.ended(name).await;
        assert_eq!(witness.count(name), 1, "{name}");
    }
    let refused = |it: &Value| {
        it["path"]
            .as_str()
            .is_some_and(|it| it.contains("/sessionPools/shell/"))
            && it["status"].as_u64() >= Some(400)
    };
    let refused: Vec<_> = world.requests().await.into_iter().filter(refused).collect();
    assert!(refused.is_empty(), "nobody asks a full pool: {refused:?}");
    until_released(&world, "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_job_went_while_nobody_looked_is_ended_and_those_of_others_are_counted_and_left_alone() {
    let mut world = World::new("queue-strays").await;
    world.pool("shell", 10).await;
    let witness = Witness::new().await;
    for name in ["goes", "stays"] {
        world.job(name, &in_pool("shell", &witness.asked(name))).await;
        until_running(&world, &world.namespace, name).await;
    }
    take_session(&world, "shell", "of-somebody-else").await;
    world.kill_operator();
    let jobs: Api<CommandJob> = world.ours();
    jobs.delete("goes", &DeleteParams::default())
        .await
        .expect("it is deleted");
    assert_eq!(live_sessions(&world, "shell").await.len(), 3);
    world.start_operator().await;
    world
        .until("the session that no job has is ended", || async {
            (live_sessions(&world, "shell").await.len() == 2).then_some(())
        })
        .await;
    world
        .until("the other one is counted", || async {
            let sessions = sessions_of(&world, "shell").await?;
            (sessions.foreign == 1 && sessions.in_use == 1).then_some(())
        })
        .await;
    witness.open();
    let job = world.ended("stays").await;
    assert_eq!(job.status.and_then(|it| it.phase), Some(Phase::Succeeded));
    world
        .until("only what is somebody else's is left", || async {
            (live_sessions(&world, "shell").await == ["of-somebody-else"]).then_some(())
        })
        .await;
}
