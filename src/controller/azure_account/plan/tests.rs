//! When an account is marked, released and checked, and what is said of it.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::api::AzureAccountStatus;
use crate::azure::CredentialError;
use crate::azure::credential::Rejection;
use crate::controller::accounts::AccountError;
use crate::controller::azure_account::status::summarize;
use crate::runtime::{PassOutcome, Seen, Waited};

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
    let plan = plan(account, observed, &Waited::default(), NOW);
    let seen = Seen {
        waited: &Waited::default(),
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
        let plan = plan(
            &account(is_marked, is_deleted),
            &works_for(is_used),
            &Waited::default(),
            NOW,
        );
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
        let marked = plan(
            &account(false, false),
            &observed(account_of(), true),
            &Waited::default(),
            NOW,
        );
        assert_eq!(marked.step, Some(AccountStep::AddFinalizer));
        let released = plan(
            &account(true, true),
            &observed(account_of(), false),
            &Waited::default(),
            NOW,
        );
        assert_eq!(released.step, Some(AccountStep::RemoveFinalizer));
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_told_once_that_has_lasted_a_minute() {
    let unreadable = |code: u16| {
        let status = kube::core::Status::failure("no", "Other").with_code(code);
        Err(AccountError::Unreadable {
            name: "secret".to_owned(),
            since: NOW,
            source: kube::Error::Api(status.boxed()).into(),
        })
    };
    // An API server that was just started refuses, or answers nothing, for some seconds.
    for (code, reason) in [(403, "Forbidden"), (503, "Unavailable")] {
        let observed = observed(unreadable(code), false);
        let told = |second| {
            plan(&account(false, false), &observed, &Waited::default(), after(second))
                .verdict
                .verdict
        };
        assert_eq!(told(59), None, "{code}");
        assert_eq!(told(60).map(|it| it.reason.as_str()), Some(reason), "{code}");
    }
}

#[test]
fn those_who_use_an_account_that_was_opened_anew_are_told_first() {
    let opened = Opened {
        is_anew: true,
        ..Opened::default()
    };
    let plan = plan(
        &account(false, false),
        &observed(Ok(opened), true),
        &Waited::default(),
        NOW,
    );
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
        let step = plan(&account(false, false), &observed, &Waited::default(), after(seconds)).step;
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
        assert_eq!(
            plan(&requested("1"), &observed(Ok(opened), false), &Waited::default(), NOW).step,
            None
        );
    }
}

#[test]
fn a_new_value_of_the_annotation_asks_once_even_after_a_refusal() {
    for result in [Ok(Subscription::Hidden), rejected(Rejection::Secret)] {
        let mut object = requested("1");
        let known = observed(Ok(checked([result], false)), false);
        assert_eq!(
            plan(&object, &known, &Waited::default(), NOW).step,
            Some(AccountStep::Check)
        );
        object.status = status(&object, &known);
        let handled = object
            .status
            .as_ref()
            .and_then(|it| it.last_handled_reconcile_at.as_deref());
        assert_eq!(handled, Some("1"));
        assert_eq!(plan(&object, &known, &Waited::default(), NOW).step, None);
        assert_eq!(status(&object, &known), object.status, "nothing changes any more");
    }
}

#[test]
fn an_account_that_is_being_deleted_is_not_checked() {
    for is_marked in [true, false] {
        let observed = observed(Ok(Opened::default()), true);
        assert_eq!(
            plan(&account(is_marked, true), &observed, &Waited::default(), NOW).step,
            None
        );
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
        plan(&account(false, false), &refused, &Waited::default(), NOW).next,
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
