//! Container groups: the resource, what it hides, what restarts it and what cannot be changed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{RESOURCES, Wire};
use crate::workloads::{GROUPS, group_body, system_assigned, user_assigned};

fn started(group: &Value) -> &Value {
    &group["properties"]["containers"][0]["properties"]["instanceView"]["currentState"]["startTime"]
}

#[tokio::test]
async fn a_group_is_created_and_deleted_by_operations() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.container_group("group");
    let put = wire.put(&path, GROUPS, group_body()).await.expect(201);
    assert_eq!(put.body["properties"]["provisioningState"], "Pending");
    assert_eq!(put.header("retry-after"), Some("15"));
    let url = put.header("azure-asyncoperation").unwrap().to_owned();
    let polled = wire.follow(&url).await.expect(200);
    assert_eq!(polled.body["status"], "InProgress");
    assert_eq!(polled.header("retry-after"), Some("15"));
    wire.put(&path, GROUPS, group_body())
        .await
        .expect_error(409, "ContainerGroupTransitioning");
    wire.advance(31).await;
    assert_eq!(wire.follow(&url).await.body["status"], "Succeeded");
    let group = wire.get(&path, GROUPS).await.expect(200).body;
    assert_eq!(group["properties"]["provisioningState"], "Succeeded");
    assert_eq!(group["properties"]["instanceView"]["state"], "Running");
    assert_eq!(group["type"], "Microsoft.ContainerInstance/containerGroups");
    assert_eq!(group["location"], "westeurope");
    assert!(group.get("identity").is_none());
    for scope in [wire.group("rg"), wire.subscription()] {
        let list = format!("{scope}/providers/Microsoft.ContainerInstance/containerGroups");
        assert_eq!(wire.get(&list, GROUPS).await.expect(200).body["value"], json!([group]));
    }

    let deleted = wire.delete(&path, GROUPS).await.expect(202);
    let url = deleted.header("location").unwrap().to_owned();
    wire.follow(&url).await.expect(202);
    wire.advance(31).await;
    wire.follow(&url).await.expect(204);
    wire.get(&path, GROUPS).await.expect_error(404, "ResourceNotFound");
    wire.delete(&path, GROUPS).await.expect(204);
}

#[tokio::test]
async fn what_is_gone_at_once_is_answered_with_200_and_the_group() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    let deleted = wire.delete(&path, GROUPS).await.expect(200);
    assert_eq!(deleted.body["name"], "group");
    wire.get(&path, GROUPS).await.expect(404);
}

#[tokio::test]
async fn secure_values_are_never_answered() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    let put = wire.put(&path, GROUPS, group_body()).await.expect(201).body;
    let get = wire.get(&path, GROUPS).await.expect(200).body;
    for shown in [put, get.clone()] {
        let text = shown.to_string();
        assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
        let variables = &shown["properties"]["containers"][0]["properties"]["environmentVariables"];
        assert_eq!(
            variables,
            &json!([{ "name": "SHOWN", "value": "plain" }, { "name": "HIDDEN" }])
        );
    }
    let journal = wire.control(Method::GET, "requests", None).await.body.to_string();
    assert!(!journal.contains("canary") && !journal.contains("Y2FuYXJ5"));
}

#[tokio::test]
async fn a_put_built_from_a_get_loses_the_secure_values_and_so_restarts_the_containers() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    let mut body = group_body();
    body["properties"].as_object_mut().unwrap().remove("volumes");
    wire.put(&path, GROUPS, body.clone()).await.expect(201);
    let before = wire.get(&path, GROUPS).await.body;
    wire.advance(60).await;
    wire.put(&path, GROUPS, body).await.expect(200);
    assert_eq!(
        started(&wire.get(&path, GROUPS).await.body),
        started(&before),
        "the same again changes nothing"
    );
    wire.put(&path, GROUPS, before.clone()).await.expect(200);
    let after = wire.get(&path, GROUPS).await.body;
    assert_ne!(started(&after), started(&before));
}

#[tokio::test]
async fn a_patch_changes_tags_and_nothing_else() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    let before = wire.get(&path, GROUPS).await.body;
    wire.advance(60).await;
    let change = json!({
        "tags": { "a": "b" }, "identity": system_assigned(), "properties": { "restartPolicy": "Always" },
    });
    let after = wire.patch(&path, GROUPS, change).await.expect(200).body;
    assert_eq!(after["tags"], json!({ "a": "b" }));
    assert!(after.get("identity").is_none());
    assert_eq!(after["properties"], before["properties"]);
}

