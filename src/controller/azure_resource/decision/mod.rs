//! What happens next to an Azure resource, when it is looked at again, and what the status says meanwhile.
//!
//! Pure and total: the same object, observation and time give the same decision. It names at most one write.

mod ensure;
mod finalize;
mod write;

pub use ensure::unprepared;
pub use finalize::{give_back, leave};
pub use write::answered;

pub use crate::controller::waiting::WAITING_PACE;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::operation::{self, Progress};
use crate::azure::{Difference, ResourceId};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::ownership::{Origin, Presence};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Next, Plan, Waited};

use super::blocked::Blocked;
use super::history::{Answer, History, LastWrite, Purpose};
use super::observation::{Body, Method, Observation, ResourceState};
use super::overwritten::Deviation;
use super::subject::{AzureObject, Subject, age};

/// How long ARM may show an older state than it has accepted: other regions learn of a write later.
pub const SETTLING: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
pub const SHORT_PACE: Duration = Duration::from_secs(2);

/// What happens next, and what the status says meanwhile.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Decision<S = Step> {
    /// The one effect, or nothing.
    pub step: Option<S>,
    /// When to look again.
    pub next: Next,
    /// Where the object stands.
    pub verdict: Verdict,
    /// What differs and is not corrected.
    pub drift: Vec<Difference>,
    /// Whether Azure has what the spec says; `None` where nobody can tell.
    pub in_sync: Option<bool>,
    /// Whether the resource can be used, be it as the spec says or not; `None` where nobody can tell, or a change of it is under
    /// way.
    pub provisioned: Option<bool>,
    /// Whether the object has taken back what it had in Azure and still exists: its status then has no `id`, which is what
    /// those go by who wait for it.
    pub has_let_go: bool,
}

/// A step on the object itself. Whatever a kind has in Azure, it takes these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectStep {
    /// Add the finalizer.
    AddFinalizer,
    /// Remove the finalizer.
    Release(Release),
}

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Add the finalizer to the object.
    AddFinalizer,
    /// Register a resource provider.
    Register(String),
    /// Write the resource.
    Write(Write),
    /// Write or remove the owner tag, and nothing else.
    Tag {
        /// How the resource comes to its owner; `None` removes the tag.
        origin: Option<Origin>,
        /// What is sent.
        body: Body,
        /// See [`LastWrite`].
        fingerprint: String,
    },
    /// DELETE the resource.
    Delete,
    /// Remove the finalizer.
    Release(Release),
}

impl From<ObjectStep> for Step {
    fn from(step: ObjectStep) -> Self {
        match step {
            ObjectStep::AddFinalizer => Self::AddFinalizer,
            ObjectStep::Release(release) => Self::Release(release),
        }
    }
}

/// A PUT, or a merge patch of what differs.
#[derive(Debug, PartialEq)]
pub struct Write {
    /// How it is sent.
    pub method: Method,
    /// What it is for.
    pub purpose: Purpose,
    /// What is sent.
    pub body: Body,
    /// What is sent, and over which state of the resource.
    pub fingerprint: String,
    /// What it is sent over; `None` where there is no resource.
    pub over: Option<Deviation>,
    /// What it puts right, for an event.
    pub changes: String,
}

/// What is left in Azure when the object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Nothing.
    Gone,
    /// The resource.
    Left,
}

/// What a status says of a pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Where the object stands.
    pub verdict: Verdict,
    /// What differs and is not corrected.
    pub drift: Vec<Difference>,
    /// Whether Azure has what the spec says; `None` where nobody can tell.
    pub in_sync: Option<bool>,
    /// See [`Decision::provisioned`].
    pub provisioned: Option<bool>,
    /// See [`Decision::has_let_go`].
    pub has_let_go: bool,
}

/// Of an object before anything of it is written to Azure.
fn being_prepared() -> Verdict {
    Verdict::progressing(Reason::Pending, "the object is being prepared")
}

impl<S: From<ObjectStep>> Decision<S> {
    /// The object gets its finalizer.
    pub fn prepare() -> Self {
        Self::step(
            ObjectStep::AddFinalizer.into(),
            Next::Poll { after: None },
            being_prepared(),
        )
    }

    /// The object goes.
    pub fn release(release: Release) -> Self {
        let verdict = Verdict::progressing(Reason::Deleting, "the object is let go");
        Self::step(ObjectStep::Release(release).into(), Next::AwaitChange, verdict)
    }
}

impl<S> Decision<S> {
    /// Nothing is done.
    pub fn rest(next: Next, verdict: Verdict) -> Self {
        Self {
            step: None,
            next,
            verdict,
            drift: Vec::new(),
            in_sync: None,
            provisioned: None,
            has_let_go: false,
        }
    }

    /// Nothing can be done, because Azure is not asked.
    pub fn blocked(blocked: &Blocked) -> Self {
        Self::rest(blocked.next(), blocked.verdict())
    }

    /// One effect.
    pub fn step(step: S, next: Next, verdict: Verdict) -> Self {
        Self {
            step: Some(step),
            ..Self::rest(next, verdict)
        }
    }

