//! AzureAccounts: what is said of a credential, and who notices when it changes.

use lifeguard_local::{ApplicationCertificate, ControlPlane};
use serde_json::json;

use crate::world::{World, WorldOptions, object};

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
    json!({"clientSecret": {"clientId": world.azure().client_id, "secretKeyRef": {"name": secret}}})
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
async fn an_account_that_was_refused_is_checked_at_once_when_somebody_asks() {
    let world = World::new("asked").await;
    let application = world
        .control(reqwest::Method::POST, "applications", Some(&json!({})))
        .await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "asked"}, "stringData": {"clientSecret": "registered-later"},
    });
    world.apply(&secret).await;
    let credential = json!({"clientSecret": {"clientId": application["clientId"], "secretKeyRef": {"name": "asked"}}});
    let mut asked = account(&world, "asked", &credential);
    world.apply(&asked).await;
    world.until_reason("AzureAccount", "asked", "InvalidCredential").await;
    let refused_at = std::time::Instant::now();

    // It is put right in Entra ID, of which nothing tells the operator.
    let registered = json!({"clientId": application["clientId"], "clientSecret": "registered-later"});
    world
        .control(reqwest::Method::POST, "applications", Some(&registered))
        .await;
    let request = "2026-01-02T03:04:05Z";
    asked["metadata"]["annotations"] = json!({"lifeguard.dev/reconcile-requested-at": request});
    world.apply(&asked).await;
    world.until_available("AzureAccount", "asked").await;
    assert!(
        refused_at.elapsed() < std::time::Duration::from_mins(1),
        "a refusal is believed for a minute, so this shows nothing"
    );
    let status = world.read("AzureAccount", "asked").await.expect("the account").data["status"].clone();
    assert_eq!(status["lastHandledReconcileAt"], request);
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
    let credential = |client_id: &serde_json::Value| json!({"clientSecret": {"clientId": client_id, "secretKeyRef": {"name": "poor"}}});
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
                    "issuer": ControlPlane::ISSUER, "subject": subject,
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

    let other =
        json!({"workloadIdentity": {"clientId": application["clientId"], "serviceAccountRef": {"name": "default"}}});
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

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

