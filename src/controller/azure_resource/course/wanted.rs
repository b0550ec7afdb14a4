//! The course of an object that is to exist.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::operation::{self, Progress};
use crate::controller::ownership::{Origin, Presence};
use crate::controller::policy::{Decision, Lifecycle, Situation, decide};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::super::drift::paths;
use super::super::look::{Registration, View};
use super::super::memory::Purpose;
use super::super::subject::Subject;
use super::write::{answered, failed, fingerprint, writing};
use super::{Course, SHORT_PACE, Step, WAITING_PACE, failure, is_settling, poll, running};

/// The pause between two looks at a provider that is being registered; azure-mgmt-core 1.6.0 makes one of 10 s.
const REGISTRATION_PACE: Duration = Duration::from_secs(5);

/// Decides for an object that is to exist.
pub(super) fn wanted(subject: &Subject<'_>, view: &View, now: Timestamp) -> Course {
    let interval = Next::Resync(subject.interval());
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let id = &view.id;
    match decide(Situation::of(subject.spec, Lifecycle::Wanted, view.presence())) {
        Decision::Create => creating(subject, view, now),
        Decision::Adopt => prepared(subject, view).or_else(|| busy(view)).unwrap_or_else(|| {
            let differences = view.differences();
            immutable(view, &differences, interval)
                .unwrap_or_else(|| writing(subject, view, Purpose::Adopt, Origin::Adopted, differences, now))
        }),
        Decision::Claim => prepared(subject, view).or_else(|| busy(view)).unwrap_or_else(|| {
            let owner = view.owner.clone().with_origin(Origin::Adopted);
            let body = view.mark_body(Some(&owner));
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
            let mark = view.mark;
            let owner = view.actual.as_ref().and_then(|it| mark.read(it)).unwrap_or_default();
            let message = format!("{id} belongs to another object or cluster: its {mark} is `{owner}`");
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
    if let Some(course) = busy(view) {
        return course;
    }
    let progress = operation::of_resource(actual, view.pause);
    let differences = view.differences();
    if let Some(course) = immutable(view, &differences, interval) {
        return course;
    }
    let is_different = !differences.is_empty() || view.mark_differs(origin) || view.secrets_differ();
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

/// While an operation is under way, nothing else is begun.
fn busy(view: &View) -> Option<Course> {
    match operation::of_resource(view.actual.as_ref()?, view.pause) {
        Progress::Running(after) => Some(Course::rest(poll(after), running(view))),
        Progress::Done | Progress::Failed(_) => None,
    }
}
