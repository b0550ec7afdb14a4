//! Compares the sessions that pools have with those that jobs know of, and ends what is left of this operator's.
//!
//! Whatever was prepared when an operator died, or could not be released, would be billed until its pool's cooldown, and keep a
//! place of the pool. A session that is kept for other commands is found again by its name. What it finds of others' is told to the
//! queue.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::ListParams;

use super::pools::{PoolUse, Pools, UsablePool};
use crate::api::CommandJob;
use crate::api::command_job::LIVE;
use crate::azure::SessionError;
use crate::azure::session::{SessionErrorKind, SessionIdentifier};
use crate::controller::Context;
use crate::controller::command_job::attempt::{AttemptKey, SessionNames, Slot};
use crate::controller::command_job::job::plan::{last_claim, next_key};
use crate::controller::command_job::queue::{Sightings, Suspect};

/// How many jobs are listed at a time.
const PAGE: u32 = 500;

/// How many attempts of a job may be prepared, one after the other, without one of them being claimed.
const PREPARED: i32 = 4;

/// How many sessions are emptied at a time that another process has left.
const TAKEN_UP_AT_A_TIME: usize = 8;

/// A session of this operator's that a pool has.
struct Found {
    identifier: SessionIdentifier,
    names: SessionNames,
    /// When it was allocated.
    since: Timestamp,
}

/// Looks after the sessions of all pools.
pub struct Reaper {
    context: Context,
    pools: Arc<Pools>,
    sightings: HashMap<Arc<str>, Sightings>,
    /// The pools that were looked at. Sessions that are kept there, and that this process did not leave, are another's.
    looked_at: HashSet<Arc<str>>,
}

impl Reaper {
    /// Nothing is done until it is run.
    pub fn new(context: Context, pools: Arc<Pools>) -> Self {
        Self {
            context,
            pools,
            sightings: HashMap::new(),
            looked_at: HashSet::new(),
        }
    }

