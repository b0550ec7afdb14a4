//! The decision of an identity assignment that is being deleted.

use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::policy::{Intent, Lifecycle, Situation};
use crate::controller::azure_resource::{Decision, Release, Subject, leave, listed, poll};
use crate::controller::ownership::{Origin, Presence};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::super::goal::Goal;
use super::super::observation::{TargetObservation, TargetState};
use super::super::record::Mark;
use super::write::writing;
use super::{AssignmentStep, running};

/// How often the removal of the record is tried before the object goes without it.
const FORGET_TRIES: u32 = 2;

/// Decides for an identity assignment that is being deleted. What it attached is its own, as a resource is that it created.
pub(super) fn finalize(
    subject: &Subject<'_>,
    observation: &TargetObservation,
    now: Timestamp,
) -> Decision<AssignmentStep> {
    let resource = match leave(subject, observation) {
        ControlFlow::Continue(resource) => resource,
        ControlFlow::Break(decision) => return decision,
    };
    // With the target its identities are gone as well.
    if resource.actual.as_ref().is_none_or(operation::is_deleting) {
        return Decision::release(Release::Gone);
    }
    let records = resource.records();
    let presence = if records.has_own {
        Presence::Owned(Origin::Created)
    } else {
        Presence::Unowned
    };
    match Intent::of(Situation::of(subject.spec, Lifecycle::Deleted, presence)) {
        Intent::Disown if resource.history.disowned >= FORGET_TRIES => Decision::release(Release::Left),
        Intent::Disown => writing(subject, resource, &Goal::forgotten(resource), now),
        // All that is left is the record, and it cannot be removed.
        Intent::Delete if resource.history.disowned >= FORGET_TRIES && is_detached(resource) => {
            Decision::release(Release::Left)
        }
        Intent::Delete => awaits_role_assignments(resource)
            .unwrap_or_else(|| writing(subject, resource, &Goal::detached(resource), now)),
        _ if !records.own.is_empty() => Decision::release(Release::Left),
        // The operation that took them back may still fail, and the record would be there again.
        _ => match resource.progress() {
            Progress::Running(after) if resource.history.write.is_some() => {
                Decision::rest(poll(after), running(resource))
            }
            Progress::Running(_) | Progress::Done | Progress::Failed => Decision::release(Release::Gone),
        },
    }
}

fn is_detached(resource: &TargetState) -> bool {
    Goal::detached(resource).block == resource.block()
}

/// Roles of the system-assigned identity go before it: Azure would keep role assignments to nobody.
fn awaits_role_assignments(resource: &TargetState) -> Option<Decision<AssignmentStep>> {
    let takes_system =
        Goal::detached(resource).block.system().is_none() && resource.records().own.contains(&Mark::system());
    let message = format!(
        "the system-assigned identity of {} is detached when these RoleAssignments are gone: {}",
        resource.id,
        listed(&resource.role_assignments)
    );
    let verdict = Verdict::progressing(Reason::Deleting, message);
    (takes_system && !resource.role_assignments.is_empty()).then(|| Decision::rest(Next::Poll { after: None }, verdict))
}
