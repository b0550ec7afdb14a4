//! Results that cannot be read, and answers that say nothing: a job ends all the same, and no other namespace waits for it.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Outcome;
use serde_json::{Value, json};

use crate::jobs::{in_pool, reason, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, object, script, shell_pool};

const PAGE: &str = "<!DOCTYPE html><html><body>Our services aren't available right now</body></html>";

/// Longer than any pause that a service may ask for.
const FOR_AGES: &str = "1000000000000";

fn fault(method: &str, path: &str, times: u32, action: &Value) -> Value {
    json!({"match": {"method": method, "path": path}, "times": times, "action": action})
}

fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "Try again."}})
}

/// A namespace beside the test's, with an account and a pool of so many sessions.
pub async fn pool_of(world: &World, namespace: &str, sessions: u32) {
    world.create_namespace(namespace).await;
    world.account_in(namespace, "default").await;
    world
        .apply_in(namespace, &object("ResourceGroup", "second", &json!({})))
        .await;
    let mut pool = shell_pool("own", sessions);
    pool["spec"]["resourceGroupRef"] = json!({"name": "second"});
    world.apply_in(namespace, &pool).await;
    world.until_in(namespace, "SessionPool", "own", "Available").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_of_one_namespace_that_never_comes_delays_no_other_one() {
    let second = "results-second".to_owned();
    let options = WorldOptions {
        namespaces: vec![second.clone()],
        ..WorldOptions::default()
    };
    let world = World::with("results", options).await;
    world.pool("shell", 10).await;
    pool_of(&world, &second, 5).await;
    let content = r"sessionPools/shell/files/[^/]+/content\?";
    let hangs = json!({"delayMilliseconds": 3_600_000});
    world.fault(&fault("GET", content, 1_000_000, &hangs)).await;
    // More than is in memory at a time, by far.
    let names: Vec<_> = (0..8).map(|number| format!("hangs-{number}")).collect();
    for name in &names {
        world
            .job(name, &script("head -c 7000000 /dev/zero | tr '\\0' x; exit 3"))
            .await;
    }
    world
        .until("the commands have ended", || async {
            (world.executions().await.len() >= names.len()).then_some(())
        })
        .await;

    for (name, text) in [("short", "echo hi"), ("long", "head -c 10000 /dev/zero | tr '\\0' y")] {
        let job = object("CommandJob", name, &in_pool("own", text));
        world.apply_in(&second, &job).await;
    }
    let short = world.ended_in(&second, "short").await;
    assert_eq!(result(&short), (0, b"hi\n".to_vec(), Vec::new()));
    let long = world.ended_in(&second, "long").await;
    assert_eq!(result(&long).0, 0);
    for name in &names {
        let job: CommandJob = world.ours().get(name).await.expect("the job");
        let phase = job.status.and_then(|it| it.phase).expect("a phase");
        assert!(!phase.is_terminal(), "{name} ended, so nothing hung");
    }

    // What comes late is kept.
    world.control(reqwest::Method::DELETE, "faults", None).await;
    for name in &names {
        let job = world.ended(name).await;
        let status = job.status.expect("a status").result.expect("a result");
        assert_eq!((status.exit_code, status.withheld), (Some(3), false), "{name}");
        assert_eq!(status.stdout.bytes, 7_000_000, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_output_cannot_be_read_ends_without_it() {
    let world = World::new("unread").await;
    let faults = [
        (
            "unavailable",
            json!({"status": 503, "body": error("ServiceUnavailable")}),
        ),
        ("refused", json!({"status": 400, "body": error("Refused")})),
        ("denied", json!({"status": 403, "body": error("Forbidden")})),
        ("missing", json!({"status": 404, "body": error("FileNotFound")})),
        ("page", json!({"status": 200, "body": PAGE})),
        ("reset", json!({"reset": true})),
        (
            "pause",
            json!({"status": 429, "headers": {"Retry-After": FOR_AGES}, "body": error("TooManyRequests")}),
        ),
    ];
    for (name, action) in &faults {
        world.pool(name, 2).await;
        let content = format!(r"sessionPools/{name}/files/[^/]+/content\?");
        world.fault(&fault("GET", &content, 1_000_000, action)).await;
        let text = "head -c 10000 /dev/zero | tr '\\0' x; exit 3";
        world.job(name, &in_pool(name, text)).await;
    }
    for (name, _) in &faults {
        let job = world.ended(name).await;
        assert_eq!(reason(&job, "Failed").as_deref(), Some("NonZeroExitCode"), "{name}");
        let result = job.status.expect("a status").result.expect("a result");
        assert_eq!((result.outcome, result.exit_code), (Outcome::Exited, Some(3)), "{name}");
        assert!(result.withheld && result.stdout.truncated, "{name}: {result:?}");
        assert_eq!(result.stdout.bytes, 10_000, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_started_after_answers_that_say_nothing() {
    let world = World::new("nothing").await;
    let witness = Witness::new().await;
    let faults = [
        ("page", 2, json!({"status": 200, "body": PAGE})),
        (
            "no-frame",
            2,
            json!({"status": 200, "body": {"stdout": "hi", "stderr": ""}}),
        ),
        (
            "no-frames",
            7,
            json!({"status": 200, "body": {"stdout": "hi", "stderr": ""}}),
        ),
        (
            "pause",
            1,
            json!({"status": 429, "headers": {"Retry-After": FOR_AGES}, "body": error("TooManyRequests")}),
        ),
        ("refused", 1, json!({"status": 400, "body": error("Refused")})),
        (
            "end-of-time",
            1,
            json!({
                "status": 503, "headers": {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"},
                "body": error("ServiceUnavailable"),
            }),
        ),
    ];
    for (name, times, action) in &faults {
        world.pool(name, 2).await;
        let executions = format!(r"sessionPools/{name}/executions\?");
        world.fault(&fault("POST", &executions, *times, action)).await;
        world.job(name, &in_pool(name, &witness.told(name))).await;
    }
    for (name, ..) in &faults {
        let job = world.ended(name).await;
        assert_eq!(result(&job), (0, Vec::new(), Vec::new()), "{name}");
        assert_eq!(witness.count(name), 1, "{name} ran so often");
        let attempts = job.status.expect("a status").attempts;
        assert_eq!(attempts.len(), 1, "{name} was started in time");
    }
    // Where the end was looked for in files that are not there, Azure names them; nobody is told.
    let mut looked = 0;
    for request in world.requests().await {
        let query = request["query"].as_str().unwrap_or_default();
        let directory = query.split('&').find_map(|it| it.strip_prefix("path="));
        if let Some(name) = directory
            .and_then(|it| it.rsplit(['/', 'F']).next())
            .filter(|it| it.len() >= 32)
        {
            looked += 1;
            assert!(!world.operator_log().contains(name), "{name} is in the log");
        }
    }
    assert!(looked > 0, "the files were never asked");
    assert!(!world.operator_log().contains("panicked"));
}
