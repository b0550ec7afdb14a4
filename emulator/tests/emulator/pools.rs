//! `Microsoft.App/sessionPools`, as recorded from the live service.

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{POOLS, Wire, custom_pool, shell_pool};

#[tokio::test]
async fn a_built_in_pool_is_there_at_once() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let put = wire.put(&path, POOLS, shell_pool()).await.expect(200);
    assert!(put.header("azure-asyncoperation").is_none() && put.header("location").is_none());
    assert_eq!(put.body["type"], "Microsoft.App/sessionpools");
    assert_eq!(put.body["location"], "North Central US");
    assert_eq!(put.body["id"], path);
    let properties = &put.body["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["environmentId"], Value::Null);
    assert_eq!(properties["managedIdentitySettings"], Value::Null);
    let endpoint = format!(
        "{}/northcentralus.dynamicsessions.io{}/resourceGroups/rg/sessionPools/pool",
        wire.root(),
        wire.subscription()
    );
    assert_eq!(properties["poolManagementEndpoint"], json!(endpoint));

    let get = wire.get(&path, POOLS).await.expect(200).body;
    assert_eq!(get["identity"], json!({ "type": "None" }));
    assert!(put.body.get("identity").is_none());
    assert_eq!(get["properties"]["managedIdentitySettings"], json!([]));
    assert!(!get["systemData"]["createdAt"].as_str().unwrap().ends_with('Z'));
    assert!(put.body["systemData"]["createdAt"].as_str().unwrap().ends_with('Z'));

    let collection = format!("{}/providers/Microsoft.App/sessionPools", wire.group("rg"));
    assert_eq!(wire.get(&collection, POOLS).await.body["value"][0]["name"], "pool");
    let delete = wire.delete(&path, POOLS).await.expect(204);
    assert!(delete.header("location").is_none());
    assert_eq!(wire.get(&collection, POOLS).await.body, json!({ "value": [] }));
    wire.get(&path, POOLS).await.expect_error(404, "ResourceNotFound");
    wire.delete(&path, POOLS).await.expect(204);
}

#[tokio::test]
async fn paths_and_property_names_have_no_case() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire
        .pool("rg", "pool")
        .replace("sessionPools", "sessionpools")
        .replace("Microsoft.App", "MICROSOFT.APP");
    let body = json!({
        "Location": "NORTH central us",
        "Properties": {
            "ContainerType": "shell",
            "scaleconfiguration": { "MaxConcurrentSessions": "7" },
            "mcPServerSettings": { "isMCPServerEnabled": true },
        },
    });
    let put = wire.put(&path, POOLS, body).await.expect(200).body;
    assert_eq!(put["id"], wire.pool("rg", "pool"));
    assert_eq!(put["properties"]["containerType"], "Shell");
    assert_eq!(
        put["properties"]["scaleConfiguration"],
        json!({ "maxConcurrentSessions": 7 })
    );
    assert_eq!(put["properties"]["mcpServerSettings"]["isMcpServerEnabled"], true);
    wire.get(&wire.pool("RG", "POOL"), POOLS).await.expect(200);
}

