//! The status of a SessionPool.

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::api::{SessionPool, SessionPoolStatus};
use crate::azure::Cloud;
use crate::azure::session_pool::management_endpoint;
use crate::controller::azure_resource::{self, Look, Subject, View, may_use};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Outcome, Seen};

use super::Observed;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(object: &SessionPool, seen: &Seen<'_, Observed>, now: Timestamp) -> Option<SessionPoolStatus> {
    let look = seen.observed.map(|observed| &observed.look);
    let refine = |verdict, view: &View| match seen.observed {
        Some(observed) => judge_endpoint(verdict, view, &observed.cloud),
        None => verdict,
    };
    let azure = azure_resource::summarize(object, look, seen.outcome, now, refine)?;
    let before = object.status.as_ref();
    let known_endpoint = before.and_then(|it| it.pool_management_endpoint.clone());
    let known_digest = before.and_then(|it| it.secrets_digest.clone());
    let view = match (seen.observed, look, seen.outcome) {
        (Some(observed), Some(Look::Seen(view)), Outcome::Done(_)) => Some((view, &observed.cloud)),
        _ => None,
    };
    let pool_management_endpoint = match view {
        None => known_endpoint,
        Some((view, cloud)) if may_use(&Subject::of(object), view) => endpoint(view)
            .filter(|endpoint| cloud.session_endpoint(endpoint).is_ok())
            .map(str::to_owned),
        Some(_) => None,
    };
    let principal_id = match view {
        None => before.and_then(|it| it.principal_id.clone()),
        Some((view, _)) => view
            .actual
            .as_ref()
            .and_then(|actual| actual.pointer("/identity/principalId")?.as_str())
            .map(str::to_owned),
    };
    // What was given is known even if the pass failed afterwards.
    let secrets_digest = match look {
        Some(Look::Seen(view)) if object.spec.secrets.is_empty() && !has_secrets(view) => None,
        Some(Look::Seen(view)) => view.given_secrets_digest.clone(),
        Some(Look::Held(_)) | None => known_digest,
    };
    Some(SessionPoolStatus {
        azure,
        pool_management_endpoint,
        principal_id,
        secrets_digest,
    })
}

/// A pool without an endpoint of this cloud cannot be used, whatever else is right.
fn judge_endpoint(verdict: Verdict, view: &View, cloud: &Cloud) -> Verdict {
    if verdict.standing != Standing::Ready {
        return verdict;
    }
    match endpoint(view).map(|endpoint| cloud.session_endpoint(endpoint)) {
        Some(Ok(_)) => verdict,
        Some(Err(error)) => Verdict::stalled(Reason::UnsupportedCloud, error.to_string()),
        None if cloud.sessions.is_none() => {
            let message = format!("cloud {} has no known host of dynamic sessions", cloud.name);
            Verdict::stalled(Reason::UnsupportedCloud, message)
        }
        None => Verdict::progressing(
            Reason::Provisioning,
            "Azure has not given the pool's endpoint yet".to_owned(),
        ),
    }
}

/// Whether all is well but for an endpoint that Azure still has to give.
pub fn lacks_endpoint(verdict: &Verdict, view: &View, cloud: &Cloud) -> bool {
    verdict.standing == Standing::Ready && cloud.sessions.is_some() && endpoint(view).is_none()
}

fn endpoint(view: &View) -> Option<&str> {
    view.actual.as_ref().and_then(management_endpoint)
}

fn has_secrets(view: &View) -> bool {
    let secrets = view
        .actual
        .as_ref()
        .and_then(|it| it.pointer("/properties/secrets")?.as_array());
    secrets.is_some_and(|secrets| !secrets.is_empty())
}