#[tokio::test]
async fn a_change_of_identities_needs_a_put_and_restarts_the_containers() {
    let wire = Wire::instant().await.with_group("rg").await;
    wire.with_identity("rg", "one").await;
    let one = wire.identity("rg", "one");
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    let before = wire.get(&path, GROUPS).await.body;
    wire.advance(60).await;
    let mut body = group_body();
    body["tags"] = json!({ "a": "b" });
    wire.put(&path, GROUPS, body.clone()).await.expect(200);
    assert_eq!(started(&wire.get(&path, GROUPS).await.body), started(&before));
    for both in ["SystemAssigned,UserAssigned", "SystemAssigned, UserAssigned"] {
        body["identity"] = user_assigned(&[&one]);
        body["identity"]["type"] = json!(both);
        let put = wire.put(&path, GROUPS, body.clone()).await.expect(200).body;
        assert_eq!(put["identity"]["type"], "SystemAssigned, UserAssigned");
        assert!(put["identity"]["principalId"].is_string());
        let ids = put["identity"]["userAssignedIdentities"].as_object().unwrap();
        assert!(ids.keys().all(|id| id.contains("/resourcegroups/")), "{ids:?}");
    }
    let with = wire.get(&path, GROUPS).await.body;
    assert_ne!(started(&with), started(&before));
    wire.advance(60).await;
    body["identity"] = json!({ "type": "None" });
    wire.put(&path, GROUPS, body).await.expect(200);
    let without = wire.get(&path, GROUPS).await.body;
    assert!(without.get("identity").is_none());
    assert_ne!(started(&without), started(&with));
}

#[tokio::test]
async fn what_names_an_identity_needs_it() {
    let wire = Wire::instant().await.with_group("rg").await;
    wire.with_identity("rg", "one").await;
    let one = wire.identity("rg", "one");
    let path = wire.container_group("group");
    let mut body = group_body();
    body["properties"]["imageRegistryCredentials"] = json!([{ "server": "r.example", "identity": one }]);
    wire.put(&path, GROUPS, body.clone())
        .await
        .expect_error(400, "InvalidIdentity");
    body["identity"] = user_assigned(&[&one]);
    wire.put(&path, GROUPS, body).await.expect(201);
}

#[tokio::test]
async fn what_makes_another_group_cannot_be_changed() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    for (pointer, value) in [
        ("/properties/osType", json!("Windows")),
        ("/properties/restartPolicy", json!("Always")),
        ("/properties/containers/0/properties/resources/requests/cpu", json!(2)),
    ] {
        let mut body = group_body();
        *body.pointer_mut(pointer).unwrap() = value;
        wire.put(&path, GROUPS, body)
            .await
            .expect_error(400, "InvalidContainerGroupUpdate");
    }
}

#[tokio::test]
async fn what_a_group_needs_is_asked_for_by_name() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    for (pointer, value, code) in [
        ("/properties/osType", Value::Null, "InvalidOsType"),
        ("/properties/restartPolicy", json!("Sometimes"), "InvalidRestartPolicy"),
        ("/properties/containers", json!([]), "MissingContainers"),
        (
            "/properties/containers/0/properties/resources",
            json!({}),
            "ResourceRequestsNotSpecified",
        ),
        (
            "/properties/containers/0/properties/image",
            json!(""),
            "MissingImageName",
        ),
        ("/location", Value::Null, "LocationRequired"),
    ] {
        let mut body = group_body();
        *body.pointer_mut(pointer).unwrap() = value;
        wire.put(&path, GROUPS, body).await.expect_error(400, code);
    }
    wire.put(&wire.container_group("Upper"), GROUPS, group_body())
        .await
        .expect_error(400, "InvalidContainerGroupName");
    wire.put(&path, "2023-05-01", group_body()).await.expect(201);
    wire.get(&path, "2025-07-01")
        .await
        .expect_error(400, "NoRegisteredProviderFound");
}

#[tokio::test]
async fn a_group_is_stopped_started_and_restarted() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body()).await.expect(201);
    let post = async |verb: &str| {
        let path = format!("{path}/{verb}");
        wire.arm(Method::POST, &path, GROUPS, None).await
    };
    let first = wire.get(&path, GROUPS).await.body;
    wire.advance(60).await;
    post("stop").await.expect(204);
    let stopped = wire.get(&path, GROUPS).await.body;
    assert_eq!(stopped["properties"]["instanceView"]["state"], "Stopped");
    let state = &stopped["properties"]["containers"][0]["properties"]["instanceView"]["currentState"];
    assert_eq!(state["state"], "Terminated");
    post("start").await.expect(204);
    let second = wire.get(&path, GROUPS).await.body;
    assert_eq!(second["properties"]["instanceView"]["state"], "Running");
    assert_ne!(started(&second), started(&first));
    wire.advance(60).await;
    post("restart").await.expect(204);
    assert_ne!(started(&wire.get(&path, GROUPS).await.body), started(&second));
    post("exec").await.expect_error(404, "InvalidResourceType");
}

#[tokio::test]
async fn its_namespace_has_a_registration_of_its_own() {
    let wire = Wire::with(json!({})).await.with_group("rg").await;
    let path = wire.container_group("group");
    wire.put(&path, GROUPS, group_body())
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
    let provider = format!("{}/providers/Microsoft.ContainerInstance", wire.subscription());
    let known = wire.get(&provider, RESOURCES).await.expect(200).body;
    assert_eq!(known["registrationState"], "NotRegistered");
    let versions = &known["resourceTypes"][0]["apiVersions"];
    for version in ["2023-05-01", "2025-09-01"] {
        assert!(versions.as_array().unwrap().contains(&json!(version)));
    }
    let register = format!("{provider}/register");
    wire.arm(Method::POST, &register, RESOURCES, None).await.expect(200);
    wire.advance(31).await;
    wire.put(&path, GROUPS, group_body()).await.expect(201);
}
