//! Requests that no client should send: each is refused, none leaks what it carries or stops the emulator.

use reqwest::Method;
use serde_json::{Value, json};

use crate::deployments::{deployment, incremental, template};
use crate::wire::{POOLS, RESOURCES, Wire, answer};
use crate::workloads::{APPS, GROUPS, group_body, user_assigned};

/// The emulator answers, and no secret of a test is in its journal.
async fn assert_sound(wire: &Wire) {
    let journal = wire.control(Method::GET, "requests", None).await.expect(200).body;
    assert!(!journal.to_string().contains("canary"), "{journal}");
}

#[tokio::test]
async fn apps_with_members_of_another_kind_are_refused() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.app("app");
    let none = json!({ "type": "None" });
    let secret = json!({ "name": "a", "value": "canary" });
    for (member, value) in [
        ("configuration", json!("x")),
        ("configuration", json!({ "secrets": { "a": secret } })),
        ("configuration", json!({ "secrets": secret })),
        ("configuration", json!({ "secrets": ["canary"] })),
        ("configuration", json!({ "secrets": [[secret]] })),
        ("configuration", json!({ "registries": "x" })),
        ("configuration", json!({ "identitySettings": {} })),
        ("configuration", json!({ "ingress": "x" })),
        ("configuration", json!({ "ingress": { "targetPort": true } })),
        ("template", json!([])),
        ("template", json!({ "containers": {} })),
        ("template", json!({ "containers": [null] })),
        (
            "template",
            json!({ "containers": [{ "name": "c", "image": "i", "env": { "a": "b" } }] }),
        ),
        (
            "template",
            json!({ "containers": [{ "name": "c", "image": "i", "command": "sh" }] }),
        ),
        (
            "template",
            json!({ "containers": [{ "name": "c", "image": "i" }], "scale": { "rules": [{ "custom": [] }] } }),
        ),
    ] {
        let mut body = wire.app_body(&none);
        body["properties"][member] = value;
        wire.put(&path, APPS, body)
            .await
            .expect_error(400, "InvalidRequestContent");
    }
    let mut nameless = wire.app_body(&none);
    nameless["properties"]["template"]["containers"][0]["env"] = json!([{ "value": "x" }]);
    wire.put(&path, APPS, nameless)
        .await
        .expect_error(400, "InvalidParameterValueInContainerTemplate");
    for properties in [json!(null), json!([]), json!("x"), json!(7)] {
        let mut body = wire.app_body(&none);
        body["properties"] = properties;
        wire.put(&path, APPS, body)
            .await
            .expect_error(400, "InvalidRequestContent");
    }
    wire.get(&path, APPS).await.expect_error(404, "ResourceNotFound");
    assert_sound(&wire).await;
}

#[tokio::test]
async fn an_app_is_in_one_environment_and_its_secrets_are_not_empty() {
    let wire = Wire::instant().await.with_environment().await;
    let none = json!({ "type": "None" });
    let path = wire.with_app("app", &none).await;
    let elsewhere = wire.environment("elsewhere");
    let mut body = wire.app_body(&none);
    body["properties"]["environmentId"] = body["properties"]["managedEnvironmentId"].clone();
    wire.put(&path, APPS, body.clone()).await.expect(201);
    let patch = json!({ "properties": { "managedEnvironmentId": elsewhere } });
    wire.patch(&path, APPS, patch)
        .await
        .expect_error(400, "InvalidParameter");
    body["properties"]["managedEnvironmentId"] = json!(elsewhere);
    wire.put(&path, APPS, body).await.expect_error(400, "InvalidParameter");
    let empty = json!({ "properties": { "configuration": { "secrets": [{ "name": "a", "value": "" }] } } });
    wire.patch(&path, APPS, empty)
        .await
        .expect_error(400, "ContainerAppSecretInvalid");
}

