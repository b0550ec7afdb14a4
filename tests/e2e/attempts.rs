//! Starts that are late: an attempt whose start comes later than it may runs nothing, and another takes its place.

use jiff::{SignedDuration, Timestamp};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{AttemptReason, Outcome};
use serde_json::{Value, json};

use crate::jobs::{in_pool, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, script};

/// An attempt may be started for 120 seconds after its claim.
const TOO_LATE: SignedDuration = SignedDuration::from_secs(121);

/// Holds starts in a pool until the faults are cleared.
fn held(pool: &str, times: u32) -> Value {
    json!({
        "match": {"method": "POST", "path": format!("sessionPools/{pool}/executions")}, "times": times,
        "action": {"delayMilliseconds": 3_600_000},
    })
}

/// How many executions a pool has carried out.
async fn executed(world: &World, pool: &str) -> usize {
    let all = world.executions().await;
    all.iter()
        .filter(|it| it["pool"].as_str().is_some_and(|it| it.ends_with(&format!("/{pool}"))))
        .count()
}

async fn until_executed(world: &World, pool: &str, times: usize) {
    world
        .until(&format!("{times} starts have arrived in {pool}"), || async {
            (executed(world, pool).await >= times).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_arrives_too_late_starts_nothing_and_another_attempt_takes_its_place() {
    let options = WorldOptions {
        arguments: vec!["--poll-window".to_owned(), "1".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("late", options).await;
    let witness = Witness::new().await;
    for pool in ["late", "soon", "shell"] {
        world.pool(pool, 10).await;
    }
    // Every start of this attempt is held for as long as it may be started.
    world.fault(&held("late", 1000)).await;
    world.job("late", &in_pool("late", &witness.told("late"))).await;
    // Here only the first start is late, by more than the operator waits: the second one overtakes it.
    world.fault(&held("soon", 1)).await;
    world
        .job(
            "soon",
            &in_pool("soon", &format!("{}; echo soon", witness.told("soon"))),
        )
        .await;

    // Meanwhile: commands that take longer than a poll.
    let text = format!("{}; echo begin; sleep 4; echo end", witness.told("polled"));
    let job = world.run("polled", &script(&text)).await;
    assert_eq!(result(&job), (0, b"begin\nend\n".to_vec(), Vec::new()));
    assert_eq!(witness.count("polled"), 1);

    let job = world.ended("soon").await;
    assert_eq!(result(&job), (0, b"soon\n".to_vec(), Vec::new()));

    let job: CommandJob = world.ours().get("late").await.expect("the job");
    let attempts = job.status.expect("a status").attempts;
    assert_eq!(attempts.len(), 1);
    let wait = (attempts[0].start_time.0 + TOO_LATE).duration_since(Timestamp::now());
    tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
    assert_eq!((executed(&world, "late").await, witness.count("late")), (0, 0));

    world.control(reqwest::Method::DELETE, "faults", None).await;
    until_executed(&world, "soon", 2).await;
    assert_eq!(witness.count("soon"), 1);
    let job = world.ended("late").await;
    assert_eq!(result(&job).0, 0);
    // Of the starts that were too late none started anything: the command ran once, and that was in the last attempt.
    until_executed(&world, "late", 2).await;
    assert_eq!(witness.count("late"), 1);
    let attempts = job.status.expect("a status").attempts;
    assert_eq!(attempts[0].reason, Some(AttemptReason::Void));
    assert_eq!(attempts.last().and_then(|it| it.outcome), Some(Outcome::Exited));
}
