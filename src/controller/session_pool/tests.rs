//! Bodies of PUT against the official schemas of the API versions that they are sent with.

mod bounds;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::api::SessionPoolSpec;
use crate::azure::comparison::compare;
use crate::azure::official_schema::violations;
use crate::azure::overlay::overlay;
use crate::azure::session_pool::{PoolApiVersion, SHAPE};
use crate::controller::azure_resource::export::{Export, ExportState, ExportStep, Found, decide_export};

use super::body::{defaults, desired};
use super::exported;
use super::identities::tests::known;
use super::secrets::SecretValue;

/// What the official schema says against a body; nothing where the schemas are not.
fn errors(version: &str, body: &Value) -> Option<Vec<String>> {
    violations(
        version,
        "Microsoft.App/sessionPools",
        "/resourceDefinitions/sessionPools",
        body,
    )
}

/// A spec of every container type, with everything that the type may set.
fn specs() -> Vec<Value> {
    let built_in = |kind: &str| {
        json!({
            "containerType": kind, "poolManagementType": "Dynamic", "location": "North Central US", "tags": {"a": "b"},
            "scaleConfiguration": {"maxConcurrentSessions": 5},
            "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}},
            "sessionNetworkConfiguration": {"status": "EgressEnabled"},
        })
    };
    let mut with_mcp = built_in("PythonLTS");
    with_mcp["mcpServerSettings"] = json!({"isMcpServerEnabled": true, "isMcpServerApiKeyDisabled": false});
    let custom = json!({
        "containerType": "CustomContainer",
        "environmentId": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/managedEnvironments/e",
        "scaleConfiguration": {"maxConcurrentSessions": 5, "readySessionInstances": 2},
        "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 600}},
        "secrets": [{"name": "password", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "customContainerTemplate": {
            "registryCredentials": {"server": "r.azurecr.io", "username": "u", "passwordSecretRef": "password"},
            "containers": [{
                "name": "main", "image": "r.azurecr.io/i:1", "command": ["/bin/sh"], "args": ["-c", "true"],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "secretRef": "password"}],
                "resources": {"cpu": 0.5, "memory": "1Gi"},
            }],
            "ingress": {"targetPort": 8080},
        },
    });
    let mut with_probes = custom.clone();
    with_probes["customContainerTemplate"]["containers"][0]["probes"] = json!([
        {"type": "Liveness", "httpGet": {"path": "/", "port": 8080, "scheme": "HTTP", "httpHeaders": [{"name": "a", "value": "b"}]},
         "failureThreshold": 30, "initialDelaySeconds": 0, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
        {"type": "Startup", "tcpSocket": {"port": 8080}, "failureThreshold": 240, "terminationGracePeriodSeconds": 0},
    ]);
    let identity = json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": [{"managedIdentityRef": {"name": "one"}}]});
    let settings = json!([
        {"managedIdentityRef": {"name": "one"}, "lifecycle": "Main"}, {"identity": "system", "lifecycle": "None"},
    ]);
    let mut with_identities = built_in("Shell");
    with_identities["identity"] = identity.clone();
    with_identities["managedIdentitySettings"] = settings;
    let mut with_its_own = built_in("Shell");
    with_its_own["identity"] = json!({"type": "SystemAssigned"});
    with_its_own["managedIdentitySettings"] = json!([{"identity": "system", "lifecycle": "All"}]);
    let mut for_init = with_identities.clone();
    for_init["managedIdentitySettings"][0]["lifecycle"] = "Init".into();
    let mut pulling = custom.clone();
    pulling["identity"] = identity;
    pulling["customContainerTemplate"]["registryCredentials"] =
        json!({"server": "r.azurecr.io", "managedIdentityRef": {"name": "one"}});
    vec![
        with_identities,
        with_its_own,
        for_init,
        pulling,
        built_in("PythonLTS"),
        built_in("Shell"),
        built_in("NodeLTS"),
        built_in("GpuBase"),
        with_mcp,
        custom,
        with_probes,
        json!({"containerType": "Shell"}),
    ]
}

fn bodies(spec: &Value) -> (Value, Value) {
    let spec: SessionPoolSpec = serde_json::from_value(spec.clone()).expect("a valid spec");
    let secrets = [SecretValue {
        name: "password".into(),
        value: "value".into(),
    }];
    let desired = desired(
        &spec,
        (!spec.secrets.is_empty()).then_some(&secrets[..]),
        Some(&known()),
    )
    .0;
    let body = overlay(&defaults(Some("westeurope")), &desired, &SHAPE);
    (desired, body)
}

#[test]
fn bodies_of_every_container_type_are_valid_by_the_official_schemas() {
    for spec in specs() {
        let (_, body) = bodies(&spec);
        let version = PoolApiVersion::for_properties(&body["properties"]).as_str();
        let found = errors(version, &body).unwrap_or_default();
        assert_eq!(found, Vec::<String>::new(), "{version}: {body:#}");
    }
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let (_, mut body) = bodies(&json!({"containerType": "Shell", "scaleConfiguration": {"maxConcurrentSessions": 5}}));
    body["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = "five".into();
    let found = errors("2025-10-02-preview", &body);
    assert!(found.is_none_or(|found| !found.is_empty()));
}

#[test]
fn bodies_of_resource_groups_are_valid_by_the_official_schema() {
    let body = json!({
        "location": "westeurope", "tags": {"lifeguard-owner": "c/n/o/u/created/0b9ff1d35f3e"},
        // Templates have to name it; it has no member that can be set, and a PUT does without.
        "properties": {},
    });
    let found = violations(
        "2025-04-01",
        "Microsoft.Resources/resourceGroups",
        "/subscription_resourceDefinitions/resourceGroups",
        &body,
    );
    assert_eq!(found.unwrap_or_default(), Vec::<String>::new());
}

#[test]
fn what_was_sent_shows_no_drift_when_azure_returns_it_without_values_of_secrets() {
    for spec in specs() {
        let (desired, mut body) = bodies(&spec);
        if let Some(secret) = body.pointer_mut("/properties/secrets/0") {
            secret.as_object_mut().expect("a secret").remove("value");
        }
        body["properties"]["provisioningState"] = "Succeeded".into();
        assert!(compare(&desired, &body, &SHAPE).is_equal(), "{body}");
    }
}

#[test]
fn what_the_spec_does_not_set_is_not_desired() {
    let (desired, body) = bodies(&json!({"containerType": "Shell"}));
    assert_eq!(desired, json!({"properties": {"containerType": "Shell"}, "tags": {}}));
    assert_eq!(body["location"], "westeurope");
    assert_eq!(body["properties"]["poolManagementType"], "Dynamic");
}

fn pool(properties: &Value) -> Value {
    let mut pool = json!({"properties": {"poolManagementEndpoint": "https://r.dynamicsessions.io/p"}});
    let properties = properties.as_object().expect("an object").clone();
    pool["properties"]
        .as_object_mut()
        .expect("an object")
        .extend(properties);
    pool
}

#[test]
fn nothing_is_exported_before_azure_has_given_the_pools_endpoint() {
    assert_eq!(exported("/id", &json!({"properties": {}})), None);
    let keys = exported("/id", &pool(&json!({}))).expect("all of it");
    let present: Vec<_> = keys
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(key, _)| *key)
        .collect();
    assert_eq!(present, ["id", "poolManagementEndpoint"]);
}

#[test]
fn the_endpoint_of_an_mcp_server_that_was_switched_off_leaves_the_config_map_and_what_others_put_there_stays() {
    let on = pool(&json!({"mcpServerSettings": {"mcpServerEndpoint": "https://r.dynamicsessions.io/p/mcp"}}));
    let mut own = ConfigMap::default();
    for (pool, endpoint) in [
        (on, Some("https://r.dynamicsessions.io/p/mcp")),
        (pool(&json!({})), None),
    ] {
        let exported = exported("/id", &pool).expect("all of it");
        let state = |config_map: &ConfigMap| ExportState {
            wanted: Some(Export {
                name: "shell".to_owned(),
                found: Found::Ours(Box::new(config_map.clone())),
            }),
            ..ExportState::default()
        };
        own.data
            .get_or_insert_default()
            .insert("mine".to_owned(), "kept".to_owned());
        let Ok(Some(ExportStep::Replace(written))) = decide_export(Some("shell"), &state(&own), &exported) else {
            panic!("the ConfigMap is not written");
        };
        let value = |key: &str| written.data.as_ref().and_then(|it| it.get(key)).map(String::as_str);
        assert_eq!(value("mcpServerEndpoint"), endpoint);
        assert_eq!((value("id"), value("mine")), (Some("/id"), Some("kept")));
        assert_eq!(decide_export(Some("shell"), &state(&written), &exported), Ok(None));
        own = *written;
    }
}
