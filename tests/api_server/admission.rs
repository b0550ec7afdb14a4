//! What the chart's admission policies refuse the operator's ServiceAccount, although RBAC has to allow it.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};

use crate::chart::{of_kind, render};
use crate::examples;
use crate::schema::KINDS;
use crate::server::{OPERATOR_NAMESPACE, client, message, namespace, objects, server, typed};

/// A client with the rights of the chart's ServiceAccount.
async fn operator() -> Client {
    // It installs what a connection needs.
    drop(client().await);
    let kubeconfig = Kubeconfig::read_from(server().kubeconfig_path()).expect("a kubeconfig");
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a valid kubeconfig");
    config.auth_info.impersonate = Some(format!("system:serviceaccount:{OPERATOR_NAMESPACE}:lifeguard"));
    Client::try_from(config).expect("a client")
}

/// The words with which something is refused. The server needs a moment to know a new policy, so what is asked must change
/// nothing: a dry run.
async fn refused<T: std::fmt::Debug>(what: &str, ask: impl AsyncFn() -> Result<T, kube::Error>) -> String {
    for _ in 0..300 {
        if let Err(error) = ask().await {
            return message(error);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} is allowed");
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

fn dry_deletion() -> DeleteParams {
    DeleteParams::default().dry_run()
}

/// A ConfigMap with an owner: its API version, and whether it is the controller.
fn config_map(name: &str, owner: Option<(&str, bool)>) -> ConfigMap {
    let owners = owner.map(|(version, controller)| {
        json!([{"apiVersion": version, "kind": "SessionPool", "name": "shell", "uid": "1", "controller": controller}])
    });
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": owners.unwrap_or(json!([]))},
        "data": {"key": "value"},
    }))
    .expect("a ConfigMap")
}

const OURS: Option<(&str, bool)> = Some(("lifeguard.dev/v1alpha1", true));
const NOT_OURS: &str = "may write only ConfigMaps whose controller is an object of lifeguard.dev";

#[tokio::test]
async fn the_operator_writes_no_config_map_but_those_that_an_object_of_its_own_controls() {
    let operator = operator().await;
    let own = namespace("config-maps");
    for (namespace, owner) in [
        ("kube-system", None),
        (own.as_str(), None),
        (&own, Some(("lifeguard.dev/v1alpha1", false))),
        (&own, Some(("apps/v1", true))),
        (&own, Some(("example.com/lifeguard.dev", true))),
    ] {
        let api: Api<ConfigMap> = Api::namespaced(operator.clone(), namespace);
        let words = refused("a stranger's ConfigMap", async || {
            api.create(&dry_run(), &config_map("new", owner)).await
        })
        .await;
        assert!(
            words.contains(NOT_OURS) && words.contains(&format!("{namespace}/new")),
            "{words}"
        );
    }

    // What is there already is not made one's own by writing an owner into it.
    let everywhere: Api<ConfigMap> = Api::namespaced(client().await, &own);
    everywhere
        .create(&PostParams::default(), &config_map("theirs", None))
        .await
        .expect("the policy concerns the operator only");
    let api: Api<ConfigMap> = Api::namespaced(operator.clone(), &own);
    let words = refused("taking a ConfigMap over", async || {
        api.replace("theirs", &dry_run(), &config_map("theirs", OURS)).await
    })
    .await;
    assert!(words.contains(NOT_OURS), "{words}");
    let words = refused("deleting a ConfigMap", async || {
        api.delete("theirs", &dry_deletion()).await
    })
    .await;
    assert!(words.contains(NOT_OURS), "{words}");

    let kube_system: Api<ConfigMap> = Api::namespaced(operator, "kube-system");
    let name = "extension-apiserver-authentication";
    let mut found = kube_system.get(name).await.expect("each cluster has it");
    found
        .data
        .get_or_insert_default()
        .insert("forged".to_owned(), String::new());
    let words = refused("changing kube-system", async || {
        kube_system.replace(name, &dry_run(), &found).await
    })
    .await;
    assert!(words.contains(NOT_OURS), "{words}");

    let words = refused("a new ConfigMap of kube-system", async || {
        kube_system
            .create(&dry_run(), &config_map("coredns-custom", OURS))
            .await
    })
    .await;
    assert!(
        words.contains("may write no ConfigMap in the namespaces of Kubernetes"),
        "{words}"
    );

    // What it does.
    let made = api
        .create(&PostParams::default(), &config_map("ours", OURS))
        .await
        .expect("its own");
    let mut changed = made.clone();
    changed.data = None;
    api.replace("ours", &PostParams::default(), &changed)
        .await
        .expect("its own");
    let mut let_go = changed;
    let_go.metadata.owner_references = None;
    let_go.metadata.resource_version = None;
    let words = refused("giving a ConfigMap away", async || {
        api.replace("ours", &dry_run(), &let_go).await
    })
    .await;
    assert!(words.contains(NOT_OURS), "{words}");
    api.delete("ours", &DeleteParams::default()).await.expect("its own");
}

