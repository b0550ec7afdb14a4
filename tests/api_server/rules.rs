//! Every CEL rule of the definitions, with what it accepts and what it refuses. A rule without a case fails.

mod azure_account;
mod command_job;
mod identity;
mod identity_assignment;
mod immutable;
mod managed_identity;
mod resource_group;
mod role_assignment;
mod session_pool;

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::schema::{KINDS, Path, is_of_form, is_refused, schema, walk};
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
        "ResourceGroup" | "ManagedIdentity" => json!({}),
        "SessionPool" => json!({"containerType": "Shell"}),
        "RoleAssignment" => json!({
            "principal": {"managedIdentityRef": {"name": "one"}},
            "role": "Azure ContainerApps Session Executor",
            "scope": {"sessionPoolRef": {"name": "one"}},
        }),
        "IdentityAssignment" => json!({
            "target": {"containerApp": {"name": "one"}},
            "identity": {"type": "SystemAssigned"},
        }),
        "CommandJob" => json!({"target": {"sessionPoolRef": {"name": "shell"}}, "script": "true"}),
        other => panic!("no base for {other}"),
    }
}

/// The rule about a property that is optional and cannot be changed. Only one change can be a case of the table; module
/// `immutable` tries the others.
fn cannot_change(
    kind: &'static str,
    path: &'static str,
    property: &str,
    [value, same, other]: [&str; 3],
    rule: &'static str,
) -> Case {
    Case {
        kind,
        path,
        rule,
        accepted: Update(json!({property: value}), json!({property: same})),
        refused: Update(json!({property: value}), json!({property: other})),
    }
}

/// The rules of every kind whose resource has a name and a region.
fn named_and_placed(kind: &'static str, location: &'static str) -> [Case; 2] {
    let azure_name = "azureName cannot be changed; create another object";
    [
        cannot_change(kind, "", "azureName", ["one", "one", "two"], azure_name),
        cannot_change(
            kind,
            "spec",
            "location",
            ["westeurope", "West Europe", "eastus"],
            location,
        ),
    ]
}

fn cases() -> Vec<Case> {
    let mut cases = azure_account::cases();
    cases.extend(resource_group::cases());
    cases.extend(session_pool::cases());
    cases.extend(managed_identity::cases());
    cases.extend(role_assignment::cases());
    cases.extend(identity_assignment::cases());
    cases.extend(command_job::cases());
    for kind in ["ResourceGroup", "SessionPool", "ManagedIdentity"] {
        cases.push(Case {
            kind,
            path: "spec",
            rule: "the tag lifeguard-owner is reserved",
            accepted: Create(json!({"tags": {"owner": "me"}})),
            refused: Create(json!({"tags": {"Lifeguard-Owner": "me"}})),
        });
        cases.push(Case {
            kind,
            path: "spec",
            rule: "the names of tags must differ in more than letter case",
            accepted: Create(json!({"tags": {"team": "a", "teams": "b"}})),
            refused: Create(json!({"tags": {"team": "a", "TEAM": "b"}})),
        });
    }
    for kind in [
        "ResourceGroup",
        "SessionPool",
        "ManagedIdentity",
        "RoleAssignment",
        "IdentityAssignment",
    ] {
        cases.push(Case {
            kind,
            path: "spec.interval",
            rule: "must be a duration of at least 1s, such as 10m or 1h30m",
            accepted: Create(json!({"interval": "1s"})),
            refused: Create(json!({"interval": "999ms"})),
        });
    }
    cases
}

#[test]
fn every_rule_of_the_definitions_has_a_case() {
    let (mut stated, mut forms) = (BTreeSet::new(), BTreeSet::new());
    for (kind, plural) in KINDS {
        walk(&Path::default(), &schema(plural), &mut |path, node| {
            let rules = node["x-kubernetes-validations"].as_array().into_iter().flatten();
            for rule in rules {
                let message = rule["message"].as_str().expect("every rule has a message of its own");
                // The forms of texts are tried with the other bounds of values, so they may have a case and need none.
                let place = if is_of_form(rule) { &mut forms } else { &mut stated };
                let new = place.insert((kind.to_owned(), path.to_string(), message.to_owned()));
                assert!(new, "{kind}.{path}: two rules with the message `{message}`");
            }
        });
    }
    let tried: BTreeSet<_> = cases()
        .into_iter()
        .map(|it| (it.kind.to_owned(), it.path.to_owned(), it.rule.to_owned()))
        .filter(|it| !forms.contains(it))
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
async fn of_a_started_job_everything_but_what_steers_it_is_immutable_and_of_a_waiting_one_nothing() {
    let client = client().await;
    let namespace = namespace("started");
    // Each property of the spec, with a base that it can be added to or changed in.
    let script = json!({});
    let command = json!({"script": null, "command": ["true"]});
    let rule = json!({"action": "Ignore", "onOutcome": {"values": ["Lost"]}});
    let changes = [
        (
            "target",
            &script,
            json!({"target": {"sessionPoolRef": {"name": "other"}}}),
        ),
        ("accountRef", &script, json!({"accountRef": {"name": "other"}})),
        ("script", &script, json!({"script": "false"})),
        ("command", &command, json!({"script": null, "command": ["false"]})),
        (
            "args",
            &command,
            json!({"script": null, "command": ["true"], "args": ["a"]}),
        ),
        ("stdin", &script, json!({"stdin": "a"})),
        ("env", &script, json!({"env": [{"name": "A", "value": "a"}]})),
        ("timeoutSeconds", &script, json!({"timeoutSeconds": 5})),
        ("activeDeadlineSeconds", &script, json!({"activeDeadlineSeconds": 5})),
        ("backoffLimit", &script, json!({"backoffLimit": 1})),
        ("failurePolicy", &script, json!({"failurePolicy": {"rules": [rule]}})),
        ("session", &script, json!({"session": {"mode": "Reused"}})),
        ("output", &script, json!({"output": {"maxBytes": 5}})),
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
    let properties = properties.as_object().expect("properties").iter();
    for (property, _) in properties.filter(|(_, declared)| !is_refused(declared)) {
        let exempt = ["suspend", "cancel", "priority", "ttlSecondsAfterFinished"].contains(&property.as_str());
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
