//! App registrations that somebody made in Microsoft Graph. Their service principals are made separately.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An app registration. Its service principal, once there is one, is the application of the same client id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Object id of the registration, which is not that of its service principal.
    pub object_id: String,
    /// Its client id (`appId`).
    pub client_id: String,
    /// Its name, which need not be unique.
    pub display_name: String,
    /// Its client secrets.
    pub passwords: Vec<Password>,
    /// When it was made, by the virtual clock.
    pub created: Timestamp,
}

/// A client secret of an app registration.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Password {
    /// What the secret is removed by.
    pub key_id: String,
    /// The secret itself, which only the answer to its creation has.
    pub secret: String,
    /// Its name.
    pub display_name: Option<String>,
    /// From when it is taken.
    pub start: Timestamp,
    /// Until when it is taken.
    pub end: Timestamp,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Password")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Registration {
    /// The secrets that are taken at this time.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let taken = move |one: &&Password| one.start <= now && now < one.end;
        self.passwords.iter().filter(taken).map(|one| one.secret.as_str())
    }
}
