//! A job that stands for much more than it says is refused or bounded, and stops nobody.

use kube::Api;
use kube::api::DeleteParams;
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use serde_json::{Value, json};

use crate::jobs::{also, in_pool, reason, result};
use crate::memory::{assert_within_the_limit, limited};
use crate::results::pool_of;
use crate::world::{World, WorldOptions, object, script};

fn from_secret(variable: &str, name: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
}

/// Waits until a job says that it is invalid, and returns its message.
async fn refused(world: &World, name: &str) -> String {
    world
        .until(&format!("{name} is refused"), || async {
            let job: CommandJob = world.ours().get(name).await.ok()?;
            (reason(&job, "Stalled").as_deref() == Some("InvalidSpec")).then_some(())?;
            let status = job.status?;
            assert!(status.attempts.is_empty(), "{name} began");
            let stalled = status.conditions.into_iter().find(|it| it.type_ == "Stalled")?;
            Some(stalled.message)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_stands_for_is_counted_before_it_is_made() {
    let world = World::new("budgets").await;
    world.pool("shell", 5).await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "large"},
            "stringData": {"huge": "x".repeat(700_000), "fits": "y".repeat(100_000)},
        }))
        .await;
    let large = json!({"name": "A", "value": "x".repeat(100_000)});
    let many = |key: &str| -> Vec<Value> { (0..200).map(|n| from_secret(&format!("V{n}"), "large", key)).collect() };
    let with = |env: Value| also(script("echo never"), &json!({"env": env}));
    let command = json!({
        "target": {"sessionPoolRef": {"name": "shell"}}, "command": ["true"], "args": vec!["$(A)"; 900], "env": [large],
    });
    let jobs = [
        (
            "value",
            with(json!([large, {"name": "B", "value": "$(A)".repeat(4000)}])),
            "env B: ",
        ),
        ("huge", with(many("huge").into()), "env V0: "),
        ("many", with(many("fits").into()), "env V20: "),
        ("arguments", command, "argument 20 of the command: "),
    ];
    for (name, spec, _) in &jobs {
        world.job(name, spec).await;
    }
    for (name, _, begins) in &jobs {
        let message = refused(&world, name).await;
        assert!(message.starts_with(begins), "{name}: {message}");
    }
    let (code, stdout, _) = result(&world.run("other", &script("echo hi")).await);
    assert_eq!((code, &*stdout), (0, b"hi\n".as_slice()));
    assert_within_the_limit(&world);

    // What is a little less than that is run, and all of it arrives.
    let fits = with(
        (0..18)
            .map(|n| from_secret(&format!("V{n}"), "large", "fits"))
            .collect::<Vec<_>>()
            .into(),
    );
    let fits = also(fits, &json!({"script": "printf %s \"$V0$V17\" | wc -c"}));
    let (code, stdout, _) = result(&world.run("fits", &fits).await);
    assert_eq!((code, &*stdout), (0, b"200000\n".as_slice()));
}

/// What Linux takes of one argument or variable, and the budget of all of them, each with nine bytes more.
const STRING_BYTES: usize = 131_071;
const EXEC_BYTES: usize = 2 * 1024 * 1024 - 64 * 1024;

/// Prints how long its last argument is.
const LAST: &str = "shift $(($# - 1)); printf %s \"$1\" | wc -c";

/// A command with a long variable, these arguments that stand for it, and a last one of this length.
fn with_arguments(references: usize, length: usize) -> Value {
    let mut words = vec!["/bin/sh".to_owned(), "-c".to_owned(), LAST.to_owned(), "sh".to_owned()];
    words.extend(vec!["$(A)".to_owned(); references]);
    words.push("y".repeat(length));
    json!({"target": {"sessionPoolRef": {"name": "shell"}}, "command": words, "env": [a()]})
}

/// A script with a long variable, others that stand for it, and a last one of this length.
fn with_variables(references: usize, length: usize) -> Value {
    let mut env = vec![a()];
    env.extend((0..references).map(|n| json!({"name": format!("V{n:02}"), "value": "$(A)"})));
    env.push(json!({"name": "LAST", "value": "y".repeat(length)}));
    also(script("printenv LAST | tr -d '\\n' | wc -c"), &json!({"env": env}))
}

