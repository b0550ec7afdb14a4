//! A place in a pool.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::books::{Books, PoolFacts};
use super::kept::{Keeper, KeptSession};
use crate::controller::command_job::attempt::Slot;

/// Whoever holds this may have one session of the pool. Once nothing holds it any more, its place is free, and the next job
/// has its turn.
pub struct Seat {
    books: Arc<Books>,
    pool: Arc<str>,
    number: u64,
    slot: Option<Slot>,
    /// What the job before has left, if one has.
    kept: Mutex<Option<Arc<KeptSession>>>,
}

impl Seat {
    /// A place for a session of this name, or for one of an attempt's own.
    pub fn new(books: Arc<Books>, pool: Arc<str>, number: u64, slot: Option<Slot>) -> Arc<Self> {
        Arc::new(Self {
            books,
            pool,
            number,
            slot,
            kept: Mutex::default(),
        })
    }

    /// Whether it is a place of this pool.
    pub fn is_of(&self, pool: &PoolFacts) -> bool {
        *self.pool == *pool.id
    }

    /// Names its session, if that is kept for other commands.
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// What the job before has left, if one has.
    pub fn kept(&self) -> Option<Arc<KeptSession>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When its session was allocated, if there is one.
    pub fn allocated(&self) -> Option<Timestamp> {
        self.books.allocated_at(&self.pool, self.number)
    }

    /// There is a session now, and it is billed.
    pub fn on_allocated(&self) {
        self.books.allocated(&self.pool, self.number);
    }

    /// The pool has no session for this.
    pub fn on_refused(&self, asked_pause: Option<Duration>) {
        self.books.refused(&self.pool, asked_pause);
    }

    /// The session that was left is not there any more; another one has taken its place.
    pub fn on_replaced(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.books.replaced(&self.pool, self.number);
    }

    /// Leaves the session for another job, which is looked after by `keeper` meanwhile. False if nobody is to have it.
    pub fn keep(self: &Arc<Self>, session: KeptSession, keeper: Box<dyn Keeper>) -> bool {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(session.clone()));
        self.books
            .keep(&self.pool, self.number, &session, Arc::clone(self), keeper)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.books.give_back(&self.pool, self.number);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({})", self.number)
    }
}
