//! A namespace against another one: whatever it names of the other, by whichever field, it gets nothing.

use serde_json::{Value, json};

use crate::azure::Azure;
use crate::data_plane::pool_id;
use crate::jobs::also;
use crate::results::pool_of;
use crate::world::{World, WorldOptions, object, script};

const ISSUER: &str = lifeguard_local::ControlPlane::ISSUER;
const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";
/// What only the first tenant may know.
const CANARY: &str = "canary-of-the-first-tenant";

/// One thing that the second tenant tries, and what comes of it.
struct Attempt {
    kind: &'static str,
    name: &'static str,
    spec: Value,
    reason: &'static str,
    /// A word of the message.
    says: &'static str,
}

fn attempt(kind: &'static str, name: &'static str, spec: Value, reason: &'static str, says: &'static str) -> Attempt {
    Attempt {
        kind,
        name,
        spec,
        reason,
        says,
    }
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": CANARY}})
}

fn service_account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

/// The first tenant: an identity that its ServiceAccount may be, a pool that the identity may run commands in, an account
/// that is the identity, a Secret and a ConfigMap.
async fn first_tenant(world: &World) -> String {
    world.apply(&service_account("lifeguard-runner")).await;
    world.apply(&secret("secret", &json!({"value": CANARY}))).await;
    world.apply(&config_map("settings")).await;
    world.pool("shell", 10).await;
    let identity = json!({
        "resourceGroupRef": {"name": "jobs"},
        "federatedCredentials": [{"name": "runner", "serviceAccountRef": {"name": "lifeguard-runner"}}],
        "export": {"configMap": {"name": "exported"}},
    });
    world.apply(&object("ManagedIdentity", "runner", &identity)).await;
    let assignment = json!({
        "principal": {"managedIdentityRef": {"name": "runner"}}, "role": EXECUTOR,
        "scope": {"sessionPoolRef": {"name": "shell"}},
    });
    world.apply(&object("RoleAssignment", "runner", &assignment)).await;
    let federation =
        json!({"managedIdentityRef": {"name": "runner"}, "serviceAccountRef": {"name": "lifeguard-runner"}});
    world
        .apply(&account(world, "runner", &json!({"workloadIdentity": federation})))
        .await;
    world.until_available("RoleAssignment", "runner").await;
    world.until_available("AzureAccount", "runner").await;
    let ran = world
        .run(
            "first",
            &also(script("echo ran"), &json!({"accountRef": {"name": "runner"}})),
        )
        .await;
    assert_eq!(crate::jobs::result(&ran).0, 0, "the first tenant may");
    let identity = world.read("ManagedIdentity", "runner").await.expect("the identity");
    identity.data["status"]["clientId"]
        .as_str()
        .expect("a client id")
        .to_owned()
}

fn account(world: &World, name: &str, credential: &Value) -> Value {
    let azure = world.azure();
    let spec = json!({
        "tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id,
        "resourceGroup": "jobs", "location": "northcentralus", "credential": credential,
    });
    object("AzureAccount", name, &spec)
}

