//! Template deployments: the template language.

use serde_json::{Value, json};

use crate::deployments::{deploy, deployment, incremental, resource, template};
use crate::wire::{POOLS, RESOURCES, Wire, shell_pool};

/// A template without resources whose outputs are these expressions.
fn outputs(cases: &[(&str, &str, Value)]) -> Value {
    let mut all = template(json!([]));
    for (at, (kind, expression, _)) in cases.iter().enumerate() {
        all["outputs"][format!("o{at}")] = json!({ "type": kind, "value": expression });
    }
    all
}

#[tokio::test]
async fn expressions_have_the_values_that_arm_gives_them() {
    let wire = Wire::start().await.with_group("rg").await;
    let (group, subscription) = (wire.group("rg"), wire.emulator.ready().subscription_id.clone());
    let cases = [
        ("string", "literal", json!("literal")),
        ("string", "[[literal]", json!("[literal]")),
        ("string", "[concat('it''s ', 1, true())]", json!("it's 1True")),
        ("array", "[concat(createArray(1), createArray('b'))]", json!([1, "b"])),
        ("string", "[format('{0}-{1}{{}}', 'a', 2)]", json!("a-2{}")),
        ("string", "[toLower(toUpper('aB'))]", json!("ab")),
        ("string", "[resourceGroup().location]", json!("westeurope")),
        ("string", "[resourceGroup().id]", json!(group)),
        ("string", "[resourceGroup()['name']]", json!("rg")),
        ("string", "[subscription().subscriptionId]", json!(subscription)),
        ("string", "[subscription().id]", json!(wire.subscription())),
        ("string", "[tenant().tenantId]", json!(wire.emulator.ready().tenant_id)),
        ("string", "[deployment().name]", json!("d")),
        (
            "string",
            "[resourceId('Microsoft.App/sessionPools', 'p')]",
            json!(wire.pool("rg", "p")),
        ),
        (
            "string",
            "[resourceId('other', 'Microsoft.App/sessionPools', 'p')]",
            json!(wire.pool("other", "p")),
        ),
        (
            "string",
            "[extensionResourceId(resourceGroup().id, 'Microsoft.Authorization/roleAssignments', 'n')]",
            json!(format!("{group}/providers/Microsoft.Authorization/roleAssignments/n")),
        ),
        // A version 5 UUID of the arguments, joined by hyphens, in ARM's own namespace.
        (
            "string",
            "[guid('a', 'b')]",
            json!("2d796349-8c7e-55ec-9624-54ece82ed031"),
        ),
        ("int", "[length(split('a,b,c', ','))]", json!(3)),
        ("string", "[join(createArray('a', 'b'), '-')]", json!("a-b")),
        ("string", "[if(equals(1, 1), 'yes', parameters('none'))]", json!("yes")),
        ("bool", "[and(not(false()), or(false(), empty('')))]", json!(true)),
        ("bool", "[contains(createObject('a', 1), 'A')]", json!(true)),
        ("string", "[coalesce(null(), 'x')]", json!("x")),
        ("string", "[substring(replace('abc', 'b', '--'), 1, 2)]", json!("--")),
        ("int", "[int('42')]", json!(42)),
        ("string", "[string(false())]", json!("False")),
    ];
    let ended = deploy(&wire, "d", incremental(outputs(&cases))).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    for (at, (_, expression, wanted)) in cases.iter().enumerate() {
        let value = &ended["properties"]["outputs"][format!("o{at}")]["value"];
        assert_eq!(value, wanted, "{expression}");
    }
}