    /// The same, and this differs and is not corrected.
    pub fn with_drift(self, drift: Vec<Difference>) -> Self {
        Self { drift, ..self }
    }

    /// The same, and whether the object holds nothing in Azure any more.
    pub fn letting_go(self, has_let_go: bool) -> Self {
        Self { has_let_go, ..self }
    }

    /// The same with a step of another type.
    pub fn map_step<T>(self, into: impl FnOnce(S) -> T) -> Decision<T> {
        Decision {
            step: self.step.map(into),
            next: self.next,
            verdict: self.verdict,
            drift: self.drift,
            in_sync: self.in_sync,
            provisioned: self.provisioned,
            has_let_go: self.has_let_go,
        }
    }

    /// The same, and what is waited for has an end: once it is no longer believed to come by itself, that is said, and it is
    /// asked for more slowly.
    pub fn with_end<K: AzureObject>(self, object: &K, waited: &Waited, now: Timestamp) -> Self {
        let subject = Subject::of(object);
        let was_stalled = self.verdict.standing == Standing::Stalled;
        let verdict = subject.waiting(waited, now).judge(self.verdict);
        let is_over = verdict.standing == Standing::Stalled && !was_stalled;
        let next = match self.next {
            Next::Poll { .. } | Next::After(_) if is_over && self.step.is_none() => Next::Poll { after: None },
            next => next,
        };
        Self {
            next,
            verdict: subject.with_ways_out(verdict),
            ..self
        }
    }

    /// The plan that the runtime carries out.
    pub fn into_plan(self) -> Plan<S, Assessment> {
        let Self {
            step,
            next,
            verdict,
            drift,
            in_sync,
            provisioned,
            has_let_go,
        } = self;
        Plan {
            step,
            next,
            verdict: Assessment {
                verdict,
                drift,
                in_sync,
                provisioned,
                has_let_go,
            },
        }
    }
}

/// Decides for an object, by what was observed.
pub fn decide(subject: &Subject<'_>, observation: &Observation, now: Timestamp) -> Decision {
    match (subject.lifecycle, observation) {
        (Lifecycle::Wanted, Observation::Blocked(blocked)) => Decision::blocked(blocked),
        (Lifecycle::Wanted, Observation::Seen(resource)) => {
            let is_as_specified = may_use(subject, resource) && resource.differences().is_empty();
            Decision {
                in_sync: Some(is_as_specified && !resource.secrets_differ()),
                provisioned: is_provisioned(subject, resource),
                ..ensure::ensure(subject, resource, now)
            }
        }
        (Lifecycle::Deleted, observation) => finalize::finalize(subject, observation, now),
    }
}

/// Whether the resource can be used; `None` while an operation on it is under way.
fn is_provisioned(subject: &Subject<'_>, resource: &ResourceState) -> Option<bool> {
    let Some(actual) = resource.actual.as_ref().filter(|_| may_use(subject, resource)) else {
        return Some(false);
    };
    match operation::of_resource(actual, None) {
        Progress::Done => Some(true),
        Progress::Failed => Some(false),
        Progress::Running(_) => None,
    }
}

/// Whether the object may use the resource that it sees: it is its own, or it only observes.
pub fn may_use(subject: &Subject<'_>, resource: &ResourceState) -> bool {
    match resource.presence() {
        Presence::Owned(_) => true,
        Presence::Unowned | Presence::OwnedByAnother => subject.spec.management_policy == ManagementPolicy::ObserveOnly,
        Presence::Absent => false,
    }
}

/// What is said of a resource while an operation on it is under way.
pub fn running(id: &ResourceId, actual: Option<&Value>, history: &History) -> Verdict {
    let reason = match &history.write {
        Some(LastWrite {
            purpose: Purpose::Create,
            ..
        }) => Reason::Creating,
        Some(LastWrite {
            purpose: Purpose::Adopt | Purpose::Update,
            ..
        }) => Reason::Updating,
        None => Reason::Provisioning,
    };
    let state = actual.and_then(operation::provisioning_state).unwrap_or_default();
    Verdict::progressing(reason, format!("{id} is in the state {state}"))
}

/// What is said of a resource whose last operation failed.
pub fn failure(id: &ResourceId, actual: Option<&Value>, history: &History) -> Verdict {
    let state = actual.and_then(operation::provisioning_state).unwrap_or_default();
    let message = match &history.operation_error {
        Some(error) => format!("{id} is in the state {state}: {error}"),
        None => format!("{id} is in the state {state}; its activity log in Azure says why"),
    };
    Verdict::stalled(Reason::ProvisioningFailed, message)
}

/// Whether Azure accepted a write so lately that a look may not show it.
fn is_settling(resource: &ResourceState, now: Timestamp) -> bool {
    resource
        .history
        .write
        .as_ref()
        .is_some_and(|last| last.answer == Answer::Accepted && age(last.at, now) < SETTLING)
}

/// Names for a message, not too many of them.
pub fn listed(ids: &[String]) -> String {
    let named = ids.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(10) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The next look at an operation that is under way.
pub fn poll(asked: Option<Duration>) -> Next {
    Next::asked_or(asked, operation::DEFAULT_PACE)
}
