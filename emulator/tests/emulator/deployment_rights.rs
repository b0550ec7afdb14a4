//! Template deployments: whose rights they have, and what they ask of providers.

use reqwest::Method;
use serde_json::json;

use crate::deployments::{deploy, deployment, finish, incremental, operations, shell, template};
use crate::wire::{POOLS, RESOURCES, ROLES, Wire, shell_pool};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";

#[tokio::test]
async fn a_deployment_has_the_rights_of_its_caller() {
    let wire = Wire::start().await.with_group("rg").await;
    let path = deployment(&wire, "d");
    let assignment = json!({
        "type": "Microsoft.Authorization/roleAssignments",
        "name": "[guid('a')]",
        "apiVersion": ROLES,
        "properties": {
            "roleDefinitionId": format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{READER}')]"),
            "principalId": "11111111-2222-4333-8444-555555555555",
            "principalType": "ServicePrincipal",
        },
    });
    let body = incremental(template(json!([shell("pool"), assignment])));
    let (_, reader) = wire.application(&[(&wire.group("rg"), READER)]).await;
    wire.arm_as(&reader, Method::PUT, &path, RESOURCES, Some(body.clone()))
        .await
        .expect_error(403, "AuthorizationFailed");
    let (_, contributor) = wire.application(&[(&wire.group("rg"), CONTRIBUTOR)]).await;
    let refused = wire
        .arm_as(&contributor, Method::PUT, &path, RESOURCES, Some(body.clone()))
        .await
        .expect_error(403, "InvalidTemplateDeployment");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("Authorization failed for template resource"),
        "{message}"
    );
    assert!(
        message.contains("'Microsoft.Authorization/roleAssignments/write'"),
        "{message}"
    );

    // Without the check beforehand, the resource itself is refused.
    let mut unchecked = body;
    unchecked["properties"]["validationLevel"] = json!("ProviderNoRbac");
    wire.arm_as(&contributor, Method::PUT, &path, RESOURCES, Some(unchecked))
        .await
        .expect(201);
    let ended = finish(&wire, "d").await;
    assert_eq!(
        ended["properties"]["error"]["details"][0]["code"],
        "AuthorizationFailed"
    );
    wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(200);
}

#[tokio::test]
async fn a_role_is_assigned_on_a_resource_of_the_same_template() {
    let wire = Wire::start().await.with_group("rg").await;
    let principal = "11111111-2222-4333-8444-555555555555";
    let assignment = json!({
        "type": "Microsoft.Authorization/roleAssignments",
        "name": format!("[guid(resourceId('Microsoft.App/sessionPools', 'pool'), '{principal}')]"),
        "apiVersion": ROLES,
        "scope": "Microsoft.App/sessionPools/pool",
        "dependsOn": ["pool"],
        "properties": {
            "roleDefinitionId": format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{EXECUTOR}')]"),
            "principalId": principal,
            "principalType": "ServicePrincipal",
        },
    });
    let body = incremental(template(json!([assignment, shell("pool")])));
    let ended = deploy(&wire, "d", body.clone()).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{principal}'",
        wire.pool("rg", "pool")
    );
    let list = wire.get(&list, ROLES).await.expect(200).body;
    assert_eq!(list["value"][0]["properties"]["scope"], wire.pool("rg", "pool"));
}

#[tokio::test]
async fn providers_of_a_template_are_registered() {
    let wire = Wire::with(json!({})).await.with_group("rg").await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect_error(409, "MissingSubscriptionRegistration");
    wire.put(
        &deployment(&wire, "d"),
        RESOURCES,
        incremental(template(json!([shell("pool")]))),
    )
    .await
    .expect(201);
    wire.advance(3).await;
    assert_eq!(operations(&wire, "d").await.len(), 0, "nothing is written before");
    let ended = finish(&wire, "d").await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
}
