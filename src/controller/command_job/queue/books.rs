//! The ledgers of all pools.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::time::Instant;

use super::bill::Bill;
use super::kept::{Keeper, KeptSession};
use super::ledger::Ledger;
use super::line::Wish;
use super::places::Expected;
use super::seat::Seat;
use crate::api::session_pool::PoolSessions;
use crate::api::{CommandJob, SessionPool};
use crate::controller::command_job::attempt::Slot;
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
    /// Whose session the job may have, if not only one of its own.
    pub wish: Option<Wish>,
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
    /// by their uids.
    pub unplaced: HashMap<Named, HashMap<String, Expected>>,
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
    /// The sessions that nobody has, by the numbers of their places.
    pub kept: HashMap<u64, IdleSession>,
    /// The names of the sessions that are kept, or may be, by the numbers of their places.
    pub slots: HashMap<u64, Slot>,
}

/// A session that nobody has.
pub struct IdleSession {
    /// Its place.
    pub seat: Arc<Seat>,
    keeper: Box<dyn Keeper>,
}

/// What is to be done once the ledgers are closed again.
#[derive(Default)]
pub struct Moves {
    woken: Vec<Key>,
    retired: Vec<IdleSession>,
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
        let pool = self.pools.entry(Arc::clone(&id)).or_insert_with(|| {
            let mut pool = Pool {
                suspected: Some(Instant::now()),
                ..Pool::default()
            };
            // Until it was looked at: another process may have left some.
            pool.ledger.hold_wishes(true);
            pool
        });
        pool.job = job.map(Key::of).or(pool.job.take());
        pool.ledger.set_capacity(facts.capacity);
        for (uid, expected) in unplaced.into_iter().flatten() {
            pool.ledger.expect(&uid, expected);
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

    /// A job wants no session of any pool but this one.
    pub fn withdraw(&mut self, uid: &str, but: Option<&Arc<str>>, now: Timestamp) -> Moves {
        let mut moves = Moves::default();
        for (_, pool) in self.pools.iter_mut().filter(|(id, _)| Some(*id) != but) {
            if pool.ledger.withdraw(uid, now) {
                moves.add(pool.advance(now));
            }
        }
        moves
    }
}

impl Moves {
    /// Those jobs have their turn.
    pub fn of_woken(woken: Vec<Key>) -> Self {
        Self {
            woken,
            ..Self::default()
        }
    }

    /// Does these as well.
    pub fn add(&mut self, other: Self) {
        self.woken.extend(other.woken);
        self.retired.extend(other.retired);
    }
}

impl Pool {
    /// Gives turns as long as there are sessions.
    pub fn advance(&mut self, now: Timestamp) -> Moves {
        let woken = self.ledger.advance(now);
        self.moves(woken)
    }

    /// These jobs have their turn, and the ledger may want sessions to end.
    pub fn moves(&mut self, woken: Vec<Key>) -> Moves {
        let retired = self.ledger.take_retired();
        let retired = retired.iter().filter_map(|it| self.kept.remove(it)).collect();
        Moves { woken, retired }
    }

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

    pub fn allocated_at(&self, pool: &str, number: u64) -> Option<Timestamp> {
        self.lock().pools.get(pool)?.ledger.allocated(number)
    }

    pub fn refused(&self, pool: &str, asked_pause: Option<Duration>) {
        let between_looks = self.pace.of(BETWEEN_LOOKS);
        self.change(pool, |pool, now| {
            pool.ledger.on_refused(asked_pause, now);
            // Somebody else may have sessions of it.
            pool.suspect(between_looks);
        });
    }

    pub fn replaced(&self, pool: &str, number: u64) {
        self.change(pool, |pool, now| pool.ledger.on_replaced(number, now));
    }

    pub fn give_back(&self, pool: &str, number: u64) {
        self.change(pool, |pool, now| {
            pool.slots.remove(&number);
            pool.ledger.give_back(number, now);
        });
    }

    /// The session of this place is for another job; false if nobody is to have it.
    pub fn keep(
        &self,
        pool: &str,
        number: u64,
        session: &KeptSession,
        seat: Arc<Seat>,
        keeper: Box<dyn Keeper>,
    ) -> bool {
        self.change(pool, |pool, now| {
            let is_kept = pool.ledger.keep(number, session, now);
            if is_kept {
                pool.kept.insert(number, IdleSession { seat, keeper });
            }
            is_kept
        })
        .unwrap_or(false)
    }

    pub fn change<T>(&self, pool: &str, change: impl FnOnce(&mut Pool, Timestamp) -> T) -> Option<T> {
        let now = Timestamp::now();
        let mut ledgers = self.lock();
        let changed = ledgers.pools.get_mut(pool).map(|pool| {
            let changed = change(pool, now);
            (changed, pool.advance(now))
        });
        drop(ledgers);
        let (changed, moves) = changed.unzip();
        self.changed(moves.unwrap_or_default());
        changed
    }

    /// Something was changed, and this is to be done by that. The ledgers must not be open: whoever lets go of a place opens them.
    pub fn changed(&self, moves: Moves) {
        self.carry_out(moves);
        self.changes.send_modify(|it| *it = it.wrapping_add(1));
    }

    /// Wakes jobs and ends sessions.
    pub fn carry_out(&self, moves: Moves) {
        for key in moves.woken {
            (self.wake)(key);
        }
        for IdleSession { seat, keeper } in moves.retired {
            keeper.retire(seat);
        }
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
