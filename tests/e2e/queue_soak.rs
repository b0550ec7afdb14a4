//! More jobs than sessions, of many namespaces, while everything goes wrong: each runs once, in the order that is promised,
//! and nothing is left.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::Api;
use kube::api::{ListParams, PostParams};
use lifeguard::api::command_job::{CommandResult, Outcome, Phase, QueueReason};
use lifeguard::api::{CommandJob, SessionPool};
use reqwest::Method;
use serde_json::{Value, json};

use crate::data_plane::{entrance, pool_id, until_released};
use crate::faults::{arm, digest, faults, session_endpoints};
use crate::jobs::result;
use crate::kills::has_ended;
use crate::witness::Witness;
use crate::world::{PATIENCE, World, WorldOptions, object, sample_or_soak, shell_pool, typed};

/// How many sessions a guest of the pool may have.
const SHARE: usize = 2;

/// Sessions of the pool of the soak.
const CAPACITY: usize = 10;

/// How many requests fail for each job, about.
const FAULTS_PER_JOB: usize = 1;

/// One session crashes for so many jobs.
const JOBS_PER_CRASH: usize = 16;

/// Sessions of others in the pool, by their identifiers.
const FOREIGN: &str = "foreign-";

/// Jobs in a pool that is shared.
struct Load {
    /// The pool's own namespace is the first.
    namespaces: Vec<String>,
    jobs: Vec<Sample>,
}

/// A job, and what must become of it.
struct Sample {
    namespace: String,
    name: String,
    priority: i32,
    script: String,
    exit_code: i32,
}

/// What is done to the world while the jobs run, and what was.
struct Trouble {
    random: fastrand::Rng,
    /// Whether Azure behaves badly.
    is_on: bool,
    armed: usize,
    kills_left: usize,
    kills: usize,
    /// Sessions that were ended under their jobs.
    crashed: HashSet<String>,
    /// Sessions that an operator had when it was killed: for a while nobody counts them.
    orphans: HashSet<String>,
    /// How often somebody else took a session.
    foreign: usize,
}

/// A session that a job had, by the emulator's journal.
struct Lease {
    identifier: String,
    /// Index of its job.
    job: usize,
    from: Timestamp,
    until: Timestamp,
}

impl Load {
    fn random(random: &mut fastrand::Rng, world: &World, guests: &[String], total: usize, witness: &Witness) -> Self {
        let namespaces: Vec<String> = [&world.namespace].into_iter().chain(guests).cloned().collect();
        let jobs = (0..total).map(|number| {
            let name = format!("job-{number:04}");
            let (exit_code, pause) = (*random.choice(&[0, 0, 7]).expect("not empty"), random.u32(0..300));
            Sample {
                namespace: namespaces[number % namespaces.len()].clone(),
                priority: *random.choice(&[-5, 0, 0, 10]).expect("not empty"),
                script: format!(
                    "{}\nsleep 0.{pause:03}\nprintf %s {name}\nexit {exit_code}",
                    witness.told(&name)
                ),
                exit_code,
                name,
            }
        });
        let jobs = jobs.collect();
        Self { namespaces, jobs }
    }

    async fn create(&self, world: &World) {
        futures::stream::iter(&self.jobs)
            .map(|it| async move {
                let spec = json!({
                    "target": {"sessionPoolRef": {"name": "shell", "namespace": self.namespaces[0]}},
                    "script": it.script, "priority": it.priority,
                });
                let job: CommandJob = typed(&object("CommandJob", &it.name, &spec));
                let jobs: Api<CommandJob> = Api::namespaced(world.client.clone(), &it.namespace);
                jobs.create(&PostParams::default(), &job).await
            })
            .buffer_unordered(8)
            .try_for_each(async |_| Ok(()))
            .await
            .expect("the jobs are accepted");
    }

