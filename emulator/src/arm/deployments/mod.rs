//! `Microsoft.Resources/deployments` of a resource group: templates that ARM carries out.
//!
//! A deployment's resources are written through the same router as a client's requests and with the rights of whoever asked
//! for it, so that every rule of their types applies. What ARM's template language has and this emulator lacks is refused by
//! its name before anything is written.

mod evaluation;
mod expression;
mod functions;
mod lenient;
mod parameters;
mod preflight;
mod records;
mod render;
mod run;
mod steps;
mod template;

use axum::http::{Method, StatusCode};
use evaluation::{Environment, Surroundings};
use jiff::Timestamp;
pub use run::{advance, run_in_background};
use serde_json::Value;
use uuid::Uuid;

use super::router::no_method;
use super::{ArmError, ArmReply, ArmRequest, access, groups, operations, tags, versions};
use crate::clock::seconds;
use crate::json::get;
use crate::store::{Deployment, DeploymentPhase, Store};

const MAX_NAME_CHARS: usize = 64;

/// A group's deployments, or one of them.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Id of the subscription, as it is stored.
    pub subscription: &'a str,
    /// Name of the group, in the spelling of the request.
    pub group: &'a str,
    /// Name of the deployment, in the spelling of the request; empty for the collection.
    pub name: &'a str,
}

impl Place<'_> {
    fn id(&self, store: &Store) -> String {
        let group = store
            .group(self.subscription, self.group)
            .map_or(self.group, |group| group.name.as_str());
        format!(
            "{}/providers/Microsoft.Resources/deployments/{}",
            groups::id(self.subscription, group),
            self.name
        )
    }

    fn not_found(&self) -> ArmError {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "DeploymentNotFound",
            format!("Deployment '{}' could not be found.", self.name),
        )
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
    let place = Place {
        subscription,
        group: &segments[3],
        name: segments.get(at).map_or("", String::as_str),
    };
    match (&request.arrived.method, rest) {
        (&Method::GET, []) => records::list(request, store, place),
        (&Method::PUT, [_]) => put(request, store, place),
        (&Method::GET, [_]) => records::get_one(request, store, place),
        (&Method::HEAD, [_]) => {
            records::get_one(request, store, place).map(|_| ArmReply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::DELETE, [_]) => records::delete(request, store, place),
        (&Method::POST, [_, "validate"]) => validate(request, store, place),
        (&Method::POST, [_, "cancel"]) => records::cancel(request, store, place),
        (&Method::GET, [_, "operations"]) => records::list_operations(request, store, place, None),
        (&Method::GET, [_, "operations", _]) => records::list_operations(request, store, place, segments.last()),
        (&Method::GET, [_, "operationstatuses", _]) => records::status(request, store, place, segments.last()),
        _ => Err(no_method(request)),
    }
}

/// 400 `InvalidTemplate`.
fn invalid_template(message: impl Into<String>) -> ArmError {
    ArmError::gateway(StatusCode::BAD_REQUEST, "InvalidTemplate", message)
}

/// `operationId` of something that a deployment does: sixteen hexadecimal digits.
fn operation_id() -> String {
    Uuid::new_v4().simple().to_string()[..16].to_uppercase()
}

/// The last segment of a status URL, as recorded: the ticks that are left until the largest number, in twenty digits.
fn status_id(now: Timestamp) -> String {
    let ticks = 621_355_968_000_000_000 + now.as_microsecond() * 10;
    format!("{:020}", i64::MAX - ticks)
}

