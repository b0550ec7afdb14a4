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