#[tokio::test]
async fn the_operator_changes_of_its_own_kinds_only_its_finalizers() {
    let (administrator, operator) = (client().await, operator().await);
    let namespace = namespace("finalizers");
    for (kind, _) in KINDS {
        if kind == "CommandJob" {
            // RBAC allows no change of one.
            continue;
        }
        let example = examples::of_kind(kind).swap_remove(0);
        let name = example["metadata"]["name"].as_str().expect("a name").to_owned();
        let mut object = typed(&example);
        object.metadata.namespace = None;
        object.metadata.finalizers = Some(vec!["example.com/kept".to_owned()]);
        objects(&administrator, kind, &namespace)
            .create(&PostParams::default(), &object)
            .await
            .expect("the example is accepted");
        let api = objects(&operator, kind, &namespace);
        let spec = match kind {
            "AzureAccount" => json!({"resourceGroup": "another"}),
            _ => json!({"suspend": true}),
        };
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        for (patch, words) in [
            (json!({"spec": spec}), "may not change the spec"),
            (json!({"metadata": {"labels": {"a": "b"}}}), "may not change labels"),
            (
                json!({"metadata": {"annotations": {"lifeguard.dev/abandon": "x"}}}),
                "may not change labels",
            ),
            (
                json!({"metadata": {"ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}
                ]}}),
                "may not change labels",
            ),
            (json!({"metadata": {"finalizers": []}}), "may not change finalizers"),
            (
                json!({"metadata": {"finalizers": ["example.com/kept", "example.com/another"]}}),
                "may not change finalizers",
            ),
        ] {
            let refusal = refused(&patch.to_string(), async || {
                api.patch(&name, &dry, &Patch::Merge(&patch)).await
            })
            .await;
            assert!(refusal.contains(words), "{kind} {patch}: {refusal}");
        }
        for finalizers in [
            json!(["example.com/kept", "lifeguard.dev/azure-resource"]),
            json!(["example.com/kept"]),
        ] {
            let patch = json!({"metadata": {"finalizers": finalizers}});
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .expect("a finalizer of its own");
        }
    }
}

#[tokio::test]
async fn the_operator_deletes_only_jobs_that_have_ended() {
    let (administrator, operator) = (client().await, operator().await);
    let namespace = namespace("ended");
    let mut job = typed(&examples::of_kind("CommandJob").swap_remove(0));
    job.metadata.namespace = None;
    let name = job.name_any();
    let theirs = objects(&administrator, "CommandJob", &namespace);
    theirs
        .create(&PostParams::default(), &job)
        .await
        .expect("the example is accepted");
    let api = objects(&operator, "CommandJob", &namespace);
    let status = |phase: &str| json!({"status": {"phase": phase}});
    for phase in ["", "Queued", "Running", "Suspended"] {
        if !phase.is_empty() {
            let patch = status(phase);
            theirs
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .expect("the phase is accepted");
        }
        let words = refused(&format!("deleting a {phase} job"), async || {
            api.delete(&name, &dry_deletion()).await.map(|_| ())
        })
        .await;
        assert!(words.contains("may not delete a job that has not ended"), "{words}");
    }
    for phase in ["Succeeded", "Cancelled", "Failed"] {
        let patch = status(phase);
        theirs
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .expect("the phase is accepted");
        api.delete(&name, &dry_deletion()).await.expect("it has ended");
    }
}

