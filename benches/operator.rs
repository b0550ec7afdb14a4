//! `make bench`: what the operator costs and what it can do, on this machine, in one run. Nothing here is a test: figures
//! are printed and never asserted on.
//!
//! Without arguments every group of figures is printed; `cargo bench --bench operator -- live large` prints those two of
//! `rate`, `latency`, `finished`, `live`, `large`, `burst`, `queued`, `hours` and `restart`.
//!
//! The control plane is real. The emulator answers executions from a template after a fixed time, because what is measured
//! is the operator and not the shell.

#![allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/e2e/world.rs"]
mod world;

#[path = "operator/queue.rs"]
mod queue;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube_runtime::watcher;
use kube_runtime::watcher::Event;
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use world::{World, WorldOptions, control_plane, object, script, typed};

/// How long the emulator takes to answer an execution.
const EXECUTION: Duration = Duration::from_millis(10);

const JOBS: usize = 1000;
const CLIENTS: usize = 32;
const LATENCY_JOBS: usize = 600;
const JOBS_PER_SECOND: u32 = 20;
const FINISHED_JOBS: usize = 10_000;
const SMALL_JOBS: usize = 10_000;
const LARGE_JOBS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let chosen: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let is_chosen = |group: &str| chosen.is_empty() || chosen.iter().any(|it| it == group);
    runtime.block_on(async {
        say(&format!("{:<58} {:>14}", "figure", "value"));
        if is_chosen("rate") {
            let ceiling = ceiling().await;
            throughput(ceiling).await;
        }
        if is_chosen("latency") {
            latency().await;
        }
        if is_chosen("finished") {
            memory(1024).await;
            memory(32 * 1024).await;
        }
        if is_chosen("live") {
            live_memory("10000 live jobs of 1 KB", SMALL_JOBS, &small_job(), 0).await;
        }
        if is_chosen("large") {
            live_memory("200 live jobs of 1.4 MB", LARGE_JOBS, &large_job(), LARGE_JOBS).await;
        }
        if is_chosen("burst") {
            queue::burst().await;
        }
        if is_chosen("queued") {
            queue::queued().await;
        }
        if is_chosen("hours") {
            queue::hours().await;
        }
        if is_chosen("restart") {
            queue::restart().await;
        }
    });
}

#[allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]
fn say(line: &str) {
    println!("{line}");
}

fn figure(name: &str, value: f64, unit: &str) {
    say(&format!("{name:<58} {value:>10.1} {unit}"));
}

/// What the API server itself can do: one create and two status writes of the same object, by a bare client.
async fn ceiling() -> f64 {
    let world = World::with(
        "ceiling",
        WorldOptions {
            without_operator: true,
            ..WorldOptions::default()
        },
    )
    .await;
    let api: Api<CommandJob> = world.ours();
    let started = Instant::now();
    futures::stream::iter(0..JOBS)
        .map(|number| {
            let api = api.clone();
            async move {
                let name = format!("job-{number}");
                let job = typed(&object("CommandJob", &name, &script("echo hello")));
                api.create(&PostParams::default(), &job).await.expect("created");
                for status in [claim(), end("hello\n")] {
                    let body = json!({
                        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": name},
                        "status": status,
                    });
                    let parameters = PatchParams::apply("bench").force();
                    api.patch_status(&name, &parameters, &Patch::Apply(&body))
                        .await
                        .expect("patched");
                }
            }
        })
        .buffer_unordered(CLIENTS)
        .collect::<Vec<()>>()
        .await;
    let rate = per_second(JOBS, started.elapsed());
    figure("API server alone: create + 2 status writes, objects/s", rate, "/s");
    rate
}

async fn throughput(ceiling: f64) {
    let world = simulated("rate", WorldOptions::default()).await;
    world.pool("shell", 10_000).await;
    let before = status_writes().await;
    world.forget_requests().await;
    let ended = watch_ends(&world);
    let started = Instant::now();
    create_jobs(&world, JOBS, &script("echo hello")).await;
    let ends = ended.await.expect("no panic");
    let rate = per_second(JOBS, *ends.values().max().expect("jobs ended") - started);
    figure("1000 short jobs, jobs/s", rate, "/s");
    figure("  of the API server's own ceiling", rate / ceiling * 100.0, "%");
    let written = status_writes().await - before;
    figure("status writes a job", written / JOBS as f64, "");
    // Sessions are given back in the background.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let requests = world.requests().await;
    let of_jobs = requests
        .iter()
        .filter(|it| it["path"].as_str().is_some_and(|path| path.contains("dynamicsessions")));
    figure("Azure requests a job", of_jobs.count() as f64 / JOBS as f64, "");
    figure("resident memory after 1000 jobs", resident_mebibytes(&world), "MiB");
}