/// Everything that the second tenant tries. `client_id`: of the first one's identity.
fn attempts(world: &World, azure: &Azure, client_id: &str) -> Vec<Attempt> {
    let first = world.namespace.as_str();
    let of_account = |credential: Value| account(world, "x", &credential)["spec"].clone();
    let certificate = json!({"clientId": client_id, "secretRef": {"name": "secret"}});
    let identity_id = azure.identity_id("jobs", "runner");
    let group = |more: Value| also(json!({"azureName": "jobs", "adoptionPolicy": "IfExists"}), &more);
    let pool = |more: Value| {
        let base = json!({
            "resourceGroup": "second", "location": "northcentralus", "containerType": "Shell", "azureName": "stolen-pool",
        });
        also(base, &more)
    };
    let job = |more: Value| {
        also(
            json!({"target": {"sessionPoolRef": {"name": "own"}}, "script": "env"}),
            &more,
        )
    };
    let environment = |source: Value| job(json!({"env": [{"name": "A", "valueFrom": source}]}));
    let user_assigned = |one: Value| json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": [one]}});
    let assignment = |principal: Value, scope: Value| json!({"principal": principal, "role": EXECUTOR, "scope": scope});
    let itself = json!({"principalId": "12345678-0000-0000-0000-000000000000", "principalType": "ServicePrincipal"});
    let federated =
        |name: &str| json!({"workloadIdentity": {"clientId": client_id, "serviceAccountRef": {"name": name}}});
    vec![
        // Its identity: the token of a ServiceAccount says the namespace, whatever the account says.
        attempt(
            "AzureAccount",
            "by-client-id",
            of_account(federated("lifeguard-runner")),
            "FederationPropagating",
            "AADSTS700213",
        ),
        attempt(
            "AzureAccount",
            "by-other-name",
            of_account(federated("lifeguard")),
            "FederationPropagating",
            "AADSTS700213",
        ),
        attempt(
            "AzureAccount",
            "by-reference",
            of_account(json!({"workloadIdentity": {"managedIdentityRef": {"name": "runner"}}})),
            "ReferenceNotFound",
            "ManagedIdentity runner",
        ),
        attempt(
            "AzureAccount",
            "by-secret",
            of_account(json!({"clientSecret": {"clientId": client_id, "secretKeyRef": {"name": "secret"}}})),
            "SecretNotFound",
            "Secret secret does not exist",
        ),
        attempt(
            "AzureAccount",
            "by-certificate",
            of_account(json!({"clientCertificate": certificate})),
            "SecretNotFound",
            "Secret secret does not exist",
        ),
        attempt(
            "AzureAccount",
            "by-host",
            of_account(json!({"hostIdentity": {}})),
            "HostIdentityNotAllowed",
            "may not use",
        ),
        // Its group, pool and identity, by the names that they have in Azure and as objects.
        attempt(
            "ResourceGroup",
            "by-azure-name",
            group(json!({})),
            "OwnedByAnother",
            "jobs",
        ),
        attempt(
            "SessionPool",
            "by-azure-name",
            pool(json!({"resourceGroup": "jobs", "azureName": "shell", "adoptionPolicy": "IfExists"})),
            "OwnedByAnother",
            "shell",
        ),
        attempt(
            "ManagedIdentity",
            "by-azure-name",
            json!({"resourceGroup": "jobs", "azureName": "runner", "adoptionPolicy": "IfExists"}),
            "OwnedByAnother",
            "runner",
        ),
        attempt(
            "SessionPool",
            "by-group",
            also(
                json!({"containerType": "Shell"}),
                &json!({"resourceGroupRef": {"name": "jobs"}}),
            ),
            "ReferenceNotFound",
            "ResourceGroup jobs",
        ),
        attempt(
            "SessionPool",
            "by-identity",
            pool(user_assigned(json!({"managedIdentityRef": {"name": "runner"}}))),
            "ReferenceNotFound",
            "ManagedIdentity runner",
        ),
        attempt(
            "SessionPool",
            "by-identity-id",
            pool(user_assigned(json!({"resourceId": identity_id}))),
            "OwnedByAnother",
            "another namespace",
        ),
        attempt(
            "SessionPool",
            "by-setting",
            pool(json!({"managedIdentitySettings": [{"managedIdentityRef": {"name": "runner"}}]})),
            "ReferenceNotFound",
            "ManagedIdentity runner",
        ),
        attempt(
            "SessionPool",
            "by-pool-secret",
            pool(
                json!({"secrets": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "value"}}}]}),
            ),
            "SecretNotFound",
            "Secret secret does not exist",
        ),
        attempt(
            "SessionPool",
            "by-account",
            pool(json!({"accountRef": {"name": "runner"}})),
            "AccountNotFound",
            "AzureAccount runner",
        ),
        // Its rights.
        attempt(
            "RoleAssignment",
            "by-principal",
            assignment(
                json!({"managedIdentityRef": {"name": "runner"}}),
                json!({"resourceId": pool_id(world, "shell")}),
            ),
            "ReferenceNotFound",
            "ManagedIdentity runner",
        ),
        attempt(
            "RoleAssignment",
            "by-pool",
            assignment(itself.clone(), json!({"sessionPoolRef": {"name": "shell"}})),
            "ReferenceNotFound",
            "SessionPool shell",
        ),
        attempt(
            "RoleAssignment",
            "by-pool-id",
            assignment(itself, json!({"resourceId": pool_id(world, "shell")})),
            "RoleNotGrantable",
            "",
        ),
        // What its commands run in and read.
        attempt(
            "CommandJob",
            "by-pool",
            job(json!({"target": {"sessionPoolRef": {"name": "shell"}}})),
            "ReferenceNotFound",
            "SessionPool",
        ),
        attempt(
            "CommandJob",
            "by-pool-of-namespace",
            job(json!({"target": {"sessionPoolRef": {"name": "shell", "namespace": first}}})),
            "NamespaceNotAllowed",
            "lets the namespace",
        ),
        attempt(
            "CommandJob",
            "by-pool-id-as-itself",
            job(
                json!({"target": {"sessionPool": {"resourceId": pool_id(world, "shell")}}, "accountRef": {"name": "poor"}}),
            ),
            "NamespaceNotAllowed",
            "belongs to another namespace",
        ),
        attempt(
            "CommandJob",
            "by-pool-id-as-the-other",
            job(
                json!({"target": {"sessionPool": {"resourceId": pool_id(world, "shell")}}, "accountRef": {"name": "runner"}}),
            ),
            "AccountNotFound",
            "AzureAccount runner",
        ),
        attempt(
            "CommandJob",
            "by-stolen-account",
            job(json!({"accountRef": {"name": "by-client-id"}})),
            "AccountNotReady",
            "AADSTS700213",
        ),
        attempt(
            "CommandJob",
            "by-key-of-secret",
            environment(json!({"secretKeyRef": {"name": "secret", "key": "value"}})),
            "SecretNotFound",
            "secret",
        ),
        attempt(
            "CommandJob",
            "by-key-of-config-map",
            environment(json!({"configMapKeyRef": {"name": "settings", "key": "value"}})),
            "ConfigMapNotFound",
            "settings",
        ),
        attempt(
            "CommandJob",
            "by-exported-ids",
            environment(json!({"configMapKeyRef": {"name": "exported", "key": "clientId"}})),
            "ConfigMapNotFound",
            "exported",
        ),
    ]
}

