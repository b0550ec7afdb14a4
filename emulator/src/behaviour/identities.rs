//! Switches of managed identities.

use serde::{Deserialize, Serialize};

/// How managed identities behave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IdentitiesBehaviour {
    /// How long a write of a federated credential takes; another one on the same identity is refused meanwhile
    /// (`ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity`).
    pub credential_write_seconds: f64,
}

impl Default for IdentitiesBehaviour {
    fn default() -> Self {
        Self {
            credential_write_seconds: 0.3,
        }
    }
}
