//! Jobs in sessions that others have left, while requests fail and the operator is killed: each runs once, and finds what its
//! mode promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::api::{ListParams, PostParams};
use lifeguard::api::{CommandJob, SessionPool};
use reqwest::Method;
use serde_json::{Value, json};

use crate::data_plane::live_sessions;
use crate::faults::{arm, faults, session_endpoints};
use crate::jobs::result;
use crate::kills::has_ended;
use crate::witness::Witness;
use crate::world::{PATIENCE, World, WorldOptions, object, sample_or_soak, shell_pool, typed};

/// Sessions of the pool.
const CAPACITY: u32 = 6;

/// How many requests fail for each job, about.
const FAULTS_PER_JOB: usize = 1;

/// One kill of the operator for so many jobs.
const JOBS_PER_KILL: usize = 6;

/// A job, and whose sessions it may have.
struct Sample {
    namespace: String,
    name: String,
    /// Namespace, mode and key: no session is of two of them. Nothing, where it has one of its own.
    tenancy: Option<String>,
    spec: Value,
}

impl Sample {
    /// Leaves something, and prints what others have left.
    fn random(random: &mut fastrand::Rng, number: usize, namespaces: &[String], witness: &Witness) -> Self {
        let namespace = namespaces[number % namespaces.len()].clone();
        let name = format!("job-{number:03}");
        let mode = *random
            .choice(&["Fresh", "Reused", "Reused", "Shared"])
            .expect("not empty");
        let key = (mode == "Shared").then_some("k");
        let residue = key.map_or_else(|| format!("{name}.residue"), |key| format!("{namespace}.{key}.residue"));
        let filling = *random.choice(&[0, 10, 5000]).expect("not empty");
        let script = format!(
            "{}\nls /mnt/data /tmp | grep residue\ntouch /mnt/data/{residue} /tmp/{residue}\n\
             (env -i setsid sleep 1000 >/dev/null 2>&1 &)\nhead -c {filling} /dev/zero | tr '\\0' x >&2\nexit {}",
            witness.told(&name),
            number % 3,
        );
        let mut session = json!({"mode": mode});
        if let Some(key) = key {
            session["key"] = json!(key);
            session["idleSeconds"] = json!(10);
        }
        let tenancy = (mode != "Fresh").then(|| format!("{namespace} {mode} {key:?}"));
        let target = json!({"sessionPoolRef": {"name": "shell", "namespace": namespaces[0]}});
        let spec = json!({"target": target, "script": script, "session": session});
        Self {
            namespace,
            name,
            tenancy,
            spec,
        }
    }

    /// Whether a job of this kind may have found these files.
    fn may_find(&self, stdout: &[u8]) -> bool {
        let found = String::from_utf8_lossy(stdout);
        match self.spec["session"]["key"].as_str() {
            None => found.is_empty(),
            Some(key) => found
                .lines()
                .all(|it| it == format!("{}.{key}.residue", self.namespace)),
        }
    }
}