    /// The jobs as they are now, by name.
    async fn now(&self, world: &World) -> HashMap<String, CommandJob> {
        let mut jobs = HashMap::new();
        for namespace in &self.namespaces {
            let api: Api<CommandJob> = Api::namespaced(world.client.clone(), namespace);
            let list = world.until("the jobs are listed", || async {
                let list = api.list(&ListParams::default()).await;
                list.ok()
            });
            for job in list.await.items {
                jobs.insert(job.metadata.name.clone().unwrap_or_default(), job);
            }
        }
        // There may be others.
        let own: HashSet<&str> = self.jobs.iter().map(|it| it.name.as_str()).collect();
        jobs.retain(|name, _| own.contains(name.as_str()));
        jobs
    }

    /// Whatever a status says of the queue can be so.
    fn assert_sane(&self, job: &CommandJob) {
        let Some(status) = &job.status else { return };
        let Some(queue) = &status.queue else { return };
        let about = format!("{:?}: {status:?}", job.metadata.name);
        assert_eq!(status.phase, Some(Phase::Queued), "{about}");
        assert_eq!(queue.position.is_some(), queue.of.is_some(), "{about}");
        let (position, of) = (queue.position.unwrap_or(1), queue.of.unwrap_or(1));
        let most = i32::try_from(self.jobs.len()).unwrap_or(i32::MAX);
        assert!((1..=of).contains(&position) && of <= most, "{about}");
        let is_guest = job.metadata.namespace.as_ref() != Some(&self.namespaces[0]);
        assert!(queue.reason != QueueReason::Share || is_guest, "{about}");
    }

    /// Waits until every job has ended, and makes trouble meanwhile.
    async fn ended(&self, world: &mut World, trouble: &mut Trouble) -> HashMap<String, CommandJob> {
        let mut last_end = (0, Instant::now());
        loop {
            let jobs = self.now(world).await;
            for job in jobs.values() {
                self.assert_sane(job);
            }
            let ended = jobs.values().filter(|it| has_ended(it)).count();
            if ended == self.jobs.len() {
                return jobs;
            }
            if ended > last_end.0 {
                last_end = (ended, Instant::now());
            }
            assert!(
                last_end.1.elapsed() < PATIENCE,
                "{ended} of {} jobs ended and no more; {}",
                self.jobs.len(),
                world.operator_log()
            );
            trouble.make(world, ended, self.jobs.len()).await;
        }
    }

    /// The sessions of the jobs, in the order in which they began.
    fn leases(&self, sessions: &[Value], jobs: &HashMap<String, CommandJob>) -> Vec<Lease> {
        let mut owners = HashMap::new();
        for (index, sample) in self.jobs.iter().enumerate() {
            let status = jobs[&sample.name].status.as_ref().expect("a status");
            owners.extend(status.attempts.iter().map(|it| (it.session.clone(), index)));
        }
        let leases = sessions.iter().filter_map(|it| {
            let identifier = it["identifier"].as_str().expect("an identifier").to_owned();
            let time = |member: &str| it[member].as_str().and_then(|it| it.parse().ok());
            Some(Lease {
                job: *owners.get(&digest(&identifier))?,
                identifier,
                from: time("allocatedAt").expect("a time"),
                until: time("endedAt").unwrap_or(Timestamp::MAX),
            })
        });
        leases.collect()
    }

    /// The jobs in the order of their first sessions.
    fn order(leases: &[Lease]) -> Vec<usize> {
        let mut seen = HashSet::new();
        leases.iter().map(|it| it.job).filter(|it| seen.insert(*it)).collect()
    }

    /// By how many starts one namespace was ever ahead of another while both had jobs that waited.
    fn largest_lead(&self, order: &[usize]) -> usize {
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for index in order {
            *waiting.entry(&self.jobs[*index].namespace).or_default() += 1;
        }
        let mut started: BTreeMap<&str, usize> = waiting.keys().map(|it| (*it, 0)).collect();
        let mut lead = 0;
        for index in order {
            let namespace = self.jobs[*index].namespace.as_str();
            *started.get_mut(namespace).expect("a namespace") += 1;
            *waiting.get_mut(namespace).expect("a namespace") -= 1;
            let behind = started.iter().filter(|(it, _)| waiting[*it] > 0).map(|(_, it)| *it);
            if waiting[namespace] > 0 {
                lead = lead.max(started[namespace] - behind.min().unwrap_or(0));
            }
        }
        lead
    }

