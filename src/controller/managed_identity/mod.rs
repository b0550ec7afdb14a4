//! ManagedIdentity: keeps a Microsoft.ManagedIdentity/userAssignedIdentities resource as its spec says.

mod reference;

pub use reference::{Unusable, UsableIdentity, known_client_id, usable_identity, usable_identity_of};

use crate::api::ManagedIdentity;
use crate::api::azure_resource::ManagementSpec;

use super::azure_resource::{AzureObject, Reported};

impl AzureObject for ManagedIdentity {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
    }

    fn reported(&self) -> Reported<'_> {
        self.status.as_ref().map_or_else(Reported::default, |status| Reported {
            observed_generation: status.observed_generation,
            conditions: &status.conditions,
            id: status.id.as_deref(),
            provisioning_state: None,
            drift: &status.drift,
        })
    }
}
