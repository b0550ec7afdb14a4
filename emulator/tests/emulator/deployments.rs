//! Template deployments: what they do, and what is seen of them meanwhile.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{Answer, POOLS, RESOURCES, Wire, custom_pool, shell_pool};
use crate::workloads::APPS;

pub fn deployment(wire: &Wire, name: &str) -> String {
    format!("{}/providers/Microsoft.Resources/deployments/{name}", wire.group("rg"))
}

/// A template of these resources.
pub fn template(resources: Value) -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    })
}

pub fn incremental(template: Value) -> Value {
    json!({ "properties": { "mode": "Incremental", "template": template } })
}

/// A resource of a template: a body with its type and name.
pub fn resource(kind: &str, name: &str, body: Value) -> Value {
    let mut resource = body;
    resource["type"] = json!(kind);
    resource["name"] = json!(name);
    resource["apiVersion"] = json!(POOLS);
    resource
}

pub fn shell(name: &str) -> Value {
    resource("Microsoft.App/sessionPools", name, shell_pool())
}

fn custom(wire: &Wire, name: &str) -> Value {
    resource("Microsoft.App/sessionPools", name, custom_pool(&wire.subscription()))
}

/// Asks for a deployment and moves the clock until it is over.
pub async fn deploy(wire: &Wire, name: &str, body: Value) -> Value {
    let path = deployment(wire, name);
    let put = wire.put(&path, RESOURCES, body).await;
    assert!(put.status.is_success(), "{:?}", put.body);
    finish(wire, name).await
}

pub async fn finish(wire: &Wire, name: &str) -> Value {
    for _ in 0..20 {
        let seen = wire.get(&deployment(wire, name), RESOURCES).await.expect(200).body;
        if !["Accepted", "Running"].contains(&seen["properties"]["provisioningState"].as_str().unwrap()) {
            return seen;
        }
        wire.advance(20).await;
    }
    panic!("the deployment {name} does not end");
}

pub async fn operations(wire: &Wire, name: &str) -> Vec<Value> {
    let path = format!("{}/deployments/{name}/operations", wire.group("rg"));
    wire.get(&path, RESOURCES).await.expect(200).body["value"]
        .as_array()
        .unwrap()
        .clone()
}

async fn put_text(wire: &Wire, path: &str, text: String) -> Answer {
    let request = wire
        .client
        .put(format!("{}{path}?api-version={RESOURCES}", wire.root()))
        .bearer_auth(&wire.token)
        .header("content-type", "application/json");
    crate::wire::answer(request.body(text).send().await.unwrap()).await
}

#[tokio::test]
async fn the_template_of_the_tutorial_becomes_a_pool() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = deployment(&wire, "deploy");
    let mut pool = shell_pool();
    pool["location"] = json!("North Central US");
    let pool = resource("Microsoft.App/sessionpools", "myshellpool", pool);
    let put = wire
        .put(&path, RESOURCES, incremental(template(json!([pool]))))
        .await
        .expect(201);
    assert_eq!(put.body["type"], "Microsoft.Resources/deployments");
    assert_eq!(put.body["properties"]["provisioningState"], "Accepted");
    let status = put.header("azure-asyncoperation").unwrap().to_owned();
    assert_eq!(
        wire.follow(&status).await.expect(200).body,
        json!({ "status": "Accepted" })
    );
    wire.get(&wire.pool("rg", "myshellpool"), POOLS).await.expect(404);

    wire.advance(3).await;
    assert_eq!(wire.follow(&status).await.expect(200).body["status"], "Running");
    wire.get(&wire.pool("rg", "myshellpool"), POOLS).await.expect(200);
    wire.advance(3).await;
    assert_eq!(
        wire.follow(&status).await.expect(200).body,
        json!({ "status": "Succeeded" })
    );

    let seen = wire.get(&path, RESOURCES).await.expect(200).body;
    let id = format!("{}/providers/Microsoft.App/sessionpools/myshellpool", wire.group("rg"));
    assert_eq!(seen["properties"]["outputResources"], json!([{ "id": id }]));
    assert_eq!(
        seen["properties"]["providers"][0]["resourceTypes"][0]["locations"],
        json!(["northcentralus"])
    );
    let operations = operations(&wire, "deploy").await;
    let what: Vec<&Value> = operations
        .iter()
        .map(|one| &one["properties"]["provisioningOperation"])
        .collect();
    assert_eq!(what, ["Create", "EvaluateDeploymentOutput"]);
    assert_eq!(
        operations[0]["properties"]["targetResource"]["resourceName"],
        "myshellpool"
    );
    let one = format!("{path}/operations/{}", operations[0]["operationId"].as_str().unwrap());
    assert_eq!(
        wire.get(&one, RESOURCES).await.expect(200).body["properties"]["statusCode"],
        "OK"
    );
}

