//! Every CEL rule of the definitions, with what it accepts and what it refuses. A rule without a case fails.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::schema::{KINDS, Path, schema, walk};
use crate::server::{admission, client, message, namespace, object, objects, typed};

/// A rule of a kind, by the place and the message that it has in the definition.
struct Case {
    kind: &'static str,
    path: &'static str,
    rule: &'static str,
    accepted: Change,
    refused: Change,
}

/// A write of an object whose spec is the kind's [`base`] with this merged into it.
enum Change {
    /// The object is created.
    Create(Value),
    /// The object is created under this name.
    CreateNamed(&'static str, Value),
    /// The object is created with the first and then updated to the second.
    Update(Value, Value),
    /// As [`Self::Update`], and an attempt is in its status before the update.
    UpdateStarted(Value, Value),
}

use Change::{Create, CreateNamed, Update, UpdateStarted};

const A_GUID: &str = "00000000-0000-0000-0000-00000000000a";
const B_GUID: &str = "00000000-0000-0000-0000-00000000000b";

/// A small valid spec of a kind.
fn base(kind: &str) -> Value {
    match kind {
        "AzureAccount" => json!({
            "tenantId": A_GUID,
            "subscriptionId": A_GUID,
            "credential": {"workloadIdentity": {"clientId": A_GUID}},
        }),
        "ResourceGroup" => json!({}),
        "SessionPool" => json!({"containerType": "Shell"}),
        "CommandJob" => json!({"target": {"sessionPoolRef": {"name": "shell"}}, "shell": "true"}),
        other => panic!("no base for {other}"),
    }
}

/// What makes the base of a SessionPool one of containers of one's own.
fn custom(more: &Value) -> Value {
    let mut spec = json!({
        "containerType": "CustomContainer",
        "environmentId": "/subscriptions/x/resourceGroups/x/providers/Microsoft.App/managedEnvironments/x",
        "customContainerTemplate": {"containers": [{"name": "main", "image": "main:1"}]},
    });
    merge(&mut spec, more);
    spec
}

fn container(more: &Value) -> Value {
    let mut container = json!({"name": "main", "image": "main:1"});
    merge(&mut container, more);
    custom(&json!({"customContainerTemplate": {"containers": [container]}}))
}

fn lifecycle(lifecycle: &Value) -> Value {
    json!({"dynamicPoolConfiguration": {"lifecycleConfiguration": lifecycle}})
}

/// The rules about a property that is optional and cannot be changed: neither added, nor removed, nor given another
/// value. Only one of the three can be a case of the table; `an_immutable_property…` tries all.
fn cannot_change(kind: &'static str, property: &str, value: &Value, other: &Value, rule: &'static str) -> Case {
    Case {
        kind,
        path: "spec",
        rule,
        accepted: Update(json!({property: value}), json!({property: value, "tags": {"a": "b"}})),
        refused: Update(json!({property: value}), json!({property: other})),
    }
}

fn cases() -> Vec<Case> {
    let account = |path, rule, accepted, refused| Case {
        kind: "AzureAccount",
        path,
        rule,
        accepted,
        refused,
    };
    let pool = |path, rule, accepted, refused| Case {
        kind: "SessionPool",
        path,
        rule,
        accepted,
        refused,
    };
    let job = |path, rule, accepted, refused| Case {
        kind: "CommandJob",
        path,
        rule,
        accepted,
        refused,
    };
    let secret = json!({"clientId": A_GUID, "secretRef": {"name": "secret"}});
    let env = |variable: Value| Create(json!({"env": [variable]}));
    let key = json!({"name": "object", "key": "key"});

    let mut cases = vec![
        account(
            "spec.tenantId",
            "tenantId cannot be changed; create another AzureAccount",
            Update(json!({}), json!({"location": "westeurope"})),
            Update(json!({}), json!({"tenantId": B_GUID})),
        ),
        account(
            "spec.subscriptionId",
            "subscriptionId cannot be changed; create another AzureAccount",
            Update(json!({}), json!({"location": "westeurope"})),
            Update(json!({}), json!({"subscriptionId": B_GUID})),
        ),
        account(
            "spec.credential",
            "exactly one of workloadIdentity and clientSecret must be set",
            Create(json!({"credential": {"workloadIdentity": null, "clientSecret": secret}})),
            Create(json!({"credential": {"clientSecret": secret}})),
        ),
        Case {
            kind: "ResourceGroup",
            path: "spec",
            rule: "azureName may hold letters, digits and -_().  and may not end with a dot",
            accepted: Create(json!({"azureName": "My_group.(2)-x"})),
            refused: Create(json!({"azureName": "ends-with-a-dot."})),
        },
        cannot_change(
            "ResourceGroup",
            "azureName",
            &json!("one"),
            &json!("two"),
            "azureName cannot be changed; create another object",
        ),
        cannot_change(
            "ResourceGroup",
            "location",
            &json!("westeurope"),
            &json!("eastus"),
            "location cannot be changed: Azure moves no resource group",
        ),
        cannot_change(
            "SessionPool",
            "azureName",
            &json!("one"),
            &json!("two"),
            "azureName cannot be changed; create another object",
        ),
        cannot_change(
            "SessionPool",
            "location",
            &json!("westeurope"),
            &json!("eastus"),
            "location cannot be changed: Azure moves no session pool",
        ),
        cannot_change(
            "SessionPool",
            "resourceGroup",
            &json!("one"),
            &json!("two"),
            "resourceGroup cannot be changed; create another object",
        ),
        cannot_change(
            "SessionPool",
            "resourceGroupRef",
            &json!({"name": "one"}),
            &json!({"name": "two"}),
            "resourceGroupRef cannot be changed; create another object",
        ),
        pool(
            "spec",
            "containerType cannot be changed; create another pool",
            Update(json!({}), json!({"tags": {"a": "b"}})),
            Update(json!({}), json!({"containerType": "PythonLTS"})),
        ),
        pool(
            "spec",
            "environmentId cannot be changed; create another pool",
            Update(custom(&json!({})), custom(&json!({"tags": {"a": "b"}}))),
            Update(
                custom(&json!({})),
                custom(&json!({"environmentId": "/subscriptions/y"})),
            ),
        ),
        pool(
            "",
            "metadata.name is not a valid session pool name (3 to 63 lower-case letters, digits and hyphens, starting with a letter); set spec.azureName",
            CreateNamed("9.pool", json!({"azureName": "pool"})),
            CreateNamed("9.pool", json!({})),
        ),
        pool(
            "spec",
            "azureName must be 3 to 63 lower-case letters, digits and hyphens, starting with a letter",
            Create(json!({"azureName": "a-1"})),
            Create(json!({"azureName": "Upper"})),
        ),
        pool(
            "spec",
            "only one of resourceGroup and resourceGroupRef may be set",
            Create(json!({"resourceGroup": "one"})),
            Create(json!({"resourceGroup": "one", "resourceGroupRef": {"name": "two"}})),
        ),
        pool(
            "spec",
            "environmentId is required for containerType CustomContainer and not allowed for the built-in types",
            Create(custom(&json!({}))),
            Create(custom(&json!({"environmentId": null}))),
        ),
        pool(
            "spec",
            "customContainerTemplate is required for containerType CustomContainer and not allowed for the built-in types",
            Create(custom(&json!({}))),
            Create(json!({"customContainerTemplate": {"containers": [{"name": "main", "image": "main:1"}]}})),
        ),
        pool(
            "spec",
            "scaleConfiguration.readySessionInstances is for containerType CustomContainer only",
            Create(custom(&json!({"scaleConfiguration": {"readySessionInstances": 1}}))),
            Create(json!({"scaleConfiguration": {"readySessionInstances": 1}})),
        ),
        pool(
            "spec",
            "lifecycleType OnContainerExit is for containerType CustomContainer only",
            Create(custom(&lifecycle(&json!({"lifecycleType": "OnContainerExit"})))),
            Create(lifecycle(&json!({"lifecycleType": "OnContainerExit"}))),
        ),
        pool(
            "spec.allowedNamespaces",
            "selector must be set when from is Selector, and only then",
            Create(json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}})),
            Create(json!({"allowedNamespaces": {"from": "All", "selector": {"matchLabels": {"a": "b"}}}})),
        ),
        pool(
            "spec.customContainerTemplate.containers[].env[]",
            "exactly one of value and secretRef must be set",
            Create(container(&json!({"env": [{"name": "A", "value": "a"}]}))),
            Create(container(
                &json!({"env": [{"name": "A", "value": "a", "secretRef": "b"}]}),
            )),
        ),
        pool(
            "spec.customContainerTemplate.containers[].probes[]",
            "exactly one of httpGet and tcpSocket must be set",
            Create(container(
                &json!({"probes": [{"type": "Liveness", "tcpSocket": {"port": 1}}]}),
            )),
            Create(container(&json!({"probes": [{"type": "Liveness"}]}))),
        ),
        pool(
            "spec.dynamicPoolConfiguration.lifecycleConfiguration",
            "cooldownPeriodInSeconds goes with lifecycleType Timed",
            Create(lifecycle(&json!({"cooldownPeriodInSeconds": 300}))),
            Create(custom(&lifecycle(
                &json!({"lifecycleType": "OnContainerExit", "cooldownPeriodInSeconds": 300}),
            ))),
        ),
        pool(
            "spec.dynamicPoolConfiguration.lifecycleConfiguration",
            "maxAlivePeriodInSeconds goes with lifecycleType OnContainerExit",
            Create(custom(&lifecycle(
                &json!({"lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 300}),
            ))),
            Create(lifecycle(&json!({"maxAlivePeriodInSeconds": 300}))),
        ),
        pool(
            "spec.scaleConfiguration",
            "readySessionInstances may not exceed maxConcurrentSessions",
            Create(custom(
                &json!({"scaleConfiguration": {"maxConcurrentSessions": 3, "readySessionInstances": 3}}),
            )),
            Create(custom(
                &json!({"scaleConfiguration": {"maxConcurrentSessions": 3, "readySessionInstances": 4}}),
            )),
        ),
        job(
            "",
            "the command has been started: only ttlSecondsAfterFinished can still be changed; create another CommandJob",
            UpdateStarted(json!({}), json!({"ttlSecondsAfterFinished": 1})),
            UpdateStarted(json!({}), json!({"shell": "false"})),
        ),
        job(
            "spec",
            "exactly one of shell and command must be set",
            Create(json!({"shell": null, "command": ["true"]})),
            Create(json!({"command": ["true"]})),
        ),
        job(
            "spec",
            "args goes with command",
            Create(json!({"shell": null, "command": ["echo"], "args": ["a"]})),
            Create(json!({"args": ["a"]})),
        ),
        job(
            "spec.env[]",
            "exactly one of value and valueFrom must be set",
            env(json!({"name": "A", "value": ""})),
            env(json!({"name": "A"})),
        ),
        job(
            "spec.env[]",
            "the shell reserves this name; choose another",
            env(json!({"name": "PATH", "value": "a"})),
            env(json!({"name": "UID", "value": "1"})),
        ),
        job(
            "spec.env[].valueFrom",
            "exactly one of secretKeyRef and configMapKeyRef must be set",
            env(json!({"name": "A", "valueFrom": {"secretKeyRef": key}})),
            env(json!({"name": "A", "valueFrom": {"secretKeyRef": key, "configMapKeyRef": key}})),
        ),
        job(
            "spec.target",
            "exactly one of sessionPoolRef and sessionPool must be set",
            Create(json!({})),
            Create(json!({"target": {"sessionPoolRef": null}})),
        ),
    ];
    for kind in ["ResourceGroup", "SessionPool"] {
        cases.push(Case {
            kind,
            path: "spec",
            rule: "the tag lifeguard-owner is reserved",
            accepted: Create(json!({"tags": {"owner": "me"}})),
            refused: Create(json!({"tags": {"lifeguard-owner": "me"}})),
        });
        cases.push(Case {
            kind,
            path: "spec",
            rule: "interval must be at least 1s",
            accepted: Create(json!({"interval": "1s"})),
            refused: Create(json!({"interval": "999ms"})),
        });
    }
    cases
}

