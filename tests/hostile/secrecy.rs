//! Secret values are nowhere but in Secrets, in the session and in the bodies of uploads.

use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CommandResult, OutputTail};
use serde_json::{Value, json};

use crate::jobs::{also, result};
use crate::world::{World, WorldOptions, script};

const PLAIN: &str = "canary-7f3a91c2-plain";
const FIRST_LINE: &str = "canary-7f3a91c2-first-line";
const SECOND_LINE: &str = "canary-7f3a91c2-second-line";
/// Each number stands once in the long value, so that any piece of it is found.
const LONG_BEGINS: &str = "canary-7f3a91c2-long-";
const LONG_GOES_ON: &str = "-1234-1235-1236-";

fn env(variable: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": "canary", "key": key}}})
}

/// Every object of the cluster but Secrets, as JSON.
async fn everything(world: &World) -> String {
    let discovery = Discovery::new(world.client.clone())
        .run()
        .await
        .expect("the kinds of the server");
    let mut all = String::new();
    for group in discovery.groups() {
        for (kind, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) || kind.kind == "Secret" {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &kind);
            let list = api.list(&ListParams::default()).await;
            let list = list.unwrap_or_else(|error| panic!("{} cannot be listed: {error}", kind.kind));
            all.push_str(&serde_json::to_string(&list.items).expect("JSON"));
            all.push('\n');
        }
    }
    all
}

fn kept(job: &CommandJob) -> CommandResult {
    job.status.as_ref().and_then(|it| it.result.clone()).expect("a result")
}

fn as_length(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("a length")
}

