//! The course of an identity assignment that is being deleted.

use jiff::Timestamp;

use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::{Release, Subject, lets_go_unseen};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::super::goal::Goal;
use super::super::look::{Look, View};
use super::super::record::Mark;
use super::write::{running, writing};
use super::{Course, Step, poll, progress};

/// How often the removal of the record is tried before the object goes without it.
const FORGET_TRIES: u32 = 2;

/// Decides for an identity assignment that is being deleted.
pub(super) fn deleted(subject: &Subject<'_>, look: &Look, now: Timestamp) -> Course {
    let progressing = |message: String| Verdict::progressing(Reason::Deleting, message);
    if !subject.has_finalizer {
        return Course::rest(Next::AwaitChange, progressing("the object is being deleted".to_owned()));
    }
    let release = |release| {
        Course::step(
            Step::Release(release),
            Next::AwaitChange,
            progressing("the object is let go".to_owned()),
        )
    };
    if subject.is_abandoned {
        return release(Release::Left);
    }
    let view = match look {
        Look::Seen(view) => view,
        Look::Held(held) if lets_go_unseen(subject, held) => return release(Release::Left),
        Look::Held(held) => return Course::rest(held.next, held.verdict.clone()),
    };
    // With the target its identities are gone as well.
    if view.actual.as_ref().is_none_or(operation::is_deleting) {
        return release(Release::Gone);
    }
    let records = view.records();
    if subject.spec.suspend || subject.spec.management_policy == ManagementPolicy::ObserveOnly {
        let is_nothing_left = records.own.is_empty();
        return release(if is_nothing_left { Release::Gone } else { Release::Left });
    }
    if !records.has_own {
        // The operation that took them back may still fail, and the record would be there again.
        return match progress(view) {
            Progress::Running(after) if view.memory.write.is_some() => Course::rest(poll(after), running(view)),
            Progress::Running(_) | Progress::Done | Progress::Failed(_) => release(Release::Gone),
        };
    }
    let retains = subject.spec.deletion_policy == Some(DeletionPolicy::Retain);
    if retains {
        if view.memory.disowned >= FORGET_TRIES {
            return release(Release::Left);
        }
        return writing(subject, view, &Goal::forgotten(view), now);
    }
    if let Some(course) = awaits_role_assignments(view) {
        return course;
    }
    writing(subject, view, &Goal::detached(view), now)
}

/// Roles of the system-assigned identity go before it: Azure would keep role assignments to nobody.
fn awaits_role_assignments(view: &View) -> Option<Course> {
    let takes_system = Goal::detached(view).block.system().is_none() && view.records().own.contains(&Mark::system());
    if !takes_system || view.role_assignments.is_empty() {
        return None;
    }
    let message = format!(
        "the system-assigned identity of {} is detached when these RoleAssignments are gone: {}",
        view.id,
        view.role_assignments.join(", ")
    );
    Some(Course::rest(
        Next::Poll { after: None },
        Verdict::progressing(Reason::Deleting, message),
    ))
}
