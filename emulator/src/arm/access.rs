//! Who may pass: tokens, API versions, subscriptions, throttling, roles and registration.

use axum::http::{Method, StatusCode};

use super::headers::RateLimits;
use super::request::Arrived;
use super::{ArmError, ArmRequest, Taken, providers};
use crate::AppState;
use crate::clock::seconds;
use crate::identity::{Audience, Principal, TokenError};
use crate::roles::Permission;
use crate::store::{Replay, Store};

/// The principal of a request, or ARM's 401.
pub fn authenticate(state: &AppState, arrived: &Arrived) -> Result<Principal, ArmError> {
    state.tokens().verify(&arrived.headers, Audience::ResourceManager).map_err(|error| {
        let (code, message) = match &error {
            TokenError::Missing => (
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.".to_owned(),
            ),
            TokenError::Invalid => ("InvalidAuthenticationToken", "The access token is invalid.".to_owned()),
            TokenError::Expired => (
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.".to_owned(),
            ),
            TokenError::Audience(audience) => (
                "InvalidAuthenticationToken",
                format!(
                    "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com','https://management.azure.com/'."
                ),
            ),
        };
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{message}\"",
            state.root(),
            state.tenant_id()
        );
        let mut refused = ArmError::gateway(StatusCode::UNAUTHORIZED, code, message);
        refused.headers.push(("www-authenticate", challenge));
        refused
    })
}

/// The request's API version, or ARM's 400.
pub fn api_version(arrived: &Arrived) -> Result<&str, ArmError> {
    arrived
        .parameter("api-version")
        .filter(|version| !version.is_empty())
        .ok_or_else(|| {
            ArmError::gateway(
                StatusCode::BAD_REQUEST,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        })
}

/// The subscription's id as it is stored, or ARM's 404.
pub fn subscription<'a>(store: &'a Store, id: &str) -> Result<&'a str, ArmError> {
    if uuid::Uuid::parse_str(id).is_err() {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "InvalidSubscriptionId",
            format!("The provided subscription identifier '{id}' is malformed or invalid."),
        ));
    }
    store
        .subscriptions
        .iter()
        .find(|one| one.id.eq_ignore_ascii_case(id))
        .map(|one| one.id.as_str())
        .ok_or_else(|| {
            ArmError::gateway(
                StatusCode::NOT_FOUND,
                "SubscriptionNotFound",
                format!("The subscription '{id}' could not be found."),
            )
        })
}

/// Takes a request from the principal's bucket and from the one of all principals.
pub fn throttle(
    request: &ArmRequest<'_>,
    subscription: Option<&str>,
    provider: bool,
    limits: &mut RateLimits,
) -> Result<(), ArmError> {
    let behaviour = request.state.behaviour();
    let arm = &behaviour.arm;
    if !arm.throttling {
        return Ok(());
    }
    let (class, bucket, own, global) = match request.arrived.method {
        Method::GET | Method::HEAD => (
            "reads",
            arm.reads,
            "x-ms-ratelimit-remaining-subscription-reads",
            "x-ms-ratelimit-remaining-subscription-global-reads",
        ),
        Method::DELETE => (
            "deletes",
            arm.deletes,
            "x-ms-ratelimit-remaining-subscription-deletes",
            "x-ms-ratelimit-remaining-subscription-global-deletes",
        ),
        _ => (
            "writes",
            arm.writes,
            "x-ms-ratelimit-remaining-subscription-writes",
            "x-ms-ratelimit-remaining-subscription-global-writes",
        ),
    };
    let tenant_header = match class {
        "reads" => "x-ms-ratelimit-remaining-tenant-reads",
        "deletes" => "x-ms-ratelimit-remaining-tenant-deletes",
        _ => "x-ms-ratelimit-remaining-tenant-writes",
    };
    let scope = subscription.unwrap_or("tenant").to_ascii_lowercase();
    let buckets = request.state.throttle();
    let mut take = |key: String, bucket, header| match buckets.take(key, bucket, request.now) {
        Taken::Left(left) => {
            limits.remaining.push((header, left));
            Ok(())
        }
        Taken::Empty { retry_after } => {
            limits.remaining.push((header, 0));
            let mut refused = ArmError::gateway(
                StatusCode::TOO_MANY_REQUESTS,
                "SubscriptionRequestsThrottled",
                format!(
                    "Number of requests for subscription '{scope}' and operation '{class}' exceeded the backend storage limit. Please try again after '{retry_after}' seconds."
                ),
            );
            refused.headers.push(("retry-after", retry_after.to_string()));
            Err(refused)
        }
    };
    let header = if subscription.is_some() { own } else { tenant_header };
    take(
        format!("{scope}/{}/{class}", request.principal.object_id),
        bucket,
        header,
    )?;
    if subscription.is_some() {
        let mut all = bucket;
        all.size = all.size.saturating_mul(arm.global_factor);
        all.refill_per_second *= f64::from(arm.global_factor);
        take(format!("{scope}//{class}"), all, global)?;
    }
    if provider && class == "writes" {
        let header = "x-ms-ratelimit-remaining-subscription-resource-requests";
        take(format!("{scope}//resource-requests"), arm.resource_requests, header)?;
    }
    Ok(())
}

