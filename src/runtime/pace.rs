//! How fast the operator goes where nobody but itself says how fast.

use std::{str::FromStr, time::Duration};

/// A factor for the pauses that the operator makes by its own choice: between two looks, before a repetition, after its
/// start. It is 1 wherever the operator works; tests make it smaller, so that they do not wait for what they are not about.
///
/// What others ask for (`Retry-After`, a point in time) and what is promised or limited (deadlines, the latest moment of a
/// start, the life of a token) is never scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

/// Why a text is no pace.
#[derive(Debug, thiserror::Error)]
#[error("it must be a number above 0, at most 1")]
pub struct PaceError;

impl Pace {
    /// As in production.
    pub const FULL: Self = Self(1.0);

    /// A pause at this pace.
    #[must_use]
    pub fn of(self, pause: Duration) -> Duration {
        pause.mul_f64(self.0)
    }

    /// How long at full pace is what took so long at this one.
    #[must_use]
    pub fn at_full(self, pause: Duration) -> Duration {
        pause.div_f64(self.0)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::FULL
    }
}

impl FromStr for Pace {
    type Err = PaceError;

    fn from_str(text: &str) -> Result<Self, PaceError> {
        let factor: f64 = text.parse().map_err(|_| PaceError)?;
        (factor > 0.0 && factor <= 1.0).then_some(Self(factor)).ok_or(PaceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_only_shortens_pauses() {
        let second = Duration::from_secs(1);
        for (text, pause) in [
            ("1", Some(second)),
            ("0.05", Some(second / 20)),
            ("0", None),
            ("1.1", None),
            ("-1", None),
            ("NaN", None),
            ("", None),
        ] {
            let found = text.parse::<Pace>().ok().map(|pace| pace.of(second));
            assert_eq!(found, pause, "{text}");
        }
    }
}
