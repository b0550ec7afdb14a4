//! Environments and container apps: the resource, its secrets, identities, operations and actions.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{IDENTITIES, RESOURCES, Wire, claims};
use crate::workloads::{APPS, system_assigned, user_assigned};

/// An app with a secret that its container and its registry use.
pub fn with_secret(wire: &Wire) -> Value {
    let mut body = wire.app_body(&Value::Null);
    body["properties"]["configuration"] = json!({
        "secrets": [{ "name": "pull", "value": "canary" }],
        "registries": [{ "server": "r.example", "username": "u", "passwordSecretRef": "pull" }],
    });
    body["properties"]["template"]["containers"][0]["env"] = json!([{ "name": "PULL", "secretRef": "pull" }]);
    body
}

#[tokio::test]
async fn an_app_is_created_by_an_operation() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.app("app");
    let put = wire
        .put(&path, APPS, wire.app_body(&system_assigned()))
        .await
        .expect(201);
    assert_eq!(put.body["properties"]["provisioningState"], "InProgress");
    assert_eq!(put.body["properties"]["latestReadyRevisionName"], Value::Null);
    assert_eq!(put.header("retry-after"), None);
    let url = put.header("azure-asyncoperation").unwrap().to_owned();
    assert!(
        url.contains("/containerappOperationStatuses/") && url.len() > 3000,
        "{url}"
    );
    assert_eq!(wire.follow(&url).await.expect(200).body["status"], "InProgress");
    for refused in [
        wire.put(&path, APPS, wire.app_body(&system_assigned())).await,
        wire.patch(&path, APPS, json!({ "tags": { "a": "b" } })).await,
    ] {
        refused.expect_error(409, "ContainerAppOperationInProgress");
    }
    wire.advance(31).await;
    assert_eq!(wire.follow(&url).await.expect(200).body["status"], "Succeeded");

    let app = wire.get(&path, APPS).await.expect(200).body;
    assert_eq!(app["properties"]["provisioningState"], "Succeeded");
    assert_eq!(app["properties"]["runningStatus"], "Running");
    assert_eq!(app["location"], "West Europe");
    assert_eq!(app["type"], "Microsoft.App/containerApps");
    assert!(app["id"].as_str().unwrap().eq_ignore_ascii_case(&path));
    assert_eq!(app["systemData"]["createdByType"], "Application");
    assert_eq!(
        app["properties"]["latestReadyRevisionName"],
        app["properties"]["latestRevisionName"]
    );
    assert_eq!(app["properties"]["configuration"]["identitySettings"], json!([]));
    for list in [
        format!("{}/providers/Microsoft.App/containerApps", wire.group("rg")),
        format!("{}/providers/Microsoft.App/containerApps", wire.subscription()),
    ] {
        assert_eq!(wire.get(&list, APPS).await.expect(200).body["value"], json!([app]));
    }
}

#[tokio::test]
async fn a_failed_operation_says_so_and_leaves_the_app_failed() {
    let wire = Wire::start().await.with_environment().await;
    let switches = json!({ "arm": { "containerOutcome": "Failed" } });
    wire.control(Method::PUT, "behaviour", Some(switches)).await.expect(200);
    let path = wire.app("app");
    let put = wire.put(&path, APPS, wire.app_body(&Value::Null)).await.expect(201);
    wire.advance(31).await;
    let status = wire.follow(put.header("azure-asyncoperation").unwrap()).await.body;
    assert_eq!(status["status"], "Failed");
    assert_eq!(status["error"]["code"], "ContainerAppOperationError");
    let app = wire.get(&path, APPS).await.expect(200).body;
    assert_eq!(app["properties"]["provisioningState"], "Failed");
}

#[tokio::test]
async fn an_app_is_deleted_by_an_operation_and_an_absent_one_at_once() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.app("app");
    wire.put(&path, APPS, wire.app_body(&system_assigned()))
        .await
        .expect(201);
    wire.advance(31).await;
    let deleted = wire.delete(&path, APPS).await.expect(202);
    let url = deleted.header("location").unwrap().to_owned();
    let polled = wire.follow(&url).await.expect(202);
    assert_ne!(
        polled.header("location"),
        Some(url.as_str()),
        "each poll has a fresh one"
    );
    let app = wire.get(&path, APPS).await.expect(200).body;
    assert_eq!(app["properties"]["provisioningState"], "Deleting");
    wire.advance(31).await;
    wire.follow(&url).await.expect(204);
    wire.get(&path, APPS).await.expect_error(404, "ResourceNotFound");
    wire.delete(&path, APPS).await.expect(204);
}

