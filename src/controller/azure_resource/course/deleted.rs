//! The course of an object that is being deleted.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::controller::policy::{Decision, Lifecycle, Situation, decide};
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::super::look::{Held, Look, Occupants, View};
use super::super::subject::{Subject, age};
use super::write::fingerprint;
use super::{Course, Release, SETTLING, SHORT_PACE, Step, WAITING_PACE, is_settling, listed, poll};

/// How often the removal of the owner tag is tried before the object goes without it.
const DISOWN_TRIES: u32 = 2;

/// Decides for an object that is being deleted.
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
    match decide(Situation::of(subject.spec, Lifecycle::Deleted, view.presence())) {
        Decision::Disown if view.memory.disowned >= DISOWN_TRIES => release(Release::Left),
        Decision::Disown => {
            let body = view.mark_body(None);
            let fingerprint = fingerprint(&body, &[]);
            let verdict = progressing(format!("{} is kept; its owner tag is being removed", view.id));
            Course::step(
                Step::Tag {
                    owner: None,
                    body,
                    fingerprint,
                },
                Next::Poll { after: None },
                verdict,
            )
        }
        Decision::Delete => deleting(subject, view, now),
        // It may have been created so lately that this look could not see it.
        Decision::LetGo if view.actual.is_none() && is_settling(view, now) && view.memory.deletion.is_none() => {
            Course::step(
                Step::Delete,
                poll(SHORT_PACE),
                progressing(format!("{} is being deleted", view.id)),
            )
        }
        Decision::LetGo if view.actual.is_none() => release(Release::Gone),
        Decision::LetGo
        | Decision::Create
        | Decision::Adopt
        | Decision::Claim
        | Decision::Enforce
        | Decision::Observe
        | Decision::AwaitResume
        | Decision::AwaitExisting
        | Decision::RefuseExisting
        | Decision::RefuseOwned => release(Release::Left),
    }
}

fn deleting(subject: &Subject<'_>, view: &View, now: Timestamp) -> Course {
    let id = &view.id;
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    match &view.occupants {
        Occupants::None => {}
        Occupants::Foreign(ids) => {
            let message = format!(
                "{id} holds what Lifeguard does not manage; delete or move it first: {}",
                listed(ids)
            );
            return Course::rest(soon, Verdict::stalled(Reason::GroupNotEmpty, message));
        }
        Occupants::Ours(ids) => {
            let message = format!("{id} is deleted when these are gone: {}", listed(ids));
            return Course::rest(poll(SHORT_PACE), Verdict::progressing(Reason::Deleting, message));
        }
    }
    let verdict = Verdict::progressing(Reason::Deleting, format!("{id} is being deleted"));
    let actual = view.actual.as_ref().unwrap_or(&Value::Null);
    if operation::is_deleting(actual) {
        return Course::rest(poll(operation::pace(view.pause)), verdict);
    }
    if let Progress::Running(after) = operation::of_resource(actual, view.pause) {
        return Course::rest(poll(after), verdict);
    }
    match view.memory.deletion {
        Some(asked) if age(asked, now) < SETTLING => {
            let refused = view.memory.deletion_refusal.clone();
            let verdict = refused.map_or(verdict, |message| Verdict::stalled(Reason::Rejected, message));
            Course::rest(poll(operation::pace(view.pause)), verdict)
        }
        Some(_) | None => Course::step(Step::Delete, poll(SHORT_PACE), verdict),
    }
}

/// Whether the object goes although Azure cannot be asked.
pub fn lets_go_unseen(subject: &Subject<'_>, held: &Held) -> bool {
    subject.spec.suspend
        || subject.spec.management_policy == ManagementPolicy::ObserveOnly
        || (held.is_credential_gone && subject.spec.deletion_policy == Some(DeletionPolicy::Retain))
}
