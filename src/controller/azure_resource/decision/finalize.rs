//! The decision of an object that is being deleted.

use std::ops::ControlFlow;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::policy::{Intent, Lifecycle, Situation};
use crate::controller::readiness::Verdict;
use crate::controller::waiting::DELETION_REFUSED;
use crate::runtime::Next;

use super::super::blocked::Blocked;
use super::super::observation::{Observation, Occupants, ResourceState};
use super::super::subject::{Subject, age};
use super::write::fingerprint;
use super::{Decision, ObjectStep, Release, SETTLING, SHORT_PACE, Step, WAITING_PACE, is_settling, listed, poll};

/// How often the removal of the owner tag is tried before the object goes without it.
const DISOWN_TRIES: u32 = 2;

/// What is left to decide on for an object that is being deleted, unless it goes, or has to wait, whatever that is.
pub fn leave<'a, R, S: From<ObjectStep>>(
    subject: &Subject<'_>,
    observation: &'a Observation<R>,
) -> ControlFlow<Decision<S>, &'a R> {
    let decision = match observation {
        _ if !subject.has_finalizer => {
            let verdict = Verdict::progressing(Reason::Deleting, "the object is being deleted");
            Decision::rest(Next::AwaitChange, verdict)
        }
        _ if subject.is_abandoned => Decision::release(Release::Left),
        Observation::Seen(resource) => return ControlFlow::Continue(resource),
        Observation::Blocked(Blocked::Nothing) => Decision::release(Release::Gone),
        Observation::Blocked(blocked) if lets_go_unseen(subject, blocked) => Decision::release(Release::Left),
        Observation::Blocked(blocked) => Decision::blocked(blocked),
    };
    ControlFlow::Break(decision)
}

/// Decides for an object that is being deleted.
pub(super) fn finalize(subject: &Subject<'_>, observation: &Observation, now: Timestamp) -> Decision {
    match leave(subject, observation) {
        ControlFlow::Continue(resource) => give_back(subject, resource, now),
        ControlFlow::Break(decision) => decision,
    }
}

/// Decides what becomes of a resource that its object no longer wants: it is deleted, or it stays without the owner's mark.
pub fn give_back(subject: &Subject<'_>, resource: &ResourceState, now: Timestamp) -> Decision {
    let progressing = |message: String| Verdict::progressing(Reason::Deleting, message);
    match Intent::of(Situation::of(subject.spec, Lifecycle::Deleted, resource.presence())) {
        Intent::Disown if resource.history.disowned >= DISOWN_TRIES => Decision::release(Release::Left),
        Intent::Disown => {
            let body = resource.mark_body(None);
            let fingerprint = fingerprint(&body, &[], subject.request);
            let verdict = progressing(format!("{} is kept; its owner tag is being removed", resource.id));
            Decision::step(
                Step::Tag {
                    origin: None,
                    body,
                    fingerprint,
                },
                Next::Poll { after: None },
                verdict,
            )
        }
        Intent::Delete => deleting(subject, resource, now),
        // It may have been created so lately that this look could not see it.
        Intent::LetGo
            if resource.actual.is_none() && is_settling(resource, now) && resource.history.deletion.is_none() =>
        {
            Decision::step(
                Step::Delete,
                Next::After(SHORT_PACE),
                progressing(format!("{} is being deleted", resource.id)),
            )
        }
        Intent::LetGo if resource.actual.is_none() => Decision::release(Release::Gone),
        Intent::LetGo
        | Intent::Create
        | Intent::Adopt
        | Intent::Claim
        | Intent::Enforce
        | Intent::Observe
        | Intent::AwaitResume
        | Intent::AwaitExisting
        | Intent::RefuseExisting
        | Intent::RefuseOwned => Decision::release(Release::Left),
    }
}

fn deleting(subject: &Subject<'_>, resource: &ResourceState, now: Timestamp) -> Decision {
    let id = &resource.id;
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    match &resource.occupants {
        Occupants::None => {}
        Occupants::Foreign(ids) => {
            let message = format!(
                "{id} contains resources that Lifeguard does not manage; delete or move them first: {}",
                listed(ids)
            );
            return Decision::rest(soon, Verdict::stalled(Reason::GroupNotEmpty, message));
        }
        Occupants::Ours(ids) => {
            let message = format!("{id} is deleted when these are gone: {}", listed(ids));
            return Decision::rest(Next::After(SHORT_PACE), Verdict::progressing(Reason::Deleting, message));
        }
    }
    let verdict = Verdict::progressing(Reason::Deleting, format!("{id} is being deleted"));
    let actual = resource.actual.as_ref().unwrap_or(&Value::Null);
    if operation::is_deleting(actual) {
        return Decision::rest(poll(resource.pause), verdict);
    }
    if let Progress::Running(after) = operation::of_resource(actual, resource.pause) {
        return Decision::rest(poll(after), verdict);
    }
    let history = &resource.history;
    match (history.deletion, &history.deletion_refusal) {
        (Some(asked), Some(message)) => {
            let again = asked + history.pace.of(DELETION_REFUSED.pause(history.deletion_refusals));
            let verdict = Verdict::stalled(Reason::Rejected, message.clone());
            if now < again {
                Decision::rest(Next::At(again), verdict)
            } else {
                Decision::step(Step::Delete, Next::After(SHORT_PACE), verdict)
            }
        }
        (Some(asked), None) if age(asked, now) < SETTLING => Decision::rest(poll(resource.pause), verdict),
        (Some(_) | None, _) => Decision::step(Step::Delete, Next::After(SHORT_PACE), verdict),
    }
}

/// Whether the object goes although Azure cannot be asked.
fn lets_go_unseen(subject: &Subject<'_>, blocked: &Blocked) -> bool {
    let is_unreachable = matches!(blocked, Blocked::CredentialGone { .. } | Blocked::NoAccess { .. });
    subject.spec.suspend
        || subject.spec.management_policy == ManagementPolicy::ObserveOnly
        || (is_unreachable && subject.spec.deletion_policy == Some(DeletionPolicy::Retain))
}
