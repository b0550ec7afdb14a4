//! Commands in a session pool, run with the tokens of workloads' identities.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wire::{Answer, POOLS, ROLES, Wire, answer, shell_pool};
use crate::workloads::{APPS, GROUPS, Host, group_body, system_assigned, user_assigned};

const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";
const SESSIONS: &str = "https://dynamicsessions.io";

/// Where a workload gets its token.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Imds,
    AppService,
}

async fn token(host: &Host, endpoint: Endpoint, resource: &str, client_id: &str) -> String {
    let selector = format!("&client_id={client_id}");
    let granted = match endpoint {
        Endpoint::Imds => host.imds_for(resource, &selector).await,
        Endpoint::AppService => host.app_service_for(resource, &selector).await,
    };
    granted.expect(200).body["access_token"].as_str().unwrap().to_owned()
}

/// Runs `echo hello` in a session of its own.
async fn run(wire: &Wire, pool: &Value, token: &str) -> Answer {
    let endpoint = pool["properties"]["poolManagementEndpoint"].as_str().unwrap();
    let url = format!(
        "{endpoint}/executions?api-version={POOLS}&identifier={}",
        Uuid::new_v4()
    );
    let request = wire.client.post(url).bearer_auth(token);
    answer(
        request
            .json(&json!({ "shellCommand": "echo hello" }))
            .send()
            .await
            .unwrap(),
    )
    .await
}

/// The identity of this client id runs a command only with the role, and only once it has spread.
async fn runs_only_with_the_role(wire: &Wire, host: &Host, endpoint: Endpoint, principal: &Value, client_id: &str) {
    let scope = wire.pool("rg", "pool");
    let pool = wire.get(&scope, POOLS).await.expect(200).body;
    let missing = async |answer: &str| {
        let switches = json!({ "sessions": { "missingRole": answer } });
        wire.control(Method::PUT, "behaviour", Some(switches)).await.expect(200);
    };
    let mine = token(host, endpoint, SESSIONS, client_id).await;
    run(wire, &pool, &mine).await.expect(403);
    missing("Unauthorized").await;
    run(wire, &pool, &mine).await.expect(401);

    let assignment = format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{}",
        Uuid::new_v4()
    );
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{EXECUTOR}"),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    } });
    wire.put(&assignment, ROLES, body).await.expect(201);
    run(wire, &pool, &mine).await.expect(401);
    missing("Forbidden").await;
    run(wire, &pool, &mine).await.expect(403);
    wire.advance(61).await;
    let ran = run(wire, &pool, &mine).await;
    assert!(ran.status.is_success(), "{:?}", ran.body);
    assert_eq!(ran.body["result"]["stdout"], "hello\n");

    // The role is of the pool's data, and of nothing else.
    let management = token(host, endpoint, "https://management.azure.com", client_id).await;
    wire.arm_as(&management, Method::DELETE, &scope, POOLS, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let graph = token(host, endpoint, "https://graph.microsoft.com", client_id).await;
    let users = format!("{}/graph.microsoft.com/v1.0/servicePrincipals", wire.root());
    answer(wire.client.get(users).bearer_auth(&graph).send().await.unwrap())
        .await
        .expect_error(403, "Authorization_RequestDenied");

    wire.delete(&assignment, ROLES).await.expect(200);
    wire.advance(61).await;
    run(wire, &pool, &mine).await.expect(403);
}

/// Operations take no time, answers lose nothing, and there is a Shell pool.
async fn with_pool() -> Wire {
    let wire = Wire::with(json!({
        "arm": { "providersRegistered": true, "operationSeconds": 0 },
        "sessions": { "lostWriteProbability": 0 },
    }))
    .await
    .with_environment()
    .await;
    wire.put(&wire.pool("rg", "pool"), POOLS, shell_pool())
        .await
        .expect(200);
    wire
}

#[tokio::test]
async fn a_container_apps_user_assigned_identity_runs_a_command_once_its_role_has_spread() {
    let wire = with_pool().await;
    let identity = wire.with_identity("rg", "executor").await;
    let app = wire
        .with_app("app", &user_assigned(&[&wire.identity("rg", "executor")]))
        .await;
    let host = wire.host(&app).await;
    let client_id = identity["properties"]["clientId"].as_str().unwrap();
    let principal = &identity["properties"]["principalId"];
    runs_only_with_the_role(&wire, &host, Endpoint::AppService, principal, client_id).await;
}

#[tokio::test]
async fn a_container_groups_system_assigned_identity_runs_a_command_once_its_role_has_spread() {
    let wire = with_pool().await;
    let path = wire.container_group("group");
    let mut body = group_body();
    body["identity"] = system_assigned();
    wire.put(&path, GROUPS, body).await.expect(201);
    let host = wire.host(&path).await;
    let principal = wire.get(&path, GROUPS).await.expect(200).body["identity"]["principalId"].clone();
    let client_id = host.imds("").await.expect(200).body["client_id"]
        .as_str()
        .unwrap()
        .to_owned();
    runs_only_with_the_role(&wire, &host, Endpoint::Imds, &principal, &client_id).await;
}

#[tokio::test]
async fn an_identity_that_was_made_by_a_template_is_given_its_role_by_the_same_template() {
    let wire = with_pool().await;
    let template = crate::deployments::template(json!([
        {
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "apiVersion": "2023-01-31",
            "name": "executor",
            "location": "[resourceGroup().location]",
        },
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": ROLES,
            "name": "[guid(resourceGroup().id, 'executor')]",
            "scope": "Microsoft.App/sessionPools/pool",
            "properties": {
                "roleDefinitionId": format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{EXECUTOR}')]"),
                "principalId": "[reference('executor').principalId]",
                "principalType": "ServicePrincipal",
            },
        },
        {
            "type": "Microsoft.App/containerApps",
            "apiVersion": APPS,
            "name": "app",
            "location": "westeurope",
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {
                    "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'executor')]": {},
                },
            },
            "properties": wire.app_body(&Value::Null)["properties"],
            "dependsOn": ["executor"],
        },
    ]));
    let ended = crate::deployments::deploy(&wire, "all", crate::deployments::incremental(template)).await;
    assert_eq!(ended["properties"]["provisioningState"], "Succeeded", "{ended}");
    wire.advance(61).await;
    let host = wire.host(&wire.app("app")).await;
    let identity = wire
        .get(&wire.identity("rg", "executor"), "2023-01-31")
        .await
        .expect(200)
        .body;
    let client_id = identity["properties"]["clientId"].as_str().unwrap();
    let mine = token(&host, Endpoint::AppService, SESSIONS, client_id).await;
    let pool = wire.get(&wire.pool("rg", "pool"), POOLS).await.expect(200).body;
    let ran = run(&wire, &pool, &mine).await;
    assert_eq!(ran.body["result"]["stdout"], "hello\n", "{:?}", ran.body);
}
