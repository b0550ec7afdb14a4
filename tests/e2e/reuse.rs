//! Sessions that outlive a job: what the next one finds in them, who the next one is, and what that costs.

use std::collections::BTreeSet;

use kube::Api;
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{JobSession, Phase, QueueReason, SessionMode};
use lifeguard::api::session_pool::{PoolSessions, SessionPool};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cost::data_plane;
use crate::data_plane::{crash_sessions, live_sessions, until_released};
use crate::jobs::{also, in_pool, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, object, shell_pool};

/// A script in the pool `shell`, in a session that was left, if there is one.
fn reused(text: &str) -> Value {
    also(in_pool("shell", text), &json!({"session": {"mode": "Reused"}}))
}

/// A script in the pool `shell`, in the session of this key.
fn shared(key: &str, text: &str) -> Value {
    also(
        in_pool("shell", text),
        &json!({"session": {"mode": "Shared", "key": key, "idleSeconds": 600}}),
    )
}

/// What a job that has ended printed, and its session.
async fn run(world: &World, name: &str, spec: &Value) -> (String, JobSession) {
    let job = world.run(name, spec).await;
    let (code, stdout, stderr) = result(&job);
    assert_eq!((code, stderr), (0, Vec::new()), "{name}");
    (String::from_utf8(stdout).expect("text"), session_of(&job))
}

fn session_of(job: &CommandJob) -> JobSession {
    job.status
        .as_ref()
        .and_then(|it| it.session.clone())
        .expect("a session")
}

async fn until_sessions(world: &World, what: &str, are: impl Fn(&PoolSessions) -> bool) {
    world
        .until(what, || async {
            let pool: SessionPool = world.ours().get("shell").await.ok()?;
            are(&pool.status?.sessions?).then_some(())
        })
        .await;
}

async fn until_kept(world: &World, kept: i32) {
    until_sessions(world, "the session is kept", |it| it.kept == kept && it.in_use == 0).await;
}

