//! Who may call, and what every request must have.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::endpoint::{Azure, Pool, VERSION, send, token};

const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// An application without roles: object id and a token for sessions.
async fn application(azure: &Azure) -> (String, String) {
    let made = send(
        azure
            .client
            .post(format!("{}/_emulator/applications", azure.root()))
            .json(&json!({})),
    )
    .await
    .body;
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    let ready = azure.emulator.ready();
    let (id, secret) = (text("clientId"), text("clientSecret"));
    let token = token(
        &azure.client,
        &ready.authority,
        &ready.tenant_id,
        &id,
        &secret,
        "https://dynamicsessions.io",
    )
    .await;
    (text("objectId"), token)
}

async fn assign(azure: &Azure, pool: &Pool<'_>, role: &str, principal: &str) {
    let subscription = &azure.emulator.ready().subscription_id;
    let id = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        pool.id,
        uuid::Uuid::new_v4()
    );
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    }});
    let made = azure.arm(Method::PUT, &id, "2022-04-01", Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
}

async fn list_as(pool: &Pool<'_>, token: &str) -> crate::endpoint::Answer {
    let url = format!("{}/listSessions?api-version={VERSION}", pool.endpoint);
    send(pool.azure.client.get(url).bearer_auth(token)).await
}

#[tokio::test]
async fn a_request_without_a_token_for_sessions_is_refused() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let url = format!("{}/listSessions?api-version={VERSION}", pool.endpoint);
    let none = send(azure.client.get(&url)).await;
    assert_eq!((none.status, none.code()), (StatusCode::UNAUTHORIZED, "Unauthorized"));
    let wrong = list_as(&pool, &azure.arm_token).await;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "Unauthorized"));
    assert_eq!(list_as(&pool, &azure.token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_executor_s_role_lets_a_principal_in_once_it_has_spread() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    azure.switch(json!({ "roles": { "propagationSeconds": 60 } })).await;
    let (principal, token) = application(&azure).await;
    let before = list_as(&pool, &token).await;
    assert_eq!((before.status, before.code()), (StatusCode::FORBIDDEN, "Forbidden"));
    assign(&azure, &pool, EXECUTOR, &principal).await;
    assert_eq!(list_as(&pool, &token).await.status, StatusCode::FORBIDDEN);
    azure
        .switch(json!({ "sessions": { "missingRole": "Unauthorized" } }))
        .await;
    assert_eq!(list_as(&pool, &token).await.status, StatusCode::UNAUTHORIZED);
    azure.advance(61).await;
    assert_eq!(list_as(&pool, &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_contributor_manages_pools_and_may_not_run_anything_in_them() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let (principal, token) = application(&azure).await;
    assign(&azure, &pool, CONTRIBUTOR, &principal).await;
    assert_eq!(list_as(&pool, &token).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_unknown_pool_and_one_of_another_region_are_not_found() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    for endpoint in [
        pool.endpoint.replace("/sessionPools/shell", "/sessionPools/other"),
        pool.endpoint.replace("/westeurope.", "/northeurope."),
    ] {
        let other = Pool {
            azure: &azure,
            id: String::new(),
            endpoint,
        };
        let answer = other.post("session-1", json!({ "shellCommand": "true" })).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::NOT_FOUND, "NotFound"),
            "{}",
            other.endpoint
        );
    }
}

#[tokio::test]
async fn a_path_is_taken_whatever_its_case_and_with_doubled_slashes() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let endpoint = format!(
        "{}/",
        pool.endpoint
            .replace("resourceGroups", "resourcegroups")
            .replace("sessionPools", "sessionpools")
    );
    let odd = Pool {
        azure: &azure,
        id: String::new(),
        endpoint,
    };
    assert_eq!(odd.shell("session-1", "echo hi").await, "hi\n");
}

#[tokio::test]
async fn version_and_identifier_are_required() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let url = format!("{}/executions", pool.endpoint);
    let ask = async |query: &[(&str, &str)]| {
        let request = azure.client.post(&url).query(query).bearer_auth(&azure.token);
        let answer = send(request.json(&json!({ "shellCommand": "true" }))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        answer.code().to_owned()
    };
    assert_eq!(ask(&[("identifier", "abcd")]).await, "MissingApiVersionParameter");
    assert_eq!(
        ask(&[("api-version", "1"), ("identifier", "abcd")]).await,
        "UnsupportedApiVersion"
    );
    assert_eq!(ask(&[("api-version", VERSION)]).await, "MissingIdentifier");
    assert_eq!(
        ask(&[("api-version", VERSION), ("identifier", "abc")]).await,
        "InvalidIdentifier"
    );
    let odd = "a|&^%$#(){}[];<>b";
    assert_eq!(pool.shell(odd, "echo hi").await, "hi\n");
    assert_eq!(pool.get("session", odd).await.body["identifier"], odd);
}

#[tokio::test]
async fn the_regional_host_does_not_serve_custom_containers() {
    let azure = Azure::start(json!({})).await;
    azure.shell_pool().await;
    let subscription = &azure.emulator.ready().subscription_id;
    let group = format!("/subscriptions/{subscription}/resourceGroups/rg");
    let environment = format!("{group}/providers/Microsoft.App/managedEnvironments/e");
    let empty = json!({ "location": "westeurope", "properties": {} });
    let made = azure.arm(Method::PUT, &environment, "2025-07-01", Some(empty)).await;
    assert!(made.status.is_success(), "{made:?}");
    azure.advance(120).await;
    let body = json!({ "location": "westeurope", "properties": {
        "environmentId": environment,
        "poolManagementType": "Dynamic",
        "containerType": "CustomContainer",
        "scaleConfiguration": { "maxConcurrentSessions": 3, "readySessionInstances": 1 },
        "dynamicPoolConfiguration": { "lifecycleConfiguration": { "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300 } },
        "customContainerTemplate": {
            "containers": [{ "name": "c", "image": "example.azurecr.io/c:1", "resources": { "cpu": 0.5, "memory": "1Gi" } }],
            "ingress": { "targetPort": 80 },
        },
    }});
    let id = format!("{group}/providers/Microsoft.App/sessionPools/custom");
    let made = azure.arm(Method::PUT, &id, "2025-07-01", Some(body)).await;
    assert!(made.status.is_success(), "{made:?}");
    azure.advance(120).await;
    let endpoint = format!(
        "{}/westeurope.dynamicsessions.io{group}/sessionPools/custom",
        azure.root()
    );
    let pool = Pool {
        azure: &azure,
        id,
        endpoint,
    };
    let answer = pool.post("session-1", json!({ "shellCommand": "true" })).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "DynamicApisNotAllowed")
    );
}
