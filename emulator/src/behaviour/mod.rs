//! Switches: how the emulated service behaves, each with the live service's value as its default.

mod arm;
mod identities;
mod pools;
mod roles;
mod sessions;
mod tokens;

pub use arm::{ArmBehaviour, Bucket, TagValues, UnknownProperties};
pub use identities::IdentitiesBehaviour;
pub use pools::{PoolsBehaviour, ReadySessions};
pub use roles::{RepeatedAssignment, RolesBehaviour};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use sessions::{Exhaustion, MissingRole, SessionsBehaviour, ShellResponse, Slashes};
pub use tokens::TokensBehaviour;

/// All switches, one group for each part of the emulator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Behaviour {
    /// Azure Resource Manager.
    pub arm: ArmBehaviour,
    /// Managed identities.
    pub identities: IdentitiesBehaviour,
    /// Session pools in Azure Resource Manager.
    pub pools: PoolsBehaviour,
    /// Role assignments and the directory.
    pub roles: RolesBehaviour,
    /// The data plane of session pools.
    pub sessions: SessionsBehaviour,
    /// The authority.
    pub tokens: TokensBehaviour,
}

impl Behaviour {
    /// These switches overlaid with `patch` as a JSON merge patch (RFC 7396): `null` brings a default back.
    ///
    /// Fails on a name that is no switch, so that a misspelt one is never silently without effect.
    pub fn merged(&self, patch: &Value) -> Result<Self, serde_json::Error> {
        let mut merged = serde_json::to_value(self)?;
        crate::json::merge_patch(&mut merged, patch);
        serde_json::from_value(merged)
    }
}
