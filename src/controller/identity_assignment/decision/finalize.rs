//! The decision of an identity assignment that is being deleted.

use jiff::Timestamp;

use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::{Release, Subject, lets_go_unseen};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::super::goal::Goal;
use super::super::observation::{TargetObservation, TargetState};
use super::super::record::Mark;
use super::write::{running, writing};
use super::{Step, TargetDecision, poll, progress};

/// How often the removal of the record is tried before the object goes without it.
const FORGET_TRIES: u32 = 2;

/// Decides for an identity assignment that is being deleted.
pub(super) fn finalize(subject: &Subject<'_>, observation: &TargetObservation, now: Timestamp) -> TargetDecision {
    let progressing = |message: String| Verdict::progressing(Reason::Deleting, message);
    if !subject.has_finalizer {
        return TargetDecision::rest(Next::AwaitChange, progressing("the object is being deleted".to_owned()));
    }
    let release = |release| {
        TargetDecision::step(
            Step::Release(release),
            Next::AwaitChange,
            progressing("the object is let go".to_owned()),
        )
    };
    if subject.is_abandoned {
        return release(Release::Left);
    }
    let resource = match observation {
        TargetObservation::Seen(resource) => resource,
        TargetObservation::Blocked(blocked) if lets_go_unseen(subject, blocked) => return release(Release::Left),
        TargetObservation::Blocked(blocked) => return TargetDecision::rest(blocked.next(), blocked.verdict()),
    };
    // With the target its identities are gone as well.
    if resource.actual.as_ref().is_none_or(operation::is_deleting) {
        return release(Release::Gone);
    }
    let records = resource.records();
    if subject.spec.suspend || subject.spec.management_policy == ManagementPolicy::ObserveOnly {
        let is_nothing_left = records.own.is_empty();
        return release(if is_nothing_left { Release::Gone } else { Release::Left });
    }
    if !records.has_own {
        // The operation that took them back may still fail, and the record would be there again.
        return match progress(resource) {
            Progress::Running(after) if resource.history.write.is_some() => {
                TargetDecision::rest(poll(after), running(resource))
            }
            Progress::Running(_) | Progress::Done | Progress::Failed(_) => release(Release::Gone),
        };
    }
    let retains = subject.spec.deletion_policy == Some(DeletionPolicy::Retain);
    if retains {
        if resource.history.disowned >= FORGET_TRIES {
            return release(Release::Left);
        }
        return writing(subject, resource, &Goal::forgotten(resource), now);
    }
    if let Some(decision) = awaits_role_assignments(resource) {
        return decision;
    }
    writing(subject, resource, &Goal::detached(resource), now)
}

/// Roles of the system-assigned identity go before it: Azure would keep role assignments to nobody.
fn awaits_role_assignments(resource: &TargetState) -> Option<TargetDecision> {
    let takes_system =
        Goal::detached(resource).block.system().is_none() && resource.records().own.contains(&Mark::system());
    if !takes_system || resource.role_assignments.is_empty() {
        return None;
    }
    let message = format!(
        "the system-assigned identity of {} is detached when these RoleAssignments are gone: {}",
        resource.id,
        resource.role_assignments.join(", ")
    );
    Some(TargetDecision::rest(
        Next::Poll { after: None },
        Verdict::progressing(Reason::Deleting, message),
    ))
}