/// The second tenant: ServiceAccounts of the same names, a pool of its own, and an account that may do nothing.
async fn second_tenant(world: &World, namespace: &str) {
    pool_of(world, namespace, 5).await;
    for name in ["lifeguard", "lifeguard-runner"] {
        world.apply_in(namespace, &service_account(name)).await;
    }
    let federated = json!({
        "issuer": ISSUER, "subject": format!("system:serviceaccount:{namespace}:lifeguard"),
        "audiences": ["api://AzureADTokenExchange"],
    });
    let body = json!({"federatedCredentials": [federated]});
    let application = world.control(reqwest::Method::POST, "applications", Some(&body)).await;
    let credential = json!({"workloadIdentity": {"clientId": application["clientId"]}});
    world.apply_in(namespace, &account(world, "poor", &credential)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_gets_nothing_of_another_one_by_any_field_that_could_name_it() {
    let second = "isolation-second".to_owned();
    let options = WorldOptions {
        namespaces: vec![second.clone()],
        ..WorldOptions::default()
    };
    let world = World::with("isolation", options).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    let client_id = first_tenant(&world).await;
    second_tenant(&world, &second).await;
    world.until_in(&second, "AzureAccount", "poor", "Available").await;
    let before = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");
    let executions = world.executions().await.len();

    let attempts = attempts(&world, &azure, &client_id);
    for Attempt { kind, name, spec, .. } in &attempts {
        world.apply_in(&second, &object(kind, name, spec)).await;
    }
    for Attempt {
        kind,
        name,
        reason,
        says,
        ..
    } in &attempts
    {
        let message = world.until_in(&second, kind, name, reason).await;
        assert!(message.contains(says), "{kind} {name}: {message}");
        assert!(!message.contains(CANARY), "{kind} {name}: {message}");
    }

    // None of it ever was otherwise, and nothing was done in Azure or in a session.
    for Attempt { kind, name, reason, .. } in &attempts {
        let message = world.until_in(&second, kind, name, reason).await;
        assert!(!message.contains(CANARY), "{kind} {name}: {message}");
    }
    let after = azure.find(&azure.pool_id("jobs", "shell")).await.expect("the pool");
    assert_eq!(
        (&after["tags"], &after["identity"]),
        (&before["tags"], &before["identity"])
    );
    assert_eq!(world.executions().await.len(), executions, "no command ran");
    assert_eq!(azure.find(&azure.pool_id("second", "stolen-pool")).await, None);
    let principal = azure.find(&azure.identity_id("jobs", "runner")).await;
    assert_eq!(
        principal.expect("the identity")["properties"]["clientId"],
        client_id.as_str()
    );
    world.until_available("AzureAccount", "runner").await;
    assert!(!world.operator_log().contains(CANARY));
}
