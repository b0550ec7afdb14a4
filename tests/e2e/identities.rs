//! Managed identities with their federated credentials and exports.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use lifeguard::api::ManagedIdentity;
use lifeguard_local::ControlPlane;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::azure::Azure;
use crate::world::{OFTEN, World, object, shell_pool};

const AUDIENCE: &str = "api://AzureADTokenExchange";

/// An identity in the group `jobs` that is compared with Azure every second.
fn identity(name: &str, more: &Value) -> Value {
    let mut spec = json!({"resourceGroupRef": {"name": "jobs"}, "interval": OFTEN});
    spec.as_object_mut()
        .expect("an object")
        .extend(more.as_object().cloned().unwrap_or_default());
    object("ManagedIdentity", name, &spec)
}

fn credential(name: &str, account: &str) -> Value {
    json!({"name": name, "serviceAccountRef": {"name": account}})
}

/// A world with the group `jobs`, and somebody else's hands on its Azure.
async fn surroundings(name: &str) -> (World, Azure) {
    let world = World::new(name).await;
    world.hasten().await;
    let azure = Azure::login(&world).await;
    world.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
    (world, azure)
}

async fn status(world: &World, name: &str) -> Value {
    let found: ManagedIdentity = world.ours().get(name).await.expect("it");
    serde_json::to_value(found.status.unwrap_or_default()).expect("plain data")
}

/// The federated credentials that Azure has, as name and subject.
async fn trusted(azure: &Azure, id: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let credentials = azure.list(&format!("{id}/federatedIdentityCredentials")).await;
    credentials
        .iter()
        .map(|it| (text(&it["name"]), text(&it["properties"]["subject"])))
        .collect()
}

fn subject(world: &World, account: &str) -> String {
    format!("system:serviceaccount:{}:{account}", world.namespace)
}

async fn exported(world: &World, name: &str) -> Option<ConfigMap> {
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.get_opt(name).await.expect("an answer")
}

fn key<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a str> {
    map.data.as_ref()?.get(key).map(String::as_str)
}

