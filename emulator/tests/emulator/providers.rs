//! Resource providers and their registration; subscriptions and tenants.

use reqwest::Method;
use serde_json::json;

use crate::wire::{POOLS, RESOURCES, Wire, answer, shell_pool};

fn state(body: &serde_json::Value) -> &str {
    body["registrationState"].as_str().unwrap()
}

#[tokio::test]
async fn a_namespace_has_to_be_registered_before_it_is_used() {
    let wire = Wire::with(json!({})).await.with_group("rg").await;
    let refused = wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool()).await;
    let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("'Microsoft.App'"),
        "SDKs read the namespace out of the message: {message}"
    );
    refused.expect_error(409, "MissingSubscriptionRegistration");

    let provider = format!("{}/providers/microsoft.app", wire.subscription());
    assert_eq!(
        state(&wire.get(&provider, RESOURCES).await.expect(200).body),
        "NotRegistered"
    );
    let path = format!("{provider}/register");
    let registering = wire.arm(Method::POST, &path, "2016-02-01", None).await.expect(200);
    assert_eq!(state(&registering.body), "Registering");
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
    wire.advance(31).await;
    assert_eq!(
        state(&wire.get(&provider, RESOURCES).await.expect(200).body),
        "Registered"
    );
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);

    let path = format!("{provider}/unregister");
    let going = wire.arm(Method::POST, &path, RESOURCES, None).await.expect(200);
    assert_eq!(state(&going.body), "Unregistering");
    wire.advance(31).await;
    wire.get(&wire.pool("rg", "pool"), POOLS)
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
}

#[tokio::test]
async fn the_same_client_request_id_gets_the_same_409_again() {
    let wire = Wire::with(json!({ "arm": { "registrationSeconds": 0 } }))
        .await
        .with_group("rg")
        .await;
    let put = |id: &'static str| {
        let url = format!("{}{}?api-version={POOLS}", wire.root(), wire.pool("rg", "pool"));
        let request = wire
            .client
            .put(url)
            .bearer_auth(&wire.token)
            .header("x-ms-client-request-id", id);
        let request = request.json(&shell_pool());
        async move { answer(request.send().await.unwrap()).await }
    };
    put("one").await.expect_error(409, "MissingSubscriptionRegistration");
    let path = format!("{}/providers/Microsoft.App/register", wire.subscription());
    wire.arm(Method::POST, &path, RESOURCES, None).await.expect(200);
    put("one").await.expect_error(409, "MissingSubscriptionRegistration");
    put("two").await.expect(200);
}

#[tokio::test]
async fn a_provider_lists_types_with_their_versions_and_locations() {
    let wire = Wire::start().await;
    let path = format!("{}/providers/Microsoft.App", wire.subscription());
    let provider = wire.get(&path, "2024-11-01").await.expect(200).body;
    let types = provider["resourceTypes"].as_array().unwrap();
    let pools = types.iter().find(|one| one["resourceType"] == "sessionPools").unwrap();
    for version in [
        "2024-10-02-preview",
        "2025-02-02-preview",
        "2025-07-01",
        "2025-10-02-preview",
    ] {
        assert!(pools["apiVersions"].as_array().unwrap().contains(&json!(version)));
    }
    assert!(
        pools["locations"]
            .as_array()
            .unwrap()
            .contains(&json!("North Central US"))
    );
    let path = format!("{}/providers/Microsoft.Nothing", wire.subscription());
    wire.get(&path, RESOURCES)
        .await
        .expect_error(404, "InvalidResourceNamespace");
    let list = wire
        .get(&format!("{}/providers", wire.subscription()), RESOURCES)
        .await
        .expect(200)
        .body;
    assert!(
        list["value"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["namespace"] == "Microsoft.Resources")
    );
}

#[tokio::test]
async fn a_login_finds_its_subscriptions_and_its_tenant() {
    let wire = Wire::start().await;
    let ready = wire.emulator.ready();
    let subscriptions = wire.get("/subscriptions", "2022-12-01").await.expect(200).body;
    assert_eq!(
        subscriptions["value"][0]["subscriptionId"],
        json!(ready.subscription_id)
    );
    assert_eq!(subscriptions["value"][0]["tenantId"], json!(ready.tenant_id));
    assert_eq!(subscriptions["value"][0]["state"], "Enabled");
    let tenants = wire.get("/tenants", "2022-12-01").await.expect(200).body;
    assert_eq!(tenants["value"][0]["tenantId"], json!(ready.tenant_id));
    let path = "/subscriptions/00000000-0000-4000-8000-000000000000";
    wire.get(path, "2022-12-01")
        .await
        .expect_error(404, "SubscriptionNotFound");
    wire.get("/subscriptions/mine", "2022-12-01")
        .await
        .expect_error(400, "InvalidSubscriptionId");
    let (_, stranger) = wire.application(&[]).await;
    let none = wire
        .arm_as(&stranger, Method::GET, "/subscriptions", "2022-12-01", None)
        .await
        .expect(200)
        .body;
    assert_eq!(none, json!({ "value": [] }));
}

#[tokio::test]
async fn the_cloud_is_described_for_az_without_a_token() {
    let wire = Wire::start().await;
    let url = format!("{}/metadata/endpoints?api-version=2022-09-01", wire.root());
    let cloud = answer(wire.client.get(url).send().await.unwrap())
        .await
        .expect(200)
        .body;
    assert_eq!(cloud["authentication"]["loginEndpoint"], json!(wire.root()));
    assert!(cloud["authentication"]["audiences"].as_array().unwrap().len() > 1);
    assert!(cloud["suffixes"].is_object());
}
