//! Figures of the queue: more jobs than sessions, many that wait, and a start among many that have ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use lifeguard::controller::operator_key::hex;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{World, WorldOptions, object, script, typed};
use crate::{
    CLIENTS, EXECUTION, create_jobs, end, figure, milliseconds, peak_mebibytes, per_second, process_of,
    resident_mebibytes, simulated, status_writes, watch_ends_of, watch_phases,
};

const BURST_JOBS: usize = 2000;
const BURST_SESSIONS: u32 = 50;
const QUEUED_JOBS: usize = 10_000;
const FINISHED_JOBS: usize = 50_000;

const HOURLY_JOBS: usize = 1000;
const HOURLY_SESSIONS: u32 = 10;

/// How long an operator at rest is watched.
const REST: Duration = Duration::from_secs(30);

/// How many: fewer, where `LIFEGUARD_BENCH_TENTH` is set to find out whether a group works.
fn jobs(count: usize) -> usize {
    match std::env::var_os("LIFEGUARD_BENCH_TENTH") {
        Some(_) => count / 10,
        None => count,
    }
}

/// Many jobs at once on few sessions.
pub async fn burst() {
    let count = jobs(BURST_JOBS);
    let world = simulated("burst", WorldOptions::default()).await;
    world.pool("shell", BURST_SESSIONS).await;
    let before = status_writes().await;
    world.forget_requests().await;
    let ended = watch_ends_of(&world, count);
    let (started, started_at) = (Instant::now(), Timestamp::now());
    let created = create_jobs(&world, count, &script("echo hello")).await;
    let ends = ended.await.expect("no panic");
    let took = *ends.values().max().expect("jobs ended") - started;
    let written = status_writes().await - before;
    // Sessions are given back in the background.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let name = format!("{count} jobs on {BURST_SESSIONS} sessions, jobs/s");
    figure(&name, per_second(count, took), "/s");

    let allocated = allocations(&world).await;
    let (mut waits, mut overheads) = (Vec::new(), Vec::new());
    for (job, at) in &allocated {
        let at = Duration::try_from(at.duration_since(started_at)).unwrap_or_default();
        let created = created[job] - started;
        waits.push(at.saturating_sub(created));
        overheads.push((ends[job] - started).saturating_sub(at).saturating_sub(EXECUTION));
    }
    for (what, mut spans) in [
        ("create to session (queue wait)", waits),
        ("session to terminal, over the execution", overheads),
    ] {
        spans.sort();
        for percent in [50, 99] {
            let span = spans[(spans.len() - 1) * percent / 100];
            figure(&format!("  {what}, p{percent}"), milliseconds(span), "ms");
        }
    }
    figure("  status writes a job", written / count as f64, "");
    let requests = requests_to_sessions(&world).await;
    figure("  Azure requests a job", requests.len() as f64 / count as f64, "");
    for (what, requests) in kinds(&requests) {
        figure(&format!("    {what}"), requests as f64 / count as f64, "");
    }
    let pool = &journal(&world).await["pools"][0];
    figure(
        "  sessions at a time, at most",
        pool["peak"].as_f64().unwrap_or_default(),
        "",
    );
    figure(
        "  requests that a full pool refused",
        pool["refused"].as_f64().unwrap_or_default(),
        "",
    );
    figure("  resident memory, at most", peak_mebibytes(&world), "MiB");
}