#[tokio::test]
async fn parameters_and_variables_make_a_resource() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut pool = shell_pool();
    pool["location"] = json!("[parameters('location')]");
    pool["tags"] = json!("[parameters('tags')]");
    pool["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = json!("[parameters('sessions')]");
    let mut all = template(json!([resource(
        "Microsoft.App/sessionPools",
        "[variables('name')]",
        pool
    )]));
    all["parameters"] = json!({
        "prefix": { "type": "string", "minLength": 2 },
        "location": { "type": "string", "defaultValue": "[resourceGroup().location]" },
        "sessions": { "type": "int", "defaultValue": 5, "maxValue": 10 },
        "tags": { "type": "object", "defaultValue": { "made": "[concat('by ', parameters('prefix'))]" } },
        "unused": { "type": "array", "defaultValue": [], "allowedValues": [[], ["a"]] },
        "flag": { "type": "bool", "defaultValue": false },
    });
    all["variables"] =
        json!({ "suffix": "pool", "name": "[toLower(concat(parameters('PREFIX'), '-', variables('suffix')))]" });
    all["outputs"] =
        json!({ "id": { "type": "string", "value": "[resourceId('Microsoft.App/sessionPools', variables('name'))]" } });
    let mut body = incremental(all);
    body["properties"]["parameters"] = json!({ "prefix": { "value": "MY" }, "sessions": { "value": 7 } });
    let ended = deploy(&wire, "d", body).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    let shown = &ended["properties"]["parameters"];
    assert_eq!(shown["prefix"], json!({ "type": "String", "value": "MY" }));
    assert_eq!(shown["location"], json!({ "type": "String", "value": "westeurope" }));
    assert_eq!(
        ended["properties"]["outputs"]["id"]["value"],
        wire.pool("rg", "my-pool")
    );
    let pool = wire.get(&wire.pool("rg", "my-pool"), POOLS).await.expect(200).body;
    assert_eq!(pool["properties"]["scaleConfiguration"]["maxConcurrentSessions"], 7);
    assert_eq!(pool["tags"], json!({ "made": "by MY" }));
    assert_eq!(pool["location"], "West Europe");
}

#[tokio::test]
async fn secure_values_are_never_shown() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut all = template(json!([]));
    all["parameters"] = json!({
        "password": { "type": "secureString" },
        "object": { "type": "secureObject", "defaultValue": { "a": "canary-default" } },
    });
    all["outputs"] = json!({ "out": { "type": "secureString", "value": "[parameters('password')]" } });
    let mut body = incremental(all);
    body["properties"]["parameters"] = json!({ "password": { "value": "canary" } });
    let ended = deploy(&wire, "d", body).await;
    assert_eq!(
        ended["properties"]["parameters"]["password"],
        json!({ "type": "SecureString" })
    );
    assert_eq!(ended["properties"]["outputs"]["out"], json!({ "type": "SecureString" }));
    assert!(!ended.to_string().contains("canary"), "{ended}");
    let journal = wire
        .control(reqwest::Method::GET, "requests", None)
        .await
        .expect(200)
        .body;
    assert!(
        !journal.to_string().contains("canary"),
        "the journal shows digests only"
    );
}

#[tokio::test]
async fn the_state_of_a_resource_is_read_once_it_is_there() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut second = resource("Microsoft.App/sessionPools", "second", shell_pool());
    second["tags"] = json!({ "first": "[reference('first').poolManagementEndpoint]" });
    let first = resource("Microsoft.App/sessionPools", "first", shell_pool());
    let mut all = template(json!([second, first]));
    all["outputs"] = json!({
        "name": { "type": "string", "value": "[reference(resourceId('Microsoft.App/sessionPools', 'first'), '2025-07-01', 'Full').name]" },
    });
    let ended = deploy(&wire, "d", incremental(all.clone())).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    assert_eq!(ended["properties"]["outputs"]["name"]["value"], "first");
    assert_eq!(
        ended["properties"]["dependencies"][0]["dependsOn"][0]["resourceName"],
        "first"
    );
    let first = wire.get(&wire.pool("rg", "first"), POOLS).await.expect(200).body;
    let second = wire.get(&wire.pool("rg", "second"), POOLS).await.expect(200).body;
    assert_eq!(second["tags"]["first"], first["properties"]["poolManagementEndpoint"]);

    all["outputs"]["name"]["value"] = json!("[reference('first').nothing]");
    let ended = deploy(&wire, "d", incremental(all)).await;
    assert_eq!(ended["properties"]["provisioningState"], "Failed");
    let error = &ended["properties"]["error"];
    assert_eq!(error["code"], "DeploymentOutputEvaluationFailed");
    assert_eq!(error["details"][0]["target"], "name");
}

