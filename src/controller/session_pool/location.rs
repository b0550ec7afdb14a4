//! Where a pool is: its resource group, and so its id.

use std::time::Duration;

use kube::{Resource, ResourceExt};

use crate::api::condition::{Reason, kind};
use crate::api::{ResourceGroup, SessionPool};
use crate::azure::{ResourceId, session_pool};
use crate::controller::accounts::Account;
use crate::controller::azure_resource::{AzureObject, Held};
use crate::controller::context::Context;
use crate::controller::readiness::{Verdict, is_ready};
use crate::runtime::conditions::find;
use crate::runtime::{Key, Next};

/// The id of the pool, or why it cannot be told or used yet.
///
/// A pool that exists stays where its status says that it is, whatever becomes of the account's defaults.
pub async fn locate(context: &Context, object: &SessionPool, account: &Account) -> Result<ResourceId, Held> {
    let known: Option<ResourceId> = object.reported().id.and_then(|id| id.parse().ok());
    if object.meta().deletion_timestamp.is_some() {
        return match known {
            Some(known) => Ok(known),
            None => id(
                object,
                account.subscription(),
                &group_to_delete_from(context, object, account)?,
            ),
        };
    }
    let group = match (&object.spec.resource_group_ref, &object.spec.resource_group) {
        (Some(reference), _) => referenced(context, object, account, &reference.name).await?,
        (None, Some(name)) => name.clone(),
        (None, None) => account.spec().resource_group.clone().ok_or_else(no_group)?,
    };
    let wanted = id(object, account.subscription(), &group)?;
    match known {
        Some(known) if known != wanted => {
            let message = format!(
                "the pool is {known}, and with the account's or group's present settings it would be {wanted}: Azure moves no \
                 session pool; set spec.resourceGroup back or create another object"
            );
            Err(stalled(Reason::ImmutableChange, message))
        }
        Some(_) | None => Ok(wanted),
    }
}

async fn referenced(context: &Context, object: &SessionPool, account: &Account, name: &str) -> Result<String, Held> {
    context.resource_groups.cache().ready().await;
    let Some(group) = group_object(context, object, name) else {
        return Err(waiting(
            Reason::ReferenceNotFound,
            format!("ResourceGroup {name} does not exist in this namespace"),
        ));
    };
    let reported = group.reported();
    if group.meta().deletion_timestamp.is_some() {
        return Err(waiting(
            Reason::ReferenceNotReady,
            format!("ResourceGroup {name} is being deleted"),
        ));
    }
    if !is_ready(reported.conditions, group.meta().generation) {
        let because = find(reported.conditions, kind::READY)
            .filter(|ready| ready.status != "True")
            .map_or_else(
                || " yet".to_owned(),
                |ready| format!(": {}: {}", ready.reason, ready.message),
            );
        return Err(waiting(
            Reason::ReferenceNotReady,
            format!("ResourceGroup {name} is not ready{because}"),
        ));
    }
    let group_id: Option<ResourceId> = reported.id.and_then(|id| id.parse().ok());
    match group_id {
        Some(id) if id.subscription().eq_ignore_ascii_case(account.subscription()) => Ok(id.name().to_owned()),
        Some(id) => Err(stalled(
            Reason::InvalidSpec,
            format!(
                "ResourceGroup {name} is in subscription {} and the pool's AzureAccount in {}: use the same account for both",
                id.subscription(),
                account.subscription()
            ),
        )),
        None => Err(waiting(
            Reason::ReferenceNotReady,
            format!("ResourceGroup {name} has no id yet"),
        )),
    }
}

/// The group of a pool that is being deleted and whose status was lost.
fn group_to_delete_from(context: &Context, object: &SessionPool, account: &Account) -> Result<String, Held> {
    match (&object.spec.resource_group_ref, &object.spec.resource_group) {
        (Some(reference), _) => Ok(group_object(context, object, &reference.name).map_or_else(
            || reference.name.clone(),
            |group| group.spec.azure.name(&group.metadata).to_owned(),
        )),
        (None, Some(name)) => Ok(name.clone()),
        (None, None) => account.spec().resource_group.clone().ok_or_else(no_group),
    }
}

fn group_object(
    context: &Context,
    object: &SessionPool,
    name: &str,
) -> Option<crate::runtime::Snapshot<ResourceGroup>> {
    context
        .resource_groups
        .get(&Key::new(object.namespace().unwrap_or_default(), name))
}

fn id(object: &SessionPool, subscription: &str, group: &str) -> Result<ResourceId, Held> {
    session_pool::id(subscription, group, object.spec.azure.name(&object.metadata)).map_err(|error| {
        stalled(
            Reason::InvalidSpec,
            format!("the resource group `{group}` has no valid name: {error}"),
        )
    })
}

fn no_group() -> Held {
    stalled(
        Reason::InvalidSpec,
        "the pool has no resource group: set spec.resourceGroupRef or spec.resourceGroup, or spec.resourceGroup of the AzureAccount"
            .to_owned(),
    )
}

/// Triggers tell when it changes.
fn waiting(reason: Reason, message: String) -> Held {
    Held {
        verdict: Verdict::progressing(reason, message),
        next: Next::Resync(Duration::from_mins(1)),
        is_credential_gone: false,
    }
}

fn stalled(reason: Reason, message: String) -> Held {
    Held {
        verdict: Verdict::stalled(reason, message),
        next: Next::Resync(Duration::from_mins(1)),
        is_credential_gone: false,
    }
}
