//! Registration of resource providers in a subscription.

use serde_json::Value;

use super::arm::ArmClient;
use super::error::AzureError;

/// The stable version that azure-mgmt-resource 26 and azure-cli use.
pub const PROVIDER_API_VERSION: &str = "2025-04-01";

/// Whether a subscription may use a provider's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// The subscription may use the types.
    Registered,
    /// Registration is under way, which takes seconds to minutes.
    Registering,
    /// The provider has to be registered first.
    NotRegistered,
    /// The registration is being removed.
    Unregistering,
}

/// Reads whether the subscription may use a provider such as `Microsoft.App`.
pub async fn registration_state(
    arm: &ArmClient,
    subscription: &str,
    namespace: &str,
) -> Result<RegistrationState, AzureError> {
    let response = arm.get(&path(subscription, namespace), PROVIDER_API_VERSION).await?;
    Ok(state(&response.body))
}

/// Requests a provider's registration and returns its state. A repeated request changes nothing.
pub async fn register(arm: &ArmClient, subscription: &str, namespace: &str) -> Result<RegistrationState, AzureError> {
    let path = format!("{}/register", path(subscription, namespace));
    let response = arm.post(&path, PROVIDER_API_VERSION, None).await?;
    Ok(state(&response.body))
}

/// The provider that ARM names in a `MissingSubscriptionRegistration`, whose message quotes it:
/// "The subscription is not registered to use namespace 'Microsoft.App'. …".
pub fn missing_namespace(error: &AzureError) -> Option<&str> {
    let AzureError::Service(error) = error else { return None };
    let quoted = error.message.split('\'').nth(1)?;
    let valid = !quoted.is_empty() && quoted.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    (valid && error.class() == super::error::ErrorClass::Unregistered).then_some(quoted)
}

fn path(subscription: &str, namespace: &str) -> String {
    format!("/subscriptions/{subscription}/providers/{namespace}")
}

fn state(body: &Value) -> RegistrationState {
    match body
        .get("registrationState")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "registered" => RegistrationState::Registered,
        "registering" => RegistrationState::Registering,
        "unregistering" => RegistrationState::Unregistering,
        _ => RegistrationState::NotRegistered,
    }
}

#[cfg(test)]
mod tests {
    use super::{AzureError, missing_namespace};
    use crate::azure::error::ServiceError;

    #[test]
    fn the_missing_provider_is_read_from_the_message() {
        let error = |code: &str, message: &str| {
            AzureError::Service(Box::new(ServiceError {
                status: 409,
                code: code.to_owned(),
                message: message.to_owned(),
                details: Vec::new(),
                request_id: None,
                retry_after: None,
            }))
        };
        let message =
            "The subscription is not registered to use namespace 'Microsoft.App'. See https://aka.ms/rps-not-found";
        let missing = error("MissingSubscriptionRegistration", message);
        assert_eq!(missing_namespace(&missing), Some("Microsoft.App"));
        assert_eq!(
            missing_namespace(&error("MissingSubscriptionRegistration", "use namespace 'a/../b'")),
            None
        );
        assert_eq!(missing_namespace(&error("ScopeLocked", message)), None);
    }
}
