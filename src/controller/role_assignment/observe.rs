//! One look at a role assignment: at what is wanted, or at what is held and no longer wanted.

use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::azure::ResourceId;
use crate::azure::role_assignment::{IMMUTABLE, SHAPE, Tuple, at_scope, scope_of};
use crate::azure::role_definition::{AUTHORIZATION_API_VERSION, RoleId};
use crate::controller::azure_resource::{
    Blocked, Body, Dependency, Histories, Observation, Occupants, OpenAccount, Registration, Reports, ResourceState,
    Subject, Tagging, open_account, read_state,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::ownership::{Origin, Owner, OwnerMark, Presence};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::grants::Grants;
use super::permission::{Verified, permit, verify};
use super::reference::{Unresolved, Wanted, resolve, stalled};

/// What a pass observed, and what it is about.
#[derive(Debug)]
pub struct Observed {
    /// What was found at the assignment that the aim names.
    pub observation: Observation,
    /// What the pass is about.
    pub aim: Aim,
}

impl AsRef<Observation> for Observed {
    fn as_ref(&self) -> &Observation {
        &self.observation
    }
}

impl AsMut<Observation> for Observed {
    fn as_mut(&mut self) -> &mut Observation {
        &mut self.observation
    }
}

/// What a pass is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    /// The assignment that the object wants, or what it waits for.
    Ensure(Option<Box<Claim>>),
    /// An assignment that the object holds and no longer wants; what the status says meanwhile and afterwards.
    Revoke(Blocked),
    /// The object is being deleted, and with it what it holds.
    Finalize,
    /// The object is being deleted and holds nothing.
    Nothing,
}

/// What the status says of an assignment before it is written, so that it is found again whatever happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The assignment.
    pub id: ResourceId,
    /// What it says.
    pub tuple: Tuple,
}

impl Claim {
    /// Whether the status says it already.
    pub fn is_recorded(&self, status: Option<&RoleAssignmentStatus>) -> bool {
        status.is_some_and(|it| {
            it.azure
                .id
                .as_deref()
                .and_then(|id| id.parse::<ResourceId>().ok())
                .as_ref()
                == Some(&self.id)
                && recorded_tuple(it).as_ref() == Some(&self.tuple)
        })
    }
}

/// What the status says that the assignment says.
pub(super) fn recorded_tuple(status: &RoleAssignmentStatus) -> Option<Tuple> {
    Some(Tuple {
        scope: status.scope.as_deref()?.parse().ok()?,
        role: RoleId::of_definition(status.role_definition_id.as_deref()?)?,
        principal: status.principal_id.as_deref()?.parse().ok()?,
    })
}

/// Looks.
pub async fn observe(
    context: &Context,
    histories: &Histories,
    grants: &Grants,
    object: &RoleAssignment,
) -> Result<Observed, Error> {
    let is_deleted = object.meta().deletion_timestamp.is_some();
    let held = held_id(object);
    if is_deleted && (held.is_none() || Subject::of(object).is_abandoned) {
        let aim = if held.is_none() { Aim::Nothing } else { Aim::Finalize };
        let observation = Observation::Blocked(nothing());
        return Ok(Observed { observation, aim });
    }
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Blocked(blocked) => return Ok(waits(is_deleted, blocked)),
    };
    let sight = Sight {
        context,
        histories,
        object,
        account,
    };
    if let (true, Some(id)) = (is_deleted, &held) {
        let observation = sight.at_what_is_left(id.clone()).await?;
        return Ok(Observed {
            observation,
            aim: Aim::Finalize,
        });
    }
    let wanted = match resolve(context, sight.account.account.arm(), object).await? {
        Ok(wanted) => wanted,
        Err(Unresolved::NotYet(why)) => return Ok(waits(false, why)),
        Err(Unresolved::Gone(why)) => {
            return match held {
                Some(id) => sight.revoke(id, why).await,
                None => Ok(waits(false, why)),
            };
        }
    };
    let recorded = object.status.as_ref().and_then(recorded_tuple);
    if let Some(id) = &held
        && recorded.as_ref() != Some(&wanted.tuple)
    {
        return sight
            .revoke(id.clone(), replaced(&wanted.tuple, recorded.as_ref()))
            .await;
    }
    let is_observer = object.spec.management.management_policy == ManagementPolicy::ObserveOnly;
    let permission = if is_observer {
        Verified::Granted
    } else {
        match permit(context, grants, object, &wanted.tuple).await {
            Ok(permission) => permission,
            Err(refused) => return Ok(waits(false, refused)),
        }
    };
    let seen = match sight.at_what_is_wanted(&wanted, held).await? {
        Dependency::Met(seen) => seen,
        Dependency::Blocked(blocked) => return Ok(waits(false, blocked)),
    };
    let resource = match seen {
        Found::Wanted(resource) => resource,
        Found::Orphan(id) => return sight.revoke(id, replaced(&wanted.tuple, None)).await,
    };
    if let Verified::IfOwned(managed) = &permission
        && !is_at_rest(&resource)
        && let Err(refused) = verify(sight.account.account.arm(), object, &wanted.tuple, managed).await?
    {
        return Ok(waits(false, refused));
    }
    let claim = Claim {
        id: resource.id.clone(),
        tuple: wanted.tuple,
    };
    Ok(Observed {
        observation: Observation::Seen(resource),
        aim: Aim::Ensure(Some(Box::new(claim))),
    })
}