/// From create to terminal, as a client sees it, at a steady rate.
async fn latency() {
    let world = simulated("latency", WorldOptions::default()).await;
    world.pool("shell", 10_000).await;
    let ended = watch_ends_of(&world, LATENCY_JOBS);
    let mut created = HashMap::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / JOBS_PER_SECOND);
    let api: Api<CommandJob> = world.ours();
    for number in 0..LATENCY_JOBS {
        pace.tick().await;
        let name = format!("job-{number}");
        created.insert(name.clone(), Instant::now());
        let job = typed(&object("CommandJob", &name, &script("echo hello")));
        api.create(&PostParams::default(), &job).await.expect("created");
    }
    let ends = ended.await.expect("no panic");
    let mut spans: Vec<Duration> = ends.iter().map(|(name, end)| *end - created[name]).collect();
    spans.sort();
    let percentile = |percent: usize| milliseconds(spans[(spans.len() - 1) * percent / 100]);
    let execution = milliseconds(EXECUTION);
    figure("create to terminal at 20 jobs/s, p50", percentile(50), "ms");
    figure("create to terminal at 20 jobs/s, p99", percentile(99), "ms");
    figure("  p50 over the execution itself", percentile(50) - execution, "ms");
}

/// Memory of an operator that finds many finished jobs.
async fn memory(output_bytes: usize) {
    let mut world = World::with(
        "memory",
        WorldOptions {
            without_operator: true,
            ..WorldOptions::default()
        },
    )
    .await;
    let api: Api<CommandJob> = world.ours();
    let output = "0123456789abcde\n".repeat(output_bytes / 16);
    futures::stream::iter(0..FINISHED_JOBS)
        .map(|number| {
            let (api, status) = (api.clone(), end(&output));
            async move {
                let name = format!("job-{number}");
                let job = typed(&object("CommandJob", &name, &script("echo hello")));
                api.create(&PostParams::default(), &job).await.expect("created");
                let body = json!({
                    "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": name},
                    "status": status,
                });
                let parameters = PatchParams::apply("bench").force();
                api.patch_status(&name, &parameters, &Patch::Apply(&body))
                    .await
                    .expect("patched");
            }
        })
        .buffer_unordered(CLIENTS)
        .collect::<Vec<()>>()
        .await;
    world.start_operator().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let name = format!("resident memory, 10000 finished jobs of {} KiB", output_bytes / 1024);
    figure(&name, resident_mebibytes(&world), "MiB");
}

/// About a kilobyte.
fn small_job() -> Value {
    script(&format!("echo hello # {}", "x".repeat(700)))
}

/// As much as etcd takes of one object, and a command can be given.
fn large_job() -> Value {
    let mut job = script(&"# 0123456789abcdef\n".repeat(52_000));
    job["stdin"] = "x".repeat(450_000).into();
    job
}

/// Memory of an operator that finds jobs which wait for their pool, is started anew with them, and then runs so many of them.
async fn live_memory(name: &str, jobs: usize, spec: &Value, runs: usize) {
    let mut world = simulated("live", WorldOptions::default()).await;
    let api: Api<CommandJob> = world.ours();
    let queued = watch_phases(&world, jobs, |phase| phase == Phase::Queued);
    futures::stream::iter(0..jobs)
        .map(|number| {
            let api = api.clone();
            let job = typed(&object("CommandJob", &format!("job-{number}"), spec));
            async move { api.create(&PostParams::default(), &job).await.expect("created") }
        })
        .buffer_unordered(CLIENTS)
        .for_each(|_| async {})
        .await;
    queued.await.expect("no panic");
    figure(
        &format!("{name}, waiting: resident memory"),
        resident_mebibytes(&world),
        "MiB",
    );
    world.kill_operator();
    world.start_operator().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    figure("  after a restart: resident memory", resident_mebibytes(&world), "MiB");
    figure("  after a restart: at most", peak_mebibytes(&world), "MiB");
    if runs == 0 {
        return;
    }
    let ended = watch_ends_of(&world, runs);
    let started = Instant::now();
    world.pool("shell", 10_000).await;
    ended.await.expect("no panic");
    figure(
        "  once they have run: resident memory",
        resident_mebibytes(&world),
        "MiB",
    );
    figure("  until they have run: at most", peak_mebibytes(&world), "MiB");
    figure("  jobs/s", per_second(runs, started.elapsed()), "/s");
}

