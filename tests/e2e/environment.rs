//! What a command finds in its environment.

use std::collections::BTreeMap;

use lifeguard::api::command_job::{Phase, QueueReason};
use lifeguard::controller::operator_key::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::jobs::{also, reason, result};
use crate::witness::Witness;
use crate::world::{World, script};

/// The environment as NUL-separated pairs, whatever `PATH` is.
const PRINT_ENVIRONMENT: &str = "/usr/bin/env -0";

fn parsed(stdout: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let pairs = stdout.split(|byte| *byte == 0).filter(|it| !it.is_empty());
    pairs
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').expect("a pair");
            (
                String::from_utf8_lossy(&pair[..at]).into_owned(),
                pair[at + 1..].to_vec(),
            )
        })
        .collect()
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn from_secret(variable: &str, name: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
}

fn from_config_map(variable: &str, name: &str, key: &str) -> Value {
    json!({"name": variable, "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_as_they_were_written_and_references_are_expanded_as_in_pods() {
    let world = World::new("environment").await;
    world.pool("shell", 20).await;
    let values = [
        ("QUOTES", "it's \"quoted\" `twice` '\\''"),
        ("NEWLINES", "\none\r\n\ntwo\n"),
        ("DOLLARS", "$HOME ${PATH} $? $"),
        ("BLANK", "  \t "),
        ("EMPTY", ""),
        ("GLOB", "* ? [a-z] ~ ! # ; & | < > ( )"),
        ("UNICODE", "żółw 😀 \u{85}\u{2028}\u{feff}"),
        ("PATH", "/nowhere"),
        ("IFS", "e"),
        ("HOME", "/mnt/data"),
        ("ENV", "/nowhere/startup"),
        ("BASH_ENV", "/nowhere/startup"),
        ("LC_ALL", "C"),
        ("CDPATH", "/"),
    ];
    let env: Vec<Value> = values
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let shell = also(script(PRINT_ENVIRONMENT), &json!({"env": env}));
    let mut program = also(shell.clone(), &json!({"command": ["/usr/bin/env", "-0"]}));
    program.as_object_mut().expect("an object").remove("script");
    world.job("shell", &shell).await;
    world.job("program", &program).await;

    world
        .apply(&config_map("settings", &json!({"colour": "$(A) is kept"})))
        .await;
    let expanded = json!({
        "target": {"sessionPoolRef": {"name": "shell"}},
        "command": ["printf", "%s\n"],
        "args": ["$(A)", "$(B)", "$$(A)", "$(MISSING)", "$(C)", "$(LATE)$(A)", "$A"],
        "env": [
            {"name": "EARLY", "value": "<$(A)>"},
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)$(A) $$(A)"},
            from_config_map("C", "settings", "colour"),
            {"name": "LATE", "value": "$(EARLY)"},
        ],
    });
    world.job("expanded", &expanded).await;
    world
        .job(
            "script",
            &also(
                script("echo '$(A)' \"$A\" $(echo substituted)"),
                &json!({"env": [{"name": "A", "value": "1"}]}),
            ),
        )
        .await;

    for name in ["shell", "program"] {
        let (code, stdout, _) = result(&world.ended(name).await);
        assert_eq!(code, 0, "{name}");
        let found = parsed(&stdout);
        for (variable, value) in values {
            let actual = found.get(variable).map(|it| String::from_utf8_lossy(it));
            if (name, variable) == ("shell", "IFS") {
                // Every shell sets it anew when it starts (POSIX, 2.5.3).
                assert_eq!(actual.as_deref(), Some(" \t\n"));
                continue;
            }
            assert_eq!(actual.as_deref(), Some(value), "{name}: {variable}");
        }
        assert!(
            !found
                .keys()
                .any(|it| it.starts_with("LIFEGUARD") || it.starts_with("KUBE")),
            "{name}: nothing of the operator's own is there"
        );
    }
    let (_, stdout, _) = result(&world.ended("expanded").await);
    assert_eq!(
        String::from_utf8_lossy(&stdout),
        "1\n11 $(A)\n$(A)\n$(MISSING)\n$(A) is kept\n<$(A)>1\n$A\n"
    );
    let (_, stdout, _) = result(&world.ended("script").await);
    assert_eq!(String::from_utf8_lossy(&stdout), "$(A) 1 substituted\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_secrets_and_config_maps_are_read_when_the_job_starts_and_waited_for_if_they_are_missing() {
    let world = World::new("keys").await;
    world.pool("shell", 20).await;
    let witness = Witness::new().await;
    world.apply(&secret("there", &json!({"value": "from a secret"}))).await;
    world
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"},
            "data": {"text": "from a config map\n"}, "binaryData": {"bytes": "/wCA"},
        }))
        .await;
    let optional = |mut variable: Value| {
        for source in variable["valueFrom"].as_object_mut().expect("a source").values_mut() {
            source["optional"] = true.into();
        }
        variable
    };
    // What comes from a Secret is masked in the output, so its digest is printed.
    let text = "printf %s \"$SECRET\" | sha256sum | cut -c1-64; printf %s \"$TEXT\"; echo \"${GONE-unset} ${OTHER-unset} ${KEY-unset}\"";
    let env = json!([
        from_secret("SECRET", "there", "value"),
        from_config_map("TEXT", "there", "text"),
        optional(from_secret("GONE", "absent", "value")),
        optional(from_config_map("OTHER", "absent", "value")),
        optional(from_config_map("KEY", "there", "absent")),
    ]);
    world.job("present", &also(script(text), &json!({"env": env}))).await;
    // Bytes that are no text can be in binaryData, but NUL can be in no environment.
    let binary = also(
        script("echo never"),
        &json!({"env": [from_config_map("BYTES", "there", "bytes")]}),
    );
    world.job("binary-with-nul", &binary).await;

    let waiting = [
        ("no-secret", from_secret("VALUE", "later", "value"), "SecretNotFound"),
        (
            "no-secret-key",
            from_secret("VALUE", "there", "later"),
            "SecretNotFound",
        ),
        (
            "no-config-map",
            from_config_map("VALUE", "later", "value"),
            "ConfigMapNotFound",
        ),
        (
            "no-config-map-key",
            from_config_map("VALUE", "there", "later"),
            "ConfigMapNotFound",
        ),
    ];
    for (name, variable, _) in &waiting {
        let text = format!("{}; printf %s \"$VALUE\" | wc -c", witness.told(name));
        world.job(name, &also(script(&text), &json!({"env": [variable]}))).await;
    }
    let (_, stdout, _) = result(&world.ended("present").await);
    let digest = hex(&Sha256::digest(b"from a secret"));
    assert_eq!(
        String::from_utf8_lossy(&stdout),
        format!("{digest}\nfrom a config map\nunset unset unset\n")
    );
    for (name, _, why) in &waiting {
        world
            .until(&format!("{name} waits with a reason"), || async {
                let job: lifeguard::api::CommandJob = world.ours().get(name).await.ok()?;
                (reason(&job, "Reconciling").as_deref() == Some(*why)).then_some(())?;
                let status = job.status?;
                assert_eq!(status.phase, Some(Phase::Queued), "{name}");
                assert_eq!(status.queue.map(|it| it.reason), Some(QueueReason::Target), "{name}");
                assert!(status.attempts.is_empty(), "{name}");
                Some(())
            })
            .await;
    }
    world
        .until("a value with NUL is refused", || async {
            let job: lifeguard::api::CommandJob = world.ours().get("binary-with-nul").await.ok()?;
            (reason(&job, "Stalled").as_deref() == Some("InvalidSpec")).then_some(())
        })
        .await;
    assert_eq!(witness.count_prefix("no-"), 0, "nothing ran yet");
    world.apply(&secret("later", &json!({"value": "12345"}))).await;
    world
        .apply(&secret("there", &json!({"value": "from a secret", "later": "1234567"})))
        .await;
    world.apply(&config_map("later", &json!({"value": "123"}))).await;
    world
        .apply(&config_map(
            "there",
            &json!({"text": "from a config map\n", "later": "1"}),
        ))
        .await;
    for (name, length) in [
        ("no-secret", 5),
        ("no-secret-key", 7),
        ("no-config-map", 3),
        ("no-config-map-key", 1),
    ] {
        let (code, stdout, _) = result(&world.ended(name).await);
        assert_eq!(
            (code, String::from_utf8_lossy(&stdout).trim()),
            (0, &*length.to_string()),
            "{name}"
        );
        assert_eq!(witness.count(name), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_may_have_what_the_jobs_metadata_says_and_no_more_of_it_than_a_command_can_get() {
    let world = World::new("fields").await;
    world.pool("shell", 20).await;
    let field = |variable: &str, path: &str| json!({"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let job = |name: &str, spec: Value| {
        json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "spec": spec,
            "metadata": {
                "name": name, "labels": {"example.com/team": "Blue"},
                "annotations": {"note": "it's\n$(NAME)", "long": "x".repeat(100_000), "longer": "x".repeat(131_072)},
            },
        })
    };
    let env = json!([
        field("NAME", "metadata.name"),
        field("NAMESPACE", "metadata.namespace"),
        field("IDENTIFIER", "metadata.uid"),
        field("TEAM", "metadata.labels['example.com/team']"),
        field("NOTE", "metadata.annotations['note']"),
        field("LACKING", "metadata.labels['lacking']"),
        {"name": "BOTH", "value": "$(NAMESPACE)/$(NAME)"},
    ]);
    let print =
        "printf '%s|' \"$NAME\" \"$NAMESPACE\" \"$IDENTIFIER\" \"$TEAM\" \"$NOTE\" \"${LACKING-unset}\" \"$BOTH\"";
    world
        .apply(&job("told", also(script(print), &json!({"env": env}))))
        .await;
    let long: Vec<_> = (0..30)
        .map(|n| field(&format!("V{n}"), "metadata.annotations['long']"))
        .collect();
    let refused = [
        (
            "one-too-long",
            json!([field("LONGER", "metadata.annotations['longer']")]),
        ),
        ("too-many", json!(long)),
    ];
    for (name, env) in &refused {
        let spec = also(script("echo never"), &json!({"env": env}));
        world.apply(&job(name, spec)).await;
    }

    let told = world.ended("told").await;
    let (_, stdout, _) = result(&told);
    let uid = told.metadata.uid.expect("a UID");
    let namespace = told.metadata.namespace.expect("a namespace");
    assert_eq!(
        String::from_utf8_lossy(&stdout),
        format!("told|{namespace}|{uid}|Blue|it's\n$(NAME)||{namespace}/told|")
    );
    for (name, _) in refused {
        world
            .until(&format!("{name} is refused"), || async {
                let job: lifeguard::api::CommandJob = world.ours().get(name).await.ok()?;
                (reason(&job, "Stalled").as_deref() == Some("InvalidSpec")).then_some(())
            })
            .await;
    }
}
