//! What an account does next, and what is said of it meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::condition::{Reason, kind};
use crate::api::{ACCOUNT_FINALIZER, AzureAccount, RECONCILE_ANNOTATION};
use crate::azure::AzureError;
use crate::controller::accounts::{Check, Subscription};
use crate::controller::error::Error;
use crate::controller::readiness::Verdict;
use crate::runtime::conditions::find;
use crate::runtime::{Class, Failure, Next, ObjectId, Plan, finalizer};

use super::observe::{ObservedAccount, Opened};

/// How often an account that works is checked.
const CHECK_INTERVAL: Duration = Duration::from_mins(5);
/// For how long it is believed that an account works: less than the interval, so that no look is in vain.
const BELIEVED: Duration = Duration::from_secs(210);
/// The pause between two looks at who still needs an account that is being deleted. They tell when they go; the look is for
/// the case that nobody heard it.
const DEPARTURE_PACE: Duration = Duration::from_mins(1);

/// One effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStep {
    /// Tell those who use the account that it is another one.
    WakeUsers,
    /// Mark the account as in use.
    AddFinalizer,
    /// Nothing uses it any more.
    RemoveFinalizer,
    /// Ask Azure whether it works.
    Check,
}

/// What a status says of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountAssessment {
    /// Where the account stands; `None` while there is nothing new to say.
    pub verdict: Option<Verdict>,
    /// Display name of the subscription, as far as it is known.
    pub subscription_name: Option<String>,
}

/// Decides: the account is marked while it is in use, and is checked while it is not being deleted.
///
/// It is marked before it is checked, because an account that does not work may still be needed. After a check that failed it is
/// looked at every few seconds: that reads its Secret, and asks Azure only when the account was opened anew or the pause
/// after a refusal is over.
pub fn plan(object: &AzureAccount, observed: &ObservedAccount, now: Timestamp) -> Plan<AccountStep, AccountAssessment> {
    let account = observed.account.as_ref();
    let is_deleted = object.meta().deletion_timestamp.is_some();
    let step = match (observed.users.is_empty(), finalizer::has(object, ACCOUNT_FINALIZER)) {
        _ if account.is_ok_and(|it| it.is_anew) => Some(AccountStep::WakeUsers),
        (true, true) => Some(AccountStep::RemoveFinalizer),
        _ if is_deleted => None,
        (false, false) => Some(AccountStep::AddFinalizer),
        _ if account.is_ok_and(|it| is_due(object, it, now)) => Some(AccountStep::Check),
        (true | false, true | false) => None,
    };
    let known = object.status.as_ref().and_then(|it| it.subscription_name.clone());
    let (next, verdict, subscription_name) = if is_deleted {
        (Next::Resync(DEPARTURE_PACE), in_use(&observed.users), known)
    } else {
        match result(object, account, now) {
            None => (Next::Poll { after: None }, None, known),
            Some(Ok(subscription)) => {
                let (message, name) = works(subscription);
                let verdict = Verdict::ready(Reason::Available, message);
                (Next::Resync(CHECK_INTERVAL), Some(verdict), name)
            }
            Some(Err(failure)) => (retry(&failure), Verdict::of_failure(&failure, now), known),
        }
    };
    Plan {
        step,
        next,
        verdict: AccountAssessment {
            verdict,
            subscription_name,
        },
    }
}

/// The value of the annotation by which a check was asked for.
pub fn request(object: &AzureAccount) -> Option<&str> {
    object.annotations().get(RECONCILE_ANNOTATION).map(String::as_str)
}

/// Whether Azure is asked in this pass: once, if the last answer is no longer believed or somebody wants another one.
fn is_due(object: &AzureAccount, opened: &Opened, now: Timestamp) -> bool {
    let status = object.status.as_ref();
    let handled = status.and_then(|it| it.last_handled_reconcile_at.as_deref());
    let is_requested = request(object).is_some_and(|it| Some(it) != handled);
    !opened.is_checked_now && (is_requested || opened.checked.is_due(now, BELIEVED))
}

