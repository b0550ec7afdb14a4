//! What is to know of an account.

use std::sync::Arc;

use jiff::Timestamp;

use crate::api::AzureAccount;
use crate::api::condition::{Reason, kind};
use crate::controller::accounts::Subscription;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::conditions::find;
use crate::runtime::{Class, Failure, ObjectId};

use super::CHECK_INTERVAL;

/// What is to know of an account.
#[derive(Debug)]
pub struct Observed {
    /// How its last check ended.
    pub check: Result<Subscription, Failure>,
    /// The objects that still have to remove something from Azure with it.
    pub users: Vec<ObjectId>,
}

/// Opens the account, checks it, and lists its users. A check that failed is an observation, not an error: the users'
/// finalizers have to be cared for all the same.
pub async fn observe(context: &Context, object: &AzureAccount) -> Result<Observed, Error> {
    let now = Timestamp::now();
    let id = ObjectId::of(object);
    let users = context.references().needed_by(&id).await;
    let before = context.accounts().held(&id.key);
    let check = match context.accounts().refresh(object).await {
        Err(error) => Err(Failure::of(&Error::from(error), now)),
        Ok(account) => {
            if before.is_some_and(|before| !Arc::ptr_eq(&before, &account)) {
                // Its Secret changed, which no watch tells.
                context.references().wake_referrers(&id);
            }
            let check = account.check(now, CHECK_INTERVAL.mul_f64(0.7)).await;
            check.result.map_err(|error| {
                let failure = Failure {
                    failures: check.failures,
                    since: check.since,
                    ..Failure::of(&Error::from(error), now)
                };
                if check.is_replicating && !was_refused(object) {
                    replicating(failure)
                } else {
                    failure
                }
            })
        }
    };
    Ok(Observed { check, users })
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