#[tokio::test]
async fn a_built_in_pool_drops_ready_sessions_and_reads_numbers_from_strings() {
    let wire = Wire::start().await.with_group("rg").await;
    let body = json!({
        "location": "northcentralus",
        "properties": {
            "containerType": "PythonLTS",
            "scaleConfiguration": { "maxConcurrentSessions": 10, "readySessionInstances": 5 },
            "dynamicPoolConfiguration": { "executionType": "Timed", "cooldownPeriodInSeconds": "300" },
        },
    });
    let put = wire
        .put(&wire.pool("rg", "pool"), "2024-10-02-preview", body)
        .await
        .expect(200)
        .body;
    assert_eq!(
        put["properties"]["scaleConfiguration"],
        json!({ "maxConcurrentSessions": 10 })
    );
    assert_eq!(
        put["properties"]["dynamicPoolConfiguration"],
        json!({ "executionType": "Timed", "cooldownPeriodInSeconds": 300 })
    );
    let newer = wire.get(&wire.pool("rg", "pool"), "2025-07-01").await.expect(200).body;
    assert_eq!(
        newer["properties"]["dynamicPoolConfiguration"],
        json!({ "lifecycleConfiguration": { "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300 } })
    );
}

#[tokio::test]
async fn each_version_has_its_own_properties() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let with = |kind: &str, member: &str, value: Value| json!({ "location": "northcentralus", "properties": { "containerType": kind, member: value } });
    let nested = json!({ "lifecycleConfiguration": { "lifecycleType": "Timed" } });
    let refused = [
        (
            "2024-10-02-preview",
            with("PythonLTS", "dynamicPoolConfiguration", nested),
            "InvalidRequestContent",
        ),
        (
            "2025-07-01",
            with(
                "PythonLTS",
                "dynamicPoolConfiguration",
                json!({ "executionType": "Timed" }),
            ),
            "InvalidRequestContent",
        ),
        (
            "2024-08-02-preview",
            with("PythonLTS", "managedIdentitySettings", json!([])),
            "InvalidRequestContent",
        ),
        (
            "2025-07-01",
            with("PythonLTS", "mcpServerSettings", json!({})),
            "InvalidRequestContent",
        ),
        (
            "2025-10-02-preview",
            with("PythonLTS", "workloadProfileName", json!("x")),
            "InvalidRequestContent",
        ),
        ("2025-07-01", with("Shell", "secrets", json!([])), "InvalidParameter"),
        (
            "2024-10-02-preview",
            with("Shell", "secrets", json!([])),
            "InvalidParameter",
        ),
    ];
    for (version, body, code) in refused {
        wire.put(&path, version, body).await.expect_error(400, code);
    }
    wire.put(&path, "2025-02-02-preview", shell_pool()).await.expect(200);
    let stable = wire.get(&path, "2026-07-01").await.expect(200).body;
    assert_eq!(
        stable["properties"]["containerType"], "Shell",
        "any version shows any pool"
    );
    assert!(stable["properties"].get("mcpServerSettings").is_none());
    let old = wire.get(&path, "2024-08-02-preview").await.expect(200).body;
    assert!(old.get("identity").is_none());
    assert!(old["properties"].get("managedIdentitySettings").is_none());
}

#[tokio::test]
async fn unknown_properties_are_dropped_when_the_switch_says_so() {
    let wire = Wire::with(json!({ "arm": { "providersRegistered": true, "unknownProperties": "Drop" } })).await;
    let wire = wire.with_group("rg").await;
    let mut body = shell_pool();
    body["properties"]["workloadProfileName"] = json!("x");
    let put = wire.put(&wire.pool("rg", "pool"), POOLS, body).await.expect(200).body;
    assert!(put["properties"].get("workloadProfileName").is_none());
}

#[tokio::test]
async fn pools_that_the_service_would_refuse_are_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let shell = |change: &dyn Fn(&mut Value)| {
        let mut body = shell_pool();
        change(&mut body["properties"]);
        body
    };
    let custom = |change: &dyn Fn(&mut Value)| {
        let mut body = custom_pool(&wire.subscription());
        change(&mut body["properties"]);
        body
    };
    let lifecycle = |value: Value| json!({ "lifecycleConfiguration": value });
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "properties": {} }), "LocationRequired"),
        (
            json!({ "location": "atlantis", "properties": {} }),
            "LocationNotAvailableForResourceType",
        ),
        (shell(&|p| p["containerType"] = json!("Perl")), "InvalidParameter"),
        (
            shell(&|p| p["scaleConfiguration"] = json!({ "maxConcurrentSessions": 601 })),
            "InvalidParameter",
        ),
        (
            shell(&|p| p["scaleConfiguration"] = json!({ "maxConcurrentSessions": 0 })),
            "InvalidParameter",
        ),
        (
            shell(&|p| p["scaleConfiguration"] = json!({ "maxConcurrentSessions": "many" })),
            "InvalidRequestContent",
        ),
        (
            shell(&|p| p["dynamicPoolConfiguration"] = lifecycle(json!({ "cooldownPeriodInSeconds": 299 }))),
            "InvalidParameter",
        ),
        (
            shell(&|p| p["dynamicPoolConfiguration"] = lifecycle(json!({ "cooldownPeriodInSeconds": 3601 }))),
            "InvalidParameter",
        ),
        (
            shell(&|p| p["dynamicPoolConfiguration"] = lifecycle(json!({ "lifecycleType": "OnContainerExit" }))),
            "InvalidParameter",
        ),
        (shell(&|p| p["secrets"] = json!([{ "name": "a" }])), "InvalidParameter"),
        (custom(&|p| p["environmentId"] = Value::Null), "InvalidParameter"),
        (
            custom(&|p| p["environmentId"] = json!("/subscriptions/x")),
            "InvalidParameter",
        ),
        (
            custom(&|p| p["customContainerTemplate"]["containers"] = json!([])),
            "InvalidParameter",
        ),
        (custom(&|p| p["secrets"] = json!([])), "InvalidParameter"),
        (
            custom(&|p| {
                p["dynamicPoolConfiguration"] =
                    lifecycle(json!({ "lifecycleType": "OnContainerExit", "cooldownPeriodInSeconds": 300 }));
            }),
            "InvalidParameter",
        ),
        (
            custom(&|p| p["customContainerTemplate"]["containers"][0]["probes"] = json!([{ "type": "Liveness" }])),
            "InvalidParameter",
        ),
    ];
    for (body, code) in cases {
        wire.put(&wire.pool("rg", "pool"), POOLS, body)
            .await
            .expect_error(400, code);
    }
    for name in ["ab", "1pool", "Pool", "pool-"] {
        wire.put(&wire.pool("rg", name), POOLS, shell_pool())
            .await
            .expect_error(400, "InvalidParameter");
    }
    wire.put(&wire.pool("rg", "my-session-pool"), POOLS, shell_pool())
        .await
        .expect(200);
    wire.put(&wire.pool("nowhere", "pool"), POOLS, shell_pool())
        .await
        .expect_error(404, "ResourceGroupNotFound");
}