#[test]
fn every_rule_of_the_definitions_has_a_case() {
    let mut stated = BTreeSet::new();
    for (kind, plural) in KINDS {
        walk(&Path::default(), &schema(plural), &mut |path, node| {
            for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().expect("every rule has a message of its own");
                let new = stated.insert((kind.to_owned(), path.to_string(), message.to_owned()));
                assert!(new, "{kind}.{path}: two rules with the message `{message}`");
            }
        });
    }
    let tried: BTreeSet<_> = cases()
        .into_iter()
        .map(|it| (it.kind.to_owned(), it.path.to_owned(), it.rule.to_owned()))
        .collect();
    assert_eq!(stated, tried);
}

#[tokio::test]
async fn every_rule_accepts_what_it_should_and_refuses_the_rest_by_the_field_and_its_message() {
    let client = client().await;
    let namespace = namespace("rules");
    for (number, case) in cases().iter().enumerate() {
        let name = format!("case-{number}");
        carry_out(&client, &namespace, &name, case.kind, &case.accepted)
            .await
            .unwrap_or_else(|refusal| {
                panic!(
                    "{}: `{}` refuses what it should accept: {refusal}",
                    case.kind, case.rule
                )
            });
        let refusal = carry_out(&client, &namespace, &name, case.kind, &case.refused)
            .await
            .expect_err(&format!("{}: `{}` accepts what it should refuse", case.kind, case.rule));
        let place = case.path.replace("[]", "[0]");
        assert!(
            refusal.contains(&place) && refusal.contains(case.rule),
            "{}: `{place}: {}` is not in: {refusal}",
            case.kind,
            case.rule
        );
    }
}