#[tokio::test]
async fn an_identity_block_of_another_kind_takes_nothing_away() {
    let wire = Wire::instant().await.with_environment().await;
    let identity = wire.with_identity("rg", "one").await;
    let id = identity["id"].as_str().unwrap();
    let path = wire.with_app("app", &user_assigned(&[id])).await;
    for block in [
        json!([]),
        json!("SystemAssigned"),
        json!({ "type": ["SystemAssigned"] }),
        json!({ "type": 1 }),
        json!({ "type": "Everything" }),
        json!({ "type": "UserAssigned", "userAssignedIdentities": [id] }),
        json!({ "type": "UserAssigned", "userAssignedIdentities": { id: "x" } }),
        json!({ "type": "UserAssigned", "userAssignedIdentities": { "one": {} } }),
    ] {
        let body = wire.app_body(&block);
        wire.put(&path, APPS, body).await.expect_error(400, "InvalidParameter");
        wire.patch(&path, APPS, json!({ "identity": block }))
            .await
            .expect_error(400, "InvalidParameter");
    }
    for location in [json!(7), json!(["westeurope"]), json!("northeurope")] {
        wire.patch(&path, APPS, json!({ "location": location }))
            .await
            .expect_error(400, "InvalidParameter");
    }
    wire.put(
        id,
        crate::wire::IDENTITIES,
        json!({ "location": "westeurope", "properties": "x" }),
    )
    .await
    .expect_error(400, "InvalidRequestContent");
    let kept = wire.get(&path, APPS).await.expect(200).body;
    assert_eq!(kept["identity"]["type"], "UserAssigned");
}

#[tokio::test]
async fn groups_with_members_of_another_kind_are_refused() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.container_group("group");
    let container = |member: &str, value: Value| {
        let mut containers = group_body()["properties"]["containers"].clone();
        containers[0]["properties"][member] = value;
        ("containers", containers)
    };
    for (member, value) in [
        ("volumes", json!("x")),
        ("volumes", json!([{ "name": "v", "secret": "canary" }])),
        ("imageRegistryCredentials", json!({ "password": "canary" })),
        ("sku", json!("Gold")),
        ("priority", json!(1)),
        ("identityAcls", json!([])),
        container(
            "environmentVariables",
            json!({ "x": { "name": "x", "secureValue": "canary" } }),
        ),
        container("command", json!("sh")),
        container("resources", json!("much")),
    ] {
        let mut body = group_body();
        body["properties"][member] = value;
        wire.put(&path, GROUPS, body)
            .await
            .expect_error(400, "InvalidRequestContent");
    }
    let mut named = group_body();
    named["properties"]["containers"][0]["name"] = json!("A b");
    wire.put(&path, GROUPS, named)
        .await
        .expect_error(400, "InvalidContainerName");
    let mut less = group_body();
    less["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = json!(-1);
    wire.put(&path, GROUPS, less)
        .await
        .expect_error(400, "ResourceRequestsNotSpecified");
    wire.get(&path, GROUPS).await.expect_error(404, "ResourceNotFound");
}

#[tokio::test]
async fn no_secret_of_an_environment_is_answered_whatever_the_case_of_its_name() {
    let wire = Wire::instant().await.with_group("rg").await;
    let path = wire.environment("env");
    let body = json!({ "location": "westeurope", "properties": {
        "appInsightsConfiguration": { "connectionString": "canary" },
        "appLogsConfiguration": {
            "destination": "log-analytics",
            "LogAnalyticsConfiguration": { "customerId": "shown", "SharedKey": "canary" },
        },
        "customDomainConfiguration": {
            "dnsSuffix": "apps.example", "certificateValue": "canary", "CertificatePassword": "canary",
        },
        "daprAIConnectionString": "canary",
        "openTelemetryConfiguration": { "destinationsConfiguration": {
            "dataDogConfiguration": { "site": "s", "key": "canary" },
            "otlpConfigurations": [{ "name": "o", "headers": [{ "key": "k", "value": "canary" }] }],
        } },
    } });
    wire.put(&path, APPS, body.clone())
        .await
        .expect_error(400, "InvalidRequestContent");
    let put = wire.put(&path, POOLS, body).await.expect(201).body;
    let got = wire.get(&path, APPS).await.expect(200).body;
    for answer in [put, got] {
        assert!(!answer.to_string().contains("canary"), "{answer}");
        assert!(answer.to_string().contains("shown"), "{answer}");
    }
    assert_sound(&wire).await;
}