#[tokio::test]
async fn a_file_with_comments_is_taken_as_the_azure_cli_sends_it_and_one_with_a_hash_is_not() {
    let wire = Wire::start().await.with_group("rg").await;
    let template = template(json!([shell("pool")])).to_string();
    let body = |comment: &str| {
        let template = template.replacen(',', &format!(", {comment}\n"), 1);
        format!("{{\"properties\": {{\"parameters\": {{}}, \"mode\": \"Incremental\", template:{template}}}}}")
    };
    put_text(&wire, &deployment(&wire, "slashes"), body("// said"))
        .await
        .expect(201);
    assert_eq!(
        finish(&wire, "slashes").await["properties"]["provisioningState"],
        "Succeeded"
    );
    let refused = put_text(&wire, &deployment(&wire, "hash"), body("# said")).await;
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("character: #.")
    );
    refused.expect_error(400, "InvalidRequestContent");
}

#[tokio::test]
async fn what_depends_on_a_resource_waits_for_it() {
    let wire = Wire::start().await.with_environment().await;
    let mut second = shell("second");
    second["dependsOn"] = json!(["[resourceId('Microsoft.App/sessionPools', 'first')]"]);
    let mut third = shell("third");
    third["dependsOn"] = json!(["Microsoft.App/sessionPools/second"]);
    let body = incremental(template(json!([third, second, custom(&wire, "first")])));
    wire.put(&deployment(&wire, "d"), RESOURCES, body).await.expect(201);
    wire.advance(3).await;
    wire.get(&wire.pool("rg", "first"), POOLS).await.expect(200);
    wire.get(&wire.pool("rg", "second"), POOLS).await.expect(404);
    assert_eq!(
        operations(&wire, "d").await.len(),
        1,
        "only what was asked for is an operation"
    );
    wire.advance(31).await;
    wire.get(&wire.pool("rg", "second"), POOLS).await.expect(200);
    wire.get(&wire.pool("rg", "third"), POOLS).await.expect(200);
    let ended = finish(&wire, "d").await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded");
    let dependencies = ended["properties"]["dependencies"].as_array().unwrap();
    assert_eq!(dependencies[0]["resourceName"], "third");
    assert_eq!(dependencies[0]["dependsOn"][0]["resourceName"], "second");
}

#[tokio::test]
async fn a_resource_that_fails_keeps_back_what_depends_on_it_and_nothing_else() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut bad = shell("bad");
    bad["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = json!(0);
    let mut dependent = shell("dependent");
    dependent["dependsOn"] = json!(["bad"]);
    let body = incremental(template(json!([bad, dependent, shell("other")])));
    let ended = deploy(&wire, "d", body).await;
    assert_eq!(ended["properties"]["provisioningState"], "Failed");
    let error = &ended["properties"]["error"];
    assert_eq!(error["code"], "DeploymentFailed");
    assert_eq!(error["target"], ended["id"]);
    let direct = {
        let mut body = shell_pool();
        body["properties"]["scaleConfiguration"]["maxConcurrentSessions"] = json!(0);
        wire.put(&wire.pool("rg", "direct"), POOLS, body).await.expect(400).body
    };
    assert_eq!(error["details"].as_array().unwrap().len(), 1);
    assert_eq!(
        error["details"][0]["code"], direct["error"]["code"],
        "the provider's own error is nested"
    );
    assert_eq!(error["details"][0]["message"], direct["error"]["message"]);
    wire.get(&wire.pool("rg", "dependent"), POOLS).await.expect(404);
    wire.get(&wire.pool("rg", "other"), POOLS).await.expect(200);
    let failed = &operations(&wire, "d").await[0]["properties"];
    assert_eq!(
        (&failed["provisioningState"], &failed["statusCode"]),
        (&json!("Failed"), &json!("BadRequest"))
    );
    assert_eq!(failed["statusMessage"]["error"], error["details"][0]);
}

