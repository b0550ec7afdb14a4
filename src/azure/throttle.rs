//! The gate in front of Azure Resource Manager.
//!
//! ARM counts requests per subscription, principal and kind of operation (reads, writes, deletes), and a request that
//! comes before `Retry-After` has passed does not refill anything. So there is one gate for each subscription and
//! principal; it follows what the answers say and never assumes a bucket's size, because recorded values exceed the
//! documented ones. A closed gate fails at once with the time to come back: nobody sleeps in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

/// How many requests of one subscription and principal may be under way at once.
pub const MAX_IN_FLIGHT: usize = 16;
/// The time to come back when all places are taken; requests take some hundred milliseconds.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// The pause after an answer that left nothing in a bucket; buckets refill every second ("Throttling of ARM requests").
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// The pauses after 429 answers without `Retry-After` grow from here …
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The kinds of operation that ARM counts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationKind {
    /// GET and HEAD.
    Read,
    /// PUT, PATCH and POST.
    Write,
    /// DELETE.
    Delete,
}

/// What an answer tells about the buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateObservation {
    /// Whether the request was refused with 429.
    pub throttled: bool,
    /// The pause that the answer asked for.
    pub retry_after: Option<Duration>,
    /// The smallest `x-ms-ratelimit-remaining-*` of the answer.
    pub remaining: Option<u64>,
}

impl RateObservation {
    /// Reads an answer's headers.
    pub fn read(status: u16, headers: &HeaderMap, retry_after: Option<Duration>) -> Self {
        let remaining = headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-ms-ratelimit-remaining-"))
            .filter_map(|(_, value)| value.to_str().ok()?.trim().parse().ok())
            .min();
        Self {
            throttled: status == 429,
            retry_after,
            remaining,
        }
    }
}

/// The state of a gate: pure, the time is an argument.
#[derive(Debug, Default)]
pub struct GateState {
    kinds: HashMap<OperationKind, KindState>,
    in_flight: usize,
}

#[derive(Debug, Default)]
struct KindState {
    closed_until: Option<Instant>,
    refusals_in_a_row: u32,
}

impl GateState {
    /// Lets a request through, or says when to come back. Each admission is followed by one `release`.
    pub fn admit(&mut self, kind: OperationKind, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.kinds.get(&kind).and_then(|state| state.closed_until)
            && until > now
        {
            return Err(until - now);
        }
        if self.in_flight >= MAX_IN_FLIGHT {
            return Err(BUSY_PAUSE);
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Takes note of an answer. A gate is never reopened before the time that an earlier answer gave.
    pub fn observe(&mut self, kind: OperationKind, observation: RateObservation, now: Instant) {
        let state = self.kinds.entry(kind).or_default();
        let pause = if observation.throttled {
            let own = FIRST_PAUSE
                .saturating_mul(1 << state.refusals_in_a_row.min(5))
                .min(LONGEST_PAUSE);
            state.refusals_in_a_row = state.refusals_in_a_row.saturating_add(1);
            Some(observation.retry_after.unwrap_or(own))
        } else {
            state.refusals_in_a_row = 0;
            (observation.remaining == Some(0)).then_some(EMPTY_PAUSE)
        };
        if let Some(pause) = pause {
            state.closed_until = state.closed_until.max(Some(now + pause));
        }
    }

    /// Gives a place back.
    pub fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// The gate of one subscription and principal; clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    state: Arc<Mutex<GateState>>,
}

/// A place in a gate, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
}

impl Gate {
    /// Takes a place, or says when to come back.
    pub fn admit(&self, kind: OperationKind) -> Result<Permit, Duration> {
        self.with(|state| state.admit(kind, Instant::now()))?;
        Ok(Permit { gate: self.clone() })
    }

    /// Takes note of an answer.
    pub fn observe(&self, kind: OperationKind, observation: RateObservation) {
        self.with(|state| state.observe(kind, observation, Instant::now()));
    }

    fn with<T>(&self, change: impl FnOnce(&mut GateState) -> T) -> T {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.with(GateState::release);
    }
}

/// All gates of the process.
#[derive(Debug, Clone, Default)]
pub struct Gates {
    gates: Arc<Mutex<HashMap<(String, String), Gate>>>,
}

impl Gates {
    /// The gate of a subscription and principal (a client id), in any case.
    pub fn gate(&self, subscription: &str, principal: &str) -> Gate {
        let key = (subscription.to_ascii_lowercase(), principal.to_ascii_lowercase());
        self.gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key)
            .or_default()
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{GateState, Gates, LONGEST_PAUSE, MAX_IN_FLIGHT, OperationKind, RateObservation};

    const SECOND: Duration = Duration::from_secs(1);

