//! What other kinds need of a ManagedIdentity that they refer to.

use std::time::Duration;

use kube::Resource;

use crate::api::ManagedIdentity;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::{Reason, kind};
use crate::azure::ResourceId;
use crate::controller::azure_resource::Held;
use crate::controller::context::{Context, Watched};
use crate::controller::readiness::{Verdict, is_ready};
use crate::runtime::conditions::find;
use crate::runtime::{Key, Next};

/// An identity that may be used: its object is `Ready`, and Azure has given it a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableIdentity {
    /// Azure resource id.
    pub id: ResourceId,
    /// Id of its service principal. An identity that was deleted and created again has another.
    pub principal_id: String,
    /// Client id, which changes together with the principal.
    pub client_id: String,
}

/// Why an identity cannot be used yet, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is no such object.
    #[error("ManagedIdentity {name} does not exist in this namespace")]
    Missing {
        /// Name of the object.
        name: String,
    },
    /// The object is being deleted. It waits for those that hold something of it in Azure, so they have to let go.
    #[error("ManagedIdentity {name} is being deleted")]
    BeingDeleted {
        /// Name of the object.
        name: String,
    },
    /// The object is not ready.
    #[error("ManagedIdentity {name} is not ready{because}")]
    NotReady {
        /// Name of the object.
        name: String,
        /// Why, for people, as the continuation of the sentence.
        because: String,
    },
}

impl Unusable {
    /// The reason that the object that refers to the identity gives.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. } => Reason::ReferenceNotFound,
            Self::BeingDeleted { .. } | Self::NotReady { .. } => Reason::ReferenceNotReady,
        }
    }

    /// Whether the identity goes: what was made with it has to be taken back.
    pub fn is_going(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::BeingDeleted { .. } => true,
            Self::NotReady { .. } => false,
        }
    }

    /// What an object that waits for the identity says. A change of the identity triggers it.
    pub fn held(&self) -> Held {
        Held {
            verdict: Verdict::progressing(self.reason(), self.to_string()),
            next: Next::Resync(Duration::from_mins(1)),
            is_credential_gone: false,
        }
    }
}

/// The identity that an object of the namespace refers to, once the ManagedIdentities are known.
pub async fn usable_identity(context: &Context, namespace: &str, name: &str) -> Result<UsableIdentity, Unusable> {
    context.managed_identities.cache().ready().await;
    usable_identity_of(&context.managed_identities, namespace, name)
}

/// The same of ManagedIdentities that are known already.
pub fn usable_identity_of(
    identities: &Watched<ManagedIdentity>,
    namespace: &str,
    name: &str,
) -> Result<UsableIdentity, Unusable> {
    let key = Key::new(namespace, name);
    match identities.get(&key) {
        Some(found) => judged(&found, name),
        // One that cannot be decoded is there, and what was made with it stays.
        None if !identities.cache().lacks(&key) => Err(Unusable::NotReady {
            name: name.to_owned(),
            because: ": it cannot be read".to_owned(),
        }),
        None => Err(Unusable::Missing { name: name.to_owned() }),
    }
}

/// Whether a ManagedIdentity of another namespace manages this identity. Then it is that namespace's to say who may be it:
/// neither its id nor an object that only observes it makes it anybody else's, even where both namespaces use the same
/// credential and Azure would allow it.
pub async fn is_of_another_namespace(context: &Context, namespace: &str, id: &str) -> bool {
    let identities = context.managed_identities.cache();
    identities.ready().await;
    identities.list().iter().any(|it| manages_elsewhere(it, namespace, id))
}

/// What an object says that would attach an identity of another namespace.
pub fn of_another_namespace(id: &str) -> Held {
    let message = format!("the identity {id} is managed by a ManagedIdentity of another namespace");
    Held {
        verdict: Verdict::stalled(Reason::OwnedByAnother, message),
        next: Next::Resync(Duration::from_mins(1)),
        is_credential_gone: false,
    }
}

fn manages_elsewhere(identity: &ManagedIdentity, namespace: &str, id: &str) -> bool {
    let is_elsewhere = identity.meta().namespace.as_deref() != Some(namespace);
    let manages = identity.spec.azure.management.management_policy != ManagementPolicy::ObserveOnly;
    let parsed = |id: &str| id.parse::<ResourceId>().ok();
    let own_id = identity.status.as_ref().and_then(|it| parsed(it.id.as_deref()?));
    is_elsewhere && manages && own_id.is_some() && own_id == parsed(id)
}

