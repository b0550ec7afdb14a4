//! The common part of a status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::azure_resource::AzureResourceStatus;
use crate::azure::operation;
use crate::controller::policy::Lifecycle;
use crate::controller::readiness::{self, Verdict};
use crate::runtime::{Note, Outcome};

use super::course::{course, may_use};
use super::drift::shown;
use super::look::{Look, View};
use super::subject::{AzureObject, Subject};

/// Summarizes a pass; `None` leaves the status as it is. `refine` may change a verdict by what only the kind knows.
///
/// A fixpoint: an object that has the answer as its status gets the same answer again.
pub fn summarize<K: AzureObject>(
    object: &K,
    look: Option<&Look>,
    outcome: Outcome<'_>,
    now: Timestamp,
    refine: impl FnOnce(Verdict, &View) -> Verdict,
) -> Option<AzureResourceStatus> {
    let subject = Subject::of(object);
    if subject.lifecycle == Lifecycle::Deleted && !subject.has_finalizer {
        return None;
    }
    let before = object.reported();
    let (verdict, drift) = match (outcome, look) {
        (Outcome::Failed(failure), _) => (Verdict::of_failure(failure, now)?, before.drift.clone()),
        (Outcome::Done(_), None) => return None,
        (Outcome::Done(_), Some(look)) => {
            let course = course(&subject, look, now);
            match look {
                Look::Held(_) => (course.verdict, before.drift.clone()),
                Look::Seen(view) => (refine(course.verdict, view), shown(&course.drift, &view.key)),
            }
        }
    };
    let (id, provisioning_state) = identity(&subject, look, before);
    Some(AzureResourceStatus {
        observed_generation: object.meta().generation,
        conditions: verdict.conditions(&before.conditions, object.meta().generation, now),
        id,
        provisioning_state,
        drift,
        ..before.clone()
    })
}

/// The events for a status that was just written.
pub fn notes<K: AzureObject>(object: &K, conditions: &[Condition]) -> Vec<Note> {
    readiness::notes(&object.reported().conditions, conditions)
}

fn identity(
    subject: &Subject<'_>,
    look: Option<&Look>,
    before: &AzureResourceStatus,
) -> (Option<String>, Option<String>) {
    let known = (before.id.clone(), before.provisioning_state.clone());
    match look {
        None | Some(Look::Held(_)) => known,
        Some(Look::Seen(view)) => match &view.actual {
            Some(actual) if may_use(subject, view) => (
                Some(view.id.to_string()),
                operation::provisioning_state(actual).map(str::to_owned),
            ),
            // Another's resource is none of ours, but what we had we may still have to find again.
            Some(_) | None => (known.0, None),
        },
    }
}
