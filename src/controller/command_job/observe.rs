//! What is found out about a job before it is planned. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, ResourceExt};
use uuid::Uuid;

use super::JobError;
use super::abridged::whole;
use super::attempt::{AttemptKey, AttemptState, SessionNames, Ticket};
use super::budget::InputMemory;
use super::executor::Executor;
use super::executor::session_pool::{PoolUse, Pools, SessionPoolExecutor, UsablePool, limits};
use super::job::inputs::NoRoom;
use super::job::plan::{begins_nothing, claim_of, is_finished, last_claim};
use super::job::{Inputs, JobFacts, Lodging, NotRunnable, Unavailable, attempts_that_matter, current_key, inputs};
use super::memory::RememberedJob;
use super::output::Fit;
use super::queue::{Seat, Turn};
use crate::api::CommandJob;
use crate::runtime::Snapshot;

/// How long a job waits at a time for room for what its command is given.
const ROOM_PATIENCE: Duration = Duration::from_secs(20);

/// How often it may have grown meanwhile.
const LOOKS_FOR_ROOM: u32 = 3;

/// What a pass over a job found out.
#[derive(Debug)]
pub struct JobObservation {
    /// What the plan is made from.
    pub facts: JobFacts,
    /// What carries out its steps, where there is something to carry them out in.
    pub executor: Option<SessionPoolExecutor>,
}

/// Finds out what is known around a job that has not ended.
pub async fn observe(
    client: &Client,
    pools: &Arc<Pools>,
    job: &Snapshot<CommandJob>,
    remembered: RememberedJob<SessionPoolExecutor>,
) -> Result<JobObservation, JobError> {
    let uid = job.uid().unwrap_or_default();
    let attempts: BTreeMap<_, _> = remembered
        .attempts
        .iter()
        .map(|(key, (state, _))| (*key, state.clone()))
        .collect();
    if is_finished(job) || begins_nothing(job) {
        return Ok(at_rest(pools, attempts, remembered.fit));
    }
    let (key, is_claimed) = current_key(job, &attempts);
    let known = remembered
        .attempts
        .get(&key)
        .map(|(_, executor)| executor)
        .filter(|it| is_claimed && !it.inputs().lack_secrets);
    let purpose = if is_claimed { PoolUse::Reach } else { PoolUse::Start };
    let pool = match (pools.resolve(job, purpose).await, known) {
        // Where the attempt runs is known, even if what told of it is gone, or does not answer.
        (Err(_), Some(known)) => Ok(known.pool().clone()),
        (found, _) => Unavailable::fact(found)?,
    };
    // What has begun is kept as far as it can be.
    let is_kept = is_claimed || pools.output().can_keep(job);
    let pool = pool.and_then(|it| is_kept.then_some(it).ok_or(NotRunnable::NotStored));
    let held = remembered.attempts.get(&key).and_then(|(_, it)| it.seat());
    let seat = match &pool {
        Ok(pool) => seat(pools, pool, job, is_claimed, held).await,
        Err(why) => Err(why.clone()),
    };
    let (pool, seat) = match (pool, seat) {
        (Ok(pool), Ok(seat)) => (Ok(pool), seat),
        (_, Err(why)) | (Err(why), _) => (Err(why), None),
    };
    let limits = limits(pools.poll_window(), pool.as_ref().ok().map(|it| it.cooldown));
    let inputs = match (known, &pool) {
        (Some(known), _) => Ok(Arc::clone(known.inputs())),
        (None, Err(why)) => Err(why.clone()),
        (None, Ok(_)) => {
            let wanted = Wanted {
                is_claimed,
                secret_bytes: remembered.secret_bytes,
                grace_seconds: limits.grace_seconds,
            };
            read_inputs(client, pools.input_memory(), job, wanted).await?
        }
    };
    let executor = match (pool, &inputs) {
        (Ok(pool), Ok(inputs)) => Ok(SessionPoolExecutor::new(pools, pool, job, Arc::clone(inputs), seat)),
        (Err(why), _) => Err(why),
        (Ok(_), Err(why)) => Err(why.clone()),
    };
    let place = executor.as_ref().map(|it| it.place().to_owned()).map_err(Clone::clone);
    let contents = executor.as_ref().map_err(Clone::clone);
    let contents = contents.map(|it| if is_claimed { String::new() } else { it.contents() });
    let lodging = executor.as_ref().map(SessionPoolExecutor::lodging).unwrap_or_default();
    let session = |key: AttemptKey| {
        let claim = claim_of(job, key);
        let slot = claim.as_ref().map_or(lodging.slot.as_ref(), |it| it.slot.as_ref());
        SessionNames::derive(pools.key(), pools.cluster(), &uid, key, slot).digest
    };
    let facts = JobFacts {
        limits,
        place,
        contents,
        secrets_digest: executor.as_ref().ok().and_then(SessionPoolExecutor::secrets_digest),
        lent_account: executor.as_ref().ok().and_then(SessionPoolExecutor::lent_account),
        guest_of: executor.as_ref().ok().and_then(SessionPoolExecutor::guest_of),
        lodging: lodging.clone(),
        sessions: attempts_that_matter(job, &attempts)
            .map(|key| (key, session(key)))
            .collect(),
        fresh: Ticket(Uuid::new_v4().simple().to_string()[..16].to_owned()),
        attempts,
        fit: remembered.fit,
    };
    let executor = executor.ok();
    Ok(JobObservation { facts, executor })
}

