//! Azure answers badly, late or not at all: everything converges, nothing runs twice, and nobody is asked too often.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams};
use lifeguard::api::command_job::{CommandResult, Outcome};
use lifeguard::api::{AzureAccount, CommandJob, ResourceGroup, SessionPool};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::jobs::result;
use crate::kills::{Sample, all_jobs, has_ended};
use crate::witness::Witness;
use crate::world::{PATIENCE, World, WorldOptions, object, sample_or_soak, script, shell_pool};

/// How often each fault strikes each endpoint. A 429 without `Retry-After` holds a job back for ever longer, so a second
/// one at each of them would take a minute and show nothing new.
const TIMES: usize = 1;

/// Every way in which an answer can be bad, by name.
pub fn faults() -> [(&'static str, Value); 10] {
    let error = |code: &str| json!({"error": {"code": code, "message": "Try again."}});
    let page = "<!DOCTYPE html><html><body>Our services aren't available right now</body></html>";
    [
        ("throttled", json!({"status": 429, "body": error("TooManyRequests")})),
        (
            "retry-after",
            json!({"status": 429, "headers": {"Retry-After": "1"}, "body": error("TooManyRequests")}),
        ),
        ("failed", json!({"status": 500, "body": error("InternalServerError")})),
        (
            "unavailable",
            json!({"status": 503, "body": error("ServiceUnavailable")}),
        ),
        ("reset", json!({"reset": true})),
        ("dropped", json!({"dropResponse": true})),
        ("slow", json!({"delayMilliseconds": 2500})),
        ("truncated", json!({"truncateBytes": 7})),
        (
            "page",
            json!({"status": 200, "headers": {"Content-Type": "text/html"}, "body": page}),
        ),
        (
            "gateway-page",
            json!({"status": 502, "headers": {"Content-Type": "text/html"}, "body": page}),
        ),
    ]
}

/// The endpoints of a pool's sessions that a job uses: method and regular expression.
pub fn session_endpoints(pool: &str) -> [(&'static str, String); 4] {
    let pool = format!(r"dynamicsessions\.io/.*/sessionPools/{pool}");
    [
        ("POST", format!(r"{pool}/files\?")),
        ("POST", format!(r"{pool}/executions\?")),
        ("GET", format!(r"{pool}/files/[^/]+/content\?")),
        ("DELETE", format!(r"{pool}/session\?")),
    ]
}

/// The listing of a session's files, which is only read when answers have no frame.
fn listing(pool: &str) -> (&'static str, String) {
    ("GET", format!(r"dynamicsessions\.io/.*/sessionPools/{pool}/files\?"))
}

fn pool_endpoint(pool: &str) -> String {
    format!(r"^/subscriptions/.*/Microsoft.App/sessionPools/{pool}\?")
}

fn group_endpoint(group: &str) -> String {
    format!(r"^/subscriptions/[^/]+/resourceGroups/{group}\?")
}

pub async fn arm(world: &World, method: &str, path: &str, times: usize, action: &Value) {
    let fault = json!({"match": {"method": method, "path": path}, "times": times, "action": action});
    world.fault(&fault).await;
}

/// Requests so far whose path contains `part`, token requests apart.
async fn asked(world: &World, part: &str) -> usize {
    let requests = world.requests().await;
    let is_asked = |it: &&Value| it["path"].as_str().is_some_and(|path| path.contains(part));
    requests.iter().filter(is_asked).count()
}

async fn is_gone<K>(world: &World, name: &str) -> Option<()>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let found = world.ours::<K>().get_opt(name).await.ok()?;
    found.is_none().then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_endpoint_is_overcome() {
    let options = WorldOptions {
        // What is repeated too soon is asked for too often.
        at_full_pace: true,
        ..WorldOptions::default()
    };
    let world = World::with("faults", options).await;
    let witness = Witness::new().await;
    // Registers the provider, so that what follows is about the faults alone.
    world.pool("shell", 5).await;

    for (name, action) in &faults() {
        for method in ["GET", "PUT"] {
            arm(&world, method, &group_endpoint(name), TIMES, action).await;
            arm(&world, method, &pool_endpoint(name), TIMES, action).await;
        }
        for (method, path) in session_endpoints(name) {
            arm(&world, method, &path, TIMES, action).await;
        }
        world.apply(&object("ResourceGroup", name, &json!({}))).await;
        let mut pool = shell_pool(name, 5);
        pool["spec"]["resourceGroupRef"]["name"] = json!(name);
        world.apply(&pool).await;
        // More than fits into an answer, so that it is downloaded.
        let text = format!("{}\nhead -c 10000 /dev/zero | tr '\\0' x\nexit 3", witness.told(name));
        world.job(name, &in_pool(name, &text)).await;
    }
    for (name, _) in &faults() {
        let job = world.ended(name).await;
        assert_eq!(result(&job), (3, vec![b'x'; 10_000], Vec::new()), "{name}");
        assert_eq!(witness.count(name), 1, "{name} ran so often");
    }

    // Answers that never hold a frame, so that the files of the session are listed.
    world.behave(&json!({"sessions": {"streamLimitBytes": 16}})).await;
    for (name, action) in &faults() {
        let (method, path) = listing(name);
        arm(&world, method, &path, TIMES, action).await;
        let text = format!("{}\necho listed; exit 4", witness.told(&format!("{name}-listed")));
        world.job(&format!("{name}-listed"), &in_pool(name, &text)).await;
    }
    for (name, _) in &faults() {
        let name = format!("{name}-listed");
        let job = world.ended(&name).await;
        assert_eq!(result(&job), (4, b"listed\n".to_vec(), Vec::new()), "{name}");
        assert_eq!(witness.count(&name), 1, "{name} ran so often");
    }

    for (name, action) in &faults() {
        arm(&world, "DELETE", &pool_endpoint(name), TIMES, action).await;
        arm(&world, "DELETE", &group_endpoint(name), TIMES, action).await;
        let (pools, groups) = (world.ours::<SessionPool>(), world.ours::<ResourceGroup>());
        pools.delete(name, &DeleteParams::default()).await.expect("a pool");
        groups.delete(name, &DeleteParams::default()).await.expect("a group");
    }
    for (name, _) in &faults() {
        world
            .until(&format!("pool {name} is gone"), || is_gone::<SessionPool>(&world, name))
            .await;
        world
            .until(&format!("group {name} is gone"), || {
                is_gone::<ResourceGroup>(&world, name)
            })
            .await;
    }

    let spent = world.control(reqwest::Method::GET, "faults", None).await;
    for fault in spent.as_array().expect("a list of faults") {
        assert_eq!(fault["times"], 0, "never struck: {fault}");
    }
    let requests = world.requests().await;
    for (name, _) in &faults() {
        let count = |is_session: bool, is_read: bool| {
            let is_one = |it: &&Value| {
                let path = it["path"].as_str().unwrap_or_default();
                let names_it = path.split('/').any(|segment| segment == *name);
                names_it && path.contains("dynamicsessions.io") == is_session && (it["method"] == "GET") == is_read
            };
            requests.iter().filter(is_one).count()
        };
        // Two jobs upload, execute (thrice where an answer has no frame), read their output and are released; a pool and
        // a group are each written and deleted once. Each fault may cause all of its object's requests once more, as a
        // pass begins anew.
        for (what, expected, is_session, is_read) in [
            ("calls of sessions", 2 * (1 + 3 + 1), true, false),
            ("reads of sessions", 2 + 2, true, true),
            ("writes to Azure", 2 * 2, false, false),
        ] {
            let (count, bound) = (count(is_session, is_read), expected * (1 + TIMES));
            assert!(count <= bound, "{name}: {count} {what}, expected at most {bound}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_authority_is_overcome() {
    let world = World::new("authority").await;
    let witness = Witness::new().await;
    world.pool("shell", 20).await;
    // Each request for a token takes the next fault, whoever asks: one account for each of them.
    for scope in ["Resource Manager", "sessions"] {
        for (_, action) in &faults() {
            arm(&world, "POST", r"/oauth2/v2\.0/token", 1, action).await;
        }
        for (name, _) in &faults() {
            if scope == "Resource Manager" {
                world.account_in(&world.namespace, name).await;
            } else {
                let mut spec = script(&witness.told(name));
                spec["accountRef"] = json!({"name": name});
                world.job(name, &spec).await;
            }
        }
        for (name, _) in &faults() {
            if scope == "Resource Manager" {
                world
                    .until(&format!("account {name} is ready"), || async {
                        let account: AzureAccount = world.ours().get(name).await.ok()?;
                        let conditions = account.status?.conditions;
                        let is_ready = |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                            it.type_ == "Ready" && it.status == "True"
                        };
                        conditions.iter().any(is_ready).then_some(())
                    })
                    .await;
            } else {
                let job = world.ended(name).await;
                assert_eq!(result(&job), (0, Vec::new(), Vec::new()), "{name}");
                assert_eq!(witness.count(name), 1, "{name} ran so often");
            }
        }
        let spent = world.control(reqwest::Method::GET, "faults", None).await;
        let left: Vec<_> = spent
            .as_array()
            .into_iter()
            .flatten()
            .filter(|it| it["times"] != 0)
            .collect();
        assert!(left.is_empty(), "never struck: {left:?}");
    }
    let tokens = asked(&world, "/oauth2/v2.0/token").await;
    // Two scopes for each account, the first one's included, and one more for each fault. What a fault answers may be a
    // token all the same (`slow`), so this is the most.
    let bound = 2 * (faults().len() + 1) + 2 * faults().len();
    assert!(
        tokens <= bound,
        "{tokens} requests for tokens, expected at most {bound}"
    );
}

/// Passes over one object that failing for this long cannot exceed. The n-th pause is even up to 2ⁿ seconds (at most 300)
/// and at random, so that ten pauses within 20 seconds have a probability below 10⁻⁵.
const MOST_PASSES: usize = 10;

/// How long everything is broken.
const BROKEN_FOR: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stays_broken_is_asked_more_and_more_rarely() {
    let options = WorldOptions {
        at_full_pace: true,
        ..WorldOptions::default()
    };
    let world = World::with("broken", options).await;
    let witness = Witness::new().await;
    world.pool("shell", 20).await;
    world.pool("other", 20).await;
    let jobs = 5;
    let broken = json!({"status": 503, "body": {"error": {"code": "ServiceUnavailable", "message": "Try again."}}});
    let everything =
        json!({"match": {"path": "/sessionPools/|/resourceGroups/"}, "times": 1_000_000, "action": broken});
    world.fault(&everything).await;
    world.forget_requests().await;
    for number in 0..jobs {
        let name = format!("job-{number}");
        world.job(&name, &script(&witness.told(&name))).await;
    }
    // A change, so that there is something to be written to Azure.
    let mut pool = shell_pool("other", 20);
    pool["spec"]["scaleConfiguration"]["maxConcurrentSessions"] = json!(21);
    world.apply(&pool).await;
    tokio::time::sleep(BROKEN_FOR).await;

    let sessions = asked(&world, "/sessionPools/shell/files").await;
    assert!(
        (jobs * 2..=jobs * MOST_PASSES).contains(&sessions),
        "{sessions} uploads of {jobs} jobs"
    );
    let pools = asked(&world, "/sessionPools/other").await;
    assert!((2..=MOST_PASSES).contains(&pools), "{pools} requests for one pool");
    let requests = world.requests().await;
    let releases = requests.iter().filter(|it| it["method"] == "DELETE").count();
    let (others, objects) = (requests.len() - releases, jobs + 3);
    assert!(
        others <= objects * MOST_PASSES,
        "{others} requests for {objects} objects"
    );
    // The session of an upload that may still arrive is given back, which is tried six times at growing pauses.
    assert!(releases <= 6 * sessions, "{releases} releases after {sessions} uploads");
    assert_eq!(
        (0..jobs).map(|it| witness.count(&format!("job-{it}"))).sum::<usize>(),
        0
    );

    world.control(reqwest::Method::DELETE, "faults", None).await;
    for number in 0..jobs {
        // A change is looked at without waiting for the pause to pass.
        let touch = json!({"metadata": {"annotations": {"test": "touched"}}});
        let patch = Patch::Merge(&touch);
        let api = world.ours::<CommandJob>();
        let touched = api
            .patch(&format!("job-{number}"), &PatchParams::default(), &patch)
            .await;
        touched.expect("a job");
    }
    for number in 0..jobs {
        let name = format!("job-{number}");
        assert_eq!(result(&world.ended(&name).await), (0, Vec::new(), Vec::new()));
        assert_eq!(witness.count(&name), 1, "{name} ran so often");
    }
}

/// How many random faults are armed for each job.
const FAULTS_PER_JOB: usize = 2;
/// One session is lost for so many jobs.
const JOBS_PER_LOST_SESSION: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_and_lost_sessions_start_nothing_twice_and_falsify_nothing() {
    let total = sample_or_soak(40, 400);
    let mut random = fastrand::Rng::with_seed(0xfa17);
    let world = World::new("mix").await;
    let witness = Witness::new().await;
    world.pool("shell", 100).await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0.1}})).await;
    let samples: Vec<_> = (0..total)
        .map(|number| Sample::random(&mut random, number, Duration::from_secs(2), &witness))
        .collect();

    let faults = faults();
    let mut endpoints = session_endpoints("shell").to_vec();
    endpoints.push(listing("shell"));
    endpoints.push(("GET", pool_endpoint("shell")));
    endpoints.push(("POST", r"/oauth2/v2\.0/token".to_owned()));
    let pool_id = {
        let pool: SessionPool = world.ours().get("shell").await.expect("a pool");
        pool.status.and_then(|it| it.azure.id).expect("its id")
    };
    let mut waiting = samples.iter();
    let mut created = 0;
    let mut dropped = HashSet::new();
    let mut last_end = (0, Instant::now());
    loop {
        let ended = all_jobs(&world).await.values().filter(|it| has_ended(it)).count();
        if ended > last_end.0 {
            last_end = (ended, Instant::now());
        }
        if ended == total {
            break;
        }
        assert!(
            last_end.1.elapsed() < PATIENCE,
            "{ended} of {total} jobs ended and no more; {}",
            world.operator_log()
        );
        for sample in waiting.by_ref().take(12_usize.saturating_sub(created - ended)) {
            for _ in 0..FAULTS_PER_JOB {
                let (_, action) = &faults[random.usize(..faults.len())];
                let (method, path) = &endpoints[random.usize(..endpoints.len())];
                arm(&world, method, path, random.usize(1..=2), action).await;
            }
            world.job(&sample.name, &script(&sample.text)).await;
            created += 1;
            if created % JOBS_PER_LOST_SESSION == 0
                && let Some(identifier) = any_session(&world, &mut random).await
            {
                let path = format!("sessions?pool={pool_id}&identifier={identifier}");
                world.control(reqwest::Method::DELETE, &path, None).await;
                dropped.insert(identifier);
            }
        }
        tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
    }

    let digests: HashSet<_> = dropped.iter().map(|it| digest(it)).collect();
    let jobs: HashMap<_, _> = all_jobs(&world).await;
    let (mut lost, mut withheld) = (0, 0);
    for Sample { name, outcome, .. } in &samples {
        let status = jobs[name].status.as_ref().expect("a status");
        let was_dropped = status.attempts.iter().any(|it| digests.contains(&it.session));
        // A session that goes after the end of its command was heard takes the output with it, not the exit code.
        let is_gone = |it: &CommandResult| it.outcome == Outcome::Lost || it.withheld;
        if was_dropped && status.result.as_ref().is_none_or(is_gone) {
            assert!(witness.count(name) <= 1, "{name} ran more than once");
            lost += 1;
        } else if let Some(result) = status.result.as_ref().filter(|it| it.withheld) {
            // Each of the looks for its output met a fault.
            assert_eq!(result.exit_code, Some(outcome.0), "{name}");
            assert_eq!(witness.count(name), 1, "{name} ran so often");
            withheld += 1;
        } else {
            assert_eq!(&result(&jobs[name]), outcome, "{name}");
            assert_eq!(witness.count(name), 1, "{name} ran so often");
        }
    }
    assert!(withheld <= total / 20, "the output of {withheld} jobs was not read");
    let struck = world.requests().await.iter().filter(|it| it["fault"].is_u64()).count();
    eprintln!(
        "{total} jobs ended although {struck} requests failed; {} sessions were dropped, {lost} jobs lost",
        dropped.len()
    );
    assert!(lost < total / 2, "{lost} jobs lost");
    assert!(struck >= total, "only {struck} requests failed");
    assert!(
        dropped.len() >= total / 10,
        "only {} sessions were dropped",
        dropped.len()
    );
}

/// The identifier of a session that something was executed or uploaded in lately.
async fn any_session(world: &World, random: &mut fastrand::Rng) -> Option<String> {
    let requests = world.requests().await;
    let identifiers: Vec<_> = requests
        .iter()
        .rev()
        .filter(|it| it["method"] == "POST")
        .filter_map(|it| {
            it["query"]
                .as_str()?
                .split('&')
                .find_map(|pair| pair.strip_prefix("identifier="))
        })
        .take(16)
        .collect();
    random.choice(identifiers).map(str::to_owned)
}

/// The digest of a session's identifier that an attempt shows.
pub fn digest(identifier: &str) -> String {
    let digest = Sha256::digest(identifier.as_bytes());
    lifeguard::controller::operator_key::hex(&digest[..8])
}

/// A job's spec: a script in a pool.
fn in_pool(pool: &str, text: &str) -> Value {
    let mut spec = script(text);
    spec["target"]["sessionPoolRef"]["name"] = json!(pool);
    spec
}
