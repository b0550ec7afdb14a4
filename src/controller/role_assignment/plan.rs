//! What is particular to the decision for an assignment: the status names it before it is written, and what is no longer
//! wanted is taken back before anything else is made. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::azure::role_assignment::{Tuple, scope_of};
use crate::azure::{ResourceId, RoleId};
use crate::controller::azure_resource::children::NoChild;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    Blocked, Decision, KindStep, Record, Reports, ResourceState, Step, Subject, give_back,
};
use crate::controller::ownership::{OwnerMark, Presence};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::permission::{RolePermit, not_grantable};
use super::wanted::WantedAssignment;

/// What is known beside the assignment itself.
#[derive(Debug, Default)]
pub struct AssignmentFacts {
    /// What the assignment should say. `None` for an object that is being deleted, or whose references are gone.
    pub wanted: Option<WantedAssignment>,
    /// What the object refers to and is gone for good, so that its assignment is for nothing.
    pub gone: Option<Blocked>,
    /// Whether what was found is an assignment of this object that it does not want, made before its status was lost.
    pub is_orphan: bool,
    /// Whether the installation lets the object assign its role.
    pub permit: RolePermit,
}

/// What becomes of the assignment that an object has, or is to have.
#[derive(Debug)]
pub enum Aim<'a> {
    /// There is to be one that says this.
    Ensure(&'a WantedAssignment),
    /// The one that there is has to go.
    Revoke {
        /// What the status says meanwhile.
        verdict: Verdict,
        /// When to look again once it is gone.
        next: Next,
    },
}

/// What becomes of the assignment of an object that is not being deleted.
pub fn aim<'a>(object: &RoleAssignment, facts: &'a AssignmentFacts) -> Aim<'a> {
    let wanted = match (&facts.wanted, &facts.gone) {
        (Some(wanted), _) => wanted,
        (None, gone) => {
            let blocked = gone.as_ref().unwrap_or(&Blocked::Nothing);
            let (verdict, next) = (blocked.verdict(), blocked.next());
            return Aim::Revoke { verdict, next };
        }
    };
    let recorded = object.status.as_ref().and_then(recorded_tuple);
    let is_another = recorded_id(object).is_some() && recorded.as_ref() != Some(&wanted.tuple);
    if facts.is_orphan || is_another {
        Aim::Revoke {
            verdict: replaced(&wanted.tuple, recorded.as_ref()),
            next: Next::Poll { after: None },
        }
    } else {
        Aim::Ensure(wanted)
    }
}

/// Where the assignment is read: where the status says, else where it would be made.
pub fn place(object: &RoleAssignment, wanted: &Tuple) -> Result<ResourceId, Blocked> {
    if let Some(id) = recorded_id(object) {
        return Ok(id);
    }
    let invalid = |error| {
        Blocked::Invalid(format!(
            "no role can be assigned at the scope {}: {error}",
            wanted.scope
        ))
    };
    wanted.id().map_err(invalid)
}

/// Takes one of the assignments at the scope for that of the object, where nothing is at its place: Azure has one of each
/// tuple, whatever its name.
pub fn find_among(
    object: &RoleAssignment,
    others: &[Value],
    facts: &mut AssignmentFacts,
    resource: &mut ResourceState,
) {
    let Some(WantedAssignment { tuple, .. }) = &facts.wanted else {
        return;
    };
    if let Ok(own) = tuple.id() {
        resource.id = own;
    }
    let same = others.iter().find(|it| Tuple::of(it).as_ref() == Some(tuple));
    // An object that only observes takes nothing back, so it has no orphans.
    let is_observer = object.spec.management.management_policy == ManagementPolicy::ObserveOnly;
    let is_own = |it: &&Value| OwnerMark::Description.names(&resource.owner, it) && !is_observer;
    let found = same.or_else(|| others.iter().find(is_own));
    let id = found.and_then(|it| it.get("id")?.as_str()?.parse().ok());
    if let (Some(found), Some(id)) = (found, id) {
        resource.id = id;
        resource.take_note(Some(found.clone()));
        facts.is_orphan = same.is_none();
    }
}

