//! The status of a SessionPool.

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::api::{SessionPool, SessionPoolStatus};
use crate::azure::Cloud;
use crate::azure::session_pool::management_endpoint;
use crate::controller::azure_resource::{self, Assessment, Decision, Observation, ResourceState, Subject, may_use};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Next, Outcome, Seen};

use super::Observed;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &SessionPool,
    seen: &Seen<'_, Observed, Assessment>,
    now: Timestamp,
) -> Option<SessionPoolStatus> {
    let observation = seen.observed.map(|observed| &observed.observation);
    let azure = azure_resource::summarize(object, seen, now)?;
    let before = object.status.as_ref();
    let known_endpoint = before.and_then(|it| it.pool_management_endpoint.clone());
    let known_digest = before.and_then(|it| it.secrets_digest.clone());
    let resource = match (seen.observed, observation, seen.outcome) {
        (Some(observed), Some(Observation::Seen(resource)), Outcome::Done(_)) => Some((resource, &observed.cloud)),
        _ => None,
    };
    let pool_management_endpoint = match resource {
        None => known_endpoint,
        Some((resource, cloud)) if may_use(&Subject::of(object), resource) => endpoint(resource)
            .filter(|endpoint| cloud.session_endpoint(endpoint).is_ok())
            .map(str::to_owned),
        Some(_) => None,
    };
    let principal_id = match resource {
        None => before.and_then(|it| it.principal_id.clone()),
        Some((resource, _)) => resource
            .actual
            .as_ref()
            .and_then(|actual| actual.pointer("/identity/principalId")?.as_str())
            .map(str::to_owned),
    };
    // What was given is known even if the pass failed afterwards.
    let secrets_digest = match observation {
        Some(Observation::Seen(resource)) if object.spec.secrets.is_empty() && !has_secrets(resource) => None,
        Some(Observation::Seen(resource)) => resource.given_secrets_digest.clone(),
        Some(Observation::Blocked(_)) | None => known_digest,
    };
    Some(SessionPoolStatus {
        azure,
        pool_management_endpoint,
        principal_id,
        secrets_digest,
    })
}

/// A pool without an endpoint of this cloud cannot be used, whatever else is right.
pub fn refine(decision: &mut Decision, resource: &ResourceState, cloud: &Cloud) {
    if decision.verdict.standing != Standing::Ready {
        return;
    }
    match endpoint(resource).map(|endpoint| cloud.session_endpoint(endpoint)) {
        Some(Ok(_)) => {}
        Some(Err(error)) => decision.verdict = Verdict::stalled(Reason::UnsupportedCloud, error.to_string()),
        None if cloud.sessions.is_none() => {
            let message = format!("cloud {} has no known host of dynamic sessions", cloud.name);
            decision.verdict = Verdict::stalled(Reason::UnsupportedCloud, message);
        }
        None => {
            let message = "Azure has not given the pool's endpoint yet";
            decision.verdict = Verdict::progressing(Reason::Provisioning, message);
            decision.next = Next::Poll { after: None };
        }
    }
}

fn endpoint(resource: &ResourceState) -> Option<&str> {
    resource.actual.as_ref().and_then(management_endpoint)
}

fn has_secrets(resource: &ResourceState) -> bool {
    let secrets = resource
        .actual
        .as_ref()
        .and_then(|it| it.pointer("/properties/secrets")?.as_array());
    secrets.is_some_and(|secrets| !secrets.is_empty())
}
