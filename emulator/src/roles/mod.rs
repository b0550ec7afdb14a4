//! Role-based access control: who may do what at which scope.

pub mod definitions;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::Store;

/// A role assignment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    /// Its name, a GUID.
    pub name: String,
    /// Its scope: an ARM id, or `/`.
    pub scope: String,
    /// GUID of the role definition.
    pub role: String,
    /// Object id of the principal.
    pub principal_id: String,
    /// `principalType`.
    pub principal_type: String,
    /// `description`, `condition`, `conditionVersion` and `delegatedManagedIdentityResourceId`, where given.
    pub details: Map<String, Value>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// Object id of who changed it last.
    pub updated_by: String,
    /// When it takes effect, by the virtual clock.
    pub effective: Timestamp,
}

/// A deleted role assignment that has not spread yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// What was deleted.
    pub assignment: RoleAssignment,
    /// Until when it still has its effect, by the virtual clock.
    pub until: Timestamp,
}

/// Something that a role may let a principal do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission<'a> {
    /// A control action, such as `Microsoft.App/sessionPools/write`.
    Action(&'a str),
    /// A data action, such as `Microsoft.App/sessionPools/executions/action`.
    DataAction(&'a str),
}

impl Store {
    /// Whether role assignments in effect at `now`, those included whose deletion has not spread, let a principal do this at `scope` or above it.
    pub fn is_allowed(&self, object_id: &str, scope: &str, permission: Permission<'_>, now: Timestamp) -> bool {
        let revoked = self.revocations.iter().filter(|one| one.until > now);
        let deleted = revoked.map(|one| &one.assignment);
        self.assignments.iter().chain(deleted).any(|assignment| {
            assignment.effective <= now
                && assignment.principal_id.eq_ignore_ascii_case(object_id)
                && covers(&assignment.scope, scope)
                && definitions::by_guid(&assignment.role).is_some_and(|role| role.allows(permission))
        })
    }
}

/// Whether `scope` is `outer` or inside it.
pub fn covers(outer: &str, scope: &str) -> bool {
    let outer = outer.trim_end_matches('/').to_ascii_lowercase();
    let scope = scope.trim_end_matches('/').to_ascii_lowercase();
    scope
        .strip_prefix(&outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
