//! What is taken of a session pool where public evidence differs, and the switches for the other way.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{POOLS, Wire, custom_pool, shell_pool};

/// Live defaults and these switches for pools.
async fn with(pools: Value) -> Wire {
    Wire::with(json!({ "arm": { "providersRegistered": true }, "pools": pools })).await
}

async fn switch(wire: &Wire, pools: Value) {
    let switches = Some(json!({ "pools": pools }));
    wire.control(Method::PUT, "behaviour", switches).await.expect(200);
}

fn python_pool() -> Value {
    let mut body = shell_pool();
    body["properties"]["containerType"] = json!("PythonLTS");
    body
}

/// The same pool as versions up to 2024-10-02-preview have it.
fn flat(mut body: Value) -> Value {
    body["properties"]["dynamicPoolConfiguration"] =
        json!({ "executionType": "Timed", "cooldownPeriodInSeconds": 300 });
    body
}

fn user_assigned(id: &str) -> Value {
    json!({ "type": "UserAssigned", "userAssignedIdentities": { id: {} } })
}

#[tokio::test]
async fn of_custom_containers_at_least_one_session_is_ready_and_fewer_than_all() {
    let wire = with(json!({})).await.with_environment().await;
    let scaled = |scale: Value| {
        let mut body = custom_pool(&wire.subscription());
        body["properties"]["scaleConfiguration"] = scale;
        body
    };
    let path = wire.pool("rg", "pool");
    for ready in [0, 10, 11] {
        let body = scaled(json!({ "maxConcurrentSessions": 10, "readySessionInstances": ready }));
        wire.put(&path, POOLS, body)
            .await
            .expect_error(400, "SessionPoolInvalidReadySessionInstances");
    }
    // A maximum of one leaves nothing to choose.
    wire.put(&path, POOLS, scaled(json!({ "maxConcurrentSessions": 1 })))
        .await
        .expect_error(400, "SessionPoolInvalidReadySessionInstances");
    for (name, ready) in [("least", 1), ("most", 9)] {
        let body = scaled(json!({ "maxConcurrentSessions": 10, "readySessionInstances": ready }));
        wire.put(&wire.pool("rg", name), POOLS, body).await.expect(201);
    }
    let body = scaled(json!({ "maxConcurrentSessions": 5 }));
    let unsaid = wire.put(&path, POOLS, body).await.expect(201).body;
    assert_eq!(unsaid["properties"]["scaleConfiguration"]["readySessionInstances"], 4);
}

#[tokio::test]
async fn a_pool_without_ready_sessions_from_before_the_rule_lives_on() {
    let wire = with(json!({ "readySessionInstances": "UpToMaximum" })).await;
    let wire = wire.with_environment().await;
    let path = wire.pool("rg", "pool");
    let mut body = custom_pool(&wire.subscription());
    body["properties"]["scaleConfiguration"]["readySessionInstances"] = json!(0);
    wire.put(&path, POOLS, body.clone()).await.expect(201);
    wire.advance(31).await;
    switch(&wire, json!({ "readySessionInstances": null })).await;

    body["tags"] = json!({ "a": "b" });
    let put = wire.put(&path, POOLS, body).await.expect(200).body;
    assert_eq!(put["properties"]["scaleConfiguration"]["readySessionInstances"], 0);
    wire.advance(31).await;
    let other = json!({ "properties": { "sessionNetworkConfiguration": { "status": "EgressEnabled" } } });
    wire.patch(&path, POOLS, other).await.expect(202);
    wire.advance(31).await;
    let more = json!({ "properties": { "scaleConfiguration": { "maxConcurrentSessions": 20 } } });
    wire.patch(&path, POOLS, more)
        .await
        .expect_error(400, "SessionPoolInvalidReadySessionInstances");
}

#[tokio::test]
async fn pools_are_managed_dynamically() {
    let wire = with(json!({})).await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let managed = |kind: &str| {
        let mut body = shell_pool();
        body["properties"]["poolManagementType"] = json!(kind);
        body
    };
    for kind in ["Manual", "System"] {
        wire.put(&path, POOLS, managed(kind))
            .await
            .expect_error(400, "SessionPoolInvalidPoolManagementType");
    }
    let put = wire.put(&path, POOLS, managed("dynamic")).await.expect(200).body;
    assert_eq!(put["properties"]["poolManagementType"], "Dynamic");
    switch(&wire, json!({ "manualManagement": true })).await;
    let path = wire.pool("rg", "by-hand");
    let put = wire.put(&path, POOLS, managed("manual")).await.expect(200).body;
    assert_eq!(put["properties"]["poolManagementType"], "Manual");
    wire.put(&path, POOLS, managed("System"))
        .await
        .expect_error(400, "SessionPoolInvalidPoolManagementType");
}

