//! Durations as Kubernetes users write them: `10m`, `1h30m`, `1s`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A duration in Go's notation (`h`, `m`, `s`, `ms`), as in other Kubernetes APIs. Stored as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Interval(pub String);

impl JsonSchema for Interval {
    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": r"self.matches(r'^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s')",
                "message": "must be a duration of at least 1s, such as 10m or 1h30m",
            }],
        })
    }
}

impl Interval {
    /// The length; `None` if the text is not in Go's notation (a rule of the definitions refuses such text).
    pub fn duration(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        if rest.is_empty() {
            return None;
        }
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..digits].parse().ok()?;
            let (unit, seconds) = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
                .into_iter()
                .find(|(unit, _)| rest[digits..].starts_with(unit))?;
            total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
            rest = &rest[digits + unit.len()..];
        }
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_understood() {
        for (text, milliseconds) in [
            ("1s", 1000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1500),
            ("250ms", 250),
        ] {
            assert_eq!(
                Interval(text.into()).duration(),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "10", "m", "1d", "1s ", "-1s", "1..5s", "99999999999999999999h"] {
            assert_eq!(Interval(text.into()).duration(), None, "{text}");
        }
    }
}
