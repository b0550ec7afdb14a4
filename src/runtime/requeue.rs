//! The one table that says when an object is looked at again.
//!
//! Pure: the clock and the randomness are arguments. Every delay is jittered, so that objects that began together do not
//! stay together.

use std::time::Duration;

use jiff::Timestamp;

use super::{error::Class, pace::Pace, reconciler::Next};

/// How soon something is tried again: after `first`, then after twice as long each time, at most after `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Ladder {
    /// The pause after so many tries in a row that were in vain.
    pub fn pause(self, tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1).min(20));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

/// Nobody answered as they should: 1 s, … 5 min, each cut short by chance.
pub const TRANSIENT: Ladder = Ladder {
    first: Duration::from_secs(1),
    most: Duration::from_mins(5),
};
/// Something else has to happen first: 5 s, … 30 s, and once it has lasted for more than five minutes a tenth of that time.
pub const WAITING: Ladder = Ladder {
    first: Duration::from_secs(5),
    most: Duration::from_mins(5),
};
/// A right is missing, which may only be on its way: 10 s, … 10 min.
pub const DENIED: Ladder = Ladder {
    first: Duration::from_secs(10),
    most: Duration::from_mins(10),
};
/// The API server refuses, as one does that has not read its roles yet: 1 s, … 1 min.
pub const FORBIDDEN: Ladder = Ladder {
    first: Duration::from_secs(1),
    most: Duration::from_mins(1),
};
/// What was sent was refused, and what it was refused for may pass: 1 min, … 1 h.
pub const REFUSED: Ladder = Ladder {
    first: Duration::from_mins(1),
    most: Duration::from_hours(1),
};

const SHORTEST_POLL: Duration = Duration::from_secs(2);
const LONGEST_EARLY_POLL: Duration = Duration::from_secs(30);
const SHORTEST_BACKOFF: Duration = Duration::from_millis(100);

/// A pause in front of the next pass; `None` waits for a change.
pub type Delay = Option<Duration>;

/// Passes in a row that ended alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many, this one included.
    pub count: u32,
    /// How long ago the first of them was.
    pub lasted: Duration,
}

/// The pause after a pass in which nothing failed.
///
/// `polls` are the passes in a row that ended in [`Next::Poll`]; `random` is in `0.0..1.0`.
pub fn after_success(next: Next, polls: Tries, now: Timestamp, pace: Pace, random: f64) -> Delay {
    match next {
        Next::AwaitChange => None,
        Next::Again => Some(Duration::ZERO),
        Next::Resync(every) => Some(pace.of(every).mul_f64(0.8 + 0.4 * random)),
        Next::Poll { after: Some(hint) } => Some(at_least(hint.max(pace.of(SHORTEST_POLL)), random)),
        Next::Poll { after: None } => Some(at_least(unhinted_poll(polls, pace), random)),
        Next::After(pause) => Some(at_least(pace.of(pause), random)),
        Next::At(when) => {
            let wait = Duration::try_from(when.duration_since(now)).unwrap_or(Duration::ZERO);
            Some(wait + Duration::from_millis(100).mul_f64(random))
        }
    }
}

/// The pause after a pass that failed.
///
/// `tries` are the passes in a row that failed with such a class; `random` is in `0.0..1.0`.
pub fn after_failure(class: &Class, tries: Tries, pace: Pace, random: f64) -> Delay {
    let failures = tries.count;
    let own = match class {
        Class::Throttled { after } => return Some(at_least(*after, random)),
        Class::Waiting { after: Some(hint) } => return Some(at_least((*hint).max(pace.of(SHORTEST_POLL)), random)),
        Class::Waiting { after: None } => return Some(at_least(unhinted_poll(tries, pace), random)),
        // Losing a few times in a row is bad luck; losing for ever must not become a hot loop.
        Class::Conflict => {
            let lost = Ladder {
                first: SHORTEST_BACKOFF,
                most: TRANSIENT.most / 3,
            };
            lost.pause(failures.saturating_sub(4)).mul_f64(1.0 + 2.0 * random)
        }
        Class::Transient => TRANSIENT.pause(failures.saturating_add(1)).mul_f64(random),
        Class::Denied => at_least(DENIED.pause(failures), random),
        Class::Forbidden => at_least(FORBIDDEN.pause(failures), random),
        Class::Terminal => at_least(REFUSED.pause(failures), random),
        Class::Bug => TRANSIENT.most.mul_f64(0.8 + 0.2 * random),
    };
    Some(pace.of(own).max(SHORTEST_BACKOFF))
}

