//! Of SessionPool.

use serde_json::{Value, json};

use super::Change::{Create, CreateNamed, Update};
use super::{Case, cannot_change, identity, merge, named_and_placed};

const ENVIRONMENT: &str = "/subscriptions/x/resourceGroups/x/providers/Microsoft.App/managedEnvironments/x";

pub fn cases() -> Vec<Case> {
    let pool = |path, rule, accepted, refused| Case {
        kind: "SessionPool",
        path,
        rule,
        accepted,
        refused,
    };
    let mut cases = vec![
        cannot_change(
            "SessionPool",
            "spec",
            "resourceGroup",
            ["one", "ONE", "two"],
            "resourceGroup cannot be changed; create another object",
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
            Update(
                custom(&json!({})),
                custom(&json!({"environmentId": ENVIRONMENT.to_uppercase()})),
            ),
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
            "environmentId is required for containerType CustomContainer",
            Create(json!({"containerType": "PythonLTS", "environmentId": ENVIRONMENT})),
            Create(custom(&json!({"environmentId": null}))),
        ),
        pool(
            "spec.poolManagementType",
            "poolManagementType must be Dynamic: Azure refuses Manual, though its schema lists it",
            Create(json!({"poolManagementType": "Dynamic"})),
            Create(json!({"poolManagementType": "Manual"})),
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
            "spec.sharing[].namespaces",
            "selector must be set when from is Selector, and only then",
            Create(shared(
                &json!({"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}),
            )),
            Create(shared(&json!({"from": "All", "selector": {"matchLabels": {"a": "b"}}}))),
        ),
        pool(
            "spec.sharing[].namespaces",
            "selector must be set when from is Selector, and only then",
            Create(shared(&json!({"from": "All"}))),
            Create(shared(&json!({"from": "Selector"}))),
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
            "spec.customContainerTemplate.containers[].probes[]",
            "failureThreshold of a Liveness probe must be 1 to 30",
            Create(container(&json!({"probes": [
                {"type": "Liveness", "tcpSocket": {"port": 1}, "failureThreshold": 30},
                {"type": "Startup", "tcpSocket": {"port": 1}, "failureThreshold": 240},
            ]}))),
            Create(container(
                &json!({"probes": [{"type": "Liveness", "tcpSocket": {"port": 1}, "failureThreshold": 31}]}),
            )),
        ),
        pool(
            "spec.dynamicPoolConfiguration.lifecycleConfiguration",
            "cooldownPeriodInSeconds may be set only with lifecycleType Timed",
            Create(lifecycle(&json!({"cooldownPeriodInSeconds": 300}))),
            Create(custom(&lifecycle(
                &json!({"lifecycleType": "OnContainerExit", "cooldownPeriodInSeconds": 300}),
            ))),
        ),
        pool(
            "spec.dynamicPoolConfiguration.lifecycleConfiguration",
            "maxAlivePeriodInSeconds may be set only with lifecycleType OnContainerExit",
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
        pool(
            "spec.customContainerTemplate.registryCredentials",
            "only one of username, identity and managedIdentityRef may be set",
            Create(registry(&json!({"identity": "system"}))),
            Create(registry(&json!({"identity": "system", "username": "me"}))),
        ),
        pool(
            "spec.managedIdentitySettings[]",
            "exactly one of identity and managedIdentityRef must be set",
            Create(json!({"managedIdentitySettings": [{"identity": "system"}]})),
            Create(json!({"managedIdentitySettings": [{"lifecycle": "Main"}]})),
        ),
        pool(
            "spec",
            SETTINGS,
            Create(settings(&json!({"managedIdentityRef": {"name": "one"}}))),
            Create(settings(&json!({"managedIdentityRef": {"name": "two"}}))),
        ),
        pool(
            "spec",
            SETTINGS,
            Create(with_identity(
                &json!({"type": "UserAssigned", "userAssignedIdentities": [{"resourceId": ID}]}),
                &json!({"managedIdentitySettings": [{"identity": ID.to_lowercase()}]}),
            )),
            Create(settings(&json!({"identity": "System"}))),
        ),
        pool(
            "spec",
            "registryCredentials may name only an identity that spec.identity attaches",
            Create(with_identity(
                &json!({"type": "SystemAssigned"}),
                &registry(&json!({"identity": "system"})),
            )),
            Create(with_identity(
                &json!({"type": "SystemAssigned"}),
                &registry(&json!({"managedIdentityRef": {"name": "one"}})),
            )),
        ),
    ];
    cases.extend(identity::of("SessionPool"));
    cases.extend(named_and_placed(
        "SessionPool",
        "location cannot be changed: Azure cannot move a session pool to another region",
    ));
    cases
}

const SETTINGS: &str = "managedIdentitySettings may name only identities that spec.identity attaches";
const ID: &str = "/subscriptions/S/resourceGroups/R/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one";

fn with_identity(identity: &Value, more: &Value) -> Value {
    let mut spec = json!({"identity": identity});
    merge(&mut spec, more);
    spec
}

/// A pool with the identity `one` and this setting.
fn settings(setting: &Value) -> Value {
    with_identity(
        &json!({"type": "UserAssigned", "userAssignedIdentities": [{"managedIdentityRef": {"name": "one"}}]}),
        &json!({"managedIdentitySettings": [setting]}),
    )
}

/// What makes the base of a SessionPool one of containers of one's own.
fn custom(more: &Value) -> Value {
    let mut spec = json!({
        "containerType": "CustomContainer",
        "environmentId": ENVIRONMENT,
        "customContainerTemplate": {"containers": [{"name": "main", "image": "main:1"}]},
    });
    merge(&mut spec, more);
    spec
}

fn shared(namespaces: &Value) -> Value {
    json!({"sharing": [{"namespaces": namespaces, "accountRef": {"name": "runner"}}]})
}

fn container(more: &Value) -> Value {
    let mut container = json!({"name": "main", "image": "main:1"});
    merge(&mut container, more);
    custom(&json!({"customContainerTemplate": {"containers": [container]}}))
}

fn lifecycle(lifecycle: &Value) -> Value {
    json!({"dynamicPoolConfiguration": {"lifecycleConfiguration": lifecycle}})
}

fn registry(credentials: &Value) -> Value {
    let mut all = json!({"server": "registry.example"});
    merge(&mut all, credentials);
    custom(&json!({"customContainerTemplate": {"registryCredentials": all}}))
}