#[tokio::test]
async fn a_python_pool_has_no_identity() {
    let wire = with(json!({})).await.with_group("rg").await;
    let path = wire.pool("rg", "python");
    let mut body = python_pool();
    body["identity"] = json!({ "type": "SystemAssigned" });
    wire.put(&path, POOLS, body.clone())
        .await
        .expect_error(400, "SessionPoolManagedIdentityCreationError");
    wire.put(&path, POOLS, python_pool()).await.expect(200);
    wire.patch(&path, POOLS, json!({ "identity": { "type": "SystemAssigned" } }))
        .await
        .expect_error(400, "SessionPoolManagedIdentityCreationError");
    wire.patch(&path, POOLS, json!({ "identity": { "type": "None" } }))
        .await
        .expect(200);
    switch(&wire, json!({ "containerTypesWithoutIdentity": ["shell"] })).await;
    wire.put(&path, POOLS, body).await.expect(200);
    let mut shell = shell_pool();
    shell["identity"] = json!({ "type": "SystemAssigned" });
    wire.put(&wire.pool("rg", "shell"), POOLS, shell)
        .await
        .expect_error(400, "SessionPoolManagedIdentityCreationError");
}

#[tokio::test]
async fn a_pool_without_identities_takes_settings_for_them_and_one_with_identities_only_for_those() {
    let wire = with(json!({})).await.with_group("rg").await;
    let one = wire.with_identity("rg", "one").await["id"].as_str().unwrap().to_owned();
    let two = wire.with_identity("rg", "two").await["id"].as_str().unwrap().to_owned();
    let path = wire.pool("rg", "pool");
    let mut body = python_pool();
    body["properties"]["managedIdentitySettings"] = json!([{ "identity": one, "lifecycle": "Main" }]);
    let put = wire.put(&path, "2025-07-01", body.clone()).await.expect(200).body;
    assert_eq!(put["properties"]["managedIdentitySettings"][0]["lifecycle"], "Main");

    let mut shell = shell_pool();
    shell["identity"] = user_assigned(&two);
    shell["properties"]["managedIdentitySettings"] = body["properties"]["managedIdentitySettings"].clone();
    wire.put(&wire.pool("rg", "shell"), POOLS, shell)
        .await
        .expect_error(400, "InvalidParameter");
    switch(&wire, json!({ "settingsWithoutIdentity": false })).await;
    wire.put(&path, POOLS, body).await.expect_error(400, "InvalidParameter");
}