    /// Looks at a pool when there is reason to: once when it is first used, when it refuses a session, and again for as long as
    /// something of it is suspicious. Runs until the operator is stopped.
    pub async fn run(mut self) {
        let stop = self.context.stop().clone();
        tokio::select! {
            () = self.attend() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn attend(&mut self) {
        self.pools.begin().await;
        loop {
            for suspect in self.pools.queues().suspects().await {
                let looked = self.look(&suspect).await;
                let (foreign, is_done) = looked.unwrap_or_else(|error| {
                    // What was known is old, and a refusal will tell. Whoever may execute need not be allowed to list.
                    tracing::debug!(pool = %suspect.id, %error, "the sessions of a pool cannot be listed");
                    (Some(0), error.kind == SessionErrorKind::Denied)
                });
                self.pools.queues().looked_at(&suspect.id, foreign, is_done);
            }
        }
    }

    /// Looks at a pool: how many of its sessions no job has, if that could be found out, and whether nothing about it is suspicious
    /// any more.
    async fn look(&mut self, suspect: &Suspect) -> Result<(Option<u32>, bool), SessionError> {
        let Some(pool) = self.reach(suspect).await else {
            // The account of one that is there may not be known yet.
            let is_there = suspect
                .objects
                .iter()
                .any(|it| self.context.session_pools.get(it).is_some());
            return Ok((None, !is_there));
        };
        let listed = pool.client.list_sessions().await?;
        let total = listed.len();
        let ours: HashMap<String, Found> = listed
            .into_iter()
            .filter_map(|session| {
                let identifier = session.identifier?;
                let names = SessionNames::found(self.pools.key(), self.pools.cluster(), identifier.as_str())?;
                let digest = names.digest.clone();
                let since = session.created_at.unwrap_or_else(Timestamp::now);
                Some((
                    digest,
                    Found {
                        identifier,
                        names,
                        since,
                    },
                ))
            })
            .collect();
        let foreign = u32::try_from(total - ours.len()).unwrap_or(u32::MAX);
        // After the list, so that a session whose job is not there belongs to none.
        let mut known = if ours.is_empty() {
            HashSet::new()
        } else {
            match self.known_sessions(&suspect.id).await {
                Ok(known) => known,
                Err(error) => {
                    tracing::debug!(%error, "the jobs cannot be listed");
                    return Ok((None, false));
                }
            }
        };
        if self.looked_at.insert(Arc::clone(&suspect.id)) {
            let left: Vec<_> = ours.iter().filter(|(digest, _)| !known.contains(*digest)).collect();
            for some in left.chunks(TAKEN_UP_AT_A_TIME) {
                let taken_up = some.iter().map(|(_, found)| {
                    let Found { names, since, .. } = found;
                    self.pools.take_up(&pool, &suspect.id, names, *since)
                });
                let taken_up = join_all(taken_up).await.into_iter().zip(some);
                known.extend(
                    taken_up
                        .filter(|(is_kept, _)| *is_kept)
                        .map(|(_, (digest, _))| (*digest).clone()),
                );
            }
        }
        let seen_for = SignedDuration::try_from(self.pools.queues().between_looks()).unwrap_or_default();
        let sightings = self.sightings.entry(Arc::clone(&suspect.id));
        let sightings = sightings.or_insert_with(|| Sightings::new(seen_for));
        let due = sightings.look(ours.keys().map(String::as_str), &known, Timestamp::now());
        for digest in due {
            let Some(found) = ours.get(&digest) else { continue };
            match pool.client.delete_session(&found.identifier).await {
                Ok(()) => {
                    tracing::info!(pool = %suspect.id, session = digest, "a session that no job knows of was ended");
                }
                Err(error) => tracing::debug!(%error, "a session that no job knows of could not be ended"),
            }
        }
        let is_done = sightings.is_empty();
        if is_done {
            self.sightings.remove(&suspect.id);
        }
        Ok((Some(foreign), is_done && !(foreign > 0 && suspect.is_waited_for)))
    }

    /// The pool as the last job that asked for it has it, or as one of its own namespace would.
    async fn reach(&self, suspect: &Suspect) -> Option<UsablePool> {
        let job = suspect.job.as_ref().and_then(|it| self.context.command_jobs.get(it));
        if let Some(job) = job
            && let Ok(pool) = self.pools.resolve(&job, PoolUse::Reach).await
        {
            return Some(pool);
        }
        for key in &suspect.objects {
            let spec = serde_json::json!({"target": {"sessionPoolRef": {"name": key.name}}, "script": "true"});
            let spec = serde_json::from_value(spec).ok()?;
            let mut job = CommandJob::new("", spec);
            job.metadata.namespace = Some(key.namespace.clone());
            if let Ok(pool) = self.pools.resolve(&job, PoolUse::Reach).await {
                return Some(pool);
            }
        }
        None
    }

    /// The sessions of a pool that are kept, and those that jobs have or are about to have, by the API server's own word.
    async fn known_sessions(&self, pool: &str) -> kube::Result<HashSet<String>> {
        let (operator, cluster) = (self.pools.key(), self.pools.cluster());
        let kept = self.pools.queues().slots(pool);
        let kept = kept
            .iter()
            .map(|it| SessionNames::of_slot(operator, cluster, it).digest);
        let mut known: HashSet<String> = kept.collect();
        for api in self.context.scope().apis::<CommandJob>(self.context.client()) {
            let mut parameters = ListParams::default().fields(LIVE).limit(PAGE);
            loop {
                let page = api.list(&parameters).await?;
                for job in &page.items {
                    let uid = job.uid().unwrap_or_default();
                    let names =
                        |key, slot: Option<&Slot>| SessionNames::derive(operator, cluster, &uid, key, slot).digest;
                    if let Some(claim) = last_claim(job) {
                        known.insert(names(claim.key, claim.slot.as_ref()));
                    }
                    // Attempts that were prepared and left have numbers, too.
                    let next = next_key(job, &BTreeMap::new()).number;
                    known.extend((next..next + PREPARED).map(|it| names(AttemptKey::of_number(it), None)));
                }
                match page.metadata.continue_.filter(|it| !it.is_empty()) {
                    Some(token) => parameters = parameters.continue_token(&token),
                    None => break,
                }
            }
        }
        Ok(known)
    }
}