#[tokio::test]
async fn pages_are_never_empty_before_the_end_and_their_tokens_never_overflow() {
    let wire = Wire::start().await.with_group("rg").await;
    let groups = format!("{}/resourcegroups", wire.subscription());
    let one = wire.get(&format!("{groups}?$top=0"), RESOURCES).await.expect(200).body;
    assert_eq!(one["value"].as_array().unwrap().len(), 1);
    let far = wire
        .get(&format!("{groups}?$skiptoken={}", usize::MAX), RESOURCES)
        .await
        .expect(200)
        .body;
    assert_eq!(far, json!({ "value": [] }));
}

#[tokio::test]
async fn bodies_have_a_largest_size_and_depth() {
    let wire = Wire::start().await;
    let path = wire.group("rg");
    let large = json!({ "location": "x".repeat(4 * 1024 * 1024) });
    wire.put(&path, RESOURCES, large)
        .await
        .expect_error(413, "RequestContentTooLarge");
    let url = format!("{}{path}?api-version={RESOURCES}", wire.root());
    let deep = format!("{{\"tags\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let request = wire.client.put(url).bearer_auth(&wire.token);
    let request = request.header("content-type", "application/json").body(deep);
    answer(request.send().await.unwrap())
        .await
        .expect_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn the_clock_stays_within_the_calendar() {
    let wire = Wire::start().await;
    for seconds in [1e13, 1e300] {
        let advance = json!({ "advanceSeconds": seconds });
        wire.control(Method::POST, "clock", Some(advance)).await.expect(400);
    }
    let forever = json!({ "arm": { "groupDeletionSeconds": 1e300 } });
    wire.control(Method::PUT, "behaviour", Some(forever)).await.expect(200);
    let wire = wire.with_group("rg").await;
    wire.delete(&wire.group("rg"), RESOURCES).await.expect(202);
    wire.get(&wire.group("rg"), RESOURCES).await.expect(200);
}

#[tokio::test]
async fn percent_encoded_paths_name_nothing_else() {
    let wire = Wire::start().await.with_group("rg").await;
    let body = json!({ "location": "westeurope" });
    for name in ["a%2Fb", "..%2Fb", "%00a", "a%0d%0ab"] {
        wire.put(&wire.group(name), RESOURCES, body.clone())
            .await
            .expect_error(400, "InvalidResourceGroup");
        wire.put(&wire.identity("rg", name), crate::wire::IDENTITIES, body.clone())
            .await
            .expect_error(400, "InvalidResourceName");
    }
    let encoded = wire.group("%72g");
    assert_eq!(wire.get(&encoded, RESOURCES).await.expect(200).body["name"], "rg");
}

#[tokio::test]
async fn imds_knows_its_own_versions_only() {
    let wire = Wire::start().await;
    let host = wire.operator_host().await;
    for (version, status) in [
        ("2018-02-01", 200),
        ("2021-12-13", 200),
        ("2017-04-02", 400),
        ("latest", 400),
    ] {
        let url = format!(
            "{}/metadata/identity/oauth2/token?api-version={version}&resource=https://management.azure.com/",
            host.text("imds")
        );
        let request = host.client.get(url).header("Metadata", "true");
        answer(request.send().await.unwrap()).await.expect(status);
    }
}

#[tokio::test]
async fn templates_nested_too_deeply_are_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let calls = |count: usize, inner: &str| format!("{}{inner}{}", "concat(".repeat(count), ")".repeat(count));
    let mut value = json!(format!("[{}]", calls(90, "variables('v')")));
    for _ in 0..40 {
        value = json!([value]);
    }
    let body = |output: &str| {
        let mut template = template(json!([]));
        template["variables"] = json!({ "v": value });
        template["outputs"] = json!({ "o": { "type": "string", "value": output } });
        incremental(template)
    };
    for output in [
        format!("[{}]", calls(1_000, "'x'")),
        format!("[{}]", calls(100_000, "'x'")),
        format!("[resourceGroup(){}]", ".tags".repeat(4_000)),
        "[variables('v')]".to_owned(),
    ] {
        wire.put(&deployment(&wire, "deep"), RESOURCES, body(&output))
            .await
            .expect_error(400, "InvalidTemplate");
    }
    wire.get(&wire.group("rg"), RESOURCES).await.expect(200);
}
