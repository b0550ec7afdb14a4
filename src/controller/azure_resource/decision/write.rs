//! When something is written, and when it is better not written again.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::condition::Reason;
use crate::azure::{Difference, ResourceId};
use crate::controller::operator_key::hex;
use crate::controller::ownership::Origin;
use crate::controller::readiness::Verdict;
use crate::controller::waiting::{DELETION_REFUSED, FAILED_RETRY};
use crate::runtime::Next;
use crate::runtime::requeue::REFUSED;

use super::super::drift::paths;
use super::super::history::{Answer, History, LastWrite, Purpose};
use super::super::observation::{Body, Method, ResourceState};
use super::super::overwritten::{Deviation, Earlier};
use super::super::policy::Lifecycle;
use super::super::subject::{Subject, age};
use super::{Decision, SETTLING, SHORT_PACE, Step, Write, failure};

/// A resource whose last operation failed: what is new is sent at once, what failed is sent again slowly.
pub(super) fn failed(
    subject: &Subject<'_>,
    resource: &ResourceState,
    origin: Origin,
    differences: &[Difference],
    now: Timestamp,
) -> Decision {
    let body = resource.body(origin);
    let fingerprint = fingerprint(&body, differences, subject.request);
    let verdict = failure(&resource.id, resource.actual.as_ref(), &resource.history);
    if resource.unwritable.is_some() {
        return Decision::rest(Next::Resync(subject.interval()), verdict).with_drift(differences.to_vec());
    }
    let last = resource.history.write.as_ref();
    let is_different = !differences.is_empty() || resource.mark_differs(origin) || resource.secrets_differ();
    let over = resource.found(origin, subject.request);
    let earlier = |over: &Deviation| resource.history.overwritten.earlier(over, now);
    let is_in_vain = over.as_ref().is_some_and(|it| earlier(it) != Earlier::Nothing);
    let is_new = (is_different || subject.is_requested)
        && !is_in_vain
        && last.is_none_or(|last| last.fingerprint != fingerprint);
    let since = last.map(|last| last.at).max(subject.stalled_since);
    let retry = since.map_or(now, |since| since + FAILED_RETRY);
    if is_new || now >= retry {
        let changes = "its provisioning failed".to_owned();
        let write = Write {
            method: Method::Put,
            purpose: Purpose::Update,
            body,
            fingerprint,
            over,
            changes,
        };
        return Decision::step(Step::Write(write), Next::Poll { after: None }, verdict);
    }
    Decision::rest(Next::At(retry), verdict)
}

pub(super) fn writing(
    subject: &Subject<'_>,
    resource: &ResourceState,
    purpose: Purpose,
    origin: Origin,
    differences: Vec<Difference>,
    now: Timestamp,
) -> Decision {
    let interval = Next::Resync(subject.interval());
    let (method, body) = match purpose {
        Purpose::Update => resource.update(origin, &differences),
        Purpose::Create | Purpose::Adopt => (Method::Put, resource.body(origin)),
    };
    if let (Method::Put, Some(why)) = (method, &resource.unwritable) {
        return Decision::rest(interval, Verdict::stalled(Reason::InvalidSpec, why.clone())).with_drift(differences);
    }
    let fingerprint = fingerprint(&body, &differences, subject.request);
    if let Some(decision) = answered_before(subject, resource, &fingerprint, &differences, now) {
        return decision;
    }
    let over = resource.found(origin, subject.request);
    let earlier = over.as_ref().map(|it| resource.history.overwritten.earlier(it, now));
    match earlier {
        Some(Earlier::Settling) => return settling(&resource.id).with_drift(differences),
        Some(Earlier::InVain) => {
            return Decision::rest(interval, in_vain(resource, &differences)).with_drift(differences);
        }
        Some(Earlier::Nothing) | None => {}
    }
    let verdict = match purpose {
        Purpose::Create => Verdict::progressing(Reason::Creating, format!("{} is being created", resource.id)),
        Purpose::Adopt => Verdict::progressing(Reason::Updating, format!("{} is being adopted", resource.id)),
        Purpose::Update => Verdict::progressing(Reason::Updating, format!("{} is being changed", resource.id)),
    };
    let changes = paths(&differences);
    let write = Write {
        method,
        purpose,
        body,
        fingerprint,
        over,
        changes,
    };
    Decision::step(Step::Write(write), Next::Poll { after: None }, verdict)
}

/// What is said while a look may not show a write that Azure accepted.
fn settling<S>(id: &ResourceId) -> Decision<S> {
    let message = format!("Azure accepted the write of {id} but does not return its result yet");
    Decision::rest(Next::After(SHORT_PACE), Verdict::progressing(Reason::Updating, message))
}

/// What is said of a resource that Azure does not keep as it was written.
fn in_vain(resource: &ResourceState, differences: &[Difference]) -> Verdict {
    let message = format!(
        "Azure accepted {} but keeps other values: set those values in the spec, or leave the properties out ({})",
        resource.id,
        paths(differences)
    );
    Verdict::ready(Reason::Drifted, message)
}

/// What follows if Azure has answered this very write over this very state before.
pub(super) fn answered_before(
    subject: &Subject<'_>,
    resource: &ResourceState,
    fingerprint: &str,
    differences: &[Difference],
    now: Timestamp,
) -> Option<Decision> {
    let in_vain = resource.actual.is_some().then(|| in_vain(resource, differences));
    answered(
        subject,
        &resource.history,
        &resource.id,
        fingerprint,
        differences,
        in_vain,
        now,
    )
}

/// What follows if Azure has answered a write with this fingerprint before. `in_vain`: what is said when it was accepted and had
/// no effect, so that it would be sent again and again for nothing; `None` sends it again. What was refused is sent again ever
/// more slowly: what it was refused for, such as a lock or a policy, may pass.
pub fn answered<S>(
    subject: &Subject<'_>,
    history: &History,
    id: &ResourceId,
    fingerprint: &str,
    differences: &[Difference],
    in_vain: Option<Verdict>,
    now: Timestamp,
) -> Option<Decision<S>> {
    let last: &LastWrite = history.write.as_ref().filter(|last| last.fingerprint == fingerprint)?;
    let age = age(last.at, now);
    let interval = Next::Resync(subject.interval());
    let rest = |next, verdict| Decision::rest(next, verdict).with_drift(differences.to_vec());
    match &last.answer {
        Answer::Refused { reason, message } => {
            let ladder = match subject.lifecycle {
                Lifecycle::Wanted => REFUSED,
                Lifecycle::Deleted => DELETION_REFUSED,
            };
            let pause = history.pace.of(ladder.pause(last.refusals));
            let next = if pause.saturating_sub(age) < history.pace.of(subject.interval()) {
                Next::At(last.at + pause)
            } else {
                interval
            };
            (age < pause).then(|| rest(next, Verdict::stalled(*reason, message.clone())))
        }
        Answer::Accepted if age < SETTLING => Some(settling(id)),
        Answer::Accepted if age < REFUSED.most => in_vain.map(|verdict| rest(interval, verdict)),
        Answer::Accepted => None,
    }
}

/// What is sent, over which state of the resource, and at whose request: an answer to it is an answer to nothing else.
pub(super) fn fingerprint(body: &Body, differences: &[Difference], request: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(body.0.to_string());
    for difference in differences {
        hash.update([0]);
        hash.update(&difference.path);
        hash.update([0]);
        hash.update(difference.actual.as_ref().map(Value::to_string).unwrap_or_default());
    }
    if let Some(request) = request {
        hash.update([0]);
        hash.update(request);
    }
    hex(&hash.finalize()[..16])
}
