//! Status endpoints of asynchronous operations.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::wire::{Answer, RESOURCES, Wire, answer};
use crate::workloads::{APPS, GROUPS, group_body};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

async fn follow_as(wire: &Wire, token: &str, url: &str) -> Answer {
    answer(wire.client.get(url).bearer_auth(token).send().await.unwrap()).await
}

#[tokio::test]
async fn the_result_of_an_operation_is_shown_to_those_who_may_read_the_resource() {
    let wire = Wire::start().await.with_group("rg").await;
    let body = json!({ "location": "westeurope", "properties": {} });
    let created = wire.put(&wire.environment("env"), APPS, body).await.expect(201);
    let status = created.header("azure-asyncoperation").unwrap().to_owned();
    let result = status.replace("OperationStatuses", "OperationResults");
    let (_, nobody) = wire.application(&[]).await;
    let (_, reader) = wire.application(&[(&wire.group("rg"), READER)]).await;
    follow_as(&wire, &nobody, &status).await.expect(200);
    follow_as(&wire, &nobody, &result).await.expect(202);
    wire.advance(31).await;
    follow_as(&wire, &nobody, &result)
        .await
        .expect_error(403, "AuthorizationFailed");
    let shown = follow_as(&wire, &reader, &result).await.expect(200).body;
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn an_operation_that_is_not_there_is_not_found() {
    let wire = Wire::start().await;
    for endpoint in ["operationResults", "operationStatuses"] {
        let path = format!(
            "{}/providers/Microsoft.App/locations/westeurope/{endpoint}/{}",
            wire.subscription(),
            Uuid::new_v4()
        );
        wire.get(&path, APPS).await.expect_error(404, "OperationNotFound");
    }
}

#[tokio::test]
async fn nothing_is_changed_in_a_group_that_is_being_deleted() {
    let wire = Wire::instant().await.with_environment().await;
    let app = wire.with_app("app", &json!({ "type": "None" })).await;
    let group = wire.container_group("group");
    wire.put(&group, GROUPS, group_body()).await.expect(201);
    wire.delete(&wire.group("rg"), RESOURCES).await.expect(202);
    let tags = json!({ "tags": { "a": "b" } });
    for (path, version) in [(&app, APPS), (&group, GROUPS)] {
        wire.patch(path, version, tags.clone())
            .await
            .expect_error(409, "ResourceGroupBeingDeleted");
        wire.arm(Method::GET, path, version, None).await.expect(200);
    }
}

#[tokio::test]
async fn a_container_group_that_failed_is_tried_again_by_the_same_put() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.container_group("group");
    let outcome = async |outcome| {
        let switch = json!({ "arm": { "containerOutcome": outcome } });
        wire.control(Method::PUT, "behaviour", Some(switch)).await.expect(200);
    };
    outcome(json!("Failed")).await;
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    wire.advance(31).await;
    let failed = wire.get(&path, GROUPS).await.expect(200).body;
    assert_eq!(failed["properties"]["provisioningState"], "Failed");
    outcome(json!(null)).await;
    let again = wire.put(&path, GROUPS, group_body()).await.expect(200).body;
    assert_eq!(again["properties"]["provisioningState"], "Pending");
    wire.advance(31).await;
    let well = wire.get(&path, GROUPS).await.expect(200).body;
    assert_eq!(well["properties"]["provisioningState"], "Succeeded");
}
