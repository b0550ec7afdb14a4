//! Long-running operations of session pools.

use reqwest::Method;
use serde_json::json;

use crate::wire::{POOLS, Wire, custom_pool};
use crate::workloads::APPS;

#[tokio::test]
async fn a_custom_pool_is_created_and_deleted_asynchronously() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.pool("rg", "pool");
    let put = wire
        .put(&path, POOLS, custom_pool(&wire.subscription()))
        .await
        .expect(201);
    assert_eq!(put.body["properties"]["provisioningState"], "InProgress");
    assert!(put.header("retry-after").is_none());
    let status = put.header("azure-asyncoperation").unwrap().to_owned();
    assert_eq!(wire.follow(&status).await.expect(200).body["status"], "InProgress");
    wire.put(&path, POOLS, custom_pool(&wire.subscription()))
        .await
        .expect_error(409, "OperationInProgress");
    wire.advance(31).await;
    assert_eq!(wire.follow(&status).await.expect(200).body["status"], "Succeeded");
    let get = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(get["properties"]["provisioningState"], "Succeeded");
    assert_eq!(get["properties"]["nodeCount"], 2);
    assert!(
        get["properties"]["poolManagementEndpoint"]
            .as_str()
            .unwrap()
            .ends_with(".northcentralus.azurecontainerapps.io")
    );

    let change = json!({ "properties": { "scaleConfiguration": { "maxConcurrentSessions": 20 } } });
    let patch = wire.patch(&path, POOLS, change).await.expect(202);
    assert!(patch.header("location").is_some() && patch.header("azure-asyncoperation").is_some());
    let result = patch.header("location").unwrap().to_owned();
    wire.advance(31).await;
    assert_eq!(wire.follow(&result).await.expect(200).body["name"], "pool");

    let deletion = wire.delete(&path, POOLS).await.expect(202);
    assert_eq!(deletion.body, json!(""));
    assert!(deletion.header("retry-after").is_none());
    let mut location = deletion.header("location").unwrap().to_owned();
    assert!((3000..4200).contains(&location.len()), "{}", location.len());
    assert_eq!(
        wire.get(&path, POOLS).await.body["properties"]["provisioningState"],
        "Deleting"
    );
    let poll = wire.follow(&location).await.expect(202);
    assert_ne!(poll.header("location").unwrap(), location);
    poll.header("location").unwrap().clone_into(&mut location);
    wire.advance(31).await;
    wire.follow(&location).await.expect(204);
    wire.get(&path, POOLS).await.expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn an_operation_can_be_made_to_fail() {
    let switches =
        json!({ "arm": { "providersRegistered": true, "poolOutcome": "Failed", "retryAfterOnPools": true } });
    let wire = Wire::with(switches).await.with_environment().await;
    let path = wire.pool("rg", "pool");
    let put = wire
        .put(&path, POOLS, custom_pool(&wire.subscription()))
        .await
        .expect(201);
    assert_eq!(put.header("retry-after"), Some("15"));
    wire.advance(31).await;
    let status = wire
        .follow(put.header("azure-asyncoperation").unwrap())
        .await
        .expect(200)
        .body;
    assert_eq!(status["status"], "Failed");
    assert!(status["error"]["code"].is_string());
    assert_eq!(
        wire.get(&path, POOLS).await.body["properties"]["provisioningState"],
        "Failed"
    );
}

#[tokio::test]
async fn a_custom_pool_needs_an_environment_that_is_ready_and_that_the_caller_may_join() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let pool = custom_pool(&wire.subscription());
    wire.put(&path, POOLS, pool.clone())
        .await
        .expect_error(404, "ManagedEnvironmentNotFound");
    let environment = wire.environment("env");
    let empty = json!({ "location": "westeurope", "properties": {} });
    wire.put(&environment, APPS, empty).await.expect(201);
    wire.put(&path, POOLS, pool.clone())
        .await
        .expect_error(400, "ManagedEnvironmentNotReadyForAppCreation");
    wire.advance(31).await;
    // Container Apps SessionPools Contributor, on the pool only.
    let (_, token) = wire
        .application(&[(&path, "f7669afb-68b2-44b4-9c5f-6d2a47fddda0")])
        .await;
    wire.arm_as(&token, Method::PUT, &path, POOLS, Some(pool.clone()))
        .await
        .expect_error(403, "LinkedAuthorizationFailed");
    wire.put(&path, POOLS, pool).await.expect(201);
    wire.delete(&environment, APPS)
        .await
        .expect_error(409, "ManagedEnvironmentNotEmpty");
}