/// The client id of an identity that may be on its way out, for those who still have to remove something as it.
pub fn known_client_id(identities: &Watched<ManagedIdentity>, namespace: &str, name: &str) -> Option<String> {
    let found = identities.get(&Key::new(namespace, name))?;
    found.status.as_ref()?.client_id.clone()
}

fn judged(object: &ManagedIdentity, name: &str) -> Result<UsableIdentity, Unusable> {
    let name = name.to_owned();
    if object.meta().deletion_timestamp.is_some() {
        return Err(Unusable::BeingDeleted { name });
    }
    let status = object.status.clone().unwrap_or_default();
    if !is_ready(&status.conditions, object.meta().generation) {
        let because = match find(&status.conditions, kind::READY) {
            Some(ready) if ready.status != "True" => format!(": {}: {}", ready.reason, ready.message),
            Some(_) | None => " yet".to_owned(),
        };
        return Err(Unusable::NotReady { name, because });
    }
    let id: Option<ResourceId> = status.id.and_then(|id| id.parse().ok());
    match (id, status.principal_id, status.client_id) {
        (Some(id), Some(principal_id), Some(client_id)) => Ok(UsableIdentity {
            id,
            principal_id,
            client_id,
        }),
        _ => Err(Unusable::NotReady {
            name,
            because: ": it has no principal yet".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{ManagedIdentitySpec, ManagedIdentityStatus};

    const ID: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner";

    fn identity(verdict: &Verdict) -> ManagedIdentity {
        let mut object = ManagedIdentity::new("runner", ManagedIdentitySpec::default());
        object.metadata.generation = Some(1);
        object.status = Some(ManagedIdentityStatus {
            conditions: verdict.conditions(&[], Some(1), Timestamp::UNIX_EPOCH),
            id: Some(ID.to_owned()),
            principal_id: Some("p".to_owned()),
            client_id: Some("c".to_owned()),
            ..ManagedIdentityStatus::default()
        });
        object
    }

    fn ready() -> ManagedIdentity {
        identity(&Verdict::ready(Reason::Available, "m"))
    }

    #[test]
    fn an_identity_may_be_used_while_it_is_ready() {
        let found = judged(&ready(), "runner").unwrap();
        assert_eq!(
            (found.principal_id.as_str(), found.client_id.as_str(), found.id.as_str()),
            ("p", "c", ID)
        );
    }

    #[test]
    fn what_goes_is_told_from_what_is_not_ready() {
        let mut going = ready();
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let mut changed = ready();
        changed.metadata.generation = Some(2);
        let mut without_principal = ready();
        without_principal.status.as_mut().unwrap().principal_id = None;
        let creating = identity(&Verdict::progressing(Reason::Creating, "it is being created"));
        for (object, reason, is_going, text) in [
            (going, Reason::ReferenceNotReady, true, "is being deleted"),
            (changed, Reason::ReferenceNotReady, false, "is not ready yet"),
            (without_principal, Reason::ReferenceNotReady, false, "no principal yet"),
            (
                creating,
                Reason::ReferenceNotReady,
                false,
                "Creating: it is being created",
            ),
        ] {
            let unusable = judged(&object, "runner").unwrap_err();
            assert_eq!(
                (unusable.reason(), unusable.is_going()),
                (reason, is_going),
                "{unusable}"
            );
            assert!(unusable.to_string().contains(text), "{unusable}");
        }
    }
    #[test]
    fn an_identity_is_that_of_the_namespace_that_manages_it_in_whatever_spelling() {
        let mut theirs = ready();
        theirs.metadata.namespace = Some("theirs".to_owned());
        assert!(manages_elsewhere(&theirs, "mine", ID));
        assert!(manages_elsewhere(&theirs, "mine", &ID.to_uppercase()));
        assert!(!manages_elsewhere(&theirs, "theirs", ID));
        assert!(!manages_elsewhere(&theirs, "mine", &format!("{ID}2")));
        theirs.spec.azure.management.management_policy = ManagementPolicy::ObserveOnly;
        assert!(!manages_elsewhere(&theirs, "mine", ID));
        theirs.spec.azure.management.management_policy = ManagementPolicy::Enforce;
        theirs.status = None;
        assert!(!manages_elsewhere(&theirs, "mine", ID));
    }
}
