//! The operator is killed after each of its writes to Azure in turn: it goes on where it was, and nothing is left that
//! nobody owns.

use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::azure::Azure;
use crate::examples::{is_ours, named, surroundings, until_all_gone, until_all_ready};
use crate::jobs::result;
use crate::landscape::{Landscape, assert_same};
use crate::order::tutorial;
use crate::witness::Witness;
use crate::world::{PATIENCE, World};

/// How long each write is held before it is carried out, so that the operator dies between two of them.
const HELD: Duration = Duration::from_millis(150);

/// Writes in the making of the tutorial that nobody should come below: a group, a pool, an identity, its credential, an
/// assignment, an attachment. The credential goes with its identity, so there is one less in the unmaking.
const EFFECTS: usize = 6;

/// Worlds at the same time. Each takes its share of the moments.
const WORLDS: usize = 3;

/// Writes to Resource Manager since the requests were forgotten.
async fn effects(world: &World) -> usize {
    let requests = world.requests().await;
    let is_effect = |it: &&Value| {
        let is_arm = it["path"].as_str().is_some_and(|it| it.starts_with("/subscriptions/"));
        is_arm && it["method"] != "GET"
    };
    requests.iter().filter(is_effect).count()
}

/// Waits for the n-th write, or until there is nothing more to come. Says whether there was one.
async fn effect<F: Future<Output = bool>>(world: &World, number: usize, is_done: impl Fn() -> F) -> bool {
    let started = Instant::now();
    loop {
        if effects(world).await >= number {
            return true;
        }
        if is_done().await {
            return false;
        }
        assert!(started.elapsed() < PATIENCE, "no write {number}, and no end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn killed_and_started(world: &mut World) {
    world.kill_operator();
    world.start_operator_at_once().await;
}

/// Kills the operator after the n-th write of the making and of the unmaking. Says whether there were so many of either.
async fn killed_after(
    world: &mut World,
    azure: &Azure,
    witness: &Witness,
    expected: &OnceCell<Landscape>,
    number: usize,
) -> bool {
    let name = format!("killed-{number}");
    let objects = tutorial(witness, &name);
    let bare = azure.landscape(&world.namespace).await;
    world.forget_requests().await;
    for object in &objects {
        world.apply(object).await;
    }
    let is_made = || async {
        let job = world.read("CommandJob", "hello").await;
        job.is_some_and(|it| it.data["status"]["phase"] == "Succeeded")
    };
    let has_made = effect(world, number, is_made).await;
    killed_and_started(world).await;
    until_all_ready(world, &objects).await;
    assert_eq!(
        result(&world.ended("hello").await),
        (0, b"Hello world!\n".to_vec(), Vec::new())
    );
    assert_eq!(witness.count(&name), 1, "the command ran so often");
    let complete = azure.landscape(&world.namespace).await;
    let expected = expected.get_or_init(|| async { complete.clone() }).await;
    assert_same(&complete, expected, &format!("made with a kill at write {number}"));

    world.forget_requests().await;
    // Not the Secret and the ServiceAccount: an operator that was killed needs a token again.
    for object in objects.iter().filter(|it| is_ours(it)) {
        let api = world.objects(&world.namespace, object);
        let deleted = api.delete(named(object).1, &DeleteParams::default()).await;
        deleted.expect("it can be deleted");
    }
    let is_unmade = || async { world.read("AzureAccount", "default").await.is_none() };
    let has_unmade = effect(world, number, is_unmade).await;
    killed_and_started(world).await;
    until_all_gone(world, &objects).await;
    let left = azure.landscape(&world.namespace).await;
    assert_same(&left, &bare, &format!("after kills at write {number}"));
    has_made || has_unmade
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_after_any_of_its_writes_leaves_nothing_unowned() {
    let witness = Witness::new().await;
    let expected = OnceCell::new();
    let worlds = (0..WORLDS).map(|first| {
        let (witness, expected) = (&witness, &expected);
        async move {
            let (mut world, azure) = surroundings("effects").await;
            for method in ["PUT", "PATCH", "DELETE", "POST"] {
                let held = json!({
                    "match": {"method": method, "path": "^/subscriptions/"}, "times": 1_000_000,
                    "action": {"delayMilliseconds": HELD.as_millis()},
                });
                world.fault(&held).await;
            }
            let mut number = first + 1;
            while killed_after(&mut world, &azure, witness, expected, number).await {
                number += WORLDS;
            }
            number
        }
    });
    let first_without: Vec<_> = join_all(worlds).await;
    let least = first_without.iter().min().expect("worlds");
    assert!(*least > EFFECTS, "only {} writes", least - 1);
}
