//! What an account does next, and what is said of it meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use crate::api::condition::{Reason, kind};
use crate::api::{ACCOUNT_FINALIZER, AzureAccount, RECONCILE_ANNOTATION};
use crate::azure::AzureError;
use crate::controller::accounts::{AccountError, Check, Subscription};
use crate::controller::azure_resource::listed;
use crate::controller::error::Error;
use crate::controller::readiness::Verdict;
use crate::controller::waiting::Waiting;
use crate::runtime::conditions::find;
use crate::runtime::{Class, Failure, Next, ObjectId, Plan, Waited, finalizer};

use super::conditions;
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
pub fn plan(
    object: &AzureAccount,
    observed: &ObservedAccount,
    waited: &Waited,
    now: Timestamp,
) -> Plan<AccountStep, AccountAssessment> {
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
            Some(Err(failure)) => (
                retry(&failure),
                waiting(object, waited, now).of_failure(&failure),
                known,
            ),
        }
    };
    Plan {
        step,
        next,
        verdict: AccountAssessment {
            verdict: verdict.map(|it| waiting(object, waited, now).judge(it)),
            subscription_name,
        },
    }
}

/// What a verdict on an account depends on besides.
pub fn waiting<'a>(object: &'a AzureAccount, waited: &'a Waited, now: Timestamp) -> Waiting<'a> {
    Waiting {
        conditions: conditions(object),
        generation: object.meta().generation,
        waited,
        now,
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
        Err(error) => {
            let since = match error {
                Error::Account(AccountError::Unreadable { since, .. }) => *since,
                _ => now,
            };
            let failure = Failure::of(error, now);
            Some(Err(Failure { since, ..failure }))
        }
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
        "waiting for Entra ID, which can take some minutes to know a new identity or federated credential: {}",
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
        Class::Conflict | Class::Transient | Class::Denied | Class::Forbidden | Class::Terminal | Class::Bug => None,
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
            "a token was obtained; the account may not read the subscription, which running commands does not need",
            None,
        ),
    }
}

/// What is said of an account that is being deleted; nothing once nobody needs it.
fn in_use(users: &[ObjectId]) -> Option<Verdict> {
    let names: Vec<String> = users.iter().map(|it| format!("{} {}", it.kind, it.key.name)).collect();
    let message = format!(
        "the account is deleted once these objects, which use it, are gone: {}",
        listed(&names)
    );
    (!users.is_empty()).then(|| Verdict::progressing(Reason::InUse, message))
}

#[cfg(test)]
mod tests;