fn role_on_subscription(world: &World) -> serde_json::Value {
    let scope = format!("/subscriptions/{}", world.azure().subscription_id);
    json!([{"scope": scope, "roleDefinitionId": CONTRIBUTOR}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_read_from_its_secret_and_what_is_wrong_with_it_is_said() {
    let world = World::new("certificate").await;
    world.hasten().await;
    let (registered, other) = tokio::task::spawn_blocking(|| {
        let make = || ApplicationCertificate::generate(2020, 2200).expect("a certificate");
        (make(), make())
    })
    .await
    .expect("no panic");
    let body = json!({"certificate": registered.certificate, "roleAssignments": role_on_subscription(&world)});
    let application = world.control(reqwest::Method::POST, "applications", Some(&body)).await;
    let secret = |name: &str, data: serde_json::Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let certified = |name: &str| {
        let certificate = json!({"clientId": application["clientId"], "secretRef": {"name": name}});
        account(&world, name, &json!({"clientCertificate": certificate}))
    };
    let expired = registered.reissued(2019, 2020).expect("a certificate");
    world.apply(&certified("missing")).await;
    let missing = world.until_reason("AzureAccount", "missing", "SecretNotFound").await;
    assert!(missing.message.contains("Secret missing does not exist"), "{missing:?}");
    // What else can be wrong with one is in the tests of `azure::credential`.
    for (name, data, reason, words) in [
        (
            "without-key",
            json!({"tls.crt": registered.certificate}),
            "SecretNotFound",
            "`tls.key`",
        ),
        (
            "no-pair",
            json!({"tls.crt": registered.certificate, "tls.key": other.key, "canary": "canary"}),
            "InvalidCredential",
            "does not belong to the certificate",
        ),
        (
            "unregistered",
            json!({"tls.crt": other.certificate, "tls.key": other.key}),
            "InvalidCredential",
            "AADSTS700027",
        ),
        (
            "certificate",
            json!({"tls.crt": expired.certificate, "tls.key": expired.key}),
            "InvalidCredential",
            "expired at 2020-01-01",
        ),
    ] {
        world.apply(&secret(name, data)).await;
        world.apply(&certified(name)).await;
        let ready = world.until_reason("AzureAccount", name, reason).await;
        assert!(
            ready.message.contains(words) && !ready.message.contains("canary"),
            "{ready:?}"
        );
    }
    // It was renewed: nobody has to touch the account.
    let renewed = json!({"tls.crt": registered.certificate, "tls.key": registered.key});
    world.apply(&secret("certificate", renewed)).await;
    world.until_available("AzureAccount", "certificate").await;
    let log = world.operator_log();
    assert!(!log.contains("PRIVATE KEY"), "the key is in no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_the_operators_host_is_for_namespaces_that_the_installation_allows() {
    let refused = World::with(
        "host-refused",
        WorldOptions {
            arguments: ["--allow-host-identity", "somebody-else"].map(str::to_owned).to_vec(),
            ..WorldOptions::default()
        },
    )
    .await;
    let credential = json!({"hostIdentity": {}});
    refused.apply(&account(&refused, "host", &credential)).await;
    let ready = refused
        .until_reason("AzureAccount", "host", "HostIdentityNotAllowed")
        .await;
    assert!(ready.message.contains("hostIdentity.allowedNamespaces"), "{ready:?}");
    let asked = refused.requests().await;
    let asked: Vec<_> = asked
        .iter()
        .filter(|it| it["path"].to_string().contains("/metadata/"))
        .collect();
    assert_eq!(asked, Vec::<&serde_json::Value>::new(), "the host was not even asked");
    drop(refused);

    let world = World::with(
        "host",
        WorldOptions {
            arguments: ["--allow-host-identity", "*"].map(str::to_owned).to_vec(),
            ..WorldOptions::default()
        },
    )
    .await;
    world.hasten().await;
    let body = json!({"roleAssignments": role_on_subscription(&world)});
    world.control(reqwest::Method::POST, "hosts", Some(&body)).await;
    // The metadata service is being updated: that is waited for, not taken for a refusal.
    let update =
        json!({"match": {"method": "GET", "path": "/metadata/identity"}, "times": 2, "action": {"status": 410}});
    world.fault(&update).await;
    world.apply(&account(&world, "host", &credential)).await;
    world.until_available("AzureAccount", "host").await;
    let other = json!({"hostIdentity": {"clientId": "12345678-0000-0000-0000-000000000000"}});
    world.apply(&account(&world, "other", &other)).await;
    let ready = world.until_reason("AzureAccount", "other", "InvalidCredential").await;
    assert!(ready.message.contains("it has no such identity"), "{ready:?}");
    world
        .apply(&object("ResourceGroup", "rg", &json!({"accountRef": {"name": "host"}})))
        .await;
    world.until_available("ResourceGroup", "rg").await;
    world.delete("ResourceGroup", "rg").await;
    world.until_gone("ResourceGroup", "rg").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_waits_for_the_identity_that_it_is_to_be_and_follows_it_when_it_is_made_anew() {
    let world = World::new("declared").await;
    world.hasten().await;
    world
        .behave(&json!({"tokens": {"federationPropagationSeconds": 6.0}}))
        .await;
    let credential = json!({"workloadIdentity": {"managedIdentityRef": {"name": "runner"}}});
    world.apply(&account(&world, "runner", &credential)).await;
    let ready = world.until_reason("AzureAccount", "runner", "ReferenceNotFound").await;
    assert!(
        ready.message.contains("ManagedIdentity runner does not exist"),
        "{ready:?}"
    );

    let service_account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "lifeguard"}});
    world.apply(&service_account).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    let identity = object(
        "ManagedIdentity",
        "runner",
        &json!({
            "resourceGroupRef": {"name": "jobs"},
            "federatedCredentials": [{"name": "lifeguard", "serviceAccountRef": {"name": "lifeguard"}}],
        }),
    );
    world.apply(&identity).await;
    let ready = world
        .until_reason("AzureAccount", "runner", "FederationPropagating")
        .await;
    assert!(ready.message.contains("Entra ID"), "{ready:?}");
    // It has no role yet, which is a matter of other objects.
    let ready = world.until_available("AzureAccount", "runner").await;
    assert!(ready.message.contains("may not read the subscription"), "{ready:?}");
    let client_id = |object: kube::api::DynamicObject| object.data["status"]["clientId"].as_str().map(str::to_owned);
    let first = world
        .read("ManagedIdentity", "runner")
        .await
        .and_then(client_id)
        .expect("a client id");

    world.delete("ManagedIdentity", "runner").await;
    world.until_gone("ManagedIdentity", "runner").await;
    world.until_reason("AzureAccount", "runner", "ReferenceNotFound").await;
    world.apply(&identity).await;
    world.until_available("ManagedIdentity", "runner").await;
    let second = world
        .read("ManagedIdentity", "runner")
        .await
        .and_then(client_id)
        .expect("a client id");
    assert_ne!(first, second);
    world.until_available("AzureAccount", "runner").await;

    // An account cannot be what it has to make first.
    let itself = json!({"resourceGroupRef": {"name": "jobs"}, "accountRef": {"name": "itself"}});
    world.apply(&object("ManagedIdentity", "circle", &itself)).await;
    let credential = json!({"workloadIdentity": {"managedIdentityRef": {"name": "circle"}}});
    world.apply(&account(&world, "itself", &credential)).await;
    let ready = world.until_reason("AzureAccount", "itself", "InvalidSpec").await;
    assert!(ready.message.contains("another spec.accountRef"), "{ready:?}");
}