/// A world whose emulator answers executions from a template, without throttling. It has no pool yet.
async fn simulated(name: &str, options: WorldOptions) -> World {
    let quiet = WorldOptions {
        log: Some("warn".to_owned()),
        ..options
    };
    let world = World::with(name, quiet).await;
    let frame = "LG1 ${nonce} ended 0 1 2 - 6 0 - - =aGVsbG8K END ${nonce}\n";
    world
        .behave(&json!({
            "arm": {"throttling": false, "maximumConcurrentSessions": 100_000},
            "sessions": {
                "lostWriteProbability": 0.0,
                "simulatedExecution": {
                    "milliseconds": EXECUTION.as_millis(),
                    "responders": [{"pattern": "lg_k=(?P<nonce>[0-9a-f]+)", "stdout": frame, "stderr": "", "exitCode": 0}],
                },
            },
        }))
        .await;
    world
}

/// Creates so many jobs, and says when each was asked for.
async fn create_jobs(world: &World, jobs: usize, spec: &Value) -> HashMap<String, Instant> {
    let api: Api<CommandJob> = world.ours();
    futures::stream::iter(0..jobs)
        .map(|number| {
            let api = api.clone();
            async move {
                let (name, asked) = (format!("job-{number}"), Instant::now());
                let job = typed(&object("CommandJob", &name, spec));
                api.create(&PostParams::default(), &job).await.expect("created");
                (name, asked)
            }
        })
        .buffer_unordered(CLIENTS)
        .collect()
        .await
}

fn watch_ends(world: &World) -> JoinHandle<HashMap<String, Instant>> {
    watch_ends_of(world, JOBS)
}

/// When each of that many jobs was seen to have ended.
fn watch_ends_of(world: &World, jobs: usize) -> JoinHandle<HashMap<String, Instant>> {
    watch_phases(world, jobs, Phase::is_terminal)
}

/// When each of that many jobs was seen in such a phase.
fn watch_phases(world: &World, jobs: usize, is_meant: fn(Phase) -> bool) -> JoinHandle<HashMap<String, Instant>> {
    let api: Api<CommandJob> = world.ours();
    tokio::spawn(async move {
        let mut seen = HashMap::new();
        let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default().page_size(50)));
        while seen.len() < jobs {
            let event = events.try_next().await.expect("a watch").expect("an event");
            let (Event::Apply(job) | Event::InitApply(job)) = event else {
                continue;
            };
            if job.status.as_ref().and_then(|it| it.phase).is_some_and(is_meant) {
                seen.entry(job.metadata.name.unwrap_or_default())
                    .or_insert_with(Instant::now);
            }
        }
        seen
    })
}

/// How many status writes of jobs the API server has seen.
async fn status_writes() -> f64 {
    let metrics = tokio::task::spawn_blocking(|| control_plane().kubectl().run(&["get", "--raw", "/metrics"]))
        .await
        .expect("no panic")
        .expect("metrics");
    let of_jobs = metrics.lines().filter(|line| {
        line.starts_with("apiserver_request_total{")
            && ["resource=\"commandjobs\"", "subresource=\"status\"", "code=\"200\""]
                .iter()
                .all(|it| line.contains(it))
            && (line.contains("verb=\"APPLY\"") || line.contains("verb=\"PATCH\""))
    });
    of_jobs
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn resident_mebibytes(world: &World) -> f64 {
    mebibytes_of_process(world, "VmRSS:")
}

/// The most that the operator has had since it was started.
fn peak_mebibytes(world: &World) -> f64 {
    mebibytes_of_process(world, "VmHWM:")
}

fn mebibytes_of_process(world: &World, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process_of(world))).expect("the operator runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    let kibibytes: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a number");
    kibibytes / 1024.0
}

fn process_of(world: &World) -> u32 {
    world.operator.as_ref().expect("an operator").process().pid()
}

fn claim() -> Value {
    json!({"phase": "Running", "observedGeneration": 1, "target": "pool/shell", "startTime": "2026-01-01T00:00:00Z"})
}

fn end(output: &str) -> Value {
    json!({
        "phase": "Succeeded", "observedGeneration": 1, "target": "pool/shell", "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:01Z",
        "result": {
            "outcome": "Exited", "exitCode": 0,
            "stdout": {"text": output, "bytes": output.len()}, "stderr": {"bytes": 0},
        },
    })
}

fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
