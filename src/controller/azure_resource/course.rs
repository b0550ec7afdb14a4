//! What happens next to an Azure resource, when it is looked at again, and what the status says meanwhile.
//!
//! Pure and total: the same object, look and time give the same course. It names at most one write.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::OWNER_TAG;
use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::operation::{self, Progress};
use crate::azure::resource_group::tag;
use crate::controller::operator_key::hex;
use crate::controller::ownership::{Origin, Owner, Presence};
use crate::controller::policy::{Decision, Lifecycle, Situation, decide};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;
use crate::runtime::requeue::REJECTED_RESYNC;

use super::drift::paths;
use super::look::{Body, Held, Look, Occupants, Registration, View};
use super::memory::{Answer, Purpose, Written};
use super::subject::{Subject, age};

/// How long ARM may show an older state than it has accepted: other regions learn of a write later.
pub const SETTLING: Duration = Duration::from_mins(1);
/// How long a resource whose provisioning failed is left alone before its body is sent again.
pub const FAILED_RETRY: Duration = Duration::from_mins(10);
/// The pause between two looks at a provider that is being registered; azure-mgmt-core 1.6.0 makes one of 10 s.
const REGISTRATION_PACE: Duration = Duration::from_secs(5);
/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
const WAITING_PACE: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
const SHORT_PACE: Duration = Duration::from_secs(2);
/// How often the removal of the owner tag is tried before the object goes without it.
const DISOWN_TRIES: u32 = 2;

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
        (Lifecycle::Wanted, Look::Seen(view)) => wanted(subject, view, now),
        (Lifecycle::Deleted, look) => deleted(subject, look, now),
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

fn wanted(subject: &Subject<'_>, view: &View, now: Timestamp) -> Course {
    let interval = Next::Resync(subject.interval());
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let id = &view.id;
    match decide(Situation::of(subject.spec, Lifecycle::Wanted, view.presence())) {
        Decision::Create => creating(subject, view, now),
        Decision::Adopt => prepared(subject, view).unwrap_or_else(|| {
            let differences = view.differences();
            immutable(view, &differences, interval)
                .unwrap_or_else(|| writing(subject, view, Purpose::Adopt, Origin::Adopted, differences, now))
        }),
        Decision::Claim => prepared(subject, view).unwrap_or_else(|| {
            let owner = view.owner.clone().with_origin(Origin::Adopted);
            let body = view.tag_body(Some(&owner));
            let fingerprint = fingerprint(&body, &[]);
            let verdict = Verdict::progressing(Reason::Updating, format!("{id} is being adopted"));
            if let Some(course) = answered(view, &fingerprint, &[], interval, now) {
                return course;
            }
            Course::step(
                Step::Tag {
                    owner: Some(owner),
                    body,
                    fingerprint,
                },
                Next::Poll { after: None },
                verdict,
            )
        }),
        Decision::Enforce => prepared(subject, view).unwrap_or_else(|| enforcing(subject, view, now)),
        Decision::Observe => observing(subject, view),
        Decision::AwaitResume => Course::rest(
            interval,
            Verdict::new(
                Standing::Resting,
                Reason::Suspended,
                format!("suspended; {id} will be created or adopted once spec.suspend is false"),
            ),
        ),
        Decision::AwaitExisting => Course::rest(
            soon,
            Verdict::progressing(
                Reason::NotFound,
                match subject.spec.management_policy {
                    ManagementPolicy::ObserveOnly => {
                        format!("{id} does not exist; spec.managementPolicy is ObserveOnly, so it is waited for")
                    }
                    ManagementPolicy::Enforce | ManagementPolicy::CreateOnly => {
                        format!("{id} does not exist; spec.adoptionPolicy is MustExist, so it is waited for")
                    }
                },
            ),
        ),
        Decision::RefuseExisting => Course::rest(
            soon,
            Verdict::stalled(
                Reason::AlreadyExists,
                format!(
                    "{id} exists and was not created by this object: set spec.adoptionPolicy to IfExists to take it over, or another spec.azureName"
                ),
            ),
        ),
        Decision::RefuseOwned => {
            let tag = view
                .actual
                .as_ref()
                .and_then(|it| tag(it, OWNER_TAG))
                .unwrap_or_default();
            let message = format!("{id} belongs to another object or cluster: its tag {OWNER_TAG} is `{tag}`");
            Course::rest(soon, Verdict::stalled(Reason::OwnedByAnother, message))
        }
        Decision::Delete | Decision::Disown | Decision::LetGo => {
            // The policy's tests show that it never says so of an object that is wanted.
            Course::rest(
                interval,
                Verdict::stalled(Reason::InternalError, "the policy contradicts itself"),
            )
        }
    }
}

