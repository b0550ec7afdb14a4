//! What other kinds have to know of ManagedIdentities, beside whether one that they refer to may be used.

use std::time::Duration;

use crate::api::ManagedIdentity;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::ResourceId;
use crate::controller::azure_resource::Blocked;
use crate::controller::context::{Context, Watched};
use crate::controller::readiness::Verdict;
use crate::runtime::references::Kind;
use crate::runtime::{Key, Next};

/// Whether a ManagedIdentity of another namespace manages this identity. Then it is that namespace's to say who may be it:
/// neither its id nor an object that only observes it makes it anybody else's, even where both namespaces use the same
/// credential and Azure would allow it.
pub async fn is_of_another_namespace(context: &Context, namespace: &str, id: &str) -> bool {
    let Ok(id) = id.parse::<ResourceId>() else { return false };
    let providers = context.references().providers(&id.key()).await;
    let mut identities = providers.iter().filter(|it| it.kind == ManagedIdentity::NAME);
    identities.any(|it| {
        it.key.namespace != namespace && context.managed_identities.get(&it.key).is_some_and(|it| manages(&it))
    })
}

/// What an object says that would attach an identity of another namespace.
pub fn of_another_namespace(id: &str) -> Blocked {
    let message = format!("the identity {id} is managed by a ManagedIdentity of another namespace");
    Blocked {
        verdict: Verdict::stalled(Reason::OwnedByAnother, message),
        next: Next::Resync(Duration::from_mins(1)),
        is_credential_gone: false,
    }
}

fn manages(identity: &ManagedIdentity) -> bool {
    identity.spec.azure.management.management_policy != ManagementPolicy::ObserveOnly
}

/// The client id of an identity that may be on its way out, for those who still have to remove something as it.
pub fn known_client_id(identities: &Watched<ManagedIdentity>, namespace: &str, name: &str) -> Option<String> {
    let found = identities.get(&Key::new(namespace, name))?;
    found.status.as_ref()?.client_id.clone()
}
