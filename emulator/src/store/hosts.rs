//! Hosts: machines whose workload can ask for tokens of the identities that are attached to them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Store;
use crate::identity::{ManagedIdentity, ManagedIdentityKind};

/// What a host's endpoints keep for as long as it exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpoint {
    /// Port that it listens on; 0 before it first did.
    pub port: u16,
    /// Secret that requests to its App Service endpoint carry.
    pub header: String,
}

impl Store {
    /// The id of the operator's host: a machine that Resource Manager does not show, with a system-assigned identity.
    pub fn operator_host(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/operator/providers/Microsoft.Compute/virtualMachines/operator",
            self.first_subscription()
        )
    }

    /// Brings the identity of the operator's host into the directory, where it has always been.
    pub(crate) fn ensure_operator_host(&mut self) {
        let id = self.operator_host();
        if self.directory.managed_identity_of(&id).is_none() {
            let identity = ManagedIdentity::new(&id, ManagedIdentityKind::SystemAssigned, Timestamp::UNIX_EPOCH);
            self.directory.managed_identities.push(identity);
        }
    }

    /// What the endpoints of a host keep, made if it had none.
    pub(crate) fn host_endpoint(&mut self, key: &str) -> &mut HostEndpoint {
        self.hosts.entry(key.to_owned()).or_insert_with(|| HostEndpoint {
            port: 0,
            header: Uuid::new_v4().to_string(),
        })
    }
}