/// What has to be so before anything is written; `None` if all of it is.
fn prepared(subject: &Subject<'_>, view: &View) -> Option<Course> {
    if !subject.has_finalizer {
        let verdict = Verdict::progressing(Reason::Pending, "the object is being prepared");
        return Some(Course::step(Step::AddFinalizer, Next::Poll { after: None }, verdict));
    }
    if !view.account_is_held {
        let message = "waits until the AzureAccount is marked as in use";
        return Some(Course::rest(
            poll(SHORT_PACE),
            Verdict::progressing(Reason::Pending, message),
        ));
    }
    let registering = |name: &str| {
        let message = format!("the resource provider {name} is being registered for the subscription");
        Verdict::progressing(Reason::RegisteringProvider, message)
    };
    match &view.registration {
        Registration::NotNeeded => None,
        Registration::Missing(name) => Some(Course::step(
            Step::Register(name.clone()),
            poll(REGISTRATION_PACE),
            registering(name),
        )),
        Registration::UnderWay(name) => Some(Course::rest(poll(REGISTRATION_PACE), registering(name))),
    }
}

fn creating(subject: &Subject<'_>, view: &View, now: Timestamp) -> Course {
    if let Some(course) = prepared(subject, view) {
        return course;
    }
    if is_settling(view, now) {
        let message = format!("Azure accepted {} and does not show it yet", view.id);
        return Course::rest(poll(SHORT_PACE), Verdict::progressing(Reason::Creating, message));
    }
    writing(subject, view, Purpose::Create, Origin::Created, Vec::new(), now)
}

fn enforcing(subject: &Subject<'_>, view: &View, now: Timestamp) -> Course {
    let interval = Next::Resync(subject.interval());
    let Some(actual) = &view.actual else {
        return creating(subject, view, now);
    };
    let origin = match view.presence() {
        Presence::Owned(origin) => origin,
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => Origin::Created,
    };
    let progress = operation::of_resource(actual, view.pause);
    if let Progress::Running(after) = progress {
        return Course::rest(poll(after), running(view));
    }
    let differences = view.differences();
    if let Some(course) = immutable(view, &differences, interval) {
        return course;
    }
    let is_different = !differences.is_empty() || view.tag_differs(origin) || view.secrets_differ();
    match progress {
        Progress::Failed(_) => failed(subject, view, origin, &differences, now),
        Progress::Done | Progress::Running(_) if is_different => {
            writing(subject, view, Purpose::Update, origin, differences, now)
        }
        Progress::Done | Progress::Running(_) => Course::rest(
            interval,
            Verdict::ready(Reason::Available, format!("{} is as specified", view.id)),
        ),
    }
}

/// A resource whose last operation failed: what is new is sent at once, what failed is sent again slowly.
fn failed(subject: &Subject<'_>, view: &View, origin: Origin, differences: &[Difference], now: Timestamp) -> Course {
    let body = view.body(origin);
    let fingerprint = fingerprint(&body, differences);
    let verdict = failure(view);
    let last = view.memory.write.as_ref();
    let is_different = !differences.is_empty() || view.tag_differs(origin) || view.secrets_differ();
    let is_new = is_different && last.is_none_or(|last| last.fingerprint != fingerprint);
    let since = last.map(|last| last.at).max(subject.stalled_since);
    let retry = since.map_or(now, |since| since + FAILED_RETRY);
    if is_new || now >= retry {
        let changes = "its provisioning failed".to_owned();
        let write = Write {
            purpose: Purpose::Update,
            body,
            fingerprint,
            changes,
        };
        return Course::step(Step::Write(write), Next::Poll { after: None }, verdict);
    }
    Course::rest(Next::At(retry), verdict)
}

fn writing(
    subject: &Subject<'_>,
    view: &View,
    purpose: Purpose,
    origin: Origin,
    differences: Vec<Difference>,
    now: Timestamp,
) -> Course {
    let interval = Next::Resync(subject.interval());
    if let Some(why) = &view.unwritable {
        return Course::rest(interval, Verdict::stalled(Reason::InvalidSpec, why.clone())).with_drift(differences);
    }
    let body = view.body(origin);
    let fingerprint = fingerprint(&body, &differences);
    if let Some(course) = answered(view, &fingerprint, &differences, interval, now) {
        return course;
    }
    let verdict = match purpose {
        Purpose::Create => Verdict::progressing(Reason::Creating, format!("{} is being created", view.id)),
        Purpose::Adopt => Verdict::progressing(Reason::Updating, format!("{} is being adopted", view.id)),
        Purpose::Update => Verdict::progressing(Reason::Updating, format!("{} is being changed", view.id)),
    };
    let changes = paths(&differences);
    let write = Write {
        purpose,
        body,
        fingerprint,
        changes,
    };
    Course::step(Step::Write(write), Next::Poll { after: None }, verdict)
}