/// A token of a ServiceAccount, exchanged at the authority for one of the identity; or its refusal.
async fn exchange(world: &World, account: &str, client_id: &str) -> (StatusCode, Value) {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .expect("a token");
    let token = answer.status.expect("a token").token;
    let ready = world.azure();
    let url = format!(
        "{}/{}/oauth2/v2.0/token",
        ready.authority.trim_end_matches('/'),
        ready.tenant_id
    );
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &token),
        ("scope", "https://management.azure.com/.default"),
    ];
    let answer = world
        .http()
        .post(url)
        .form(&form)
        .send()
        .await
        .expect("the authority answers");
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn service_account(world: &World, name: &str) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    world.apply(&account).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_is_the_identity_that_trusts_it_and_no_other() {
    let (world, azure) = surroundings("federated").await;
    for name in ["runner", "stranger"] {
        service_account(&world, name).await;
    }
    let spec = json!({
        "federatedCredentials": [credential("runner", "runner"), credential("later", "later")],
        "export": {"configMap": {"name": "ids"}},
        "tags": {"team": "batch"},
    });
    world.apply(&identity("runner", &spec)).await;
    world.until_available("ManagedIdentity", "runner").await;
    let status = status(&world, "runner").await;
    let id = azure.identity_id("jobs", "runner");
    assert_eq!(status["id"], id);
    let there = azure.find(&id).await.expect("the identity");
    for member in ["principalId", "clientId", "tenantId"] {
        assert_eq!(status[member], there["properties"][member], "{member}");
    }
    assert_eq!(there["tags"]["team"], "batch");
    let map = exported(&world, "ids").await.expect("the ConfigMap");
    for member in ["principalId", "clientId", "tenantId", "id"] {
        assert_eq!(key(&map, member), status[member].as_str(), "{member}");
    }
    assert_eq!(
        trusted(&azure, &id).await,
        [
            ("later".to_owned(), subject(&world, "later")),
            ("runner".to_owned(), subject(&world, "runner"))
        ]
    );
    let credential = azure
        .find(&format!("{id}/federatedIdentityCredentials/runner"))
        .await
        .expect("it");
    assert_eq!(credential["properties"]["issuer"], ControlPlane::ISSUER);
    assert_eq!(credential["properties"]["audiences"], json!([AUDIENCE]));

    let client_id = status["clientId"].as_str().expect("an id");
    world
        .until(
            "the ServiceAccount is the identity, once the authority knows it",
            || async {
                let (_, answer) = exchange(&world, "runner", client_id).await;
                answer["access_token"].is_string().then_some(())
            },
        )
        .await;
    // AADSTS700213: no federated credential matches the subject.
    let (status, refusal) = exchange(&world, "stranger", client_id).await;
    assert_eq!(
        (status, &refusal["error_codes"]),
        (StatusCode::BAD_REQUEST, &json!([700_213])),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_trusts_only_issuers_that_the_installation_lists() {
    const PIPELINE: &str = "https://pipeline.example";
    let of_issuer = |name: &str, issuer: &str| json!({"name": name, "issuer": issuer, "subject": "me"});
    let spec = json!({"federatedCredentials": [
        credential("one", "a"), of_issuer("pipeline", PIPELINE), of_issuer("own", ControlPlane::ISSUER),
        of_issuer("stranger", "https://stranger.example"),
    ]});
    let (mut world, azure) = surroundings("issuers").await;
    world.apply(&identity("runner", &spec)).await;
    let refused = world
        .until_reason("ManagedIdentity", "runner", "IssuerNotAllowed")
        .await;
    for words in [
        PIPELINE,
        ControlPlane::ISSUER,
        "managedIdentities.allowedIssuers",
        "stranger",
    ] {
        assert!(refused.message.contains(words), "{}", refused.message);
    }
    let id = azure.identity_id("jobs", "runner");
    let names = |all: Vec<(String, String)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(trusted(&azure, &id).await), ["one", "own"]);

    // The list is the installation's, and what it no longer has is taken back.
    for (arguments, expected) in [
        (vec!["--allowed-issuer", PIPELINE], vec!["one", "own", "pipeline"]),
        (vec![], vec!["one", "own"]),
    ] {
        world.kill_operator();
        world.restart_with(&arguments).await;
        world
            .until("the credentials are those of allowed issuers", || async {
                (names(trusted(&azure, &id).await) == expected).then_some(())
            })
            .await;
        world
            .until_reason("ManagedIdentity", "runner", "IssuerNotAllowed")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_or_delete_is_put_right() {
    let (mut world, azure) = surroundings("drifting").await;
    let spec = json!({
        "federatedCredentials": [credential("one", "a"), credential("two", "b")],
        "export": {"configMap": {"name": "ids"}},
    });
    world.apply(&identity("runner", &spec)).await;
    world.until_available("ManagedIdentity", "runner").await;
    let id = azure.identity_id("jobs", "runner");
    let path = |name: &str| format!("{id}/federatedIdentityCredentials/{name}");
    let wanted = [
        ("one".to_owned(), subject(&world, "a")),
        ("two".to_owned(), subject(&world, "b")),
    ];

    let other = json!({"properties": {"issuer": "https://other.example", "subject": "me", "audiences": ["x"]}});
    azure.put(&path("one"), &other).await;
    azure.delete(&path("two")).await;
    world
        .until("the credentials are as they were", || async {
            (trusted(&azure, &id).await == wanted).then_some(())
        })
        .await;

    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let forged = json!({"data": {"clientId": "forged", "mine": "kept"}});
    maps.patch("ids", &PatchParams::default(), &Patch::Merge(&forged))
        .await
        .expect("patched");
    let map = world
        .until("the ConfigMap is true again", || async {
            let map = exported(&world, "ids").await?;
            (key(&map, "clientId") != Some("forged")).then_some(map)
        })
        .await;
    assert_eq!(key(&map, "mine"), Some("kept"));
    maps.delete("ids", &DeleteParams::default()).await.expect("deleted");
    world
        .until("the ConfigMap is there again", || async {
            exported(&world, "ids").await
        })
        .await;

    // An operator that wrote it just now would think that Azure does not show it yet.
    let before = status(&world, "runner").await;
    world.kill_operator();
    azure.delete(&id).await;
    world
        .merge("ManagedIdentity", "runner", &json!({"spec": {"tags": {"team": "a"}}}))
        .await;
    world.start_operator().await;
    let after = world
        .until("the identity is there again, as another", || async {
            let status = status(&world, "runner").await;
            (status["principalId"].is_string() && status["principalId"] != before["principalId"]).then_some(status)
        })
        .await;
    world.until_available("ManagedIdentity", "runner").await;
    assert_eq!(trusted(&azure, &id).await, wanted);
    let map = exported(&world, "ids").await.expect("the ConfigMap");
    assert_eq!(key(&map, "principalId"), after["principalId"].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spec_drops_goes_and_what_is_anothers_stays() {
    let (world, azure) = surroundings("dropping").await;
    world
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}, "data": {"a": "b"}}))
        .await;
    let spec = |credentials: &[Value], map: &str| json!({"federatedCredentials": credentials, "export": {"configMap": {"name": map}}});
    let (one, two) = (credential("one", "a"), credential("two", "b"));
    world
        .apply(&identity("runner", &spec(&[one.clone(), two.clone()], "ids")))
        .await;
    world.until_available("ManagedIdentity", "runner").await;
    let id = azure.identity_id("jobs", "runner");
    let path = |name: &str| format!("{id}/federatedIdentityCredentials/{name}");
    let foreign = json!({"properties": {"issuer": "https://other.example", "subject": "me", "audiences": ["x"]}});
    azure.put(&path("foreign"), &foreign).await;

    world
        .apply(&identity("runner", &spec(std::slice::from_ref(&one), "taken")))
        .await;
    let told = world.until_reason("ManagedIdentity", "runner", "AlreadyExists").await;
    assert!(told.message.contains("ConfigMap taken"), "{}", told.message);
    world
        .until("the ConfigMap of before is gone", || async {
            exported(&world, "ids").await.is_none().then_some(())
        })
        .await;
    let taken = exported(&world, "taken").await.expect("it is left alone");
    assert_eq!((key(&taken, "a"), key(&taken, "clientId")), (Some("b"), None));
    let names = |all: Vec<(String, String)>| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    world
        .until("just the credential that was dropped is gone", || async {
            (names(trusted(&azure, &id).await) == ["foreign", "one"]).then_some(())
        })
        .await;

    // A namesake is not overwritten, until that is allowed.
    world
        .apply(&identity(
            "runner",
            &spec(&[one.clone(), credential("foreign", "c")], "ids"),
        ))
        .await;
    let told = world.until_reason("ManagedIdentity", "runner", "AlreadyExists").await;
    assert!(told.message.contains("foreign"), "{}", told.message);
    let mut adopting = spec(&[one, credential("foreign", "c")], "ids");
    adopting["adoptionPolicy"] = "IfExists".into();
    world.apply(&identity("runner", &adopting)).await;
    world.until_available("ManagedIdentity", "runner").await;
    assert_eq!(
        trusted(&azure, &id).await[0],
        ("foreign".to_owned(), subject(&world, "c"))
    );

    world.delete("ManagedIdentity", "runner").await;
    world.delete("ResourceGroup", "jobs").await;
    world.until_gone("ManagedIdentity", "runner").await;
    world.until_gone("ResourceGroup", "jobs").await;
    assert!(azure.find(&azure.group_id("jobs")).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_exists_is_taken_over_by_policy_only_and_kept() {
    let (world, azure) = surroundings("adopting").await;
    world.until_available("ResourceGroup", "jobs").await;
    let id = azure.identity_id("jobs", "runner");
    world.apply(&identity("first", &json!({}))).await;
    world.until_available("ManagedIdentity", "first").await;
    let there = azure
        .put(&id, &json!({"location": "northcentralus", "tags": {"team": "a"}}))
        .await;
    world
        .apply(&identity(
            "runner",
            &json!({"federatedCredentials": [credential("one", "a")]}),
        ))
        .await;
    world.until_reason("ManagedIdentity", "runner", "AlreadyExists").await;
    assert_eq!(trusted(&azure, &id).await, []);
    world
        .merge(
            "ManagedIdentity",
            "runner",
            &json!({"spec": {"adoptionPolicy": "MustExist"}}),
        )
        .await;
    world.until_available("ManagedIdentity", "runner").await;
    let status = status(&world, "runner").await;
    assert_eq!(status["principalId"], there["properties"]["principalId"]);
    world.delete("ManagedIdentity", "runner").await;
    world.until_gone("ManagedIdentity", "runner").await;
    let kept = azure.find(&id).await.expect("it was there before");
    assert_eq!(kept["tags"], json!({"team": "a"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_azure_refused_is_tried_again_when_somebody_asks_for_a_look() {
    let (world, azure) = surroundings("retried").await;
    let refused = json!({
        "match": {"method": "PUT", "path": "/federatedIdentityCredentials/runner"},
        "times": 1,
        "action": {"status": 400, "body": {"error": {"code": "BadRequest", "message": "not on a Thursday"}}},
    });
    world.fault(&refused).await;
    let spec = json!({"federatedCredentials": [credential("runner", "runner")]});
    world.apply(&identity("runner", &spec)).await;
    let told = world.until_reason("ManagedIdentity", "runner", "Rejected").await;
    assert!(told.message.contains("not on a Thursday"), "{}", told.message);
    let path = "/userAssignedIdentities/runner/federatedIdentityCredentials";
    let requests = world.until_read(&[path], 3).await;
    assert!(requests.iter().all(|it| it["method"] != "PUT"), "{requests:?}");

    let request = json!({"metadata": {"annotations": {"lifeguard.dev/reconcile-requested-at": "now"}}});
    world.merge("ManagedIdentity", "runner", &request).await;
    world.until_available("ManagedIdentity", "runner").await;
    assert_eq!(trusted(&azure, &azure.identity_id("jobs", "runner")).await.len(), 1);
    assert_eq!(status(&world, "runner").await["lastHandledReconcileAt"], "now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_meets_another_on_the_same_identity_waits_and_at_rest_nothing_is_written() {
    let (world, azure) = surroundings("concurrent").await;
    let concurrent = json!({
        "match": {"method": "PUT", "path": "/federatedIdentityCredentials/"},
        "times": 2,
        "action": {"status": 409, "body": {"error": {
            "code": "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", "message": "Too many",
        }}},
    });
    world.fault(&concurrent).await;
    let names: Vec<String> = (0..20).map(|it| format!("credential-{it:02}")).collect();
    let credentials: Vec<Value> = names.iter().map(|it| credential(it, it)).collect();
    let spec = json!({"federatedCredentials": credentials, "export": {"configMap": {"name": "ids"}}});
    world.apply(&identity("runner", &spec)).await;
    world.until_available("ManagedIdentity", "runner").await;
    let id = azure.identity_id("jobs", "runner");
    assert_eq!(trusted(&azure, &id).await.len(), 20);

    world.forget_requests().await;
    let version = || async {
        world
            .read("ManagedIdentity", "runner")
            .await
            .expect("it")
            .metadata
            .resource_version
    };
    let before = version().await;
    let about = |requests: Vec<Value>| -> Vec<Value> {
        let is_about = |it: &Value| {
            it["path"]
                .as_str()
                .is_some_and(|path| path.to_lowercase().contains("/userassignedidentities/runner"))
        };
        requests.into_iter().filter(is_about).collect()
    };
    world
        .until("it was looked at often", || async {
            (about(world.requests().await).len() >= 20).then_some(())
        })
        .await;
    let requests = about(world.requests().await);
    assert!(requests.iter().all(|it| it["method"] == "GET"), "{requests:?}");
    assert_eq!(version().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_outlives_the_role_that_it_has_and_the_account_that_is_it() {
    let (world, azure) = surroundings("outliving").await;
    service_account(&world, "lifeguard-runner").await;
    let spec = json!({"federatedCredentials": [credential("runner", "lifeguard-runner")]});
    world.apply(&identity("runner", &spec)).await;
    world.apply(&shell_pool("shell", 5)).await;
    let assignment = json!({
        "principal": {"managedIdentityRef": {"name": "runner"}},
        "role": "Azure ContainerApps Session Executor",
        "scope": {"sessionPoolRef": {"name": "shell"}},
        "interval": OFTEN,
    });
    world.apply(&object("RoleAssignment", "runs", &assignment)).await;
    let ready = world.azure();
    let account = json!({
        "tenantId": ready.tenant_id, "subscriptionId": ready.subscription_id,
        "credential": {"workloadIdentity": {
            "managedIdentityRef": {"name": "runner"}, "serviceAccountRef": {"name": "lifeguard-runner"},
        }},
    });
    world.apply(&object("AzureAccount", "runner", &account)).await;
    world.until_available("RoleAssignment", "runs").await;
    world.until_available("AzureAccount", "runner").await;

    let busy = json!({
        "match": {"method": "DELETE", "path": "/roleAssignments/"},
        "times": 1000,
        "action": {"status": 503, "body": {"error": {"code": "ServiceUnavailable", "message": "busy"}}},
    });
    world.fault(&busy).await;
    world.delete("ManagedIdentity", "runner").await;
    let told = world.until_reason("ManagedIdentity", "runner", "Deleting").await;
    assert!(told.message.contains("RoleAssignment runs"), "{}", told.message);
    let id = azure.identity_id("jobs", "runner");
    assert!(azure.find(&id).await.is_some());
    world.control(reqwest::Method::DELETE, "faults", None).await;
    world.until_gone("ManagedIdentity", "runner").await;
    assert!(azure.find(&id).await.is_none());
    // The assignment went before, and its object waits for another identity of that name.
    let assignments = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments",
        azure.pool_id("jobs", "shell")
    );
    let left = azure.list(&assignments).await;
    let is_of_pool = |it: &Value| {
        it["properties"]["scope"]
            .as_str()
            .is_some_and(|scope| scope.to_lowercase().ends_with("/sessionpools/shell"))
    };
    assert!(!left.iter().any(is_of_pool), "{left:?}");
    world.until_reason("RoleAssignment", "runs", "ReferenceNotFound").await;

    world.apply(&identity("runner", &spec)).await;
    world.until_available("RoleAssignment", "runs").await;
    world.until_available("AzureAccount", "runner").await;
}
