//! What jobs and others ask of the ledgers of all pools, and who is woken by them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::books::{BETWEEN_LOOKS, Books, Moves, Pool, PoolFacts, Suspect, name_of_pool};
use super::ledger::Applicant;
use super::line::{QueuePosition, WaitsFor};
use super::places::Expected;
use super::report::Counts;
use super::seat::Seat;
use super::telling;
use crate::api::command_job::QueueReason;
use crate::api::{CommandJob, SessionPool};
use crate::controller::command_job::attempt::Slot;
use crate::controller::command_job::job::plan::{last_claim, wants_session};
use crate::runtime::{Cache, Key, Pace};

/// How often those that wait are looked at, while something about them may have to be told.
const ROUND: Duration = Duration::from_secs(1);

/// What a job that asked for a session is told.
#[derive(Debug)]
pub enum Turn {
    /// It may have one.
    Granted(Arc<Seat>),
    /// It is to have none yet.
    NotYet,
    /// It has to wait, and will be woken; and what its status is to say of that, if it is worth a write.
    Waits(Option<QueuePosition>),
}

/// The queues of all pools; clones are the same.
#[derive(Clone)]
pub struct Queues {
    books: Arc<Books>,
    /// Set once the jobs that were there at the start are known.
    begun: Arc<OnceCell<()>>,
}

impl Queues {
    /// Jobs that have their turn, or are to be told where they wait, are woken by `wake`.
    pub fn new(pace: Pace, wake: impl Fn(Key) + Send + Sync + 'static) -> Self {
        Self {
            books: Arc::new(Books::new(pace, wake)),
            begun: Arc::default(),
        }
    }

    /// Returns once the jobs that were there at the start are known: those that have a session keep it, before others are given
    /// what is left.
    pub async fn begin(&self, jobs: &Cache<CommandJob>, pools: &Cache<SessionPool>) {
        let begin = async {
            jobs.ready().await;
            pools.ready().await;
            let objects = pools.list();
            let mut ledgers = self.books.lock();
            for object in objects {
                let status = object.status.as_ref();
                let is_usable = status.is_some_and(|it| it.pool_management_endpoint.is_some());
                let id = status.and_then(|it| it.azure.id.as_ref()).filter(|_| is_usable);
                let Some(id) = id.map(|it| it.to_ascii_lowercase()) else {
                    continue;
                };
                let capacity = status.and_then(|it| it.max_concurrent_sessions);
                let facts = PoolFacts {
                    id,
                    capacity: capacity.and_then(|it| u32::try_from(it).ok()),
                    object: Some(object.clone()),
                    share: None,
                    wish: None,
                };
                ledgers.place(&facts, None);
            }
            for job in jobs.list() {
                if let (Some(named), Some(claim)) = (name_of_pool(&job), last_claim(&job)) {
                    let uid = job.uid().unwrap_or_default();
                    let expected = Expected {
                        namespace: job.namespace().unwrap_or_default(),
                        tenancy: claim.slot.map(|it| it.tenancy),
                    };
                    ledgers.unplaced.entry(named).or_default().insert(uid, expected);
                }
            }
        };
        self.begun.get_or_init(|| begin).await;
    }

