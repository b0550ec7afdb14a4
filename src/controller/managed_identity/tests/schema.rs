//! Bodies of PUT against the official schema of the API version that they are sent with.

use serde_json::{Value, json};

use crate::api::{ManagedIdentitySpec, spec_schema};
use crate::azure::managed_identity::{FederatedIdentityCredential, MANAGED_IDENTITY_API_VERSION, SHAPE};
use crate::azure::official_schema::{narrower, violations};
use crate::azure::overlay::overlay;

use super::super::credential::wanted;
use super::super::desired;

/// None where the schemas are not.
fn identity_violations(body: &Value) -> Option<Vec<String>> {
    violations(
        MANAGED_IDENTITY_API_VERSION,
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "/resourceDefinitions/userAssignedIdentities",
        body,
    )
}

/// None where the schemas are not.
fn credential_violations(credential: &FederatedIdentityCredential) -> Option<Vec<String>> {
    let mut body = credential.body();
    body["name"] = credential.name.as_str().into();
    violations(
        MANAGED_IDENTITY_API_VERSION,
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "/resourceDefinitions/userAssignedIdentities_federatedIdentityCredentials",
        &body,
    )
}

fn spec(spec: Value) -> ManagedIdentitySpec {
    serde_json::from_value(spec).expect("a valid spec")
}

#[test]
fn bodies_of_identities_are_valid_by_the_official_schema() {
    let actual = json!({
        "id": "/x", "name": "runner", "type": "t", "location": "westeurope", "tags": {"team": "a"}, "systemData": {},
        "properties": {"tenantId": "t", "principalId": "p", "clientId": "c", "isolationScope": "None"},
    });
    for given in [
        json!({}),
        json!({"location": "West Europe", "isolationScope": "Regional", "tags": {"a": "b"}}),
    ] {
        let desired = desired(&spec(given)).0;
        for base in [&json!({"location": "westeurope"}), &actual] {
            let body = overlay(base, &desired, &SHAPE);
            let Some(found) = identity_violations(&body) else {
                return;
            };
            assert_eq!(found, Vec::<String>::new(), "{body:#}");
            assert!(body["properties"].get("principalId").is_none(), "{body:#}");
        }
    }
}

#[test]
fn bodies_of_federated_credentials_are_valid_by_the_official_schema() {
    let spec = spec(json!({"federatedCredentials": [
        {"name": "one", "serviceAccountRef": {"name": "runner"}},
        {"name": "pipeline", "issuer": "https://ci.example", "subject": "repo:a", "audiences": ["x"]},
    ]}));
    let credentials = wanted(&spec.federated_credentials, "team", Some("https://cluster"), "aud");
    assert_eq!(credentials.len(), 2);
    for credential in &credentials {
        let Some(found) = credential_violations(credential) else {
            return;
        };
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let Some(found) = identity_violations(&json!({"location": 7, "properties": {}})) else {
        return;
    };
    assert!(!found.is_empty());
    let mut credential = FederatedIdentityCredential {
        name: "x".to_owned(),
        issuer: "https://i".to_owned(),
        subject: "s".to_owned(),
        audiences: vec!["a".to_owned()],
    };
    assert_ne!(
        credential_violations(&credential),
        Some(Vec::new()),
        "the name is too short"
    );
    credential.name = "long-enough".to_owned();
    assert_eq!(credential_violations(&credential), Some(Vec::new()));
}

#[test]
fn what_azure_takes_of_an_identity_its_definition_takes() {
    let ours = spec_schema("ManagedIdentity");
    let credential = &ours["properties"]["federatedCredentials"]["items"];
    let file = format!("{MANAGED_IDENTITY_API_VERSION}/Microsoft.ManagedIdentity.json");
    let mut found = Vec::new();
    for (pointer, ours) in [
        ("/resourceDefinitions/userAssignedIdentities", &ours),
        ("/definitions/UserAssignedIdentityProperties", &ours),
        (
            "/resourceDefinitions/userAssignedIdentities_federatedIdentityCredentials",
            credential,
        ),
        ("/definitions/FederatedIdentityCredentialProperties", credential),
    ] {
        let Some(bounds) = narrower(&file, pointer, ours) else {
            return;
        };
        found.extend(bounds);
    }
    found.sort();
    assert_eq!(
        found,
        [
            // Azure takes one, of at most 600 characters, as the issuer and the subject.
            "audiences: maxItems 1",
            "audiences[]: maxLength 600",
            "audiences[]: minLength 1",
            "issuer: maxLength 600",
            "issuer: minLength 1",
            "issuer: of a form",
            // What the API server wants to know of a value that rules look at.
            "location: maxLength 90",
            "location: minLength 1",
            // The schema's own pattern.
            "name: maxLength 120",
            "name: minLength 3",
            "name: of a form",
            "subject: maxLength 600",
            "subject: minLength 1",
            // 50, of which the owner's mark is one.
            "tags: maxProperties 49",
        ]
    );
}
