//! `Microsoft.Resources/deployments` of a resource group, as requests ask for them. What a deployment is and does is the crate
//! `azure-deployments`; this is the Resource Manager that it runs in.

mod host;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use azure_deployments::{Deployment, DeploymentError, DeploymentRequest, Scope};
use host::Host;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::router::no_method;
use super::{ArmError, ArmReply, ArmRequest, access, groups, operations, paging, tags, versions};
use crate::AppState;
use crate::clock::seconds;
use crate::state::StoreGuard;
use crate::store::{OperationOutcome, Store};

/// How often deployments are brought on when nobody asks for anything.
const INTERVAL: Duration = Duration::from_millis(250);

/// Brings deployments on until the emulator stops, so that one ends without being watched.
pub async fn run_in_background(state: AppState, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => advance(&state, &mut state.store()),
        }
    }
}

/// Does what deployments have to do by now. Whoever asks ARM for something sees them as far as they are by then.
pub fn advance(state: &AppState, store: &mut StoreGuard<'_>) {
    let now = state.clock().now();
    for mut deployment in store.deployments.due(now) {
        deployment.advance(&mut Host { state, store, now });
        store.deployments.update(deployment);
    }
}

/// A group's deployments, or one of them.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// Id of the subscription, as it is stored.
    subscription: &'a str,
    /// Name of the group, in the spelling of the request.
    group: &'a str,
    /// Name of the deployment, in the spelling of the request; empty for the collection.
    name: &'a str,
}

impl Place<'_> {
    /// Id of the deployment, with the group's own spelling.
    fn id(&self, store: &Store) -> String {
        let group = store
            .group(self.subscription, self.group)
            .map_or_else(|| groups::id(self.subscription, self.group), |group| group.id.clone());
        format!("{group}/providers/Microsoft.Resources/deployments/{}", self.name)
    }

    fn find<'s>(&self, store: &'s Store) -> Result<&'s Deployment, ArmError> {
        groups::require(store, self.subscription, self.group)?;
        Ok(store.deployments.get(&self.id(store))?)
    }

    fn authorize(&self, request: &ArmRequest<'_>, store: &Store, verb: &str) -> Result<(), ArmError> {
        let scope = if self.name.is_empty() {
            groups::id(self.subscription, self.group)
        } else {
            self.id(store)
        };
        let action = format!("Microsoft.Resources/deployments/{verb}");
        access::authorize(request, store, &scope, &action)
    }
}

