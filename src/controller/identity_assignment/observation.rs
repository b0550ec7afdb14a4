//! What a look at an identity assignment's target found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::azure::arm::ArmResponse;
use crate::azure::identity_block::IdentityBlock;
use crate::azure::operation::{self, Progress};
use crate::azure::{ArmClient, ResourceId, container_group};
use crate::controller::azure_resource::{Blocked, History, Observation};
use crate::controller::operator_key::OperatorKey;

use super::record::{Records, Signature};
use super::target::TargetKind;

/// What a pass observed.
pub type TargetObservation = Observation<TargetState>;

/// A target and what it should have.
#[derive(Debug)]
pub struct TargetState {
    /// The means to speak to Azure; `None` only in tests.
    pub arm: Option<ArmClient>,
    /// The target's id.
    pub id: ResourceId,
    /// The target's type.
    pub kind: TargetKind,
    /// The assignment, as it signs tags.
    pub signature: Signature,
    /// The identities of the spec.
    pub wanted: WantedIdentities,
    /// The target as ARM answered it.
    pub actual: Option<Value>,
    /// The pause that ARM asked for before the next look.
    pub pause: Option<Duration>,
    /// Why the identities of the target are a matter of another object.
    pub managed_elsewhere: Option<String>,
    /// RoleAssignments that still hold a role of the target's system-assigned identity; only asked for an object that
    /// is being deleted.
    pub role_assignments: Vec<String>,
    /// Whether the AzureAccount is marked as in use, so that it outlives what is attached.
    pub account_is_marked: bool,
    /// What the process remembers of this object.
    pub history: History,
    /// Digests what drift must not show.
    pub key: OperatorKey,
}

/// The identities that a spec asks for, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedIdentities {
    /// Whether the system-assigned one.
    pub system: bool,
    /// Ids of the user-assigned ones that may be used, in the spec's order.
    pub ids: Vec<String>,
    /// The principals that they have, by lower-cased id, as far as anybody says.
    pub principals: BTreeMap<String, String>,
    /// The references that cannot be used.
    pub unmet: Option<Unmet>,
}

/// References that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Why the first of them cannot be, or the first that goes.
    pub why: Blocked,
    /// Whether any of them goes, so that what is attached for it has to be taken back.
    pub is_going: bool,
    /// Ids of those that go, where they are known.
    pub going_ids: Vec<String>,
    /// Whether any of them stays and its id is not known, so that it could be any of those that are attached.
    pub has_unknown: bool,
}

impl WantedIdentities {
    /// A reference cannot be used now, whose id may be known all the same.
    pub fn miss(&mut self, why: Blocked, is_going: bool, id: Option<String>) {
        let unmet = self.unmet.get_or_insert_with(|| Unmet {
            why: why.clone(),
            is_going: false,
            going_ids: Vec::new(),
            has_unknown: false,
        });
        if is_going && !unmet.is_going {
            unmet.why = why;
        }
        match (is_going, id) {
            (true, id) => {
                unmet.is_going = true;
                unmet.going_ids.extend(id);
            }
            // It may be used again soon, and what is attached for it stays.
            (false, Some(id)) => self.ids.push(id),
            (false, None) => unmet.has_unknown = true,
        }
    }
}

impl TargetState {
    /// Takes note of what a look at the target found.
    pub fn take(&mut self, found: Option<ArmResponse>) {
        self.pause = found.as_ref().and_then(|it| it.retry_after);
        self.actual = found.map(|it| it.body);
    }

    /// How far the target's last operation has come, whoever began it.
    pub fn progress(&self) -> Progress {
        match (&self.actual, self.kind) {
            (None, _) => Progress::Done,
            (Some(actual), TargetKind::Group) => container_group::progress(actual, self.pause),
            (Some(actual), TargetKind::App | TargetKind::Pool) => operation::of_resource(actual, self.pause),
        }
    }

    /// The identities that the target has.
    pub fn block(&self) -> IdentityBlock {
        self.actual.as_ref().map(IdentityBlock::of).unwrap_or_default()
    }

    /// Who attached what.
    pub fn records(&self) -> Records {
        self.actual
            .as_ref()
            .map(|it| self.signature.read(it))
            .unwrap_or_default()
    }
}
