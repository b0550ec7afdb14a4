//! What belongs to a resource and is written one by one, such as federated credentials of an identity, and what happens next
//! to it. The decision is pure and names at most one write.
//!
//! Azure keeps no owner of such a child, so the object's status does: a name is recorded there before the child is written,
//! and only what is recorded is ever removed.

mod decision;

pub use decision::decide_children;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{ManagementPolicy, ManagementSpec};
use crate::azure::Difference;
use crate::azure::{ArmClient, AzureError, ResourceId};
use crate::controller::azure_resource::{Answer, SETTLING};
use crate::controller::readiness::Verdict;
use crate::runtime::Pace;

/// One of them.
pub trait Child: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// What one is called in messages.
    const NOUN: &'static str;
    /// Where the spec has them, for drift.
    const PATH: &'static str;
    /// The reason of the event that one was written.
    const WRITTEN: &'static str;
    /// The reason of the event that one was removed.
    const REMOVED: &'static str;

    /// Its name, which Azure compares without regard to case.
    fn name(&self) -> &str;
    /// Its properties, for drift.
    fn properties(&self) -> Value;
    /// Whether both are the same but for their names.
    fn is_same(&self, other: &Self) -> bool;
    /// Whether Azure takes only one of both.
    fn clashes_with(&self, other: &Self) -> bool;
    /// What it means that it is there, for an event.
    fn meaning(&self) -> String;
    /// Whether a refused write would be refused again.
    fn is_refused_for_good(error: &AzureError) -> bool;
    /// What a resource has of them; `None` while Azure does not show the resource there.
    fn list(arm: &ArmClient, id: &ResourceId) -> impl Future<Output = Result<Option<Vec<Self>>, AzureError>> + Send;
    /// Creates or replaces it.
    fn put(&self, arm: &ArmClient, id: &ResourceId) -> impl Future<Output = Result<(), AzureError>> + Send;
    /// Deletes it; one that is not there is deleted.
    fn delete(arm: &ArmClient, id: &ResourceId, name: &str) -> impl Future<Output = Result<(), AzureError>> + Send;
}

/// For kinds whose resources have no children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoChild {}

impl Child for NoChild {
    const NOUN: &'static str = "";
    const PATH: &'static str = "";
    const WRITTEN: &'static str = "";
    const REMOVED: &'static str = "";

    fn name(&self) -> &str {
        match *self {}
    }

    fn properties(&self) -> Value {
        match *self {}
    }

    fn is_same(&self, _: &Self) -> bool {
        match *self {}
    }

    fn clashes_with(&self, _: &Self) -> bool {
        match *self {}
    }

    fn meaning(&self) -> String {
        match *self {}
    }

    fn is_refused_for_good(_: &AzureError) -> bool {
        false
    }

    async fn list(_: &ArmClient, _: &ResourceId) -> Result<Option<Vec<Self>>, AzureError> {
        Ok(Some(Vec::new()))
    }

    async fn put(&self, _: &ArmClient, _: &ResourceId) -> Result<(), AzureError> {
        match *self {}
    }

    async fn delete(_: &ArmClient, _: &ResourceId, _: &str) -> Result<(), AzureError> {
        Ok(())
    }
}

/// What a pass observed of them.
#[derive(Debug, Clone)]
pub struct ChildrenState<C> {
    /// The names in the spec. One that is not here is removed where the object wrote it.
    pub named: Vec<String>,
    /// What Azure should have.
    pub wanted: Vec<C>,
    /// Why Azure is not to have all that the spec names, where that is so.
    pub withheld: Option<Verdict>,
    /// What Azure has; `None` while it does not show the identity there.
    pub actual: Option<Vec<C>>,
    /// What the process remembers.
    pub history: ChildHistory<C>,
    /// The value of the annotation by which a look was asked for.
    pub request: Option<String>,
    /// How fast the operator goes.
    pub pace: Pace,
}

impl<C> Default for ChildrenState<C> {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            wanted: Vec::new(),
            withheld: None,
            actual: Some(Vec::new()),
            history: BTreeMap::new(),
            request: None,
            pace: Pace::FULL,
        }
    }
}

/// What the process remembers of each, by its lower-cased name. All of it may be lost.
pub type ChildHistory<C> = BTreeMap<String, AnsweredWrite<C>>;

/// A write that Azure answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredWrite<C> {
    /// When.
    pub at: Timestamp,
    /// What was written.
    pub write: ChildWrite<C>,
    /// At whose request: an answer is none to another one.
    pub request: Option<String>,
    /// The answer.
    pub answer: Answer,
    /// How often in a row Azure refused it.
    pub refusals: u32,
    /// Whether Azure has shown what was written since.
    pub has_shown: bool,
}

