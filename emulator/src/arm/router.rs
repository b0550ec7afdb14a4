//! Which part of ARM answers a request.

use axum::http::{Method, StatusCode};

use super::headers::RateLimits;
use super::request::Arrived;
use super::target::Target;
use super::{
    ArmError, ArmReply, ArmRequest, access, authorization, containers, deployments, groups, managed_identities,
    metadata, operations, providers, resources, session_pools, subscriptions, versions,
};
use crate::AppState;
use crate::identity::Principal;
use crate::store::Store;

/// Answers a request.
pub fn answer(state: &AppState, arrived: &Arrived, limits: &mut RateLimits) -> Result<ArmReply, ArmError> {
    let lower: Vec<&str> = arrived.lower.iter().map(String::as_str).collect();
    if let (&Method::GET, ["metadata", "endpoints"]) = (&arrived.method, lower.as_slice()) {
        return Ok(metadata::endpoints(state, access::api_version(arrived)?));
    }
    let principal = access::authenticate(state, arrived)?;
    let api_version = access::api_version(arrived)?;
    // Taken before what is due is carried out, so that no operation has ended whose resource does not show it yet.
    let now = state.clock().now();
    let mut store = state.store();
    deployments::advance(state, &mut store);
    let request = ArmRequest {
        state,
        arrived,
        principal,
        api_version,
        now,
    };
    let is_provider = lower.contains(&"microsoft.app");

    let Some(("subscriptions", [id, rest @ ..])) = lower.split_first().map(|(first, rest)| (*first, rest)) else {
        access::throttle(&request, None, is_provider, limits)?;
        return tenant(&request, &mut store, &lower);
    };
    let subscription = access::subscription(&store, id)?.to_owned();
    access::throttle(&request, Some(&subscription), is_provider, limits)?;
    in_subscription(&request, &mut store, &subscription, rest)
}

/// Answers a request that ARM makes itself for a principal, as for the resources of a template: everything is checked but the
/// token and the buckets of requests.
pub fn on_behalf(
    state: &AppState,
    store: &mut Store,
    principal: &Principal,
    arrived: &Arrived,
) -> Result<ArmReply, ArmError> {
    let request = ArmRequest {
        state,
        arrived,
        principal: principal.clone(),
        api_version: access::api_version(arrived)?,
        now: state.clock().now(),
    };
    let lower: Vec<&str> = arrived.lower.iter().map(String::as_str).collect();
    let ["subscriptions", id, rest @ ..] = lower.as_slice() else {
        return Err(no_route(&request));
    };
    let subscription = access::subscription(store, id)?.to_owned();
    in_subscription(&request, store, &subscription, rest)
}

fn tenant(request: &ArmRequest<'_>, store: &mut Store, lower: &[&str]) -> Result<ArmReply, ArmError> {
    if let Some(at) = authorization_at(lower) {
        if at > 0 {
            // Scopes outside subscriptions, such as management groups, are not there.
            return Err(no_route(request));
        }
        let scope = authorization::Scope {
            id: "/".to_owned(),
            subscription: None,
            group: None,
        };
        return in_authorization(request, store, &scope, &lower[at + 2..], at + 2);
    }
    let resources = |kind: &str| versions::check(request.api_version, versions::RESOURCES, kind);
    match (&request.arrived.method, lower) {
        (&Method::GET, ["subscriptions"]) => {
            resources("Microsoft.Resources/subscriptions")?;
            Ok(subscriptions::list(request, store))
        }
        (&Method::GET, ["tenants"]) => {
            resources("Microsoft.Resources/tenants")?;
            Ok(subscriptions::tenants(request, store))
        }
        (&Method::GET, ["providers"]) => {
            resources("Microsoft.Resources/providers")?;
            Ok(providers::list_for_tenant(request, store))
        }
        (&Method::GET, ["providers", namespace]) => {
            resources("Microsoft.Resources/providers")?;
            providers::get(request, store, None, namespace)
        }
        (_, ["subscriptions" | "tenants" | "providers", ..]) => Err(no_method(request)),
        _ => Err(no_route(request)),
    }
}

