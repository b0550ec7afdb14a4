//! One namespace does at once all that could stop an operator, beside another whose jobs go on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::health_port::half_requests;
use crate::jobs::{also, result};
use crate::memory::{assert_within_the_limit, limited};
use crate::results::pool_of;
use crate::world::{World, WorldOptions, object, sample_or_soak, script};

const HOSTILE: &str = "hostile";

/// How many times longer a job may take beside a hostile namespace than alone, as the middle of many.
const SLOWER_AT_MOST: u32 = 5;

fn in_hostile(spec: Value) -> Value {
    also(spec, &json!({"target": {"sessionPoolRef": {"name": "own"}}}))
}

/// The pool and the Secrets of the hostile namespace.
async fn move_in(world: &World) {
    pool_of(world, HOSTILE, 600).await;
    let lines: Vec<String> = (4..24).map(|n| "a".repeat(n)).collect();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large"},
        "stringData": {
            "huge": "x".repeat(700_000), "lines": lines.join("\n"), "long": format!("{}b", "a".repeat(119_999)),
        },
    });
    world.apply_in(HOSTILE, &secret).await;
}

/// Everything that a user of one namespace can ask for, `scale` times.
async fn attack(world: &World, scale: usize) {
    let secret = |variable: &str, key: &str| json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": "large", "key": key}}});
    let expansion = json!([{"name": "A", "value": "x".repeat(100_000)}, {"name": "B", "value": "$(A)".repeat(4000)}]);
    let values: Vec<Value> = (0..200).map(|n| secret(&format!("V{n}"), "huge")).collect();
    let prints = "head -c 8000000 /dev/zero | tr '\\0' a";
    let floods = "ls -d /tmp/.lg-*/ | while read d; do rm -f $d/out; mkfifo $d/out; done; sleep 1";
    let large = "# 0123456789abcdef\n".repeat(52_000);
    let jobs: Vec<(&str, usize, Value)> = vec![
        ("expansion", 2, also(script("true"), &json!({"env": expansion}))),
        ("values", 2, also(script("true"), &json!({"env": values}))),
        (
            "lines",
            2,
            also(script(prints), &json!({"env": [secret("VALUE", "lines")]})),
        ),
        (
            "long",
            3,
            also(script(prints), &json!({"env": [secret("VALUE", "long")]})),
        ),
        ("fifo", 8, script(floods)),
        ("endless", 1, script("yes")),
        ("stopped", 2, script("kill -STOP $PPID; sleep 600")),
        ("cleans", 2, script("rm -rf /mnt/data/* /tmp/.lg-*; sleep 5")),
        ("sleeps", 20, script("sleep 600")),
        (
            "large",
            20,
            also(script(&large), &json!({"stdin": "x".repeat(450_000)})),
        ),
    ];
    for (name, count, spec) in jobs {
        let count = count * scale;
        for number in 0..count {
            let job = object(
                "CommandJob",
                &format!("{name}-{number}"),
                &in_hostile(also(spec.clone(), &json!({"timeoutSeconds": 600}))),
            );
            world.apply_in(HOSTILE, &job).await;
        }
    }
    for number in 0..20 * scale {
        let waiting = also(script(&large), &json!({"target": {"sessionPoolRef": {"name": "none"}}}));
        world
            .apply_in(HOSTILE, &object("CommandJob", &format!("waits-{number}"), &waiting))
            .await;
        let group = object("ResourceGroup", &format!("group-{number}"), &json!({"interval": "1s"}));
        world.apply_in(HOSTILE, &group).await;
    }
}

/// How long each of so many jobs of the victim takes, one after the other.
async fn durations(world: &World, prefix: &str, count: usize) -> Vec<Duration> {
    let mut durations = Vec::with_capacity(count);
    for number in 0..count {
        let started = Instant::now();
        let job = world.run(&format!("{prefix}-{number}"), &script("echo hi")).await;
        durations.push(started.elapsed());
        assert_eq!(result(&job), (0, b"hi\n".to_vec(), Vec::new()));
    }
    durations.sort();
    durations
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_namespace_stops_nobody() {
    let options = WorldOptions {
        namespaces: vec![HOSTILE.to_owned()],
        log: Some("warn".to_owned()),
        ..WorldOptions::default()
    };
    let mut world = World::with("victim", options).await;
    world.pool("shell", 10).await;
    let count = sample_or_soak(5, 40);
    let alone = durations(&world, "alone", count).await;
    let limit = limited(&world);
    move_in(&world).await;
    attack(&world, sample_or_soak(1, 5)).await;
    let halves = half_requests(&world, sample_or_soak(200, 900));
    let beside = durations(&world, "beside", count).await;
    assert_within_the_limit(&world);
    drop(halves);
    // It finds all of it when it starts.
    world.kill_operator();
    drop(limit);
    world.start_operator().await;
    let _limit = limited(&world);
    let after = durations(&world, "after", count).await;
    assert_within_the_limit(&world);
    assert!(world.operator_runs());
    assert!(!world.operator_log().contains("panicked"));

    let middle = |durations: &[Duration]| durations[durations.len() / 2];
    let longest = |durations: &[Duration]| durations[durations.len() - 1];
    for (name, durations) in [("alone", &alone), ("beside", &beside), ("after a restart", &after)] {
        eprintln!(
            "a victim's job {name}: {:?} in the middle, {:?} at most",
            middle(durations),
            longest(durations)
        );
    }
    // Only where there are enough of them to say something.
    if count >= 40 {
        assert!(middle(&beside) < middle(&alone) * SLOWER_AT_MOST);
    }
}
