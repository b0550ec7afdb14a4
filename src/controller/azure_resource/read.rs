//! Reading a resource, and what Azure says beside it.

use kube::ResourceExt;
use serde_json::Value;

use crate::azure::arm::ArmResponse;
use crate::azure::operation::{self, Progress};
use crate::azure::provider::{self, RegistrationState};
use crate::azure::resource_group::RESOURCE_GROUP_API_VERSION;
use crate::azure::{ArmClient, AzureError, ErrorClass, ResourceId};
use crate::controller::azure_error::is_credential_refused;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::context::Context;
use crate::controller::error::Error;

use super::blocked::Blocked;
use super::dependency::{Dependency, account_key, credential_gone, no_access};
use super::history::{Histories, History, OperationUrl};
use super::observation::{Registration, ResourceState};
use super::subject::{AzureObject, Subject};

/// Completes a resource by what Azure answers, and remembers it.
pub async fn read_state<K: AzureObject>(
    context: &Context,
    histories: &Histories,
    object: &K,
    mut resource: ResourceState,
) -> Result<Dependency<ResourceState>, Error> {
    let Some(arm) = resource.arm.clone() else {
        return Ok(Dependency::Met(resource));
    };
    let result = read(&arm, &mut resource).await;
    histories.keep(&object.uid().unwrap_or_default(), resource.history.clone());
    match result {
        Ok(()) => Ok(Dependency::Met(resource)),
        Err(error) => {
            let place = (&arm, &resource.id);
            Ok(Dependency::Blocked(unreadable(context, object, place, error).await?))
        }
    }
}

/// What a look that failed is: nothing that can be gone on with, but for an object that is being deleted and whose account
/// Azure accepts no token of any more, or may not read the resource.
pub async fn unreadable<K: AzureObject>(
    context: &Context,
    object: &K,
    (arm, id): (&ArmClient, &ResourceId),
    error: AzureError,
) -> Result<Blocked, Error> {
    doubt_if_refused(context, object, &error);
    match Subject::of(object).lifecycle {
        Lifecycle::Deleted if is_credential_refused(&error) => Ok(credential_gone(object, &error.to_string())),
        Lifecycle::Deleted if error.class() == ErrorClass::Denied && is_group_gone(arm, id).await => {
            Ok(Blocked::Nothing)
        }
        Lifecycle::Deleted if error.class() == ErrorClass::Denied => Ok(no_access(object, &error.to_string())),
        Lifecycle::Deleted | Lifecycle::Wanted => Err(error.into()),
    }
}

/// Whether the group that held a resource is gone, and with it the resource. The account's rights on what was in it may have
/// gone with the group, and Azure says 403 before it says 404.
async fn is_group_gone(arm: &ArmClient, id: &ResourceId) -> bool {
    let group = id
        .resource_group()
        .map(|name| ResourceId::resource_group_id(id.subscription(), name));
    match group {
        Some(Ok(group)) if group != *id => matches!(find(arm, &group, RESOURCE_GROUP_API_VERSION).await, Ok(None)),
        Some(_) | None => false,
    }
}

/// Has the object's account checked again where an error says that Azure accepts no token of it.
pub fn doubt_if_refused<K: AzureObject>(context: &Context, object: &K, error: &AzureError) {
    if is_credential_refused(error) {
        context.doubt_account(&account_key(object));
    }
}

async fn read(arm: &ArmClient, resource: &mut ResourceState) -> Result<(), AzureError> {
    if let Some(namespace) = resource.history.registering.clone() {
        match provider::registration_state(arm, resource.id.subscription(), &namespace).await? {
            RegistrationState::Registered => resource.history.registering = None,
            RegistrationState::Registering => resource.registration = Registration::UnderWay(namespace),
            RegistrationState::NotRegistered | RegistrationState::Unregistering => {
                resource.registration = Registration::Missing(namespace);
            }
        }
    }
    match find(arm, &resource.id, resource.api_version).await {
        Ok(Some(response)) => {
            resource.pause = response.retry_after;
            resource.take_note(Some(response.body));
        }
        Ok(None) => resource.take_note(None),
        // Nothing of a provider can exist in a subscription that has not registered it.
        Err(error) if error.class() == ErrorClass::Unregistered => {
            let Some(namespace) = provider::missing_namespace(&error) else {
                return Err(error);
            };
            if resource.registration == Registration::NotNeeded {
                resource.registration = Registration::Missing(namespace.to_owned());
            }
            resource.take_note(None);
        }
        Err(error) => return Err(error),
    }
    explain_failure(arm, resource.actual.as_ref(), &mut resource.history).await;
    Ok(())
}

/// The resource; `None` if ARM itself says that it is not there. A 404 of something in between is no such answer: an
/// object must not be let go, nor a resource be taken for deleted, because of a proxy.
pub async fn find(arm: &ArmClient, id: &ResourceId, api_version: &str) -> Result<Option<ArmResponse>, AzureError> {
    match arm.get(id.as_str(), api_version).await {
        Ok(response) if response.body.is_object() => Ok(Some(response)),
        Ok(response) => Err(AzureError::Unexpected {
            message: "a resource without a body".to_owned(),
            request_id: response.request_id,
        }),
        Err(AzureError::Service(error)) if error.class() == ErrorClass::NotFound => {
            if error.code.starts_with("HttpStatus") {
                let message = format!("status {} that did not come from Resource Manager", error.status);
                return Err(AzureError::Unexpected {
                    message,
                    request_id: error.request_id,
                });
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Asks once why an operation of ours failed: the resource itself does not say.
pub async fn explain_failure(arm: &ArmClient, actual: Option<&Value>, history: &mut History) {
    let progress = actual.map(|actual| operation::of_resource(actual, None));
    if !matches!(progress, Some(Progress::Failed)) {
        return;
    }
    if let Some(operation) = history.operation.take() {
        let cause = cause_of_failure(arm, &operation).await;
        history.operation_error = cause.or(history.operation_error.take());
    }
}

/// Why an operation failed, for people, where Azure says so.
async fn cause_of_failure(arm: &ArmClient, OperationUrl(url): &OperationUrl) -> Option<String> {
    match arm.operation(url).await {
        Ok(response) => {
            let text = |name: &str| response.body.pointer(&format!("/error/{name}")).and_then(Value::as_str);
            match (text("code"), text("message")) {
                (Some(code), Some(message)) => Some(format!("{code}: {message}")),
                (Some(text), None) | (None, Some(text)) => Some(text.to_owned()),
                (None, None) => None,
            }
        }
        Err(error) => {
            tracing::debug!(code = error.code(), "the failed operation could not be read");
            None
        }
    }
}
