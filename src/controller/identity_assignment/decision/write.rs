//! When the target is written, and when it is better not written again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::condition::Reason;
use crate::azure::container_group::unreturned_values;
use crate::azure::operation::Progress;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{Answer, SETTLING, Subject, age};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;
use crate::runtime::requeue::REJECTED_RESYNC;

use super::super::goal::{Goal, basis, fingerprint};
use super::super::observation::TargetState;
use super::{SHORT_PACE, Step, TargetDecision, Write, poll, progress, state};

/// How long a target whose operation failed is left alone before the same is sent again.
const FAILED_RETRY: Duration = Duration::from_mins(10);
/// How many ways there are to remove a tag.
const WAYS_TO_REMOVE: u32 = 2;

/// Writes the target so that it is as `goal` says, unless something speaks against it.
pub(super) fn writing(subject: &Subject<'_>, resource: &TargetState, goal: &Goal, now: Timestamp) -> TargetDecision {
    let interval = Next::Resync(subject.interval());
    if let Some(decision) = prepared(subject, resource) {
        return decision;
    }
    if let Progress::Running(after) = progress(resource) {
        return TargetDecision::rest(poll(after), running(resource));
    }
    let drift = goal.differences(resource);
    if let Some(why) = lossy(subject, resource, goal) {
        return TargetDecision::rest(interval, Verdict::stalled(Reason::UnsupportedTarget, why)).with_drift(drift);
    }
    let removes_tags = goal.record.is_empty() && resource.records().has_own;
    let fingerprint = fingerprint(resource, goal);
    if let Some(decision) = answered(subject, resource, &fingerprint, removes_tags, now) {
        return decision.with_drift(drift);
    }
    let write = Write {
        request: goal.request(resource),
        basis: basis(resource),
        fingerprint,
        removes_tags,
        changes: goal.changes(resource),
    };
    let message = match write.changes.as_str() {
        "" => format!("the record in the tags of {} is being changed", resource.id),
        changes => format!("{}: is being {changes}", resource.id),
    };
    let reason = match subject.lifecycle {
        Lifecycle::Wanted => Reason::Updating,
        Lifecycle::Deleted => Reason::Deleting,
    };
    TargetDecision::step(
        Step::Write(write),
        Next::After(SHORT_PACE),
        Verdict::progressing(reason, message),
    )
}

/// What has to be so before anything is written; `None` if all of it is.
pub(super) fn prepared(subject: &Subject<'_>, resource: &TargetState) -> Option<TargetDecision> {
    if subject.lifecycle == Lifecycle::Deleted {
        return None;
    }
    if !subject.has_finalizer {
        let verdict = Verdict::progressing(Reason::Pending, "the object is being prepared");
        return Some(TargetDecision::step(
            Step::AddFinalizer,
            Next::Poll { after: None },
            verdict,
        ));
    }
    if !resource.account_is_held {
        let message = "waits until the AzureAccount is marked as in use";
        let verdict = Verdict::progressing(Reason::Pending, message);
        return Some(TargetDecision::rest(Next::After(SHORT_PACE), verdict));
    }
    None
}

/// The target while an operation on it is under way.
pub(super) fn running(resource: &TargetState) -> Verdict {
    let reason = match &resource.history.write {
        Some(_) => Reason::Updating,
        None => Reason::Provisioning,
    };
    Verdict::progressing(reason, format!("{} is in the state {}", resource.id, state(resource)))
}

/// Why the write would lose something of the target, if it would.
fn lossy(subject: &Subject<'_>, resource: &TargetState, goal: &Goal) -> Option<String> {
    if !goal.needs_put(resource) {
        return None;
    }
    let lost = unreturned_values(resource.actual.as_ref().unwrap_or(&Value::Null));
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
        resource.id,
        first.join(", ")
    ))
}

/// What follows if Azure has answered this very write over this very state before.
fn answered(
    subject: &Subject<'_>,
    resource: &TargetState,
    fingerprint: &str,
    removes_tags: bool,
    now: Timestamp,
) -> Option<TargetDecision> {
    let interval = Next::Resync(subject.interval());
    let last = resource.history.write.as_ref()?;
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
            Some(TargetDecision::rest(interval, verdict))
        }
        Answer::Accepted if matches!(progress(resource), Progress::Failed(_)) && age < FAILED_RETRY => {
            let why = resource.history.operation_error.as_deref();
            let why = why.unwrap_or("its activity log in Azure says why");
            let message = format!("{} is in the state {}: {why}", resource.id, state(resource));
            let verdict = Verdict::stalled(Reason::ProvisioningFailed, message);
            Some(TargetDecision::rest(Next::At(last.at + FAILED_RETRY), verdict))
        }
        Answer::Accepted if age < SETTLING => {
            let message = format!("Azure accepted the change of {} and does not show it yet", resource.id);
            Some(TargetDecision::rest(
                Next::After(SHORT_PACE),
                Verdict::progressing(Reason::Updating, message),
            ))
        }
        Answer::Accepted if removes_tags && resource.history.disowned < WAYS_TO_REMOVE => None,
        // What Azure keeps its own way would be written again and again for nothing.
        Answer::Accepted if age < REJECTED_RESYNC && !matches!(progress(resource), Progress::Failed(_)) => {
            let message = format!(
                "Azure accepted the change of {} and did not make it: {}",
                resource.id, "something else sets its identities or tags"
            );
            Some(TargetDecision::rest(
                interval,
                Verdict::stalled(Reason::Drifted, message),
            ))
        }
        Answer::Refused { .. } | Answer::Accepted => None,
    }
}