/// Refuses a principal without a role that allows the action at the scope.
pub fn authorize(request: &ArmRequest<'_>, store: &Store, scope: &str, action: &str) -> Result<(), ArmError> {
    let principal = &request.principal;
    if store.is_allowed(&principal.object_id, scope, Permission::Action(action), request.now) {
        return Ok(());
    }
    Err(ArmError::gateway(
        StatusCode::FORBIDDEN,
        "AuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            principal.client_id, principal.object_id
        ),
    ))
}

/// An action and the id that it is about.
pub type Act<'a> = (&'a str, &'a str);

/// Refuses a principal that may do what it asks for (`own`) but not what this does to something else (`linked`), such as
/// to join an environment or to assign an identity.
pub fn authorize_linked(
    request: &ArmRequest<'_>,
    store: &Store,
    (own_action, own_id): Act<'_>,
    (action, id): Act<'_>,
) -> Result<(), ArmError> {
    let principal = &request.principal;
    if store.is_allowed(&principal.object_id, id, Permission::Action(action), request.now) {
        return Ok(());
    }
    Err(ArmError::gateway(
        StatusCode::FORBIDDEN,
        "LinkedAuthorizationFailed",
        format!(
            "The client '{}' with object id '{}' has permission to perform action '{own_action}' on scope '{own_id}'; however, it does not have permission to perform action(s) '{action}' on the linked scope(s) '{id}' (respectively) or the linked scope(s) are invalid.",
            principal.client_id, principal.object_id
        ),
    ))
}

/// Refuses a namespace that the subscription has not registered; the same client request id gets the same answer again.
pub fn require_registration(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    namespace: &str,
) -> Result<(), ArmError> {
    let behaviour = request.state.behaviour();
    let client_request_id = request.arrived.header("x-ms-client-request-id");
    let refused = |namespace: &str| {
        Err(ArmError::gateway(
            StatusCode::CONFLICT,
            "MissingSubscriptionRegistration",
            format!(
                "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
            ),
        ))
    };
    if let Some(id) = client_request_id
        && let Some(replay) = store.replays.get(id)
    {
        if request.now < replay.until {
            return refused(&replay.namespace);
        }
        store.replays.remove(id);
    }
    let state = providers::registration_state(store, subscription, namespace, request.now, &behaviour.arm);
    if state == "Registered" {
        return Ok(());
    }
    if let Some(id) = client_request_id {
        let until = request.now + seconds(behaviour.arm.replay_seconds);
        store.replays.retain(|_, replay| replay.until > request.now);
        store.replays.insert(
            id.to_owned(),
            Replay {
                namespace: namespace.to_owned(),
                until,
            },
        );
    }
    refused(namespace)
}
