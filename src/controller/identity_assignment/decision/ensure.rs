//! The decision of an identity assignment that is to exist.

use jiff::Timestamp;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::Subject;
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::super::goal::{Goal, wanted_marks};
use super::super::observation::TargetState;
use super::super::record::Mark;
use super::write::{running, writing};
use super::{SHORT_PACE, Step, TargetDecision, WAITING_PACE, poll, progress};

/// Decides for an identity assignment that is to exist.
pub(super) fn ensure(subject: &Subject<'_>, resource: &TargetState, now: Timestamp) -> TargetDecision {
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let id = &resource.id;
    let Some(actual) = &resource.actual else {
        let message = format!("{id} does not exist; it is waited for");
        return TargetDecision::rest(soon, Verdict::progressing(Reason::NotFound, message)).letting_go(true);
    };
    if operation::is_deleting(actual) {
        let message = format!("{id} is being deleted; another one is waited for");
        return TargetDecision::rest(soon, Verdict::progressing(Reason::NotFound, message));
    }
    let records = resource.records();
    if let Some(why) = &resource.managed_elsewhere {
        let verdict = Verdict::stalled(Reason::UseSpecIdentity, why.clone());
        return TargetDecision::rest(soon, verdict).letting_go(records.own.is_empty());
    }
    let goal = Goal::wanted(resource, subject.id.is_some());
    let is_attached_once = subject.spec.management_policy == ManagementPolicy::CreateOnly && records.has_own;
    let is_going = resource.wanted.unmet.as_ref().is_some_and(|it| it.is_going);
    let only_observes = subject.spec.suspend
        || subject.spec.management_policy == ManagementPolicy::ObserveOnly
        || (is_attached_once && !is_going);
    if only_observes {
        observing(subject, resource, &goal)
    } else {
        enforcing(subject, resource, &goal, now)
    }
}

fn enforcing(subject: &Subject<'_>, resource: &TargetState, goal: &Goal, now: Timestamp) -> TargetDecision {
    let interval = Next::Resync(subject.interval());
    if !goal.is_reached(resource) {
        return writing(subject, resource, goal, now);
    }
    if let Some(unmet) = &resource.wanted.unmet {
        let soon = Next::Resync(subject.interval().min(WAITING_PACE));
        return TargetDecision::rest(soon, unmet.verdict.clone()).letting_go(unmet.is_going);
    }
    // What others do to the target is no matter of this object; what it began itself is.
    if resource.history.write.is_some()
        && let Progress::Running(after) = progress(resource)
    {
        return TargetDecision::rest(poll(after), running(resource));
    }
    if let Some(decision) = lacks_principal(resource) {
        return decision;
    }
    let message = format!("{} has the identities of the spec", resource.id);
    TargetDecision::rest(interval, Verdict::ready(Reason::Available, message))
}

/// A system-assigned identity is of no use before Azure has told its principal.
fn lacks_principal(resource: &TargetState) -> Option<TargetDecision> {
    let block = resource.block();
    let lacks = resource.wanted.system && block.system().is_some_and(|it| it.principal_id.is_none());
    let message = format!(
        "Azure has not told the principal of the system-assigned identity of {} yet",
        resource.id
    );
    lacks.then(|| {
        TargetDecision::rest(
            Next::After(SHORT_PACE),
            Verdict::progressing(Reason::Provisioning, message),
        )
    })
}

fn observing(subject: &Subject<'_>, resource: &TargetState, goal: &Goal) -> TargetDecision {
    let interval = Next::Resync(subject.interval());
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let never_writes = subject.spec.management_policy == ManagementPolicy::ObserveOnly;
    if let Some(unmet) = &resource.wanted.unmet {
        let holds_nothing = never_writes || goal.is_reached(resource);
        return TargetDecision::rest(soon, unmet.verdict.clone()).letting_go(unmet.is_going && holds_nothing);
    }
    if !never_writes && !subject.spec.suspend && !subject.has_finalizer {
        let verdict = Verdict::progressing(Reason::Pending, "the object is being prepared");
        return TargetDecision::step(Step::AddFinalizer, Next::Poll { after: None }, verdict);
    }
    let block = resource.block();
    let marks: Vec<Mark> = wanted_marks(resource).map(|(mark, _)| mark).collect();
    let lacks_any = marks.iter().any(|mark| !mark.is_attached(&block));
    let drift = goal.differences(resource);
    if !lacks_any && let Some(decision) = lacks_principal(resource) {
        return decision;
    }
    let (id, changes) = (&resource.id, goal.changes(resource));
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
        (false, false) => Verdict::ready(
            Reason::Drifted,
            format!("{id} has the identities of the spec and more; by the policy this is not done: {changes}"),
        ),
    };
    let next = if lacks_any { soon } else { interval };
    TargetDecision::rest(next, verdict).with_drift(drift)
}
