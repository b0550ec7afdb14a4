//! AzureAccounts: what is said of a credential, and who notices when it changes.

use serde_json::json;

use crate::world::{World, object};

fn account(world: &World, name: &str, credential: &serde_json::Value) -> serde_json::Value {
    let azure = world.azure();
    object(
        "AzureAccount",
        name,
        &json!({
            "tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id,
            "location": "northcentralus", "credential": credential,
        }),
    )
}

fn client_secret(world: &World, secret: &str) -> serde_json::Value {
    json!({"clientSecret": {"clientId": world.azure().client_id, "secretRef": {"name": secret}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_says_what_is_wrong_with_it_and_recovers_when_that_is_put_right() {
    let world = World::new("accounts").await;
    let ready = world.until_available("AzureAccount", "default").await;
    assert_eq!(ready.status, "True");

    world
        .apply(&account(&world, "late", &client_secret(&world, "late")))
        .await;
    let missing = world.until_reason("AzureAccount", "late", "SecretNotFound").await;
    assert!(
        missing.message.contains("Secret late does not exist"),
        "{}",
        missing.message
    );
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"clientSecret": value}});
    let other_key =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"password": "x"}});
    world.apply(&other_key).await;
    world
        .until("the missing key is named", || async {
            let ready = world.standing("AzureAccount", "late").await?;
            ready
                .message
                .contains("has no value under the key `clientSecret`")
                .then_some(())
        })
        .await;
    world.apply(&secret("wrong-canary-secret")).await;
    let wrong = world.until_reason("AzureAccount", "late", "InvalidCredential").await;
    assert!(wrong.message.contains("AADSTS7000215"), "{}", wrong.message);
    assert!(!wrong.message.contains("canary"));
    // Nobody watches Secrets, and nobody has to touch the account.
    world.apply(&secret(&world.azure().client_secret)).await;
    world.until_available("AzureAccount", "late").await;

    let mut unknown = account(&world, "unknown", &client_secret(&world, "default-credentials"));
    unknown["spec"]["subscriptionId"] = json!("99999999-0000-0000-0000-000000000009");
    world.apply(&unknown).await;
    world
        .until_reason("AzureAccount", "unknown", "SubscriptionNotFound")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_without_rights_is_somebody_and_one_that_does_not_exist_is_nobody() {
    let world = World::new("unauthorized").await;
    let application = world
        .control(reqwest::Method::POST, "applications", Some(&json!({})))
        .await;
    let credentials = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "poor"},
        "stringData": {"clientSecret": application["clientSecret"]},
    });
    world.apply(&credentials).await;
    let credential =
        |client_id: &serde_json::Value| json!({"clientSecret": {"clientId": client_id, "secretRef": {"name": "poor"}}});
    world
        .apply(&account(&world, "poor", &credential(&application["clientId"])))
        .await;
    // It may be one that runs commands and does nothing else.
    let somebody = world.until_available("AzureAccount", "poor").await;
    assert!(
        somebody.message.contains("may not read the subscription"),
        "{somebody:?}"
    );
    let nobody = json!("12345678-0000-0000-0000-000000000000");
    world.apply(&account(&world, "nobody", &credential(&nobody))).await;
    world.until_reason("AzureAccount", "nobody", "InvalidCredential").await;
    // What needs more says what, in Azure's words.
    world
        .apply(&object("ResourceGroup", "rg", &json!({"accountRef": {"name": "poor"}})))
        .await;
    let refused = world.until_reason("ResourceGroup", "rg", "Unauthorized").await;
    assert!(refused.message.contains("AuthorizationFailed"), "{refused:?}");
    world
        .apply(&object(
            "ResourceGroup",
            "other",
            &json!({"accountRef": {"name": "nobody"}}),
        ))
        .await;
    let waiting = world.until_reason("ResourceGroup", "other", "AccountNotReady").await;
    assert!(
        waiting.message.contains("AzureAccount nobody") && waiting.message.contains("InvalidCredential"),
        "{waiting:?}"
    );
    world.delete("ResourceGroup", "rg").await;
    world.until_gone("ResourceGroup", "rg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workload_identity_uses_the_service_account_of_the_accounts_own_namespace() {
    let world = World::new("federated").await;
    world.hasten().await;
    let subject = format!("system:serviceaccount:{}:lifeguard", world.namespace);
    let application = world
        .control(
            reqwest::Method::POST,
            "applications",
            Some(&json!({
                "federatedCredentials": [{
                    "issuer": lifeguard_local::ControlPlane::ISSUER, "subject": subject,
                    "audiences": ["api://AzureADTokenExchange"],
                }],
                "roleAssignments": [{
                    "scope": format!("/subscriptions/{}", world.azure().subscription_id),
                    "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c",
                }],
            })),
        )
        .await;
    let credential = json!({"workloadIdentity": {"clientId": application["clientId"]}});
    world.apply(&account(&world, "federated", &credential)).await;
    let missing = world
        .until_reason("AzureAccount", "federated", "ServiceAccountNotFound")
        .await;
    assert!(
        missing.message.contains("ServiceAccount lifeguard does not exist"),
        "{}",
        missing.message
    );
    let service_account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "lifeguard"}});
    world.apply(&service_account).await;
    world.until_available("AzureAccount", "federated").await;

    let other = json!({"workloadIdentity": {"clientId": application["clientId"], "serviceAccountName": "default"}});
    world.apply(&account(&world, "other", &other)).await;
    let refused = world.until_reason("AzureAccount", "other", "InvalidSpec").await;
    assert!(
        refused.message.contains("workloadIdentity.serviceAccountNames"),
        "{}",
        refused.message
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_in_use_outlives_what_uses_it() {
    let world = World::new("inuse").await;
    world.hasten().await;
    world.apply(&object("ResourceGroup", "rg", &json!({}))).await;
    world.until_available("ResourceGroup", "rg").await;
    world.delete("AzureAccount", "default").await;
    let waiting = world.until_reason("AzureAccount", "default", "InUse").await;
    assert!(waiting.message.contains("ResourceGroup rg"), "{}", waiting.message);
    world.delete("ResourceGroup", "rg").await;
    world.until_gone("ResourceGroup", "rg").await;
    world.until_gone("AzureAccount", "default").await;
}
