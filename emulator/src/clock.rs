//! The virtual clock: real time plus what the control API added to it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// How far the clock can be ahead of real time: a thousand years, so that no sum of a time and a span leaves the calendar.
pub const FURTHEST: SignedDuration = SignedDuration::from_hours(1000 * 365 * 24);

/// The time that every deadline of the emulator goes by.
///
/// It runs at the speed of real time and can be moved forward, never back. Real processes and tokens that others issued
/// keep real time.
#[derive(Debug)]
pub struct Clock {
    offset: Mutex<SignedDuration>,
    moved: watch::Sender<u64>,
}

impl Clock {
    /// A clock that is already `offset` ahead of real time, as a snapshot remembered it.
    pub fn new(offset: SignedDuration) -> Self {
        Self {
            offset: Mutex::new(offset),
            moved: watch::Sender::new(0),
        }
    }

    /// How far the clock is ahead of real time.
    pub fn offset(&self) -> SignedDuration {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The virtual time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.offset()
    }

    /// Moves the clock forward and wakes everyone who sleeps by it; false, and nothing else, if that would be further than
    /// [`FURTHEST`].
    #[must_use]
    pub fn advance(&self, by: Duration) -> bool {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        {
            let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
            let moved = offset.saturating_add(by);
            if moved > FURTHEST {
                return false;
            }
            *offset = moved;
        }
        self.moved.send_modify(|moves| *moves += 1);
        true
    }

    /// Returns once the clock shows `instant`, at once if it is past; a move of the clock counts.
    pub async fn sleep_until(&self, instant: Timestamp) {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let left = instant.duration_since(self.now());
            let Ok(left) = Duration::try_from(left) else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = moved.changed() => {}
            }
        }
    }
}

/// A span given in seconds by a switch or a request, as one to add to a [`Timestamp`]; negative counts as zero, and more
/// than [`FURTHEST`] as that.
pub fn seconds(value: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(value.max(0.0)).map_or(FURTHEST, |span| span.min(FURTHEST))
}