/// When, after the start of the process, an object that is settled is first looked at: its uid decides, so that a
/// restart does not ask about everything at once.
pub fn start_offset(uid: &str, spread: Duration) -> Duration {
    // FNV-1a: stable over restarts, which std's hasher is not.
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let permille = (hash % 1000) as u32;
    spread * permille / 1000
}

/// Never earlier than asked for, and up to a tenth later.
fn at_least(delay: Duration, random: f64) -> Duration {
    delay + delay.mul_f64(0.1 * random)
}

fn unhinted_poll(polls: Tries, pace: Pace) -> Duration {
    let most = (pace.at_full(polls.lasted) / 10).clamp(LONGEST_EARLY_POLL, WAITING.most);
    pace.of(WAITING.pause(polls.count).min(most))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn tries(count: u32) -> Tries {
        Tries {
            count,
            lasted: Duration::ZERO,
        }
    }

    fn seconds(delay: Delay) -> f64 {
        delay.expect("a delay").as_secs_f64()
    }

    #[test]
    fn a_poll_without_a_hint_grows_from_5_to_30_seconds() {
        let pace: Vec<f64> = (1..=5)
            .map(|n| {
                seconds(after_success(
                    Next::Poll { after: None },
                    tries(n),
                    NOW,
                    Pace::FULL,
                    0.0,
                ))
            })
            .collect();
        assert_eq!(pace, [5.0, 10.0, 20.0, 30.0, 30.0]);
    }

    #[test]
    fn transient_failures_double_to_five_minutes() {
        let pace: Vec<f64> = [1, 2, 3, 8, 9, 99]
            .iter()
            .map(|n| seconds(after_failure(&Class::Transient, tries(*n), Pace::FULL, 1.0)))
            .collect();
        assert_eq!(pace, [2.0, 4.0, 8.0, 256.0, 300.0, 300.0]);
    }

    #[test]
    fn denied_calls_are_repeated_soon_and_then_ever_more_slowly() {
        let pace: Vec<f64> = (1..=8)
            .map(|n| seconds(after_failure(&Class::Denied, tries(n), Pace::FULL, 0.0)))
            .collect();
        assert_eq!(pace, [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0]);
    }

    #[test]
    fn refused_calls_are_repeated_after_a_minute_and_at_last_every_hour() {
        let pace: Vec<f64> = [1, 2, 3, 6, 7, 99]
            .iter()
            .map(|n| seconds(after_failure(&Class::Terminal, tries(*n), Pace::FULL, 0.0)))
            .collect();
        assert_eq!(pace, [60.0, 120.0, 240.0, 1920.0, 3600.0, 3600.0]);
    }

    #[test]
    fn what_has_been_waited_for_in_vain_for_long_is_asked_for_more_slowly() {
        for (minutes, expected) in [(1, 30.0), (5, 30.0), (10, 60.0), (30, 180.0), (600, 300.0)] {
            let polls = Tries {
                count: 99,
                lasted: Duration::from_mins(minutes),
            };
            for delay in [
                after_success(Next::Poll { after: None }, polls, NOW, Pace::FULL, 0.0),
                after_failure(&Class::Waiting { after: None }, polls, Pace::FULL, 0.0),
            ] {
                assert!((seconds(delay) - expected).abs() < 1e-9, "{minutes} min: {delay:?}");
            }
        }
    }

    #[test]
    fn calls_that_the_api_server_refuses_are_repeated_after_one_to_sixty_seconds() {
        let pace: Vec<f64> = (1..=8)
            .map(|n| seconds(after_failure(&Class::Forbidden, tries(n), Pace::FULL, 0.0)))
            .collect();
        assert_eq!(pace, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }

    #[test]
    fn a_point_in_time_that_has_passed_is_due_now() {
        let past = Timestamp::from_second(-100).unwrap();
        assert_eq!(
            after_success(Next::At(past), tries(0), NOW, Pace::FULL, 0.0),
            Some(Duration::ZERO)
        );
        assert_eq!(
            after_success(
                Next::At(Timestamp::from_second(9).unwrap()),
                tries(0),
                NOW,
                Pace::FULL,
                0.0
            ),
            Some(Duration::from_secs(9))
        );
    }

    #[test]
    fn only_awaiting_a_change_sets_no_timer() {
        assert_eq!(after_success(Next::AwaitChange, tries(0), NOW, Pace::FULL, 0.5), None);
    }

    #[test]
    fn a_pace_shortens_what_the_operator_chooses_itself() {
        let pace: Pace = "0.1".parse().unwrap();
        let second = Duration::from_secs(1);
        for (next, expected) in [
            (Next::After(5 * second), 0.5),
            (Next::Poll { after: None }, 0.5),
            (Next::Resync(10 * second), 0.8),
            (Next::At(Timestamp::from_second(9).unwrap()), 9.0),
        ] {
            let delay = seconds(after_success(next, tries(1), NOW, pace, 0.0));
            assert!((delay - expected).abs() < 1e-9, "{next:?}: {delay}");
        }
        for (class, expected) in [
            (Class::Denied, 1.0),
            (Class::Waiting { after: None }, 0.5),
            (Class::Transient, 0.1),
            (Class::Throttled { after: 7 * second }, 7.0),
        ] {
            let delay = seconds(after_failure(&class, tries(1), pace, 0.0));
            assert!((delay - expected).abs() < 1e-9, "{class:?}: {delay}");
        }
    }

    #[test]
    fn the_first_looks_after_a_start_are_spread_over_the_whole_window() {
        let spread = Duration::from_secs(30);
        let offsets: Vec<_> = (0..1000).map(|n| start_offset(&format!("uid-{n}"), spread)).collect();
        assert!(offsets.iter().all(|offset| *offset < spread));
        for third in 0..3 {
            let inside = offsets.iter().filter(|o| o.as_secs() / 10 == third).count();
            assert!(inside > 200, "only {inside} of 1000 in third {third}");
        }
    }

    proptest! {
        #[test]
        fn nobody_is_asked_again_earlier_than_they_said_at_any_pace(
            hint in 0_u64..100_000, n in 0_u32..1000, pace in prop_oneof![Just("1"), Just("0.05")], random in 0.0..1.0,
        ) {
            let (hint, pace) = (Duration::from_secs(hint), pace.parse().unwrap());
            for delay in [
                after_success(Next::Poll { after: Some(hint) }, tries(n), NOW, pace, random),
                after_failure(&Class::Throttled { after: hint }, tries(n), pace, random),
                after_failure(&Class::Waiting { after: Some(hint) }, tries(n), pace, random),
            ] {
                prop_assert!(delay.unwrap() >= hint);
            }
        }

        #[test]
        fn a_failure_never_spins_and_never_sleeps_for_ever(n in 0_u32..u32::MAX, random in 0.0..1.0) {
            for class in [Class::Waiting { after: None }, Class::Conflict, Class::Transient, Class::Denied, Class::Forbidden, Class::Terminal, Class::Bug] {
                let delay = after_failure(&class, tries(n), Pace::FULL, random).unwrap();
                prop_assert!(delay >= Duration::from_millis(100), "{class:?}: {delay:?}");
                prop_assert!(delay <= Duration::from_mins(72), "{class:?}: {delay:?}");
            }
        }
    }
}
