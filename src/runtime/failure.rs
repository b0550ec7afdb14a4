//! A failed pass, in the words of a condition and of the log.

use jiff::Timestamp;

use super::{
    backoff::Streak,
    error::{Class, Classify},
    requeue::Tries,
};

/// A failure in the words of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it asks of the controller.
    pub class: Class,
    /// The reason of a condition.
    pub reason: String,
    /// The message of a condition.
    pub message: String,
    /// How many passes over this object failed, or waited, in a row, this one included. Zero while throttled.
    pub failures: u32,
    /// When the first of them failed.
    pub since: Timestamp,
}

impl Failure {
    /// The failure that `error` is; not yet counted.
    pub fn of<E: Classify>(error: &E, now: Timestamp) -> Self {
        Self {
            class: error.class(),
            reason: error.reason().into_owned(),
            message: error.message(),
            failures: 0,
            since: now,
        }
    }

    /// The passes that failed in a row, as seen now.
    pub fn tries(&self, now: Timestamp) -> Tries {
        let (count, since) = (self.failures, self.since);
        Streak { count, since }.tries(now)
    }

    /// Whether a user should be told. A single hiccup of a connection is not worth a condition; three in a row, or one
    /// minute of them, are. An API server that was just started refuses for longer than three tries take.
    pub fn is_worth_reporting(&self, now: Timestamp) -> bool {
        let lasts = now.duration_since(self.since).as_secs() >= 60;
        match self.class {
            Class::Throttled { .. } | Class::Conflict => false,
            Class::Waiting { .. } | Class::Denied | Class::Terminal | Class::Bug => true,
            Class::Transient => self.failures >= 3 || lasts,
            Class::Forbidden => lasts,
        }
    }

    /// A failure that has no error of its own.
    pub(super) fn new(class: Class, reason: &str, message: &str) -> Self {
        Self {
            class,
            reason: reason.into(),
            message: message.into(),
            failures: 0,
            since: Timestamp::now(),
        }
    }

    /// Logs it as loudly as its class deserves: once it is worth a transition of the status, that is logged as such.
    pub(super) fn log(&self, event: &'static str) {
        let Failure {
            class,
            reason,
            message,
            failures,
            ..
        } = self;
        let class = class.as_str();
        match self.class {
            Class::Throttled { .. } | Class::Waiting { .. } | Class::Conflict => {
                tracing::debug!(class, reason, message, "{event}");
            }
            Class::Transient | Class::Forbidden if *failures < 3 => {
                tracing::info!(class, reason, message, failures, "{event}");
            }
            Class::Transient | Class::Denied | Class::Forbidden | Class::Terminal => {
                tracing::warn!(class, reason, message, failures, "{event}");
            }
            Class::Bug => tracing::error!(class, reason, message, failures, "{event}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failure(class: Class, failures: u32) -> Failure {
        Failure {
            class,
            reason: "R".into(),
            message: "m".into(),
            failures,
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_single_hiccup_is_not_reported_and_the_third_is() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(!failure(Class::Transient, 1).is_worth_reporting(now));
        assert!(failure(Class::Transient, 3).is_worth_reporting(now));
        assert!(failure(Class::Transient, 1).is_worth_reporting(Timestamp::from_second(60).unwrap()));
    }

    #[test]
    fn a_refusal_of_the_api_server_is_reported_once_it_has_lasted_a_minute() {
        let refused = failure(Class::Forbidden, 9);
        assert!(!refused.is_worth_reporting(Timestamp::from_second(59).unwrap()));
        assert!(refused.is_worth_reporting(Timestamp::from_second(60).unwrap()));
    }

    #[test]
    fn throttling_and_conflicts_are_never_reported() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert!(!failure(Class::Conflict, 99).is_worth_reporting(now));
        assert!(!failure(Class::Throttled { after: Duration::ZERO }, 99).is_worth_reporting(now));
        assert!(failure(Class::Denied, 1).is_worth_reporting(now));
    }
}