#[tokio::test]
async fn what_a_pool_is_and_where_never_changes() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    wire.put(&path, POOLS, shell_pool()).await.expect(200);
    let mut body = shell_pool();
    body["properties"]["containerType"] = json!("PythonLTS");
    wire.put(&path, POOLS, body).await.expect_error(400, "InvalidParameter");
    let mut body = shell_pool();
    body["location"] = json!("westeurope");
    wire.put(&path, POOLS, body)
        .await
        .expect_error(409, "InvalidResourceLocation");
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let mut body = shell_pool();
    body["tags"] = json!({ "a": "1" });
    body["properties"]["secrets"] = json!([{ "name": "one", "value": "1" }, { "name": "two", "value": "2" }]);
    wire.put(&path, POOLS, body).await.expect(200);
    let change = json!({ "properties": {
        "scaleConfiguration": { "maxConcurrentSessions": 9 },
        "secrets": [{ "name": "two", "value": "3" }],
    } });
    let patched = wire.patch(&path, POOLS, change).await.expect(200).body;
    assert_eq!(patched["properties"]["scaleConfiguration"]["maxConcurrentSessions"], 9);
    assert_eq!(
        patched["properties"]["sessionNetworkConfiguration"]["status"],
        "EgressEnabled"
    );
    assert_eq!(
        patched["properties"]["secrets"],
        json!([{ "name": "two" }]),
        "the array is replaced as a whole"
    );
    assert_eq!(patched["tags"], json!({ "a": "1" }));
    wire.patch(&wire.pool("rg", "other"), POOLS, json!({}))
        .await
        .expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn secret_values_are_never_answered() {
    let wire = Wire::start().await.with_environment().await;
    let path = wire.pool("rg", "pool");
    let put = wire
        .put(&path, POOLS, custom_pool(&wire.subscription()))
        .await
        .expect(201)
        .body;
    let get = wire.get(&path, POOLS).await.expect(200).body;
    let requests = wire.control(Method::GET, "requests", None).await.expect(200).body;
    for shown in [put, get, requests] {
        assert!(!shown.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn the_key_of_the_mcp_server_is_fetched_and_rotated() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = wire.pool("rg", "pool");
    let mut body = shell_pool();
    body["properties"]["mcpServerSettings"] = json!({ "isMcpServerEnabled": true });
    let put = wire.put(&path, POOLS, body).await.expect(200).body;
    assert!(
        put["properties"]["mcpServerSettings"]["mcpServerEndpoint"]
            .as_str()
            .unwrap()
            .ends_with("/pool/mcp")
    );
    let post = |action: &'static str| {
        let path = format!("{path}/{action}");
        let wire = &wire;
        async move { wire.arm(Method::POST, &path, POOLS, None).await.expect(200).body["apiKey"].clone() }
    };
    let key = post("fetchMCPServerCredentials").await;
    assert_eq!(post("fetchMcpServerCredentials").await, key);
    let rotated = post("rotateMcpServerCredentials").await;
    assert_ne!(rotated, key);
    assert_eq!(post("fetchMcpServerCredentials").await, rotated);
}
