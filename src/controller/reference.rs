//! References of objects to each other: what the index knows of an object, and what became of a reference.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{Reason, kind};
use crate::api::reference::LocalReference;
use crate::api::{
    AzureAccount, AzureAccountSpec, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool,
};
use crate::azure::ResourceId;
use crate::runtime::conditions::find;
use crate::runtime::references::{Entry, Kind};
use crate::runtime::{Key, ObjectId, Snapshot, Target};

use super::readiness::{is_provisioned, is_ready};
use super::watched::{Kinds, Watched, WatchedKind};

/// A reference to an object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What is referred to.
    pub target: Target,
    /// Whether the end of the target has to wait until the object that refers to it is gone.
    pub is_needed: bool,
}

impl Reference {
    /// A reference of an object of `namespace` to one of kind `K`. Its end need not wait.
    pub fn to<K: Kind>(namespace: &str, reference: &LocalReference) -> Self {
        Self {
            target: Target::Object(ObjectId::new::<K>(namespace, &reference.name)),
            is_needed: false,
        }
    }

    /// A reference to whatever object manages an Azure resource; `None` if the text is no id.
    pub fn to_resource(id: &str) -> Option<Self> {
        let id: ResourceId = id.parse().ok()?;
        Some(Self {
            target: Target::External(id.key()),
            is_needed: false,
        })
    }

    /// The same reference, whose target has to wait if `is_needed`.
    #[must_use]
    pub fn needed(self, is_needed: bool) -> Self {
        Self { is_needed, ..self }
    }
}

/// The entry of an object that makes these references and reports this Azure resource.
pub fn entry(references: impl IntoIterator<Item = Reference>, resource: Option<&str>) -> Entry {
    let id: Option<ResourceId> = resource.and_then(|id| id.parse().ok());
    let mut entry = Entry {
        provides: id.map(|id| id.key()),
        ..Entry::default()
    };
    for Reference { target, is_needed } in references {
        entry.refer(target, is_needed);
    }
    entry
}

/// The AzureAccount that an object of the namespace uses.
pub fn account_id(namespace: &str, account_ref: Option<&LocalReference>) -> ObjectId {
    ObjectId::new::<AzureAccount>(namespace, AzureAccountSpec::name_for(account_ref))
}

/// What stands for all accounts of a namespace: a job that names none may wait for any of them.
pub fn accounts_of(namespace: &str) -> String {
    format!("accounts of {namespace}")
}

/// A kind that others refer to, and wait for.
pub trait Referable: WatchedKind {
    /// The conditions of the object.
    fn conditions(&self) -> &[Condition];
}

macro_rules! referable {
    ($($kind:ty),+) => {
        $(impl Referable for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map(|it| it.azure.conditions.as_slice()).unwrap_or_default()
            }
        })+
    };
}

referable!(
    IdentityAssignment,
    ManagedIdentity,
    ResourceGroup,
    RoleAssignment,
    SessionPool
);

impl Referable for AzureAccount {
    fn conditions(&self) -> &[Condition] {
        self.status
            .as_ref()
            .map(|it| it.conditions.as_slice())
            .unwrap_or_default()
    }
}

/// Why an object that is referred to cannot be used yet, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such object.
    #[error("{kind} {name} does not exist in this namespace")]
    Missing {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// The object is being deleted. It waits for those that hold something of it in Azure, so they have to let go.
    #[error("{kind} {name} is being deleted")]
    BeingDeleted {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
    },
    /// The object is not ready.
    #[error("{kind} {name} is not ready{because}")]
    NotReady {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// Why, for people, as the continuation of the sentence.
        because: String,
    },
    /// The object is all that it should be, and has not what it is referred to for: nothing will come of waiting.
    #[error("{kind} {name} is ready but has no {what}")]
    Lacking {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// What it has not.
        what: &'static str,
    },
}

impl Unresolved {
    /// The object is not ready, for a reason that its conditions do not say.
    pub fn not_ready<K: Kind>(name: &str, because: impl Into<String>) -> Self {
        Self::NotReady {
            kind: K::NAME,
            name: name.to_owned(),
            because: because.into(),
        }
    }

    /// The reason that the object that makes the reference gives.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. } => Reason::ReferenceNotFound,
            Self::BeingDeleted { .. } | Self::NotReady { .. } | Self::Lacking { .. } => Reason::ReferenceNotReady,
        }
    }

    /// Whether the object goes, or is of no use for good: what was made with it has to be taken back.
    pub fn is_going(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::BeingDeleted { .. } | Self::Lacking { .. } => true,
            Self::NotReady { .. } => false,
        }
    }
}

/// The object that a reference names, once it is ready.
///
/// One that cannot be decoded is there and not ready: what was made with it stays.
pub async fn resolve<K: Referable>(kinds: &Kinds, namespace: &str, name: &str) -> Result<Snapshot<K>, Unresolved> {
    let watched = K::watched(kinds);
    watched.cache().ready().await;
    resolve_in(watched, namespace, name)
}

