//! What happens next to a target's identities, when it is looked at again, and what the status says meanwhile.
//!
//! Pure and total: the same object, observation and time give the same decision. It names at most one write.

mod ensure;
mod finalize;
mod write;

use jiff::Timestamp;

use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{self, Body, Decision, Method, ObjectStep, Observation, Subject};
use crate::controller::readiness::{Standing, Verdict};

use super::observation::{TargetObservation, TargetState};

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum AssignmentStep {
    /// One on the object itself.
    Object(ObjectStep),
    /// Write the target.
    Write(TargetWrite),
}

impl From<ObjectStep> for AssignmentStep {
    fn from(step: ObjectStep) -> Self {
        Self::Object(step)
    }
}

/// A write of the target.
#[derive(Debug, PartialEq)]
pub struct TargetWrite {
    /// How it is sent.
    pub method: Method,
    /// What is sent. It may hold values of the target that are nobody's business.
    pub body: Body,
    /// The state of the target that it was decided on; over any other it is not sent.
    pub basis: String,
    /// What it makes of which state.
    pub fingerprint: String,
    /// Whether it removes this assignment's tags, which services do in two ways.
    pub removes_tags: bool,
    /// Whether the object goes without it, should Azure refuse it: it only removes the record.
    pub is_best_effort: bool,
    /// What it attaches and detaches, for an event.
    pub changes: String,
}

/// Decides for an identity assignment, by what was observed.
pub fn decide(subject: &Subject<'_>, observation: &TargetObservation, now: Timestamp) -> Decision<AssignmentStep> {
    match (subject.lifecycle, observation) {
        (Lifecycle::Wanted, Observation::Blocked(blocked)) => Decision::blocked(blocked),
        (Lifecycle::Wanted, Observation::Seen(resource)) => {
            let decision = ensure::ensure(subject, resource, now);
            let is_ready = decision.verdict.standing == Standing::Ready;
            Decision {
                in_sync: Some(is_ready && decision.drift.is_empty()),
                ..decision
            }
        }
        (Lifecycle::Deleted, observation) => finalize::finalize(subject, observation, now),
    }
}

/// The target while an operation on it is under way.
fn running(resource: &TargetState) -> Verdict {
    azure_resource::running(&resource.id, resource.actual.as_ref(), &resource.history)
}