/// An assignment of which Azure does not say what its principal is gets that with the next write. It is no difference by
/// itself: Azure knows better than the spec what a principal is.
pub fn name_principal_type(resource: &mut ResourceState, wanted: &WantedAssignment) {
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

/// Completes the decision of any Azure resource.
pub fn refine(
    object: &RoleAssignment,
    facts: &AssignmentFacts,
    resource: &ResourceState,
    now: Timestamp,
    decision: &mut Decision<KindStep<NoChild>>,
) {
    if Subject::of(object).lifecycle == Lifecycle::Deleted {
        return;
    }
    let tuple = match aim(object, facts) {
        Aim::Ensure(wanted) => &wanted.tuple,
        Aim::Revoke { verdict, next } => {
            *decision = revoke(object, resource, verdict, next, now);
            return;
        }
    };
    if facts.permit == RolePermit::Refused {
        *decision = Decision::blocked(&not_grantable(object, tuple));
        return;
    }
    // Azure has one assignment of a tuple, so one that another object of this cluster made already exists.
    if decision.verdict.reason == Reason::OwnedByAnother && resource.is_of_this_cluster() {
        decision.verdict.reason = Reason::AlreadyExists;
    }
    if decision.verdict.reason == Reason::AlreadyExists && resource.presence() == Presence::Unowned {
        // An assignment has no name of its own that another one could be chosen for.
        decision.verdict.message = format!(
            "{} says the same and was not made by this object: set spec.adoptionPolicy to IfExists to take it over",
            resource.id
        );
    }
    let is_first_write = matches!(
        decision.step,
        Some(KindStep::Resource(Step::Write(_) | Step::Tag { origin: Some(_), .. }))
    );
    if is_first_write && !is_recorded(object, &resource.id, tuple) {
        decision.step = Some(KindStep::Record(Record::Resource(Some(resource.id.clone()))));
    }
}

fn revoke(
    object: &RoleAssignment,
    resource: &ResourceState,
    why: Verdict,
    next: Next,
    now: Timestamp,
) -> Decision<KindStep<NoChild>> {
    let spec = &object.spec.management;
    let subject = Subject::of(object);
    let forget = |verdict| Decision::step(KindStep::Record(Record::Resource(None)), next, verdict);
    if spec.management_policy == ManagementPolicy::ObserveOnly {
        return forget(why);
    }
    if spec.suspend {
        let message = format!("suspended; {}", why.message);
        let verdict = Verdict::new(Standing::Resting, Reason::Suspended, message);
        return Decision::rest(Next::Resync(subject.interval()), verdict);
    }
    if !subject.has_finalizer {
        return Decision::step(KindStep::Resource(Step::AddFinalizer), Next::Poll { after: None }, why);
    }
    let decision = give_back(&subject, resource, now);
    if let Some(Step::Release(_)) = decision.step {
        return forget(why);
    }
    // What Azure refuses to give back has to be told; what is only under way is told by its cause.
    let verdict = match decision.verdict.standing {
        Standing::Stalled => decision.verdict.clone(),
        Standing::Ready | Standing::Progressing | Standing::Resting | Standing::Unknown => why,
    };
    Decision { verdict, ..decision }.map_step(KindStep::Resource)
}

/// The assignment that the status names.
pub fn recorded_id(object: &RoleAssignment) -> Option<ResourceId> {
    let id: ResourceId = object.reported().id.as_deref()?.parse().ok()?;
    scope_of(&id).is_some().then_some(id)
}

/// What the status says that the assignment says.
pub fn recorded_tuple(status: &RoleAssignmentStatus) -> Option<Tuple> {
    Some(Tuple {
        scope: status.scope.as_deref()?.parse().ok()?,
        role: RoleId::of_definition(status.role_definition_id.as_deref()?)?,
        principal: status.principal_id.as_deref()?.parse().ok()?,
    })
}

fn is_recorded(object: &RoleAssignment, id: &ResourceId, tuple: &Tuple) -> bool {
    recorded_id(object).as_ref() == Some(id) && object.status.as_ref().and_then(recorded_tuple).as_ref() == Some(tuple)
}

fn replaced(wanted: &Tuple, recorded: Option<&Tuple>) -> Verdict {
    let what = match recorded {
        Some(recorded) if recorded.principal != wanted.principal => {
            let (now, before) = (wanted.principal, recorded.principal);
            format!("the principal was {before} and is now {now}")
        }
        Some(recorded) if recorded.scope != wanted.scope => {
            format!("the scope was {} and is now {}", recorded.scope, wanted.scope)
        }
        Some(_) | None => "it differs from the spec".to_owned(),
    };
    let message = format!("the previous assignment is being removed: {what}");
    Verdict::progressing(Reason::Updating, message)
}
