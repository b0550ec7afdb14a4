//! What an object needs before Azure can be asked: its account, and tokens of it.

use std::sync::Arc;

use kube::Resource;

use crate::api::{ACCOUNT_FINALIZER, AzureAccount};
use crate::controller::accounts::{Account, AccountError};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::readiness::is_ready;
use crate::controller::reference::{self, why_not_ready};
use crate::runtime::{Class, Key, ObjectId, finalizer};

use super::blocked::Blocked;
use super::subject::{AzureObject, Subject};

/// Something that is needed.
#[derive(Debug)]
pub enum Dependency<T> {
    /// It is there.
    Met(T),
    /// It is not.
    Blocked(Blocked),
}

/// An account that may be used, and whether it is marked as in use.
#[derive(Debug, Clone)]
pub struct OpenAccount {
    /// The account.
    pub account: Arc<Account>,
    /// Whether the AzureAccount carries the finalizer that makes it outlive what it is used for.
    pub is_marked: bool,
}

/// The AzureAccount of an object.
pub fn account_id<K: AzureObject>(object: &K) -> ObjectId {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    reference::account_id(namespace, object.management().account_ref.as_ref())
}

/// Its namespace and name.
pub fn account_key<K: AzureObject>(object: &K) -> Key {
    account_id(object).key
}

/// Opens the account of an object.
///
/// An object that is to exist waits until its account was checked. One that is being deleted takes whatever is left of
/// it, the tokens in memory included. Nobody is asked about one that was abandoned: it goes whatever Azure, or what stands
/// in between, would answer.
pub async fn open_account<K: AzureObject>(context: &Context, object: &K) -> Result<Dependency<OpenAccount>, Error> {
    let subject = Subject::of(object);
    if subject.lifecycle == Lifecycle::Deleted && subject.is_abandoned {
        return Ok(Dependency::Blocked(Blocked::Abandoned));
    }
    context.azure_accounts.cache().ready().await;
    let key = account_key(object);
    let found = context.azure_accounts.get(&key);
    if object.meta().deletion_timestamp.is_some() {
        return last_resort(context, object, &key, found.as_deref()).await;
    }
    let Some(found) = found else {
        return Ok(Dependency::Blocked(Blocked::AccountNotFound { name: key.name }));
    };
    let conditions = found
        .status
        .as_ref()
        .map(|it| it.conditions.as_slice())
        .unwrap_or_default();
    if !is_ready(conditions, found.meta().generation) {
        let because = why_not_ready(conditions);
        return Ok(Dependency::Blocked(Blocked::AccountNotReady {
            name: key.name,
            because,
        }));
    }
    match context.accounts().open(&found).await {
        Ok(account) => Ok(Dependency::Met(OpenAccount {
            account,
            is_marked: finalizer::has(&*found, ACCOUNT_FINALIZER),
        })),
        Err(error) if matches!(error.class(), Class::Waiting { .. } | Class::Terminal) => {
            let because = format!(": {error}");
            Ok(Dependency::Blocked(Blocked::AccountNotReady {
                name: key.name,
                because,
            }))
        }
        Err(error) => Err(error.into()),
    }
}

async fn last_resort<K: AzureObject>(
    context: &Context,
    object: &K,
    key: &Key,
    found: Option<&AzureAccount>,
) -> Result<Dependency<OpenAccount>, Error> {
    let opened = match found {
        Some(found) => Some(context.accounts().open_to_remove(found).await),
        None => None,
    };
    let is_marked = true;
    let cause = match (opened, context.accounts().get(key)) {
        (Some(Ok(account)), _) | (Some(Err(_)) | None, Some(account)) => {
            return Ok(Dependency::Met(OpenAccount { account, is_marked }));
        }
        (Some(Err(error @ AccountError::Unreadable { .. })), None) if error.class() == Class::Transient => {
            return Err(error.into());
        }
        (Some(Err(error)), None) => error.to_string(),
        (None, None) => format!("AzureAccount {} does not exist", key.name),
    };
    Ok(Dependency::Blocked(credential_gone(object, &cause)))
}

/// Nothing can be deleted, because no token can be obtained.
pub fn credential_gone<K: AzureObject>(object: &K, cause: &str) -> Blocked {
    Blocked::CredentialGone {
        resource: resource_of(object),
        account: account_key(object).name,
        cause: cause.to_owned(),
    }
}

/// Nothing can be deleted, because the account may not even read what is to be deleted.
pub fn no_access<K: AzureObject>(object: &K, cause: &str) -> Blocked {
    Blocked::NoAccess {
        resource: resource_of(object),
        account: account_key(object).name,
        cause: cause.to_owned(),
    }
}

fn resource_of<K: AzureObject>(object: &K) -> String {
    let id = object.reported().id.clone();
    id.unwrap_or_else(|| "the resource".to_owned())
}

/// An object is gone: forgets its account if nothing is left of that either.
pub fn close_account<K: AzureObject>(context: &Context, object: &K) {
    let account = account_id(object);
    if context.azure_accounts.get(&account.key).is_none() && context.references().known_to_need(&account).is_empty() {
        context.accounts().close(&account.key);
    }
}
