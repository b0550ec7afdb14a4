//! The decision of an object that is to exist.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::operation::{self, Progress};
use crate::controller::azure_resource::policy::{Intent, Lifecycle, Situation};
use crate::controller::ownership::{Origin, Presence};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::super::drift::paths;
use super::super::history::Purpose;
use super::super::observation::{Registration, ResourceState};
use super::super::subject::Subject;
use super::write::{answered_before, failed, fingerprint, writing};
use super::{
    Decision, ObjectStep, SHORT_PACE, Step, WAITING_PACE, being_prepared, failure, is_settling, poll, running,
};

/// The pause between two looks at a provider that is being registered; azure-mgmt-core 1.6.0 makes one of 10 s.
const REGISTRATION_PACE: Duration = Duration::from_secs(5);

/// Decides for an object that is to exist.
pub(super) fn ensure(subject: &Subject<'_>, resource: &ResourceState, now: Timestamp) -> Decision {
    let interval = Next::Resync(subject.interval());
    let soon = Next::Resync(subject.interval().min(WAITING_PACE));
    let id = &resource.id;
    match Intent::of(Situation::of(subject.spec, Lifecycle::Wanted, resource.presence())) {
        Intent::Create => creating(subject, resource, now),
        Intent::Adopt => prepared(subject, resource)
            .or_else(|| busy(resource))
            .unwrap_or_else(|| {
                let differences = resource.differences();
                immutable(resource, &differences, interval)
                    .unwrap_or_else(|| writing(subject, resource, Purpose::Adopt, Origin::Adopted, differences, now))
            }),
        Intent::Claim => prepared(subject, resource)
            .or_else(|| busy(resource))
            .unwrap_or_else(|| {
                let origin = Some(Origin::Adopted);
                let body = resource.mark_body(origin);
                let fingerprint = fingerprint(&body, &[], subject.request);
                let verdict = Verdict::progressing(Reason::Updating, format!("{id} is being adopted"));
                if let Some(decision) = answered_before(subject, resource, &fingerprint, &[], now) {
                    return decision;
                }
                Decision::step(
                    Step::Tag {
                        origin,
                        body,
                        fingerprint,
                    },
                    Next::Poll { after: None },
                    verdict,
                )
            }),
        Intent::Enforce => prepared(subject, resource).unwrap_or_else(|| enforcing(subject, resource, now)),
        Intent::Observe => observing(subject, resource),
        Intent::AwaitResume => Decision::rest(
            interval,
            Verdict::new(
                Standing::Resting,
                Reason::Suspended,
                format!("suspended; {id} will be created or adopted once spec.suspend is false"),
            ),
        ),
        Intent::AwaitExisting => Decision::rest(
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
        Intent::RefuseExisting => Decision::rest(
            soon,
            Verdict::stalled(
                Reason::AlreadyExists,
                format!(
                    "{id} exists and was not created by this object: set spec.adoptionPolicy to IfExists to take it over, or another spec.azureName"
                ),
            ),
        ),
        Intent::RefuseOwned => {
            let mark = resource.mark;
            let owner = resource.marked_owner().unwrap_or_default();
            let message = format!("{id} belongs to another object or cluster: its {mark} is `{owner}`");
            Decision::rest(soon, Verdict::stalled(Reason::OwnedByAnother, message))
        }
        Intent::Delete | Intent::Disown | Intent::LetGo => {
            // The policy's tests show that it never says so of an object that is wanted.
            Decision::rest(
                interval,
                Verdict::stalled(Reason::InternalError, "the policy contradicts itself"),
            )
        }
    }
}

/// What has to be so of an object and of its account before anything is written; `None` if it is.
pub fn unprepared<S: From<ObjectStep>>(subject: &Subject<'_>, account_is_marked: bool) -> Option<Decision<S>> {
    if !subject.has_finalizer {
        return Some(Decision::prepare());
    }
    // The account's controller adds that finalizer once it sees the use. For the reader it is the same preparation.
    (!account_is_marked).then(|| Decision::rest(Next::After(SHORT_PACE), being_prepared()))
}

/// What has to be so before anything is written; `None` if all of it is.
fn prepared(subject: &Subject<'_>, resource: &ResourceState) -> Option<Decision> {
    if let Some(decision) = unprepared(subject, resource.account_is_marked) {
        return Some(decision);
    }
    let registering = |name: &str| {
        let message = format!("the resource provider {name} is being registered for the subscription");
        Verdict::progressing(Reason::RegisteringProvider, message)
    };
    match &resource.registration {
        Registration::NotNeeded => None,
        Registration::Missing(name) => Some(Decision::step(
            Step::Register(name.clone()),
            Next::After(REGISTRATION_PACE),
            registering(name),
        )),
        Registration::UnderWay(name) => Some(Decision::rest(Next::After(REGISTRATION_PACE), registering(name))),
    }
}

fn creating(subject: &Subject<'_>, resource: &ResourceState, now: Timestamp) -> Decision {
    if let Some(decision) = prepared(subject, resource) {
        return decision;
    }
    if is_settling(resource, now) {
        let message = format!("Azure accepted {} but does not return it yet", resource.id);
        return Decision::rest(Next::After(SHORT_PACE), Verdict::progressing(Reason::Creating, message));
    }
    writing(subject, resource, Purpose::Create, Origin::Created, Vec::new(), now)
}

fn enforcing(subject: &Subject<'_>, resource: &ResourceState, now: Timestamp) -> Decision {
    let interval = Next::Resync(subject.interval());
    let Some(actual) = &resource.actual else {
        return creating(subject, resource, now);
    };
    let origin = match resource.presence() {
        Presence::Owned(origin) => origin,
        Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => Origin::Created,
    };
    if let Some(decision) = busy(resource) {
        return decision;
    }
    let progress = operation::of_resource(actual, resource.pause);
    let differences = resource.differences();
    if let Some(decision) = immutable(resource, &differences, interval) {
        return decision;
    }
    // A mark that only lacks its seal is not worth to stall what cannot be written without harm.
    let is_marked_otherwise = resource.mark_differs(origin) && resource.unwritable.is_none();
    let is_different = !differences.is_empty() || is_marked_otherwise || resource.secrets_differ();
    match progress {
        Progress::Failed => failed(subject, resource, origin, &differences, now),
        Progress::Done | Progress::Running(_) if is_different => {
            writing(subject, resource, Purpose::Update, origin, differences, now)
        }
        Progress::Done | Progress::Running(_) => Decision::rest(
            if resource.history.overwritten.is_unconfirmed() {
                // That is what the answer to a write shows. Only a look tells whether Azure keeps it.
                Next::After(SHORT_PACE)
            } else {
                interval
            },
            Verdict::ready(Reason::Available, format!("{} is as specified", resource.id)),
        ),
    }
}

fn observing(subject: &Subject<'_>, resource: &ResourceState) -> Decision {
    let interval = Next::Resync(subject.interval());
    let Some(actual) = &resource.actual else {
        return Decision::rest(
            interval,
            Verdict::progressing(Reason::NotFound, format!("{} does not exist", resource.id)),
        );
    };
    let keeps_finalizer = !subject.spec.suspend && subject.spec.management_policy != ManagementPolicy::ObserveOnly;
    if keeps_finalizer && !subject.has_finalizer {
        return Decision::prepare();
    }
    let differences = resource.differences();
    match operation::of_resource(actual, resource.pause) {
        Progress::Running(after) => {
            let verdict = running(&resource.id, Some(actual), &resource.history);
            return Decision::rest(poll(after), verdict).with_drift(differences);
        }
        Progress::Failed => {
            let verdict = failure(&resource.id, Some(actual), &resource.history);
            return Decision::rest(interval, verdict).with_drift(differences);
        }
        Progress::Done => {}
    }
    let verdict = if subject.spec.suspend {
        Verdict::ready(
            Reason::Suspended,
            format!("suspended; {} is observed and not changed", resource.id),
        )
    } else if differences.is_empty() {
        Verdict::ready(Reason::Available, format!("{} is as specified", resource.id))
    } else {
        let message = format!("{} differs and is not changed: {}", resource.id, paths(&differences));
        Verdict::ready(Reason::Drifted, message)
    };
    Decision::rest(interval, verdict).with_drift(differences)
}

fn immutable(resource: &ResourceState, differences: &[Difference], interval: Next) -> Option<Decision> {
    let is_immutable = |difference: &&Difference| {
        let path = difference.path.to_ascii_lowercase();
        resource.immutable.contains(&path.as_str())
    };
    let found: Vec<Difference> = differences.iter().filter(is_immutable).cloned().collect();
    let first = found.first()?;
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    let message = format!(
        "Azure cannot change {} of an existing resource: it is {} and the spec asks for {}",
        paths(&found),
        shown(&first.actual),
        shown(&first.desired)
    );
    let decision = Decision::rest(interval, Verdict::stalled(Reason::ImmutableChange, message));
    Some(decision.with_drift(differences.to_vec()))
}

/// While an operation is under way, nothing else is begun.
fn busy(resource: &ResourceState) -> Option<Decision> {
    let actual = resource.actual.as_ref()?;
    match operation::of_resource(actual, resource.pause) {
        Progress::Running(after) => {
            let verdict = running(&resource.id, Some(actual), &resource.history);
            Some(Decision::rest(poll(after), verdict))
        }
        Progress::Done | Progress::Failed => None,
    }
}