    fn refusal(retry_after: Option<Duration>) -> RateObservation {
        RateObservation {
            throttled: true,
            retry_after,
            remaining: None,
        }
    }

    #[test]
    fn a_refusal_closes_its_kind_of_operation_for_as_long_as_azure_says() {
        let (mut gate, now) = (GateState::default(), Instant::now());
        gate.observe(OperationKind::Write, refusal(Some(17 * SECOND)), now);
        assert_eq!(gate.admit(OperationKind::Write, now + 5 * SECOND), Err(12 * SECOND));
        assert_eq!(gate.admit(OperationKind::Read, now), Ok(()));
        assert_eq!(gate.admit(OperationKind::Write, now + 17 * SECOND), Ok(()));
    }

    #[test]
    fn refusals_without_a_pause_back_off_until_one_is_answered() {
        let (mut gate, now) = (GateState::default(), Instant::now());
        let pauses: Vec<u64> = (0..7)
            .map(|_| {
                let mut fresh = GateState {
                    kinds: std::mem::take(&mut gate.kinds),
                    in_flight: 0,
                };
                fresh.kinds.entry(OperationKind::Read).or_default().closed_until = None;
                fresh.observe(OperationKind::Read, refusal(None), now);
                let pause = fresh.admit(OperationKind::Read, now).unwrap_err().as_secs();
                gate = fresh;
                pause
            })
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
        gate.observe(OperationKind::Read, RateObservation::default(), now);
        gate.observe(OperationKind::Read, refusal(None), now + LONGEST_PAUSE);
        assert_eq!(gate.admit(OperationKind::Read, now + LONGEST_PAUSE), Err(2 * SECOND));
    }

    #[test]
    fn an_empty_bucket_pauses_before_azure_has_to_refuse() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-ms-ratelimit-remaining-subscription-writes",
            HeaderValue::from_static("799"),
        );
        headers.insert(
            "x-ms-ratelimit-remaining-subscription-resource-requests",
            HeaderValue::from_static("0"),
        );
        let observation = RateObservation::read(200, &headers, None);
        let (mut gate, now) = (GateState::default(), Instant::now());
        gate.observe(OperationKind::Write, observation, now);
        assert_eq!(gate.admit(OperationKind::Write, now), Err(SECOND));
    }

    #[test]
    fn a_gate_is_shared_by_spelling_and_kept_from_other_principals() {
        let gates = Gates::default();
        gates
            .gate("SUB", "app")
            .observe(OperationKind::Read, refusal(Some(60 * SECOND)));
        assert!(gates.gate("sub", "APP").admit(OperationKind::Read).is_err());
        assert!(gates.gate("sub", "other").admit(OperationKind::Read).is_ok());
    }

    #[test]
    fn a_place_is_given_back_when_its_permit_is_dropped() {
        let gate = Gates::default().gate("s", "p");
        let permits: Vec<_> = (0..MAX_IN_FLIGHT)
            .map(|_| gate.admit(OperationKind::Read).unwrap())
            .collect();
        assert!(gate.admit(OperationKind::Read).is_err());
        drop(permits);
        assert!(gate.admit(OperationKind::Read).is_ok());
    }

    proptest! {
        #[test]
        fn no_request_passes_before_every_pause_is_over(
            answers in prop::collection::vec((0u64..100, any::<bool>(), prop::option::of(0u64..120), prop::option::of(0u64..3)), 1..40),
            ask_at in 0u64..400,
        ) {
            let start = Instant::now();
            let mut gate = GateState::default();
            let mut hinted_until = start;
            let mut now = start;
            for (step, throttled, retry_after, remaining) in answers {
                now += Duration::from_secs(step);
                let retry_after = retry_after.map(Duration::from_secs);
                gate.observe(OperationKind::Read, RateObservation { throttled, retry_after, remaining }, now);
                if let (true, Some(pause)) = (throttled, retry_after) {
                    hinted_until = hinted_until.max(now + pause);
                }
            }
            let at = start + Duration::from_secs(ask_at);
            match gate.admit(OperationKind::Read, at) {
                Ok(()) => prop_assert!(at >= hinted_until),
                // Coming back at the time given succeeds: nobody is sent away twice for one pause.
                Err(after) => prop_assert!(gate.admit(OperationKind::Read, at + after).is_ok()),
            }
        }

        #[test]
        fn never_more_requests_than_places(steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let now = Instant::now();
            let mut gate = GateState::default();
            let mut held = 0usize;
            for take in steps {
                if take {
                    if gate.admit(OperationKind::Read, now).is_ok() { held += 1; }
                } else if held > 0 {
                    gate.release();
                    held -= 1;
                }
                prop_assert!(held <= MAX_IN_FLIGHT);
                prop_assert_eq!(gate.in_flight, held);
            }
        }
    }
}