#[tokio::test]
async fn a_resource_whose_condition_is_false_is_left_out() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut absent = resource("Microsoft.App/sessionPools", "absent", shell_pool());
    absent["condition"] = json!("[equals('a', 'b')]");
    let mut present = resource("Microsoft.App/sessionPools", "present", shell_pool());
    present["dependsOn"] = json!(["absent"]);
    let ended = deploy(&wire, "d", incremental(template(json!([absent, present])))).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded");
    wire.get(&wire.pool("rg", "present"), POOLS).await.expect(200);
    wire.get(&wire.pool("rg", "absent"), POOLS).await.expect(404);
}

/// A shell pool whose member is replaced.
fn with(member: &str, value: Value) -> Value {
    let mut pool = resource("Microsoft.App/sessionPools", "pool", shell_pool());
    pool[member] = value;
    pool
}

#[tokio::test]
async fn templates_that_are_wrong_are_refused_before_anything_runs() {
    let wire = Wire::start().await.with_group("rg").await;
    let declared = |parameters: Value| {
        let mut all = template(json!([]));
        all["parameters"] = parameters;
        all
    };
    let mut odd = template(json!([]));
    odd["resource"] = json!([]);
    let mut no_version = template(json!([]));
    no_version.as_object_mut().unwrap().remove("contentVersion");
    let other_schema = json!({
        "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [],
    });
    let circle = json!([with("dependsOn", json!(["pool"]))]);
    let cases = [
        (odd, "InvalidTemplate", "Could not find member 'resource'"),
        (no_version, "InvalidTemplate", "Required property 'contentVersion'"),
        (other_schema, "InvalidTemplate", "template schema"),
        (
            declared(json!({ "a": { "type": "string" } })),
            "InvalidTemplate",
            "parameter 'a' is not provided",
        ),
        (
            declared(json!({ "a": { "type": "text", "defaultValue": "" } })),
            "InvalidTemplate",
            "The type 'text'",
        ),
        (
            declared(json!({ "a": { "type": "int", "defaultValue": "1" } })),
            "InvalidTemplate",
            "Expected 'Int'. Actual 'String'",
        ),
        (
            declared(json!({ "a": { "type": "string", "defaultValue": "x", "allowedValues": ["y", "z"] } })),
            "InvalidTemplate",
            "allowed value(s): 'y,z'",
        ),
        (
            declared(json!({ "a": { "type": "int", "defaultValue": 3, "minValue": 4 } })),
            "InvalidTemplate",
            "'minValue'",
        ),
        (
            declared(json!({ "a": { "type": "string", "defaultValue": "[parameters('a')]" } })),
            "InvalidTemplate",
            "circular dependency",
        ),
        (
            template(json!([with("tags", json!({ "a": "[parameters('b')]" }))])),
            "InvalidTemplate",
            "parameter 'b' is not found",
        ),
        (
            template(json!([with("tags", json!({ "a": "[variables('b')]" }))])),
            "InvalidTemplate",
            "variable 'b' is not found",
        ),
        (
            template(json!([with("tags", json!({ "a": "[concat('b']" }))])),
            "InvalidTemplate",
            "Unable to parse language expression",
        ),
        (
            template(json!([with("tags", json!({ "a": "[nothing()]" }))])),
            "InvalidTemplate",
            "'nothing' is not valid",
        ),
        (
            template(json!([with("tags", json!({ "a": "[uniqueString('a')]" }))])),
            "InvalidTemplate",
            "'uniqueString' is not supported by this emulator",
        ),
        (
            template(json!([with("name", json!("[reference('x').name]"))])),
            "InvalidTemplate",
            "'reference' is not expected",
        ),
        (
            template(json!([with("name", json!("a/b"))])),
            "InvalidTemplate",
            "incorrect segment lengths",
        ),
        (
            template(json!([with("type", json!("pools"))])),
            "InvalidTemplate",
            "incorrect segment lengths",
        ),
        (
            template(json!([with("dependsOn", json!(["nobody"]))])),
            "InvalidTemplate",
            "'nobody' is not defined",
        ),
        (template(circle), "InvalidTemplate", "Circular dependency"),
        (
            template(json!([with("a", json!(1)), with("b", json!(1))])),
            "InvalidTemplate",
            "defined multiple times",
        ),
        (
            template(json!([with("copy", json!({ "count": 2 }))])),
            "InvalidTemplate",
            "copy loops are not supported",
        ),
        (
            template(json!([with("type", json!("Microsoft.Nothing/pools"))])),
            "InvalidResourceNamespace",
            "Microsoft.Nothing",
        ),
        (
            template(json!([with("apiVersion", json!("2001-01-01"))])),
            "NoRegisteredProviderFound",
            "'2001-01-01'",
        ),
        (
            template(json!([with("location", json!("moon"))])),
            "LocationNotAvailableForResourceType",
            "'moon'",
        ),
        (
            template(json!([
                with("location", json!("moon")),
                resource("Microsoft.App/nothing", "x", json!({}))
            ])),
            "MultipleErrorsOccurred",
            "LocationNotAvailableForResourceType,InvalidResourceType",
        ),
    ];
    for (template, code, part) in cases {
        let shown = template.to_string();
        let refused = wire
            .put(&deployment(&wire, "d"), RESOURCES, incremental(template))
            .await;
        let message = refused.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{part}: {message} for {shown}");
        refused.expect_error(400, code);
    }
    wire.get(&deployment(&wire, "d"), RESOURCES).await.expect(404);
}