/// What follows if Azure has answered this very write over this very state before.
fn answered(
    view: &View,
    fingerprint: &str,
    differences: &[Difference],
    interval: Next,
    now: Timestamp,
) -> Option<Course> {
    let last: &Written = view
        .memory
        .write
        .as_ref()
        .filter(|last| last.fingerprint == fingerprint)?;
    let age = age(last.at, now);
    match &last.answer {
        Answer::Refused { message } if age < REJECTED_RESYNC => {
            let verdict = Verdict::stalled(Reason::Rejected, message.clone());
            Some(Course::rest(interval, verdict).with_drift(differences.to_vec()))
        }
        Answer::Accepted if age < SETTLING => {
            let message = format!("Azure accepted {} and does not show it yet", view.id);
            Some(Course::rest(
                poll(SHORT_PACE),
                Verdict::progressing(Reason::Updating, message),
            ))
        }
        // What Azure keeps its own way would be written again and again for nothing.
        Answer::Accepted if age < REJECTED_RESYNC && view.actual.is_some() => {
            let message = format!(
                "Azure accepted {} and keeps other values: write what it keeps, or leave it out ({})",
                view.id,
                paths(differences)
            );
            let verdict = Verdict::ready(Reason::Drifted, message);
            Some(Course::rest(interval, verdict).with_drift(differences.to_vec()))
        }
        Answer::Refused { .. } | Answer::Accepted => None,
    }
}

fn observing(subject: &Subject<'_>, view: &View) -> Course {
    let interval = Next::Resync(subject.interval());
    let Some(actual) = &view.actual else {
        return Course::rest(
            interval,
            Verdict::progressing(Reason::NotFound, format!("{} does not exist", view.id)),
        );
    };
    let keeps_finalizer = !subject.spec.suspend && subject.spec.management_policy != ManagementPolicy::ObserveOnly;
    if keeps_finalizer && !subject.has_finalizer {
        let verdict = Verdict::progressing(Reason::Pending, "the object is being prepared");
        return Course::step(Step::AddFinalizer, Next::Poll { after: None }, verdict);
    }
    let differences = view.differences();
    match operation::of_resource(actual, view.pause) {
        Progress::Running(after) => return Course::rest(poll(after), running(view)).with_drift(differences),
        Progress::Failed(_) => return Course::rest(interval, failure(view)).with_drift(differences),
        Progress::Done => {}
    }
    let verdict = if subject.spec.suspend {
        Verdict::ready(
            Reason::Suspended,
            format!("suspended; {} is observed and not changed", view.id),
        )
    } else if differences.is_empty() {
        Verdict::ready(Reason::Available, format!("{} is as specified", view.id))
    } else {
        let message = format!("{} differs and is not changed: {}", view.id, paths(&differences));
        Verdict::ready(Reason::Drifted, message)
    };
    Course::rest(interval, verdict).with_drift(differences)
}

fn deleted(subject: &Subject<'_>, look: &Look, now: Timestamp) -> Course {
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
            let body = view.tag_body(None);
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
fn lets_go_unseen(subject: &Subject<'_>, held: &Held) -> bool {
    subject.spec.suspend
        || subject.spec.management_policy == ManagementPolicy::ObserveOnly
        || (held.is_credential_gone && subject.spec.deletion_policy == Some(DeletionPolicy::Retain))
}

fn immutable(view: &View, differences: &[Difference], interval: Next) -> Option<Course> {
    let is_immutable = |difference: &&Difference| {
        let path = difference.path.to_ascii_lowercase();
        view.immutable.contains(&path.as_str())
    };
    let found: Vec<Difference> = differences.iter().filter(is_immutable).cloned().collect();
    let first = found.first()?;
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    let message = format!(
        "Azure cannot change {} of an existing resource: it is {} and spec asks for {}",
        paths(&found),
        shown(&first.actual),
        shown(&first.desired)
    );
    let course = Course::rest(interval, Verdict::stalled(Reason::ImmutableChange, message));
    Some(course.with_drift(differences.to_vec()))
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

fn fingerprint(body: &Body, differences: &[Difference]) -> String {
    let mut hash = Sha256::new();
    hash.update(body.0.to_string());
    for difference in differences {
        hash.update([0]);
        hash.update(&difference.path);
        hash.update([0]);
        hash.update(difference.actual.as_ref().map(Value::to_string).unwrap_or_default());
    }
    hex(&hash.finalize()[..16])
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