fn in_subscription(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    rest: &[&str],
) -> Result<ArmReply, ArmError> {
    if let Some(at) = authorization_at(rest) {
        let scope = authorization::Scope {
            id: scope_id(request, subscription, at),
            subscription: Some(subscription.to_owned()),
            group: (rest.first() == Some(&"resourcegroups")).then(|| request.arrived.segments[3].clone()),
        };
        return in_authorization(request, store, &scope, &rest[at + 2..], at + 4);
    }
    if let [.., "providers", "microsoft.managedidentity", "identities", "default"] = rest {
        let scope = scope_id(request, subscription, rest.len() - 4);
        return managed_identities::system_assigned(request, store, &scope);
    }
    let method = &request.arrived.method;
    let resources = |kind: &str| versions::check(request.api_version, versions::RESOURCES, kind);
    match (method, rest) {
        (&Method::GET, []) => {
            resources("Microsoft.Resources/subscriptions")?;
            subscriptions::get(request, store, subscription)
        }
        (&Method::GET, ["locations"]) => {
            resources("Microsoft.Resources/subscriptions")?;
            subscriptions::locations(request, store, subscription)
        }
        (&Method::GET, ["resources"]) => {
            resources("Microsoft.Resources/resources")?;
            resources::list(request, store, subscription, None)
        }
        (&Method::GET, ["resourcegroups"]) => {
            resources("Microsoft.Resources/resourceGroups")?;
            groups::list(request, store, subscription)
        }
        (&Method::GET, ["operationresults", id]) => {
            let _ = id;
            operations::group_result(request, store, subscription, &request.arrived.segments[3])
        }
        (&Method::GET, ["providers"]) => {
            resources("Microsoft.Resources/providers")?;
            providers::list(request, store, subscription)
        }
        (&Method::GET, ["providers", namespace]) => {
            resources("Microsoft.Resources/providers")?;
            providers::get(request, store, Some(subscription), namespace)
        }
        (&Method::POST, ["providers", namespace, verb @ ("register" | "unregister")]) => {
            resources("Microsoft.Resources/providers")?;
            providers::change_registration(request, store, subscription, namespace, *verb == "register")
        }
        (_, ["resourcegroups", _]) => {
            resources("Microsoft.Resources/resourceGroups")?;
            group(request, store, subscription, &request.arrived.segments[3])
        }
        (&Method::GET, ["resourcegroups", _, "resources"]) => {
            resources("Microsoft.Resources/resources")?;
            resources::list(request, store, subscription, Some(&request.arrived.segments[3]))
        }
        // The documented path of a deployment's operations names no provider.
        (&Method::GET, ["resourcegroups", _, "deployments", _, "operations", ..]) => {
            deployments::answer(request, store, subscription, &rest[3..], 5)
        }
        (_, ["providers", namespace, tail @ ..]) => provider(request, store, subscription, namespace, tail, 4),
        (_, ["resourcegroups", _, "providers", namespace, tail @ ..]) => {
            provider(request, store, subscription, namespace, tail, 6)
        }
        _ => Err(no_route(request)),
    }
}

fn group(request: &ArmRequest<'_>, store: &mut Store, subscription: &str, name: &str) -> Result<ArmReply, ArmError> {
    match request.arrived.method {
        Method::PUT => groups::put(request, store, subscription, name),
        Method::PATCH => groups::patch(request, store, subscription, name),
        Method::GET => groups::get_one(request, store, subscription, name),
        Method::HEAD => groups::head(request, store, subscription, name),
        Method::DELETE => groups::delete(request, store, subscription, name),
        _ => Err(no_method(request)),
    }
}

/// A path below `providers/{namespace}`; `at` is the index of the segment after the namespace.
fn provider(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    namespace: &str,
    tail: &[&str],
    at: usize,
) -> Result<ArmReply, ArmError> {
    let segments = &request.arrived.segments;
    let group = (at == 6).then(|| segments[3].clone());
    let method = &request.arrived.method;
    match (namespace, group, tail) {
        ("microsoft.app" | "microsoft.containerinstance", None, ["locations", _, kind, _])
            if *method == Method::GET && is_operation(kind) =>
        {
            let id = &segments[at + 3];
            if kind.ends_with("results") {
                operations::provider_result(request, store, subscription, id)
            } else {
                operations::provider_status(request, store, subscription, id)
            }
        }
        ("microsoft.app", group, ["managedenvironments" | "containerapps", ..])
        | ("microsoft.containerinstance", group, ["containergroups", ..]) => {
            containers::answer(request, store, subscription, group.as_deref(), tail, at)
        }
        ("microsoft.app", group, ["sessionpools"]) if *method == Method::GET => {
            check_pools(request)?;
            session_pools::list(request, store, subscription, group.as_deref())
        }
        ("microsoft.app", Some(group), ["sessionpools", _]) => {
            check_pools(request)?;
            let pool = Target::new(session_pools::TYPE, subscription, &group, &segments[at + 1]);
            match *method {
                Method::PUT => session_pools::put(request, store, &pool),
                Method::PATCH => session_pools::patch(request, store, &pool),
                Method::GET => session_pools::get_one(request, store, &pool),
                Method::HEAD => session_pools::head(request, store, &pool),
                Method::DELETE => session_pools::delete(request, store, &pool),
                _ => Err(no_method(request)),
            }
        }
        ("microsoft.app", Some(group), ["sessionpools", _, action]) if *method == Method::POST => {
            check_pools(request)?;
            let pool = Target::new(session_pools::TYPE, subscription, &group, &segments[at + 1]);
            session_pools::act(request, store, &pool, action)
        }
        ("microsoft.managedidentity", group, tail) => {
            managed_identities::answer(request, store, subscription, group.as_deref(), tail, at)
        }
        ("microsoft.resources", Some(_), ["deployments", rest @ ..]) => {
            deployments::answer(request, store, subscription, rest, at + 1)
        }
        (_, _, [kind, ..]) => {
            providers::find_type(namespace, kind, request.api_version)?;
            Err(no_method(request))
        }
        _ => Err(no_route(request)),
    }
}

