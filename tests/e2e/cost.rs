//! What a job costs: requests to Azure and writes to Kubernetes.

use futures::TryStreamExt as _;
use kube::Api;
use kube::api::{DeleteParams, WatchEvent, WatchParams};
use lifeguard::api::CommandJob;
use serde_json::{Value, json};

use crate::jobs::result;
use crate::world::{World, script};

/// Method and operation of every request to the data plane.
pub fn data_plane(requests: &[Value]) -> Vec<(String, String)> {
    let text = |request: &Value, member: &str| request[member].as_str().unwrap_or_default().to_owned();
    requests
        .iter()
        .filter(|it| text(it, "path").contains("dynamicsessions.io/"))
        .filter(|it| !text(it, "path").ends_with("/listSessions"))
        .map(|it| {
            let operation = text(it, "path").rsplit('/').next().unwrap_or_default().to_owned();
            (text(it, "method"), operation)
        })
        .collect()
}

/// Waits until the request that releases a session is answered: the session is gone a moment earlier.
async fn given_back(world: &World) {
    world
        .until("the session is given back", || async {
            let requests = data_plane(&world.requests().await);
            requests.iter().any(|(method, _)| method == "DELETE").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_job_costs_three_requests_and_two_status_writes() {
    let world = World::new("cost").await;
    world.pool("shell", 10).await;
    // A lost answer is asked for again, which is another request.
    world.behave(&json!({"sessions": {"lostWriteProbability": 0}})).await;
    // The first job makes the operator find out which form of request the pool takes.
    world.run("first", &script("true")).await;
    given_back(&world).await;

    for (name, text) in [
        ("silent", "true"),
        ("prints", "echo out; echo err >&2; exit 3"),
        ("prints-much", "head -c 2000 /dev/zero | tr '\\0' x"),
    ] {
        world.forget_requests().await;
        let jobs: Api<CommandJob> = world.ours();
        let selector = WatchParams::default().fields(&format!("metadata.name={name}"));
        let since = jobs
            .list_metadata(&kube::api::ListParams::default())
            .await
            .expect("a list")
            .metadata
            .resource_version
            .expect("a version");
        let mut events = Box::pin(jobs.watch(&selector, &since).await.expect("a watch"));
        let job = world.run(name, &script(text)).await;
        result(&job);
        given_back(&world).await;
        // The deletion ends the watch, so nothing can come after what was counted.
        jobs.delete(name, &DeleteParams::default()).await.expect("deleted");
        let mut phases = Vec::new();
        while let Some(event) = events.try_next().await.expect("a watch goes on") {
            match event {
                WatchEvent::Modified(job) => phases.push(job.status.and_then(|it| it.phase)),
                WatchEvent::Deleted(_) => break,
                WatchEvent::Added(_) | WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(
            data_plane(&world.requests().await),
            [("POST", "files"), ("POST", "executions"), ("DELETE", "session")]
                .map(|(method, operation)| (method.to_owned(), operation.to_owned())),
            "{name}"
        );
        assert_eq!(phases.len(), 2, "{name}: the claim and the result: {phases:?}");
    }
}