/// What a look at the wanted assignment came upon.
enum Found {
    /// It, or its absence.
    Wanted(Box<ResourceState>),
    /// An assignment of this object that is not the wanted one, made before its status was lost.
    Orphan(ResourceId),
}

/// What every look needs.
struct Sight<'a> {
    context: &'a Context,
    histories: &'a Histories,
    object: &'a RoleAssignment,
    account: OpenAccount,
}

impl Sight<'_> {
    /// The assignment of the wanted tuple, whatever its GUID: Azure has one of each tuple.
    async fn at_what_is_wanted(&self, wanted: &Wanted, held: Option<ResourceId>) -> Result<Dependency<Found>, Error> {
        let tuple = &wanted.tuple;
        let own = match tuple.id() {
            Ok(id) => id,
            Err(error) => {
                let message = format!("the scope {} cannot be assigned at: {error}", tuple.scope);
                return Ok(Dependency::Blocked(stalled(Reason::InvalidSpec, message)));
            }
        };
        let mut resource = self.resource(held.unwrap_or_else(|| own.clone()));
        resource.desired = Body(tuple.body());
        resource.defaults = json!({"properties": {"principalType": wanted.principal_type}});
        let mut resource = match read_state(self.context, self.histories, self.object, resource).await? {
            Dependency::Met(resource) => resource,
            Dependency::Blocked(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        if resource.actual.is_none() {
            resource.id = own;
            let others = at_scope(self.account.account.arm(), &tuple.scope).await?;
            if let Some((id, other)) = others.iter().find_map(|it| same(it, tuple)) {
                resource.id = id;
                resource.take_note(Some(other.clone()));
            } else if let Some(id) = others.iter().find_map(|it| orphan(it, &resource.owner, self.object)) {
                return Ok(Dependency::Met(Found::Orphan(id)));
            }
        }
        name_principal_type(&mut resource, wanted);
        Ok(Dependency::Met(Found::Wanted(Box::new(resource))))
    }

    /// An assignment that is to go.
    async fn at_what_is_left(&self, id: ResourceId) -> Result<Observation, Error> {
        let resource = self.resource(id);
        Ok(
            match read_state(self.context, self.histories, self.object, resource).await? {
                Dependency::Met(resource) => Observation::Seen(Box::new(resource)),
                Dependency::Blocked(blocked) => Observation::Blocked(blocked),
            },
        )
    }

    async fn revoke(&self, id: ResourceId, why: Blocked) -> Result<Observed, Error> {
        Ok(match self.at_what_is_left(id).await? {
            Observation::Blocked(blocked) => waits(false, blocked),
            observation @ Observation::Seen(_) => Observed {
                observation,
                aim: Aim::Revoke(why),
            },
        })
    }

    fn resource(&self, id: ResourceId) -> ResourceState {
        let uid = self.object.uid().unwrap_or_default();
        ResourceState {
            arm: Some(self.account.account.arm().clone()),
            id,
            api_version: AUTHORIZATION_API_VERSION,
            shape: &SHAPE,
            immutable: IMMUTABLE,
            tagging: Tagging::Put,
            mark: OwnerMark::Description,
            owner: Owner::new(
                self.context.cluster(),
                &self.object.namespace().unwrap_or_default(),
                &self.object.name_any(),
                &uid,
                Origin::Created,
            ),
            desired: Body(json!({})),
            defaults: json!({}),
            actual: None,
            pause: None,
            secrets_digest: None,
            given_secrets_digest: None,
            unwritable: None,
            registration: Registration::NotNeeded,
            occupants: Occupants::None,
            account_is_held: self.account.is_held,
            history: self.histories.of(&uid),
            key: self.context.key().clone(),
        }
    }
}

/// An assignment of which Azure does not say what its principal is gets that with the next write. It is no difference by
/// itself: Azure knows better than the spec what a principal is.
pub(super) fn name_principal_type(resource: &mut ResourceState, wanted: &Wanted) {
    let properties = resource
        .actual
        .as_mut()
        .and_then(|it| it.get_mut("properties")?.as_object_mut());
    if let Some(properties) = properties
        && properties.get("principalType").is_none_or(Value::is_null)
    {
        properties.insert("principalType".to_owned(), json!(wanted.principal_type));
    }
}

pub(super) fn same<'a>(assignment: &'a Value, tuple: &Tuple) -> Option<(ResourceId, &'a Value)> {
    (Tuple::of(assignment).as_ref() == Some(tuple)).then_some((id_of(assignment)?, assignment))
}

