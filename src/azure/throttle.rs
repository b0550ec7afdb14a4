//! The gate in front of Azure Resource Manager.
//!
//! ARM counts requests per subscription, principal and kind of operation (reads, writes, deletes), and a request that
//! comes before `Retry-After` has passed does not refill anything. So there is one gate for each subscription and
//! principal; it follows what the answers say and never assumes a bucket's size, because recorded values exceed the
//! documented ones. A closed gate fails at once with the time to come back: nobody sleeps in it.
//!
//! Several may share a principal, and none of them gets more than its turn where not all can go at once: see [`GateTurns`].
//! While a kind of operation was refused, who had a turn lets those go first who wait; the bucket fills meanwhile, so nothing
//! is lost by it. While only places are lacking, one of them is kept for each who waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::turns::GateTurns;

/// How many requests of one subscription and principal may be under way at once.
pub const MAX_IN_FLIGHT: usize = 16;
/// The time to come back when all places are taken; requests take some hundred milliseconds.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// How much later each further request is told to come back that was sent away for want of a place.
const BUSY_STEP: Duration = Duration::from_millis(10);
/// The pause after an answer that left nothing in a bucket; buckets refill every second ("Throttling of ARM requests").
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// How much later each further request of one who shares the gate is told to come back, so that they do not all come to be
/// sent away again: the bucket of reads gets 25 requests a second, the others less.
const EMPTY_STEP: Duration = Duration::from_millis(40);
/// The pauses after 429 answers without `Retry-After` grow from here …
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// … to here. Nobody is told to come back later than this after the gate opens.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long a turn is kept after the time to come back, besides an eighth of the pause: passes are late by a tenth of it, and
/// wait for each other.
const PATIENCE: Duration = Duration::from_secs(2);
/// Nobody's turn is kept for longer after the gate opens, so that others are not held up by who does not come.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

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
    /// Those who wait for one of the places.
    places: GateTurns,
}

#[derive(Debug, Default)]
struct KindState {
    closed_until: Option<Instant>,
    refusals_in_a_row: u32,
    /// Those who wait because it was closed.
    turns: GateTurns,
}

impl KindState {
    fn send_away(&mut self, who: &Arc<str>, pause: Duration, now: Instant) -> Duration {
        send_away(&mut self.turns, who, pause, EMPTY_STEP, now)
    }
}

/// Sends a request away for a pause, and a step longer for each other one of `who` that is about to come back.
fn send_away(turns: &mut GateTurns, who: &Arc<str>, pause: Duration, step: Duration, now: Instant) -> Duration {
    let later = step.saturating_mul(turns.sent_away(who)).min(LONGEST_PAUSE);
    let back = now + pause + later.min(LONGEST_PATIENCE);
    turns.send_away(who, back + (back - now) / 8 + PATIENCE);
    pause + later
}

impl GateState {
    /// Lets a request of `who` through, or says when to come back. Each admission is followed by one `release`.
    pub fn admit(&mut self, kind: OperationKind, who: &Arc<str>, now: Instant) -> Result<(), Duration> {
        let state = self.kinds.entry(kind).or_default();
        if let Some(until) = state.closed_until
            && until > now
        {
            return Err(state.send_away(who, until - now, now));
        }
        if state.turns.ahead(who, now) > 0 {
            return Err(state.send_away(who, BUSY_PAUSE, now));
        }
        if self.in_flight + self.places.ahead(who, now) >= MAX_IN_FLIGHT {
            return Err(send_away(&mut self.places, who, BUSY_PAUSE, BUSY_STEP, now));
        }
        state.turns.serve(who);
        self.places.serve(who);
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
        if let Some(until) = pause.map(|pause| now + pause)
            && state.closed_until < Some(until)
        {
            state.closed_until = Some(until);
            state.turns.count_anew();
        }
    }

    /// Gives a place back.
    pub fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

type SharedState = Arc<Mutex<GateState>>;

/// The gate of one subscription and principal, as one of those who share it has it.
#[derive(Debug, Clone)]
pub struct Gate {
    state: SharedState,
    who: Arc<str>,
}

/// A place in a gate, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Gate,
}

