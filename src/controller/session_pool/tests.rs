//! Bodies of PUT against the official schemas of the API versions that they are sent with.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::SessionPoolSpec;
use crate::azure::comparison::compare;
use crate::azure::overlay::overlay;
use crate::azure::session_pool::{PoolApiVersion, SHAPE};

use super::body::{defaults, desired};
use super::secrets::SecretValue;

/// The folder of the schemas, which `AZURE_SCHEMAS` names; `None` where it is not.
fn schemas() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/azure-schemas");
    let folder = std::env::var_os("AZURE_SCHEMAS").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "left out: there is no folder of Azure's schemas at {}",
            folder.display()
        );
    }
    None
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a schema")).expect("JSON")
}

/// The schema of one resource type, made self-contained.
fn validator(folder: &Path, version: &str, file: &str, pointer: &str) -> jsonschema::Validator {
    let document = read(&folder.join(version).join(file));
    let mut schema = document.pointer(pointer).expect("a resource type").clone();
    schema["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    schema["definitions"] = document["definitions"].clone();
    let cpu = "/definitions/SessionContainerResources/properties/cpu/oneOf/0/type";
    if let Some(kind) = schema.pointer_mut(cpu) {
        // The generated schema has lost the fraction: the specification's type is a double, and 0.5 is what pages show.
        *kind = "number".into();
    }
    let kinds = "/definitions/SessionPoolProperties/properties/containerType/oneOf/0/enum";
    if let Some(Value::Array(kinds)) = schema.pointer_mut(kinds)
        && version == "2025-10-02-preview"
    {
        // The generated schema lacks a type that the specification of the same version lists.
        kinds.push("GpuBase".into());
    }
    let common = read(&folder.join("common/definitions.json"));
    let url = "https://schema.management.azure.com/schemas/common/definitions.json";
    let registry = jsonschema::Registry::new()
        .add(url, common)
        .expect("a schema")
        .prepare()
        .expect("schemas without missing references");
    jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .expect("a valid schema")
}

fn errors(folder: &Path, version: &str, body: &Value) -> Vec<String> {
    let mut resource = body.clone();
    resource["name"] = "pool".into();
    resource["type"] = "Microsoft.App/sessionPools".into();
    resource["apiVersion"] = version.into();
    let validator = validator(
        folder,
        version,
        "Microsoft.App.json",
        "/resourceDefinitions/sessionPools",
    );
    validator
        .iter_errors(&resource)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
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
         "failureThreshold": 3, "initialDelaySeconds": 1, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
        {"type": "Startup", "tcpSocket": {"port": 8080}, "terminationGracePeriodSeconds": 30},
    ]);
    vec![
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
    let desired = desired(&spec, (!spec.secrets.is_empty()).then_some(&secrets[..])).0;
    let body = overlay(&defaults(Some("westeurope")), &desired, &SHAPE);
    (desired, body)
}

#[test]
fn bodies_of_every_container_type_are_valid_by_the_official_schemas() {
    let Some(folder) = schemas() else { return };
    for spec in specs() {
        let (_, body) = bodies(&spec);
        let version = PoolApiVersion::for_properties(&body["properties"]).as_str();
        assert_eq!(
            errors(&folder, version, &body),
            Vec::<String>::new(),
            "{version}: {body:#}"
        );
    }
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let Some(folder) = schemas() else { return };
    let (_, mut body) = bodies(&specs()[1]);
    body["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = "five".into();
    assert!(!errors(&folder, "2025-10-02-preview", &body).is_empty());
}

#[test]
fn bodies_of_resource_groups_are_valid_by_the_official_schema() {
    let Some(folder) = schemas() else { return };
    let validator = validator(
        &folder,
        "2025-04-01",
        "Microsoft.Resources.json",
        "/subscription_resourceDefinitions/resourceGroups",
    );
    let body = json!({
        "name": "rg", "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01",
        "location": "westeurope", "tags": {"lifeguard-owner": "c/n/o/u/created"},
        // Templates have to name it; it has no member that can be set, and a PUT does without.
        "properties": {},
    });
    let found: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(found.is_empty(), "{found:?}");
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
