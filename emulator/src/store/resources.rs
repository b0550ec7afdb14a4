//! Resources and the operations that are under way on them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{OperationOutcome, Settled, Store};
use crate::identity::{ManagedIdentity, ManagedIdentityKind};
use crate::json::get_str;

/// A resource of any type.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its id, in the spelling of its creation.
    pub id: String,
    /// Its type as ARM's metadata spell it (`Microsoft.App/sessionPools`).
    pub resource_type: String,
    /// Its name, in the spelling of its creation.
    pub name: String,
    /// Its location, normalised.
    pub location: String,
    /// Its tags; `None` if none were ever given.
    pub tags: Option<Map<String, Value>>,
    /// Its `identity` block as it is answered.
    pub identity: Option<Value>,
    /// Its properties, without the read-only ones; secrets included, which no answer has.
    pub properties: Value,
    /// Key of its MCP server, for session pools that have one.
    pub mcp_api_key: Option<String>,
    /// `provisioningState` when nothing is under way.
    pub provisioning_state: String,
    /// What is under way.
    pub pending: Option<Pending>,
    /// What runs of it.
    #[serde(default)]
    pub workload: Workload,
    /// Tells it from an earlier one of the same id.
    pub instance: Uuid,
    /// Who created it: a client id.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who changed it last.
    pub modified_by: String,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

/// What runs of a container app or container group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Whether it was stopped.
    pub stopped: bool,
    /// When its containers were started last; `None` for types without containers.
    pub started_at: Option<Timestamp>,
}

/// An operation under way on a resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What it does.
    pub kind: PendingKind,
    /// When it is through.
    pub due: Timestamp,
    /// How it ends.
    pub outcome: OperationOutcome,
}

/// What an operation does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PendingKind {
    /// Creates it.
    Create,
    /// Changes it.
    Update,
    /// Deletes it.
    Delete,
}

impl Resource {
    /// `provisioningState` as it is answered now.
    pub fn state(&self) -> &str {
        match &self.pending {
            None => &self.provisioning_state,
            Some(pending) => match pending.kind {
                PendingKind::Create | PendingKind::Update => "InProgress",
                PendingKind::Delete => "Deleting",
            },
        }
    }
}

impl Store {
    /// A resource, whatever the case of its id.
    pub fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    /// Creates or replaces a resource, and brings its system-assigned identity into the directory or takes it away, as
    /// the `identity` block says.
    pub fn put_resource(&mut self, resource: Resource, now: Timestamp) {
        let wanted = resource
            .identity
            .as_ref()
            .and_then(|block| get_str(block, "principalId"));
        let known = self
            .directory
            .managed_identity_of(&resource.id)
            .filter(|known| known.kind == ManagedIdentityKind::SystemAssigned)
            .map(|known| known.object_id.clone());
        if known.as_deref() != wanted {
            if known.is_some() {
                self.directory.remove_managed_identity_of(&resource.id);
            }
            if let Some(object_id) = wanted {
                self.directory.managed_identities.push(ManagedIdentity {
                    object_id: object_id.to_owned(),
                    ..ManagedIdentity::new(&resource.id, ManagedIdentityKind::SystemAssigned, now)
                });
            }
        }
        self.resources.insert(resource.id.to_ascii_lowercase(), resource);
    }

    /// Removes a resource with its managed identity and the role assignments on it. Those of its principal stay.
    pub(super) fn remove_resource(&mut self, key: &str, settled: &mut Settled) {
        settled.changed = true;
        if let Some(resource) = self.resources.remove(key) {
            self.directory.remove_managed_identity_of(&resource.id);
            settled.deleted_pools.extend(super::Pool::of(&resource));
            if self.hosts.remove(key).is_some() {
                settled.deleted_hosts.push(key.to_owned());
            }
        }
        let prefix = format!("{key}/");
        self.assignments.retain(|assignment| {
            let scope = assignment.scope.to_ascii_lowercase();
            scope != key && !scope.starts_with(&prefix)
        });
    }

    pub(super) fn settle_resources(&mut self, now: Timestamp, settled: &mut Settled) {
        let due: Vec<String> = self
            .resources
            .iter()
            .filter(|(_, resource)| resource.pending.as_ref().is_some_and(|pending| pending.due <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            settled.changed = true;
            let Some(resource) = self.resources.get_mut(&key) else {
                continue;
            };
            let Some(pending) = resource.pending.take() else {
                continue;
            };
            match (pending.kind, &pending.outcome) {
                (PendingKind::Delete, OperationOutcome::Succeeded) => self.remove_resource(&key, settled),
                (_, outcome) => outcome.as_str().clone_into(&mut resource.provisioning_state),
            }
        }
    }
}
