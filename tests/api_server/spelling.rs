//! Properties that public ARM files spell otherwise are not dropped without a word.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::examples;
use crate::schema::{KINDS, Path, Step, is_refused, schema, spec, walk};
use crate::server::{admission, client, message, namespace, objects};

/// Every known other spelling of a kind: where it is, its declaration, and what is to be written instead.
fn spellings(plural: &str) -> Vec<(Path, Value, String)> {
    let mut found = Vec::new();
    walk(&spec(), &schema(plural)["properties"]["spec"], &mut |path, node| {
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            if is_refused(property) {
                let message = property["x-kubernetes-validations"][0]["message"].as_str();
                let path = path.then(Step::Property(name.clone()));
                found.push((path, property.clone(), message.expect("a message").to_owned()));
            }
        }
    });
    found
}

/// A value of the declared type.
fn value(declared: &Value) -> Value {
    match declared["type"].as_str().expect("a type") {
        "integer" => json!(300),
        "boolean" => json!(true),
        "string" => json!("Timed"),
        "object" => json!({"any": "thing"}),
        "array" => json!([value(&declared["items"])]),
        other => panic!("no value of the type {other}"),
    }
}

#[tokio::test]
async fn a_property_as_public_arm_files_spell_it_is_refused_with_the_right_spelling_even_by_appliers_that_do_not_validate()
 {
    let client = client().await;
    let namespace = namespace("spellings");
    let mut tried = Vec::new();
    for (kind, plural) in KINDS {
        for (path, declared, words) in spellings(plural) {
            let parent = Path(path.0[..path.0.len() - 1].to_vec());
            let Some(Step::Property(name)) = path.0.last() else {
                panic!("{path} is no property");
            };
            let mut example = examples::of_kind(kind)
                .into_iter()
                .find(|it| parent.find(&mut it.clone()).is_some())
                .unwrap_or_else(|| panic!("no example has {kind}.{parent}"));
            let apply = async |object: &Value| {
                let name = object["metadata"]["name"].as_str().expect("a name");
                // As GitOps tools apply: what is unknown is dropped, and only the log of the server says so.
                let parameters = PatchParams {
                    dry_run: true,
                    field_manager: Some("test".to_owned()),
                    field_validation: Some(kube::api::ValidationDirective::Ignore),
                    ..PatchParams::default()
                };
                let api = objects(&client, kind, &namespace);
                let answer = api.patch(name, &parameters, &Patch::Apply(object)).await;
                answer.map(drop).map_err(message)
            };
            apply(&example).await.expect("the example is accepted");
            let (index, place) = parent.find(&mut example).expect("found above");
            place[name] = value(&declared);
            let printed = path.with_index(index);
            // A server-side apply, and a plain creation, of which the server drops what it does not know.
            for refusal in [apply(&example).await, admission(&client, &namespace, &example).await] {
                let refusal = refusal.expect_err("the other spelling is refused");
                let is_told = refusal.contains(&format!("{printed}: ")) && refusal.contains(&words);
                assert!(is_told, "{kind}.{path}: {refusal}");
            }
            tried.push(format!("{kind}.{path}"));
        }
    }
    // Those of public files, so that none falls out of the table.
    for known in [
        "SessionPool.spec.dynamicPoolConfiguration.lifecycleConfiguration.coolDownPeriodInSeconds",
        "SessionPool.spec.dynamicPoolConfiguration.cooldownPeriodInSeconds",
        "SessionPool.spec.dynamicPoolConfiguration.coolDownPeriodInSeconds",
        "SessionPool.spec.dynamicPoolConfiguration.executionType",
        "SessionPool.spec.dynamicPoolConfiguration.maxAlivePeriodInSeconds",
        "SessionPool.spec.mcpServerSettings.isMCPServerEnabled",
        "SessionPool.spec.mcpServerSettings.isMCPServerApiKeyDisabled",
        "SessionPool.spec.mcpServerSettings.isMCPServerAPIKeyDisabled",
        "SessionPool.spec.mcpServerSettings.isMcpServerAPIKeyDisabled",
        "SessionPool.spec.mcPServerSettings",
        "SessionPool.spec.MCPServerSettings",
        "SessionPool.spec.managedEnvironmentId",
        "ManagedIdentity.spec.federatedIdentityCredentials",
        "ManagedIdentity.spec.federatedCredentials[].audience",
        "RoleAssignment.spec.principalType",
        "RoleAssignment.spec.condition",
        "RoleAssignment.spec.conditionVersion",
        "AzureAccount.spec.credential.hostIdentity.clientID",
        "CommandJob.spec.timeoutInSeconds",
    ] {
        assert!(tried.iter().any(|it| it == known), "{known} is not in {tried:?}");
    }
}
