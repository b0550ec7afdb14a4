//! Switches of role assignments and of the directory behind them.

use serde::{Deserialize, Serialize};

/// How role assignments spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolesBehaviour {
    /// How long a new role assignment has no effect. Clients of the live service see one to five minutes.
    pub propagation_seconds: f64,
    /// How long a new principal is unknown to role assignments that do not say `principalType` (`PrincipalNotFound`).
    pub principal_replication_seconds: f64,
}

impl Default for RolesBehaviour {
    fn default() -> Self {
        Self {
            propagation_seconds: 60.0,
            principal_replication_seconds: 20.0,
        }
    }
}
