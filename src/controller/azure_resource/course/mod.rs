//! What happens next to an Azure resource, when it is looked at again, and what the status says meanwhile.
//!
//! Pure and total: the same object, look and time give the same course. It names at most one write.

mod deleted;
mod wanted;
mod write;

pub use deleted::lets_go_unseen;

use std::time::Duration;

use jiff::Timestamp;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::operation;
use crate::controller::ownership::{Owner, Presence};
use crate::controller::policy::Lifecycle;
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

use super::look::{Body, Look, View};
use super::memory::{Answer, Purpose, Written};
use super::subject::{Subject, age};

/// How long ARM may show an older state than it has accepted: other regions learn of a write later.
pub const SETTLING: Duration = Duration::from_mins(1);
/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
const WAITING_PACE: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
const SHORT_PACE: Duration = Duration::from_secs(2);

/// What happens next, and what the status says meanwhile.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Course {
    /// The one effect, or nothing.
    pub step: Option<Step>,
    /// When to look again.
    pub next: Next,
    /// Where the object stands.
    pub verdict: Verdict,
    /// What differs and is not put right.
    pub drift: Vec<Difference>,
}

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Add the finalizer to the object.
    AddFinalizer,
    /// Register a resource provider.
    Register(String),
    /// PUT the resource.
    Write(Write),
    /// Write or remove the owner tag, and nothing else.
    Tag {
        /// The owner; `None` removes the tag.
        owner: Option<Owner>,
        /// What is sent.
        body: Body,
        /// See [`Written`].
        fingerprint: String,
    },
    /// DELETE the resource.
    Delete,
    /// Remove the finalizer.
    Release(Release),
}

/// A PUT.
#[derive(Debug, PartialEq)]
pub struct Write {
    /// What it is for.
    pub purpose: Purpose,
    /// What is sent.
    pub body: Body,
    /// What is sent, and over which state of the resource.
    pub fingerprint: String,
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

impl Course {
    fn rest(next: Next, verdict: Verdict) -> Self {
        Self {
            step: None,
            next,
            verdict,
            drift: Vec::new(),
        }
    }

    fn step(step: Step, next: Next, verdict: Verdict) -> Self {
        Self {
            step: Some(step),
            next,
            verdict,
            drift: Vec::new(),
        }
    }

    fn with_drift(mut self, drift: Vec<Difference>) -> Self {
        self.drift = drift;
        self
    }
}

/// Decides.
pub fn course(subject: &Subject<'_>, look: &Look, now: Timestamp) -> Course {
    match (subject.lifecycle, look) {
        (Lifecycle::Wanted, Look::Held(held)) => Course::rest(held.next, held.verdict.clone()),
        (Lifecycle::Wanted, Look::Seen(view)) => wanted::wanted(subject, view, now),
        (Lifecycle::Deleted, look) => deleted::deleted(subject, look, now),
    }
}

/// Whether the object may use the resource that it sees: it is its own, or it only observes.
pub fn may_use(subject: &Subject<'_>, view: &View) -> bool {
    match view.presence() {
        Presence::Owned(_) => true,
        Presence::Unowned | Presence::OwnedByAnother => subject.spec.management_policy == ManagementPolicy::ObserveOnly,
        Presence::Absent => false,
    }
}

fn running(view: &View) -> Verdict {
    let reason = match &view.memory.write {
        Some(Written {
            purpose: Purpose::Create,
            ..
        }) => Reason::Creating,
        Some(Written {
            purpose: Purpose::Adopt | Purpose::Update,
            ..
        }) => Reason::Updating,
        None => Reason::Provisioning,
    };
    let state = view
        .actual
        .as_ref()
        .and_then(operation::provisioning_state)
        .unwrap_or_default();
    Verdict::progressing(reason, format!("{} is in the state {state}", view.id))
}

fn failure(view: &View) -> Verdict {
    let state = view
        .actual
        .as_ref()
        .and_then(operation::provisioning_state)
        .unwrap_or_default();
    let message = match &view.memory.operation_error {
        Some(error) => format!("{} is in the state {state}: {error}", view.id),
        None => format!(
            "{} is in the state {state}; its activity log in Azure says why",
            view.id
        ),
    };
    Verdict::stalled(Reason::ProvisioningFailed, message)
}

/// Whether Azure accepted a write so lately that a look may not show it.
fn is_settling(view: &View, now: Timestamp) -> bool {
    view.memory
        .write
        .as_ref()
        .is_some_and(|last| last.answer == Answer::Accepted && age(last.at, now) < SETTLING)
}

fn listed(ids: &[String]) -> String {
    let named = ids.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(10) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn poll(after: Duration) -> Next {
    Next::Poll { after: Some(after) }
}
