//! Switches of the authority.

use serde::{Deserialize, Serialize};

/// How the authority issues tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TokensBehaviour {
    /// Lifetime of an access token (`expires_in` in the answer).
    pub lifetime_seconds: u32,
    /// Lifetime of an access token that a host gets for one of its identities: about a day.
    pub host_lifetime_seconds: u32,
    /// How long a new or changed federated credential of a managed identity is not found yet (AADSTS70021). Applications
    /// of the control API count as set up long ago.
    pub federation_propagation_seconds: f64,
}

impl Default for TokensBehaviour {
    fn default() -> Self {
        Self {
            lifetime_seconds: 3599,
            host_lifetime_seconds: 86_399,
            federation_propagation_seconds: 30.0,
        }
    }
}