#[tokio::test]
async fn the_operator_makes_no_secret_but_its_key_and_asks_for_no_token_that_a_cluster_takes() {
    let operator = operator().await;
    let secrets: Api<Secret> = Api::namespaced(operator.clone(), OPERATOR_NAMESPACE);
    let secret = |name: &str, kind: &str| -> Secret {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "lifeguard"}},
        }))
        .expect("a Secret")
    };
    for (name, kind) in [
        ("another", "Opaque"),
        ("lifeguard-operator-key", "kubernetes.io/service-account-token"),
    ] {
        let words = refused(name, async || secrets.create(&dry_run(), &secret(name, kind)).await).await;
        assert!(
            words.contains("may create no Secret but lifeguard-operator-key"),
            "{words}"
        );
    }
    secrets
        .create(&dry_run(), &secret("lifeguard-operator-key", "Opaque"))
        .await
        .expect("its key");

    let namespace = namespace("tokens");
    server()
        .kubectl()
        .run(&["create", "serviceaccount", "lifeguard", "--namespace", &namespace])
        .expect("created");
    let accounts: Api<ServiceAccount> = Api::namespaced(operator, &namespace);
    let request = |audiences: &[&str]| TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.iter().map(|&it| it.to_owned()).collect(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    for audiences in [
        &[][..],
        &["https://kubernetes.default.svc"],
        &["api://AzureADTokenExchange", "vault"],
    ] {
        let words = refused(&format!("{audiences:?}"), async || {
            accounts
                .create_token_request("lifeguard", &dry_run(), &request(audiences))
                .await
        })
        .await;
        assert!(words.contains("only for audiences of Microsoft Entra ID"), "{words}");
    }
    for audience in [
        "api://AzureADTokenExchange",
        "api://AzureADTokenExchangeUSGov",
        "api://AzureADTokenExchangeChina",
    ] {
        accounts
            .create_token_request("lifeguard", &dry_run(), &request(&[audience]))
            .await
            .expect("what Entra ID takes");
    }
}

#[test]
fn the_policies_concern_the_operators_account_only_and_can_be_left_out() {
    let objects = render(&[]).expect("valid");
    let policies = of_kind(&objects, "ValidatingAdmissionPolicy");
    let bindings = of_kind(&objects, "ValidatingAdmissionPolicyBinding");
    let names = |objects: &[&Value]| -> Vec<String> {
        let names = objects.iter().map(|it| it["metadata"]["name"].to_string());
        names.collect()
    };
    assert_eq!(policies.len(), 3);
    assert_eq!(names(&policies), names(&bindings));
    for policy in policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        let conditions = policy["spec"]["matchConditions"].as_array().expect("a list");
        assert_eq!(conditions.len(), 1);
        let account = format!("'system:serviceaccount:{OPERATOR_NAMESPACE}:lifeguard'");
        assert_eq!(
            conditions[0]["expression"],
            format!("request.userInfo.username == {account}")
        );
    }
    for binding in bindings {
        assert_eq!(binding["spec"]["policyName"], binding["metadata"]["name"]);
        assert_eq!(binding["spec"]["validationActions"], json!(["Deny"]));
    }
    let without = render(&["admissionPolicy.enabled=false"]).expect("valid");
    assert!(without.iter().all(|it| !it["kind"].to_string().contains("Admission")));
}
