//! Whether an account works, and for how long an answer to that is believed.

use std::time::Duration;

use jiff::Timestamp;

use crate::azure::AzureError;
use crate::controller::azure_error::class_of;
use crate::runtime::Class;

/// A refused credential is left alone for so long, doubled each time …
const FIRST_REFUSAL: Duration = Duration::from_mins(1);
/// … up to this.
const LONGEST_REFUSAL: Duration = Duration::from_mins(10);
/// For how long Entra ID is given to learn of a new identity or federated credential. "Important considerations and
/// restrictions for federated identity credentials" speaks of a moment, and reports of up to some minutes.
pub const REPLICATION: Duration = Duration::from_mins(5);

/// How a check of an account ended.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it was made.
    pub at: Timestamp,
    /// How it ended.
    pub result: Result<Subscription, AzureError>,
    /// How many checks in a row failed, this one included.
    pub failures: u32,
    /// When the first of these was made.
    pub since: Timestamp,
    /// Whether it failed only because Entra ID may not know a new identity or federated credential yet.
    pub is_replicating: bool,
}

/// What Azure says of an account's subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// The account may read it.
    Visible {
        /// Its display name.
        display_name: Option<String>,
    },
    /// Azure knows who the account is, and the account may read nothing of the subscription: as it is with one that may
    /// run commands in a pool and do nothing else.
    Hidden,
}

/// How the checks of an account ended so far.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    last: Option<Check>,
}

impl Checked {
    /// How the last check ended.
    pub fn last(&self) -> Option<&Check> {
        self.last.as_ref()
    }

    /// Whether it is time for another check. That an account works is believed for `max_age`.
    ///
    /// A refused credential is not tried again for one minute, then two, at most ten, since nothing but a change of it, which
    /// opens the account anew, or a delay of Azure's can cure it. Only what may be such a delay is tried again at once for some
    /// minutes.
    pub fn is_due(&self, now: Timestamp, max_age: Duration) -> bool {
        let Some(last) = &self.last else { return true };
        let keep = match &last.result {
            Ok(_) => max_age,
            Err(_) if last.is_replicating => Duration::ZERO,
            Err(error) if class_of(error) == Class::Denied => {
                LONGEST_REFUSAL.min(FIRST_REFUSAL.saturating_mul(1 << (last.failures.max(1) - 1).min(8)))
            }
            Err(_) => Duration::ZERO,
        };
        age(last.at, now) >= keep
    }

    /// Notes how a check ended. `is_federated`: the account is known to Entra ID by a federated credential, which may be new.
    pub fn note(&mut self, result: Result<Subscription, AzureError>, is_federated: bool, now: Timestamp) -> &Check {
        let may_pass = is_federated && result.as_ref().is_err_and(may_be_replication);
        // What was waited for before, such as a ServiceAccount, is no reason to be impatient now.
        let before = self.last.as_ref().filter(|before| {
            let was_the_same = before.result.as_ref().is_err_and(may_be_replication) == may_pass;
            before.failures > 0 && result.is_err() && (was_the_same || !is_federated)
        });
        let since = before.map_or(now, |before| before.since);
        let failures = u32::from(result.is_err()) + before.map_or(0, |before| before.failures);
        self.last.insert(Check {
            at: now,
            failures,
            since,
            is_replicating: may_pass && age(since, now) < REPLICATION,
            result,
        })
    }
}

fn may_be_replication(error: &AzureError) -> bool {
    matches!(error, AzureError::Credential(error) if error.may_be_replication())
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::azure::CredentialError;
    use crate::azure::ErrorClass;
    use crate::azure::credential::Rejection;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn rejected(rejection: Rejection) -> Result<Subscription, AzureError> {
        let code = "AADSTS1".to_owned();
        let message = "m".to_owned();
        Err(CredentialError::Rejected {
            rejection,
            code,
            message,
        }
        .into())
    }

    fn without_service_account() -> Result<Subscription, AzureError> {
        let message = "m".to_owned();
        let class = ErrorClass::Waiting;
        Err(CredentialError::Assertion { class, message }.into())
    }

    #[test]
    fn a_new_federated_credential_is_given_some_minutes_and_is_then_refused() {
        for rejection in [Rejection::Federation, Rejection::UnknownApplication] {
            let mut checked = Checked::default();
            for (second, is_replicating) in [(0, true), (5, true), (299, true), (300, false), (400, false)] {
                let check = checked.note(rejected(rejection), true, at(second));
                assert_eq!(check.is_replicating, is_replicating, "{rejection:?} at {second}");
                let is_asked_again_at_once = checked.is_due(at(second + 1), Duration::ZERO);
                assert_eq!(is_asked_again_at_once, is_replicating, "{rejection:?} at {second}");
            }
        }
    }

    #[test]
    fn what_is_wrong_in_itself_is_not_waited_for() {
        let mut checked = Checked::default();
        assert!(!checked.note(rejected(Rejection::Secret), true, at(0)).is_replicating);
        let mut checked = Checked::default();
        let check = checked.note(rejected(Rejection::UnknownApplication), false, at(0));
        assert!(
            !check.is_replicating,
            "an application with a secret was registered long ago"
        );
    }

    #[test]
    fn the_minutes_begin_when_entra_is_first_asked() {
        let mut checked = Checked::default();
        checked.note(without_service_account(), true, at(0));
        checked.note(without_service_account(), true, at(1000));
        let check = checked.note(rejected(Rejection::Federation), true, at(1005));
        assert!(check.is_replicating);
        assert_eq!((check.failures, check.since), (1, at(1005)));
    }

    #[test]
    fn a_refusal_is_believed_for_longer_each_time() {
        let mut checked = Checked::default();
        for (minute, believed) in [(0, 1), (1, 2), (3, 4), (7, 8), (15, 10), (25, 10)] {
            checked.note(rejected(Rejection::Secret), false, at(60 * minute));
            let last_second = at(60 * (minute + believed) - 1);
            assert!(!checked.is_due(last_second, Duration::ZERO), "minute {minute}");
            assert!(checked.is_due(last_second + SignedDuration::from_secs(1), Duration::ZERO));
        }
    }
}
