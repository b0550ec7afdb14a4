//! The managed identities of a host, and which of them a request means.

use serde_json::Value;

use crate::arm::identity_block;
use crate::identity::{ManagedIdentity, ManagedIdentityKind};
use crate::json::{get, get_str};
use crate::query;
use crate::store::{Resource, Store};

const CONTAINER_APPS: &str = "Microsoft.App/containerApps";
const CONTAINER_GROUPS: &str = "Microsoft.ContainerInstance/containerGroups";

/// Whether there is a host of this lower-cased id.
pub fn is_host(store: &Store, host: &str) -> bool {
    host == store.operator_host().to_ascii_lowercase()
        || store
            .resource(host)
            .is_some_and(|resource| [CONTAINER_APPS, CONTAINER_GROUPS].contains(&resource.resource_type.as_str()))
}

/// The system-assigned identity of a host, whether its workload may use it or not.
pub fn system_assigned<'a>(store: &'a Store, host: &str) -> Option<&'a ManagedIdentity> {
    store
        .directory
        .managed_identity_of(host)
        .filter(|identity| identity.kind == ManagedIdentityKind::SystemAssigned)
}

/// The identities that the main containers of a host may use, the system-assigned one first.
///
/// What is not attached is not there; nor is a user-assigned identity that was deleted or created anew after it was
/// attached, as its principal is another one.
pub fn usable<'a>(store: &'a Store, host: &str) -> Vec<&'a ManagedIdentity> {
    let Some(resource) = store.resource(host) else {
        return system_assigned(store, host).into_iter().collect();
    };
    identity_block::object_ids(resource.identity.as_ref())
        .into_iter()
        .filter_map(|object_id| store.directory.managed_identity_by_object_id(object_id))
        .filter(|identity| is_let_in(resource, identity))
        .collect()
}

/// Whether the resource's own settings let the identity into its main containers.
fn is_let_in(resource: &Resource, identity: &ManagedIdentity) -> bool {
    if resource.resource_type == CONTAINER_GROUPS {
        return access_of_group(&resource.properties, identity);
    }
    let settings = get(&resource.properties, "configuration").and_then(|one| get(one, "identitySettings"));
    let setting = items(settings).find(|setting| names(get_str(setting, "identity"), identity));
    setting
        .and_then(|setting| get_str(setting, "lifecycle"))
        .is_none_or(|lifecycle| ["main", "all"].contains(&lifecycle.to_ascii_lowercase().as_str()))
}

/// `identityAcls` of a container group: `System` is for the platform only.
fn access_of_group(properties: &Value, identity: &ManagedIdentity) -> bool {
    let Some(acls) = get(properties, "identityAcls") else {
        return true;
    };
    let acl = items(get(acls, "acls")).find(|acl| names(get_str(acl, "identity"), identity));
    let access = acl
        .and_then(|acl| get_str(acl, "access"))
        .or_else(|| get_str(acls, "defaultAccess"));
    access.is_none_or(|access| ["all", "user"].contains(&access.to_ascii_lowercase().as_str()))
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

/// Whether a setting means this identity: `system`, or the id of a user-assigned one.
fn names(setting: Option<&str>, identity: &ManagedIdentity) -> bool {
    setting.is_some_and(|setting| match identity.kind {
        ManagedIdentityKind::SystemAssigned => setting.eq_ignore_ascii_case("system"),
        ManagedIdentityKind::UserAssigned => setting.eq_ignore_ascii_case(&identity.resource_id),
    })
}

/// What a request says about the identity that it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector<'a> {
    /// Nothing.
    None,
    /// The identity of a client id.
    ClientId(&'a str),
    /// The identity whose service principal has this object id.
    ObjectId(&'a str),
    /// The user-assigned identity that is this resource.
    ResourceId(&'a str),
    /// More than one selector.
    Several,
}

impl<'a> Selector<'a> {
    /// Reads the query. Documentation and client libraries spell the selectors differently; all spellings are taken.
    pub fn read(parameters: &'a [(String, String)]) -> Self {
        let value = |name: &str| query::find(parameters, name).filter(|value| !value.is_empty());
        let mut given = [
            value("client_id").or_else(|| value("clientid")).map(Self::ClientId),
            value("object_id").or_else(|| value("principal_id")).map(Self::ObjectId),
            value("mi_res_id").or_else(|| value("msi_res_id")).map(Self::ResourceId),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (None, _) => Self::None,
            (Some(one), None) => one,
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// Whether it means this identity. Without a selector none is meant.
    pub fn takes(&self, identity: &ManagedIdentity) -> bool {
        match self {
            Self::None | Self::Several => false,
            Self::ClientId(id) => id.eq_ignore_ascii_case(&identity.client_id),
            Self::ObjectId(id) => id.eq_ignore_ascii_case(&identity.object_id),
            Self::ResourceId(id) => {
                identity.kind == ManagedIdentityKind::UserAssigned && id.eq_ignore_ascii_case(&identity.resource_id)
            }
        }
    }
}