/// Whether a segment is a status endpoint of operations, of whichever type.
fn is_operation(kind: &str) -> bool {
    const PREFIXES: [&str; 3] = ["", "containerapp", "managedenvironment"];
    let of = |suffix: &str| {
        kind.strip_suffix(suffix)
            .is_some_and(|prefix| PREFIXES.contains(&prefix))
    };
    kind == "operations" || of("operationresults") || of("operationstatuses")
}

fn check_pools(request: &ArmRequest<'_>) -> Result<(), ArmError> {
    versions::check(
        request.api_version,
        versions::SESSION_POOLS,
        "Microsoft.App/sessionPools",
    )
}

/// Index of the last `providers` that `microsoft.authorization` follows: what is before it is the scope.
fn authorization_at(lower: &[&str]) -> Option<usize> {
    let at = lower
        .windows(2)
        .rposition(|pair| pair == ["providers", "microsoft.authorization"])?;
    (lower.len() > at + 2).then_some(at)
}

/// The scope before an authorization path, in the spelling of the request, save for what ARM normalises.
fn scope_id(request: &ArmRequest<'_>, subscription: &str, length: usize) -> String {
    let mut id = format!("/subscriptions/{subscription}");
    for segment in &request.arrived.segments[2..2 + length] {
        id.push('/');
        id.push_str(if segment.eq_ignore_ascii_case("resourceGroups") {
            "resourceGroups"
        } else {
            segment
        });
    }
    id
}

/// A path below `{scope}/providers/Microsoft.Authorization`; `at` is the index of its first segment.
fn in_authorization(
    request: &ArmRequest<'_>,
    store: &mut Store,
    scope: &authorization::Scope,
    tail: &[&str],
    at: usize,
) -> Result<ArmReply, ArmError> {
    versions::check(
        request.api_version,
        versions::AUTHORIZATION,
        "Microsoft.Authorization/roleAssignments",
    )?;
    let name = request
        .arrived
        .segments
        .get(at + 1)
        .map(String::as_str)
        .unwrap_or_default();
    match (&request.arrived.method, tail) {
        (&Method::GET, ["roledefinitions"]) => authorization::definitions::answer(request, store, scope, None),
        (&Method::GET, ["roledefinitions", _]) => authorization::definitions::answer(request, store, scope, Some(name)),
        (&Method::GET, ["roleassignments"]) => authorization::assignments::list(request, store, scope),
        (&Method::GET, ["roleassignments", _]) => authorization::assignments::get_one(request, store, scope, name),
        (&Method::PUT, ["roleassignments", _]) => authorization::assignments::put(request, store, scope, name),
        (&Method::DELETE, ["roleassignments", _]) => authorization::assignments::delete(request, store, scope, name),
        (_, [kind, ..]) => {
            providers::find_type("Microsoft.Authorization", kind, request.api_version)?;
            Err(no_method(request))
        }
        _ => Err(no_route(request)),
    }
}

/// 405: the path is known, the method not.
pub(super) fn no_method(request: &ArmRequest<'_>) -> ArmError {
    ArmError::gateway(
        StatusCode::METHOD_NOT_ALLOWED,
        "HttpMethodNotSupported",
        format!(
            "The http method '{}' is not supported for '{}'.",
            request.arrived.method, request.arrived.path
        ),
    )
}

/// 404: nothing answers such a path.
pub(super) fn no_route(request: &ArmRequest<'_>) -> ArmError {
    ArmError::gateway(
        StatusCode::NOT_FOUND,
        "InvalidResourceType",
        format!("No resource type answers the path '{}'.", request.arrived.path),
    )
}
