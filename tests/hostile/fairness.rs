//! What one namespace asks of Azure keeps no other waiting, and what Azure keeps its own way is not written for ever.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::standing::ready;
use crate::world::{OFTEN, World, WorldOptions, object, shell_pool};

/// Objects of the namespace that wants to know everything each second.
const MANY: usize = 150;
/// The requests of that namespace that may be answered while another's first resource group becomes ready. It takes some four
/// reads, and each of them would wait for that many if only luck decided whose is next.
const MOST_REQUESTS: usize = 100;

fn of_group<'a>(requests: &'a [Value], name: &str) -> Vec<&'a Value> {
    let is_of_it = |it: &&Value| {
        let path = it["path"].as_str().unwrap_or_default().to_lowercase();
        path.contains(&format!("/resourcegroups/{name}"))
    };
    requests.iter().filter(is_of_it).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_wants_many_looks_each_second_keeps_no_other_of_its_principal_waiting() {
    let other = "fairness-other";
    let options = WorldOptions {
        namespaces: vec![other.to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("fairness", options).await;
    world.create_namespace(other).await;
    world.hasten().await;
    world.behave(&json!({"arm": {"throttling": false}})).await;
    for number in 0..MANY {
        let group = json!({"interval": "1s"});
        world
            .apply(&object("ResourceGroup", &format!("many-{number}"), &group))
            .await;
    }
    let last = format!("many-{}", MANY - 1);
    for number in 0..MANY {
        world.until_available("ResourceGroup", &format!("many-{number}")).await;
    }
    // From now on there are far fewer reads than they want.
    let scarce = json!({"arm": {"throttling": true, "reads": {"size": 10, "refillPerSecond": 5.0}}});
    world.behave(&scarce).await;
    let path = format!("/resourceGroups/{last}");
    world.until_read(&[path], 1).await;
    world.forget_requests().await;
    world.account_in(other, "default").await;
    let group = object("ResourceGroup", "single", &json!({}));
    world.apply_in(other, &group).await;
    let groups = world.objects(other, &group);
    world
        .until("the other's group is ready", || async {
            let found = groups.get("single").await.ok()?;
            ready(&found).filter(|it| it.status == "True")
        })
        .await;
    let requests = world.requests().await;
    let answered = of_group(&requests, "many-")
        .into_iter()
        .filter(|it| it["status"] == 200)
        .count();
    assert!(answered <= MOST_REQUESTS, "{answered} came first");
    assert!(answered > 0, "nobody was in the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_shows_another_way_than_it_was_written_is_written_a_few_times_and_not_at_every_look() {
    let world = World::new("own-way").await;
    world.hasten().await;
    world.behave(&json!({"arm": {"tagValuesOnRead": "LowerCase"}})).await;
    let tags = json!({"Size": "Big"});
    let group = json!({"tags": tags, "interval": OFTEN});
    world.apply(&object("ResourceGroup", "jobs", &group)).await;
    let mut pool = shell_pool("shell", 5);
    pool["spec"]["interval"] = OFTEN.into();
    pool["spec"]["tags"] = tags;
    world.apply(&pool).await;
    let paths = ["/resourceGroups/jobs", "/sessionPools/shell"];
    // The one that creates it, and one that finds out that it changes nothing.
    world
        .until("both were written again", || async {
            let requests = world.requests().await;
            let is_written_again = |path: &&str| writes(&requests, path) >= 2;
            paths.iter().all(is_written_again).then_some(())
        })
        .await;
    let requests = world.until_read(&paths, 40).await;
    for path in paths {
        assert_eq!(writes(&requests, path), 0, "{path}");
    }
    for (kind, name) in [("ResourceGroup", "jobs"), ("SessionPool", "shell")] {
        let found = world.read(kind, name).await.expect("it is there");
        let conditions = found.data["status"]["conditions"]
            .as_array()
            .expect("conditions")
            .clone();
        let in_sync = conditions.iter().find(|it| it["type"] == "InSync").expect("InSync");
        assert_eq!(in_sync["status"], "False", "{} {in_sync}", found.name_any());
        assert_eq!(found.data["status"]["drift"][0]["path"], "tags.Size", "{name}");
    }
}

fn writes(requests: &[Value], path: &str) -> usize {
    let wanted = path.to_lowercase();
    let is_write = |it: &&Value| {
        let path = it["path"].as_str().unwrap_or_default().to_lowercase();
        path.ends_with(&wanted) && (it["method"] == "PUT" || it["method"] == "PATCH")
    };
    requests.iter().filter(is_write).count()
}
