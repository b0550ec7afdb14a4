//! Managed identities: service principals that a resource brings into the directory and takes away again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Directory, FederatedCredential, Principal};

/// The service principal of a managed identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedIdentity {
    /// Its client id.
    pub client_id: String,
    /// Object id of its service principal, which role assignments name.
    pub object_id: String,
    /// The resource that it comes and goes with (`xms_mirid` of its tokens): the user-assigned identity itself, or what a
    /// system-assigned one belongs to.
    pub resource_id: String,
    /// Whether the resource is the identity or only has it.
    pub kind: ManagedIdentityKind,
    /// When it came to be, by the virtual clock.
    pub created: Timestamp,
    /// Its federated credentials, in the order of their names; system-assigned identities have none.
    pub credentials: Vec<ManagedCredential>,
    /// Until when a write of one of them is under way.
    pub credential_write_until: Option<Timestamp>,
}

/// What a managed identity comes and goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagedIdentityKind {
    /// A resource of its own.
    UserAssigned,
    /// Another resource that has it.
    SystemAssigned,
}

/// A federated credential of a user-assigned identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedCredential {
    /// Its name, in the spelling of its creation.
    pub name: String,
    /// What an assertion must be.
    pub credential: FederatedCredential,
    /// When the authority knows it, by the virtual clock.
    pub effective: Timestamp,
}

impl ManagedIdentity {
    /// A new principal with ids of its own and without credentials.
    pub fn new(resource_id: &str, kind: ManagedIdentityKind, created: Timestamp) -> Self {
        Self {
            client_id: Uuid::new_v4().to_string(),
            object_id: Uuid::new_v4().to_string(),
            resource_id: resource_id.to_owned(),
            kind,
            created,
            credentials: Vec::new(),
            credential_write_until: None,
        }
    }

    /// Who a token of this identity stands for.
    pub fn principal(&self, tenant_id: &str) -> Principal {
        Principal {
            object_id: self.object_id.clone(),
            client_id: self.client_id.clone(),
            tenant_id: tenant_id.to_owned(),
            resource_id: Some(self.resource_id.clone()),
        }
    }
}

impl Directory {
    /// The managed identity of a client id.
    pub fn managed_identity(&self, client_id: &str) -> Option<&ManagedIdentity> {
        self.managed_identities
            .iter()
            .find(|one| one.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The managed identity of an object id.
    pub fn managed_identity_by_object_id(&self, object_id: &str) -> Option<&ManagedIdentity> {
        self.managed_identities
            .iter()
            .find(|one| one.object_id.eq_ignore_ascii_case(object_id))
    }

    /// The managed identity that is a resource or belongs to it, whatever the case of the resource's id.
    pub fn managed_identity_of(&self, resource_id: &str) -> Option<&ManagedIdentity> {
        self.managed_identities
            .iter()
            .find(|one| one.resource_id.eq_ignore_ascii_case(resource_id))
    }

    /// The same, to change it.
    pub fn managed_identity_of_mut(&mut self, resource_id: &str) -> Option<&mut ManagedIdentity> {
        self.managed_identities
            .iter_mut()
            .find(|one| one.resource_id.eq_ignore_ascii_case(resource_id))
    }

    /// Takes away the managed identity of a resource. Role assignments of its principal stay, as orphans.
    pub fn remove_managed_identity_of(&mut self, resource_id: &str) {
        self.managed_identities
            .retain(|one| !one.resource_id.eq_ignore_ascii_case(resource_id));
    }
}