#[tokio::test]
async fn a_resource_that_ends_in_failure_fails_its_deployment() {
    let switches = json!({ "arm": { "providersRegistered": true, "poolOutcome": "Failed" } });
    let wire = Wire::with(switches).await.with_environment().await;
    let ended = deploy(&wire, "d", incremental(template(json!([custom(&wire, "pool")])))).await;
    assert_eq!(ended["properties"]["provisioningState"], "Failed");
    assert_eq!(
        ended["properties"]["error"]["details"][0]["code"],
        "ResourceDeploymentFailure"
    );
    assert_eq!(operations(&wire, "d").await[0]["properties"]["statusCode"], "Conflict");
}

#[tokio::test]
async fn an_active_deployment_is_neither_overwritten_nor_deleted_and_can_be_cancelled() {
    let wire = Wire::start().await.with_environment().await;
    let path = deployment(&wire, "d");
    let body = incremental(template(json!([custom(&wire, "pool")])));
    wire.put(&path, RESOURCES, body.clone()).await.expect(201);
    wire.put(&path, RESOURCES, body.clone())
        .await
        .expect_error(409, "DeploymentActive");
    wire.delete(&path, RESOURCES)
        .await
        .expect_error(409, "DeploymentActive");
    let cancel = format!("{path}/cancel");
    wire.arm(Method::POST, &cancel, RESOURCES, None).await.expect(204);
    wire.arm(Method::POST, &cancel, RESOURCES, None)
        .await
        .expect_error(409, "DeploymentCannotBeCancelled");
    wire.advance(60).await;
    wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(404);
    let seen = wire.get(&path, RESOURCES).await.expect(200).body;
    assert_eq!(seen["properties"]["provisioningState"], "Canceled");

    wire.put(&path, RESOURCES, body).await.expect(200);
    wire.advance(3).await;
    wire.arm(Method::POST, &cancel, RESOURCES, None).await.expect(204);
    let cancelled = &operations(&wire, "d").await[0]["properties"];
    assert_eq!(cancelled["provisioningState"], "Canceled");
    wire.advance(60).await;
    wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(200);
}

#[tokio::test]
async fn a_record_is_listed_looked_for_and_deleted_and_its_resources_stay() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = deployment(&wire, "d");
    wire.arm(Method::HEAD, &path, RESOURCES, None).await.expect(404);
    wire.get(&path, RESOURCES).await.expect_error(404, "DeploymentNotFound");
    deploy(&wire, "d", incremental(template(json!([shell("pool")])))).await;
    wire.arm(Method::HEAD, &path, RESOURCES, None).await.expect(204);
    let list = async |query: &str| {
        let list = format!("{}/providers/Microsoft.Resources/deployments{query}", wire.group("rg"));
        let list = wire.get(&list, RESOURCES).await.expect(200).body;
        list["value"].as_array().unwrap().len()
    };
    assert_eq!(list("").await, 1);
    assert_eq!(list("?$filter=provisioningState%20eq%20'Failed'").await, 0);
    let deletion = wire.delete(&path, RESOURCES).await.expect(202);
    let location = deletion.header("location").unwrap().to_owned();
    wire.follow(&location).await.expect(202);
    wire.advance(3).await;
    wire.follow(&location).await.expect(204);
    wire.get(&path, RESOURCES).await.expect(404);
    wire.delete(&path, RESOURCES).await.expect(204);
    wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(200);
}

