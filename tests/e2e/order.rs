//! Order without scripts: the tutorial's objects are applied and deleted in any order while Azure answers badly. In the
//! end Azure is always the same, the command has run once, and nothing is left.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::azure::Azure;
use crate::examples::{named, objects, surroundings, until_all_gone, until_all_ready};
use crate::jobs::result;
use crate::landscape::{Landscape, assert_same};
use crate::witness::Witness;
use crate::world::{World, sample_or_soak};

/// How many worlds there are at the same time.
const WORLDS: usize = 3;

/// The first seed; each run has the next one.
const SEED: u64 = 0x0de5_0000;

/// Runs that one seed, and nothing else.
const SEED_VARIABLE: &str = "LIFEGUARD_SEED";

/// Faults in each half of a run.
const FAULTS: std::ops::Range<usize> = 4..12;

/// What a request can meet.
fn faults() -> [Value; 8] {
    let error = |code: &str| json!({"error": {"code": code, "message": "Try again."}});
    [
        json!({"status": 429, "headers": {"Retry-After": "1"}, "body": error("TooManyRequests")}),
        json!({"status": 429, "body": error("TooManyRequests")}),
        json!({"status": 500, "body": error("InternalServerError")}),
        json!({"status": 503, "body": error("ServiceUnavailable")}),
        json!({"reset": true}),
        json!({"dropResponse": true}),
        json!({"truncateBytes": 9}),
        json!({"delayMilliseconds": 700}),
    ]
}

/// Where it is met.
const PLACES: [(&str, &str); 15] = [
    ("GET", "^/subscriptions/"),
    ("PUT", "^/subscriptions/"),
    ("DELETE", "^/subscriptions/"),
    ("GET", r"/resourcegroups/mygroup\?"),
    ("PUT", r"/resourcegroups/mygroup\?"),
    ("PUT", r"/userAssignedIdentities/[^/]*\?"),
    ("PUT", "/federatedIdentityCredentials/"),
    ("PUT", r"/sessionPools/[^/]*\?"),
    ("PATCH", r"/sessionPools/[^/]*\?"),
    ("PUT", "/roleAssignments/"),
    ("DELETE", "/roleAssignments/"),
    ("PATCH", "/containerApps/"),
    ("GET", "/containerApps/"),
    ("POST", "/oauth2/v2.0/token"),
    ("POST", r"dynamicsessions\.io/"),
];

/// The kinds of the tutorial that may be told apart in Azure.
const KINDS: [&str; 7] = [
    "/resourcegroups/mygroup ",
    "/sessionpools/myshellpool ",
    "/userassignedidentities/myshellpool-uami ",
    "/federatedidentitycredentials/lifeguard-runner ",
    "/containerapps/my-container-app ",
    "\"0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0\",",
    "\"userAssigned\":[\"/subscriptions/",
];

/// Says how to have the run again, if it fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to have this run again: {SEED_VARIABLE}={} …", self.0);
        }
    }
}

/// The tutorial, with a command that tells that it runs.
pub fn tutorial(witness: &Witness, name: &str) -> Vec<Value> {
    let mut objects = objects("tutorial");
    for job in objects.iter_mut().filter(|it| it["kind"] == "CommandJob") {
        job["spec"]["script"] = json!(format!("{}; echo Hello world!", witness.told(name)));
    }
    objects
}

/// Fails some requests at random while something else goes on.
async fn trouble(world: &World, mut random: fastrand::Rng) {
    for _ in 0..random.usize(FAULTS) {
        let (method, path) = PLACES[random.usize(..PLACES.len())];
        let faults = faults();
        let action = &faults[random.usize(..faults.len())];
        let fault = json!({"match": {"method": method, "path": path}, "times": 1, "action": action});
        world.fault(&fault).await;
        pause(&mut random, 500).await;
    }
}

async fn pause(random: &mut fastrand::Rng, most_milliseconds: u64) {
    // Often none at all, as when a folder is applied.
    if random.bool() {
        tokio::time::sleep(Duration::from_millis(random.u64(0..most_milliseconds))).await;
    }
}

async fn applied(world: &World, objects: &[Value], random: &mut fastrand::Rng) {
    let mut order: Vec<_> = objects.iter().collect();
    random.shuffle(&mut order);
    for object in order {
        world.apply(object).await;
        pause(random, 400).await;
    }
}

async fn deleted_one_by_one(world: &World, objects: &[Value], random: &mut fastrand::Rng) {
    let mut order: Vec<_> = objects.iter().collect();
    random.shuffle(&mut order);
    for object in order {
        let api = world.objects(&world.namespace, object);
        let (_, name) = named(object);
        api.delete(name, &DeleteParams::default())
            .await
            .expect("it can be deleted");
        pause(random, 400).await;
    }
}

/// Deletes the namespace, and makes it again when it is gone.
async fn namespace_deleted(world: &World) {
    let api: Api<Namespace> = Api::all(world.client.clone());
    let delete = DeleteParams::default();
    api.delete(&world.namespace, &delete).await.expect("it can be deleted");
    world
        .until("the namespace is gone", || async {
            let found = api.get_opt(&world.namespace).await.ok()?;
            found.is_none().then_some(())
        })
        .await;
    world.create_namespace(&world.namespace).await;
}

/// One run. Returns what there was in Azure when everything was ready.
async fn run(world: &World, azure: &Azure, witness: &Witness, seed: u64) -> Landscape {
    let _seed = Seed(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let name = format!("run-{seed:x}");
    let objects = tutorial(witness, &name);
    let bare = azure.landscape(&world.namespace).await;

    let storm = trouble(world, random.fork());
    tokio::join!(storm, applied(world, &objects, &mut random));
    until_all_ready(world, &objects).await;
    let job = world.ended("hello").await;
    assert_eq!(result(&job), (0, b"Hello world!\n".to_vec(), Vec::new()));
    world.control(reqwest::Method::DELETE, "faults", None).await;
    let complete = azure.landscape(&world.namespace).await;

    let storm = trouble(world, random.fork());
    if random.u8(0..3) == 0 {
        tokio::join!(storm, namespace_deleted(world));
    } else {
        tokio::join!(storm, deleted_one_by_one(world, &objects, &mut random));
        until_all_gone(world, &objects).await;
    }
    world.control(reqwest::Method::DELETE, "faults", None).await;
    assert_eq!(
        azure.landscape(&world.namespace).await,
        bare,
        "something is left in Azure"
    );
    assert_eq!(witness.count(&name), 1, "the command ran so often");
    complete
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_applied_and_deleted_in_random_order_under_faults_end_the_same_and_leave_nothing() {
    let only = std::env::var(SEED_VARIABLE).ok().and_then(|it| it.parse().ok());
    let runs = if only.is_some() { 1 } else { sample_or_soak(6, 200) };
    let witness = Witness::new().await;
    let expected = OnceCell::new();
    let worlds = (0..WORLDS.min(runs)).map(|number| {
        let (witness, expected) = (&witness, &expected);
        async move {
            let (world, azure) = surroundings("order").await;
            for seed in (SEED..).take(runs).skip(number).step_by(WORLDS) {
                let seed = only.unwrap_or(seed);
                let found = run(&world, &azure, witness, seed).await;
                let expected = expected.get_or_init(|| async { found.clone() }).await;
                assert_same(&found, expected, &format!("seed {seed}, compared with an earlier one"));
                eprintln!("seed {seed} ended as it should");
            }
        }
    });
    join_all(worlds).await;
    let found: &Landscape = expected.get().expect("there were runs");
    for part in KINDS {
        assert!(found.iter().any(|line| line.contains(part)), "no {part} in {found:#?}");
    }
}