fn a() -> Value {
    json!({"name": "A", "value": "x".repeat(100_000)})
}

/// Name, spec by the number of references and the length of the last string, both of these, and how a refusal begins.
type Case = (&'static str, fn(usize, usize) -> Value, usize, usize, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_within_a_budget_is_run_and_a_byte_more_is_refused() {
    let world = World::new("brim").await;
    world.pool("shell", 5).await;
    let all = |fixed: &[&str], long: usize, of: usize| {
        let fixed: usize = fixed.iter().map(|it| it.len() + 9).sum();
        EXEC_BYTES - fixed - ("A=".len() + 100_000 + 9) - long * (of + 9) - 9
    };
    let arguments = all(&["/bin/sh", "-c", LAST, "sh"], 19, 100_000);
    let variables = all(&[], 19, "V00=".len() + 100_000) - "LAST=".len();
    let cases: [Case; 4] = [
        (
            "argument",
            with_arguments,
            0,
            STRING_BYTES,
            "argument 4 of the command has ",
        ),
        (
            "variable",
            with_variables,
            0,
            STRING_BYTES - "LAST=".len(),
            "env LAST: ",
        ),
        (
            "arguments",
            with_arguments,
            19,
            arguments,
            "argument 23 of the command: ",
        ),
        ("variables", with_variables, 19, variables, "env LAST: "),
    ];
    for (name, spec, references, most, _) in cases {
        world.job(&format!("{name}-fits"), &spec(references, most)).await;
        world.job(&format!("{name}-over"), &spec(references, most + 1)).await;
    }
    for (name, _, _, most, begins) in cases {
        let (code, stdout, stderr) = result(&world.ended(&format!("{name}-fits")).await);
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(
            (code, &*stderr, stdout),
            (0, "", format!("{most}\n").into_bytes()),
            "{name}"
        );
        let message = refused(&world, &format!("{name}-over")).await;
        assert!(message.starts_with(begins), "{name}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn masking_takes_no_more_memory_than_the_output_and_keeps_nobody_waiting() {
    let world = World::new("masking").await;
    world.pool("shell", 10).await;
    let lines: Vec<String> = (4..24).map(|n| "a".repeat(n)).collect();
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hostile"},
            "stringData": {
                "lines": lines.join("\n"),
                "long": format!("{}b", "a".repeat(119_999)),
                "quoted": "it's \"$hidden\" away",
            },
        }))
        .await;
    let text = "head -c 8000000 /dev/zero | tr '\\0' a";
    let job = |key: &str| also(script(text), &json!({"env": [from_secret("VALUE", "hostile", key)]}));
    world.job("lines", &job("lines")).await;
    for name in ["long-1", "long-2", "long-3"] {
        world.job(name, &job("long")).await;
    }
    let (_, stdout, _) = result(&world.run("other", &script("echo hi")).await);
    assert_eq!(stdout, b"hi\n");
    let masked = world
        .ended("lines")
        .await
        .status
        .and_then(|it| it.result)
        .expect("a result");
    assert_eq!(
        (masked.stdout.text.as_deref(), masked.masked_count),
        (Some("***"), Some(1))
    );
    for name in ["long-1", "long-2", "long-3"] {
        let job = world.ended(name).await;
        assert_eq!(
            job.status.as_ref().and_then(|it| it.phase),
            Some(Phase::Succeeded),
            "{name}"
        );
        let kept = job.status.and_then(|it| it.result).expect("a result");
        assert_eq!((kept.stdout.bytes, kept.masked_count), (8_000_000, None), "{name}");
    }
    assert_within_the_limit(&world);

    let shown = also(
        job("quoted"),
        &json!({"script": "export -p | grep VALUE; set | grep VALUE"}),
    );
    let (_, stdout, _) = result(&world.run("quoted", &shown).await);
    let stdout = String::from_utf8_lossy(&stdout);
    assert!(stdout.contains("***") && !stdout.contains("hidden"), "{stdout}");
}

