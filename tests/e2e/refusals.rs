//! What cannot work is refused when it is submitted or explained in a condition, and costs next to nothing meanwhile.

use lifeguard::api::command_job::Phase;
use lifeguard::api::{AzureAccount, CommandJob};
use serde_json::{Value, json};

use crate::jobs::{also, reason, result};
use crate::world::{World, WorldOptions, object, script};

fn account(world: &World, name: &str, changes: &Value) -> Value {
    let azure = world.azure();
    let spec = json!({
        "tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id,
        "credential": {"clientSecret": {
            "clientId": azure.client_id, "secretKeyRef": {"name": "default-credentials"},
        }},
    });
    object("AzureAccount", name, &also(spec, changes))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_makes_no_sense_is_refused_when_it_is_submitted() {
    let world = World::new("refused").await;
    let id =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.App/sessionPools/p";
    let pool = json!({"sessionPoolRef": {"name": "shell"}});
    for (name, spec, complaint) in [
        (
            "two-targets",
            json!({"target": {"sessionPoolRef": {"name": "p"}, "sessionPool": {"resourceId": id}}, "script": "true"}),
            "exactly one of sessionPoolRef and sessionPool",
        ),
        (
            "no-target",
            json!({"target": {}, "script": "true"}),
            "exactly one of sessionPoolRef",
        ),
        (
            "two-programs",
            json!({"target": pool, "script": "true", "command": ["true"]}),
            "exactly one of script and command",
        ),
        (
            "no-program",
            json!({"target": pool}),
            "exactly one of script and command",
        ),
        (
            "wrong-id",
            json!({"target": {"sessionPool": {"resourceId": "shell"}}, "script": "true"}),
            "resourceId",
        ),
        (
            "too-much",
            also(script("true"), &json!({"output": {"maxBytes": 262_145}})),
            "maxBytes",
        ),
        (
            "too-long",
            also(script("true"), &json!({"timeoutSeconds": 0})),
            "timeoutSeconds",
        ),
        (
            "reserved-name",
            also(script("true"), &json!({"env": [{"name": "UID", "value": "0"}]})),
            "reserves this name",
        ),
        (
            "two-values",
            also(
                script("true"),
                &json!({"env": [{"name": "A", "value": "0", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            ),
            "exactly one of value and valueFrom",
        ),
    ] {
        let refused = world
            .try_apply_in(&world.namespace, &object("CommandJob", name, &spec))
            .await;
        let refused = refused.expect_err(name).to_string();
        assert!(refused.contains(complaint), "{name}: {refused}");
    }
}

/// What a job that lacks nothing asks for (an upload, a start, the end of its session, a token; some more where an answer
/// is lost), and one request for each of the five accounts that do not work.
const MOST_REQUESTS: usize = 7 + 5;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_lacks_is_in_its_conditions_and_asking_for_it_never_becomes_a_storm() {
    let options = WorldOptions {
        at_full_pace: true,
        ..WorldOptions::default()
    };
    let world = World::with("lacking", options).await;
    world.pool("shell", 10).await;
    let wrong = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "stringData": {"clientSecret": "not-the-secret"},
    });
    world.apply(&wrong).await;
    let credential = |client: &str, secret: &str| json!({"credential": {"clientSecret": {"clientId": client, "secretKeyRef": {"name": secret}}}});
    let nobody = "00000000-0000-0000-0000-00000000dead";
    for (name, changes) in [
        ("wrong-secret", credential(&world.azure().client_id, "wrong")),
        ("no-secret", credential(&world.azure().client_id, "absent")),
        ("wrong-client", credential(nobody, "default-credentials")),
        ("wrong-subscription", json!({"subscriptionId": nobody})),
        ("wrong-tenant", json!({"tenantId": nobody})),
    ] {
        world.apply(&account(&world, name, &changes)).await;
        world
            .until(&format!("account {name} is found wanting"), || async {
                let account: AzureAccount = world.ours().get(name).await.ok()?;
                let conditions = account.status?.conditions;
                conditions
                    .iter()
                    .any(|it| it.type_ == "Ready" && it.status == "False")
                    .then_some(())
            })
            .await;
        world
            .job(
                &format!("as-{name}"),
                &also(script("echo never"), &json!({"accountRef": {"name": name}})),
            )
            .await;
    }
    let id = crate::data_plane::pool_id(&world, "shell");
    let by_id = also(
        script("echo never"),
        &json!({"target": {"sessionPool": {"resourceId": id}}, "accountRef": {"name": "wrong-secret"}}),
    );
    world.job("by-id", &by_id).await;
    let elsewhere = also(
        script("echo never"),
        &json!({"target": {"sessionPoolRef": {"name": "shell", "namespace": "kube-system"}}}),
    );
    world.job("elsewhere", &elsewhere).await;
    let secret = json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k"}}}]});
    world.job("without-secret", &also(script("echo never"), &secret)).await;

    let expected = [
        ("as-wrong-secret", &["AccountNotReady", "InvalidCredential"][..]),
        ("as-no-secret", &["AccountNotReady", "SecretNotFound"]),
        ("as-wrong-client", &["AccountNotReady", "InvalidCredential"]),
        ("as-wrong-subscription", &["AccountNotReady", "SubscriptionNotFound"]),
        ("as-wrong-tenant", &["AccountNotReady", "InvalidCredential"]),
        ("by-id", &["AccountNotReady", "InvalidCredential"]),
        ("elsewhere", &["NamespaceNotAllowed"]),
        ("without-secret", &["SecretNotFound"]),
    ];
    for (name, reasons) in expected {
        world
            .until(&format!("{name} says what is wrong: {reasons:?}"), || async {
                let job: CommandJob = world.ours().get(name).await.ok()?;
                let why = reason(&job, "Ready")?;
                let status = job.status?;
                assert!(status.attempts.is_empty(), "{name} is not to start");
                assert_eq!(status.phase, Some(Phase::Queued), "{name}");
                reasons.contains(&why.as_str()).then_some(())
            })
            .await;
    }

    // All of them go on waiting while a job runs that lacks nothing. None may ask often.
    world.forget_requests().await;
    let job = world.run("fine", &script("sleep 8; echo ran")).await;
    assert_eq!(result(&job), (0, b"ran\n".to_vec(), Vec::new()));
    let requests = world.requests().await;
    assert!(requests.len() <= MOST_REQUESTS, "{} requests", requests.len());
    // A pass that panicked would have left the reason `InternalError`.
    for (name, reasons) in expected {
        let job: CommandJob = world.ours().get(name).await.expect("the job");
        let why = reason(&job, "Ready").unwrap_or_default();
        assert!(reasons.contains(&why.as_str()), "{name} says now: {why}");
    }
    assert!(world.operator_runs());
}
