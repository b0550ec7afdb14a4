//! When the target is written, and when it is better not written again.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::container_group::unreturned_values;
use crate::azure::operation::Progress;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    Answer, Decision, SHORT_PACE, Subject, answered, failure, listed, poll, unprepared,
};
use crate::controller::readiness::Verdict;
use crate::controller::waiting::FAILED_RETRY;
use crate::runtime::Next;

use super::super::goal::{Goal, basis, fingerprint};
use super::super::observation::TargetState;
use super::{AssignmentStep, TargetWrite, running};

/// How many ways there are to remove a tag.
const WAYS_TO_REMOVE: u32 = 2;

/// Writes the target so that it is as `goal` says, unless something speaks against it.
pub(super) fn writing(
    subject: &Subject<'_>,
    resource: &TargetState,
    goal: &Goal,
    now: Timestamp,
) -> Decision<AssignmentStep> {
    if subject.lifecycle == Lifecycle::Wanted
        && let Some(decision) = unprepared(subject, resource.account_is_marked)
    {
        return decision;
    }
    if let Progress::Running(after) = resource.progress() {
        return Decision::rest(poll(after), running(resource));
    }
    let drift = goal.differences(resource);
    if let Some(why) = lossy(subject, resource, goal) {
        let verdict = Verdict::stalled(Reason::UnsupportedTarget, why);
        return Decision::rest(Next::Resync(subject.interval()), verdict).with_drift(drift);
    }
    let (method, body) = goal.request(resource);
    let write = TargetWrite {
        method,
        body,
        basis: basis(resource),
        fingerprint: fingerprint(resource, goal, subject.request),
        removes_tags: goal.record.is_empty() && resource.records().has_own,
        is_best_effort: subject.lifecycle == Lifecycle::Deleted && goal.block == resource.block(),
        changes: goal.changes(resource),
    };
    if let Some(decision) = answered_before(subject, resource, &write, &drift, now) {
        return decision;
    }
    let message = match write.changes.as_str() {
        "" => format!("the record in the tags of {} is being changed", resource.id),
        changes => format!("{}: is being {changes}", resource.id),
    };
    let reason = match subject.lifecycle {
        Lifecycle::Wanted => Reason::Updating,
        Lifecycle::Deleted => Reason::Deleting,
    };
    let verdict = Verdict::progressing(reason, message);
    Decision::step(AssignmentStep::Write(write), Next::After(SHORT_PACE), verdict)
}

/// Why the write would lose something of the target, if it would.
fn lossy(subject: &Subject<'_>, resource: &TargetState, goal: &Goal) -> Option<String> {
    let lost = unreturned_values(resource.actual.as_ref().unwrap_or(&Value::Null));
    if lost.is_empty() || !goal.needs_put(resource) {
        return None;
    }
    let instead = match subject.lifecycle {
        Lifecycle::Wanted => "give the group its identities where it is created",
        Lifecycle::Deleted => "detach the identities where the group is managed, or set spec.deletionPolicy to Retain",
    };
    Some(format!(
        "Azure changes the identities of a container group only by a PUT of the whole group, and does not return what {} \
         has there, so it would be lost: {}. It is not written; {instead}",
        resource.id,
        listed(&lost)
    ))
}

/// What follows if Azure has answered this very write over this very state before.
fn answered_before(
    subject: &Subject<'_>,
    resource: &TargetState,
    write: &TargetWrite,
    drift: &[Difference],
    now: Timestamp,
) -> Option<Decision<AssignmentStep>> {
    let history = &resource.history;
    let has_failed = matches!(resource.progress(), Progress::Failed);
    if let Some(last) = &history.write
        && (has_failed && last.answer == Answer::Accepted && last.fingerprint == write.fingerprint)
        && now < last.at + FAILED_RETRY
    {
        let verdict = failure(&resource.id, resource.actual.as_ref(), history);
        return Some(Decision::rest(Next::At(last.at + FAILED_RETRY), verdict).with_drift(drift.to_vec()));
    }
    let has_another_way = write.removes_tags && history.disowned < WAYS_TO_REMOVE;
    let message = format!(
        "Azure accepted the change of {} but did not make it: something else sets its identities or tags",
        resource.id
    );
    let in_vain = Verdict::stalled(Reason::Drifted, message);
    let in_vain = (!has_failed && !has_another_way).then_some(in_vain);
    answered(subject, history, &resource.id, &write.fingerprint, drift, in_vain, now)
}
