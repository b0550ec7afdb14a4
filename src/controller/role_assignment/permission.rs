//! Whether the installation lets an object assign its role.

use kube::ResourceExt;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::{ResourceGroup, RoleAssignment, SessionPool};
use crate::azure::resource_group::RESOURCE_GROUP_API_VERSION;
use crate::azure::role_assignment::Tuple;
use crate::azure::session_pool::PoolApiVersion;
use crate::azure::{ArmClient, ResourceId};
use crate::controller::azure_resource::{AzureObject, Blocked, Reports, ResourceState};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{Marking, Origin, OriginOnRecord, Owner, OwnerMark, Presence};
use crate::runtime::Snapshot;

use super::grants::{Grants, Permission};

/// A permission with what it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RolePermit {
    /// The role may be assigned.
    #[default]
    Granted,
    /// The role may be assigned if Azure, too, says that the scope belongs to this object.
    IfOwned(Box<ManagedScope>),
    /// The role may not be assigned.
    Refused,
}

/// What a Lifeguard object manages, according to its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedScope {
    api_version: &'static str,
    owner: Owner,
    on_record: Option<OriginOnRecord>,
    holds_others: bool,
}

/// What the list says, and for a scope that has to be managed, which object of the same namespace manages it.
pub async fn permit(context: &Context, grants: &Grants, object: &RoleAssignment, tuple: &Tuple) -> RolePermit {
    match grants.permission(tuple.role, &tuple.scope) {
        Permission::Granted => RolePermit::Granted,
        Permission::IfManaged => managed(context, object, &tuple.scope)
            .await
            .map_or(RolePermit::Refused, |it| RolePermit::IfOwned(Box::new(it))),
        Permission::Refused => RolePermit::Refused,
    }
}

/// Asks Azure whose the scope is: a status may be older than the truth, and the mark on the resource decides.
///
/// A group that was adopted is not enough. What is assigned on a group holds for all that is in it, and adopting a group
/// must not be a way to the pools that others had in it before. A group that an object created was empty then. That it did
/// only the operator says, by the seal of the mark: whoever may write tags could say so of any group.
pub async fn verify(
    arm: &ArmClient,
    scope: &ResourceId,
    managed: &ManagedScope,
    key: &OperatorKey,
) -> Result<RolePermit, Error> {
    let found = arm.find(scope.as_str(), managed.api_version).await?;
    let marking = Marking {
        place: OwnerMark::Tag,
        id: scope,
        owner: &managed.owner,
        key,
        on_record: managed.on_record.as_ref(),
    };
    Ok(match marking.presence(found.as_ref().map(|it| &it.body)) {
        Presence::Owned(Origin::Created) => RolePermit::Granted,
        Presence::Owned(Origin::Adopted) if !managed.holds_others => RolePermit::Granted,
        Presence::Owned(Origin::Adopted) | Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => {
            RolePermit::Refused
        }
    })
}

/// Whether nothing would be written over this.
pub fn is_at_rest(resource: &ResourceState) -> bool {
    match resource.presence() {
        Presence::Owned(origin) => resource.differences().is_empty() && !resource.mark_differs(origin),
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => false,
    }
}

async fn managed(context: &Context, object: &RoleAssignment, scope: &ResourceId) -> Option<ManagedScope> {
    let namespace = object.namespace().unwrap_or_default();
    let owner = |name: &str, uid: Option<String>| {
        Owner::new(
            context.cluster(),
            &namespace,
            name,
            &uid.unwrap_or_default(),
            Origin::Created,
        )
    };
    if let Some(pool) = manager::<SessionPool>(context, &namespace, scope).await {
        return Some(ManagedScope {
            api_version: PoolApiVersion::for_reading().as_str(),
            owner: owner(&pool.name_any(), pool.uid()),
            on_record: OriginOnRecord::of(pool.reported()),
            holds_others: false,
        });
    }
    let group = manager::<ResourceGroup>(context, &namespace, scope).await?;
    Some(ManagedScope {
        api_version: RESOURCE_GROUP_API_VERSION,
        owner: owner(&group.name_any(), group.uid()),
        on_record: OriginOnRecord::of(group.reported()),
        holds_others: true,
    })
}

/// The object of the namespace whose resource this is, and which is more than an observer of it. It need not be ready: a
/// pool that is being updated is managed all the same, and whether it is at all [`verify`] asks Azure.
async fn manager<K: AzureObject>(context: &Context, namespace: &str, scope: &ResourceId) -> Option<Snapshot<K>> {
    let providers = context.references().providers(&scope.key()).await;
    let mut own = providers
        .iter()
        .filter(|it| it.kind == K::NAME && it.key.namespace == namespace);
    own.find_map(|it| {
        let manages = |it: &Snapshot<K>| {
            it.meta().deletion_timestamp.is_none() && it.management().management_policy != ManagementPolicy::ObserveOnly
        };
        K::watched(context).get(&it.key).filter(manages)
    })
}

/// The role may not be assigned.
pub fn not_grantable(object: &RoleAssignment, tuple: &Tuple) -> Blocked {
    let (role, scope) = (tuple.role, &tuple.scope);
    Blocked::NotGrantable(format!(
        "the role `{}` ({role}) may not be assigned at {scope} by this namespace; the administrator of this installation \
         can allow it: `{role}@{scope}` in the chart's roleAssignments.grantable, or --grantable-role",
        object.spec.role
    ))
}
