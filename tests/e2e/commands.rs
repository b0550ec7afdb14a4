//! Commands of every kind: how they end is what the job says, and a job never outlasts its command or its deadline.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CommandResult, Outcome, Phase};
use serde_json::{Value, json};

use crate::data_plane::until_released;
use crate::jobs::{also, reason, result};
use crate::witness::Witness;
use crate::world::{World, script};

fn program(words: &[&str]) -> Value {
    json!({"target": {"sessionPoolRef": {"name": "shell"}}, "command": words})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_job_applied_as_yaml_runs_in_a_session_and_its_output_is_in_status() {
    let world = World::new("hello").await;
    world.pool("shell", 5).await;
    let job = world
        .run(
            "hello",
            &script("echo \"hello from $LG_ID\" | cut -c1-10; echo oops >&2; exit 7"),
        )
        .await;
    assert_eq!(result(&job), (7, b"hello from\n".to_vec(), b"oops\n".to_vec()));
    assert_eq!(job.status.as_ref().unwrap().phase, Some(Phase::Failed));
    let job = world
        .run(
            "fine",
            &json!({"target": {"sessionPoolRef": {"name": "shell"}}, "command": ["printf", "%s", "a b"]}),
        )
        .await;
    assert_eq!(result(&job), (0, b"a b".to_vec(), Vec::new()));
    assert_eq!(job.status.as_ref().unwrap().phase, Some(Phase::Succeeded));
    assert_eq!(job.status.as_ref().unwrap().target.as_deref(), Some("pool/shell"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_as_its_command_does() {
    let world = World::new("commands").await;
    world.pool("shell", 40).await;
    let filler = "# a line of a long script\n".repeat(12_000);
    let long = format!("{filler}wc -c <\"$0\" | tr -d ' '; exit 5\n");
    let stdin = |text: &str| json!({"stdin": text});
    let cases: Vec<(&str, Value, i32, String)> = vec![
        ("exit-0", script("exit 0"), 0, String::new()),
        ("exit-1", script("echo before; exit 1"), 1, "before\n".into()),
        ("exit-7", script("(exit 7)"), 7, String::new()),
        ("exit-126", script("/etc/passwd 2>/dev/null"), 126, String::new()),
        ("exit-127", script("no-such-program 2>/dev/null"), 127, String::new()),
        ("exit-255", script("exit 255"), 255, String::new()),
        ("exit-256", script("exit 256"), 0, String::new()),
        ("program", program(&["/bin/sh", "-c", "exit 9"]), 9, String::new()),
        ("program-not-found", program(&["no-such-program"]), 127, String::new()),
        ("program-not-executable", program(&["/etc/passwd"]), 126, String::new()),
        (
            "program-words",
            program(&["printf", "%s|", "a b", "", "*", "$HOME", "'\""]),
            0,
            "a b||*|$HOME|'\"|".into(),
        ),
        ("signal-kill", script("echo gone; kill -9 $$"), 137, "gone\n".into()),
        ("signal-term", script("kill $$"), 143, String::new()),
        ("signal-segv", script("kill -SEGV $$"), 139, String::new()),
        ("signal-group", script("kill -9 0"), 137, String::new()),
        (
            "syntax",
            script("if true; then echo never 2>/dev/null"),
            2,
            String::new(),
        ),
        ("set-e", script("set -e; echo one; false; echo two"), 1, "one\n".into()),
        ("exec", script("exec printf done"), 0, "done".into()),
        (
            "interpreter",
            script("#!/usr/bin/env -S awk -f\nBEGIN { print 6 * 7 }"),
            0,
            "42\n".into(),
        ),
        ("long-script", script(&long), 5, format!("{}\n", long.len())),
        (
            "stdin",
            also(script("cat; echo end"), &stdin("two\nlines")),
            0,
            "two\nlinesend\n".into(),
        ),
        (
            "stdin-of-program",
            also(program(&["wc", "-l"]), &stdin("1\n2\n3\n")),
            0,
            "3\n".into(),
        ),
        ("no-stdin", script("cat; read -r line; echo \"$?\""), 0, "1\n".into()),
        ("background", script("sleep 300 & echo started"), 0, "started\n".into()),
        ("daemon", script("setsid -f sleep 300; echo left"), 0, "left\n".into()),
        (
            "files",
            script("cd /mnt/data && echo x >f && cat f && rm f"),
            0,
            "x\n".into(),
        ),
        (
            "here-document",
            script("cat <<'END'\n$HOME `x` \\\nEND\n"),
            0,
            "$HOME `x` \\\n".into(),
        ),
    ];
    for (name, spec, ..) in &cases {
        world.job(name, spec).await;
    }
    for (name, _, code, stdout) in &cases {
        let job = world.ended(name).await;
        let (actual, out, _) = result(&job);
        assert_eq!(
            (actual, String::from_utf8_lossy(&out)),
            (*code, stdout.into()),
            "{name}"
        );
        let (phase, condition, why) = match code {
            0 => (Phase::Succeeded, "Complete", "CommandSucceeded"),
            _ => (Phase::Failed, "Failed", "NonZeroExitCode"),
        };
        assert_eq!(job.status.as_ref().and_then(|it| it.phase), Some(phase), "{name}");
        assert_eq!(reason(&job, condition).as_deref(), Some(why), "{name}");
    }
    until_released(&world, "shell").await;
}

fn killed(name: &str, job: &CommandJob) -> CommandResult {
    assert_eq!(reason(job, "Failed").as_deref(), Some("DeadlineExceeded"), "{name}");
    let result = job.status.as_ref().and_then(|it| it.result.clone()).expect("a result");
    assert_eq!(result.outcome, Outcome::TimedOut, "{name}");
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_outlasts_its_timeout_is_killed_with_all_that_it_left_and_its_output_is_kept() {
    let world = World::new("deadlines").await;
    world.pool("shell", 10).await;
    let witness = Witness::new().await;
    let beat = witness.told("beat");
    let daemon =
        format!("setsid -f bash -c 'while :; do {beat}; sleep 0.1; done' >/dev/null 2>&1; echo left; sleep 600");
    let cases = [
        ("sleeps", "echo early; sleep 600", "early\n"),
        ("daemonises", daemon.as_str(), "left\n"),
        (
            "ignores-term",
            "trap '' TERM; echo stubborn; while :; do sleep 1; done",
            "stubborn\n",
        ),
        (
            "cleans-up",
            "trap 'echo cleaned; exit 0' TERM; echo busy; sleep 600 & wait",
            "busy\ncleaned\n",
        ),
    ];
    let limited = |text: &str| also(script(text), &json!({"timeoutSeconds": 2}));
    for (name, text, _) in cases {
        world.job(name, &limited(text)).await;
    }
    world
        .job("floods", &limited("while :; do printf '%s\\n' flood flood flood; done"))
        .await;
    for (name, _, stdout) in cases {
        let job = world.ended(name).await;
        assert_eq!(killed(name, &job).stdout.text.as_deref(), Some(stdout), "{name}");
    }
    let flood = killed("floods", &world.ended("floods").await).stdout;
    assert!(flood.truncated);
    assert!(flood.text.is_some_and(|it| it.starts_with("flood\nflood\n")));
    assert!(flood.tail_text.is_some_and(|it| it.contains("flood\nflood\n")));

    // The daemon was swept: while another command runs, it says nothing more.
    assert!(witness.count("beat") > 0);
    world.run("meanwhile", &script("sleep 0.3")).await;
    let before = witness.count("beat");
    world.run("later", &script("sleep 1")).await;
    assert_eq!(witness.count("beat"), before);
    until_released(&world, "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_run_longer_than_the_service_keeps_a_request_open() {
    let world = World::new("long").await;
    world.pool("shell", 10).await;
    world.behave(&json!({"sessions": {"synchronousLimitSeconds": 2}})).await;
    let witness = Witness::new().await;
    let text = format!("{}; echo begin; sleep 5; echo end; exit 4", witness.told("long"));
    let job = world.run("long", &script(&text)).await;
    assert_eq!(result(&job), (4, b"begin\nend\n".to_vec(), Vec::new()));
    assert_eq!(witness.count("long"), 1);
    assert_eq!(job.status.map(|it| it.attempts.len()), Some(1));
}
