//! A command that runs and jobs that have ended cause no write.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use lifeguard::api::command_job::Phase;
use lifeguard::api::{AzureAccount, CommandJob, ResourceGroup, SessionPool};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::jobs::result;
use crate::witness::Witness;
use crate::world::{OFTEN, World, WorldOptions, object, script, shell_pool};

/// How many drift checks are watched.
const CHECKS: usize = 30;

async fn versions_of<K>(client: &Client, namespace: &str, versions: &mut BTreeMap<String, String>)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    for object in api.list(&ListParams::default()).await.expect("a list") {
        let key = format!("{} {namespace}/{}", K::kind(&()), object.name_any());
        versions.insert(key, object.resource_version().unwrap_or_default());
    }
}

/// The resourceVersion of everything that the operator could write to.
async fn versions(world: &World) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let (client, own) = (&world.client, world.namespace.as_str());
    versions_of::<AzureAccount>(client, own, &mut versions).await;
    versions_of::<ResourceGroup>(client, own, &mut versions).await;
    versions_of::<SessionPool>(client, own, &mut versions).await;
    versions_of::<CommandJob>(client, own, &mut versions).await;
    versions_of::<Secret>(client, own, &mut versions).await;
    versions_of::<ConfigMap>(client, own, &mut versions).await;
    versions_of::<k8s_openapi::api::events::v1::Event>(client, own, &mut versions).await;
    versions
}

fn is_read(request: &Value) -> bool {
    let is_token = request["path"]
        .as_str()
        .is_some_and(|path| path.ends_with("/oauth2/v2.0/token"));
    request["method"] == "GET" || is_token
}

#[tokio::test(flavor = "multi_thread")]
async fn at_rest_and_while_a_command_runs_nothing_is_written() {
    let options = WorldOptions {
        // Many looks at the session while the command runs.
        arguments: ["--poll-window", "1"].map(str::to_owned).to_vec(),
        ..WorldOptions::default()
    };
    let world = World::with("rest", options).await;
    let witness = Witness::new().await;
    world
        .apply(&object("ResourceGroup", "jobs", &json!({"interval": OFTEN})))
        .await;
    for name in ["shell", "second", "third"] {
        let mut pool = shell_pool(name, 5);
        pool["spec"]["interval"] = OFTEN.into();
        world.apply(&pool).await;
    }
    for name in ["second", "third"] {
        world
            .until(&format!("pool {name} is ready"), || async {
                let conditions = world
                    .ours::<SessionPool>()
                    .get(name)
                    .await
                    .ok()?
                    .status?
                    .azure
                    .conditions;
                conditions
                    .iter()
                    .any(|it| it.type_ == "Ready" && it.status == "True")
                    .then_some(())
            })
            .await;
    }
    let ended = world.run("ended", &script("echo done")).await;
    assert_eq!(result(&ended), (0, b"done\n".to_vec(), Vec::new()));
    let failed = world.run("failed", &script("exit 9")).await;
    assert_eq!(result(&failed).0, 9);

    world
        .job(
            "long",
            &script(&format!("{}; read -r _ <&9; exit 5", witness.held("long"))),
        )
        .await;
    let claimed = world
        .until("the command runs", || async {
            let job: CommandJob = world.ours().get("long").await.ok()?;
            let runs = job.status.as_ref()?.phase == Some(Phase::Running) && witness.count("long") == 1;
            runs.then_some(job)
        })
        .await;
    world.forget_requests().await;
    world
        .until("the command was asked for three times", || async {
            let requests = world.requests().await;
            let asked = requests
                .iter()
                .filter(|it| it["path"].as_str().is_some_and(|it| it.ends_with("/executions")));
            (asked.count() >= 3).then_some(())
        })
        .await;
    let running: CommandJob = world.ours().get("long").await.expect("the job");
    assert_eq!(
        running.resource_version(),
        claimed.resource_version(),
        "written to while it ran"
    );
    witness.open();
    assert_eq!(result(&world.ended("long").await).0, 5);
    world
        .until("the session is released", || async {
            let requests = world.requests().await;
            requests.iter().any(|it| it["method"] == "DELETE").then_some(())
        })
        .await;

    // Events are written a moment after what they tell of.
    let tells = || async {
        let events = Api::<k8s_openapi::api::events::v1::Event>::namespaced(world.client.clone(), &world.namespace);
        let events = events.list(&ListParams::default()).await.ok()?.items;
        let of = |name: &str| {
            events
                .iter()
                .any(|it| it.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name))
        };
        ["ended", "failed", "long"].into_iter().all(of).then_some(())
    };
    world.until("everything was told", tells).await;
    // So are the sessions of a pool.
    world
        .until("the pool says that its sessions have ended", || async {
            let pool: SessionPool = world.ours().get("shell").await.ok()?;
            let sessions = pool.status?.sessions?;
            let hours: i64 = sessions.billed_hours.iter().map(|it| it.hours).sum();
            (sessions.in_use == 0 && sessions.queued == 0 && hours == 3).then_some(())
        })
        .await;
    let before = versions(&world).await;
    world.forget_requests().await;
    let requests = world
        .until("the checks were made", || async {
            let requests = world.requests().await;
            let is_check = |it: &&Value| it["path"].as_str().is_some_and(|it| it.contains("/sessionPools/"));
            (requests.iter().filter(is_check).count() >= CHECKS).then_some(requests)
        })
        .await;
    let writes: Vec<_> = requests.iter().filter(|it| !is_read(it)).collect();
    assert!(writes.is_empty(), "written to Azure: {writes:?}");
    let groups = requests.iter().filter(|it| {
        it["path"]
            .as_str()
            .is_some_and(|it| it.ends_with("/resourceGroups/jobs"))
    });
    assert!(groups.count() >= CHECKS / 6, "the group was hardly checked");
    assert_eq!(versions(&world).await, before, "written to Kubernetes");
}
