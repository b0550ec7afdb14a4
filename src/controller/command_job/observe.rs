//! What is found out about a job before it is planned. Reads only.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::{Client, ResourceExt};
use uuid::Uuid;

use super::JobError;
use super::attempt::{AttemptKey, AttemptState, SessionNames, Ticket};
use super::budget::InputMemory;
use super::executor::Executor;
use super::executor::session_pool::{PoolUse, Pools, SessionPoolExecutor, limits};
use super::job::plan::is_finished;
use super::job::{Inputs, JobFacts, NotRunnable, Unavailable, attempts_that_matter, current_key, inputs};
use super::memory::RememberedJob;
use crate::api::CommandJob;
use crate::runtime::Snapshot;

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
    if is_finished(job) {
        return Ok(of_finished(pools, attempts));
    }
    let (key, is_claimed) = current_key(job, &attempts);
    let known = remembered
        .attempts
        .get(&key)
        .map(|(_, executor)| executor)
        .filter(|_| is_claimed);
    let purpose = if is_claimed { PoolUse::Reach } else { PoolUse::Start };
    let pool = match (pools.resolve(job, purpose).await, known) {
        // Where the attempt runs is known, even if what told of it is gone, or does not answer.
        (Err(_), Some(known)) => Ok(known.pool().clone()),
        (found, _) => Unavailable::fact(found)?,
    };
    let limits = limits(pools.poll_window(), pool.as_ref().ok().map(|it| it.cooldown));
    let inputs = match (known, &pool) {
        (Some(known), _) => Ok(Arc::clone(known.inputs())),
        (None, Err(why)) => Err(why.clone()),
        (None, Ok(_)) => read_inputs(client, pools.input_memory(), job, is_claimed, limits.grace_seconds).await?,
    };
    let executor = match (pool, &inputs) {
        (Ok(pool), Ok(inputs)) => Ok(SessionPoolExecutor::new(pools, pool, job, Arc::clone(inputs))),
        (Err(why), _) => Err(why),
        (Ok(_), Err(why)) => Err(why.clone()),
    };
    let place = executor.as_ref().map(|it| it.place().to_owned()).map_err(Clone::clone);
    let contents = executor.as_ref().map_err(Clone::clone);
    let contents = contents.map(|it| if is_claimed { String::new() } else { it.contents() });
    let session = |key: AttemptKey| SessionNames::derive(pools.key(), pools.cluster(), &uid, key).digest;
    let facts = JobFacts {
        limits,
        place,
        contents,
        secrets_digest: executor.as_ref().ok().and_then(SessionPoolExecutor::secrets_digest),
        lent_account: executor.as_ref().ok().and_then(SessionPoolExecutor::lent_account),
        guest_of: executor.as_ref().ok().and_then(SessionPoolExecutor::guest_of),
        sessions: attempts_that_matter(job).map(|key| (key, session(key))).collect(),
        fresh: Ticket(Uuid::new_v4().simple().to_string()[..16].to_owned()),
        attempts,
        is_too_large: remembered.is_too_large,
    };
    let executor = executor.ok();
    Ok(JobObservation { facts, executor })
}

/// Of a job that has ended only its attempts are of interest, which are to be left.
fn of_finished(pools: &Pools, attempts: BTreeMap<AttemptKey, AttemptState>) -> JobObservation {
    let facts = JobFacts {
        limits: limits(pools.poll_window(), None),
        place: Ok(String::new()),
        contents: Ok(String::new()),
        secrets_digest: None,
        lent_account: None,
        guest_of: None,
        sessions: BTreeMap::new(),
        fresh: Ticket(String::new()),
        attempts,
        is_too_large: false,
    };
    JobObservation { facts, executor: None }
}

/// An attempt that is under way has its values; only what follows from the job matters from there on, and what is to be
/// masked.
async fn read_inputs(
    client: &Client,
    memory: &InputMemory,
    job: &CommandJob,
    is_claimed: bool,
    grace_seconds: u32,
) -> Result<Result<Arc<Inputs>, NotRunnable>, JobError> {
    let inputs = memory.reading(inputs::resolve(client, job, grace_seconds)).await;
    Ok(match (Unavailable::fact(inputs)?, is_claimed) {
        (Ok(inputs), false) => Ok(Arc::new(inputs.keep(memory).await)),
        (Ok(inputs), true) => Ok(Arc::new(inputs.prepared())),
        (Err(_), true) => Ok(Arc::new(inputs::shape(job, grace_seconds))),
        (Err(why), false) => Err(why),
    })
}