    /// How many jobs of its namespace, of a lower priority, ever went before a job.
    fn most_overtaken(&self, order: &[usize]) -> usize {
        let overtaken = order.iter().enumerate().map(|(place, index)| {
            let own = &self.jobs[*index];
            let before = order[..place].iter().map(|it| &self.jobs[*it]);
            before
                .filter(|it| it.namespace == own.namespace && it.priority < own.priority)
                .count()
        });
        overtaken.max().unwrap_or(0)
    }

    /// The most sessions that a guest had at a time, those apart that an operator had when it was killed.
    fn largest_share(&self, leases: &[Lease], orphans: &HashSet<String>) -> usize {
        let counted = |it: &&Lease| !orphans.contains(&it.identifier);
        let counted: Vec<&Lease> = leases.iter().filter(counted).collect();
        let guests = counted
            .iter()
            .filter(|it| self.jobs[it.job].namespace != self.namespaces[0]);
        let had = guests.map(|lease| {
            let namespace = &self.jobs[lease.job].namespace;
            let had = |it: &&&Lease| it.from <= lease.from && lease.from < it.until;
            let had = counted.iter().filter(had);
            had.filter(|it| self.jobs[it.job].namespace == *namespace).count()
        });
        had.max().unwrap_or(0)
    }
}

impl Trouble {
    fn new(seed: u64, kills: usize) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            is_on: true,
            armed: 0,
            kills_left: kills,
            kills: 0,
            crashed: HashSet::new(),
            orphans: HashSet::new(),
            foreign: 0,
        }
    }

    fn none() -> Self {
        Self {
            is_on: false,
            ..Self::new(0, 0)
        }
    }

    /// Makes some, as much as befits that so many of all jobs have ended.
    async fn make(&mut self, world: &mut World, ended: usize, of: usize) {
        if of - ended <= CAPACITY {
            // What nobody has met yet is not all for the last of them.
            world.control(Method::DELETE, "faults", None).await;
            self.is_on &= self.kills_left > 0;
        }
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(self.random.u64(30..250))).await;
            if !self.is_on || self.armed > ended * FAULTS_PER_JOB + CAPACITY {
                continue;
            }
            for _ in 0..self.random.usize(1..=8) {
                let faults = faults();
                let (name, action) = &faults[self.random.usize(..faults.len())];
                let mut endpoints = session_endpoints("shell").to_vec();
                // What these jobs print fits into answers, so nothing is downloaded.
                endpoints.retain(|(method, _)| *method != "GET");
                let (method, path) = self.random.choice(endpoints).expect("not empty");
                // Whoever is told that a session was ended believes it, and its place is somebody else's.
                if *name == "page" && method == "DELETE" {
                    continue;
                }
                arm(world, method, &path, 1, action).await;
                self.armed += 1;
            }
            if self.crashed.len() * JOBS_PER_CRASH <= ended {
                self.crash_a_session(world).await;
            }
            self.come_and_go(world).await;
        }
        // Spread over the whole time.
        if self.is_on && self.kills * of < (self.kills + self.kills_left) * ended {
            self.orphans.extend(live(&journal(world).await));
            world.kill_operator();
            // Those that it was about to begin, or had told nobody of.
            self.orphans.extend(live(&journal(world).await));
            world.start_operator_at_once().await;
            self.kills_left -= 1;
            self.kills += 1;
        }
    }

    async fn crash_a_session(&mut self, world: &World) {
        let live = live(&journal(world).await);
        if let Some(identifier) = self.random.choice(live) {
            end(world, &identifier).await;
            self.crashed.insert(identifier);
        }
    }

    /// Somebody else takes a session, if there is one, or gives one back.
    async fn come_and_go(&mut self, world: &World) {
        let identifier = format!("{FOREIGN}{}", self.random.u8(0..3));
        if self.random.bool() {
            return end(world, &identifier).await;
        }
        let (endpoint, token) = entrance(world, "shell").await;
        let url = format!("{endpoint}/executions?api-version=2025-02-02-preview&identifier={identifier}");
        let body = json!({"shellCommand": "true"});
        // A full pool and a fault refuse it.
        let asked = world.http().post(url).bearer_auth(token).json(&body).send().await;
        self.foreign += usize::from(asked.is_ok_and(|it| it.status().is_success()));
    }
}