#[tokio::test]
async fn an_immutable_property_can_be_neither_added_nor_removed() {
    let client = client().await;
    let namespace = namespace("immutable");
    let properties = [
        ("ResourceGroup", "azureName", json!("one")),
        ("ResourceGroup", "location", json!("westeurope")),
        ("SessionPool", "azureName", json!("one")),
        ("SessionPool", "location", json!("westeurope")),
        ("SessionPool", "resourceGroup", json!("one")),
        ("SessionPool", "resourceGroupRef", json!({"name": "one"})),
    ];
    for (number, (kind, property, value)) in properties.iter().enumerate() {
        for (before, after) in [
            (json!({}), json!({*property: value})),
            (json!({*property: value}), json!({})),
        ] {
            let change = Update(before, after);
            let refusal = carry_out(&client, &namespace, &format!("case-{number}"), kind, &change)
                .await
                .expect_err(&format!("{kind}.spec.{property} could be changed"));
            assert!(refusal.contains(&format!("{property} cannot be changed")), "{refusal}");
        }
    }
}

#[tokio::test]
async fn of_a_started_job_everything_but_its_ttl_is_immutable_and_of_a_waiting_one_nothing() {
    let client = client().await;
    let namespace = namespace("started");
    // Each property of the spec, with a base that it can be added to or changed in.
    let shell = json!({});
    let command = json!({"shell": null, "command": ["true"]});
    let changes = [
        (
            "target",
            &shell,
            json!({"target": {"sessionPoolRef": {"name": "other"}}}),
        ),
        ("accountRef", &shell, json!({"accountRef": {"name": "other"}})),
        ("shell", &shell, json!({"shell": "false"})),
        ("command", &command, json!({"shell": null, "command": ["false"]})),
        (
            "args",
            &command,
            json!({"shell": null, "command": ["true"], "args": ["a"]}),
        ),
        ("stdin", &shell, json!({"stdin": "a"})),
        ("env", &shell, json!({"env": [{"name": "A", "value": "a"}]})),
        ("timeoutSeconds", &shell, json!({"timeoutSeconds": 5})),
        ("output", &shell, json!({"output": {"maxBytes": 5}})),
    ];
    for (property, before, after) in &changes {
        let name = property.to_lowercase();
        carry_out(
            &client,
            &namespace,
            &name,
            "CommandJob",
            &Update((*before).clone(), after.clone()),
        )
        .await
        .unwrap_or_else(|refusal| panic!("{property} of a job that waits cannot be changed: {refusal}"));
        let refusal = carry_out(
            &client,
            &namespace,
            &name,
            "CommandJob",
            &UpdateStarted((*before).clone(), after.clone()),
        )
        .await
        .expect_err(&format!("{property} of a started job could be changed"));
        assert!(
            refusal.contains("spec: Invalid value") && refusal.contains("the command has been started"),
            "{refusal}"
        );
    }
    let tried: BTreeSet<_> = changes.iter().map(|(property, ..)| *property).collect();
    let properties = schema("commandjobs")["properties"]["spec"]["properties"].clone();
    for property in properties.as_object().expect("properties").keys() {
        // `session.mode` has one value, so there is nothing to change it to.
        let exempt = ["ttlSecondsAfterFinished", "session"].contains(&property.as_str());
        assert!(
            exempt != tried.contains(property.as_str()),
            "spec.{property} is not tried"
        );
    }
}