/// Answers a request about a group's deployments. `rest` is what follows `deployments`, lower-cased; `at` is the index of its
/// first segment.
pub fn answer(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    rest: &[&str],
    at: usize,
) -> Result<ArmReply, ArmError> {
    versions::check(
        request.api_version,
        versions::RESOURCES,
        "Microsoft.Resources/deployments",
    )?;
    let segments = &request.arrived.segments;
    let segment = |index: usize| segments.get(index).map_or("", String::as_str);
    let place = Place {
        subscription,
        group: segment(3),
        name: segment(at),
    };
    let now = request.now;
    match (&request.arrived.method, rest) {
        (&Method::GET, []) => list(request, store, place),
        (&Method::PUT, [_]) => put(request, store, place),
        (&Method::GET, [_]) => {
            place.authorize(request, store, "read")?;
            Ok(ArmReply::ok(place.find(store)?.body(now)))
        }
        (&Method::HEAD, [_]) => {
            place.authorize(request, store, "read")?;
            place.find(store).map(|_| ArmReply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::DELETE, [_]) => delete(request, store, place),
        (&Method::POST, [_, "validate"]) => {
            place.authorize(request, store, "validate/action")?;
            Ok(ArmReply::ok(compile(request, store, place)?.validated(now)))
        }
        (&Method::POST, [_, "cancel"]) => {
            place.authorize(request, store, "cancel/action")?;
            let id = place.find(store)?.id().to_owned();
            store.deployments.cancel(&id, now)?;
            Ok(ArmReply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, [_, "operations"]) => {
            place.authorize(request, store, "operations/read")?;
            Ok(paging::page(request, place.find(store)?.operations(now)))
        }
        (&Method::GET, [_, "operations", _]) => {
            place.authorize(request, store, "operations/read")?;
            let operation = place.find(store)?.one_operation(segment(at + 2), now)?;
            Ok(ArmReply::ok(operation))
        }
        (&Method::GET, [_, "operationstatuses", _]) => {
            place.authorize(request, store, "operationstatuses/read")?;
            let deployment = place.find(store)?;
            let reply = ArmReply::ok(deployment.status(segment(at + 2))?);
            Ok(if deployment.is_active() {
                operations::retry_after(request, reply)
            } else {
                reply
            })
        }
        _ => Err(no_method(request)),
    }
}

fn list(request: &ArmRequest<'_>, store: &Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    place.authorize(request, store, "read")?;
    let group = groups::require(store, place.subscription, place.group)?;
    let filter = request.arrived.parameter("$filter").unwrap_or_default();
    let found = store.deployments.list(&group.id, filter)?;
    Ok(paging::page(
        request,
        found.into_iter().map(|one| one.body(request.now)).collect(),
    ))
}

fn put(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    place.authorize(request, store, "write")?;
    let deployment = compile(request, store, place)?;
    let url = request.url(&format!(
        "{}/operationStatuses/{}",
        deployment.id(),
        deployment.operation()
    ));
    let body = deployment.body(request.now);
    let status = if store.deployments.put(deployment)? {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let reply = ArmReply::json(status, body).with("azure-asyncoperation", url);
    Ok(operations::retry_after(request, reply))
}

/// The deployment that a body asks for, checked as far as that is possible before it runs.
fn compile(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<Deployment, ArmError> {
    request.check_body()?;
    let wanted = DeploymentRequest::read(place.name, &request.arrived.body)?;
    let group = groups::require(store, place.subscription, place.group)?;
    groups::refuse_deleting(group)?;
    let tags = tags::read(wanted.tags.as_ref())?;
    let subscription = store.subscriptions.iter().find(|one| one.id == place.subscription);
    let scope = Scope {
        tenant_id: store.tenant_id.clone(),
        subscription_id: place.subscription.to_owned(),
        subscription_name: subscription.map_or_else(String::new, |one| one.display_name.clone()),
        group_id: group.id.clone(),
        group_name: group.name.clone(),
        location: group.location.clone(),
        tags: group.tags.clone().unwrap_or_default(),
    };
    let correlation_id = request
        .arrived
        .header("x-ms-correlation-request-id")
        .filter(|id| Uuid::parse_str(id).is_ok())
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let host = Host {
        state: request.state,
        store,
        now: request.now,
    };
    let caller = host::caller(&request.principal);
    Ok(Deployment::new(&host, wanted, tags, scope, caller, correlation_id)?)
}

/// 202 until the record is gone; 204 if there is none.
fn delete(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    place.authorize(request, store, "delete")?;
    let due = request.now + seconds(request.state.behaviour().arm.deployment_phase_seconds);
    let id = place.id(store);
    let Some(id) = store.deployments.delete(&id, due)? else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    let operation = operations::start(store, request.now, due, id, OperationOutcome::Succeeded, true);
    let location = request.url(&format!(
        "/subscriptions/{}/operationresults/{}",
        place.subscription,
        operations::opaque("deployment", &operation)
    ));
    let reply = ArmReply::empty(StatusCode::ACCEPTED).with("location", location);
    Ok(operations::retry_after(request, reply))
}

impl From<DeploymentError> for ArmError {
    /// ARM itself refuses, except that content which cannot be read is not marked so, as nowhere.
    fn from(error: DeploymentError) -> Self {
        let DeploymentError {
            status,
            code,
            message,
            target,
            details,
        } = error;
        Self {
            target,
            details,
            from_gateway: code != "InvalidRequestContent",
            ..Self::new(status, code, message)
        }
    }
}