/// What a job that runs is shown to have printed, once that is so many bytes.
async fn shown(world: &World, name: &str, bytes: i64) -> OutputTail {
    let jobs: Api<CommandJob> = world.ours();
    world
        .until(&format!("the output of {name} is shown"), || async {
            let tail = jobs.get(name).await.ok()?.status?.tail?;
            (tail.stdout.bytes == bytes).then_some(tail)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_but_where_it_belongs() {
    let options = WorldOptions {
        log: Some("trace".to_owned()),
        ..WorldOptions::default()
    };
    let world = World::with("secrecy", options).await;
    world.pool("shell", 20).await;
    let multi_line = format!("{FIRST_LINE}\n{SECOND_LINE}\n");
    let numbers: Vec<_> = (1000..2000).map(|it| it.to_string()).collect();
    let long_value = format!("{LONG_BEGINS}{}", numbers.join("-"));
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"},
            "stringData": {"plain": PLAIN, "lines": multi_line, "short": "abc", "empty": "", "long": long_value},
        }))
        .await;
    let job = |text: &str, more: Value| {
        let env = json!({"env": [env("PLAIN", "plain"), env("LINES_", "lines"), env("SHORT", "short"), env("EMPTY", "empty")]});
        also(also(script(text), &env), &more)
    };
    world
        .job(
            "printed",
            &job(
                "echo \"<$PLAIN>\"; echo \"$PLAIN$PLAIN\" >&2; echo \"$SHORT\"",
                json!({}),
            ),
        )
        .await;
    world
        .job(
            "lines",
            &job(
                "printf '%s' \"$LINES_\"; printf '%s' \"$LINES_\" | sort -r | sed 's/^/> /'",
                json!({}),
            ),
        )
        .await;
    // The service cuts at 4096 bytes, and long streams travel as files.
    let border = "for at in 4080 4090 4096 8180; do head -c $at /dev/zero | tr '\\0' x; printf %s \"$PLAIN\"; done";
    world.job("borders", &job(border, json!({}))).await;
    // Where the status cuts, no half of a value is left.
    let cut = "head -c 495 /dev/zero | tr '\\0' x; printf %s \"$PLAIN\"; head -c 3000 /dev/zero | tr '\\0' y; printf %s \"$PLAIN\"; head -c 495 /dev/zero | tr '\\0' z";
    world.job("cut", &job(cut, json!({"output": {"maxBytes": 1000}}))).await;
    // Of such a stream only the ends are read.
    let long = "head -c 495 /dev/zero | tr '\\0' x; printf %s \"$PLAIN\"; head -c 9000000 /dev/zero | tr '\\0' y; printf %s \"$PLAIN\"; head -c 495 /dev/zero | tr '\\0' z";
    world
        .job("long", &job(long, json!({"output": {"maxBytes": 1000}})))
        .await;
    let overflow = "for i in $(seq 100); do echo \"$i $PLAIN\"; done; printf '%s' \"$LINES_\"";
    world
        .job(
            "overflow",
            &job(overflow, json!({"output": {"maxBytes": 100, "overflow": "ConfigMap"}})),
        )
        .await;
    let mut argument = job("unused", json!({"command": ["printf", "[%s]", "$(PLAIN)"]}));
    argument.as_object_mut().expect("an object").remove("script");
    world.job("argument", &argument).await;
    world
        .job(
            "fails",
            &job("echo \"$PLAIN\" >&2; no-such-program-\"$PLAIN\"; exit 3", json!({})),
        )
        .await;
    world
        .job(
            "killed",
            &job("echo \"$PLAIN\"; sleep 600", json!({"timeoutSeconds": 1})),
        )
        .await;

    // In sessions that jobs leave to each other, emptied or with their files.
    for (name, session) in [
        ("reused-1", json!({"mode": "Reused"})),
        ("reused-2", json!({"mode": "Reused"})),
        ("shared-1", json!({"mode": "Shared", "key": "k"})),
        ("shared-2", json!({"mode": "Shared", "key": "k"})),
    ] {
        let text = "echo \"$PLAIN\"; find / -name 'lg-*.env' 2>/dev/null; true";
        let ended = world.run(name, &job(text, json!({"session": session}))).await;
        assert_eq!(result(&ended).1, b"***\n", "{name}");
    }

    // While they run: of a value that is not whole yet nothing is seen, nor where what is shown begins or ends within one.
    let tail = json!({"output": {"tail": {"intervalSeconds": 1}}});
    world
        .job(
            "shows",
            &job(
                "echo \"<$PLAIN>\" >&2; echo \"<$PLAIN>\"; printf 'then %s' \"${PLAIN%n}\"; sleep 600",
                tail.clone(),
            ),
        )
        .await;
    let begins =
        "head -c 5000 /dev/zero | tr '\\0' x; printf '%s' \"$PLAIN\"; head -c 2040 /dev/zero | tr '\\0' y; sleep 600";
    world.job("shows-begun", &job(begins, tail.clone())).await;
    // More than comes with an answer has to be read to find it.
    let long_env = json!({"env": [env("LONG", "long")]});
    let long = "head -c 3000 /dev/zero | tr '\\0' w; printf '%s' \"$LONG\"; head -c 1000 /dev/zero | tr '\\0' z; printf '%s' \"${LONG%-1199-*}\"; sleep 600";
    world.job("shows-long", &also(job(long, tail), &long_env)).await;

    let tail = shown(&world, "shows", as_length(2 * PLAIN.len() + 7)).await;
    assert_eq!(tail.stdout.text.as_deref(), Some("<***>\nthen "));
    assert_eq!(tail.stderr.text.as_deref(), Some("<***>\n"));
    let tail = shown(&world, "shows-begun", 5000 + 21 + 2040).await;
    assert_eq!(tail.stdout.text, Some(format!("***{}", "y".repeat(2040))));
    let begun = long_value.find("-1199-").expect("a number");
    let tail = shown(&world, "shows-long", as_length(3000 + long_value.len() + 1000 + begun)).await;
    assert_eq!(tail.stdout.text, Some(format!("***{}", "z".repeat(1000))));

    let (_, stdout, stderr) = result(&world.ended("printed").await);
    assert_eq!(String::from_utf8_lossy(&stdout), "<***>\nabc\n");
    assert_eq!(String::from_utf8_lossy(&stderr), "******\n");
    assert_eq!(kept(&world.ended("printed").await).masked_count, Some(3));
    let (_, stdout, _) = result(&world.ended("lines").await);
    assert_eq!(String::from_utf8_lossy(&stdout), "***> ***\n> ***\n");
    let (_, stdout, _) = result(&world.ended("borders").await);
    let expected: String = [4080, 4090, 4096, 8180].map(|at| "x".repeat(at) + "***").concat();
    assert_eq!(String::from_utf8_lossy(&stdout), expected);
    for name in ["cut", "long"] {
        let stdout = kept(&world.ended(name).await).stdout;
        assert!(stdout.truncated, "{name}");
        let (head, tail) = (stdout.text.expect("a head"), stdout.tail_text.expect("a tail"));
        assert_eq!(head.trim_end_matches('y'), format!("{}***", "x".repeat(495)), "{name}");
        assert_eq!(
            tail.trim_start_matches('y'),
            format!("***{}", "z".repeat(495)),
            "{name}"
        );
    }
    let (_, stdout, _) = result(&world.ended("argument").await);
    assert_eq!(stdout, b"[***]");
    let overflow = kept(&world.ended("overflow").await);
    assert_eq!(overflow.masked_count, Some(101));
    assert!(!overflow.stdout.stored.is_empty());
    for name in ["fails", "killed"] {
        world.ended(name).await;
    }

    world
        .until(
            "somebody is warned of the value that is too short to be masked",
            || async { everything(&world).await.contains("SecretTooShort").then_some(()) },
        )
        .await;
    let azure = world.azure();
    let objects = everything(&world).await;
    assert!(objects.contains("no-such-program"), "the jobs are among the objects");
    let log = world.operator_log();
    assert!(log.contains("TRACE"), "the log has everything");
    let executions = world.executions().await;
    let requests = serde_json::to_string(&world.requests().await).expect("JSON");
    let executed = serde_json::to_string(&executions).expect("JSON");
    for (what, text) in [
        ("the API", &objects),
        ("the operator's log", &log),
        ("the emulator's requests", &requests),
        ("the emulator's executions", &executed),
    ] {
        let pieces = [&PLAIN[..PLAIN.len() - 1], LONG_BEGINS, LONG_GOES_ON];
        for secret in pieces
            .into_iter()
            .chain([PLAIN, FIRST_LINE, SECOND_LINE, azure.client_secret.as_str()])
        {
            if let Some(at) = text.find(secret) {
                let (from, to) = (at.saturating_sub(300), (at + 300).min(text.len()));
                panic!(
                    "a secret is in {what}: …{}…",
                    String::from_utf8_lossy(&text.as_bytes()[from..to])
                );
            }
        }
    }
    // Tokens are secret too, and so is a session's identifier: whoever knows it shares the session.
    for (what, text) in [("the API", &objects), ("the operator's log", &log)] {
        assert!(!text.contains("Bearer ey"), "a token is in {what}");
        let identifiers = executions.iter().filter_map(|it| it["identifier"].as_str());
        for identifier in identifiers {
            assert!(!text.contains(identifier), "the identifier of a session is in {what}");
        }
    }
    let header = "\"alg\":";
    assert!(!log.contains(header), "a decoded token is in the operator's log");
    if let Some(at) = log.find("eyJ") {
        let (from, to) = (at.saturating_sub(300), (at + 100).min(log.len()));
        panic!(
            "what looks like a token is in the operator's log: {}",
            String::from_utf8_lossy(&log.as_bytes()[from..to])
        );
    }
}
