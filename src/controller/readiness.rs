//! The conditions `Ready`, `Reconciling` and `Stalled` of every kind, as kstatus reads them.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{Reason, kind};
use crate::runtime::conditions::{Conditions, Truth, find, transitioned};
use crate::runtime::{Class, Failure, Note, Severity};

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be used.
    Ready,
    /// It is not ready and something is under way or waited for: it becomes ready by itself.
    Progressing,
    /// It is not ready and stays so until somebody acts.
    Stalled,
    /// It is not ready because its author wants it so.
    Resting,
    /// It cannot be told whether it is ready; it is tried again.
    Unknown,
}

/// Where an object stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Where it stands.
    pub standing: Standing,
    /// Why, as one word of the closed list.
    pub reason: Reason,
    /// Why, for people. The same text for the same cause; never a secret.
    pub message: String,
}

impl Verdict {
    /// A verdict.
    pub fn new(standing: Standing, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            standing,
            reason,
            message: message.into(),
        }
    }

    /// The object may be used.
    pub fn ready(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Standing::Ready, reason, message)
    }

    /// Something is under way or waited for.
    pub fn progressing(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Standing::Progressing, reason, message)
    }

    /// Somebody has to act.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Standing::Stalled, reason, message)
    }

    /// The reason whose duration counts; `None` for an object that is as its author wants it.
    pub fn reason_of_wait(&self) -> Option<Cow<'static, str>> {
        match self.standing {
            Standing::Ready | Standing::Resting => None,
            Standing::Progressing | Standing::Stalled | Standing::Unknown => Some(self.reason.as_str().into()),
        }
    }

    /// The verdict on a failed pass; `None` while the failure is not worth telling.
    pub fn of_failure(failure: &Failure, now: Timestamp) -> Option<Self> {
        if !failure.is_worth_reporting(now) {
            return None;
        }
        let named = Reason::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == failure.reason);
        let (standing, reason) = match failure.class {
            Class::Transient | Class::Throttled { .. } | Class::Conflict => (Standing::Unknown, Reason::Unavailable),
            Class::Waiting { .. } => (Standing::Progressing, named.unwrap_or(Reason::Pending)),
            Class::Denied => (Standing::Stalled, named.unwrap_or(Reason::Unauthorized)),
            Class::Forbidden => (Standing::Stalled, Reason::Forbidden),
            Class::Terminal => (Standing::Stalled, named.unwrap_or(Reason::Rejected)),
            Class::Bug => (Standing::Stalled, Reason::InternalError),
        };
        Some(Self::new(standing, reason, failure.message.clone()))
    }

    /// The conditions that say so. Those that others wrote are kept.
    pub fn conditions(&self, previous: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
        let reason = self.reason.as_str();
        let known = find(previous, kind::READY);
        // The network fails in many words. Were each of them a new status, each would also cause another pass.
        let message = match known {
            Some(known) if self.standing == Standing::Unknown && known.reason == reason => known.message.clone(),
            _ => self.message.clone(),
        };
        let because = Some((reason, message.as_str()));
        let (ready, reconciling, stalled) = match self.standing {
            Standing::Ready => (Truth::True, None, None),
            Standing::Progressing => (Truth::False, because, None),
            Standing::Stalled => (Truth::False, None, because),
            Standing::Resting => (Truth::False, None, None),
            Standing::Unknown => (Truth::Unknown, because, None),
        };
        let mut conditions = Conditions::from_previous(previous, generation, now);
        conditions.set(kind::READY, ready, reason, &message);
        conditions.set_while(kind::RECONCILING, reconciling);
        conditions.set_while(kind::STALLED, stalled);
        conditions.into_vec()
    }
}

/// The event for a status that was just written: one when `Ready` has another status or reason than before.
pub fn notes(before: &[Condition], after: &[Condition]) -> Vec<Note> {
    let Some(ready) = transitioned(before, after, kind::READY) else {
        return Vec::new();
    };
    let alarming = find(after, kind::STALLED).is_some() || ready.status == "Unknown";
    vec![Note {
        severity: if alarming { Severity::Warning } else { Severity::Normal },
        reason: ready.reason.clone().into(),
        action: "Reconcile".into(),
        message: ready.message.clone(),
    }]
}

/// Whether the conditions say that the object may be used, at this generation.
pub fn is_ready(conditions: &[Condition], generation: Option<i64>) -> bool {
    find(conditions, kind::READY).is_some_and(|ready| ready.status == "True" && ready.observed_generation == generation)
}

/// Whether Azure has the resource and it can be used, be it as the spec says or not; `None` where nobody has said.
pub fn is_provisioned(conditions: &[Condition]) -> Option<bool> {
    find(conditions, kind::PROVISIONED).map(|provisioned| provisioned.status == "True")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standings() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::Ready),
            Just(Standing::Progressing),
            Just(Standing::Stalled),
            Just(Standing::Resting),
            Just(Standing::Unknown),
        ]
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn reconciling_and_stalled_are_there_only_while_true() {
        for (standing, expected) in [
            (Standing::Ready, vec![("Ready", "True")]),
            (Standing::Progressing, vec![("Ready", "False"), ("Reconciling", "True")]),
            (Standing::Stalled, vec![("Ready", "False"), ("Stalled", "True")]),
            (Standing::Resting, vec![("Ready", "False")]),
            (Standing::Unknown, vec![("Ready", "Unknown"), ("Reconciling", "True")]),
        ] {
            let before = Verdict::stalled(Reason::Rejected, "no").conditions(&[], Some(1), at(1));
            let conditions = Verdict::new(standing, Reason::Pending, "m").conditions(&before, Some(1), at(2));
            let mut found: Vec<_> = conditions
                .iter()
                .map(|c| (c.type_.as_str(), c.status.as_str()))
                .collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{standing:?}");
        }
    }

    #[test]
    fn a_network_that_fails_in_many_words_is_told_once() {
        let first = Verdict::new(Standing::Unknown, Reason::Unavailable, "reset").conditions(&[], Some(1), at(1));
        let second = Verdict::new(Standing::Unknown, Reason::Unavailable, "refused").conditions(&first, Some(1), at(9));
        assert_eq!(first, second);
    }

    proptest! {
        #[test]
        fn the_same_verdict_again_changes_nothing(
            before in standings(), standing in standings(), generation in 1_i64..9, later in 0_i64..1000,
        ) {
            let start = Verdict::new(before, Reason::Pending, "a").conditions(&[], Some(1), at(1));
            let verdict = Verdict::new(standing, Reason::Creating, "b");
            let once = verdict.conditions(&start, Some(generation), at(10));
            prop_assert_eq!(verdict.conditions(&once, Some(generation), at(10 + later)), once);
        }
    }
}
