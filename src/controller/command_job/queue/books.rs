//! The ledgers of all pools.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::bill::Bill;
use super::ledger::Ledger;
use crate::api::session_pool::PoolSessions;
use crate::api::{CommandJob, SessionPool};
use crate::runtime::{Key, Pace, Snapshot};

/// The time between two looks at the sessions of a pool.
pub const BETWEEN_LOOKS: Duration = Duration::from_mins(1);

/// What is known of a pool when a job asks for one of its sessions.
#[derive(Debug, Clone)]
pub struct PoolFacts {
    /// The pool's id, in lower case.
    pub id: String,
    /// How many sessions it may have at a time.
    pub capacity: Option<u32>,
    /// The SessionPool through which the job has it.
    pub object: Option<Snapshot<SessionPool>>,
    /// How many of them the job's namespace may have, if its owner says.
    pub share: Option<u32>,
}

/// What a job names as its pool.
type Named = String;

/// The ledgers.
pub struct Books {
    pools: Mutex<Ledgers>,
    pub wake: Box<dyn Fn(Key) + Send + Sync>,
    pub pace: Pace,
    /// Counts changes.
    pub changes: watch::Sender<u64>,
}

/// What is known of pools, and of jobs that have to do with their sessions.
#[derive(Default)]
pub struct Ledgers {
    pub pools: HashMap<Arc<str>, Pool>,
    /// Jobs that had a session before this process began, by what they name as their pool, until it is known which that is:
    /// their uids, with their namespaces.
    pub unplaced: HashMap<Named, HashMap<String, String>>,
}

/// One pool.
#[derive(Default)]
pub struct Pool {
    pub ledger: Ledger,
    /// The SessionPools that stand for it.
    pub objects: BTreeSet<Key>,
    /// The last job that asked.
    pub job: Option<Key>,
    /// When its sessions are to be compared with what is known of them.
    pub suspected: Option<Instant>,
    /// When they last were.
    pub looked_at: Option<Instant>,
}

/// A pool whose sessions are to be compared with what is known of them.
#[derive(Debug)]
pub struct Suspect {
    /// The pool's id, in lower case.
    pub id: Arc<str>,
    /// The SessionPools that stand for it.
    pub objects: BTreeSet<Key>,
    /// The last job that asked for one of its sessions.
    pub job: Option<Key>,
    /// Whether jobs wait for one.
    pub is_waited_for: bool,
}

impl Ledgers {
    /// The ledger of a pool, which is known by what the job calls it from now on.
    pub fn place(&mut self, facts: &PoolFacts, job: Option<&CommandJob>) -> Arc<str> {
        let id: Arc<str> = match self.pools.get_key_value(facts.id.as_str()) {
            Some((id, _)) => Arc::clone(id),
            None => facts.id.as_str().into(),
        };
        let unplaced = job.and_then(name_of_pool).and_then(|it| self.unplaced.remove(&it));
        let pool = self.pools.entry(Arc::clone(&id)).or_insert_with(|| Pool {
            suspected: Some(Instant::now()),
            ..Pool::default()
        });
        pool.job = job.map(Key::of).or(pool.job.take());
        pool.ledger.set_capacity(facts.capacity);
        for (uid, namespace) in unplaced.into_iter().flatten() {
            pool.ledger.expect(&namespace, &uid);
        }
        if let Some(object) = &facts.object
            && pool.objects.insert(Key::of(&**object))
            && pool.objects.len() == 1
        {
            let billed = object.status.as_ref().and_then(|it| it.sessions.as_ref());
            pool.ledger.set_bill(bill_of(billed));
        }
        id
    }

    /// A job wants no session of any pool but this one; returns the jobs that have their turn by that.
    pub fn withdraw(&mut self, uid: &str, but: Option<&Arc<str>>, now: Timestamp) -> Vec<Key> {
        let others = self.pools.iter_mut().filter(|(id, _)| Some(*id) != but);
        others
            .filter_map(|(_, pool)| pool.ledger.withdraw(uid, now).then(|| pool.ledger.advance(now)))
            .flatten()
            .collect()
    }
}

impl Pool {
    /// Its sessions are to be compared, but not sooner than that after the last time.
    pub fn suspect(&mut self, between_looks: Duration) {
        let due = self.looked_at.map_or_else(Instant::now, |it| it + between_looks);
        self.suspected.get_or_insert(due);
    }
}

impl Books {
    /// Nothing is known yet. Jobs are woken by `wake`.
    pub fn new(pace: Pace, wake: impl Fn(Key) + Send + Sync + 'static) -> Self {
        Self {
            pools: Mutex::default(),
            wake: Box::new(wake),
            pace,
            changes: watch::Sender::new(0),
        }
    }

    pub fn allocated(&self, pool: &str, number: u64) {
        self.change(pool, |pool, now| pool.ledger.on_allocated(number, now));
    }

    pub fn refused(&self, pool: &str, asked_pause: Option<Duration>) {
        let between_looks = self.pace.of(BETWEEN_LOOKS);
        self.change(pool, |pool, now| {
            pool.ledger.on_refused(asked_pause, now);
            // Somebody else may have sessions of it.
            pool.suspect(between_looks);
        });
    }

    pub fn give_back(&self, pool: &str, number: u64) {
        self.change(pool, |pool, now| pool.ledger.give_back(number, now));
    }

    pub fn change(&self, pool: &str, change: impl FnOnce(&mut Pool, Timestamp)) {
        let now = Timestamp::now();
        let mut ledgers = self.lock();
        let woken = ledgers.pools.get_mut(pool).map(|pool| {
            change(pool, now);
            pool.ledger.advance(now)
        });
        drop(ledgers);
        self.woke(woken.unwrap_or_default());
    }

    pub fn woke(&self, woken: Vec<Key>) {
        for key in woken {
            (self.wake)(key);
        }
        self.changes.send_modify(|it| *it = it.wrapping_add(1));
    }

    pub fn lock(&self) -> MutexGuard<'_, Ledgers> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hours that an earlier process has counted.
fn bill_of(sessions: Option<&PoolSessions>) -> Bill {
    let mut bill = Bill::default();
    for billed in sessions.iter().flat_map(|it| &it.billed_hours) {
        bill.add(&billed.namespace, u64::try_from(billed.hours).unwrap_or_default());
    }
    bill
}

/// What a job calls its pool: an object of a namespace, or a resource.
pub fn name_of_pool(job: &CommandJob) -> Option<Named> {
    let own = job.namespace().unwrap_or_default();
    match (&job.spec.target.session_pool_ref, &job.spec.target.session_pool) {
        (Some(pool), _) => Some(format!("{}/{}", pool.namespace.as_ref().unwrap_or(&own), pool.name)),
        (None, Some(pool)) => Some(pool.resource_id.to_lowercase()),
        (None, None) => None,
    }
}
