//! What an account does next.

use std::time::Duration;

use jiff::Timestamp;
use kube::Resource;

use crate::api::{ACCOUNT_FINALIZER, AzureAccount};
use crate::runtime::{Class, Next, Plan, finalizer};

use super::CHECK_INTERVAL;
use super::observe::Observed;

/// One effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Mark the account as in use.
    AddFinalizer,
    /// Nothing uses it any more.
    RemoveFinalizer,
}

/// Decides: the account is marked while it is in use, and otherwise only checked.
///
/// A check that failed is repeated every few seconds: that reads the Secret, and asks Azure only if the Secret changed
/// or the pause after a refusal is over.
pub fn plan(object: &AzureAccount, observed: &Observed, _now: Timestamp) -> Plan<Step> {
    let next = match &observed.check {
        Ok(_) => Next::Resync(CHECK_INTERVAL),
        Err(failure) => match failure.class {
            Class::Throttled { after } => Next::Poll { after: Some(after) },
            Class::Waiting { after } => Next::Poll { after },
            Class::Conflict | Class::Transient | Class::Denied | Class::Terminal | Class::Bug => {
                Next::Poll { after: None }
            }
        },
    };
    let is_marked = finalizer::has(object, ACCOUNT_FINALIZER);
    let is_deleted = object.meta().deletion_timestamp.is_some();
    match (observed.users.is_empty(), is_marked) {
        (false, false) if !is_deleted => Plan::step(Step::AddFinalizer, next),
        (true, true) => Plan::step(Step::RemoveFinalizer, next),
        // Users tell when they go; the look in between is for the case that nobody heard it.
        (false, true) if is_deleted => Plan::rest(Next::Resync(Duration::from_mins(1))),
        (true | false, true | false) => Plan::rest(next),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use crate::controller::accounts::Subscription;
    use crate::controller::azure_account::status::summarize;
    use crate::runtime::ObjectId;
    use crate::runtime::{Failure, Outcome, Seen};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn account(is_marked: bool, is_deleted: bool) -> AzureAccount {
        let mut account: AzureAccount = serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "AzureAccount", "metadata": {"name": "default", "generation": 1},
            "spec": {"tenantId": "t", "subscriptionId": "s", "credential": {}},
        }))
        .unwrap();
        account.metadata.finalizers = is_marked.then(|| vec![ACCOUNT_FINALIZER.to_owned()]);
        account.metadata.deletion_timestamp = is_deleted.then_some(Time(NOW));
        account
    }

    fn observed(is_used: bool) -> Observed {
        let user = ObjectId::new::<crate::api::SessionPool>("ns", "shell");
        Observed {
            check: Ok(Subscription::Hidden),
            users: if is_used { vec![user] } else { Vec::new() },
        }
    }

    fn failing(class: Class, failures: u32) -> Observed {
        let reason = "Unavailable".to_owned();
        let failure = Failure {
            class,
            reason,
            message: "m".to_owned(),
            failures,
            since: NOW,
        };
        Observed {
            check: Err(failure),
            users: Vec::new(),
        }
    }

    fn reason(account: &AzureAccount, observed: &Observed) -> Option<String> {
        let outcome = Outcome::Done(crate::runtime::Next::AwaitChange);
        let seen = Seen {
            verdict: None,
            observed: Some(observed),
            outcome,
        };
        Some(summarize(account, &seen, NOW)?.conditions[0].reason.clone())
    }

    #[test]
    fn an_account_is_marked_exactly_while_it_is_used() {
        for (is_used, is_marked, is_deleted, step) in [
            (true, false, false, Some(Step::AddFinalizer)),
            (true, true, false, None),
            (false, true, false, Some(Step::RemoveFinalizer)),
            (false, false, false, None),
            (true, true, true, None),
            (false, true, true, Some(Step::RemoveFinalizer)),
            // What is being deleted takes no new finalizer.
            (true, false, true, None),
        ] {
            let plan = plan(&account(is_marked, is_deleted), &observed(is_used), NOW);
            assert_eq!(
                plan.step, step,
                "used {is_used}, marked {is_marked}, deleted {is_deleted}"
            );
        }
    }

    #[test]
    fn a_deleted_account_says_what_still_needs_it() {
        assert_eq!(reason(&account(true, true), &observed(true)).as_deref(), Some("InUse"));
        assert_eq!(
            reason(&account(true, false), &observed(true)).as_deref(),
            Some("Available")
        );
        assert_eq!(reason(&account(false, true), &observed(false)), None);
    }

    #[test]
    fn a_check_that_fails_is_repeated_soon_and_one_hiccup_is_not_told() {
        let next = plan(&account(false, false), &failing(Class::Denied, 1), NOW).next;
        assert_eq!(next, Next::Poll { after: None });
        assert_eq!(reason(&account(false, false), &failing(Class::Transient, 1)), None);
        let told = reason(&account(false, false), &failing(Class::Transient, 3));
        assert_eq!(told.as_deref(), Some("Unavailable"));
    }
}