/// The same among objects that were listed already.
pub fn resolve_in<K: Referable>(watched: &Watched<K>, namespace: &str, name: &str) -> Result<Snapshot<K>, Unresolved> {
    let key = Key::new(namespace, name);
    let Some(found) = watched.get(&key) else {
        return Err(if watched.cache().lacks(&key) {
            Unresolved::Missing {
                kind: K::NAME,
                name: name.to_owned(),
            }
        } else {
            Unresolved::not_ready::<K>(name, ": it cannot be read")
        });
    };
    readiness(&*found, name)?;
    Ok(found)
}

/// Whether an object may be used, and if not, why.
pub fn readiness<K: Referable>(object: &K, name: &str) -> Result<(), Unresolved> {
    if object.meta().deletion_timestamp.is_some() {
        let (kind, name) = (K::NAME, name.to_owned());
        return Err(Unresolved::BeingDeleted { kind, name });
    }
    // What works goes on although a change of it cannot be made.
    let conditions = object.conditions();
    if is_provisioned(conditions) == Some(true) || is_ready(conditions, object.meta().generation) {
        return Ok(());
    }
    Err(Unresolved::not_ready::<K>(name, why_not_ready(conditions)))
}

/// Why an object is not ready, as the continuation of a sentence.
pub fn why_not_ready(conditions: &[Condition]) -> String {
    match find(conditions, kind::READY) {
        Some(ready) if ready.status != "True" => format!(": {}: {}", ready.reason, ready.message),
        Some(_) | None => " yet".to_owned(),
    }
}

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

/// The identity that an object of the namespace refers to.
pub async fn usable_identity(kinds: &Kinds, namespace: &str, name: &str) -> Result<UsableIdentity, Unresolved> {
    usable(&*resolve::<ManagedIdentity>(kinds, namespace, name).await?, name)
}

/// The same among identities that were listed already.
pub fn usable_identity_in(
    identities: &Watched<ManagedIdentity>,
    namespace: &str,
    name: &str,
) -> Result<UsableIdentity, Unresolved> {
    usable(&*resolve_in(identities, namespace, name)?, name)
}

fn usable(object: &ManagedIdentity, name: &str) -> Result<UsableIdentity, Unresolved> {
    let status = object.status.clone().unwrap_or_default();
    let id: Option<ResourceId> = status.azure.id.and_then(|id| id.parse().ok());
    match (id, status.principal_id, status.client_id) {
        (Some(id), Some(principal_id), Some(client_id)) => Ok(UsableIdentity {
            id,
            principal_id,
            client_id,
        }),
        _ => Err(Unresolved::not_ready::<ManagedIdentity>(
            name,
            ": it has no principal yet",
        )),
    }
}

/// The client id of an identity that may be on its way out, for those who still have to remove something as it.
pub fn known_client_id(identities: &Watched<ManagedIdentity>, namespace: &str, name: &str) -> Option<String> {
    let found = identities.get(&Key::new(namespace, name))?;
    found.status.as_ref()?.client_id.clone()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::azure_resource::AzureResourceStatus;
    use crate::api::{ManagedIdentitySpec, ManagedIdentityStatus};
    use crate::controller::readiness::Verdict;

    const ID: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner";

    fn identity(verdict: &Verdict) -> ManagedIdentity {
        let mut object = ManagedIdentity::new("runner", ManagedIdentitySpec::default());
        object.metadata.generation = Some(1);
        object.status = Some(ManagedIdentityStatus {
            azure: AzureResourceStatus {
                conditions: verdict.conditions(&[], Some(1), Timestamp::UNIX_EPOCH),
                id: Some(ID.to_owned()),
                ..AzureResourceStatus::default()
            },
            principal_id: Some("p".to_owned()),
            client_id: Some("c".to_owned()),
            ..ManagedIdentityStatus::default()
        });
        object
    }

    fn ready() -> ManagedIdentity {
        identity(&Verdict::ready(Reason::Available, "m"))
    }

    fn judged(object: &ManagedIdentity) -> Result<UsableIdentity, Unresolved> {
        readiness(object, "runner").and_then(|()| usable(object, "runner"))
    }

    #[test]
    fn an_identity_may_be_used_while_it_is_ready() {
        let found = judged(&ready()).unwrap();
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
            let unresolved = judged(&object).unwrap_err();
            assert_eq!(
                (unresolved.reason(), unresolved.is_going()),
                (reason, is_going),
                "{unresolved}"
            );
            assert!(unresolved.to_string().contains(text), "{unresolved}");
        }
    }

    #[test]
    fn a_resource_is_the_same_in_whatever_spelling() {
        let provided = entry([], Some(ID)).provides.unwrap();
        let named = Reference::to_resource(&ID.to_uppercase()).unwrap();
        assert_eq!(named.target, Target::External(provided));
        assert_eq!(Reference::to_resource("runner"), None);
    }
}