/// What short jobs cost whose commands really run, each in a session of its own and in sessions that others have left.
pub async fn hours() {
    let count = jobs(HOURLY_JOBS);
    for mode in ["Fresh", "Reused"] {
        let quiet = WorldOptions {
            log: Some("warn".to_owned()),
            ..WorldOptions::default()
        };
        let world = World::with("hours", quiet).await;
        world
            .behave(&json!({"arm": {"throttling": false}, "sessions": {"lostWriteProbability": 0.0}}))
            .await;
        world.pool("shell", HOURLY_SESSIONS).await;
        world.forget_requests().await;
        let mut spec = script("echo hello");
        spec["session"] = json!({"mode": mode});
        let ended = watch_ends_of(&world, count);
        let started = Instant::now();
        create_jobs(&world, count, &spec).await;
        let ends = ended.await.expect("no panic");
        let took = *ends.values().max().expect("jobs ended") - started;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let name = format!("{count} short jobs on {HOURLY_SESSIONS} sessions, {mode}: jobs/s");
        figure(&name, per_second(count, took), "/s");
        let sessions = journal(&world).await["sessions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let hours = sessions.iter().filter_map(|it| it["billedHours"].as_f64());
        figure("  billed session-hours", hours.sum(), "");
        let requests = requests_to_sessions(&world).await;
        figure("  Azure requests a job", requests.len() as f64 / count as f64, "");
    }
}

/// Many jobs that wait behind a pool which stays full.
pub async fn queued() {
    let count = jobs(QUEUED_JOBS);
    let options = WorldOptions {
        at_full_pace: true,
        ..WorldOptions::default()
    };
    let world = simulated("queued", options).await;
    world.pool("shell", 1).await;
    // The command of the only session does not end.
    let hold = json!({"match": {"method": "POST", "path": "/executions"}, "times": 1_000_000, "action": {"delayMilliseconds": 3_600_000}});
    world.fault(&hold).await;
    let holder = watch_phases(&world, 1, |phase| phase == Phase::Running);
    world.job("holder", &script("echo hello")).await;
    holder.await.expect("no panic");
    let told = watch_phases(&world, count, |phase| phase == Phase::Queued);
    create_jobs(&world, count, &script("echo hello")).await;
    let created = Instant::now();
    told.await.expect("no panic");
    let what = format!("{count} jobs behind a full pool, told where they wait after");
    figure(&what, created.elapsed().as_secs_f64(), "s");
    // What was written is seen once more.
    tokio::time::sleep(Duration::from_secs(5)).await;
    figure("  resident memory", resident_mebibytes(&world), "MiB");
    figure("  resident memory, at most", peak_mebibytes(&world), "MiB");

    world.forget_requests().await;
    let (written, used) = (status_writes().await, processor_time(&world));
    tokio::time::sleep(REST).await;
    let used = processor_time(&world) - used;
    figure(
        "  at rest: processor time",
        used / REST.as_secs_f64() * 100.0,
        "% of one",
    );
    figure("  at rest: status writes in 30 s", status_writes().await - written, "");
    // The holder's command is asked how it is.
    let requests = requests_to_sessions(&world).await;
    let of_others = requests.iter().filter(|it| !kind(it).contains("executions")).count();
    figure("  at rest: requests in 30 s", of_others as f64, "");
}

/// From the start of an operator, among many jobs that have ended, to the session of one that has not.
pub async fn restart() {
    let count = jobs(FINISHED_JOBS);
    let mut world = simulated("restart", WorldOptions::default()).await;
    world.pool("shell", 10).await;
    world.kill_operator();
    let api: Api<CommandJob> = world.ours();
    let mut spec = script("echo hello");
    spec["ttlSecondsAfterFinished"] = json!(86_400 * 365 * 10);
    futures::stream::iter(0..count)
        .map(|number| {
            let (api, spec) = (api.clone(), &spec);
            async move {
                let name = format!("job-{number}");
                let job = typed(&object("CommandJob", &name, spec));
                api.create(&PostParams::default(), &job).await.expect("created");
                let body = json!({
                    "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": name},
                    "status": end("hello\n"),
                });
                let parameters = PatchParams::apply("bench").force();
                api.patch_status(&name, &parameters, &Patch::Apply(&body))
                    .await
                    .expect("patched");
            }
        })
        .buffer_unordered(CLIENTS)
        .for_each(async |()| {})
        .await;
    world.job("next", &script("echo hello")).await;
    let started = Instant::now();
    world.start_operator_at_once().await;
    let first = loop {
        if journal(&world).await["sessions"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
        {
            break started.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let name = format!("start among {count} finished jobs to the first session");
    figure(&name, first.as_secs_f64(), "s");
    tokio::time::sleep(Duration::from_secs(10)).await;
    figure("  resident memory", resident_mebibytes(&world), "MiB");
    figure("  resident memory, at most", peak_mebibytes(&world), "MiB");
}

async fn journal(world: &World) -> Value {
    world.control(Method::GET, "allocations", None).await
}

/// When each job's session was allocated.
async fn allocations(world: &World) -> HashMap<String, Timestamp> {
    let journal = journal(world).await;
    let mut allocated = HashMap::new();
    for it in journal["sessions"].as_array().into_iter().flatten() {
        let identifier = it["identifier"].as_str().expect("an identifier");
        let at: Timestamp = it["allocatedAt"]
            .as_str()
            .and_then(|it| it.parse().ok())
            .expect("a time");
        allocated.insert(hex(&Sha256::digest(identifier)[..8]), at);
    }
    let jobs: Api<CommandJob> = world.ours();
    let jobs = jobs.list(&ListParams::default()).await.expect("jobs").items;
    let of_job = jobs.into_iter().filter_map(|job| {
        let attempt = job.status?.attempts.into_iter().next()?;
        Some((job.metadata.name?, *allocated.get(&attempt.session)?))
    });
    of_job.collect()
}

async fn requests_to_sessions(world: &World) -> Vec<Value> {
    let mut requests = world.requests().await;
    requests.retain(|it| it["path"].as_str().is_some_and(|path| path.contains("dynamicsessions")));
    requests
}

/// What a request is, such as `POST files`.
fn kind(request: &Value) -> String {
    let path = request["path"].as_str().unwrap_or_default();
    let path = path.rsplit("/sessionPools/shell/").next().unwrap_or_default();
    let first = path.split('/').next().unwrap_or_default();
    format!("{} {first}", request["method"].as_str().unwrap_or_default())
}

fn kinds(requests: &[Value]) -> std::collections::BTreeMap<String, usize> {
    let mut kinds = std::collections::BTreeMap::new();
    for request in requests {
        *kinds.entry(kind(request)).or_default() += 1;
    }
    kinds
}

/// Seconds that the operator has had of a processor.
fn processor_time(world: &World) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process_of(world))).expect("the operator runs");
    // The name, in parentheses, may contain anything; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|it| it.parse::<f64>().ok()).sum();
    // `USER_HZ`, which is 100 on every Linux.
    ticks / 100.0
}