#[tokio::test]
async fn a_patch_keeps_what_it_does_not_mention() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.app("app");
    wire.put(&path, APPS, with_secret(&wire)).await.expect(201);
    let before = wire.get(&path, APPS).await.expect(200).body;
    let change = json!({ "identity": system_assigned(), "tags": { "a": "b" } });
    let after = wire.patch(&path, APPS, change).await.expect(200).body;
    assert_eq!(after["identity"]["type"], "SystemAssigned");
    assert_eq!(after["tags"], json!({ "a": "b" }));
    assert_eq!(after["properties"], before["properties"]);
    let secrets = wire
        .arm(Method::POST, &format!("{path}/listSecrets"), APPS, None)
        .await
        .body;
    assert_eq!(secrets["value"][0]["value"], "canary");

    let change = json!({ "properties": { "configuration": { "maxInactiveRevisions": 3 } } });
    wire.patch(&path, APPS, change).await.expect(200);
    let change = json!({ "properties": { "configuration": { "maxInactiveRevisions": null } } });
    let after = wire.patch(&path, APPS, change).await.expect(200).body;
    assert_eq!(
        after["properties"]["configuration"]["maxInactiveRevisions"],
        Value::Null
    );
}

#[tokio::test]
async fn an_asynchronous_patch_answers_202_with_both_urls() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.app("app");
    wire.put(&path, APPS, wire.app_body(&Value::Null)).await.expect(201);
    wire.advance(31).await;
    let change = json!({ "identity": system_assigned() });
    let patched = wire.patch(&path, APPS, change).await.expect(202);
    let result = patched.header("location").unwrap().to_owned();
    assert!(patched.header("azure-asyncoperation").is_some());
    wire.follow(&result).await.expect(202);
    wire.advance(31).await;
    let app = wire.follow(&result).await.expect(200).body;
    assert_eq!(app["identity"]["type"], "SystemAssigned");
}

#[tokio::test]
async fn identities_are_attached_side_by_side_and_taken_away_one_by_one() {
    let wire = Wire::instant().await.with_environment().await;
    wire.with_identity("rg", "one").await;
    wire.with_identity("rg", "two").await;
    let (one, two) = (wire.identity("rg", "one"), wire.identity("rg", "two"));
    let path = wire.with_app("app", &user_assigned(&[&one])).await;
    let patch = |identity: Value| {
        let (wire, path) = (&wire, &path);
        async move {
            let answer = wire.patch(path, APPS, json!({ "identity": identity })).await;
            answer.expect(200).body["identity"].take()
        }
    };
    for both in ["SystemAssigned,UserAssigned", "SystemAssigned, UserAssigned"] {
        let block = patch(json!({ "type": both, "userAssignedIdentities": { &two: {} } })).await;
        assert_eq!(block["type"], "SystemAssigned, UserAssigned");
        let ids = block["userAssignedIdentities"].as_object().unwrap();
        assert_eq!(ids.len(), 2);
        assert!(ids.keys().all(|id| id.contains("/resourcegroups/")), "{ids:?}");
        assert!(block["principalId"].is_string() && block["tenantId"].is_string());
    }
    let shouted = one.to_ascii_uppercase();
    let block = patch(json!({
        "type": "SystemAssigned,UserAssigned", "userAssignedIdentities": { shouted: null },
    }))
    .await;
    let ids = block["userAssignedIdentities"].as_object().unwrap();
    assert!(ids.keys().all(|id| id.eq_ignore_ascii_case(&two)), "{ids:?}");
    let principal = block["principalId"].clone();
    let block = patch(json!({ "type": "SystemAssigned", "userAssignedIdentities": null })).await;
    assert_eq!(block["principalId"], principal, "it stays while the app keeps it");
    assert!(block.get("userAssignedIdentities").is_none());
    assert_eq!(patch(json!({ "type": "None" })).await, json!({ "type": "None" }));
    let block = patch(system_assigned()).await;
    assert_ne!(
        block["principalId"], principal,
        "what was taken away comes back as another one"
    );
    let put = wire
        .put(&path, APPS, wire.app_body(&Value::Null))
        .await
        .expect(201)
        .body;
    assert_eq!(put["identity"], json!({ "type": "None" }), "PUT replaces");
}

