//! App registrations and managed identities with their service principals, and the token issuers they are federated to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ManagedIdentity, Principal, Registration};

/// An app registration with its service principal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// Its client id (`appId`).
    pub client_id: String,
    /// Object id of its service principal, which role assignments name.
    pub object_id: String,
    /// Its only secret, unless those of its [`Registration`] are.
    pub client_secret: Option<String>,
    /// Its only certificate, in PEM: assertions that its key signs are taken in place of the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Tokens of others that are taken in place of the secret.
    pub federated_credentials: Vec<FederatedCredential>,
    /// When it was registered, by the virtual clock.
    pub created: Timestamp,
}

impl std::fmt::Debug for Application {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Application")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// A federated credential: issuer, subject and audience must be exactly those of the assertion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// `iss` of the assertion.
    pub issuer: String,
    /// `sub` of the assertion.
    pub subject: String,
    /// One of these is an `aud` of the assertion.
    pub audiences: Vec<String>,
}

/// The directory of the tenant.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Applications that have a service principal.
    pub applications: Vec<Application>,
    /// App registrations that were made in Microsoft Graph.
    #[serde(default)]
    pub registrations: Vec<Registration>,
    /// Managed identities.
    #[serde(default)]
    pub managed_identities: Vec<ManagedIdentity>,
    /// JWKS documents of token issuers, by issuer, as the control API registered them.
    pub issuers: BTreeMap<String, Value>,
}

impl Directory {
    /// The application of a client id.
    pub fn application(&self, client_id: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|application| application.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The registration of an object id.
    pub fn registration(&self, object_id: &str) -> Option<&Registration> {
        let is_it = |one: &&Registration| one.object_id.eq_ignore_ascii_case(object_id);
        self.registrations.iter().find(is_it)
    }

    /// The registration of an object id, to change it.
    pub fn registration_mut(&mut self, object_id: &str) -> Option<&mut Registration> {
        let is_it = |one: &&mut Registration| one.object_id.eq_ignore_ascii_case(object_id);
        self.registrations.iter_mut().find(is_it)
    }

    /// The registration of a client id.
    pub fn registration_of(&self, client_id: &str) -> Option<&Registration> {
        let is_it = |one: &&Registration| one.client_id.eq_ignore_ascii_case(client_id);
        self.registrations.iter().find(is_it)
    }

    /// When the principal of an object id came to be; `None` when there is none.
    pub fn principal_created(&self, object_id: &str) -> Option<Timestamp> {
        self.applications
            .iter()
            .find(|application| application.object_id.eq_ignore_ascii_case(object_id))
            .map(|application| application.created)
            .or_else(|| {
                self.managed_identity_by_object_id(object_id)
                    .map(|identity| identity.created)
            })
    }
}

impl Application {
    /// Who a token of this application stands for.
    pub fn principal(&self, tenant_id: &str) -> Principal {
        Principal {
            object_id: self.object_id.clone(),
            client_id: self.client_id.clone(),
            tenant_id: tenant_id.to_owned(),
            resource_id: None,
        }
    }
}
