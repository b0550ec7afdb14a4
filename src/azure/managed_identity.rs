//! User-assigned identities and their federated credentials: `Microsoft.ManagedIdentity`.

use serde_json::{Value, json};

use super::arm::{ArmClient, ArmResponse};
use super::comparison::Shape;
use super::error::{AzureError, ErrorClass};
use super::resource_id::ResourceId;

/// The resource type.
pub const MANAGED_IDENTITY_TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// The newest stable version, and the default of azure-mgmt-msi 7.1.0.
pub const MANAGED_IDENTITY_API_VERSION: &str = "2024-11-30";

/// What a PUT of an identity may not carry.
pub const SHAPE: Shape = Shape {
    read_only: &[
        "id",
        "name",
        "type",
        "systemdata",
        "properties.tenantid",
        "properties.principalid",
        "properties.clientid",
    ],
    write_only: &[],
    identifiers: &[],
    case_insensitive: &["properties.isolationscope"],
    added: &[],
};

/// A federated identity credential: tokens of this issuer and subject, for one of these audiences, are exchanged for
/// those of the identity. Entra ID compares all three exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedIdentityCredential {
    /// Its name. Azure compares names without regard to case.
    pub name: String,
    /// The `iss` of the tokens.
    pub issuer: String,
    /// The `sub` of the tokens; empty for a credential that matches them by an expression, as previews allow.
    pub subject: String,
    /// The `aud` of the tokens.
    pub audiences: Vec<String>,
}

impl FederatedIdentityCredential {
    /// Reads a credential as ARM returns it; `None` if it has no name.
    pub fn read(resource: &Value) -> Option<Self> {
        let text = |name: &str| {
            let value = resource.pointer(&format!("/properties/{name}")).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let audiences = resource.pointer("/properties/audiences").and_then(Value::as_array);
        Some(Self {
            name: resource.get("name")?.as_str()?.to_owned(),
            issuer: text("issuer"),
            subject: text("subject"),
            audiences: audiences
                .into_iter()
                .flatten()
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect(),
        })
    }

    /// The body of its PUT.
    pub fn body(&self) -> Value {
        let Self {
            issuer,
            subject,
            audiences,
            ..
        } = self;
        json!({"properties": {"issuer": issuer, "subject": subject, "audiences": audiences}})
    }

    /// Whether the credential has this name, in any letter case.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether both trust the same tokens, whatever their names.
    pub fn trusts_the_same(&self, other: &Self) -> bool {
        let sorted = |it: &Self| {
            let mut audiences = it.audiences.clone();
            audiences.sort_unstable();
            audiences
        };
        self.clashes_with(other) && sorted(self) == sorted(other)
    }

    /// Whether an identity can have only one of the two, because issuer and subject must be unique together.
    pub fn clashes_with(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.subject == other.subject
    }
}

/// The credentials of an identity; `None` if Azure does not return the identity yet, or no longer.
pub async fn federated_credentials(
    arm: &ArmClient,
    identity: &ResourceId,
) -> Result<Option<Vec<FederatedIdentityCredential>>, AzureError> {
    let path = format!("{identity}/federatedIdentityCredentials");
    match arm.list(&path, MANAGED_IDENTITY_API_VERSION, &[]).await {
        Ok(items) => Ok(Some(
            items.iter().filter_map(FederatedIdentityCredential::read).collect(),
        )),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates or replaces a credential. Azure responds when this is done.
pub async fn put_federated_credential(
    arm: &ArmClient,
    identity: &ResourceId,
    credential: &FederatedIdentityCredential,
) -> Result<ArmResponse, AzureError> {
    let path = credential_path(identity, &credential.name);
    arm.put(&path, MANAGED_IDENTITY_API_VERSION, &credential.body()).await
}

/// Deletes a credential. One that does not exist is no error.
pub async fn delete_federated_credential(arm: &ArmClient, identity: &ResourceId, name: &str) -> Result<(), AzureError> {
    match arm
        .delete(&credential_path(identity, name), MANAGED_IDENTITY_API_VERSION)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a refused write of a credential would be refused again, unlike one that met another write on the same identity
/// (`ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity`). The clash of issuer and subject with another
/// credential has the code `Conflict`, which elsewhere means that something is under way.
pub fn is_refused_for_good(error: &AzureError) -> bool {
    match error {
        AzureError::Service(service) if service.code.eq_ignore_ascii_case("Conflict") => true,
        AzureError::Service(service) => {
            service.class() == ErrorClass::Terminal && !service.code.eq_ignore_ascii_case("SubscriptionNotFound")
        }
        AzureError::InvalidRequest(_) => true,
        AzureError::Credential(_)
        | AzureError::GateClosed { .. }
        | AzureError::Transport(_)
        | AzureError::Unexpected { .. } => false,
    }
}

fn credential_path(identity: &ResourceId, name: &str) -> String {
    format!("{identity}/federatedIdentityCredentials/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::error::ServiceError;

    fn credential(name: &str, subject: &str) -> FederatedIdentityCredential {
        FederatedIdentityCredential {
            name: name.to_owned(),
            issuer: "https://issuer".to_owned(),
            subject: subject.to_owned(),
            audiences: vec!["a".to_owned()],
        }
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let sent = credential("one", "s");
        let mut answer = sent.body();
        answer["name"] = "one".into();
        assert_eq!(FederatedIdentityCredential::read(&answer), Some(sent));
    }

    #[test]
    fn credentials_are_named_in_any_case_and_trust_exactly() {
        let one = credential("one", "s");
        assert!(one.is_named("ONE"));
        assert!(one.trusts_the_same(&credential("two", "s")));
        assert!(!one.trusts_the_same(&credential("one", "S")));
        let mut other_audience = one.clone();
        other_audience.audiences = vec!["b".to_owned()];
        assert!(one.clashes_with(&other_audience));
        assert!(!one.trusts_the_same(&other_audience));
    }

    #[test]
    fn a_concurrent_write_is_waited_for_and_a_clash_is_not() {
        let service = |status, code: &str| {
            AzureError::Service(Box::new(ServiceError {
                status,
                code: code.to_owned(),
                message: "m".to_owned(),
                details: Vec::new(),
                request_id: None,
                retry_after: None,
            }))
        };
        for (status, code, expected) in [
            (
                409,
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                false,
            ),
            (409, "Conflict", true),
            (400, "BadRequest", true),
            (409, "ScopeLocked", true),
            (409, "ResourceGroupBeingDeleted", false),
            (404, "SubscriptionNotFound", false),
            (503, "ServiceUnavailable", false),
        ] {
            assert_eq!(is_refused_for_good(&service(status, code)), expected, "{code}");
        }
    }
}