#[tokio::test]
async fn a_change_of_identities_makes_no_revision_and_a_change_of_the_template_does() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.with_app("app", &Value::Null).await;
    let revision = |body: Value| body["properties"]["latestRevisionName"].as_str().unwrap().to_owned();
    let first = revision(wire.get(&path, APPS).await.body);
    let change = json!({ "identity": system_assigned() });
    assert_eq!(revision(wire.patch(&path, APPS, change).await.expect(200).body), first);
    let containers = json!([{ "name": "main", "image": "r.example/i:2" }]);
    let change = json!({ "properties": { "template": { "containers": containers } } });
    assert_ne!(revision(wire.patch(&path, APPS, change).await.expect(200).body), first);
}

#[tokio::test]
async fn an_identity_that_is_not_there_cannot_be_attached() {
    let wire = Wire::instant().await.with_environment().await;
    let absent = wire.identity("rg", "absent");
    wire.put(&wire.app("app"), APPS, wire.app_body(&user_assigned(&[&absent])))
        .await
        .expect_error(400, "FailedIdentityOperation");
    wire.get(&wire.app("app"), APPS).await.expect(404);
}

#[tokio::test]
async fn a_user_assigned_identity_outlives_the_app_and_a_system_assigned_one_does_not() {
    let wire = Wire::instant().await.with_environment().await;
    wire.with_identity("rg", "one").await;
    let one = wire.identity("rg", "one");
    let mut identity = user_assigned(&[&one]);
    identity["type"] = json!("SystemAssigned,UserAssigned");
    let path = wire.with_app("app", &identity).await;
    let default = format!("{path}/providers/Microsoft.ManagedIdentity/identities/default");
    let app = wire.get(&path, APPS).await.body;
    let system = wire.get(&default, IDENTITIES).await.expect(200).body;
    assert_eq!(system["properties"]["principalId"], app["identity"]["principalId"]);
    wire.delete(&path, APPS).await.expect(204);
    wire.get(&path, APPS).await.expect(404);
    wire.get(&one, IDENTITIES).await.expect(200);
}

#[tokio::test]
async fn an_app_needs_an_environment_that_is_ready_and_that_the_caller_may_join() {
    let wire = Wire::start().await.with_group("rg").await;
    let (path, environment) = (wire.app("app"), wire.environment("env"));
    wire.put(&path, APPS, wire.app_body(&Value::Null))
        .await
        .expect_error(404, "ManagedEnvironmentNotFound");
    let body = json!({ "location": "westeurope" });
    let put = wire.put(&environment, APPS, body).await.expect(201);
    assert_eq!(put.body["properties"]["provisioningState"], "Waiting");
    wire.put(&path, APPS, wire.app_body(&Value::Null))
        .await
        .expect_error(400, "ManagedEnvironmentNotReadyForAppCreation");
    wire.advance(31).await;
    let url = put.header("azure-asyncoperation").unwrap();
    assert!(url.contains("/managedEnvironmentOperationStatuses/"), "{url}");
    assert_eq!(wire.follow(url).await.body["status"], "Succeeded");

    let app_only = [(path.as_str(), "b24988ac-6180-42a0-ab88-20f7382dd24c")];
    let (_, stranger) = wire.application(&app_only).await;
    let body = wire.app_body(&Value::Null);
    wire.arm_as(&stranger, Method::PUT, &path, APPS, Some(body.clone()))
        .await
        .expect_error(403, "LinkedAuthorizationFailed");
    wire.put(&path, APPS, body.clone()).await.expect(201);
    wire.advance(31).await;
    wire.delete(&environment, APPS)
        .await
        .expect_error(409, "ManagedEnvironmentNotEmpty");

    let mut moved = body;
    moved["location"] = json!("northeurope");
    wire.put(&path, APPS, moved)
        .await
        .expect_error(409, "InvalidResourceLocation");
    wire.delete(&path, APPS).await.expect(202);
    wire.advance(31).await;
    let gone = wire.delete(&environment, APPS).await.expect(202);
    wire.advance(31).await;
    wire.follow(gone.header("location").unwrap()).await.expect(204);
    wire.get(&environment, APPS).await.expect(404);
    wire.delete(&environment, APPS).await.expect(204);
}

#[tokio::test]
async fn keys_of_an_environment_are_never_answered() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.environment("env");
    let logs = json!({ "customerId": "c", "sharedKey": "canary" });
    let body = json!({ "location": "westeurope", "properties": {
        "appLogsConfiguration": { "destination": "log-analytics", "logAnalyticsConfiguration": logs },
        "daprAIInstrumentationKey": "canary",
    }});
    wire.put(&path, APPS, body).await.expect(201);
    let shown = wire.get(&path, APPS).await.expect(200).body;
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
    assert_eq!(
        shown["properties"]["appLogsConfiguration"]["destination"],
        "log-analytics"
    );
    assert!(!shown.to_string().contains("canary"));
    let journal = wire.control(Method::GET, "requests", None).await.body.to_string();
    assert!(!journal.contains("canary"));
}

