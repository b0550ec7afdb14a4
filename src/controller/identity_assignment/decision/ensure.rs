//! The decision of an identity assignment that is to exist.

use jiff::Timestamp;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::{Decision, SHORT_PACE, Subject, WAITING_PACE, poll};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::super::goal::{Goal, wanted_marks};
use super::super::observation::TargetState;
use super::write::writing;
use super::{AssignmentStep, running};

/// Decides for an identity assignment that is to exist.
pub(super) fn ensure(subject: &Subject<'_>, resource: &TargetState, now: Timestamp) -> Decision<AssignmentStep> {
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let id = &resource.id;
    let waits = |message| Decision::rest(soon, Verdict::progressing(Reason::NotFound, message));
    let Some(actual) = &resource.actual else {
        return waits(format!("{id} does not exist; it is waited for"));
    };
    if operation::is_deleting(actual) {
        return waits(format!("{id} is being deleted; another one is waited for"));
    }
    let records = resource.records();
    if let Some(why) = &resource.managed_elsewhere {
        let verdict = Verdict::stalled(Reason::UseSpecIdentity, why.clone());
        return Decision::rest(soon, verdict).letting_go(records.own.is_empty());
    }
    let goal = Goal::wanted(resource, subject.id.is_some());
    let is_reached = goal.is_reached(resource);
    let is_going = resource.wanted.unmet.as_ref().is_some_and(|it| it.is_going);
    let policy = subject.spec.management_policy;
    let never_writes = policy == ManagementPolicy::ObserveOnly;
    let is_attached_once = policy == ManagementPolicy::CreateOnly && records.has_own && !is_going;
    let only_observes = subject.spec.suspend || never_writes || is_attached_once;
    if !only_observes && !is_reached {
        return writing(subject, resource, &goal, now);
    }
    if let Some(unmet) = &resource.wanted.unmet {
        let holds_nothing = never_writes || is_reached;
        return Decision::rest(unmet.why.next(), unmet.why.verdict()).letting_go(is_going && holds_nothing);
    }
    if only_observes {
        observing(subject, resource, &goal)
    } else {
        attached(subject, resource)
    }
}

/// The target has what it should have.
fn attached(subject: &Subject<'_>, resource: &TargetState) -> Decision<AssignmentStep> {
    // What others do to the target is no matter of this object; what it began itself is.
    if resource.history.write.is_some()
        && let Progress::Running(after) = resource.progress()
    {
        return Decision::rest(poll(after), running(resource));
    }
    lacks_principal(resource).unwrap_or_else(|| {
        let message = format!("{} has the identities of the spec", resource.id);
        Decision::rest(
            Next::Resync(subject.interval()),
            Verdict::ready(Reason::Available, message),
        )
    })
}

/// A system-assigned identity is of no use before Azure has told its principal.
fn lacks_principal(resource: &TargetState) -> Option<Decision<AssignmentStep>> {
    let block = resource.block();
    let lacks = resource.wanted.system && block.system().is_some_and(|it| it.principal_id.is_none());
    let message = format!(
        "Azure has not returned the principal of the system-assigned identity of {} yet",
        resource.id
    );
    let verdict = Verdict::progressing(Reason::Provisioning, message);
    lacks.then(|| Decision::rest(Next::After(SHORT_PACE), verdict))
}

/// The target is not changed, and what it lacks or has besides is told.
fn observing(subject: &Subject<'_>, resource: &TargetState, goal: &Goal) -> Decision<AssignmentStep> {
    let never_writes = subject.spec.management_policy == ManagementPolicy::ObserveOnly;
    if !never_writes && !subject.spec.suspend && !subject.has_finalizer {
        return Decision::prepare();
    }
    let block = resource.block();
    let lacks_any = wanted_marks(resource).any(|(mark, _)| !mark.is_attached(&block));
    if !lacks_any && let Some(decision) = lacks_principal(resource) {
        return decision;
    }
    let (id, drift) = (&resource.id, goal.differences(resource));
    let verdict = match (lacks_any, subject.spec.suspend) {
        (true, true) => Verdict::new(
            Standing::Resting,
            Reason::Suspended,
            format!("suspended; what {id} lacks is attached once spec.suspend is false"),
        ),
        (true, false) if never_writes => Verdict::progressing(
            Reason::NotFound,
            format!("{id} lacks identities of the spec; spec.managementPolicy is ObserveOnly, so they are waited for"),
        ),
        (true, false) => Verdict::stalled(
            Reason::Drifted,
            format!("{id} lacks identities of the spec; spec.managementPolicy is CreateOnly, so they are not attached"),
        ),
        (false, true) => Verdict::ready(
            Reason::Suspended,
            format!("suspended; {id} has the identities of the spec and is not changed"),
        ),
        (false, false) if drift.is_empty() => {
            Verdict::ready(Reason::Available, format!("{id} has the identities of the spec"))
        }
        (false, false) => {
            let changes = goal.changes(resource);
            let message =
                format!("{id} has the identities of the spec, but the policy forbids a change that is due: {changes}");
            Verdict::ready(Reason::Drifted, message)
        }
    };
    let interval = subject.interval();
    let next = Next::Resync(if lacks_any {
        interval.min(WAITING_PACE)
    } else {
        interval
    });
    Decision::rest(next, verdict).with_drift(drift)
}
