//! The control API, and what survives a restart.

use azure_emulator::{Emulator, Isolation, Options};
use reqwest::Method;
use serde_json::json;

use crate::wire::{IDENTITIES, POOLS, RESOURCES, Wire, answer, client, shell_pool};

#[tokio::test]
async fn switches_are_merged_shown_and_put_back_by_null() {
    let wire = Wire::start().await;
    let live = wire.control(Method::GET, "behaviour", None).await.expect(200).body;
    assert_eq!(live["roles"]["propagationSeconds"], 60.0);
    let change = json!({ "roles": { "propagationSeconds": 1 } });
    let merged = wire
        .control(Method::PUT, "behaviour", Some(change))
        .await
        .expect(200)
        .body;
    assert_eq!(merged["roles"]["propagationSeconds"], 1.0);
    assert_eq!(merged["arm"], live["arm"]);
    let change = json!({ "roles": { "propagationSeconds": null } });
    let merged = wire
        .control(Method::PUT, "behaviour", Some(change))
        .await
        .expect(200)
        .body;
    assert_eq!(merged, live);
    let misspelt = json!({ "arm": { "operationSecond": 1 } });
    let refused = wire.control(Method::PUT, "behaviour", Some(misspelt)).await.expect(400);
    assert!(refused.body.to_string().contains("operationSecond"));
}

#[tokio::test]
async fn requests_are_journalled_with_their_principal_and_without_secrets() {
    let wire = Wire::start().await.with_group("rg").await;
    let journal = wire.control(Method::GET, "requests", None).await.expect(200).body;
    let put = journal.as_array().unwrap().last().unwrap();
    assert_eq!(put["method"], "PUT");
    assert_eq!(put["path"], wire.group("rg"));
    assert_eq!(put["query"], format!("api-version={RESOURCES}"));
    assert_eq!(put["status"], 201);
    assert_eq!(put["body"], json!({ "location": "westeurope" }));
    assert!(uuid::Uuid::parse_str(put["principal"].as_str().unwrap()).is_ok());
    assert!(!journal.to_string().contains(&wire.emulator.ready().client_secret));
    wire.control(Method::DELETE, "requests", None).await.expect(204);
    assert_eq!(wire.control(Method::GET, "requests", None).await.body, json!([]));
}

#[tokio::test]
async fn the_clock_never_goes_back() {
    let wire = Wire::start().await;
    let body = json!({ "advanceSeconds": -1 });
    wire.control(Method::POST, "clock", Some(body)).await.expect(400);
    let before = wire.control(Method::GET, "clock", None).await.expect(200).body["offsetSeconds"]
        .as_f64()
        .unwrap();
    wire.advance(90).await;
    let after = wire.control(Method::GET, "clock", None).await.expect(200).body["offsetSeconds"]
        .as_f64()
        .unwrap();
    assert!((after - before - 90.0).abs() < 0.001);
}

#[tokio::test]
async fn an_application_that_is_registered_again_keeps_its_object_id() {
    let wire = Wire::start().await;
    let body = json!({ "clientId": "11111111-0000-4000-8000-000000000000", "clientSecret": "one" });
    let first = wire
        .control(Method::POST, "applications", Some(body.clone()))
        .await
        .expect(201)
        .body;
    let second = wire
        .control(Method::POST, "applications", Some(body))
        .await
        .expect(201)
        .body;
    assert_eq!(first, second);
    let body = json!({ "roleAssignments": [{ "scope": "/", "roleDefinitionId": "nothing" }] });
    wire.control(Method::POST, "applications", Some(body)).await.expect(400);
}

#[tokio::test]
async fn state_survives_a_restart_on_the_same_data_directory() {
    let wire = Wire::with_own_key().await.with_group("rg").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    let identity = wire.with_identity("rg", "one").await;
    wire.advance(1000).await;
    let (token, path, ca) = (
        wire.token.clone(),
        wire.pool("rg", "pool"),
        wire.emulator.ready().ca.clone(),
    );
    let certificate = std::fs::read(&ca).unwrap();
    let Wire { emulator, data_dir, .. } = wire;
    emulator.stop().await;

    let options = Options {
        behaviour: json!({ "arm": { "providersRegistered": true } }),
        isolation: Isolation::None,
        ..Options::new(data_dir.path())
    };
    let emulator = Emulator::start(options).await.unwrap();
    assert_eq!(std::fs::read(&ca).unwrap(), certificate, "clients go on trusting it");
    let url = format!("{}{path}?api-version={POOLS}", emulator.ready().arm);
    let response = client(&ca).get(url).bearer_auth(&token).send().await.unwrap();
    let pool = answer(response).await.expect(200).body;
    let endpoint = pool["properties"]["poolManagementEndpoint"].as_str().unwrap();
    assert!(endpoint.starts_with(&emulator.ready().arm));
    let url = format!(
        "{}{}?api-version={IDENTITIES}",
        emulator.ready().arm,
        identity["id"].as_str().unwrap()
    );
    let response = client(&ca).get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(
        answer(response).await.expect(200).body,
        identity,
        "with the same principal"
    );
    assert!(emulator.state().clock().offset().as_secs() >= 1000);
    emulator.stop().await;
}