fn put(request: &ArmRequest<'_>, store: &mut Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "write")?;
    let (deployment, _) = compile(request, store, place)?;
    let key = deployment.id.to_ascii_lowercase();
    let known = store.deployments.get(&key);
    if known.is_some_and(Deployment::is_active) {
        return Err(ArmError::gateway(
            StatusCode::CONFLICT,
            "DeploymentActive",
            format!(
                "The deployment with resource id '{}' cannot be saved, because this would overwrite an existing deployment which is still active. Please see https://aka.ms/arm-deploy for usage details.",
                deployment.id
            ),
        ));
    }
    let status = if known.is_none() {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let url = request.url(&format!("{}/operationStatuses/{}", deployment.id, deployment.operation));
    let body = render(store, &deployment, request);
    store.deployments.insert(key, deployment);
    let reply = ArmReply::json(status, body).with("azure-asyncoperation", url);
    Ok(operations::retry_after(request, reply))
}

fn validate(request: &ArmRequest<'_>, store: &Store, place: Place<'_>) -> Result<ArmReply, ArmError> {
    authorize(request, store, place, "validate/action")?;
    let (deployment, surroundings) = compile(request, store, place)?;
    let environment = environment(&deployment, &surroundings);
    Ok(ArmReply::ok(render::validated(&deployment, &environment, request.now)))
}

/// The deployment that a body asks for, checked as far as that is possible before it runs.
fn compile(request: &ArmRequest<'_>, store: &Store, place: Place<'_>) -> Result<(Deployment, Surroundings), ArmError> {
    check_name(place.name)?;
    let body = read_body(request)?;
    if get(&body, "location").is_some_and(|one| !one.is_null()) {
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "InvalidDeployment",
            format!(
                "The 'location' property is not allowed for '{}' at resource group scope. Please see https://aka.ms/deploy-to-subscription for usage details.",
                place.name
            ),
        ));
    }
    let wanted = template::read(&body)?;
    let group = groups::require(store, place.subscription, place.group)?;
    groups::refuse_deleting(group)?;
    let correlation_id = request
        .arrived
        .header("x-ms-correlation-request-id")
        .filter(|id| Uuid::parse_str(id).is_ok())
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let accepted = seconds(request.state.behaviour().arm.deployment_phase_seconds);
    let mut deployment = Deployment {
        id: place.id(store),
        name: place.name.to_owned(),
        subscription: place.subscription.to_owned(),
        group: group.name.clone(),
        tags: tags::read(get(&body, "tags"))?,
        mode: wanted.mode,
        template: wanted.template,
        parameters: wanted.parameters,
        caller: request.principal.clone(),
        correlation_id,
        operation: status_id(request.now),
        started: request.now,
        phase: DeploymentPhase::Accepted {
            until: request.now + accepted,
        },
        steps: Vec::new(),
        outputs: None,
        error: None,
        deleted_at: None,
    };
    let surroundings = surroundings(store, &deployment).ok_or_else(|| place.not_found())?;
    let environment = environment(&deployment, &surroundings);
    parameters::check(&environment)?;
    let steps = steps::steps(&environment)?;
    preflight::check(request, store, &environment, &steps, wanted.validation)?;
    deployment.steps = steps;
    Ok((deployment, surroundings))
}

fn read_body(request: &ArmRequest<'_>) -> Result<Value, ArmError> {
    request.check_body()?;
    let refused = |reason: &str| {
        ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: '{reason}'."
        ))
    };
    match lenient::read(&String::from_utf8_lossy(&request.arrived.body)) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(refused("an object was expected")),
        Err(reason) => Err(refused(&reason)),
    }
}

fn authorize(request: &ArmRequest<'_>, store: &Store, place: Place<'_>, verb: &str) -> Result<(), ArmError> {
    let scope = if place.name.is_empty() {
        groups::id(place.subscription, place.group)
    } else {
        place.id(store)
    };
    access::authorize(
        request,
        store,
        &scope,
        &format!("Microsoft.Resources/deployments/{verb}"),
    )
}

fn find<'a>(store: &'a Store, place: Place<'_>) -> Result<&'a Deployment, ArmError> {
    groups::require(store, place.subscription, place.group)?;
    store
        .deployments
        .get(&place.id(store).to_ascii_lowercase())
        .ok_or_else(|| place.not_found())
}

fn render(store: &Store, deployment: &Deployment, request: &ArmRequest<'_>) -> Value {
    // A deployment goes with its group, so that it is never without one.
    surroundings(store, deployment).map_or(Value::Null, |surroundings| {
        render::deployment(deployment, &environment(deployment, &surroundings), request.now)
    })
}

/// Where a deployment is carried out; `None` if its group is gone.
fn surroundings(store: &Store, deployment: &Deployment) -> Option<Surroundings> {
    let group = store.group(&deployment.subscription, &deployment.group)?;
    let subscription = store
        .subscriptions
        .iter()
        .find(|one| one.id == deployment.subscription)?;
    Some(Surroundings::new(
        &deployment.name,
        group,
        subscription,
        &store.tenant_id,
    ))
}

/// What its expressions depend on, without the state of resources.
fn environment<'a>(deployment: &'a Deployment, surroundings: &'a Surroundings) -> Environment<'a> {
    Environment {
        template: &deployment.template,
        given: &deployment.parameters,
        surroundings,
        reader: None,
    }
}

fn check_name(name: &str) -> Result<(), ArmError> {
    let allowed = |one: char| one.is_alphanumeric() || matches!(one, '-' | '_' | '.' | '(' | ')');
    if name.chars().count() <= MAX_NAME_CHARS && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ArmError::gateway(
        StatusCode::BAD_REQUEST,
        "InvalidDeployment",
        format!(
            "The provided deployment name '{name}' is not valid. It has at most {MAX_NAME_CHARS} letters, digits, '-', '.', '_', '(' and ')'."
        ),
    ))
}
