//! `meta/v1` conditions, merged so that computing them again changes nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message that is kept; `meta/v1` allows 32 768 bytes, but every byte is in every copy of the object.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It is not known whether the condition holds.
    Unknown,
}

impl Truth {
    /// As it is spelled in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What setting a condition changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Unchanged,
    /// Reason, message or generation.
    Updated,
    /// The status flipped, or the condition is new.
    Transitioned,
}

/// The conditions of one object while a new status is computed.
///
/// `lastTransitionTime` is kept unless the status flips, so that setting everything again to what it was yields equal
/// conditions whatever the clock says.
#[derive(Debug, Clone)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions {
    /// Starts from the previous conditions. `generation` becomes the `observedGeneration` of those that are set.
    pub fn from_previous(previous: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        // The API has whole seconds: with fractions a fresh time would differ from itself once stored.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            list: previous.to_vec(),
            generation,
            now,
        }
    }

    /// Sets a condition. The message is cut to 4096 bytes.
    pub fn set(&mut self, type_: &str, status: Truth, reason: &str, message: &str) -> Change {
        let found = self.list.iter().position(|condition| condition.type_ == type_);
        let before = found.map(|index| self.list[index].clone());
        let same_status = before.as_ref().filter(|before| before.status == status.as_str());
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.to_owned(),
            message: shortened(message, MAX_MESSAGE_BYTES).to_owned(),
            observed_generation: self.generation,
            last_transition_time: same_status.map_or(Time(self.now), |before| before.last_transition_time.clone()),
        };
        let change = match (&before, same_status.is_some()) {
            (Some(before), _) if *before == condition => Change::Unchanged,
            (Some(_), true) => Change::Updated,
            _ => Change::Transitioned,
        };
        match found {
            Some(index) => self.list[index] = condition,
            None => self.list.push(condition),
        }
        change
    }

    /// Sets the condition to true, or removes it: for those that exist only while they hold (`Reconciling`, `Stalled`).
    pub fn set_while(&mut self, type_: &str, holds: Option<(&str, &str)>) -> Change {
        match holds {
            Some((reason, message)) => self.set(type_, Truth::True, reason, message),
            None => self.remove(type_),
        }
    }

    /// Removes a condition.
    pub fn remove(&mut self, type_: &str) -> Change {
        let before = self.list.len();
        self.list.retain(|condition| condition.type_ != type_);
        if self.list.len() == before {
            Change::Unchanged
        } else {
            Change::Transitioned
        }
    }

    /// The condition of this type, as it is now.
    pub fn get(&self, type_: &str) -> Option<&Condition> {
        find(&self.list, type_)
    }

    /// The new list, in the order in which the conditions first appeared.
    pub fn into_vec(self) -> Vec<Condition> {
        self.list
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The condition of a type after a status write, if its status or reason is not what it was before: what an event is
/// published for.
pub fn transitioned<'a>(before: &[Condition], after: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    let new = find(after, type_)?;
    let same = find(before, type_).is_some_and(|old| old.status == new.status && old.reason == new.reason);
    (!same).then_some(new)
}

/// The beginning of `text`, at most `bytes` long, cut between characters.
pub fn shortened(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(previous: &[Condition], status: Truth, reason: &str, now: i64) -> (Change, Vec<Condition>) {
        let mut conditions = Conditions::from_previous(previous, Some(1), at(now));
        let change = conditions.set("Ready", status, reason, "m");
        (change, conditions.into_vec())
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let (change, first) = ready(&[], Truth::False, "Creating", 10);
        assert_eq!(change, Change::Transitioned);
        let (change, second) = ready(&first, Truth::False, "Updating", 20);
        assert_eq!(change, Change::Updated);
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        let (change, third) = ready(&second, Truth::True, "Ready", 30);
        assert_eq!(change, Change::Transitioned);
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_condition_that_holds_no_longer_is_absent() {
        let mut conditions = Conditions::from_previous(&[], Some(1), at(1));
        conditions.set_while("Stalled", Some(("Rejected", "no")));
        assert_eq!(find(&conditions.clone().into_vec(), "Stalled").unwrap().status, "True");
        assert_eq!(conditions.set_while("Stalled", None), Change::Transitioned);
        assert_eq!(conditions.set_while("Stalled", None), Change::Unchanged);
        assert!(conditions.into_vec().is_empty());
    }

    #[test]
    fn conditions_of_other_writers_stay() {
        let (_, foreign) = ready(&[], Truth::True, "R", 1);
        let mut conditions = Conditions::from_previous(&foreign, Some(9), at(5));
        conditions.set("Synced", Truth::True, "S", "");
        let list = conditions.into_vec();
        assert_eq!(find(&list, "Ready"), Some(&foreign[0]));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn an_event_is_due_when_status_or_reason_changed_but_not_for_another_message() {
        let (_, before) = ready(&[], Truth::False, "Waiting", 1);
        let (_, other_reason) = ready(&before, Truth::False, "Rejected", 2);
        assert!(transitioned(&before, &other_reason, "Ready").is_some());
        let mut conditions = Conditions::from_previous(&before, Some(1), at(2));
        conditions.set("Ready", Truth::False, "Waiting", "another message");
        assert!(transitioned(&before, &conditions.into_vec(), "Ready").is_none());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut conditions = Conditions::from_previous(&[], None, at(1));
        conditions.set("Ready", Truth::False, "R", &"ä".repeat(4000));
        let message = &conditions.get("Ready").unwrap().message;
        assert_eq!(message.len(), 4096);
    }

    fn truth() -> impl Strategy<Value = Truth> {
        prop_oneof![Just(Truth::True), Just(Truth::False), Just(Truth::Unknown)]
    }

    proptest! {
        #[test]
        fn setting_the_same_again_later_changes_nothing_even_through_json(
            settings in proptest::collection::vec(("[A-C]", truth(), "[A-Z][a-z]{0,8}", ".{0,40}"), 0..6),
            first in 0_i64..4_000_000_000, later in 0_i64..4_000_000_000, nanos in 0_i32..1_000_000_000,
        ) {
            let apply = |previous: &[Condition], now: i64| {
                let mut conditions = Conditions::from_previous(previous, Some(3), Timestamp::new(now, nanos).unwrap());
                let settings: std::collections::BTreeMap<_, _> =
                    settings.iter().map(|(t, s, r, m)| (t, (s, r, m))).collect();
                for (type_, (status, reason, message)) in settings {
                    conditions.set(type_, *status, reason, message);
                }
                conditions.into_vec()
            };
            let once = apply(&[], first);
            let stored: Vec<Condition> = serde_json::from_value(serde_json::to_value(&once).unwrap()).unwrap();
            prop_assert_eq!(&stored, &once);
            prop_assert_eq!(apply(&stored, later), once);
        }
    }
}
