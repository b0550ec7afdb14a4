//! What is to know of an account.

use std::sync::Arc;

use crate::api::AzureAccount;
use crate::controller::accounts::Checked;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::ObjectId;

/// What is to know of an account.
#[derive(Debug)]
pub struct ObservedAccount {
    /// The account, or why it cannot be opened.
    pub account: Result<Opened, Error>,
    /// The objects that still have to remove something from Azure with it.
    pub users: Vec<ObjectId>,
}

/// An account that is open.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Whether its Secret, or the identity that it is, changed since it was last looked at, which no watch tells its users.
    pub is_anew: bool,
    /// How its checks ended so far.
    pub checked: Checked,
    /// Whether the last of them was made in this pass.
    pub is_checked_now: bool,
}

/// Opens the account and lists its users. That it cannot be opened is an observation, not an error: the users' finalizers
/// have to be cared for all the same.
pub async fn observe(context: &Context, object: &AzureAccount) -> ObservedAccount {
    let id = ObjectId::of(object);
    let users = context.references().needed_by(&id).await;
    let before = context.accounts().get(&id.key);
    let account = match context.accounts().refresh(object).await {
        Ok(account) => Ok(Opened {
            is_anew: before.is_some_and(|before| !Arc::ptr_eq(&before, &account)),
            checked: account.checked(),
            is_checked_now: false,
        }),
        Err(error) => Err(error.into()),
    };
    ObservedAccount { account, users }
}