async fn jobs_now(world: &World, namespaces: &[String]) -> BTreeMap<String, CommandJob> {
    let mut jobs = BTreeMap::new();
    for namespace in namespaces {
        let api: Api<CommandJob> = Api::namespaced(world.client.clone(), namespace);
        let list = world.until("the jobs are listed", || async {
            api.list(&ListParams::default()).await.ok()
        });
        for job in list.await.items {
            jobs.insert(job.metadata.name.clone().unwrap_or_default(), job);
        }
    }
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_sessions_that_others_left_run_once_and_find_what_they_may_whatever_fails() {
    let total = sample_or_soak(36, 600);
    let mut random = fastrand::Rng::with_seed(0x5e55);
    let witness = Witness::new().await;
    let guests = ["left-a", "left-b"];
    let options = WorldOptions {
        namespaces: guests.map(str::to_owned).to_vec(),
        ..WorldOptions::default()
    };
    let mut world = World::with("left-soak", options).await;
    for guest in guests {
        world.create_namespace(guest).await;
    }
    world.pool("shell", CAPACITY).await;
    let mut pool = shell_pool("shell", CAPACITY);
    pool["spec"]["sharing"] = json!([{"namespaces": {"from": "All"}, "accountRef": {"name": "default"}}]);
    world.apply(&pool).await;
    world.until_available("SessionPool", "shell").await;
    let namespaces: Vec<String> = [world.namespace.as_str()]
        .into_iter()
        .chain(guests)
        .map(str::to_owned)
        .collect();
    let samples: Vec<_> = (0..total)
        .map(|number| Sample::random(&mut random, number, &namespaces, &witness))
        .collect();
    futures::stream::iter(&samples)
        .map(|it| {
            let jobs: Api<CommandJob> = Api::namespaced(world.client.clone(), &it.namespace);
            let job = typed(&object("CommandJob", &it.name, &it.spec));
            async move { jobs.create(&PostParams::default(), &job).await }
        })
        .buffer_unordered(8)
        .try_for_each(async |_| Ok(()))
        .await
        .expect("the jobs are accepted");

    let (mut kills, mut armed, mut last_end) = (0, 0, (0, Instant::now()));
    let jobs = loop {
        let jobs = jobs_now(&world, &namespaces).await;
        let ended = jobs.values().filter(|it| has_ended(it)).count();
        if ended == total {
            break jobs;
        }
        if ended > last_end.0 {
            last_end = (ended, Instant::now());
        }
        assert!(
            last_end.1.elapsed() < PATIENCE,
            "{ended} of {total} jobs ended and no more; {}",
            world.operator_log()
        );
        if total - ended <= CAPACITY as usize {
            world.control(Method::DELETE, "faults", None).await;
        } else if armed < ended * FAULTS_PER_JOB + CAPACITY as usize {
            armed += 1;
            let (method, path) = random.choice(session_endpoints("shell")).expect("not empty");
            let (name, action) = random.choice(faults()).expect("not empty");
            // Whoever is told that a session was ended believes it, and its place is somebody else's.
            if name != "page" || method != "DELETE" {
                arm(&world, method, &path, 1, &action).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(random.u64(50..400))).await;
        if kills < total / JOBS_PER_KILL && kills * JOBS_PER_KILL <= ended {
            world.kill_operator();
            world.start_operator_at_once().await;
            kills += 1;
        }
    };
    world.control(Method::DELETE, "faults", None).await;

    let mut tenants: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut reused = 0;
    for (number, sample) in samples.iter().enumerate() {
        let job = &jobs[&sample.name];
        let (code, stdout, _) = result(job);
        assert_eq!(usize::try_from(code), Ok(number % 3), "{}", sample.name);
        assert!(
            sample.may_find(&stdout),
            "{} found {}",
            sample.name,
            String::from_utf8_lossy(&stdout)
        );
        assert_eq!(witness.count(&sample.name), 1, "{} ran so often", sample.name);
        let status = job.status.as_ref().expect("a status");
        reused += usize::from(status.session.as_ref().is_some_and(|it| it.reuse > 0));
        let tenant = sample.tenancy.clone().unwrap_or_else(|| sample.name.clone());
        for attempt in &status.attempts {
            tenants
                .entry(attempt.session.clone())
                .or_default()
                .insert(tenant.clone());
        }
    }
    for (session, tenants) in &tenants {
        assert_eq!(tenants.len(), 1, "{session} was that of {tenants:?}");
    }
    assert!(reused > total / 20, "only {reused} sessions were used again");
    let journal = world.control(Method::GET, "allocations", None).await;
    assert!(
        journal["pools"][0]["peak"].as_u64() <= Some(u64::from(CAPACITY)),
        "{}",
        journal["pools"]
    );
    eprintln!(
        "{total} jobs in {} sessions under {kills} kills, {reused} of them in one that was left",
        journal["sessions"].as_array().map_or(0, Vec::len)
    );
    world
        .until("no session is left that is not kept", || async {
            let pool: SessionPool = world.ours().get("shell").await.ok()?;
            let sessions = pool.status?.sessions?;
            let live = live_sessions(&world, "shell").await.len();
            (sessions.in_use == 0 && usize::try_from(sessions.kept) == Ok(live)).then_some(())
        })
        .await;
}
