//! What is asked of a pool that has refused a session although there should have been one. Pure.
//!
//! Somebody else may have sessions of it, or Azure may not have let go of those that were released. Nobody tells when there
//! is one again, so it is tried: later and later, with one job at a time, and with twice as many after each success. What
//! the operator itself has given back may be asked for at once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The pause after the first refusal; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that the operator chooses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest that a service may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// So many trials at a time are as good as no bound.
const WIDEST: u32 = 64;

/// From so many refusals in a row on, with no success between them, the pool is said to have no sessions.
const REPEATED: u32 = 3;

/// Whether a pool may be asked for sessions, and for how many at a time.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Refusals in a row, one for each pause.
    refusals: u32,
    /// Not before then.
    until: Option<Timestamp>,
    /// How many may be asked for whose answer is not there; any number if it is absent.
    window: Option<u32>,
    /// Sessions that were given back since the last refusal: so many may be asked for at any time.
    returned: u32,
}

impl Breaker {
    /// Whether one more session may be asked for while the answers for `pending` others are not there.
    pub fn allows(&self, pending: u32, now: Timestamp) -> bool {
        if self.returned > 0 {
            return true;
        }
        let is_paused = self.until.is_some_and(|until| now < until);
        !is_paused && self.window.is_none_or(|window| pending < window)
    }

    /// One is asked for.
    pub fn on_asked(&mut self) {
        self.returned = self.returned.saturating_sub(1);
    }

    /// One was had.
    pub fn on_success(&mut self) {
        self.refusals = 0;
        self.until = None;
        self.window = self.window.map(|it| it.max(1) * 2).filter(|it| *it <= WIDEST);
    }

    /// One was refused. Those that were asked for together are refused together, and count once.
    pub fn on_refusal(&mut self, asked_pause: Option<Duration>, now: Timestamp) {
        let is_paused = self.until.is_some_and(|until| now < until);
        if !is_paused {
            self.refusals = self.refusals.saturating_add(1);
        }
        let doubled = 2_u32.saturating_pow(self.refusals.saturating_sub(1).min(10));
        let own = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        let pause = asked_pause.map_or(own, |it| it.min(LONGEST_ASKED).max(own));
        let until = now + SignedDuration::try_from(pause).unwrap_or(SignedDuration::ZERO);
        self.until = self.until.max(Some(until));
        self.window = Some(1);
        self.returned = 0;
    }

    /// A session was given back to the pool.
    pub fn on_return(&mut self) {
        if self.window.is_some() {
            self.returned = self.returned.saturating_add(1);
        }
    }

    /// When its pause is over, if there is one.
    pub fn opens_at(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether the pool refuses again and again.
    pub fn is_open(&self) -> bool {
        self.refusals >= REPEATED
    }
}
