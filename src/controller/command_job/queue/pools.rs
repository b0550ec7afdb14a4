//! The ledgers of all pools, and the jobs that they wake.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::bill::Bill;
use super::ledger::{Applicant, Ledger};
use super::line::QueuePosition;
use super::report::Counts;
use super::seat::Seat;
use super::telling;
use crate::api::session_pool::PoolSessions;
use crate::api::{CommandJob, SessionPool};
use crate::controller::command_job::job::plan::last_claim;
use crate::runtime::{Cache, Key, Pace, Snapshot};

/// How often those that wait are looked at, while something about them may have to be told.
const ROUND: Duration = Duration::from_secs(1);

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

/// What a job that asked for a session is told.
#[derive(Debug)]
pub enum Turn {
    /// It may have one.
    Granted(Arc<Seat>),
    /// It has to wait, and will be woken; and what its status is to say of that, if it is worth a write.
    Waits(Option<QueuePosition>),
}

/// The queues of all pools; clones are the same.
#[derive(Clone)]
pub struct Queues {
    books: Arc<Books>,
    pace: Pace,
    /// Set once the jobs that were there at the start are known.
    begun: Arc<OnceCell<()>>,
}

/// What a job names as its pool.
type Named = String;

/// The ledgers.
pub(super) struct Books {
    pools: Mutex<Pools>,
    wake: Box<dyn Fn(Key) + Send + Sync>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Pools {
    ledgers: HashMap<Arc<str>, Pool>,
    /// Where each job asked.
    asked: HashMap<String, Arc<str>>,
    /// Jobs that had a session before this process began, by what they name as their pool, until it is known which that is.
    unplaced: HashMap<Named, HashSet<String>>,
}

#[derive(Default)]
struct Pool {
    ledger: Ledger,
    /// The SessionPools that stand for it.
    objects: BTreeSet<Key>,
}

impl Queues {
    /// Jobs that have their turn, or are to be told where they wait, are woken by `wake`.
    pub fn new(pace: Pace, wake: impl Fn(Key) + Send + Sync + 'static) -> Self {
        Self {
            books: Arc::new(Books {
                pools: Mutex::default(),
                wake: Box::new(wake),
                changes: watch::Sender::new(0),
            }),
            pace,
            begun: Arc::default(),
        }
    }

    /// Returns once the jobs that were there at the start are known: those that have a session keep it, before others are given
    /// what is left.
    pub async fn begin(&self, jobs: &Cache<CommandJob>) {
        let begin = async {
            jobs.ready().await;
            let mut pools = self.books.lock();
            for job in jobs.list() {
                if let (Some(named), Some(_)) = (name_of_pool(&job), last_claim(&job)) {
                    let uid = job.uid().unwrap_or_default();
                    pools.unplaced.entry(named).or_default().insert(uid);
                }
            }
        };
        self.begun.get_or_init(|| begin).await;
    }

    /// A job wants a session of a pool.
    pub fn turn(&self, pool: &PoolFacts, job: &CommandJob) -> Turn {
        let now = Timestamp::now();
        let applicant = Applicant {
            key: Key::of(job),
            uid: job.uid().unwrap_or_default(),
            priority: job.spec.priority,
            created: job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |it| it.0),
            share: pool.share,
        };
        let mut pools = self.books.lock();
        let id = pools.place(pool, job);
        if let Some(before) = pools.asked.insert(applicant.uid.clone(), Arc::clone(&id))
            && before != id
            && let Some(other) = pools.ledgers.get_mut(&before)
        {
            other.ledger.withdraw(&applicant.uid, now);
        }
        let ledger = &mut pools.ledgers.entry(Arc::clone(&id)).or_default().ledger;
        let (number, woken) = ledger.ask(&applicant, now);
        let turn = match number {
            Some(number) => {
                pools.asked.remove(&applicant.uid);
                Turn::Granted(Seat::new(Arc::clone(&self.books), id, number))
            }
            None => Turn::Waits(ledger.told(&applicant.uid)),
        };
        drop(pools);
        self.books.woke(woken);
        turn
    }

    /// A job that has a session of a pool since then.
    pub fn seat(&self, pool: &PoolFacts, job: &CommandJob, since: Timestamp) -> Arc<Seat> {
        let now = Timestamp::now();
        let mut pools = self.books.lock();
        let id = pools.place(pool, job);
        let ledger = &mut pools.ledgers.entry(Arc::clone(&id)).or_default().ledger;
        let (namespace, uid) = (job.namespace().unwrap_or_default(), job.uid().unwrap_or_default());
        let number = ledger.occupy(&namespace, &uid, since, now);
        drop(pools);
        self.books.woke(Vec::new());
        Seat::new(Arc::clone(&self.books), id, number)
    }

