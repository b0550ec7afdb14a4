//! Faults, as a client meets them.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{RESOURCES, Wire, answer};

async fn arm(wire: &Wire, fault: Value) {
    wire.control(Method::POST, "faults", Some(fault)).await.expect(201);
}

fn text(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl Wire {
    async fn put_group(&self, name: &str) -> Result<reqwest::Response, reqwest::Error> {
        let url = format!("{}{}?api-version={RESOURCES}", self.root(), self.group(name));
        self.client
            .put(url)
            .bearer_auth(&self.token)
            .json(&json!({ "location": "westeurope" }))
            .send()
            .await
    }
}

#[tokio::test]
async fn a_status_replaces_the_answer_as_often_as_it_says() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({
            "match": { "method": "put", "path": "resourcegroups/rg\\?" },
            "times": 2,
            "action": { "status": 429, "headers": { "Retry-After": 7 }, "body": { "error": { "code": "Busy" } } },
        }),
    )
    .await;
    wire.put_group("other").await.unwrap().error_for_status().unwrap();
    for _ in 0..2 {
        let refused = answer(wire.put_group("rg").await.unwrap()).await;
        assert_eq!(refused.header("retry-after"), Some("7"));
        refused.expect_error(429, "Busy");
    }
    assert_eq!(
        wire.put_group("rg").await.unwrap().status(),
        201,
        "the refused ones were not carried out"
    );
}

#[tokio::test]
async fn html_instead_of_json() {
    let wire = Wire::start().await;
    let action =
        json!({ "status": 502, "headers": { "content-type": "text/html" }, "body": "<html>Bad Gateway</html>" });
    arm(&wire, json!({ "action": action })).await;
    let answer = wire.get(&wire.subscription(), "2022-12-01").await.expect(502);
    assert_eq!(answer.body, json!("<html>Bad Gateway</html>"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
}

#[tokio::test]
async fn a_reset_connection_carried_nothing_out() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({ "match": { "method": "PUT" }, "action": { "reset": true } }),
    )
    .await;
    let error = wire.put_group("rg").await.unwrap_err();
    assert!(text(&error).to_lowercase().contains("reset"), "{}", text(&error));
    wire.get(&wire.group("rg"), RESOURCES).await.expect(404);
    let journal = wire.control(Method::GET, "requests", None).await.body;
    let put = journal
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["method"] == "PUT")
        .unwrap()
        .clone();
    assert_eq!(put["fault"], 1);
    assert!(put.get("status").is_none());
}

#[tokio::test]
async fn a_dropped_response_was_carried_out() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({ "match": { "method": "PUT" }, "action": { "dropResponse": true } }),
    )
    .await;
    wire.put_group("rg").await.unwrap_err();
    wire.get(&wire.group("rg"), RESOURCES).await.expect(200);
}

#[tokio::test]
async fn a_truncated_answer_breaks_in_the_middle_of_its_body() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({ "match": { "method": "PUT" }, "action": { "truncateBytes": 10 } }),
    )
    .await;
    let mut response = wire.put_group("rg").await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.content_length().unwrap() > 10);
    let mut seen = Vec::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            Ok(None) => panic!("the body ended as if it were whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(seen.len(), 10, "{}", text(&error));
}

#[tokio::test]
async fn a_delay_holds_the_answer_back() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({ "match": { "method": "PUT" }, "action": { "delayMilliseconds": 300 } }),
    )
    .await;
    let started = Instant::now();
    assert_eq!(wire.put_group("rg").await.unwrap().status(), 201);
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "a delay is never shorter than asked for"
    );
}

#[tokio::test]
async fn what_is_delayed_goes_on_when_the_faults_are_cleared() {
    let wire = Wire::start().await;
    arm(
        &wire,
        json!({ "match": { "method": "PUT" }, "action": { "delayMilliseconds": 3_600_000 } }),
    )
    .await;
    let cleared = async {
        while wire.control(Method::GET, "faults", None).await.expect(200).body[0]["times"] != 0 {
            tokio::task::yield_now().await;
        }
        wire.control(Method::DELETE, "faults", None).await.expect(204);
    };
    let (answer, ()) = tokio::join!(wire.put_group("rg"), cleared);
    assert_eq!(answer.unwrap().status(), 201);
}

#[tokio::test]
async fn the_authority_has_faults_too_and_the_control_api_none() {
    let wire = Wire::start().await;
    arm(&wire, json!({ "times": 5, "action": { "status": 503 } })).await;
    let ready = wire.emulator.ready();
    wire.ask_token(&ready.client_id, &ready.client_secret, "https://management.azure.com")
        .await
        .expect(503);
    assert_eq!(
        wire.control(Method::GET, "faults", None).await.expect(200).body[0]["times"],
        4
    );
    wire.control(Method::DELETE, "faults", None).await.expect(204);
    wire.get(&wire.subscription(), "2022-12-01").await.expect(200);
}

#[tokio::test]
async fn faults_that_mean_nothing_are_refused() {
    let wire = Wire::start().await;
    for fault in [
        json!({ "action": {} }),
        json!({ "action": { "status": 99 } }),
        json!({ "action": { "status": 500, "reset": true } }),
        json!({ "match": { "path": "(" }, "action": { "reset": true } }),
        json!({ "match": { "verb": "GET" }, "action": { "reset": true } }),
    ] {
        wire.control(Method::POST, "faults", Some(fault)).await.expect(400);
    }
}
