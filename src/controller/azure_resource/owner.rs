//! Whose an Azure resource is: what the mark on it said when its owner read it last, which is in the owner's status.

use crate::api::ManagedIdentity;
use crate::azure::ResourceId;
use crate::controller::watched::Kinds;
use crate::runtime::Snapshot;

use super::subject::AzureObject;

/// The objects of a kind that own a resource. What an object only says of it counts for nothing, be it an observer or one that
/// was refused.
pub async fn owners<K: AzureObject>(kinds: &Kinds, id: &ResourceId) -> Vec<Snapshot<K>> {
    let providers = kinds.references().providers(&id.key()).await;
    let of_kind = providers.iter().filter(|it| it.kind == K::NAME);
    let found = of_kind.filter_map(|it| K::watched(kinds).get(&it.key));
    found.filter(|it| it.reported().ownership.is_some()).collect()
}

/// Whether an identity belongs to a ManagedIdentity of another namespace. Then it is that namespace's to say who may be it: its
/// id makes it nobody else's, even where both namespaces use the same credential and Azure would allow it.
pub async fn is_of_another_namespace(kinds: &Kinds, namespace: &str, id: &ResourceId) -> bool {
    let owners = owners::<ManagedIdentity>(kinds, id).await;
    owners
        .iter()
        .any(|it| it.metadata.namespace.as_deref() != Some(namespace))
}
