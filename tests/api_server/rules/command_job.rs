//! Of CommandJob.

use serde_json::{Value, json};

use super::Case;
use super::Change::{Create, UpdateStarted};

pub fn cases() -> Vec<Case> {
    let job = |path, rule, accepted, refused| Case {
        kind: "CommandJob",
        path,
        rule,
        accepted,
        refused,
    };
    let env = |variable: Value| Create(json!({"env": [variable]}));
    let key = json!({"name": "object", "key": "key"});
    vec![
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
    ]
}
