//! What a command prints is in the status byte for byte, whatever it is and whatever the service loses.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, WatchEvent, WatchParams};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CapturedStream, Outcome, OutputTail, Phase};
use lifeguard::controller::operator_key::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::jobs::{also, bytes, message, reason, result};
use crate::world::{World, script};

/// The most that a status keeps of a stream.
const MOST_BYTES: usize = 262_144;

struct Case {
    name: String,
    spec: Value,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

fn case(name: &str, text: &str, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Case {
    Case {
        name: name.to_owned(),
        spec: script(text),
        stdout: stdout.into(),
        stderr: stderr.into(),
    }
}

/// Small streams of every kind, around the 4096 bytes at which the service cuts.
fn small_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [0, 1, 4095, 4096, 4097, 3 * 4096]
        .map(|size| {
            let text = format!("head -c {size} /dev/zero | tr '\\0' a; head -c {size} /dev/zero | tr '\\0' b >&2");
            case(&format!("size-{size}"), &text, vec![b'a'; size], vec![b'b'; size])
        })
        .into();
    cases.extend([
        case("invalid-utf8", r"printf '\377\376ok\200'", *b"\xff\xfeok\x80", *b""),
        case(
            "half-a-character",
            r"printf 'a\303'; printf '\251' >&2",
            *b"a\xc3",
            *b"\xa9",
        ),
        case("no-newline", "printf abc; printf def >&2", *b"abc", *b"def"),
        case("crlf", r"printf 'a\r\nb\r\n'", *b"a\r\nb\r\n", *b""),
        case("nul", r"printf 'a\0b'; printf '\0' >&2", *b"a\0b", *b"\0"),
        case(
            "json",
            r#"printf '["a","b","c"]\n'; printf '{"a":"\\\\"}' >&2"#,
            *b"[\"a\",\"b\",\"c\"]\n",
            *b"{\"a\":\"\\\\\"}",
        ),
        case("backslashes", r"printf 'C:\\a\\b\n'", *b"C:\\a\\b\n", *b""),
        case("colours", r"printf '\033[1mok\033[0m'", *b"\x1b[1mok\x1b[0m", *b""),
        case("c1", r"printf '\302\205\302\237'", *b"\xc2\x85\xc2\x9f", *b""),
        case("only-newlines", r"printf '\n\n\n'", *b"\n\n\n", *b""),
        case("blank", r"printf ' \t '", *b" \t ", *b""),
        case(
            "yaml",
            "printf -- '---\\n- !!x &a *b\\n# c: d'",
            *b"---\n- !!x &a *b\n# c: d",
            *b"",
        ),
    ]);
    cases
}

/// Every Unicode scalar value, in as many jobs as it takes: each gets its share as standard input and prints it.
fn unicode_cases() -> Vec<Case> {
    let mut texts = vec![String::new()];
    for scalar in '\0'..=char::MAX {
        let last = texts.last_mut().expect("never empty");
        if last.len() + scalar.len_utf8() > MOST_BYTES {
            texts.push(String::new());
        }
        texts.last_mut().expect("never empty").push(scalar);
    }
    let case = |(number, text): (usize, String)| Case {
        name: format!("unicode-{number}"),
        spec: also(
            script("cat"),
            &json!({"stdin": text, "output": {"maxBytes": MOST_BYTES}}),
        ),
        stdout: text.into_bytes(),
        stderr: Vec::new(),
    };
    texts.into_iter().enumerate().map(case).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn assert_kept(name: &str, stream: &CapturedStream, expected: &[u8]) {
    assert_eq!(
        stream.bytes,
        i64::try_from(expected.len()).expect("a length"),
        "{name}: length"
    );
    assert_eq!(stream.sha256.as_deref(), Some(&*sha256(expected)), "{name}: digest");
    assert!(bytes(stream) == expected, "{name}: other bytes than were printed");
    let is_text = std::str::from_utf8(expected).is_ok();
    assert_eq!(
        stream.text.is_some(),
        is_text,
        "{name}: text is shown as text, whatever characters it has"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_is_kept_byte_for_byte_even_when_each_last_write_is_lost() {
    let world = World::new("output").await;
    world.pool("shell", 40).await;
    for (round, probability) in [("kept", 0.0), ("lost", 1.0)] {
        world
            .behave(&json!({"sessions": {"lostWriteProbability": probability}}))
            .await;
        let cases: Vec<Case> = small_cases().into_iter().chain(unicode_cases()).collect();
        for case in &cases {
            world.job(&format!("{}-{round}", case.name), &case.spec).await;
        }
        for case in &cases {
            let name = format!("{}-{round}", case.name);
            let job = world.ended(&name).await;
            let (code, ..) = result(&job);
            assert_eq!(code, 0, "{name}");
            let result = job.status.and_then(|it| it.result).expect("a result");
            assert_kept(&name, &result.stdout, &case.stdout);
            assert_kept(&name, &result.stderr, &case.stderr);
        }
        a_long_output_keeps_its_ends_length_and_digest(&world, round).await;
    }
}

async fn a_long_output_keeps_its_ends_length_and_digest(world: &World, round: &str) {
    let spec = also(
        script("yes 0123456789abcde | head -c 5000000"),
        &json!({"output": {"maxBytes": 65536}}),
    );
    let job = world.run(&format!("long-{round}"), &spec).await;
    let whole: Vec<u8> = b"0123456789abcde\n".iter().copied().cycle().take(5_000_000).collect();
    let stdout = job.status.and_then(|it| it.result).expect("a result").stdout;
    assert!(stdout.truncated);
    assert_eq!(stdout.bytes, 5_000_000);
    assert_eq!(stdout.sha256.as_deref(), Some(&*sha256(&whole)));
    assert_eq!(stdout.text.expect("a head").as_bytes(), &whole[..32768]);
    assert_eq!(
        stdout.tail_text.expect("a tail").as_bytes(),
        &whole[whole.len() - 32768..]
    );
    assert_eq!(stdout.stored, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_too_long_for_the_status_goes_whole_into_config_maps_that_go_with_the_job() {
    let world = World::new("overflow").await;
    world.pool("shell", 10).await;
    let spec = also(
        script("yes 'żółw😀' | head -n 100000; yes $'\\377\\200' | head -c 700000 >&2"),
        &json!({"output": {"maxBytes": 1000, "overflow": "ConfigMap"}}),
    );
    let job = world.run("long", &spec).await;
    let result = job.status.clone().and_then(|it| it.result).expect("a result");
    let stdout = "żółw😀\n".repeat(100_000).into_bytes();
    let stderr: Vec<u8> = b"\xff\x80\n".iter().copied().cycle().take(700_000).collect();
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    for (stream, expected) in [(&result.stdout, &stdout), (&result.stderr, &stderr)] {
        assert!(stream.truncated);
        assert!(stream.stored.len() > 1, "{:?}", stream.stored);
        assert_eq!(stream.sha256.as_deref(), Some(&*sha256(expected)));
        let mut whole = Vec::new();
        for part in &stream.stored {
            let reference = &part.config_map_key_ref;
            let config_map = api.get(&reference.name).await.expect("a named config map");
            assert_eq!(
                config_map.metadata.labels.unwrap_or_default()["lifeguard.dev/job"],
                "long"
            );
            let owners = config_map.metadata.owner_references.unwrap_or_default();
            assert_eq!(owners.len(), 1);
            assert_eq!(Some(&owners[0].uid), job.metadata.uid.as_ref());
            let text = config_map
                .data
                .unwrap_or_default()
                .remove(&reference.key)
                .map(String::into_bytes);
            let binary = config_map
                .binary_data
                .unwrap_or_default()
                .remove(&reference.key)
                .map(|it| it.0);
            whole.extend(text.or(binary).expect("the key"));
        }
        assert!(whole == *expected, "other bytes than were printed");
    }
    // Whatever characters text has, it is text; in JSON each of these has six bytes.
    let control = also(
        script("head -c 600000 /dev/zero | tr '\\0' '\\1'"),
        &json!({"output": {"maxBytes": 1000, "overflow": "ConfigMap"}}),
    );
    let stdout = world
        .run("control", &control)
        .await
        .status
        .and_then(|it| it.result)
        .expect("a result")
        .stdout;
    assert!(stdout.text.is_some());
    let mut whole = String::new();
    for part in &stdout.stored {
        let reference = &part.config_map_key_ref;
        let mut data = api
            .get(&reference.name)
            .await
            .expect("a named config map")
            .data
            .expect("text");
        whole += &data.remove(&reference.key).expect("the key");
    }
    assert!(whole == "\u{1}".repeat(600_000), "other characters than were printed");
    // What is not too long needs none.
    let fits = world
        .run(
            "fits",
            &also(script("printf x"), &json!({"output": {"overflow": "ConfigMap"}})),
        )
        .await;
    let stdout = fits.status.and_then(|it| it.result).expect("a result").stdout;
    assert_eq!((stdout.text.as_deref(), stdout.stored.len()), (Some("x"), 0));

    let jobs: Api<CommandJob> = world.ours();
    jobs.delete("long", &DeleteParams::default()).await.expect("deleted");
    world
        .until("the config maps have gone with their job", || async {
            let left = api.list(&ListParams::default()).await.ok()?;
            left.items
                .iter()
                .all(|it| {
                    !it.metadata
                        .name
                        .as_deref()
                        .is_some_and(|name| name.starts_with("long-"))
                })
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_that_somebody_made_beforehand_is_not_the_jobs_output() {
    let world = World::new("beforehand").await;
    world.pool("shell", 10).await;
    // Its UID is known before it runs, and with it the name.
    let spec = also(
        script("seq 1000"),
        &json!({
            "output": {"maxBytes": 100, "overflow": "ConfigMap"},
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}],
        }),
    );
    world.job("forged", &spec).await;
    world.until_reason("CommandJob", "forged", "ConfigMapNotFound").await;
    let jobs: Api<CommandJob> = world.ours();
    let uid = jobs.get("forged").await.expect("it").metadata.uid.expect("a UID");
    let name = format!("forged-{}-stdout-1", &uid[..8]);
    let forged = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": {"data": "forged"},
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "name": "forged", "uid": uid, "controller": true,
        }]},
    });
    world.apply(&forged).await;
    world
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"a": "b"}}))
        .await;
    let told = world.until_reason("CommandJob", "forged", "AlreadyExists").await;
    assert!(told.message.contains(&name), "{}", told.message);
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.delete(&name, &DeleteParams::default()).await.expect("deleted");
    let ended = world.ended("forged").await;
    let stdout = ended.status.and_then(|it| it.result).expect("a result").stdout;
    assert_eq!(stdout.stored.len(), 1);
    let kept = maps.get(&name).await.expect("the output").data.unwrap_or_default();
    let expected: Vec<_> = (1..=1000).map(|it| it.to_string()).collect();
    assert_eq!(kept["data"].lines().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_api_server_cannot_take_ends_the_job_with_shortened_streams() {
    let world = World::new("large").await;
    world.pool("shell", 10).await;
    // As text, each control character has six bytes in JSON: some 3 MB. In base64 it fits.
    let text = format!("head -c {MOST_BYTES} /dev/zero | tee /dev/stderr; exit 3");
    let spec = also(script(&text), &json!({"output": {"maxBytes": MOST_BYTES}}));
    let job = world.run("fits", &spec).await;
    assert_eq!(result(&job), (3, vec![0; MOST_BYTES], vec![0; MOST_BYTES]));
    assert_eq!(reason(&job, "Failed").as_deref(), Some("NonZeroExitCode"));
    // With the script the object would have some 1.7 MB.
    let filler = "# a long script is part of the object as well\n".repeat(20_000);
    let text = format!("head -c {MOST_BYTES} /dev/zero | tr '\\0' '\\1' | tee /dev/stderr; exit 3\n{filler}");
    let spec = also(script(&text), &json!({"output": {"maxBytes": MOST_BYTES}}));
    let job = world.run("large", &spec).await;
    assert_eq!(reason(&job, "Failed").as_deref(), Some("ResultTooLarge"));
    let status = job.status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Failed));
    let result = status.result.expect("a result");
    assert_eq!(result.exit_code, Some(3));
    let lengths: BTreeMap<_, _> = [("stdout", &result.stdout), ("stderr", &result.stderr)]
        .map(|(name, it)| (name, (it.bytes, it.truncated, it.text.as_ref().map_or(0, String::len))))
        .into();
    for (name, (bytes, truncated, kept)) in lengths {
        assert_eq!(
            (bytes, truncated),
            (i64::try_from(MOST_BYTES).expect("a length"), true),
            "{name}"
        );
        assert!((1..=4096).contains(&kept), "{name}: {kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_nothing_away_in_silence() {
    let world = World::new("full").await;
    world.pool("shell", 10).await;
    let fill = "cat /dev/zero >/tmp/fill";
    let job = world
        .run("told", &script(&format!("{fill}; echo out; echo after >&2; exit 3")))
        .await;
    let (code, stdout, stderr) = result(&job);
    let stderr = String::from_utf8(stderr).expect("text");
    assert_eq!((code, &*stdout), (3, b"out\n".as_slice()));
    assert!(
        stderr.contains("No space left on device") && stderr.ends_with("after\n"),
        "{stderr}"
    );
    let kept = job.status.and_then(|it| it.result).expect("a result");
    assert!(!kept.stdout.incomplete && !kept.stderr.incomplete);

    let text = format!("{fill}; yes | head -c 300000 2>/dev/null; echo after >&2; exit 3");
    let job = world.run("lost", &script(&text)).await;
    let failed = message(&job, "Failed");
    assert!(failed.contains("the disk of its session was full"), "{failed}");
    let kept = job.status.and_then(|it| it.result).expect("a result");
    assert_eq!(kept.exit_code, Some(3));
    assert!(kept.stdout.incomplete && !kept.stderr.incomplete);
    assert!(kept.stdout.bytes < 300_000);
    assert!(kept.stderr.text.is_some_and(|it| it.ends_with("after\n")));
}

/// What a job that runs is shown to have printed.
async fn tail(world: &World, name: &str) -> Option<OutputTail> {
    let jobs: Api<CommandJob> = world.ours();
    jobs.get(name).await.ok()?.status?.tail
}

/// Every tail of a job from now on until it has ended, as the API server tells it.
async fn tails(world: &World, name: &str) -> Vec<OutputTail> {
    let jobs: Api<CommandJob> = world.ours();
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut found: Vec<OutputTail> = Vec::new();
    let mut events = Box::pin(jobs.watch(&only, "0").await.expect("a watch"));
    while let Some(event) = events.next().await {
        let (WatchEvent::Added(job) | WatchEvent::Modified(job)) = event.expect("an event") else {
            continue;
        };
        let status = job.status.unwrap_or_default();
        found.extend(status.tail.filter(|it| found.last() != Some(it)));
        if status.phase.is_some_and(Phase::is_terminal) {
            break;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_command_runs_its_status_shows_what_it_printed_last_also_after_a_crash() {
    let mut world = World::new("tail").await;
    world.pool("shell", 10).await;
    let every_second = json!({"output": {"tail": {"intervalSeconds": 1}}});
    // Ends when the test is content with what it saw, or at its deadline.
    let counts = also(
        script("for i in $(seq 1 2000); do echo \"line $i\"; echo \"error $i\" >&2; sleep 0.5; done"),
        &also(every_second.clone(), &json!({"timeoutSeconds": 20})),
    );
    let silent = also(script("printf '\\377\\376'; sleep 600"), &every_second);
    let untold = script("echo hello; sleep 600");
    for (name, spec) in [("counts", &counts), ("silent", &silent), ("untold", &untold)] {
        world.job(name, spec).await;
    }
    let first = world
        .until("something is shown", || async { tail(&world, "counts").await })
        .await;
    world.kill_operator();
    world.start_operator().await;
    world
        .until("more is shown after the crash", || async {
            tail(&world, "counts")
                .await
                .filter(|it| it.stdout.bytes > first.stdout.bytes)
        })
        .await;
    let quiet = world
        .until("it is shown", || async { tail(&world, "silent").await })
        .await;
    assert_eq!(
        (quiet.stdout.base64.as_deref(), quiet.stdout.text),
        (Some("//4="), None)
    );
    let version = |name: &'static str| {
        let jobs: Api<CommandJob> = world.ours();
        async move { jobs.get(name).await.expect("the job").metadata.resource_version }
    };
    let before = (version("silent").await, version("untold").await);

    let tails = tails(&world, "counts").await;
    assert!(tails.len() > 2, "{tails:?}");
    for (earlier, later) in tails.iter().zip(&tails[1..]) {
        assert!(
            later.time.0.duration_since(earlier.time.0).as_secs() >= 1,
            "{earlier:?} {later:?}"
        );
        assert!(later.stdout.bytes > earlier.stdout.bytes, "{earlier:?} {later:?}");
    }
    let ended = world.ended("counts").await;
    let status = ended.status.clone().expect("a status");
    assert_eq!(status.tail, None, "the result takes its place");
    let result = status.result.expect("a result");
    assert_eq!(result.outcome, Outcome::TimedOut);
    let (stdout, stderr) = (bytes(&result.stdout), bytes(&result.stderr));
    for shown in &tails {
        for (shown, whole) in [(&shown.stdout, &stdout), (&shown.stderr, &stderr)] {
            let so_far = &whole[..usize::try_from(shown.bytes).expect("a length")];
            let text = shown.text.as_deref().expect("text");
            assert!(
                so_far.ends_with(text.as_bytes()) && text.len() == so_far.len().min(2048),
                "{shown:?}"
            );
        }
    }
    // Where nothing is printed, or nobody asked, nothing is written.
    assert_eq!((version("silent").await, version("untold").await), before);
    assert_eq!(tail(&world, "untold").await, None);
}
