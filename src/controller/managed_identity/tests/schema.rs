//! Bodies of PUT against the official schema of the API version that they are sent with.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::api::ManagedIdentitySpec;
use crate::azure::managed_identity::{FederatedIdentityCredential, MANAGED_IDENTITY_API_VERSION, SHAPE};
use crate::azure::overlay::overlay;

use super::super::observe::{defaults, desired};
use super::super::wanted::wanted;

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

fn errors(folder: &Path, definition: &str, resource_type: &str, name: &str, body: &Value) -> Vec<String> {
    let read = |file: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(file)).expect("a schema")).expect("JSON")
    };
    let document = read(&format!(
        "{MANAGED_IDENTITY_API_VERSION}/Microsoft.ManagedIdentity.json"
    ));
    let mut schema = document["resourceDefinitions"][definition].clone();
    assert!(schema.is_object(), "{definition} is not in the schema");
    schema["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    schema["definitions"] = document["definitions"].clone();
    let url = "https://schema.management.azure.com/schemas/common/definitions.json";
    let registry = jsonschema::Registry::new()
        .add(url, read("common/definitions.json"))
        .expect("a schema")
        .prepare()
        .expect("schemas without missing references");
    let validator = jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .expect("a valid schema");
    let mut resource = body.clone();
    resource["name"] = name.into();
    resource["type"] = resource_type.into();
    resource["apiVersion"] = MANAGED_IDENTITY_API_VERSION.into();
    validator
        .iter_errors(&resource)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn identity_errors(folder: &Path, body: &Value) -> Vec<String> {
    let kind = "Microsoft.ManagedIdentity/userAssignedIdentities";
    errors(folder, "userAssignedIdentities", kind, "runner", body)
}

fn credential_errors(folder: &Path, credential: &FederatedIdentityCredential) -> Vec<String> {
    errors(
        folder,
        "userAssignedIdentities_federatedIdentityCredentials",
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        &credential.name,
        &credential.body(),
    )
}

fn spec(spec: Value) -> ManagedIdentitySpec {
    serde_json::from_value(spec).expect("a valid spec")
}

#[test]
fn bodies_of_identities_are_valid_by_the_official_schema() {
    let Some(folder) = schemas() else { return };
    let actual = json!({
        "id": "/x", "name": "runner", "type": "t", "location": "westeurope", "tags": {"team": "a"}, "systemData": {},
        "properties": {"tenantId": "t", "principalId": "p", "clientId": "c", "isolationScope": "None"},
    });
    for given in [
        json!({}),
        json!({"location": "West Europe", "isolationScope": "Regional", "tags": {"a": "b"}}),
    ] {
        let desired = desired(&spec(given)).0;
        for base in [&defaults(Some("westeurope")), &actual] {
            let body = overlay(base, &desired, &SHAPE);
            assert_eq!(identity_errors(&folder, &body), Vec::<String>::new(), "{body:#}");
            assert!(body["properties"].get("principalId").is_none(), "{body:#}");
        }
    }
}

#[test]
fn bodies_of_federated_credentials_are_valid_by_the_official_schema() {
    let Some(folder) = schemas() else { return };
    let spec = spec(json!({"federatedCredentials": [
        {"name": "one", "serviceAccountRef": {"name": "runner"}},
        {"name": "pipeline", "issuer": "https://ci.example", "subject": "repo:a", "audiences": ["x"]},
    ]}));
    let credentials = wanted(&spec.federated_credentials, "team", Some("https://cluster"), "aud");
    assert_eq!(credentials.len(), 2);
    for credential in &credentials {
        assert_eq!(credential_errors(&folder, credential), Vec::<String>::new());
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let Some(folder) = schemas() else { return };
    assert!(!identity_errors(&folder, &json!({"location": 7, "properties": {}})).is_empty());
    let mut credential = FederatedIdentityCredential {
        name: "x".to_owned(),
        issuer: "https://i".to_owned(),
        subject: "s".to_owned(),
        audiences: vec!["a".to_owned()],
    };
    assert!(
        !credential_errors(&folder, &credential).is_empty(),
        "the name is too short"
    );
    credential.name = "long-enough".to_owned();
    assert!(credential_errors(&folder, &credential).is_empty());
}