/// How the account's last check ended, or why there can be none; `None` if there was none yet.
fn result<'a>(
    object: &AzureAccount,
    account: Result<&'a Opened, &Error>,
    now: Timestamp,
) -> Option<Result<&'a Subscription, Failure>> {
    match account {
        Err(error) => Some(Err(Failure::of(error, now))),
        Ok(opened) => {
            let check = opened.checked.last()?;
            let result = check.result.as_ref();
            Some(result.map_err(|error| failure(object, check, error, now)))
        }
    }
}

fn failure(object: &AzureAccount, check: &Check, error: &AzureError, now: Timestamp) -> Failure {
    let failure = Failure {
        failures: check.failures,
        since: check.since,
        ..Failure::of(&Error::from(error.clone()), now)
    };
    if check.is_replicating && !was_refused(object) {
        replicating(failure)
    } else {
        failure
    }
}

/// Whether the account's status already says that its credential is not accepted: the operator was restarted since, and
/// begins no new wait.
fn was_refused(object: &AzureAccount) -> bool {
    let status = object.status.as_ref();
    let ready = status.and_then(|status| find(&status.conditions, kind::READY));
    let is_of_this_spec = status.and_then(|status| status.observed_generation) == object.metadata.generation;
    is_of_this_spec && ready.is_some_and(|ready| ready.reason == Reason::InvalidCredential.as_str())
}

/// A refusal that Entra ID may take back when it has learnt of what is new.
fn replicating(failure: Failure) -> Failure {
    let message = format!(
        "waiting for Entra ID, which needs up to some minutes until it knows a new identity or federated credential: {}",
        failure.message
    );
    Failure {
        class: Class::Waiting { after: None },
        reason: Reason::FederationPropagating.as_str().to_owned(),
        message,
        ..failure
    }
}

fn retry(failure: &Failure) -> Next {
    let after = match failure.class {
        Class::Throttled { after } => Some(after),
        Class::Waiting { after } => after,
        Class::Conflict | Class::Transient | Class::Denied | Class::Terminal | Class::Bug => None,
    };
    Next::Poll { after }
}

/// What is said of an account that works, and the name of its subscription.
fn works(subscription: &Subscription) -> (&'static str, Option<String>) {
    match subscription {
        Subscription::Visible { display_name } => (
            "a token was obtained and the subscription can be read",
            display_name.clone(),
        ),
        Subscription::Hidden => (
            "a token was obtained; the account may not read the subscription, as one that only runs commands need not",
            None,
        ),
    }
}

