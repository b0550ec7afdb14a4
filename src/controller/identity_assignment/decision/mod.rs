//! What happens next to a target's identities, when it is looked at again, and what the status says meanwhile.
//!
//! Pure and total: the same object, observation and time give the same decision. It names at most one write.

mod ensure;
mod finalize;
mod write;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::azure::operation::{self, Progress};
use crate::azure::{Difference, container_group};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{Release, Subject};
use crate::controller::readiness::Verdict;
use crate::runtime::{Next, Plan};

use super::goal::Request;
use super::observation::{TargetObservation, TargetState};
use super::target::TargetKind;

/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
const WAITING_PACE: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
const SHORT_PACE: Duration = Duration::from_secs(2);

/// What happens next, and what the status says meanwhile.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct TargetDecision {
    /// The one effect, or nothing.
    pub step: Option<Step>,
    /// When to look again.
    pub next: Next,
    /// Where the object stands.
    pub verdict: Verdict,
    /// What differs and is not put right.
    pub drift: Vec<Difference>,
    /// Whether the target is held no more, because an identity that is referred to goes or another object rules the
    /// target: the status then has no `id`, which whoever waits for this object goes by.
    pub has_let_go: bool,
}

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Add the finalizer to the object.
    AddFinalizer,
    /// Write the target.
    Write(Write),
    /// Remove the finalizer.
    Release(Release),
}

/// A write of the target.
#[derive(Debug, PartialEq)]
pub struct Write {
    /// What is sent.
    pub request: Request,
    /// The state of the target that it was decided on; over any other it is not sent.
    pub basis: String,
    /// What it makes of which state.
    pub fingerprint: String,
    /// Whether it removes this assignment's tags, which services do in two ways.
    pub removes_tags: bool,
    /// What it attaches and detaches, for an event.
    pub changes: String,
}

/// What the status says of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetAssessment {
    /// Where the object stands.
    pub verdict: Verdict,
    /// What differs and is not put right.
    pub drift: Vec<Difference>,
    /// See [`TargetDecision::has_let_go`].
    pub has_let_go: bool,
}

impl TargetDecision {
    /// The plan that the runtime carries out.
    pub fn into_plan(self) -> Plan<Step, TargetAssessment> {
        let Self {
            step,
            next,
            verdict,
            drift,
            has_let_go,
        } = self;
        Plan {
            step,
            next,
            verdict: TargetAssessment {
                verdict,
                drift,
                has_let_go,
            },
        }
    }

    fn rest(next: Next, verdict: Verdict) -> Self {
        Self {
            step: None,
            next,
            verdict,
            drift: Vec::new(),
            has_let_go: false,
        }
    }

    fn step(step: Step, next: Next, verdict: Verdict) -> Self {
        Self {
            step: Some(step),
            ..Self::rest(next, verdict)
        }
    }

    fn with_drift(mut self, drift: Vec<Difference>) -> Self {
        self.drift = drift;
        self
    }

    fn letting_go(mut self, has_let_go: bool) -> Self {
        self.has_let_go = has_let_go;
        self
    }
}

/// Decides for an identity assignment, by what was observed.
pub fn decide(subject: &Subject<'_>, observation: &TargetObservation, now: Timestamp) -> TargetDecision {
    match (subject.lifecycle, observation) {
        (Lifecycle::Wanted, TargetObservation::Blocked(blocked)) => {
            TargetDecision::rest(blocked.next(), blocked.verdict())
        }
        (Lifecycle::Wanted, TargetObservation::Seen(resource)) => ensure::ensure(subject, resource, now),
        (Lifecycle::Deleted, observation) => finalize::finalize(subject, observation, now),
    }
}

/// How far the target's last operation has come, whoever began it.
fn progress(resource: &TargetState) -> Progress {
    match (&resource.actual, resource.kind) {
        (None, _) => Progress::Done,
        (Some(actual), TargetKind::Group) => container_group::progress(actual, resource.pause),
        (Some(actual), TargetKind::App | TargetKind::Pool) => operation::of_resource(actual, resource.pause),
    }
}

fn state(resource: &TargetState) -> &str {
    let actual = resource.actual.as_ref().unwrap_or(&Value::Null);
    operation::provisioning_state(actual).unwrap_or_default()
}

/// The next look at an operation that is under way.
fn poll(asked: Option<Duration>) -> Next {
    Next::asked_or(asked, operation::DEFAULT_PACE)
}