async fn journal(world: &World) -> Value {
    let path = format!("allocations?pool={}", pool_id(world, "shell"));
    world.control(Method::GET, &path, None).await
}

/// The identifiers of the operator's sessions that live.
fn live(journal: &Value) -> Vec<String> {
    let sessions = journal["sessions"].as_array().into_iter().flatten();
    let live = sessions.filter(|it| it["endedAt"].is_null());
    let identifiers = live.filter_map(|it| it["identifier"].as_str());
    identifiers
        .filter(|it| !it.starts_with(FOREIGN))
        .map(str::to_owned)
        .collect()
}

/// Ends a session past everybody, if there is one.
async fn end(world: &World, identifier: &str) {
    let path = format!("sessions?pool={}&identifier={identifier}", pool_id(world, "shell"));
    world.control(Method::DELETE, &path, None).await;
}

/// A pool of so many sessions that is shared with so many guests.
async fn shared_pool(name: &str, capacity: usize, guests: usize) -> (World, Vec<String>) {
    let guests: Vec<String> = (1..=guests).map(|it| format!("{name}-guest-{it}")).collect();
    let options = WorldOptions {
        namespaces: guests.clone(),
        log: Some("warn".to_owned()),
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    for guest in &guests {
        world.create_namespace(guest).await;
    }
    let capacity = u32::try_from(capacity).expect("a small number");
    world.pool("shell", capacity).await;
    let mut shared = shell_pool("shell", capacity);
    shared["spec"]["sharing"] = json!([
        {"namespaces": {"from": "All"}, "accountRef": {"name": "default"}, "maxConcurrentSessions": SHARE},
    ]);
    world.apply(&shared).await;
    world.until_available("SessionPool", "shell").await;
    (world, guests)
}

/// Crashed sessions are the only trouble by which a job may be lost: an operator that is killed, a request that fails and an answer
/// that does not come lose none.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_eight_namespaces_on_ten_sessions_run_once_each_whatever_fails_and_leave_nothing() {
    let (total, kills) = (sample_or_soak(64, 2000), sample_or_soak(2, 40));
    let (mut world, guests) = shared_pool("queue-soak", CAPACITY, 7).await;
    let witness = Witness::new().await;
    let mut trouble = Trouble::new(0x50a4, kills);
    let load = Load::random(&mut trouble.random, &world, &guests, total, &witness);
    // Everybody waits from the start.
    world.kill_operator();
    load.create(&world).await;
    world.start_operator().await;
    let jobs = load.ended(&mut world, &mut trouble).await;
    world.control(Method::DELETE, "faults", None).await;
    world
        .until("no session is left", || async {
            live(&journal(&world).await).is_empty().then_some(())
        })
        .await;
    let journal = journal(&world).await;
    let sessions = journal["sessions"].as_array().expect("sessions");
    let leases = load.leases(sessions, &jobs);

    let crashed: HashSet<usize> = leases
        .iter()
        .filter(|it| trouble.crashed.contains(&it.identifier))
        .map(|it| it.job)
        .collect();
    let mut lost = 0;
    for (index, sample) in load.jobs.iter().enumerate() {
        let (name, job) = (&sample.name, &jobs[&sample.name]);
        let status = job.status.as_ref().expect("a status");
        assert_eq!(status.queue, None, "{name}");
        // A session that goes after the end of its command was heard takes the output with it, not the exit code.
        let is_gone = |it: &CommandResult| it.outcome == Outcome::Lost || it.withheld;
        if crashed.contains(&index) && status.result.as_ref().is_none_or(is_gone) {
            assert!(witness.count(name) <= 1, "{name} ran more than once");
            lost += 1;
        } else {
            let expected = (sample.exit_code, name.clone().into_bytes(), Vec::new());
            assert_eq!(result(job), expected, "{name}");
            assert_eq!(witness.count(name), 1, "{name} ran so often");
        }
    }

    let peak = journal["pools"][0]["peak"].as_u64();
    let share = load.largest_share(&leases, &trouble.orphans);
    let order = Load::order(&leases);
    let (lead, overtaken) = (load.largest_lead(&order), load.most_overtaken(&order));
    let struck = world.requests().await.iter().filter(|it| it["fault"].is_u64()).count();
    eprintln!(
        "{total} jobs ended under {} kills although {struck} requests failed, {} sessions crashed and others took {}: {lost} lost; \
         at most {peak:?} sessions, {share} of a guest; {lead} starts ahead, {overtaken} of a lower priority before; pool {}",
        trouble.kills,
        trouble.crashed.len(),
        trouble.foreign,
        journal["pools"][0]
    );
    assert!(peak <= Some(CAPACITY as u64), "{peak:?} sessions at a time");
    assert!(share <= SHARE, "a guest had {share} sessions at a time");
    for it in sessions {
        let identifier = it["identifier"].as_str().expect("an identifier");
        let is_foreign = identifier.starts_with(FOREIGN);
        if is_foreign {
            assert_ne!(it["ending"], "Deleted", "a session of somebody else's was released");
        } else if !trouble.crashed.contains(identifier) {
            assert_eq!(it["ending"], "Deleted", "{it}");
        }
    }

    assert_eq!(trouble.kills, kills);
    assert!(struck >= total / 4, "only {struck} requests failed");
    // Each start of an operator gives what is free to whoever asks first.
    let bound = CAPACITY * (kills + 1);
    assert!(lead <= bound, "{lead} starts ahead");
    assert!(overtaken <= bound, "{overtaken} of a lower priority went before");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_wait_all_the_time_go_in_turn_by_priority_and_nobody_asks_a_full_pool() {
    let (total, capacity) = (sample_or_soak(48, 480), 3);
    let (mut world, guests) = shared_pool("queue-order", capacity, 3).await;
    let witness = Witness::new().await;
    let mut trouble = Trouble::none();
    let load = Load::random(&mut trouble.random, &world, &guests, total, &witness);
    // Whoever comes while the pool is full waits.
    let holders = Witness::new().await;
    for number in 0..capacity {
        let name = format!("holder-{number}");
        let holder = json!({"target": {"sessionPoolRef": {"name": "shell"}}, "script": holders.asked(&name)});
        world.job(&name, &holder).await;
    }
    world
        .until("the pool is full", || async {
            (holders.count_prefix("holder-") == capacity).then_some(())
        })
        .await;
    load.create(&world).await;
    world
        .until("all of them wait", || async {
            let pool: SessionPool = world.ours().get("shell").await.ok()?;
            let queued = pool.status?.sessions?.queued;
            (usize::try_from(queued).ok()? == total).then_some(())
        })
        .await;
    holders.open();
    for number in 0..capacity {
        world.ended(&format!("holder-{number}")).await;
    }
    let jobs = load.ended(&mut world, &mut trouble).await;
    until_released(&world, "shell").await;

    let journal = journal(&world).await;
    let leases = load.leases(journal["sessions"].as_array().expect("sessions"), &jobs);
    let order = Load::order(&leases);
    assert_eq!((leases.len(), order.len()), (total, total), "one session each");
    assert_eq!(journal["pools"][0]["peak"], capacity, "at most");
    assert_eq!(journal["pools"][0]["refused"], 0, "nobody asks a full pool");
    let (lead, overtaken) = (load.largest_lead(&order), load.most_overtaken(&order));
    eprintln!("{total} jobs: {lead} starts ahead, {overtaken} of a lower priority before");
    assert!(lead <= capacity + 1, "{lead} starts ahead");
    assert!(overtaken < capacity, "{overtaken} of a lower priority went before");
    for sample in &load.jobs {
        assert_eq!(witness.count(&sample.name), 1, "{} ran so often", sample.name);
    }
}
