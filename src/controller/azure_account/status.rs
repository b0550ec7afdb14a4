//! The status of an account.

use jiff::Timestamp;
use kube::Resource;

use crate::api::{ACCOUNT_FINALIZER, AzureAccount, AzureAccountStatus};
use crate::runtime::{PassOutcome, Seen, finalizer};

use super::conditions;
use super::observe::ObservedAccount;
use super::plan::{AccountAssessment, request, waiting};

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &AzureAccount,
    seen: &Seen<'_, ObservedAccount, AccountAssessment>,
    now: Timestamp,
) -> Option<AzureAccountStatus> {
    if object.meta().deletion_timestamp.is_some() && !finalizer::has(object, ACCOUNT_FINALIZER) {
        return None;
    }
    let before = object.status.clone().unwrap_or_default();
    let (verdict, told) = match seen.outcome {
        PassOutcome::Failed(failure) => (waiting(object, seen.waited, now).of_failure(failure)?, before),
        PassOutcome::Done(_) => {
            let AccountAssessment {
                verdict,
                subscription_name,
            } = seen.verdict?.clone();
            let told = AzureAccountStatus {
                subscription_name,
                last_handled_reconcile_at: request(object).map(str::to_owned),
                ..before
            };
            (verdict?, told)
        }
    };
    let generation = object.meta().generation;
    Some(AzureAccountStatus {
        observed_generation: generation,
        conditions: verdict.conditions(conditions(object), generation, now),
        ..told
    })
}
