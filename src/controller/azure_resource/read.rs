//! Reading a resource, and what Azure says beside it.

use kube::ResourceExt;
use serde_json::Value;

use crate::azure::arm::ArmResponse;
use crate::azure::operation::{self, Progress};
use crate::azure::provider::{self, RegistrationState};
use crate::azure::{ArmClient, AzureError, ErrorClass, ResourceId};
use crate::controller::context::Context;
use crate::controller::error::{Error, is_credential_refused};
use crate::controller::policy::Lifecycle;

use super::dependency::{Dependency, account_key, credential_gone};
use super::look::{Registration, View};
use super::memory::{Memories, OperationUrl};
use super::subject::{AzureObject, Subject};

/// Completes a view by what Azure answers, and remembers it.
pub async fn look_at<K: AzureObject>(
    context: &Context,
    memories: &Memories,
    object: &K,
    mut view: View,
) -> Result<Dependency<View>, Error> {
    let Some(arm) = view.arm.clone() else {
        return Ok(Dependency::Met(view));
    };
    let result = read(&arm, &mut view).await;
    memories.keep(&object.uid().unwrap_or_default(), view.memory.clone());
    match result {
        Ok(()) => Ok(Dependency::Met(view)),
        Err(error) if is_credential_refused(&error) => {
            context.doubt_account(&account_key(object));
            match Subject::of(object).lifecycle {
                Lifecycle::Wanted => Err(error.into()),
                Lifecycle::Deleted => Ok(Dependency::Held(credential_gone(object, &error.to_string()))),
            }
        }
        Err(error) => Err(error.into()),
    }
}

async fn read(arm: &ArmClient, view: &mut View) -> Result<(), AzureError> {
    if let Some(namespace) = view.memory.registering.clone() {
        match provider::registration_state(arm, view.id.subscription(), &namespace).await? {
            RegistrationState::Registered => view.memory.registering = None,
            RegistrationState::Registering => view.registration = Registration::UnderWay(namespace),
            RegistrationState::NotRegistered | RegistrationState::Unregistering => {
                view.registration = Registration::Missing(namespace);
            }
        }
    }
    match find(arm, &view.id, view.api_version).await {
        Ok(Some(response)) => {
            view.pause = response.retry_after;
            view.take_note(Some(response.body));
        }
        Ok(None) => view.take_note(None),
        // Nothing of a provider can exist in a subscription that has not registered it.
        Err(error) if error.class() == ErrorClass::Unregistered => {
            let Some(namespace) = provider::missing_namespace(&error) else {
                return Err(error);
            };
            if view.registration == Registration::NotNeeded {
                view.registration = Registration::Missing(namespace.to_owned());
            }
            view.take_note(None);
        }
        Err(error) => return Err(error),
    }
    explain_failure(arm, view).await;
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
                let message = format!("status {} that is not Resource Manager's own", error.status);
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
async fn explain_failure(arm: &ArmClient, view: &mut View) {
    let progress = view.actual.as_ref().map(|actual| operation::of_resource(actual, None));
    if !matches!(progress, Some(Progress::Failed(_))) {
        return;
    }
    if let Some(operation) = view.memory.operation.take() {
        view.memory.operation_error = cause_of_failure(arm, &operation)
            .await
            .or(view.memory.operation_error.take());
    }
}

/// Why an operation failed, for people, where Azure says so.
pub async fn cause_of_failure(arm: &ArmClient, OperationUrl(url): &OperationUrl) -> Option<String> {
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
