//! The seam between a kind's controller and the runtime: observe, plan, carry out, summarize.

use std::{borrow::Cow, fmt::Debug, future::Future, time::Duration};

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, core::object::HasStatus};
use serde::{Serialize, de::DeserializeOwned};

use super::{error::Classify, events::Note, failure::Failure, pass::Pass, snapshot::Snapshot, waits::Waited};

/// A namespaced custom resource with a status.
///
/// Implemented by itself for everything that `#[derive(CustomResource)]` with `namespaced` and `status` makes, provided
/// that the status can be compared.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Serialize + PartialEq + Clone + Debug + Send + Sync + 'static>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Serialize + PartialEq + Clone + Debug + Send + Sync + 'static>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// One kind's way from what is wanted to what is.
///
/// [`plan`](Self::plan) and [`summarize`](Self::summarize) have no `self`: they cannot do I/O, and they take the clock.
/// A pass may be dropped at any `.await` (deadline, shutdown), so every step must be safe to repeat from its start.
pub trait Reconciler: Send + Sync + Sized + 'static {
    /// The kind that is reconciled.
    type Object: Object;
    /// What was found out about the world in this pass.
    type Observed: Debug + Send + Sync;
    /// One effect with every choice made, so that carrying it out decides nothing.
    type Step: Debug + Send;
    /// What a plan says of the object: all that its status is to tell of the pass.
    type Verdict: Debug + Send + Sync;
    /// Why a pass failed.
    type Error: Classify;

    /// Reads what the plan needs. Changes nothing outside this process.
    fn observe(
        &self,
        object: &Snapshot<Self::Object>,
    ) -> impl Future<Output = Result<Self::Observed, Self::Error>> + Send;

    /// Decides. Pure and total: the same arguments give the same plan. Deletion is part of it. `waited` says for how long the
    /// object has given which reason.
    fn plan(
        object: &Self::Object,
        observed: &Self::Observed,
        waited: &Waited,
        now: Timestamp,
    ) -> Plan<Self::Step, Self::Verdict>;

    /// The reason for which an object is not as it should be, by the verdict of a plan; `None` if it is, or if nobody counts
    /// how long it is not.
    fn reason(_verdict: &Self::Verdict) -> Option<Cow<'static, str>> {
        None
    }

    /// Carries out one step. It may change what was observed and write the object through `pass`; what it answers says
    /// whether the object is planned again in this pass.
    fn carry_out(
        &self,
        pass: &mut Pass<Self>,
        step: Self::Step,
    ) -> impl Future<Output = Result<Effect, Self::Error>> + Send;

    /// Computes the whole status, or `None` to leave it as it is. Pure, and a fixpoint: given an object that already has
    /// the answer as its status, and an unchanged world, it answers the same again.
    ///
    /// `object` is the latest version that this pass knows, with its previous status.
    fn summarize(
        object: &Self::Object,
        seen: Seen<'_, Self::Observed, Self::Verdict>,
        now: Timestamp,
    ) -> Option<<Self::Object as HasStatus>::Status>;

    /// Events for a status that was just written over `object`. Called only then, so an event marks a transition.
    fn notes(_object: &Self::Object, _status: &<Self::Object as HasStatus>::Status) -> Vec<Note> {
        Vec::new()
    }

    /// Whether nothing is known to be outstanding. The first passes over settled objects are spread over
    /// [`Settings::start_spread`](super::drive::Settings::start_spread) after a start.
    fn settled(_object: &Self::Object) -> bool {
        false
    }

    /// The longest pause after a pass that failed, whatever it failed of, for an object that something would be lost of by
    /// then. Nobody outside of the process can make the pause longer.
    fn longest_pause(_object: &Self::Object, _observed: Option<&Self::Observed>) -> Option<Duration> {
        None
    }

    /// The object left the watch: it was deleted, or it no longer matches the field selector (where the object does not
    /// say so itself, only a live read can tell). Called once, when no pass over the object is under way, with its newest
    /// version that is known, which may be the answer to a write. It must not block.
    ///
    /// Nobody is told of objects that go while the operator is not running.
    fn gone(&self, _object: &Snapshot<Self::Object>) {}
}

/// What a pass shall do and when the object is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Plan<S, V = ()> {
    /// The one effect, or nothing.
    pub step: Option<S>,
    /// When to look again once the pass is over (and nothing failed).
    pub next: Next,
    /// What there is to say of the object once the step was carried out.
    pub verdict: V,
}

impl<S> Plan<S> {
    /// Carry out `step`, then look again as `next` says, unless the step's [`Effect`] leads to another plan first.
    pub fn step(step: S, next: Next) -> Self {
        Self {
            step: Some(step),
            next,
            verdict: (),
        }
    }

    /// Change nothing.
    pub fn rest(next: Next) -> Self {
        Self {
            step: None,
            next,
            verdict: (),
        }
    }
}

/// When the object is looked at again if nothing about it changes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Only when the object changes or is triggered. Never for a state that the outside world can change unnoticed.
    AwaitChange,
    /// All is well; look for drift after about this time (jittered by 20 %).
    Resync(Duration),
    /// Something is under way. With a hint, at least that long (and at least 2 s); without, 5 s growing to 30 s.
    Poll {
        /// What the other side asked for, for instance in `Retry-After`.
        after: Option<Duration>,
    },
    /// Something is under way, and nobody but the plan says how long to pause: at least that long, at the operator's
    /// [`Pace`](super::Pace).
    After(Duration),
    /// Something happens at this time; never earlier.
    At(Timestamp),
    /// At once, as a pass of its own: the step used up its time and the work goes on (a long poll).
    Again,
}

impl Next {
    /// A look at what is under way on the other side: when it asked for that, or else after a pause of our own.
    pub fn asked_or(asked: Option<Duration>, own: Duration) -> Self {
        asked.map_or(Self::After(own), |_| Self::Poll { after: asked })
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Effect {
    /// The pass is over; the plan's `next` holds.
    Done,
    /// Plan again now, with the pass's object and observation as the step left them.
    Replan,
    /// Observe and plan again now.
    Reobserve,
}

/// What a status is computed from, besides the object itself.
#[derive(Debug)]
pub struct Seen<'a, O, V = ()> {
    /// What was observed; `None` if that failed.
    pub observed: Option<&'a O>,
    /// What the last plan said; `None` if none was made.
    pub verdict: Option<&'a V>,
    /// For how long the object has given which reason.
    pub waited: &'a Waited,
    /// How the pass ended.
    pub outcome: PassOutcome<'a>,
}

/// How a pass ended, as far as a status is concerned.
#[derive(Debug, Clone, Copy)]
pub enum PassOutcome<'a> {
    /// Everything that was planned was carried out.
    Done(Next),
    /// Something failed.
    Failed(&'a Failure),
}