#[tokio::test]
async fn complete_mode_deletes_what_the_template_lacks_and_incremental_mode_nothing() {
    let wire = Wire::start().await.with_group("rg").await;
    wire.put(&wire.pool("rg", "old"), POOLS, shell_pool()).await.expect(200);
    let mut body = incremental(template(json!([shell("new")])));
    deploy(&wire, "incremental", body.clone()).await;
    wire.get(&wire.pool("rg", "old"), POOLS).await.expect(200);
    body["properties"]["mode"] = json!("Complete");
    let ended = deploy(&wire, "complete", body).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    assert_eq!(ended["properties"]["outputResources"].as_array().unwrap().len(), 1);
    wire.get(&wire.pool("rg", "old"), POOLS).await.expect(404);
    wire.get(&wire.pool("rg", "new"), POOLS).await.expect(200);
    let what: Vec<Value> = operations(&wire, "complete")
        .await
        .iter()
        .map(|one| one["properties"]["provisioningOperation"].clone())
        .collect();
    assert_eq!(what, ["Create", "Delete", "EvaluateDeploymentOutput"]);
}

#[tokio::test]
async fn complete_mode_deletes_what_others_use_once_these_are_gone() {
    let wire = Wire::start().await.with_environment().await;
    wire.put(&wire.app("app"), APPS, wire.app_body(&Value::Null))
        .await
        .expect(201);
    wire.advance(31).await;
    let mut body = incremental(template(json!([])));
    body["properties"]["mode"] = json!("Complete");
    let ended = deploy(&wire, "d", body).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    wire.get(&wire.app("app"), APPS).await.expect(404);
    wire.get(&wire.environment("env"), APPS).await.expect(404);
}

#[tokio::test]
async fn validation_writes_nothing_and_tells_what_would_be_written() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = format!("{}/validate", deployment(&wire, "d"));
    let body = incremental(template(json!([shell("pool")])));
    let valid = wire
        .arm(Method::POST, &path, RESOURCES, Some(body))
        .await
        .expect(200)
        .body;
    assert_eq!(
        valid["properties"]["validatedResources"],
        json!([{ "id": wire.pool("rg", "pool") }])
    );
    let body = incremental(template(json!([resource("Microsoft.App/nothing", "x", json!({}))])));
    wire.arm(Method::POST, &path, RESOURCES, Some(body))
        .await
        .expect_error(400, "InvalidResourceType");
    wire.advance(60).await;
    wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(404);
    wire.get(&deployment(&wire, "d"), RESOURCES).await.expect(404);
}

#[tokio::test]
async fn a_deployment_keeps_the_values_that_its_group_gave_it() {
    let wire = Wire::start().await.with_group("rg").await;
    let mut all = template(json!([]));
    all["parameters"] = json!({ "tags": { "type": "object", "defaultValue": "[resourceGroup().tags]" } });
    all["outputs"] = json!({ "tags": { "type": "object", "value": "[resourceGroup().tags]" } });
    wire.put(&deployment(&wire, "d"), RESOURCES, incremental(all))
        .await
        .expect(201);
    wire.arm(
        Method::PATCH,
        &wire.group("rg"),
        RESOURCES,
        Some(json!({ "tags": { "a": "b" } })),
    )
    .await
    .expect(200);
    let ended = finish(&wire, "d").await;
    assert_eq!(ended["properties"]["outputs"]["tags"]["value"], json!({}));
    assert_eq!(ended["properties"]["parameters"]["tags"]["value"], json!({}));
}

#[tokio::test]
async fn a_deployment_ends_without_being_watched_and_goes_with_its_group() {
    let wire = Wire::with(json!({ "arm": { "providersRegistered": true, "deploymentPhaseSeconds": 0.01 } }))
        .await
        .with_group("rg")
        .await;
    let path = deployment(&wire, "d");
    wire.put(&path, RESOURCES, incremental(template(json!([shell("pool")]))))
        .await
        .expect(201);
    let ended = async {
        while wire
            .emulator
            .state()
            .store()
            .deployments
            .get(&path)
            .unwrap()
            .is_active()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    wire.delete(&wire.group("rg"), RESOURCES).await.expect(202);
    wire.put(&path, RESOURCES, incremental(template(json!([]))))
        .await
        .expect_error(409, "ResourceGroupBeingDeleted");
    wire.advance(31).await;
    let wire = wire.with_group("rg").await;
    wire.get(&path, RESOURCES).await.expect(404);
}