#[tokio::test]
async fn every_identity_has_a_setting_whether_it_was_given_one_or_not() {
    let wire = with(json!({})).await.with_group("rg").await;
    let one = wire.with_identity("rg", "one").await["id"].as_str().unwrap().to_owned();
    let path = wire.pool("rg", "pool");
    let mut body = shell_pool();
    body["identity"] = user_assigned(&one);
    body["identity"]["type"] = json!("SystemAssigned,UserAssigned");
    body["properties"]["managedIdentitySettings"] = json!([{ "identity": one.to_uppercase(), "lifecycle": "main" }]);
    wire.put(&path, POOLS, body).await.expect(200);
    let settings = |pool: &Value| -> Vec<String> {
        let settings = pool["properties"]["managedIdentitySettings"].as_array().unwrap();
        let name = |setting: &Value| {
            setting["identity"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_lowercase()
        };
        let lines = settings
            .iter()
            .map(|it| format!("{} {}", name(it), it["lifecycle"].as_str().unwrap()));
        lines.collect()
    };
    let get = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(settings(&get), ["one Main", "system None"]);
    // Null brings the platform's own back, and a detached identity has none.
    let nothing = json!({ "properties": { "managedIdentitySettings": null } });
    let patched = wire.patch(&path, POOLS, nothing).await.expect(200).body;
    assert_eq!(settings(&patched), ["system None", "one None"]);
    let detached = json!({ "identity": { "type": "SystemAssigned", "userAssignedIdentities": null } });
    let patched = wire.patch(&path, POOLS, detached).await.expect(200).body;
    assert_eq!(settings(&patched), ["system None"]);
    let none = json!({ "identity": { "type": "None" } });
    wire.patch(&path, POOLS, none).await.expect(200);
    let get = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(get["properties"]["managedIdentitySettings"], json!([]));
}

#[tokio::test]
async fn an_identity_is_for_containers_at_any_stage_that_the_schema_names() {
    let wire = with(json!({})).await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    for lifecycle in ["None", "Main", "Init", "All"] {
        let mut body = shell_pool();
        body["identity"] = json!({ "type": "SystemAssigned" });
        body["properties"]["managedIdentitySettings"] = json!([{ "identity": "system", "lifecycle": lifecycle }]);
        let put = wire.put(&path, POOLS, body).await.expect(200).body;
        assert_eq!(
            put["properties"]["managedIdentitySettings"],
            json!([{ "identity": "system", "lifecycle": lifecycle }])
        );
    }
    let mut body = shell_pool();
    body["properties"]["managedIdentitySettings"] = json!([{ "identity": "system", "lifecycle": "Always" }]);
    wire.put(&path, POOLS, body).await.expect_error(400, "InvalidParameter");
}

#[tokio::test]
async fn previews_of_2024_have_node_pools_and_no_shell_pools() {
    let wire = with(json!({})).await.with_group("rg").await;
    let of_type = |kind: &str| {
        let mut body = shell_pool();
        body["properties"]["containerType"] = json!(kind);
        body
    };
    let node = wire.pool("rg", "node");
    for version in ["2024-02-02-preview", "2024-08-02-preview", "2024-10-02-preview"] {
        let put = wire
            .put(&node, version, flat(of_type("NodeLTS")))
            .await
            .expect(200)
            .body;
        assert_eq!(put["properties"]["containerType"], "NodeLTS");
        wire.put(&wire.pool("rg", "shell"), version, flat(of_type("Shell")))
            .await
            .expect_error(400, "InvalidParameter");
    }
    for version in ["2025-01-01", "2025-07-01", "2026-07-01"] {
        wire.put(&wire.pool("rg", "stable"), version, of_type("NodeLTS"))
            .await
            .expect_error(400, "InvalidParameter");
    }
    switch(&wire, json!({ "firstVersionWithNodeLts": "2025-10-02-preview" })).await;
    wire.put(&wire.pool("rg", "late"), "2025-02-02-preview", of_type("NodeLTS"))
        .await
        .expect_error(400, "InvalidParameter");
    wire.put(&wire.pool("rg", "late"), "2025-10-02-preview", of_type("NodeLTS"))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_python_pool_may_name_an_environment_that_is_there() {
    let wire = with(json!({})).await.with_environment().await;
    let path = wire.pool("rg", "python");
    let within = |environment: &str| {
        let mut body = python_pool();
        body["properties"]["environmentId"] = json!(environment);
        body
    };
    let environment = wire.environment("env");
    let put = wire
        .put(&path, "2025-07-01", within(&environment))
        .await
        .expect(200)
        .body;
    assert_eq!(put["properties"]["environmentId"], json!(environment));
    let endpoint = put["properties"]["poolManagementEndpoint"].as_str().unwrap();
    assert!(endpoint.contains(".dynamicsessions.io/"), "{endpoint}");
    let old = flat(within(&environment));
    wire.put(&wire.pool("rg", "old"), "2024-02-02-preview", old)
        .await
        .expect(200);
    let absent = wire
        .put(&wire.pool("rg", "other"), POOLS, within(&wire.environment("absent")))
        .await;
    assert!(absent.status.is_client_error(), "{absent:?}");
    wire.put(&wire.pool("rg", "other"), POOLS, within("/subscriptions/x"))
        .await
        .expect_error(400, "InvalidParameter");
    switch(&wire, json!({ "environmentOfBuiltInTypes": false })).await;
    wire.put(&wire.pool("rg", "other"), POOLS, within(&environment))
        .await
        .expect_error(400, "InvalidParameter");
}

#[tokio::test]
async fn an_early_preview_attaches_identities_that_pull_images() {
    let wire = with(json!({})).await.with_environment().await;
    let one = wire.with_identity("rg", "one").await["id"].as_str().unwrap().to_owned();
    let path = wire.pool("rg", "pool");
    let mut body = flat(custom_pool(&wire.subscription()));
    body["identity"] = user_assigned(&one);
    body["properties"]["customContainerTemplate"]["registryCredentials"] =
        json!({ "server": "r.example", "identity": one });
    wire.put(&path, "2024-02-02-preview", body.clone())
        .await
        .expect_error(400, "InvalidRequestContent");
    let put = wire
        .put(&path, "2024-08-02-preview", body.clone())
        .await
        .expect(201)
        .body;
    assert_eq!(put["identity"]["type"], "UserAssigned");
    assert!(put["properties"].get("managedIdentitySettings").is_none());
    switch(&wire, json!({ "firstVersionWithIdentity": "2024-10-02-preview" })).await;
    wire.put(&wire.pool("rg", "other"), "2024-08-02-preview", body)
        .await
        .expect_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn a_stable_version_changes_a_shell_pool_of_whose_type_it_does_not_speak() {
    let wire = with(json!({})).await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let mut body = shell_pool();
    body["properties"]["mcpServerSettings"] = json!({ "isMcpServerEnabled": true });
    wire.put(&path, POOLS, body).await.expect(200);
    for version in ["2025-07-01", "2026-01-01"] {
        // As the Python SDK's `begin_update` sends it.
        let change =
            json!({ "tags": { "a": version }, "properties": { "scaleConfiguration": { "maxConcurrentSessions": 9 } } });
        let patched = wire.patch(&path, version, change).await.expect(200).body;
        assert_eq!(patched["properties"]["containerType"], "Shell");
        assert_eq!(patched["properties"]["scaleConfiguration"]["maxConcurrentSessions"], 9);
        let named = json!({ "properties": { "containerType": "Shell" } });
        wire.patch(&path, version, named)
            .await
            .expect_error(400, "InvalidParameter");
        wire.put(&path, version, shell_pool())
            .await
            .expect_error(400, "InvalidParameter");
    }
    let kept = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(kept["properties"]["mcpServerSettings"]["isMcpServerEnabled"], true);
}

#[tokio::test]
async fn a_startup_probe_may_fail_more_often_than_a_liveness_probe() {
    let wire = with(json!({})).await.with_environment().await;
    let probed = |kind: &str, member: &str, value: i64| {
        let mut body = custom_pool(&wire.subscription());
        body["properties"]["customContainerTemplate"]["containers"][0]["probes"] =
            json!([{ "type": kind, "tcpSocket": { "port": 80 }, member: value }]);
        body
    };
    let taken = [
        ("liveness-most", "Liveness", "failureThreshold", 30),
        ("startup-most", "Startup", "failureThreshold", 240),
        ("at-once", "Startup", "initialDelaySeconds", 0),
        ("no-grace", "Liveness", "terminationGracePeriodSeconds", 0),
    ];
    for (name, kind, member, value) in taken {
        let path = wire.pool("rg", name);
        wire.put(&path, POOLS, probed(kind, member, value)).await.expect(201);
    }
    let refused = [
        ("Liveness", "failureThreshold", 31),
        ("Startup", "failureThreshold", 241),
        ("Startup", "failureThreshold", 0),
        ("Liveness", "successThreshold", 2),
        ("Liveness", "initialDelaySeconds", 61),
    ];
    for (kind, member, value) in refused {
        wire.put(&wire.pool("rg", "pool"), POOLS, probed(kind, member, value))
            .await
            .expect_error(400, "InvalidParameter");
    }
}

#[tokio::test]
async fn a_pool_of_custom_containers_keeps_no_mcp_server() {
    let wire = with(json!({})).await.with_environment().await;
    let path = wire.pool("rg", "pool");
    let mut body = custom_pool(&wire.subscription());
    body["properties"]["mcpServerSettings"] = json!({ "isMcpServerEnabled": true });
    let put = wire.put(&path, POOLS, body).await.expect(201).body;
    assert_eq!(put["properties"]["mcpServerSettings"], Value::Null);
    wire.advance(31).await;
    wire.arm(Method::POST, &format!("{path}/fetchMcpServerCredentials"), POOLS, None)
        .await
        .expect_error(400, "SessionMCPServerNotEnabled");
}