/// A write of one, and over what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildWrite<C> {
    /// A PUT.
    Put {
        /// What is sent.
        child: C,
        /// What it replaces.
        over: Option<C>,
        /// The name of another one that clashes with it.
        clash: Option<String>,
    },
    /// A DELETE.
    Delete {
        /// The name.
        name: String,
    },
}

/// The next effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildStep<C> {
    /// Record these names in the status: they are about to be written.
    Record(Vec<String>),
    /// Write one.
    Write(ChildWrite<C>),
}

/// What happens next to them.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct ChildrenDecision<C> {
    /// The one effect, or nothing.
    pub step: Option<ChildStep<C>>,
    /// Why they are not as they should be, if they are not.
    pub problem: Option<Verdict>,
    /// Whether something was written that Azure does not show yet, so that it is looked at again soon.
    pub is_settling: bool,
    /// What differs and is not corrected.
    pub drift: Vec<Difference>,
}

impl<C: Child> ChildWrite<C> {
    /// The name of the child.
    pub fn name(&self) -> &str {
        match self {
            Self::Put { child, .. } => child.name(),
            Self::Delete { name } => name,
        }
    }
}

impl<C: Child> ChildrenState<C> {
    /// Brings the children up to date with what Azure answered a write. Pure.
    pub fn note_answer(&mut self, write: ChildWrite<C>, answer: Answer, at: Timestamp) {
        let actual = self.actual.get_or_insert_default();
        let key = write.name().to_ascii_lowercase();
        if answer == Answer::Accepted {
            actual.retain(|it| !is_named(it, write.name()));
        }
        match (&write, &answer) {
            (ChildWrite::Delete { .. }, Answer::Accepted) => {
                self.history.remove(&key);
            }
            (ChildWrite::Put { .. }, _) | (ChildWrite::Delete { .. }, Answer::Refused { .. }) => {
                if let (ChildWrite::Put { child, .. }, Answer::Accepted) = (&write, &answer) {
                    actual.push(child.clone());
                }
                let before = self.history.get(&key).filter(|before| before.write == write);
                let refusals = answer.refusals_after(before.map(|before| before.refusals));
                let attempt = AnsweredWrite {
                    at,
                    refusals,
                    write,
                    request: self.request.clone(),
                    answer,
                    has_shown: false,
                };
                self.history.insert(key, attempt);
            }
        }
    }
}

/// The names that the status holds after a look: what was written or is about to be, without what is gone.
pub fn still_recorded<C: Child>(
    spec: &ManagementSpec,
    recorded: &[String],
    children: &ChildrenState<C>,
    now: Timestamp,
) -> Vec<String> {
    let Some(actual) = &children.actual else {
        return recorded.to_vec();
    };
    let is_there = |name: &str| actual.iter().any(|it| is_named(it, name));
    let mut names: Vec<String> = recorded
        .iter()
        .filter(|name| contains(&children.named, name) || is_there(name) || may_still_appear(children, name, now))
        .cloned()
        .collect();
    if may_write(spec) {
        // What is exactly as it was asked for is taken for its own, as after the loss of a status.
        for wanted in &children.wanted {
            let is_so = actual
                .iter()
                .any(|it| is_named(it, wanted.name()) && it.is_same(wanted));
            if is_so && !contains(&names, wanted.name()) {
                names.push(wanted.name().to_owned());
            }
        }
    }
    names
}

/// Takes note of which writes Azure shows.
pub fn take_note<C: Child>(history: &mut ChildHistory<C>, actual: &[C]) {
    for attempt in history.values_mut() {
        if let ChildWrite::Put { child, .. } = &attempt.write
            && actual.iter().any(|it| is_named(it, child.name()) && it.is_same(child))
        {
            attempt.has_shown = true;
        }
    }
}

/// Whether one was written so lately that a list may not show it yet.
fn may_still_appear<C: Child>(children: &ChildrenState<C>, name: &str, now: Timestamp) -> bool {
    children.history.get(&name.to_ascii_lowercase()).is_some_and(|last| {
        matches!(last.write, ChildWrite::Put { .. })
            && last.answer == Answer::Accepted
            && !last.has_shown
            && super::age(last.at, now) < SETTLING
    })
}

fn may_write(spec: &ManagementSpec) -> bool {
    !spec.suspend && spec.management_policy != ManagementPolicy::ObserveOnly
}

fn may_change(spec: &ManagementSpec) -> bool {
    may_write(spec) && spec.management_policy == ManagementPolicy::Enforce
}

/// Azure compares names without regard to case.
pub fn is_named<C: Child>(child: &C, name: &str) -> bool {
    child.name().eq_ignore_ascii_case(name)
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}
