//! What all of ARM has in common: API versions, headers, throttling, authorization.

use reqwest::Method;
use serde_json::json;

use crate::wire::{POOLS, RESOURCES, Wire, answer, shell_pool};

#[tokio::test]
async fn the_api_version_is_required_and_checked_by_type() {
    let wire = Wire::start().await.with_group("rg").await;
    let url = format!("{}{}", wire.root(), wire.group("rg"));
    let request = wire.client.get(url).bearer_auth(&wire.token);
    answer(request.send().await.unwrap())
        .await
        .expect_error(400, "MissingApiVersionParameter");
    wire.get(&wire.group("rg"), "1999-01-01")
        .await
        .expect_error(400, "InvalidApiVersionParameter");
    wire.get(&wire.pool("rg", "pool"), "yesterday")
        .await
        .expect_error(400, "InvalidApiVersionParameter");
    wire.get(&wire.pool("rg", "pool"), RESOURCES)
        .await
        .expect_error(400, "NoRegisteredProviderFound");
    let path = format!("{}/providers/Microsoft.App/nothings/x", wire.group("rg"));
    wire.get(&path, POOLS).await.expect_error(404, "InvalidResourceType");
    let path = format!("{}/providers/Microsoft.Nothing/things/x", wire.group("rg"));
    wire.get(&path, POOLS)
        .await
        .expect_error(404, "InvalidResourceNamespace");
    wire.arm(Method::POST, &wire.group("rg"), RESOURCES, None)
        .await
        .expect_error(405, "HttpMethodNotSupported");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_arm() {
    let wire = Wire::start().await.with_group("rg").await;
    let put = wire
        .put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    for name in [
        "x-ms-request-id",
        "x-ms-correlation-request-id",
        "x-ms-routing-request-id",
        "strict-transport-security",
    ] {
        assert!(put.header(name).is_some(), "{name}");
    }
    assert_eq!(put.header("cache-control"), Some("no-cache"));
    assert_eq!(put.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(put.header("x-powered-by"), Some("ASP.NET"));
    assert!(put.header("api-supported-versions").unwrap().contains("2025-07-01"));
    assert_eq!(
        put.header("x-ms-ratelimit-remaining-subscription-resource-requests"),
        Some("399")
    );
    let delete = wire.delete(&wire.pool("rg", "pool"), POOLS).await.expect(204);
    assert_eq!(
        delete.header("x-ms-ratelimit-remaining-subscription-deletes"),
        Some("199")
    );
    assert_eq!(
        delete.header("x-ms-ratelimit-remaining-subscription-global-deletes"),
        Some("2999")
    );
    let refused = wire.get(&wire.group("none"), RESOURCES).await.expect(404);
    assert_eq!(refused.header("x-ms-failure-cause"), Some("gateway"));
    let tenant = wire.get("/tenants", "2022-12-01").await.expect(200);
    assert!(tenant.header("x-ms-ratelimit-remaining-tenant-reads").is_some());
}

#[tokio::test]
async fn the_client_request_id_comes_back_when_asked_for() {
    let wire = Wire::start().await;
    let get = || {
        let url = format!("{}{}?api-version=2022-12-01", wire.root(), wire.subscription());
        wire.client
            .get(url)
            .bearer_auth(&wire.token)
            .header("x-ms-client-request-id", "mine")
    };
    assert_eq!(
        answer(get().send().await.unwrap())
            .await
            .header("x-ms-client-request-id"),
        None
    );
    let asked = get().header("x-ms-return-client-request-id", "true");
    assert_eq!(
        answer(asked.send().await.unwrap())
            .await
            .header("x-ms-client-request-id"),
        Some("mine")
    );
}

#[tokio::test]
async fn an_empty_bucket_answers_429_until_it_has_refilled() {
    let switches = json!({ "arm": { "reads": { "size": 3, "refillPerSecond": 0.1 } } });
    let wire = Wire::with(switches).await;
    for left in ["2", "1", "0"] {
        let answer = wire.get(&wire.subscription(), "2022-12-01").await.expect(200);
        assert_eq!(answer.header("x-ms-ratelimit-remaining-subscription-reads"), Some(left));
    }
    let refused = wire.get(&wire.subscription(), "2022-12-01").await;
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds));
    refused.expect_error(429, "SubscriptionRequestsThrottled");
    let (_, other) = wire
        .application(&[(&wire.subscription(), "acdd72a7-3385-48ef-bd42-f606fba81ae7")])
        .await;
    wire.arm_as(&other, Method::GET, &wire.subscription(), "2022-12-01", None)
        .await
        .expect(200);
    wire.put(&wire.group("rg"), RESOURCES, json!({ "location": "westeurope" }))
        .await
        .expect(201);
    wire.advance(10).await;
    wire.get(&wire.subscription(), "2022-12-01").await.expect(200);
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let wire = Wire::start().await;
    let url = format!("{}{}?api-version={RESOURCES}", wire.root(), wire.group("rg"));
    let put = |body: &'static str, kind: &'static str| {
        let request = wire
            .client
            .put(&url)
            .bearer_auth(&wire.token)
            .header("content-type", kind)
            .body(body);
        async move { answer(request.send().await.unwrap()).await }
    };
    put("{", "application/json")
        .await
        .expect_error(400, "InvalidRequestContent");
    put("[]", "application/json")
        .await
        .expect_error(400, "InvalidRequestContent");
    put("{}", "text/plain").await.expect_error(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn a_role_allows_what_its_actions_say_at_its_scope() {
    let wire = Wire::start().await.with_group("rg").await.with_group("other").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    let (_, contributor) = wire
        .application(&[(&wire.group("rg"), "b24988ac-6180-42a0-ab88-20f7382dd24c")])
        .await;
    let (_, reader) = wire
        .application(&[(&wire.subscription(), "acdd72a7-3385-48ef-bd42-f606fba81ae7")])
        .await;
    let (_, pools) = wire
        .application(&[(&wire.group("rg"), "f7669afb-68b2-44b4-9c5f-6d2a47fddda0")])
        .await;
    let (_, executor) = wire
        .application(&[(&wire.subscription(), "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0")])
        .await;
    let pool = wire.pool("rg", "pool");
    let put = |token: String, path: String| {
        let wire = &wire;
        async move { wire.arm_as(&token, Method::PUT, &path, POOLS, Some(shell_pool())).await }
    };
    put(contributor.clone(), pool.clone()).await.expect(200);
    put(pools.clone(), pool.clone()).await.expect(200);
    put(contributor.clone(), wire.pool("other", "pool"))
        .await
        .expect_error(403, "AuthorizationFailed");
    put(reader.clone(), pool.clone())
        .await
        .expect_error(403, "AuthorizationFailed");
    wire.arm_as(&reader, Method::GET, &pool, POOLS, None).await.expect(200);
    wire.arm_as(&executor, Method::GET, &pool, POOLS, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let path = wire.group("rg");
    wire.arm_as(&pools, Method::DELETE, &path, RESOURCES, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let assignment = format!(
        "{path}/providers/Microsoft.Authorization/roleAssignments/{}",
        uuid::Uuid::new_v4()
    );
    let body = Some(json!({ "properties": {} }));
    wire.arm_as(&contributor, Method::PUT, &assignment, "2022-04-01", body)
        .await
        .expect_error(403, "AuthorizationFailed");
}