    /// A job wants a session of a pool.
    pub fn turn(&self, pool: &PoolFacts, job: &CommandJob) -> Turn {
        let now = Timestamp::now();
        if !wants_session(job, now) {
            return Turn::NotYet;
        }
        let applicant = Applicant {
            key: Key::of(job),
            uid: job.uid().unwrap_or_default(),
            priority: job.spec.priority,
            created: job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |it| it.0),
            share: pool.share,
            wish: pool.wish.clone(),
            told: told(job),
        };
        let mut ledgers = self.books.lock();
        let id = ledgers.place(pool, Some(job));
        // It may have asked for one of another pool before.
        let mut moves = ledgers.withdraw(&applicant.uid, Some(&id), now);
        let pool = ledgers.pools.entry(Arc::clone(&id)).or_default();
        let (number, others) = pool.ledger.ask(&applicant, now);
        moves.add(pool.moves(others));
        if number.is_none() && pool.ledger.foreign() > 0 {
            // They may have gone since.
            pool.suspect(self.between_looks());
        }
        let kept = number.and_then(|it| pool.kept.remove(&it));
        let turn = match (number, &kept) {
            (None, _) => Turn::Waits(pool.ledger.told(&applicant.uid)),
            (Some(_), Some(kept)) => Turn::Granted(Arc::clone(&kept.seat)),
            (Some(number), None) => {
                let random = Uuid::new_v4().simple().to_string();
                let slot = applicant.wish.map(|it| Slot::new(it.tenancy, it.idle_seconds, &random));
                Turn::Granted(self.seat_of(pool, id, number, slot))
            }
        };
        drop(ledgers);
        self.books.changed(moves);
        turn
    }

    fn seat_of(&self, pool: &mut Pool, id: Arc<str>, number: u64, slot: Option<Slot>) -> Arc<Seat> {
        if let Some(slot) = &slot {
            pool.slots.insert(number, slot.clone());
        }
        Seat::new(Arc::clone(&self.books), id, number, slot)
    }

    /// A job that has a session of a pool since then, which may be one that is kept for others.
    pub fn seat(&self, pool: &PoolFacts, job: &CommandJob, since: Timestamp, slot: Option<&Slot>) -> Arc<Seat> {
        let now = Timestamp::now();
        let mut ledgers = self.books.lock();
        let id = ledgers.place(pool, Some(job));
        let pool = ledgers.pools.entry(Arc::clone(&id)).or_default();
        let (namespace, uid) = (job.namespace().unwrap_or_default(), job.uid().unwrap_or_default());
        let tenancy = slot.map(|it| it.tenancy.clone());
        let number = pool.ledger.occupy(&namespace, &uid, tenancy, since, now);
        let seat = self.seat_of(pool, id, number, slot.cloned());
        drop(ledgers);
        self.books.changed(Moves::default());
        seat
    }

    /// A session was found that nobody has; `None` where the pool is not known, or somebody has it after all.
    pub fn found(&self, pool: &str, slot: &Slot, since: Timestamp) -> Option<Arc<Seat>> {
        let now = Timestamp::now();
        let mut ledgers = self.books.lock();
        let (id, _) = ledgers.pools.get_key_value(pool)?;
        let id = Arc::clone(id);
        let pool = ledgers.pools.get_mut(&id)?;
        if pool.slots.values().any(|it| it == slot) {
            return None;
        }
        let number = pool.ledger.occupy("", "", Some(slot.tenancy.clone()), since, now);
        Some(self.seat_of(pool, id, number, Some(slot.clone())))
    }

    /// The names of the sessions of a pool that are kept, or may be, whether somebody has them or not.
    pub fn slots(&self, pool: &str) -> Vec<Slot> {
        let ledgers = self.books.lock();
        let pool = ledgers.pools.get(pool);
        pool.into_iter().flat_map(|it| it.slots.values().cloned()).collect()
    }

    /// A job wants no session any more, or cannot have one for now.
    pub fn withdraw(&self, job: &CommandJob) {
        let now = Timestamp::now();
        let uid = job.uid().unwrap_or_default();
        let mut ledgers = self.books.lock();
        if let Some(named) = name_of_pool(job)
            && let Some(unplaced) = ledgers.unplaced.get_mut(&named)
        {
            unplaced.remove(&uid);
        }
        let moves = ledgers.withdraw(&uid, None, now);
        drop(ledgers);
        self.books.changed(moves);
    }

    /// What each SessionPool's status is to say.
    pub fn counts(&self) -> HashMap<Key, Counts> {
        let now = Timestamp::now();
        let ledgers = self.books.lock();
        let counts = ledgers.pools.values().flat_map(|pool| {
            let counts = Counts::of(&pool.ledger, now);
            pool.objects.iter().map(move |key| (key.clone(), counts.clone()))
        });
        counts.collect()
    }

    /// The pools whose sessions are to be compared, once there are any.
    pub async fn suspects(&self) -> Vec<Suspect> {
        let mut changes = self.books.changes.subscribe();
        loop {
            let now = Instant::now();
            let mut next = None::<Instant>;
            let mut due = Vec::new();
            for (id, pool) in &mut self.books.lock().pools {
                match pool.suspected {
                    Some(at) if at <= now => {
                        pool.suspected = None;
                        pool.looked_at = Some(now);
                        due.push(Suspect {
                            id: Arc::clone(id),
                            objects: pool.objects.clone(),
                            job: pool.job.clone(),
                            is_waited_for: pool.ledger.queued() > 0,
                        });
                    }
                    at => next = next.into_iter().chain(at).min(),
                }
            }
            if !due.is_empty() {
                return due;
            }
            let rest = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => {}
                changed = changes.changed() => if changed.is_err() { std::future::pending().await },
            }
        }
    }

    /// A pool was looked at: so many sessions of it belong to no job of this operator, and it is to be looked at again, or not.
    pub fn looked_at(&self, pool: &str, foreign: Option<u32>, is_done: bool) {
        let again = Instant::now() + self.between_looks();
        self.books.change(pool, |pool, _| {
            pool.ledger.hold_wishes(false);
            if let Some(foreign) = foreign {
                pool.ledger.set_foreign(foreign);
            }
            if !is_done {
                pool.suspected = Some(again);
            }
        });
    }

    /// The time between two looks at the sessions of a pool.
    pub fn between_looks(&self) -> Duration {
        self.books.pace.of(BETWEEN_LOOKS)
    }

    /// Changes as often as anything about the sessions does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.books.changes.subscribe()
    }

    /// Tells those that wait where they stand, and has a pool tried again that refused, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = self.books.changes.subscribe();
        let mut pacer = telling::Pacer::default();
        loop {
            let (is_more, opens_at) = self.round(&mut pacer);
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
                    tokio::time::sleep(self.books.pace.of(ROUND).min(ROUND)).await;
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// One round over all pools: whether another one is needed, and when the next pool may be tried again.
    fn round(&self, pacer: &mut telling::Pacer) -> (bool, Option<Timestamp>) {
        let now = Timestamp::now();
        let mut allowance = pacer.allowance(now);
        let (mut moves, mut is_more, mut opens_at) = (Moves::default(), false, None::<Timestamp>);
        let mut ledgers = self.books.lock();
        for pool in ledgers.pools.values_mut() {
            moves.add(pool.advance(now));
            let mut woken = Vec::new();
            let round = telling::round(&pool.ledger, &mut allowance, now);
            for (uid, key, told) in round.tell {
                pool.ledger.tell(&uid, told, now);
                woken.push(key);
            }
            moves.add(Moves::of_woken(woken));
            is_more |= round.is_more;
            let opens = pool.ledger.opens_at(now);
            opens_at = opens_at.into_iter().chain(opens).min();
        }
        ledgers
            .pools
            .retain(|_, it| !it.ledger.is_idle() || !it.objects.is_empty());
        drop(ledgers);
        self.books.carry_out(moves);
        (is_more, opens_at)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queues")
    }
}

/// What a job's status says of where it waits.
fn told(job: &CommandJob) -> Option<QueuePosition> {
    let queue = job.status.as_ref()?.queue.as_ref()?;
    Some(QueuePosition {
        position: u32::try_from(queue.position?).ok()?,
        of: u32::try_from(queue.of?).ok()?,
        estimate: queue.estimated_start_time.as_ref().map(|it| it.0),
        waits_for: match queue.reason {
            QueueReason::Share => WaitsFor::Share,
            QueueReason::Session => WaitsFor::Session,
            QueueReason::Target | QueueReason::Capacity | QueueReason::Service | QueueReason::Backoff => {
                WaitsFor::Place
            }
        },
    })
}