/// Carries out the write, the last step of it as a dry run, and removes what was made for it.
async fn carry_out(
    client: &kube::Client,
    namespace: &str,
    name: &str,
    kind: &str,
    change: &Change,
) -> Result<(), String> {
    let with = |name: &str, changes: &Value| {
        let mut spec = base(kind);
        merge(&mut spec, changes);
        object(kind, name, &spec)
    };
    let (before, after, started) = match change {
        Create(changes) => return admission(client, namespace, &with(name, changes)).await,
        CreateNamed(name, changes) => return admission(client, namespace, &with(name, changes)).await,
        Update(before, after) => (before, after, false),
        UpdateStarted(before, after) => (before, after, true),
    };
    let api = objects(client, kind, namespace);
    api.create(&PostParams::default(), &typed(&with(name, before)))
        .await
        .map_err(message)?;
    if started {
        let status = json!({"status": {"observedGeneration": 1, "phase": "Running", "attempts": [
            {"number": 1, "startTime": "2026-01-01T00:00:00Z", "session": "digest"},
        ]}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .map_err(message)?;
    }
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut changed = typed(&with(name, after));
    changed.metadata.resource_version = api.get(name).await.map_err(message)?.metadata.resource_version;
    let answer = api
        .replace(name, &parameters, &changed)
        .await
        .map(drop)
        .map_err(message);
    api.delete(name, &DeleteParams::default()).await.map_err(message)?;
    answer
}

/// JSON merge patch (RFC 7386) of objects.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().expect("made one above");
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}