impl Gate {
    /// Takes a place, or says when to come back.
    pub fn admit(&self, kind: OperationKind) -> Result<Permit, Duration> {
        self.with(|state| state.admit(kind, &self.who, Instant::now()))?;
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
    gates: Arc<Mutex<HashMap<(String, String), SharedState>>>,
}

impl Gates {
    /// The gate of a subscription and principal (a client id), in any case, for `who`: the one among those that share the
    /// principal whose requests have their turns together.
    pub fn gate(&self, subscription: &str, principal: &str, who: &str) -> Gate {
        let key = (subscription.to_ascii_lowercase(), principal.to_ascii_lowercase());
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Gate {
            state: Arc::clone(gates.entry(key).or_default()),
            who: who.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{GateState, Gates, LONGEST_PAUSE, MAX_IN_FLIGHT, OperationKind, RateObservation};

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(gate: &mut GateState, kind: OperationKind, now: Instant) -> Result<(), Duration> {
        gate.admit(kind, &"one".into(), now)
    }

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
        assert_eq!(ask(&mut gate, OperationKind::Write, now + 5 * SECOND), Err(12 * SECOND));
        assert_eq!(ask(&mut gate, OperationKind::Read, now), Ok(()));
        assert_eq!(ask(&mut gate, OperationKind::Write, now + 17 * SECOND), Ok(()));
    }

    #[test]
    fn refusals_without_a_pause_back_off_until_one_is_answered() {
        let (mut gate, now) = (GateState::default(), Instant::now());
        let pauses: Vec<u64> = (0..7)
            .map(|_| {
                let mut fresh = GateState {
                    kinds: std::mem::take(&mut gate.kinds),
                    ..GateState::default()
                };
                fresh.kinds.entry(OperationKind::Read).or_default().closed_until = None;
                fresh.observe(OperationKind::Read, refusal(None), now);
                let pause = ask(&mut fresh, OperationKind::Read, now).unwrap_err().as_secs();
                gate = fresh;
                pause
            })
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
        gate.observe(OperationKind::Read, RateObservation::default(), now);
        gate.observe(OperationKind::Read, refusal(None), now + LONGEST_PAUSE);
        assert_eq!(
            ask(&mut gate, OperationKind::Read, now + LONGEST_PAUSE),
            Err(2 * SECOND)
        );
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
        assert_eq!(ask(&mut gate, OperationKind::Write, now), Err(SECOND));
    }

    #[test]
    fn a_gate_is_shared_by_spelling_and_kept_from_other_principals() {
        let gates = Gates::default();
        gates
            .gate("SUB", "app", "a")
            .observe(OperationKind::Read, refusal(Some(60 * SECOND)));
        assert!(gates.gate("sub", "APP", "b").admit(OperationKind::Read).is_err());
        assert!(gates.gate("sub", "other", "a").admit(OperationKind::Read).is_ok());
    }

    #[test]
    fn a_place_is_given_back_when_its_permit_is_dropped() {
        let gate = Gates::default().gate("s", "p", "a");
        let permits: Vec<_> = (0..MAX_IN_FLIGHT)
            .map(|_| gate.admit(OperationKind::Read).unwrap())
            .collect();
        assert!(gate.admit(OperationKind::Read).is_err());
        drop(permits);
        assert!(gate.admit(OperationKind::Read).is_ok());
    }

    #[test]
    fn many_that_are_sent_away_come_back_one_after_the_other() {
        let (mut gate, now) = (GateState::default(), Instant::now());
        gate.observe(OperationKind::Read, refusal(Some(SECOND)), now);
        let pauses: Vec<Duration> = (0..2000)
            .map(|_| ask(&mut gate, OperationKind::Read, now).unwrap_err())
            .collect();
        assert_eq!(pauses[0], SECOND);
        assert_eq!(pauses[25], 2 * SECOND);
        assert_eq!(pauses[1999], SECOND + LONGEST_PAUSE);
        // Who shares the gate with them comes first when it opens.
        let other = gate.admit(OperationKind::Read, &"other".into(), now);
        assert_eq!(other, Err(SECOND));
    }

    #[test]
    fn a_place_is_kept_for_who_was_sent_away_for_want_of_one() {
        let (mut gate, now) = (GateState::default(), Instant::now());
        for _ in 0..MAX_IN_FLIGHT {
            ask(&mut gate, OperationKind::Read, now).unwrap();
        }
        let after = gate.admit(OperationKind::Write, &"other".into(), now).unwrap_err();
        // Places are given back, and there are always more who want them: one turn is theirs, and no second one.
        gate.release();
        ask(&mut gate, OperationKind::Read, now).unwrap();
        gate.release();
        for _ in 0..10 {
            assert!(ask(&mut gate, OperationKind::Read, now).is_err());
        }
        gate.admit(OperationKind::Write, &"other".into(), now + after).unwrap();
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
            match ask(&mut gate, OperationKind::Read, at) {
                Ok(()) => prop_assert!(at >= hinted_until),
                // Coming back at the time given succeeds: nobody is sent away twice for one pause.
                Err(after) => prop_assert!(ask(&mut gate, OperationKind::Read, at + after).is_ok()),
            }
        }

        #[test]
        fn never_more_requests_than_places(steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let now = Instant::now();
            let mut gate = GateState::default();
            let mut held = 0usize;
            for take in steps {
                if take {
                    if ask(&mut gate, OperationKind::Read, now).is_ok() { held += 1; }
                } else if held > 0 {
                    gate.release();
                    held -= 1;
                }
                prop_assert!(held <= MAX_IN_FLIGHT);
                prop_assert_eq!(gate.in_flight, held);
            }
        }

        #[test]
        fn who_waits_for_the_gate_goes_before_the_second_turn_of_anybody_else(
            sizes in prop::collection::vec(1_usize..60, 2..6),
            tokens in 1_u64..30,
            seed in any::<u64>(),
        ) {
            // A bucket of Azure that gets `tokens` a second, and several who ask for more than that through one gate.
            let start = Instant::now();
            let (mut gate, mut random) = (GateState::default(), fastrand::Rng::with_seed(seed));
            let names: Vec<std::sync::Arc<str>> = (0..sizes.len()).map(|it| format!("n{it}").into()).collect();
            let mut due: Vec<(Instant, usize)> = Vec::new();
            for (who, size) in sizes.iter().enumerate() {
                due.extend((0..*size).map(|_| (start, who)));
            }
            let mut waiting = vec![0_usize; sizes.len()];
            let mut since = vec![vec![0_u32; sizes.len()]; sizes.len()];
            let (mut left, mut filled_at) = (0, start);
            let mut asked = 0;
            // At one token a second each waits for all, and asks every second.
            let total: usize = sizes.iter().sum();
            let most = 1000 + 2 * total * total;
            while let Some(next) = (0..due.len()).min_by_key(|it| due[*it].0) {
                let (now, who) = due.swap_remove(next);
                asked += 1;
                prop_assert!(asked < most, "nobody gets on");
                let seconds = (now - filled_at).as_secs();
                if seconds > 0 {
                    (left, filled_at) = ((left + seconds * tokens).min(250), filled_at + Duration::from_secs(seconds));
                }
                match gate.admit(OperationKind::Read, &names[who], now) {
                    Err(after) => {
                        // Passes are up to a tenth late.
                        due.push((now + after.mul_f64(1.0 + 0.1 * random.f64()), who));
                        if waiting[who] == 0 { since[who].fill(0); }
                        waiting[who] += 1;
                    }
                    Ok(()) => {
                        gate.release();
                        let throttled = left == 0;
                        left = left.saturating_sub(1);
                        let answer = RateObservation { throttled, retry_after: Some(SECOND), remaining: Some(left) };
                        gate.observe(OperationKind::Read, answer, now);
                        if throttled { due.push((now + SECOND, who)); }
                        waiting[who] = 0;
                        since[who].fill(0);
                        for other in (0..sizes.len()).filter(|other| *other != who && waiting[*other] > 0) {
                            since[other][who] += 1;
                            prop_assert!(since[other][who] <= 1, "{} waits for {}", other, who);
                        }
                    }
                }
            }
        }
    }
}
