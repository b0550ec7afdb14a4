//! Of CommandJob.

use serde_json::{Value, json};

use super::Case;
use super::Change::{Create, Update, UpdateStarted};

pub fn cases() -> Vec<Case> {
    let job = |path, rule, accepted, refused| Case {
        kind: "CommandJob",
        path,
        rule,
        accepted,
        refused,
    };
    let env = |variable: Value| Create(json!({"env": [variable]}));
    let rule = |rule: Value| Create(json!({"failurePolicy": {"rules": [rule]}}));
    let by_id = |id: &str| json!({"target": {"sessionPoolRef": null, "sessionPool": {"resourceId": id}}});
    let group = "/subscriptions/00000000-0000-0000-0000-000000000002/resourcegroups/g";
    let key = json!({"name": "object", "key": "key"});
    vec![
        job(
            "",
            "the command has been started: only suspend, cancel, priority and ttlSecondsAfterFinished can still be changed; create another CommandJob",
            UpdateStarted(
                json!({}),
                json!({"ttlSecondsAfterFinished": 1, "suspend": true, "cancel": true, "priority": 1}),
            ),
            UpdateStarted(json!({}), json!({"script": "false"})),
        ),
        job(
            "spec",
            "cancel cannot be taken back; create another CommandJob",
            Update(json!({}), json!({"cancel": true})),
            Update(json!({"cancel": true}), json!({"cancel": false})),
        ),
        job(
            "spec.failurePolicy.rules[]",
            "exactly one of onExitCodes and onOutcome must be set",
            rule(json!({"action": "Ignore", "onOutcome": {"values": ["Lost", "TimedOut"]}})),
            rule(json!({"action": "Ignore"})),
        ),
        job(
            "spec.failurePolicy.rules[].onExitCodes",
            "exit code 0 is no failure and cannot be among the values of the operator In",
            rule(json!({"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [0, 255]}})),
            rule(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}})),
        ),
        job(
            "spec",
            "exactly one of script and command must be set",
            Create(json!({"script": null, "command": ["true"]})),
            Create(json!({"command": ["true"]})),
        ),
        job(
            "spec",
            "args may be set only together with command",
            Create(json!({"script": null, "command": ["echo"], "args": ["a"]})),
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
            "spec.env[].name",
            "must be letters, digits and underscores, not starting with a digit",
            env(json!({"name": "_a1", "value": "a"})),
            env(json!({"name": "1a", "value": "a"})),
        ),
        job(
            "spec.env[].valueFrom",
            "exactly one of secretKeyRef, configMapKeyRef and fieldRef must be set",
            env(json!({"name": "A", "valueFrom": {"secretKeyRef": key}})),
            env(json!({"name": "A", "valueFrom": {"secretKeyRef": key, "configMapKeyRef": key}})),
        ),
        job(
            "spec.env[].valueFrom",
            "exactly one of secretKeyRef, configMapKeyRef and fieldRef must be set",
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}})),
            env(json!({"name": "A", "valueFrom": {"configMapKeyRef": key, "fieldRef": {"fieldPath": "metadata.uid"}}})),
        ),
        job(
            "spec.env[].valueFrom.fieldRef.fieldPath",
            "must be metadata.name, metadata.namespace or metadata.uid, or metadata.labels or metadata.annotations with a key in quotes and brackets",
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}})),
            env(json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}})),
        ),
        job(
            "spec.session",
            "key is required for mode Shared and not allowed for any other",
            Create(json!({"session": {"mode": "Shared", "key": "k"}})),
            Create(json!({"session": {"mode": "Reused", "key": "k"}})),
        ),
        job(
            "spec.session",
            "idleSeconds is for mode Shared only",
            Create(json!({"session": {"mode": "Shared", "key": "k", "idleSeconds": 10}})),
            Create(json!({"session": {"mode": "Reused", "idleSeconds": 10}})),
        ),
        job(
            "spec.session.key",
            "must be letters, digits, hyphens, dots and underscores, starting and ending with a letter or digit",
            Create(json!({"session": {"mode": "Shared", "key": "a_b.c-D"}})),
            Create(json!({"session": {"mode": "Shared", "key": "a/b"}})),
        ),
        job(
            "spec.target",
            "exactly one of sessionPoolRef and sessionPool must be set",
            Create(json!({})),
            Create(json!({"target": {"sessionPoolRef": null}})),
        ),
        job(
            "spec.target.sessionPool.resourceId",
            "must be the Azure resource id of a session pool: /subscriptions/GUID/resourceGroups/…/providers/Microsoft.App/sessionPools/…",
            Create(by_id(&format!("{group}/providers/microsoft.app/sessionpools/p"))),
            Create(by_id(group)),
        ),
    ]
}