#[tokio::test]
async fn a_stopped_app_says_so_until_it_is_started() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.app("app");
    wire.put(&path, APPS, wire.app_body(&Value::Null)).await.expect(201);
    wire.advance(31).await;
    for (verb, status) in [("stop", "Stopped"), ("start", "Running")] {
        let answer = wire
            .arm(Method::POST, &format!("{path}/{verb}"), APPS, None)
            .await
            .expect(202);
        let url = answer.header("location").unwrap().to_owned();
        wire.follow(&url).await.expect(202);
        wire.advance(31).await;
        wire.follow(&url).await.expect(200);
        let app = wire.get(&path, APPS).await.body;
        assert_eq!(app["properties"]["runningStatus"], status);
    }
    wire.arm(Method::POST, &format!("{path}/dance"), APPS, None)
        .await
        .expect_error(404, "InvalidResourceType");
}

#[tokio::test]
async fn the_token_of_an_app_is_for_that_app() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.with_app("app", &Value::Null).await;
    let answer = wire
        .arm(Method::POST, &format!("{path}/getAuthtoken"), APPS, None)
        .await
        .expect(200)
        .body;
    let token = answer["properties"]["token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], path);
    assert!(answer["properties"]["expires"].is_string());
    wire.arm_as(token, Method::GET, &path, APPS, None).await.expect(401);
}

#[tokio::test]
async fn names_and_members_are_checked_by_api_version() {
    let wire = Wire::instant().await.with_environment().await;
    for name in ["x", "Upper", "two--hyphens", "ends-"] {
        wire.put(&wire.app(name), APPS, wire.app_body(&Value::Null))
            .await
            .expect_error(400, "ContainerAppInvalidName");
    }
    let path = wire.app("app");
    let mut body = wire.app_body(&Value::Null);
    body["properties"]["configuration"] = json!({ "identitySettings": [] });
    for version in ["2025-07-01", "2025-02-02-preview", "2025-10-02-preview", "2025-01-01"] {
        let put = wire.put(&path, version, body.clone()).await;
        assert!(put.status.is_success(), "{version}: {:?}", put.body);
    }
    wire.put(&path, "2024-03-01", body.clone())
        .await
        .expect_error(400, "InvalidRequestContent");
    wire.put(&path, "1999-01-01", body.clone())
        .await
        .expect_error(400, "InvalidApiVersionParameter");
    wire.put(&path, "2022-04-01", body.clone())
        .await
        .expect_error(400, "NoRegisteredProviderFound");
    let mut previewed = body.clone();
    previewed["properties"]["patchingConfiguration"] = json!({ "patchingMode": "Manual" });
    previewed["properties"]["configuration"]["targetLabel"] = json!("blue");
    let put = wire
        .put(&path, "2025-10-02-preview", previewed.clone())
        .await
        .expect(201)
        .body;
    assert_eq!(put["properties"]["configuration"]["targetLabel"], "blue");
    assert_eq!(put["properties"]["patchingConfiguration"]["patchingMode"], "Manual");
    wire.put(&path, APPS, previewed)
        .await
        .expect_error(400, "InvalidRequestContent");
    body["properties"]["shiny"] = json!(true);
    wire.put(&path, APPS, body)
        .await
        .expect_error(400, "InvalidRequestContent");
    let resources = format!("{}/resources", wire.group("rg"));
    let all = wire.get(&resources, RESOURCES).await.expect(200).body;
    let types: Vec<&str> = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        ["Microsoft.App/containerApps", "Microsoft.App/managedEnvironments"]
    );
}

#[tokio::test]
async fn how_often_a_probe_may_fail_depends_on_its_type() {
    let wire = Wire::start().await.with_environment().await;
    for (kind, most) in [("Liveness", 30), ("Readiness", 48), ("Startup", 240)] {
        let probed = |failures: i64| {
            let mut body = wire.app_body(&Value::Null);
            body["properties"]["template"]["containers"][0]["probes"] =
                json!([{ "type": kind, "tcpSocket": { "port": 80 }, "failureThreshold": failures }]);
            body
        };
        let path = wire.app(&kind.to_lowercase());
        for failures in [0, most + 1] {
            wire.put(&path, APPS, probed(failures))
                .await
                .expect_error(400, "ContainerAppProbeFailureThresholdOutOfRange");
        }
        wire.put(&path, APPS, probed(most)).await.expect(201);
    }
}
