//! When the target is written, and when it is better not written again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::condition::Reason;
use crate::azure::container_group::unreturned_values;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::{Answer, SETTLING, Subject, age};
use crate::controller::policy::Lifecycle;
use crate::controller::readiness::Verdict;
use crate::runtime::Next;
use crate::runtime::requeue::REJECTED_RESYNC;

use super::super::goal::{Goal, basis, fingerprint};
use super::super::look::View;
use super::{Course, SHORT_PACE, Step, Write, poll, progress, state};

/// How long a target whose operation failed is left alone before the same is sent again.
const FAILED_RETRY: Duration = Duration::from_mins(10);
/// How many ways there are to remove a tag.
const WAYS_TO_REMOVE: u32 = 2;

/// Writes the target so that it is as `goal` says, unless something speaks against it.
pub(super) fn writing(subject: &Subject<'_>, view: &View, goal: &Goal, now: Timestamp) -> Course {
    let interval = Next::Resync(subject.interval());
    if let Some(course) = prepared(subject, view) {
        return course;
    }
    if let Progress::Running(after) = progress(view) {
        return Course::rest(poll(after), running(view));
    }
    let drift = goal.differences(view);
    if let Some(why) = lossy(subject, view, goal) {
        return Course::rest(interval, Verdict::stalled(Reason::UnsupportedTarget, why)).with_drift(drift);
    }
    let removes_tags = goal.record.is_empty() && view.records().has_own;
    let fingerprint = fingerprint(view, goal);
    if let Some(course) = answered(subject, view, &fingerprint, removes_tags, now) {
        return course.with_drift(drift);
    }
    let write = Write {
        request: goal.request(view),
        basis: basis(view),
        fingerprint,
        removes_tags,
        changes: goal.changes(view),
    };
    let message = match write.changes.as_str() {
        "" => format!("the record in the tags of {} is being changed", view.id),
        changes => format!("{}: is being {changes}", view.id),
    };
    let reason = match subject.lifecycle {
        Lifecycle::Wanted => Reason::Updating,
        Lifecycle::Deleted => Reason::Deleting,
    };
    let pace = operation::pace(view.pause).min(SHORT_PACE);
    Course::step(Step::Write(write), poll(pace), Verdict::progressing(reason, message))
}

/// What has to be so before anything is written; `None` if all of it is.
pub(super) fn prepared(subject: &Subject<'_>, view: &View) -> Option<Course> {
    if subject.lifecycle == Lifecycle::Deleted {
        return None;
    }
    if !subject.has_finalizer {
        let verdict = Verdict::progressing(Reason::Pending, "the object is being prepared");
        return Some(Course::step(Step::AddFinalizer, Next::Poll { after: None }, verdict));
    }
    if !view.account_is_held {
        let message = "waits until the AzureAccount is marked as in use";
        let verdict = Verdict::progressing(Reason::Pending, message);
        return Some(Course::rest(poll(SHORT_PACE), verdict));
    }
    None
}

/// The target while an operation on it is under way.
pub(super) fn running(view: &View) -> Verdict {
    let reason = match &view.memory.write {
        Some(_) => Reason::Updating,
        None => Reason::Provisioning,
    };
    Verdict::progressing(reason, format!("{} is in the state {}", view.id, state(view)))
}

/// Why the write would lose something of the target, if it would.
fn lossy(subject: &Subject<'_>, view: &View, goal: &Goal) -> Option<String> {
    if !goal.needs_put(view) {
        return None;
    }
    let lost = unreturned_values(view.actual.as_ref().unwrap_or(&Value::Null));
    if lost.is_empty() {
        return None;
    }
    let (first, more) = (
        lost.iter().take(5).cloned().collect::<Vec<_>>(),
        lost.len().saturating_sub(5),
    );
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let instead = match subject.lifecycle {
        Lifecycle::Wanted => "give the group its identities where it is created",
        Lifecycle::Deleted => "detach the identities where the group is managed, or set spec.deletionPolicy to Retain",
    };
    Some(format!(
        "Azure changes the identities of a container group only by a PUT of the whole group, and does not return what {} \
         has there, so it would be lost: {}{more}. It is not written; {instead}",
        view.id,
        first.join(", ")
    ))
}

/// What follows if Azure has answered this very write over this very state before.
fn answered(
    subject: &Subject<'_>,
    view: &View,
    fingerprint: &str,
    removes_tags: bool,
    now: Timestamp,
) -> Option<Course> {
    let interval = Next::Resync(subject.interval());
    let last = view.memory.write.as_ref()?;
    let age = age(last.at, now);
    if last.fingerprint != fingerprint {
        return None;
    }
    match &last.answer {
        Answer::Refused { reason, message } if age < REJECTED_RESYNC => {
            let hint = match subject.lifecycle {
                Lifecycle::Wanted => "",
                Lifecycle::Deleted => ". To leave the identities attached, set spec.deletionPolicy to Retain",
            };
            let verdict = Verdict::stalled(*reason, format!("{message}{hint}"));
            Some(Course::rest(interval, verdict))
        }
        Answer::Accepted if matches!(progress(view), Progress::Failed(_)) && age < FAILED_RETRY => {
            let why = view.memory.operation_error.as_deref();
            let why = why.unwrap_or("its activity log in Azure says why");
            let message = format!("{} is in the state {}: {why}", view.id, state(view));
            let verdict = Verdict::stalled(Reason::ProvisioningFailed, message);
            Some(Course::rest(Next::At(last.at + FAILED_RETRY), verdict))
        }
        Answer::Accepted if age < SETTLING => {
            let message = format!("Azure accepted the change of {} and does not show it yet", view.id);
            Some(Course::rest(
                poll(SHORT_PACE),
                Verdict::progressing(Reason::Updating, message),
            ))
        }
        Answer::Accepted if removes_tags && view.memory.disowned < WAYS_TO_REMOVE => None,
        // What Azure keeps its own way would be written again and again for nothing.
        Answer::Accepted if age < REJECTED_RESYNC && !matches!(progress(view), Progress::Failed(_)) => {
            let message = format!(
                "Azure accepted the change of {} and did not make it: {}",
                view.id, "something else sets its identities or tags"
            );
            Some(Course::rest(interval, Verdict::stalled(Reason::Drifted, message)))
        }
        Answer::Refused { .. } | Answer::Accepted => None,
    }
}