/// As much as etcd takes of one object.
fn as_large_as_can_be(text: &str) -> Value {
    let text = format!("{text}\n{}", "# 0123456789abcdef\n".repeat(52_000));
    also(script(&text), &json!({"stdin": "x".repeat(450_000)}))
}

async fn until_queued(world: &World, name: &str) -> String {
    world
        .until(&format!("{name} waits"), || async {
            let job: CommandJob = world.ours().get(name).await.ok()?;
            (job.status.as_ref()?.phase? == Phase::Queued).then_some(())?;
            reason(&job, "Ready")
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_more_bytes_than_the_operator_has_wait_survive_a_restart_and_run() {
    let quiet = WorldOptions {
        log: Some("warn".to_owned()),
        ..WorldOptions::default()
    };
    let mut world = World::with("large", quiet).await;
    let limit = limited(&world);
    let names: Vec<_> = (0..170).map(|n| format!("large-{n}")).collect();
    for name in &names {
        world.job(name, &as_large_as_can_be("wc -c")).await;
    }
    for name in &names {
        until_queued(&world, name).await;
    }
    assert_within_the_limit(&world);
    world.kill_operator();
    drop(limit);
    world.start_operator().await;
    let _limit = limited(&world);
    world.job("late", &script("echo hi")).await;
    until_queued(&world, "late").await;
    assert_within_the_limit(&world);
    // Running them all would take a while.
    let (stay, go) = names.split_at(20);
    for name in go {
        let jobs: Api<CommandJob> = world.ours();
        jobs.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    world.pool("shell", 50).await;
    for name in stay {
        let (code, stdout, _) = result(&world.ended(name).await);
        assert_eq!((code, &*stdout), (0, b"450000\n".as_slice()), "{name}");
    }
    let (_, stdout, _) = result(&world.ended("late").await);
    assert_eq!(stdout, b"hi\n");
    assert_within_the_limit(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_secrets_are_kept_for_as_many_running_jobs_as_there_is_room_for_and_the_others_wait() {
    let other = "values-other";
    let options = WorldOptions {
        namespaces: vec![other.to_owned()],
        log: Some("warn".to_owned()),
        ..WorldOptions::default()
    };
    let world = World::with("values", options).await;
    world.pool("shell", 100).await;
    pool_of(&world, other, 5).await;
    for secret in ["first", "second"] {
        let values: serde_json::Map<_, _> = (0..8)
            .map(|n| (format!("k{n}"), format!("{secret}{n}{}", "z".repeat(100_000)).into()))
            .collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": values});
        world.apply(&secret).await;
        world.apply_in(other, &secret).await;
    }
    let env: Vec<_> = ["first", "second"]
        .iter()
        .flat_map(|secret| {
            (0..8).map(move |n| from_secret(&format!("{}{n}", secret.to_uppercase()), secret, &format!("k{n}")))
        })
        .collect();
    let spec = also(script("sleep 600"), &json!({"env": env}));
    let names: Vec<_> = (0..100).map(|n| format!("holds-{n}")).collect();
    for name in &names {
        world.job(name, &spec).await;
    }
    let busy = world
        .until("some wait for room", || async {
            for name in &names {
                let job: CommandJob = world.ours().get(name).await.ok()?;
                if reason(&job, "Ready").as_deref() == Some("OperatorBusy") {
                    return Some(name.clone());
                }
            }
            None
        })
        .await;
    // Those of another namespace have room of their own.
    let victim = also(in_pool("own", "true"), &json!({"env": spec["env"]}));
    world.apply_in(other, &object("CommandJob", "victim", &victim)).await;
    let (code, _, _) = result(&world.ended_in(other, "victim").await);
    assert_eq!(code, 0);
    assert_within_the_limit(&world);
    // When those that run are gone, the next ones have their turn.
    for name in names.iter().filter(|it| **it != busy) {
        let jobs: Api<CommandJob> = world.ours();
        jobs.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    world
        .until(&format!("{busy} runs"), || async {
            let job: CommandJob = world.ours().get(&busy).await.ok()?;
            (job.status?.phase? == Phase::Running).then_some(())
        })
        .await;
}
