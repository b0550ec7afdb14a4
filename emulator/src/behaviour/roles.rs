//! Switches of role assignments and of the directory behind them.

use serde::{Deserialize, Serialize};

/// How role assignments spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RolesBehaviour {
    /// How long a new role assignment has no effect yet, and a deleted one still has. Clients of the live service see one
    /// to five minutes.
    pub propagation_seconds: f64,
    /// How long a new principal is unknown to role assignments that do not say `principalType: ServicePrincipal`
    /// (`PrincipalNotFound`), and that of a managed identity to the authority (AADSTS700016).
    pub principal_replication_seconds: f64,
    /// How a PUT is answered that repeats an assignment under its own name.
    pub repeated_assignment: RepeatedAssignment,
}

/// The answer to a PUT of a role assignment that is there, word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepeatedAssignment {
    /// 200 with what is there, as the documentation promises to templates with names that do not change.
    Accepted,
    /// 409 `RoleAssignmentExists`, as clients of the live service have seen too.
    Conflict,
}

impl Default for RolesBehaviour {
    fn default() -> Self {
        Self {
            propagation_seconds: 60.0,
            principal_replication_seconds: 60.0,
            repeated_assignment: RepeatedAssignment::Accepted,
        }
    }
}
