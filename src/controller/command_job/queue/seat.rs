//! A place in a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::books::{Books, PoolFacts};

/// Whoever holds this may have one session of the pool. Once nothing holds it any more, its place is free, and the next job
/// has its turn.
pub struct Seat {
    books: Arc<Books>,
    pool: Arc<str>,
    number: u64,
}

impl Seat {
    pub fn new(books: Arc<Books>, pool: Arc<str>, number: u64) -> Arc<Self> {
        Arc::new(Self { books, pool, number })
    }

    /// Whether it is a place of this pool.
    pub fn is_of(&self, pool: &PoolFacts) -> bool {
        *self.pool == *pool.id
    }

    /// There is a session now, and it is billed.
    pub fn on_allocated(&self) {
        self.books.allocated(&self.pool, self.number);
    }

    /// The pool has no session for this.
    pub fn on_refused(&self, asked_pause: Option<Duration>) {
        self.books.refused(&self.pool, asked_pause);
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