/// How many sessions were ever allocated, and for how many hours they are billed.
async fn bill(world: &World) -> (usize, u64) {
    let journal = world.control(Method::GET, "allocations", None).await;
    let sessions = journal["sessions"].as_array().expect("a list of sessions");
    let hours = sessions.iter().map(|it| it["billedHours"].as_u64().expect("hours"));
    (sessions.len(), hours.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn short_jobs_one_after_the_other_share_the_hour_of_one_session_at_two_requests_each() {
    let world = World::new("reuse").await;
    world.pool("shell", 1).await;
    world.pool("fresh", 5).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    for number in 0..4 {
        world.forget_requests().await;
        let (stdout, session) = run(&world, &format!("job-{number}"), &reused("echo it ran")).await;
        assert_eq!(stdout, "it ran\n");
        assert_eq!((session.mode, session.reuse), (SessionMode::Reused, number));
        until_kept(&world, 1).await;
        let requests = data_plane(&world.requests().await);
        if number > 0 {
            let expected = [("POST", "files"), ("POST", "executions")];
            assert_eq!(
                requests,
                expected.map(|(method, of)| (method.to_owned(), of.to_owned()))
            );
        }
    }
    assert_eq!(bill(&world).await, (1, 1));
    for number in 0..3 {
        let (_, session) = run(&world, &format!("fresh-{number}"), &in_pool("fresh", "true")).await;
        assert_eq!((session.mode, session.reuse), (SessionMode::Fresh, 0));
    }
    assert_eq!(bill(&world).await, (4, 4));
    until_sessions(&world, "the pool says what that costs", |it| {
        it.kept == 1 && it.billed_hours.first().map(|it| it.hours) == Some(1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_reused_session_finds_nothing_of_the_one_before() {
    let world = World::new("left").await;
    world.pool("shell", 1).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    let look = "exec 2>/dev/null; grep -rl residu[e] /mnt/data /tmp /var/tmp /dev/shm \"$HOME\"; find / -xdev -name '*leftover*' 2>/dev/null; find /tmp /var/tmp /dev/shm /mnt/data -name '*leftover*' 2>/dev/null
        for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep leftove[r]; done
        grep -l leftove[r] /proc/[0-9]*/environ 2>/dev/null; ls -A \"$HOME\" /mnt/data 2>/dev/null | grep leftove[r]; true";
    for (name, deed) in [
        (
            "process",
            "cp $(command -v sleep) /tmp/leftover; (env -i setsid /tmp/leftover 1000 >/dev/null 2>&1 &)",
        ),
        (
            "stubborn",
            "(trap '' TERM; exec -a leftover env -i setsid sh -c 'while :; do sleep 1000; done' leftover >/dev/null 2>&1 &)",
        ),
        (
            "files",
            "mkdir -p /tmp/a/.leftover /mnt/data/leftover /dev/shm/leftover; echo x >/var/tmp/.leftover; chmod 0 /tmp/a",
        ),
        ("home", "touch \"$HOME/.leftover\" 2>/dev/null; true"),
        ("disk", "head -c 300000000 /dev/zero >/tmp/leftover 2>/dev/null; true"),
        (
            "content",
            "echo residue >/mnt/data/a; echo residue >/tmp/b; (sleep 1000; echo residue) >/dev/null 2>&1 &",
        ),
        ("much-output", "touch /tmp/leftover; seq 100000"),
    ] {
        world.run(name, &reused(deed)).await;
        let (found, session) = run(&world, &format!("after-{name}"), &reused(look)).await;
        assert_eq!(found, "", "after {name}");
        assert!(session.reuse > 0, "{name}");
    }
    assert_eq!(bill(&world).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_which_something_is_left_is_released_and_the_next_job_has_a_new_one() {
    let world = World::new("dirty").await;
    world.pool("shell", 5).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    // What starts processes as fast as they are killed; and files as if another job were in the session.
    let chain = "printf '%s\\n' 'sh \"$0\" &' >/tmp/chain; sh /tmp/chain >/dev/null 2>&1";
    world.run("chain", &reused(chain)).await;
    until_sessions(&world, "it is decided what becomes of the session", |it| it.in_use == 0).await;
    let job = world.run("files", &reused("mkdir /tmp/.lg-another0")).await;
    assert_eq!(result(&job).0, 0);
    until_released(&world, "shell").await;
    let (_, session) = run(&world, "after", &reused("true")).await;
    assert_eq!(session.reuse, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_never_passes_from_one_namespace_to_another_not_even_with_a_lent_account() {
    let guests = ["reuse-a", "reuse-b"];
    let options = WorldOptions {
        namespaces: guests.map(str::to_owned).to_vec(),
        ..WorldOptions::default()
    };
    let world = World::with("tenants", options).await;
    for guest in guests {
        world.create_namespace(guest).await;
    }
    world.pool("shell", 1).await;
    let mut pool = shell_pool("shell", 1);
    pool["spec"]["sharing"] = json!([{"namespaces": {"from": "All"}, "accountRef": {"name": "default"}}]);
    pool["spec"]["jobDefaults"] = json!({"sessionMode": "Reused", "maxReuses": 2});
    world.apply(&pool).await;
    world.until_available("SessionPool", "shell").await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    let spec = json!({"target": {"sessionPoolRef": {"name": "shell", "namespace": world.namespace}}, "script": "true"});
    let mut sessions = BTreeSet::new();
    for namespace in [&world.namespace, guests[0], guests[1]] {
        let mut own = BTreeSet::new();
        for number in 0..4 {
            let name = format!("job-{number}");
            world.apply_in(namespace, &object("CommandJob", &name, &spec)).await;
            let job = world.ended_in(namespace, &name).await;
            assert_eq!(result(&job).0, 0);
            // The pool's default is at most two more jobs.
            assert_eq!(session_of(&job).reuse, number % 3, "{namespace}");
            own.insert(job.status.expect("a status").attempts[0].session.clone());
        }
        assert_eq!(own.len(), 2);
        sessions.extend(own);
    }
    assert_eq!(sessions.len(), 6, "no two namespaces have the same one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_kept_makes_room_for_a_job_that_may_not_have_it() {
    let world = World::new("room").await;
    world.pool("shell", 1).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    run(&world, "first", &reused("true")).await;
    until_kept(&world, 1).await;
    let (_, session) = run(&world, "fresh", &in_pool("shell", "true")).await;
    assert_eq!(session.reuse, 0);
    let (_, session) = run(&world, "second", &reused("true")).await;
    assert_eq!(session.reuse, 0);
    until_kept(&world, 1).await;
    let (_, session) = run(&world, "third", &reused("true")).await;
    assert_eq!(session.reuse, 1);
    assert_eq!(bill(&world).await.0, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_kept_is_found_again_by_an_operator_that_is_started_anew() {
    let mut world = World::new("found").await;
    world.pool("shell", 5).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    run(&world, "first", &reused("true")).await;
    until_kept(&world, 1).await;
    run(&world, "files", &shared("one", "echo kept >/mnt/data/mine")).await;
    until_kept(&world, 2).await;
    world.kill_operator();
    world.start_operator().await;
    let found = || world.operator_log().matches("was found again").count() == 2;
    world
        .until("the sessions are found again", || async { found().then_some(()) })
        .await;
    let (_, session) = run(&world, "second", &reused("true")).await;
    assert_eq!(session.mode, SessionMode::Reused);
    let (stdout, _) = run(&world, "files-again", &shared("one", "cat /mnt/data/mine")).await;
    assert_eq!(stdout, "kept\n");
    until_kept(&world, 2).await;
    assert_eq!(bill(&world).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_that_died_is_replaced_and_the_job_says_nothing_of_it() {
    let world = World::new("died").await;
    world.pool("shell", 1).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    run(&world, "first", &reused("true")).await;
    until_kept(&world, 1).await;
    crash_sessions(&world, "shell").await;
    let (stdout, _) = run(&world, "second", &reused("echo right")).await;
    assert_eq!(stdout, "right\n");
    until_kept(&world, 1).await;
    let (stdout, _) = run(&world, "third", &reused("echo right")).await;
    assert_eq!(stdout, "right\n");
    assert_eq!(bill(&world).await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_key_have_the_files_of_those_before_and_run_one_at_a_time() {
    let world = World::new("shared").await;
    world.pool("shell", 5).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    let witness = Witness::new().await;
    let begin = format!(
        "echo first >/mnt/data/log; {}; echo end >>/mnt/data/log",
        witness.asked("first")
    );
    world.job("first", &shared("one", &begin)).await;
    let jobs: Api<CommandJob> = world.ours();
    world
        .until("it runs", || async {
            (jobs.get("first").await.ok()?.status?.phase? == Phase::Running).then_some(())
        })
        .await;
    world.job("second", &shared("one", "cat /mnt/data/log")).await;
    world
        .until("the second one waits for the session", || async {
            let queue = jobs.get("second").await.ok()?.status?.queue?;
            (queue.reason == QueueReason::Session).then_some(())
        })
        .await;
    // That of another key waits for nobody.
    let (stdout, session) = run(&world, "other", &shared("two", "ls /mnt/data")).await;
    assert_eq!((stdout.as_str(), session.reuse), ("", 0));
    witness.open();
    let second = world.ended("second").await;
    assert_eq!(result(&second).1, b"first\nend\n");
    assert_eq!(session_of(&second).reuse, 1);
    until_kept(&world, 2).await;
    assert_eq!(bill(&world).await.0, 2);
    assert_eq!(live_sessions(&world, "shell").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_session_ends_when_nobody_has_used_it_for_as_long_as_its_last_job_said() {
    let world = World::new("idle").await;
    world.pool("shell", 5).await;
    let spec = also(
        in_pool("shell", "true"),
        &json!({"session": {"mode": "Shared", "key": "one", "idleSeconds": 10}}),
    );
    run(&world, "first", &spec).await;
    until_kept(&world, 1).await;
    until_released(&world, "shell").await;
    until_kept(&world, 0).await;
}