/// What the job may have a session by; or that it has to wait for its turn.
async fn seat(
    pools: &Pools,
    pool: &UsablePool,
    job: &Snapshot<CommandJob>,
    is_claimed: bool,
    held: Option<&Arc<Seat>>,
) -> Result<Option<Arc<Seat>>, NotRunnable> {
    let facts = pool.facts(pools.key(), job);
    if let Some(held) = held.filter(|it| it.is_of(&facts)) {
        return Ok(Some(Arc::clone(held)));
    }
    pools.begin().await;
    match last_claim(job).filter(|_| is_claimed) {
        Some(claim) => {
            let session = job.status.as_ref().and_then(|it| it.session.as_ref());
            let allocated = session.filter(|_| claim.slot.is_some()).map(|it| it.allocated_time.0);
            let since = allocated.unwrap_or(claim.at);
            Ok(Some(pools.queues().seat(&facts, job, since, claim.slot.as_ref())))
        }
        None => match pools.queues().turn(&facts, job) {
            Turn::Granted(seat) => Ok(Some(seat)),
            Turn::NotYet => Err(NotRunnable::NotYet),
            Turn::Waits(position) => Err(NotRunnable::NotItsTurn {
                pool: pool.named(),
                position,
            }),
        },
    }
}

/// Of a job that has ended, or of which nothing begins for now, only its attempts are of interest, which are to be left.
fn at_rest(pools: &Pools, attempts: BTreeMap<AttemptKey, AttemptState>, fit: Fit) -> JobObservation {
    let facts = JobFacts {
        limits: limits(pools.poll_window(), None),
        place: Ok(String::new()),
        contents: Ok(String::new()),
        secrets_digest: None,
        lent_account: None,
        guest_of: None,
        lodging: Lodging::default(),
        sessions: BTreeMap::new(),
        fresh: Ticket(String::new()),
        attempts,
        fit,
    };
    JobObservation { facts, executor: None }
}

/// For what a job's inputs are read.
#[derive(Clone, Copy)]
struct Wanted {
    /// Whether the attempt is under way.
    is_claimed: bool,
    /// What is known to be kept of them while the command runs.
    secret_bytes: usize,
    grace_seconds: u32,
}

/// Inputs that wait for room are not in memory meanwhile.
async fn read_inputs(
    client: &Client,
    memory: &InputMemory,
    job: &Snapshot<CommandJob>,
    wanted: Wanted,
) -> Result<Result<Arc<Inputs>, NotRunnable>, JobError> {
    let namespace = job.namespace().unwrap_or_default();
    let no_room = |secret_bytes| Ok(Err(NotRunnable::NoRoom { secret_bytes }));
    let known = (!wanted.is_claimed).then(|| memory.for_secrets(&namespace, wanted.secret_bytes));
    if known.flatten().is_some_and(|mut it| !it.is_granted()) {
        return no_room(wanted.secret_bytes);
    }
    let mut room = None;
    for _ in 0..LOOKS_FOR_ROOM {
        let inputs = match memory.reading(&namespace, read(client, job, wanted)).await? {
            Ok(inputs) if wanted.is_claimed => return Ok(Ok(Arc::new(inputs.of_running(memory, &namespace)))),
            Ok(inputs) => inputs,
            Err(why) => return Ok(Err(why)),
        };
        let mut asked = match inputs.keep(memory, &namespace, room) {
            Ok(inputs) => return Ok(Ok(Arc::new(inputs))),
            Err(NoRoom::ForSecrets(bytes)) => return no_room(bytes),
            Err(NoRoom::ForUpload(asked)) => asked,
        };
        if tokio::time::timeout(ROOM_PATIENCE, asked.granted()).await.is_err() {
            break;
        }
        room = Some(asked);
    }
    no_room(0)
}

/// An attempt that is under way has its values; only what follows from the job matters from there on, and what is to be
/// masked.
async fn read(
    client: &Client,
    job: &Snapshot<CommandJob>,
    wanted: Wanted,
) -> Result<Result<Inputs, NotRunnable>, JobError> {
    let job = whole(client, job).await?;
    let inputs = inputs::resolve(client, &job, wanted.grace_seconds).await;
    Ok(match (Unavailable::fact(inputs)?, wanted.is_claimed) {
        (Ok(inputs), true) => Ok(inputs.prepared()),
        (Err(_), true) => Ok(inputs::shape(&job, wanted.grace_seconds)),
        (read, false) => read,
    })
}
