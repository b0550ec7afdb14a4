//! What ARM checks of a template's resources before any of them is written: their types, places and the caller's rights.

use axum::http::StatusCode;

use super::evaluation::Environment;
use super::template::ValidationLevel;
use crate::arm::providers::{self, ProviderInfo, TypeInfo};
use crate::arm::{ArmError, ArmRequest, regions};
use crate::json::get;
use crate::roles::Permission;
use crate::store::{DeploymentStep, Store};

/// Refuses a deployment whose resources cannot be written.
pub fn check(
    request: &ArmRequest<'_>,
    store: &Store,
    environment: &Environment<'_>,
    steps: &[DeploymentStep],
    level: ValidationLevel,
) -> Result<(), ArmError> {
    if level == ValidationLevel::Template {
        return Ok(());
    }
    let errors: Vec<ArmError> = steps
        .iter()
        .filter_map(|step| check_one(environment, step).err())
        .collect();
    match errors.as_slice() {
        [] => {}
        [only] => return Err(only.clone()),
        several => return Err(joined(several)),
    }
    if level == ValidationLevel::ProviderNoRbac {
        return Ok(());
    }
    authorize(request, store, steps)
}

/// Several errors as one.
pub fn joined(errors: &[ArmError]) -> ArmError {
    let codes: Vec<&str> = errors.iter().map(|error| error.code).collect();
    let mut all = ArmError::gateway(
        StatusCode::BAD_REQUEST,
        "MultipleErrorsOccurred",
        format!("Multiple error occurred: {}. Please see details.", codes.join(",")),
    );
    all.details = errors.iter().map(|error| error.body()["error"].clone()).collect();
    all
}

/// The namespace and the type of what a step writes: the last of its id, as extension resources are below others.
pub fn type_of(step: &DeploymentStep) -> (String, String) {
    let below = step.id.rsplit("/providers/").next().unwrap_or_default();
    let mut segments = below.split('/');
    let namespace = segments.next().unwrap_or_default().to_owned();
    let types: Vec<&str> = segments.step_by(2).collect();
    (namespace, types.join("/"))
}

/// A type of a provider, or ARM's refusal of a template that names it.
pub fn find_type(step: &DeploymentStep) -> Result<(&'static ProviderInfo, &'static TypeInfo), ArmError> {
    let (namespace, kind) = type_of(step);
    providers::find_type(&namespace, &kind, &step.api_version).map_err(|error| ArmError {
        status: StatusCode::BAD_REQUEST,
        ..error
    })
}

fn check_one(environment: &Environment<'_>, step: &DeploymentStep) -> Result<(), ArmError> {
    let refused = |code, message| Err(ArmError::gateway(StatusCode::BAD_REQUEST, code, message));
    let (provider, kind) = find_type(step)?;
    let location = get(&step.resource, "location").and_then(|one| environment.text(one).ok());
    if !kind
        .versions
        .iter()
        .any(|one| one.eq_ignore_ascii_case(&step.api_version))
    {
        return refused(
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for location '{}' and API version '{}' for type '{}'. The supported api-versions are '{}'. The supported locations are '{}'.",
                location.unwrap_or_default(),
                step.api_version,
                kind.name,
                kind.versions.join(", "),
                locations(kind).join(", ")
            ),
        );
    }
    if let Some(location) = location.filter(|_| kind.regional)
        && regions::display_name(&location).is_none()
    {
        return refused(
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{location}' is not available for resource type '{}/{}'. List of available regions for the resource type is '{}'.",
                provider.namespace,
                kind.name,
                locations(kind).join(",")
            ),
        );
    }
    Ok(())
}

fn locations(kind: &TypeInfo) -> Vec<String> {
    let regions = if kind.regional { regions::REGIONS } else { &[] };
    regions.iter().map(|region| regions::normalise(region)).collect()
}

fn authorize(request: &ArmRequest<'_>, store: &Store, steps: &[DeploymentStep]) -> Result<(), ArmError> {
    let principal = &request.principal;
    let refusals: Vec<String> = steps
        .iter()
        .filter_map(|step| {
            let (namespace, kind) = type_of(step);
            let action = format!("{namespace}/{kind}/write");
            let allowed = store.is_allowed(&principal.object_id, &step.id, Permission::Action(&action), request.now);
            (!allowed).then(|| {
                format!(
                    "Authorization failed for template resource '{}' of type '{}'. The client '{}' with object id '{}' does not have permission to perform action '{action}' at scope '{}'.",
                    step.resource_name, step.resource_type, principal.client_id, principal.object_id, step.id
                )
            })
        })
        .collect();
    let message = match refusals.as_slice() {
        [] => return Ok(()),
        [only] => format!("The template deployment failed with error: '{only}'."),
        several => format!("Deployment failed with multiple errors: '{}'", several.join(":")),
    };
    Err(ArmError::gateway(
        StatusCode::FORBIDDEN,
        "InvalidTemplateDeployment",
        message,
    ))
}
