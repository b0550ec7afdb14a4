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
    Body, Dependency, Held, Look, Memories, Occupants, OpenAccount, Registration, Reports, Subject, Tagging, View,
    look_at, open_account,
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
    /// The look at the assignment that the aim names.
    pub look: Look,
    /// What the pass is about.
    pub aim: Aim,
}

impl AsMut<Look> for Observed {
    fn as_mut(&mut self) -> &mut Look {
        &mut self.look
    }
}

/// What a pass is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Aim {
    /// The assignment that the object wants, or what it waits for.
    Have(Option<Box<Claim>>),
    /// An assignment that the object holds and no longer wants; what the status says meanwhile and afterwards.
    TakeBack(Held),
    /// The object is being deleted, and with it what it holds.
    End,
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
    memories: &Memories,
    grants: &Grants,
    object: &RoleAssignment,
) -> Result<Observed, Error> {
    let is_deleted = object.meta().deletion_timestamp.is_some();
    let held = held_id(object);
    if is_deleted && (held.is_none() || Subject::of(object).is_abandoned) {
        let aim = if held.is_none() { Aim::Nothing } else { Aim::End };
        let look = Look::Held(nothing());
        return Ok(Observed { look, aim });
    }
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Held(held) => return Ok(waits(is_deleted, held)),
    };
    let sight = Sight {
        context,
        memories,
        object,
        account,
    };
    if let (true, Some(id)) = (is_deleted, &held) {
        let look = sight.at_what_is_left(id.clone()).await?;
        return Ok(Observed { look, aim: Aim::End });
    }
    let wanted = match resolve(context, sight.account.account.arm(), object).await? {
        Ok(wanted) => wanted,
        Err(Unresolved::NotYet(why)) => return Ok(waits(false, why)),
        Err(Unresolved::Gone(why)) => {
            return match held {
                Some(id) => sight.take_back(id, why).await,
                None => Ok(waits(false, why)),
            };
        }
    };
    let recorded = object.status.as_ref().and_then(recorded_tuple);
    if let Some(id) = &held
        && recorded.as_ref() != Some(&wanted.tuple)
    {
        return sight
            .take_back(id.clone(), replaced(&wanted.tuple, recorded.as_ref()))
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
        Dependency::Held(held) => return Ok(waits(false, held)),
    };
    let view = match seen {
        Found::Wanted(view) => view,
        Found::Orphan(id) => return sight.take_back(id, replaced(&wanted.tuple, None)).await,
    };
    if let Verified::IfOwned(managed) = &permission
        && !is_at_rest(&view)
        && let Err(refused) = verify(sight.account.account.arm(), object, &wanted.tuple, managed).await?
    {
        return Ok(waits(false, refused));
    }
    let claim = Claim {
        id: view.id.clone(),
        tuple: wanted.tuple,
    };
    Ok(Observed {
        look: Look::Seen(view),
        aim: Aim::Have(Some(Box::new(claim))),
    })
}

/// What a look at the wanted assignment came upon.
enum Found {
    /// It, or its absence.
    Wanted(Box<View>),
    /// An assignment of this object that is not the wanted one, made before its status was lost.
    Orphan(ResourceId),
}

/// What every look needs.
struct Sight<'a> {
    context: &'a Context,
    memories: &'a Memories,
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
                return Ok(Dependency::Held(stalled(Reason::InvalidSpec, message)));
            }
        };
        let mut view = self.view(held.unwrap_or_else(|| own.clone()));
        view.desired = Body(tuple.body());
        view.defaults = json!({"properties": {"principalType": wanted.principal_type}});
        let mut view = match look_at(self.context, self.memories, self.object, view).await? {
            Dependency::Met(view) => view,
            Dependency::Held(held) => return Ok(Dependency::Held(held)),
        };
        if view.actual.is_none() {
            view.id = own;
            let others = at_scope(self.account.account.arm(), &tuple.scope).await?;
            if let Some((id, other)) = others.iter().find_map(|it| same(it, tuple)) {
                view.id = id;
                view.take_note(Some(other.clone()));
            } else if let Some(id) = others.iter().find_map(|it| orphan(it, &view.owner, self.object)) {
                return Ok(Dependency::Met(Found::Orphan(id)));
            }
        }
        name_principal_type(&mut view, wanted);
        Ok(Dependency::Met(Found::Wanted(Box::new(view))))
    }

    /// An assignment that is to go.
    async fn at_what_is_left(&self, id: ResourceId) -> Result<Look, Error> {
        let view = self.view(id);
        Ok(match look_at(self.context, self.memories, self.object, view).await? {
            Dependency::Met(view) => Look::Seen(Box::new(view)),
            Dependency::Held(held) => Look::Held(held),
        })
    }

    async fn take_back(&self, id: ResourceId, why: Held) -> Result<Observed, Error> {
        Ok(match self.at_what_is_left(id).await? {
            Look::Held(held) => waits(false, held),
            look @ Look::Seen(_) => Observed {
                look,
                aim: Aim::TakeBack(why),
            },
        })
    }

    fn view(&self, id: ResourceId) -> View {
        let uid = self.object.uid().unwrap_or_default();
        View {
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
            memory: self.memories.of(&uid),
            key: self.context.key().clone(),
        }
    }
}

/// An assignment of which Azure does not say what its principal is gets that with the next write. It is no difference by
/// itself: Azure knows better than the spec what a principal is.
pub(super) fn name_principal_type(view: &mut View, wanted: &Wanted) {
    let properties = view
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
fn is_at_rest(view: &View) -> bool {
    match view.presence() {
        Presence::Owned(origin) => view.differences().is_empty() && !view.mark_differs(origin),
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => false,
    }
}

fn waits(is_deleted: bool, held: Held) -> Observed {
    Observed {
        look: Look::Held(held),
        aim: if is_deleted { Aim::End } else { Aim::Have(None) },
    }
}

pub(super) fn replaced(wanted: &Tuple, recorded: Option<&Tuple>) -> Held {
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
    Held {
        verdict: Verdict::progressing(
            Reason::Updating,
            format!("the assignment of before is taken back: {what}"),
        ),
        next: Next::Poll { after: None },
        is_credential_gone: false,
    }
}

fn nothing() -> Held {
    Held {
        verdict: Verdict::progressing(Reason::Deleting, "nothing is held in Azure"),
        next: Next::AwaitChange,
        is_credential_gone: false,
    }
}