    /// A job wants no session any more, or cannot have one for now.
    pub fn withdraw(&self, job: &CommandJob) {
        let now = Timestamp::now();
        let uid = job.uid().unwrap_or_default();
        let mut pools = self.books.lock();
        if let Some(named) = name_of_pool(job)
            && let Some(unplaced) = pools.unplaced.get_mut(&named)
        {
            unplaced.remove(&uid);
        }
        let Some(id) = pools.asked.remove(&uid) else { return };
        let woken = pools.ledgers.get_mut(&id).map(|pool| {
            pool.ledger.withdraw(&uid, now);
            pool.ledger.advance(now)
        });
        drop(pools);
        self.books.woke(woken.unwrap_or_default());
    }

    /// What each SessionPool's status is to say.
    pub fn counts(&self) -> HashMap<Key, Counts> {
        let now = Timestamp::now();
        let pools = self.books.lock();
        let counts = pools.ledgers.values().flat_map(|pool| {
            let counts = Counts::of(&pool.ledger, now);
            pool.objects.iter().map(move |key| (key.clone(), counts.clone()))
        });
        counts.collect()
    }

    /// Changes as often as anything about the sessions does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.books.changes.subscribe()
    }

    /// Tells those that wait where they stand, and has a pool tried again that refused, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = self.books.changes.subscribe();
        loop {
            let (is_more, opens_at) = self.round();
            let pause = opens_at.map(|it| Duration::try_from(it.duration_since(Timestamp::now())).unwrap_or_default());
            let pause = if is_more {
                Some(pause.unwrap_or(ROUND).min(ROUND))
            } else {
                pause
            };
            let rest = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause.max(Duration::from_millis(10))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => {}
                changed = changes.changed() => {
                    if changed.is_err() { return }
                    // What changes together is told together.
                    tokio::time::sleep(self.pace.of(ROUND).min(ROUND)).await;
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// One round over all pools: whether another one is needed, and when the next pool may be tried again.
    fn round(&self) -> (bool, Option<Timestamp>) {
        let now = Timestamp::now();
        let mut allowance = telling::A_SECOND;
        let (mut woken, mut is_more, mut opens_at) = (Vec::new(), false, None::<Timestamp>);
        let mut pools = self.books.lock();
        for pool in pools.ledgers.values_mut() {
            woken.extend(pool.ledger.advance(now));
            let round = telling::round(&pool.ledger, &mut allowance, now);
            for (uid, key, told) in round.tell {
                pool.ledger.tell(&uid, told, now);
                woken.push(key);
            }
            is_more |= round.is_more;
            let opens = pool.ledger.opens_at(now);
            opens_at = opens_at.into_iter().chain(opens).min();
        }
        pools
            .ledgers
            .retain(|_, it| !it.ledger.is_idle() || !it.objects.is_empty());
        drop(pools);
        for key in woken {
            (self.books.wake)(key);
        }
        (is_more, opens_at)
    }
}

impl Pools {
    /// The ledger of a pool, which is known by what the job calls it from now on.
    fn place(&mut self, facts: &PoolFacts, job: &CommandJob) -> Arc<str> {
        let id: Arc<str> = match self.ledgers.get_key_value(facts.id.as_str()) {
            Some((id, _)) => Arc::clone(id),
            None => facts.id.as_str().into(),
        };
        let unplaced = name_of_pool(job).and_then(|it| self.unplaced.remove(&it));
        let pool = self.ledgers.entry(Arc::clone(&id)).or_default();
        pool.ledger.set_capacity(facts.capacity);
        for uid in unplaced.into_iter().flatten() {
            pool.ledger.expect(&uid);
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
}

impl Books {
    pub(super) fn allocated(&self, pool: &str, number: u64) {
        self.change(pool, |ledger, now| ledger.on_allocated(number, now));
    }

    pub(super) fn refused(&self, pool: &str, asked_pause: Option<Duration>) {
        self.change(pool, |ledger, now| ledger.on_refused(asked_pause, now));
    }

    pub(super) fn give_back(&self, pool: &str, number: u64) {
        self.change(pool, |ledger, now| ledger.give_back(number, now));
    }

    fn change(&self, pool: &str, change: impl FnOnce(&mut Ledger, Timestamp)) {
        let now = Timestamp::now();
        let mut pools = self.lock();
        let woken = pools.ledgers.get_mut(pool).map(|pool| {
            change(&mut pool.ledger, now);
            pool.ledger.advance(now)
        });
        drop(pools);
        self.woke(woken.unwrap_or_default());
    }

    fn woke(&self, woken: Vec<Key>) {
        for key in woken {
            (self.wake)(key);
        }
        self.changes.send_modify(|it| *it = it.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queues")
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
fn name_of_pool(job: &CommandJob) -> Option<Named> {
    let own = job.namespace().unwrap_or_default();
    match (&job.spec.target.session_pool_ref, &job.spec.target.session_pool) {
        (Some(pool), _) => Some(format!("{}/{}", pool.namespace.as_ref().unwrap_or(&own), pool.name)),
        (None, Some(pool)) => Some(pool.resource_id.to_lowercase()),
        (None, None) => None,
    }
}