#[tokio::test]
async fn no_template_keeps_the_emulator_busy() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut doubling = template(json!([]));
    for level in 0..22 {
        let next = level + 1;
        doubling["variables"][format!("v{level}")] =
            json!(format!("[createArray(variables('v{next}'), variables('v{next}'))]"));
    }
    doubling["variables"]["v22"] = json!("x");
    doubling["outputs"] = json!({ "o": { "type": "array", "value": "[variables('v0')]" } });
    let mut growing = doubling.clone();
    for level in 0..22 {
        let next = level + 1;
        growing["variables"][format!("v{level}")] =
            json!(format!("[concat(variables('v{next}'), variables('v{next}'))]"));
    }
    let many = template(Value::Array(vec![with("a", json!(1)); 801]));
    for (template, part) in [
        (doubling, "is not valid"),
        (growing, "is not valid"),
        (many, "Limit: '800'"),
    ] {
        let refused = wire
            .put(&deployment(&wire, "d"), RESOURCES, incremental(template))
            .await;
        let message = refused.body["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{message}");
        refused.expect_error(400, "InvalidTemplate");
    }
}

#[tokio::test]
async fn requests_that_are_wrong_are_refused() {
    let wire = Wire::start().await.with_group("rg").await;
    let put = async |body: Value| wire.put(&deployment(&wire, "d"), RESOURCES, body).await;
    let mut unknown = incremental(template(json!([])));
    unknown["properties"]["parameters"] = json!({ "nobody": { "value": 1 } });
    let refused = put(unknown).await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("'nobody'"));
    refused.expect_error(400, "InvalidTemplate");
    put(json!({})).await.expect_error(400, "InvalidRequestContent");
    put(json!({ "properties": { "template": template(json!([])) } }))
        .await
        .expect_error(400, "InvalidRequestContent");
    put(json!({ "properties": { "mode": "Incremental" } }))
        .await
        .expect_error(400, "InvalidDeployment");
    let mut placed = incremental(template(json!([])));
    placed["location"] = json!("westeurope");
    put(placed).await.expect_error(400, "InvalidDeployment");
    put(json!({ "properties": { "mode": "Incremental", "templateLink": { "uri": "https://example.com" } } }))
        .await
        .expect_error(400, "InvalidTemplate");
    let path = deployment(&wire, "d").replace("/rg/", "/nowhere/");
    wire.put(&path, RESOURCES, incremental(template(json!([]))))
        .await
        .expect_error(404, "ResourceGroupNotFound");
    let path = deployment(&wire, &"x".repeat(65));
    wire.put(&path, RESOURCES, incremental(template(json!([]))))
        .await
        .expect_error(400, "InvalidDeployment");
}
