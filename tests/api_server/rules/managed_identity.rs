//! Of ManagedIdentity.

use serde_json::{Value, json};

use super::Change::{Create, CreateNamed};
use super::{Case, cannot_change, named_and_placed};

pub fn cases() -> Vec<Case> {
    let kind = "ManagedIdentity";
    let identity = |path, rule, accepted, refused| Case {
        kind,
        path,
        rule,
        accepted,
        refused,
    };
    let federated = |credential: Value| Create(json!({"federatedCredentials": [credential]}));
    let mut cases = vec![
        cannot_change(
            kind,
            "spec",
            "resourceGroup",
            ["one", "ONE", "two"],
            "resourceGroup cannot be changed; create another object",
        ),
        identity(
            "",
            "metadata.name is not a valid name of a managed identity (3 to 128 letters, digits, hyphens and underscores, starting with a letter or digit); set spec.azureName",
            CreateNamed("an.identity", json!({"azureName": "an_identity"})),
            CreateNamed("an.identity", json!({})),
        ),
        identity(
            "spec",
            "azureName must be 3 to 128 letters, digits, hyphens and underscores, starting with a letter or digit",
            Create(json!({"azureName": "An_identity-1"})),
            Create(json!({"azureName": "-identity"})),
        ),
        identity(
            "spec",
            "only one of resourceGroup and resourceGroupRef may be set",
            Create(json!({"resourceGroup": "one"})),
            Create(json!({"resourceGroup": "one", "resourceGroupRef": {"name": "two"}})),
        ),
        identity(
            "spec",
            "the names of federatedCredentials must differ in more than letter case",
            Create(json!({"federatedCredentials": [
                {"name": "one", "serviceAccountRef": {"name": "one"}}, {"name": "two", "serviceAccountRef": {"name": "two"}},
            ]})),
            Create(json!({"federatedCredentials": [
                {"name": "one", "serviceAccountRef": {"name": "one"}}, {"name": "ONE", "serviceAccountRef": {"name": "two"}},
            ]})),
        ),
        identity(
            "spec.federatedCredentials[]",
            "exactly one of serviceAccountRef and subject must be set",
            federated(json!({"name": "one", "serviceAccountRef": {"name": "runner"}})),
            federated(json!({"name": "one", "issuer": "https://issuer.example"})),
        ),
        identity(
            "spec.federatedCredentials[]",
            "issuer is required together with subject",
            federated(json!({"name": "one", "issuer": "https://issuer.example", "subject": "me"})),
            federated(json!({"name": "one", "subject": "me"})),
        ),
    ];
    cases.extend(named_and_placed(
        kind,
        "location cannot be changed: Azure cannot move an identity to another region",
    ));
    cases
}
