//! Secrets of container apps: what shows them, and what names them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::container_apps::with_secret;
use crate::wire::Wire;
use crate::workloads::{APPS, system_assigned, user_assigned};

#[tokio::test]
async fn only_list_secrets_shows_values() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.app("app");
    let put = wire.put(&path, APPS, with_secret(&wire)).await.expect(201).body;
    let get = wire.get(&path, APPS).await.expect(200).body;
    let patched = wire.patch(&path, APPS, json!({ "tags": {} })).await.expect(200).body;
    let list = format!("{}/providers/Microsoft.App/containerApps", wire.group("rg"));
    let listed = wire.get(&list, APPS).await.expect(200).body["value"][0].take();
    for shown in [put, get, patched, listed] {
        assert_eq!(
            shown["properties"]["configuration"]["secrets"],
            json!([{ "name": "pull" }])
        );
        assert!(!shown.to_string().contains("canary"));
    }
    let secrets = wire
        .arm(Method::POST, &format!("{path}/listSecrets"), APPS, None)
        .await
        .expect(200)
        .body;
    assert_eq!(secrets, json!({ "value": [{ "name": "pull", "value": "canary" }] }));
    let (_, reader) = wire
        .application(&[(&wire.subscription(), "acdd72a7-3385-48ef-bd42-f606fba81ae7")])
        .await;
    wire.arm_as(&reader, Method::POST, &format!("{path}/listSecrets"), APPS, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let journal = wire.control(Method::GET, "requests", None).await.body.to_string();
    assert!(!journal.contains("canary"));
}

#[tokio::test]
async fn a_put_built_from_a_get_is_refused_until_it_has_the_values_of_list_secrets() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.app("app");
    wire.put(&path, APPS, with_secret(&wire)).await.expect(201);
    let mut body = wire.get(&path, APPS).await.expect(200).body;
    let refused = wire.put(&path, APPS, body.clone()).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("'pull'"));
    refused.expect_error(400, "ContainerAppSecretInvalid");

    let secrets = wire
        .arm(Method::POST, &format!("{path}/listSecrets"), APPS, None)
        .await
        .body;
    body["properties"]["configuration"]["secrets"] = secrets["value"].clone();
    wire.put(&path, APPS, body.clone()).await.expect(201);

    body["properties"]["configuration"]["secrets"] = Value::Null;
    wire.put(&path, APPS, body)
        .await
        .expect_error(400, "ContainerAppSecretRefNotFound");
}

#[tokio::test]
async fn what_names_an_identity_or_a_secret_needs_it() {
    let wire = Wire::instant().await.with_environment().await;
    wire.with_identity("rg", "one").await;
    let one = wire.identity("rg", "one");
    let path = wire.app("app");
    let put = |configuration: Value, identity: Value| {
        let mut body = wire.app_body(&identity);
        body["properties"]["configuration"] = configuration;
        let (wire, path) = (&wire, &path);
        async move { wire.put(path, APPS, body).await }
    };
    let users = [
        json!({ "registries": [{ "server": "r.example", "identity": one }] }),
        json!({ "secrets": [{ "name": "s", "keyVaultUrl": "https://v.vault.azure.net/secrets/s", "identity": one }] }),
        json!({ "identitySettings": [{ "identity": one.to_uppercase(), "lifecycle": "None" }] }),
    ];
    for configuration in users {
        for identity in [Value::Null, system_assigned()] {
            put(configuration.clone(), identity)
                .await
                .expect_error(400, "InvalidParameterValueInContainerTemplate");
        }
        let put = put(configuration, user_assigned(&[&one])).await;
        assert!(put.status.is_success(), "{:?}", put.body);
        // It cannot be taken away while something names it.
        wire.patch(&path, APPS, json!({ "identity": { "type": "None" } }))
            .await
            .expect_error(400, "InvalidParameterValueInContainerTemplate");
    }
    let system = json!({ "identitySettings": [{ "identity": "system", "lifecycle": "Init" }] });
    put(system.clone(), user_assigned(&[&one]))
        .await
        .expect_error(400, "InvalidParameterValueInContainerTemplate");
    put(system, system_assigned()).await.expect(201);
    for (configuration, code) in [
        (
            json!({ "registries": [{ "server": "r.example", "username": "u", "passwordSecretRef": "gone" }] }),
            "ContainerAppSecretRefNotFound",
        ),
        (json!({ "secrets": [{ "name": "s" }] }), "ContainerAppSecretInvalid"),
        (
            json!({ "secrets": [{ "name": "Not Allowed", "value": "v" }] }),
            "InvalidParameterValueInContainerTemplate",
        ),
        (
            json!({ "identitySettings": [{ "identity": "system", "lifecycle": "Sometimes" }] }),
            "InvalidParameterValueInContainerTemplate",
        ),
    ] {
        put(configuration, system_assigned()).await.expect_error(400, code);
    }
}

#[tokio::test]
async fn members_of_a_secret_that_the_azure_cli_leaves_empty_are_not_there() {
    let wire = Wire::instant().await.with_environment().await;
    let mut body = wire.app_body(&Value::Null);
    body["properties"]["configuration"] =
        json!({ "secrets": [{ "name": "a", "value": "b", "keyVaultUrl": "", "identity": "" }] });
    wire.put(&wire.app("app"), APPS, body).await.expect(201);
}