/// What is said of an account that is being deleted; nothing once nobody needs it.
fn in_use(users: &[ObjectId]) -> Option<Verdict> {
    let named = users.iter().take(10).map(|it| format!("{} {}", it.kind, it.key.name));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match users.len() {
        0 => return None,
        1..=10 => String::new(),
        more => format!(" and {} more", more - 10),
    };
    let message = format!("deleted once these are gone, which need it: {named}{more}");
    Some(Verdict::progressing(Reason::InUse, message))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use crate::api::AzureAccountStatus;
    use crate::azure::CredentialError;
    use crate::azure::credential::Rejection;
    use crate::controller::accounts::AccountError;
    use crate::controller::azure_account::status::summarize;
    use crate::runtime::{PassOutcome, Seen};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn after(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

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

    fn requested(value: &str) -> AzureAccount {
        let mut object = account(false, false);
        object.metadata.annotations = Some([(RECONCILE_ANNOTATION.to_owned(), value.to_owned())].into());
        object
    }

    fn rejected(rejection: Rejection) -> Result<Subscription, AzureError> {
        let (code, message) = ("AADSTS1".to_owned(), "m".to_owned());
        Err(CredentialError::Rejected {
            rejection,
            code,
            message,
        }
        .into())
    }

    fn unreachable() -> Result<Subscription, AzureError> {
        Err(AzureError::Unexpected {
            message: "m".to_owned(),
            request_id: None,
        })
    }

    fn checked(results: impl IntoIterator<Item = Result<Subscription, AzureError>>, is_federated: bool) -> Opened {
        let mut opened = Opened::default();
        for result in results {
            opened.checked.note(result, is_federated, NOW);
        }
        opened
    }

    fn observed(account: Result<Opened, AccountError>, is_used: bool) -> ObservedAccount {
        let user = ObjectId::new::<crate::api::SessionPool>("ns", "shell");
        ObservedAccount {
            account: account.map_err(Error::from),
            users: if is_used { vec![user] } else { Vec::new() },
        }
    }

    fn works_for(is_used: bool) -> ObservedAccount {
        observed(Ok(checked([Ok(Subscription::Hidden)], false)), is_used)
    }

    fn status(account: &AzureAccount, observed: &ObservedAccount) -> Option<AzureAccountStatus> {
        let plan = plan(account, observed, NOW);
        let seen = Seen {
            verdict: Some(&plan.verdict),
            observed: Some(observed),
            outcome: PassOutcome::Done(plan.next),
        };
        summarize(account, &seen, NOW)
    }

    fn reason(account: &AzureAccount, observed: &ObservedAccount) -> Option<String> {
        Some(status(account, observed)?.conditions[0].reason.clone())
    }

    #[test]
    fn an_account_is_marked_exactly_while_it_is_used() {
        for (is_used, is_marked, is_deleted, step) in [
            (true, false, false, Some(AccountStep::AddFinalizer)),
            (true, true, false, None),
            (false, true, false, Some(AccountStep::RemoveFinalizer)),
            (false, false, false, None),
            (true, true, true, None),
            (false, true, true, Some(AccountStep::RemoveFinalizer)),
            // What is being deleted takes no new finalizer.
            (true, false, true, None),
        ] {
            let plan = plan(&account(is_marked, is_deleted), &works_for(is_used), NOW);
            assert_eq!(
                plan.step, step,
                "used {is_used}, marked {is_marked}, deleted {is_deleted}"
            );
        }
    }

    #[test]
    fn an_account_that_cannot_be_opened_or_checked_is_marked_and_released_all_the_same() {
        let broken = || Err(AccountError::NoCredential);
        let unchecked = || Ok(Opened::default());
        for account_of in [broken as fn() -> Result<Opened, AccountError>, unchecked] {
            let marked = plan(&account(false, false), &observed(account_of(), true), NOW);
            assert_eq!(marked.step, Some(AccountStep::AddFinalizer));
            let released = plan(&account(true, true), &observed(account_of(), false), NOW);
            assert_eq!(released.step, Some(AccountStep::RemoveFinalizer));
        }
    }

    #[test]
    fn those_who_use_an_account_that_was_opened_anew_are_told_first() {
        let opened = Opened {
            is_anew: true,
            ..Opened::default()
        };
        let plan = plan(&account(false, false), &observed(Ok(opened), true), NOW);
        assert_eq!(plan.step, Some(AccountStep::WakeUsers));
    }

    #[test]
    fn azure_is_asked_when_its_last_answer_is_no_longer_believed() {
        let works = || checked([Ok(Subscription::Hidden)], false);
        let refused = || checked([rejected(Rejection::Secret)], false);
        for (opened, seconds, is_asked) in [
            (Opened::default(), 0, true),
            (works(), 209, false),
            (works(), 210, true),
            (refused(), 59, false),
            (refused(), 60, true),
            (checked([unreachable()], false), 1, true),
            // Entra ID may learn of it at any moment.
            (checked([rejected(Rejection::Federation)], true), 1, true),
        ] {
            let observed = observed(Ok(opened), false);
            let step = plan(&account(false, false), &observed, after(seconds)).step;
            assert_eq!(
                step == Some(AccountStep::Check),
                is_asked,
                "{observed:?} after {seconds} s"
            );
        }
    }

    #[test]
    fn one_pass_asks_once_whatever_the_answer() {
        for result in [Ok(Subscription::Hidden), unreachable(), rejected(Rejection::Federation)] {
            let opened = Opened {
                is_checked_now: true,
                ..checked([result], true)
            };
            assert_eq!(plan(&requested("1"), &observed(Ok(opened), false), NOW).step, None);
        }
    }

    #[test]
    fn a_new_value_of_the_annotation_asks_once_even_after_a_refusal() {
        for result in [Ok(Subscription::Hidden), rejected(Rejection::Secret)] {
            let mut object = requested("1");
            let known = observed(Ok(checked([result], false)), false);
            assert_eq!(plan(&object, &known, NOW).step, Some(AccountStep::Check));
            object.status = status(&object, &known);
            let handled = object
                .status
                .as_ref()
                .and_then(|it| it.last_handled_reconcile_at.as_deref());
            assert_eq!(handled, Some("1"));
            assert_eq!(plan(&object, &known, NOW).step, None);
            assert_eq!(status(&object, &known), object.status, "nothing changes any more");
        }
    }

    #[test]
    fn an_account_that_is_being_deleted_is_not_checked() {
        for is_marked in [true, false] {
            let observed = observed(Ok(Opened::default()), true);
            assert_eq!(plan(&account(is_marked, true), &observed, NOW).step, None);
        }
    }

    #[test]
    fn a_deleted_account_says_what_still_needs_it() {
        assert_eq!(reason(&account(true, true), &works_for(true)).as_deref(), Some("InUse"));
        assert_eq!(
            reason(&account(true, false), &works_for(true)).as_deref(),
            Some("Available")
        );
        assert_eq!(reason(&account(false, true), &works_for(false)), None);
    }

    #[test]
    fn the_name_of_the_subscription_is_kept_until_azure_says_something_else() {
        let display_name = Some("batch".to_owned());
        let visible = observed(Ok(checked([Ok(Subscription::Visible { display_name })], false)), false);
        let mut object = account(false, false);
        object.status = status(&object, &visible);
        let name = |object: &AzureAccount| object.status.as_ref().and_then(|it| it.subscription_name.clone());
        assert_eq!(name(&object).as_deref(), Some("batch"));
        object.status = status(&object, &observed(Err(AccountError::NoCredential), false));
        assert_eq!(name(&object).as_deref(), Some("batch"));
        object.status = status(&object, &works_for(false));
        assert_eq!(name(&object), None);
    }

    #[test]
    fn a_check_that_fails_is_repeated_soon_and_one_hiccup_is_not_told() {
        let refused = observed(Ok(checked([rejected(Rejection::Secret)], false)), false);
        assert_eq!(
            plan(&account(false, false), &refused, NOW).next,
            Next::Poll { after: None }
        );
        let failing = |times| {
            observed(
                Ok(checked(std::iter::repeat_with(unreachable).take(times), false)),
                false,
            )
        };
        assert_eq!(reason(&account(false, false), &failing(1)), None);
        let told = reason(&account(false, false), &failing(3));
        assert_eq!(told.as_deref(), Some("Unavailable"));
    }

    #[test]
    fn a_new_federated_credential_is_waited_for_unless_it_was_refused_before() {
        let replicating = observed(Ok(checked([rejected(Rejection::Federation)], true)), false);
        let mut object = account(false, false);
        let told = reason(&object, &replicating);
        assert_eq!(told.as_deref(), Some("FederationPropagating"));
        let refused = observed(Ok(checked([rejected(Rejection::Secret)], false)), false);
        object.status = status(&object, &refused);
        let told = reason(&object, &replicating);
        assert_eq!(told.as_deref(), Some("InvalidCredential"));
    }
}