/// An object that only observes takes nothing back, so it has no orphans.
pub(super) fn orphan(assignment: &Value, owner: &Owner, object: &RoleAssignment) -> Option<ResourceId> {
    if object.spec.management.management_policy == ManagementPolicy::ObserveOnly {
        return None;
    }
    match Presence::of(Some(assignment), owner, OwnerMark::Description) {
        Presence::Owned(_) => id_of(assignment),
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => None,
    }
}

fn id_of(assignment: &Value) -> Option<ResourceId> {
    assignment.get("id")?.as_str()?.parse().ok()
}

/// The assignment that the status names.
pub(super) fn held_id(object: &RoleAssignment) -> Option<ResourceId> {
    let id: ResourceId = object.reported().id.as_deref()?.parse().ok()?;
    scope_of(&id).is_some().then_some(id)
}

/// Whether nothing would be written over this.
fn is_at_rest(resource: &ResourceState) -> bool {
    match resource.presence() {
        Presence::Owned(origin) => resource.differences().is_empty() && !resource.mark_differs(origin),
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => false,
    }
}

fn waits(is_deleted: bool, blocked: Blocked) -> Observed {
    Observed {
        observation: Observation::Blocked(blocked),
        aim: if is_deleted { Aim::Finalize } else { Aim::Ensure(None) },
    }
}

pub(super) fn replaced(wanted: &Tuple, recorded: Option<&Tuple>) -> Blocked {
    let what = match recorded {
        Some(recorded) if recorded.principal != wanted.principal => {
            format!(
                "the principal is {} now and was {}",
                wanted.principal, recorded.principal
            )
        }
        Some(recorded) if recorded.scope != wanted.scope => {
            format!("the scope is {} now and was {}", wanted.scope, recorded.scope)
        }
        Some(_) | None => "it is not what spec says".to_owned(),
    };
    Blocked {
        verdict: Verdict::progressing(
            Reason::Updating,
            format!("the assignment of before is taken back: {what}"),
        ),
        next: Next::Poll { after: None },
        is_credential_gone: false,
    }
}

fn nothing() -> Blocked {
    Blocked {
        verdict: Verdict::progressing(Reason::Deleting, "nothing is held in Azure"),
        next: Next::AwaitChange,
        is_credential_gone: false,
    }
}
