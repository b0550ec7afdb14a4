//! A pool that is shared with other namespaces, and the account that it lends them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::Phase;
use reqwest::Method;
use serde_json::{Value, json};

use crate::data_plane::{pool_id, until_released};
use crate::jobs::{also, result};
use crate::roles::EXECUTOR;
use crate::witness::Witness;
use crate::world::{World, WorldOptions, object, shell_pool};

async fn world(name: &str, guests: &[&str]) -> World {
    let options = WorldOptions {
        namespaces: guests.iter().map(|it| (*it).to_owned()).collect(),
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    for guest in guests {
        world.create_namespace(guest).await;
    }
    world.pool("shell", 10).await;
    world
}

/// An application of Microsoft Entra ID that may run commands in every pool of the subscription and do nothing else.
async fn executor(world: &World) -> Value {
    let scope = format!("/subscriptions/{}", world.azure().subscription_id);
    let roles = json!({"roleAssignments": [{"scope": scope, "roleDefinitionId": EXECUTOR}]});
    world.control(Method::POST, "applications", Some(&roles)).await
}

/// An account of a namespace that is this application, and its Secret.
async fn account_of(world: &World, namespace: &str, name: &str, application: &Value) {
    let secret_name = format!("{name}-secret");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret_name},
        "stringData": {"clientSecret": application["clientSecret"]},
    });
    world.apply_in(namespace, &secret).await;
    let azure = world.azure();
    let credential =
        json!({"clientSecret": {"clientId": application["clientId"], "secretKeyRef": {"name": secret_name}}});
    let spec = json!({"tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id, "credential": credential});
    world.apply_in(namespace, &object("AzureAccount", name, &spec)).await;
}

/// The pool `shell`, or another one, shared in this way.
async fn share(world: &World, pool: &str, sharing: &Value) {
    let mut shared = shell_pool(pool, 10);
    shared["spec"]["sharing"] = sharing.clone();
    world.apply(&shared).await;
    world.until_available("SessionPool", pool).await;
}

fn all(account: Option<&str>) -> Value {
    lending(json!({"from": "All"}), account)
}

fn of_team(team: &str, account: Option<&str>) -> Value {
    lending(
        json!({"from": "Selector", "selector": {"matchLabels": {"team": team}}}),
        account,
    )
}

fn lending(namespaces: Value, account: Option<&str>) -> Value {
    let share = json!({"namespaces": namespaces});
    match account {
        Some(name) => also(share, &json!({"accountRef": {"name": name}})),
        None => share,
    }
}

async fn label(world: &World, namespace: &str, team: &Value) {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let labels = Patch::Merge(json!({"metadata": {"labels": {"team": team}}}));
    namespaces
        .patch(namespace, &PatchParams::default(), &labels)
        .await
        .expect("a label");
}

/// A job of a guest in a pool of the world's own namespace.
async fn job(world: &World, namespace: &str, name: &str, pool: &str, more: &Value) {
    let spec = json!({
        "target": {"sessionPoolRef": {"name": pool, "namespace": world.namespace}}, "script": "echo ran",
    });
    world
        .apply_in(namespace, &object("CommandJob", name, &also(spec, more)))
        .await;
}

async fn ran(world: &World, namespace: &str, name: &str) -> CommandJob {
    let job = world.ended_in(namespace, name).await;
    assert_eq!(result(&job), (0, b"ran\n".to_vec(), Vec::new()), "{namespace}/{name}");
    job
}

/// Who spoke to the sessions of the pool `shell` until so many of them were released, by object id. Only a test lists them.
async fn principals(world: &World, released: usize) -> BTreeSet<String> {
    let of_operator = |it: &Value| {
        let path = it["path"].as_str().unwrap_or_default();
        path.contains("/sessionPools/shell/") && !path.ends_with("/listSessions")
    };
    let requests = world
        .until("the sessions are released", || async {
            let mut requests = world.requests().await;
            requests.retain(of_operator);
            let so_far = requests.iter().filter(|it| it["method"] == "DELETE").count();
            (so_far == released).then_some(requests)
        })
        .await;
    let principal = |it: &Value| it["principal"].as_str().unwrap_or("nobody").to_owned();
    requests.iter().map(principal).collect()
}

fn only(application: &Value) -> BTreeSet<String> {
    BTreeSet::from([application["objectId"].as_str().expect("an object id").to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_open_to_the_namespaces_that_it_is_shared_with_and_to_no_other() {
    let guest = "guest-of-pools";
    let world = world("host", &[guest]).await;
    world.account_in(guest, "default").await;
    share(&world, "all", &json!([all(None)])).await;
    share(&world, "blue", &json!([of_team("red", None), of_team("blue", None)])).await;
    for pool in ["shell", "all", "blue", "none"] {
        job(&world, guest, pool, pool, &json!({})).await;
    }
    let target = ran(&world, guest, "all").await.status.and_then(|it| it.target);
    assert_eq!(target, Some(format!("pool/{}/all", world.namespace)));
    // Whether a pool exists is told only to whom it lets in.
    for refused in ["shell", "blue", "none"] {
        let message = world
            .until_in(guest, "CommandJob", refused, "NamespaceNotAllowed")
            .await;
        assert!(message.contains("by spec.sharing"), "{message}");
    }
    label(&world, guest, &json!("blue")).await;
    ran(&world, guest, "blue").await;
    share(&world, "shell", &json!([all(None)])).await;
    ran(&world, guest, "shell").await;
    label(&world, guest, &Value::Null).await;
    job(&world, guest, "again", "blue", &json!({})).await;
    world
        .until_in(guest, "CommandJob", "again", "NamespaceNotAllowed")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_an_account_runs_as_the_one_that_the_first_entry_lends_and_else_as_its_own() {
    let (blue, red) = ("lent-to-blue", "lent-to-red");
    let world = world("lending", &[blue, red]).await;
    let host = world.namespace.clone();
    let (first, second, own) = (executor(&world).await, executor(&world).await, executor(&world).await);
    account_of(&world, &host, "first", &first).await;
    account_of(&world, &host, "second", &second).await;
    account_of(&world, red, "own", &own).await;
    label(&world, blue, &json!("blue")).await;
    let sharing = json!([of_team("blue", Some("first")), all(Some("second")), all(None)]);
    share(&world, "shell", &sharing).await;
    let named = json!({"accountRef": {"name": "own"}});
    for (namespace, name, more, principal) in [
        (blue, "as-first", json!({}), &first),
        (red, "as-second", json!({}), &second),
        (red, "as-own", named, &own),
    ] {
        world.forget_requests().await;
        job(&world, namespace, name, "shell", &more).await;
        let job = ran(&world, namespace, name).await;
        assert_eq!(principals(&world, 1).await, only(principal), "{namespace}/{name}");
        let attempts = job.status.expect("a status").attempts;
        assert_eq!(attempts[0].lent_account.is_some(), name != "as-own", "{name}");
    }
    // By no name: an account is one of the job's own namespace.
    for (namespace, name) in [(blue, "first"), (red, "second")] {
        job(&world, namespace, name, "shell", &json!({"accountRef": {"name": name}})).await;
        let message = world.until_in(namespace, "CommandJob", name, "AccountNotFound").await;
        assert!(message.contains("in this namespace"), "{message}");
    }
    // The pool's own namespace is lent nothing.
    world.forget_requests().await;
    job(&world, &host, "as-manager", "shell", &json!({})).await;
    ran(&world, &host, "as-manager").await;
    let manager = principals(&world, 1).await;
    let lent = [&first, &second, &own].into_iter().flat_map(only).collect();
    assert!(manager.len() == 1 && manager.is_disjoint(&lent), "{manager:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_an_account_of_its_own_is_warned_and_so_is_its_host() {
    let guest = "guest-of-its-own";
    let world = world("warning", &[guest]).await;
    let host = world.namespace.clone();
    let (lent, own) = (executor(&world).await, executor(&world).await);
    account_of(&world, &host, "lent", &lent).await;
    account_of(&world, guest, "own", &own).await;
    share(&world, "shell", &json!([all(Some("lent"))])).await;
    let named = json!({"accountRef": {"name": "own"}});
    job(&world, guest, "lent", "shell", &json!({})).await;
    job(&world, guest, "own", "shell", &named).await;
    job(&world, guest, "again", "shell", &named).await;
    // By its id a pool is read in Azure first, as who may.
    world.account_in(guest, "default").await;
    let by_id = json!({
        "target": {"sessionPool": {"resourceId": pool_id(&world, "shell")}}, "script": "echo ran",
    });
    world.apply_in(guest, &object("CommandJob", "by-id", &by_id)).await;
    job(&world, &host, "host", "shell", &json!({})).await;
    for (namespace, name, is_warned) in [
        (guest, "lent", false),
        (guest, "own", true),
        (guest, "again", true),
        (guest, "by-id", true),
        (&host, "host", false),
    ] {
        let conditions = ran(&world, namespace, name).await.status.expect("a status").conditions;
        let isolated = conditions.iter().find(|it| it.type_ == "Isolated");
        let shown = isolated.map(|it| (it.status.as_str(), it.reason.as_str()));
        let expected = is_warned.then_some(("False", "OwnAccountInSharedPool"));
        assert_eq!(shown, expected, "{name}");
    }
    let warnings = async |namespace: &str| -> Vec<String> {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event"});
        let list = world.objects(namespace, &event).list(&ListParams::default()).await;
        let of_reason = |it: &Value| it["reason"] == "OwnAccountInSharedPool" && it["type"] == "Warning";
        let items = list.expect("a list").items.into_iter().map(|it| it.data);
        let mut kinds: Vec<_> = items
            .filter(of_reason)
            .map(|it| format!("{} {}", it["regarding"]["kind"], it["regarding"]["name"]).replace('"', ""))
            .collect();
        kinds.sort();
        kinds
    };
    world
        .until("both were told", || async {
            let told = (warnings(&host).await, warnings(guest).await);
            let jobs = ["again", "by-id", "own"].map(|it| format!("CommandJob {it}"));
            (told == (vec!["SessionPool shell".to_owned()], jobs.to_vec())).then_some(())
        })
        .await;
}

/// All that a guest can read of its jobs: the objects and the events about them.
async fn seen_by(world: &World, guest: &str) -> String {
    let mut seen = String::new();
    for kind in [
        json!({"apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob"}),
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event"}),
    ] {
        let list = world.objects(guest, &kind).list(&ListParams::default()).await;
        let items = list.expect("a list").items;
        assert!(!items.is_empty(), "{kind}");
        seen.push_str(&serde_json::to_string(&items).expect("JSON"));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_sees_nothing_of_the_account_that_it_is_lent_however_broken_that_is() {
    let guest = "guest-of-a-broken-account";
    let world = world("lender", &[guest]).await;
    let host = world.namespace.clone();
    let pool = format!("the SessionPool {host}/shell");
    let application = world.control(Method::POST, "applications", Some(&json!({}))).await;
    share(&world, "shell", &json!([all(Some("canary-account"))])).await;

    // It does not exist.
    job(&world, guest, "waiting", "shell", &json!({})).await;
    let not_ready = format!(
        "the account that {pool} lends is not ready; the job waits for it, and the pool's owner sees in the account's conditions why"
    );
    let says = |reason: &'static str| world.until_in(guest, "CommandJob", "waiting", reason);
    assert_eq!(says("AccountNotReady").await, not_ready);
    // Its secret is wrong.
    let wrong = also(application.clone(), &json!({"clientSecret": "canary-wrong-secret"}));
    account_of(&world, &host, "canary-account", &wrong).await;
    world
        .until_reason("AzureAccount", "canary-account", "InvalidCredential")
        .await;
    assert_eq!(says("AccountNotReady").await, not_ready);
    // It has no role on the pool.
    account_of(&world, &host, "canary-account", &application).await;
    world.until_available("AzureAccount", "canary-account").await;
    let message = says("RolePropagating").await;
    assert!(
        message.starts_with(&format!("{pool} refuses the account that it lends")),
        "{message}"
    );
    let role = json!({
        "clientId": application["clientId"], "clientSecret": application["clientSecret"],
        "roleAssignments": [{
            "scope": format!("/subscriptions/{}", world.azure().subscription_id), "roleDefinitionId": EXECUTOR,
        }],
    });
    world.control(Method::POST, "applications", Some(&role)).await;
    ran(&world, guest, "waiting").await;

    // It is ready, and the authority refuses a token for sessions.
    account_of(&world, &host, "canary-second", &application).await;
    world.until_available("AzureAccount", "canary-second").await;
    share(&world, "second", &json!([all(Some("canary-second"))])).await;
    let body = json!({"error": "invalid_client", "error_description": "AADSTS7000222: canary-description"});
    let fault = json!({
        "match": {"method": "POST", "path": "/oauth2/v2.0/token"}, "times": 1000, "action": {"status": 401, "body": body},
    });
    world.fault(&fault).await;
    job(&world, guest, "without-token", "second", &json!({})).await;
    let message = world
        .until_in(guest, "CommandJob", "without-token", "AccountNotReady")
        .await;
    assert_eq!(
        message,
        format!("the account that the SessionPool {host}/second lends gets no token")
    );
    world.control(Method::DELETE, "faults", None).await;
    ran(&world, guest, "without-token").await;

    // Azure answers in words of its own. Whether the pool is gone is asked as whoever manages it.
    let words = format!("canary-words about {}", pool_id(&world, "shell"));
    let answer = json!({"status": 404, "body": {"error": {"code": "CodeOfAzure", "message": words}}});
    let fault =
        json!({"match": {"method": "POST", "path": r"/sessionPools/shell/executions\?"}, "times": 3, "action": answer});
    world.fault(&fault).await;
    job(&world, guest, "not-found", "shell", &json!({})).await;
    ran(&world, guest, "not-found").await;
    let asked = world
        .requests()
        .await
        .into_iter()
        .filter(|it| it["principal"] == application["objectId"]);
    let asked: Vec<_> = asked
        .filter(|it| it["path"].to_string().ends_with("/sessionPools/shell\""))
        .collect();
    assert_eq!(asked, Vec::<Value>::new());
    let answer = json!({"status": 400, "body": {"error": {"code": "CodeOfAzure", "message": words}}});
    let fault =
        json!({"match": {"method": "POST", "path": r"/sessionPools/shell/files\?"}, "times": 1000, "action": answer});
    world.fault(&fault).await;
    job(&world, guest, "rejected", "shell", &json!({})).await;
    let message = world.until_in(guest, "CommandJob", "rejected", "Rejected").await;
    assert_eq!(message, format!("a request to {pool} failed (CodeOfAzure)"));

    let seen = seen_by(&world, guest).await;
    let azure = world.azure();
    let ids = ["clientId", "objectId", "clientSecret"].map(|it| application[it].as_str().expect("a text"));
    let of_azure = [&azure.tenant_id, &azure.subscription_id].map(String::as_str);
    for secret in ids
        .into_iter()
        .chain(of_azure)
        .chain(["canary", "AADSTS", "resourceGroups"])
    {
        let found = seen.find(secret).map(|at| &seen[at.saturating_sub(200)..]);
        assert_eq!(found.map(|it| &it[..it.len().min(400)]), None, "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_sharing_ends_is_ended_and_released_as_the_lent_account_even_by_another_operator() {
    let guest = "guest-that-stays";
    let mut world = world("withdrawn", &[guest]).await;
    let host = world.namespace.clone();
    let runner = executor(&world).await;
    account_of(&world, &host, "runner", &runner).await;
    share(&world, "shell", &json!([all(Some("runner"))])).await;
    let witness = Witness::new().await;
    let asking = format!("{}; echo ran", witness.asked("ends"));
    job(&world, guest, "ends", "shell", &json!({"script": asking})).await;
    let held = format!("{}; sleep 3600", witness.held("is-deleted"));
    job(&world, guest, "is-deleted", "shell", &json!({"script": held})).await;
    for name in ["ends", "is-deleted"] {
        let heard = || async { (witness.count(name) == 1).then_some(()) };
        world.until(&format!("{name} runs"), heard).await;
    }
    world.kill_operator();
    let closed = shell_pool("shell", 10);
    world.apply(&closed).await;
    world.forget_requests().await;
    world.start_operator().await;
    job(&world, guest, "late", "shell", &json!({})).await;
    world.until_in(guest, "CommandJob", "late", "NamespaceNotAllowed").await;

    witness.open();
    let job = ran(&world, guest, "ends").await;
    assert_eq!(job.status.expect("a status").phase, Some(Phase::Succeeded));
    let jobs: Api<CommandJob> = Api::namespaced(world.client.clone(), guest);
    jobs.delete("is-deleted", &DeleteParams::default())
        .await
        .expect("deleted");
    let killed = || async { (witness.connected() == 0).then_some(()) };
    world.until("the command of the deleted job is killed", killed).await;
    until_released(&world, "shell").await;
    assert_eq!(principals(&world, 2).await, only(&runner));
}
