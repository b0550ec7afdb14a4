//! The operator dies before and after each of its effects on a session, with many jobs at each: every command still runs once, and
//! every outcome is right. (Writes of the status, stored or not, are in `command_job::model`.)

use std::time::Instant;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::data_plane::pool_id;
use crate::jobs::{in_pool, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, sample_or_soak};

/// Where operators die: the name of the moment and its pool, and what the requests to its sessions meet one after the other.
struct Point {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    meets: Vec<Value>,
}

const UPLOAD: (&str, &str) = ("POST", r"files\?");
const EXECUTION: (&str, &str) = ("POST", r"executions\?");
const READ: (&str, &str) = ("GET", r"files/[^/]+/content\?");
const RELEASE: (&str, &str) = ("DELETE", r"session\?");

fn points() -> Vec<Point> {
    // Its sender is dead when it is carried out.
    let held = || json!({"delayMilliseconds": 600_000});
    // It was carried out, and nobody is told.
    let lost = || json!({"dropResponse": true});
    let passes = || json!({"delayMilliseconds": 1});
    let point = |name, (method, path), meets| Point {
        name,
        method,
        path,
        meets,
    };
    vec![
        point("before-the-upload", UPLOAD, vec![held()]),
        point("after-the-upload", UPLOAD, vec![lost()]),
        point("before-the-start", EXECUTION, vec![held()]),
        point("after-the-start", EXECUTION, vec![lost()]),
        point("before-the-second-start", EXECUTION, vec![lost(), held()]),
        point("before-a-look", EXECUTION, vec![passes(), held()]),
        point("after-a-look", EXECUTION, vec![passes(), lost()]),
        point("before-the-output", READ, vec![held()]),
        point("after-the-output", READ, vec![lost()]),
        point("before-the-release", RELEASE, vec![held()]),
        point("after-the-release", RELEASE, vec![lost()]),
    ]
}

/// Waits until every fault has been met.
async fn all_met(world: &World) {
    world
        .until("the operator is at every point", || async {
            let faults = world.control(reqwest::Method::GET, "faults", None).await;
            faults.as_array()?.iter().all(|it| it["times"] == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_whose_operator_died_before_and_after_every_effect_on_their_sessions_run_once() {
    let (rounds, jobs) = (sample_or_soak(1, 46), sample_or_soak(2, 20));
    let options = WorldOptions {
        // So that a command outlives the answer to its start.
        arguments: vec!["--poll-window".to_owned(), "1".to_owned()],
        log: Some("warn".to_owned()),
        ..WorldOptions::default()
    };
    let mut world = World::with("crash-points", options).await;
    let witness = Witness::new().await;
    let points = points();
    for point in &points {
        world.pool(point.name, 50).await;
    }
    for round in 0..rounds {
        let started = Instant::now();
        let mut names = Vec::new();
        for Point {
            name,
            method,
            path,
            meets,
        } in &points
        {
            for action in meets {
                let path = format!("/sessionPools/{name}/{path}");
                let fault = json!({"match": {"method": method, "path": path}, "times": jobs, "action": action});
                world.fault(&fault).await;
            }
            for number in 0..jobs {
                let job = format!("{name}-{round}-{number}");
                let text = format!(
                    "{}; sleep 2; head -c 9000 /dev/zero | tr '\\0' y; exit 6",
                    witness.told(&job)
                );
                world.job(&job, &in_pool(name, &text)).await;
                names.push(job);
            }
        }
        all_met(&world).await;
        world.kill_operator();
        // What was held is carried out while nobody lives, or when another operator has seen its job to the end.
        let is_early = round % 2 == 0;
        if is_early {
            world.control(reqwest::Method::DELETE, "faults", None).await;
        }
        world.start_operator_at_once().await;
        for job in join_all(names.iter().map(|it| world.ended(it))).await {
            let name = job.metadata.name.clone().unwrap_or_default();
            assert_eq!(result(&job), (6, vec![b'y'; 9000], Vec::new()), "{name}");
            assert_eq!(job.status.expect("a status").attempts.len(), 1, "{name}");
        }
        if !is_early {
            world.control(reqwest::Method::DELETE, "faults", None).await;
        }
        for name in &names {
            assert_eq!(witness.count(name), 1, "{name} ran so often");
        }
        // What a dead operator did not give back would end with the cooldown.
        for point in &points {
            let path = format!("sessions?pool={}", pool_id(&world, point.name));
            world.control(reqwest::Method::DELETE, &path, None).await;
        }
        let (count, took) = (names.len(), started.elapsed());
        eprintln!(
            "kill {} of {rounds}: {count} jobs at {} points, in {took:?}",
            round + 1,
            points.len()
        );
    }
}
