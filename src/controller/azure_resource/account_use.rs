//! Who uses an account.

use crate::api::{ACCOUNT_FINALIZER, FINALIZER};
use crate::controller::context::{Context, Watched};
use crate::runtime::{Key, finalizer};

use super::dependency::account_key;
use super::subject::AzureObject;

/// An object that still has to remove something from Azure with an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountUse {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

/// The objects with our finalizer that use the account, in order.
pub fn account_users(context: &Context, account: &Key) -> Vec<AccountUse> {
    let mut users = of_kind(&context.resource_groups, account, "ResourceGroup");
    users.extend(of_kind(&context.session_pools, account, "SessionPool"));
    users.extend(of_kind(&context.managed_identities, account, "ManagedIdentity"));
    users.extend(of_kind(&context.role_assignments, account, "RoleAssignment"));
    users.extend(of_kind(&context.identity_assignments, account, "IdentityAssignment"));
    users.sort();
    users
}

/// Asks for a pass over the object's account if the account may have to be marked, or no longer has to be.
pub fn tell_account<K: AzureObject>(context: &Context, object: &K) {
    let key = account_key(object);
    let is_marked = context
        .azure_accounts
        .get(&key)
        .is_some_and(|it| finalizer::has(&*it, ACCOUNT_FINALIZER));
    if object.meta().deletion_timestamp.is_some() || finalizer::has(object, FINALIZER) != is_marked {
        context.azure_accounts.trigger(key);
    }
}

/// An object is gone: forgets its account if nothing is left of that either, else asks for a pass over it.
pub fn close_account<K: AzureObject>(context: &Context, object: &K) {
    let key = account_key(object);
    if context.azure_accounts.get(&key).is_some() {
        context.azure_accounts.trigger(key);
    } else if account_users(context, &key).is_empty() {
        context.accounts().close(&key);
    }
}

fn of_kind<K: AzureObject>(watched: &Watched<K>, account: &Key, kind: &'static str) -> Vec<AccountUse> {
    watched
        .in_namespace(&account.namespace)
        .filter(|object| finalizer::has(&**object, FINALIZER) && account_key(&**object) == *account)
        .map(|object| AccountUse {
            kind,
            name: object.meta().name.clone().unwrap_or_default(),
        })
        .collect()
}
