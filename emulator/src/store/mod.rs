//! What the emulator remembers: the tenant, its directory, and everything that Azure Resource Manager knows.

mod groups;
mod hosts;
mod operations;
mod pools;
mod resources;
mod snapshot;

use std::collections::BTreeMap;

use azure_deployments::Deployments;
pub use groups::ResourceGroup;
pub use hosts::HostEndpoint;
use jiff::{SignedDuration, Timestamp};
pub use operations::{Operation, OperationOutcome};
pub(crate) use pools::container_host;
pub use pools::{Lifecycle, Pool};
pub use resources::{Pending, PendingKind, Resource, Workload};
use serde::{Deserialize, Serialize};
pub use snapshot::StoreError;
pub(crate) use snapshot::new_secret;

use crate::identity::{Application, Directory};
use crate::roles::{Revocation, RoleAssignment};

/// A subscription.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id, a GUID.
    pub id: String,
    /// Its display name.
    pub display_name: String,
}

/// A change of a resource provider's registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Whether it is being registered or unregistered.
    pub registered: bool,
    /// When the change is through.
    pub since: Timestamp,
}

/// An answer that ARM gives again when the same `x-ms-client-request-id` returns.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// The namespace that was not registered.
    pub namespace: String,
    /// Until when the answer is repeated.
    pub until: Timestamp,
}

/// Everything that survives a restart.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// The only tenant.
    pub tenant_id: String,
    /// Its subscriptions; the first is the one of the ready line.
    pub subscriptions: Vec<Subscription>,
    /// Applications and token issuers.
    pub directory: Directory,
    /// Role assignments.
    pub assignments: Vec<RoleAssignment>,
    /// Deleted role assignments that still have their effect.
    #[serde(default)]
    pub revocations: Vec<Revocation>,
    /// Resource groups, by lower-cased id.
    pub groups: BTreeMap<String, ResourceGroup>,
    /// Resources, by lower-cased id.
    pub resources: BTreeMap<String, Resource>,
    /// Endpoints of hosts that were asked for, by the host's lower-cased id.
    #[serde(default)]
    pub hosts: BTreeMap<String, HostEndpoint>,
    /// Registrations of resource providers, by lower-cased `subscription/namespace`.
    pub registrations: BTreeMap<String, Registration>,
    /// Asynchronous operations, by id.
    pub operations: BTreeMap<String, Operation>,
    /// Template deployments.
    #[serde(default)]
    pub deployments: Deployments,
    /// Remembered refusals, by `x-ms-client-request-id`.
    pub replays: BTreeMap<String, Replay>,
    clock_offset_seconds: f64,
}

/// What [`Store::settle`] carried out.
#[derive(Debug, Default)]
pub struct Settled {
    /// Whether anything changed.
    pub changed: bool,
    /// Session pools that are gone now.
    pub deleted_pools: Vec<Pool>,
    /// Lower-cased ids of hosts that are gone now.
    pub deleted_hosts: Vec<String>,
}

impl Store {
    /// The subscription of the ready line.
    pub fn first_subscription(&self) -> &str {
        &self.subscriptions[0].id
    }

    /// The service principal of the ready line.
    pub fn first_application(&self) -> &Application {
        &self.directory.applications[0]
    }

    /// How far the virtual clock was ahead when the state was saved.
    pub fn clock_offset(&self) -> SignedDuration {
        crate::clock::seconds(self.clock_offset_seconds)
    }

    /// Remembers how far the virtual clock is ahead.
    pub fn set_clock_offset(&mut self, offset: SignedDuration) {
        self.clock_offset_seconds = offset.as_secs_f64();
    }

    /// Carries out everything that is due by `now`: operations end, resources and groups go.
    pub fn settle(&mut self, now: Timestamp) -> Settled {
        let mut settled = Settled::default();
        let revocations = self.revocations.len();
        self.revocations.retain(|one| one.until > now);
        settled.changed |= revocations != self.revocations.len();
        self.settle_resources(now, &mut settled);
        self.settle_groups(now, &mut settled);
        settled.changed |= self.deployments.settle(now);
        settled
    }
}
