//! The status of an account.

use jiff::Timestamp;
use kube::Resource;

use crate::api::condition::Reason;
use crate::api::{ACCOUNT_FINALIZER, AzureAccount, AzureAccountStatus};
use crate::controller::accounts::Subscription;
use crate::controller::readiness::Verdict;
use crate::runtime::ObjectId;
use crate::runtime::{Outcome, Seen, finalizer};

use super::conditions;
use super::observe::Observed;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(object: &AzureAccount, seen: &Seen<'_, Observed>, now: Timestamp) -> Option<AzureAccountStatus> {
    let is_deleted = object.meta().deletion_timestamp.is_some();
    if is_deleted && !finalizer::has(object, ACCOUNT_FINALIZER) {
        return None;
    }
    let known = object.status.as_ref().and_then(|it| it.subscription_name.clone());
    let (verdict, subscription_name) = match (seen.outcome, seen.observed) {
        (Outcome::Failed(failure), _) => (Verdict::of_failure(failure, now)?, known),
        (Outcome::Done(_), None) => return None,
        (Outcome::Done(_), Some(observed)) if is_deleted && !observed.users.is_empty() => {
            let message = format!(
                "deleted once these are gone, which need it: {}",
                listed(&observed.users)
            );
            (Verdict::progressing(Reason::InUse, message), known)
        }
        (Outcome::Done(_), Some(observed)) => match &observed.check {
            Ok(Subscription::Visible { display_name }) => {
                let message = "a token was obtained and the subscription can be read";
                (Verdict::ready(Reason::Available, message), display_name.clone())
            }
            Ok(Subscription::Hidden) => {
                let message = "a token was obtained; the account may not read the subscription, as one that only runs commands \
                               need not";
                (Verdict::ready(Reason::Available, message), None)
            }
            Err(failure) => (Verdict::of_failure(failure, now)?, known),
        },
    };
    let generation = object.meta().generation;
    Some(AzureAccountStatus {
        observed_generation: generation,
        conditions: verdict.conditions(conditions(object), generation, now),
        subscription_name,
    })
}

fn listed(users: &[ObjectId]) -> String {
    let named: Vec<String> = users
        .iter()
        .take(10)
        .map(|it| format!("{} {}", it.kind, it.key.name))
        .collect();
    match users.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
