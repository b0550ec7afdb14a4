//! What ARM checks of a template's resources before any of them is written: their types, places and the caller's rights.

use http::StatusCode;

use crate::deployment::DeploymentStep;
use crate::evaluation::Environment;
use crate::json::get;
use crate::resource_manager::normalised;
use crate::template::ValidationLevel;
use crate::{Caller, DeploymentError, ResourceManager, steps};

/// Refuses a deployment whose resources cannot be written.
pub fn check(
    azure: &dyn ResourceManager,
    environment: &Environment<'_>,
    caller: &Caller,
    all: &[DeploymentStep],
    level: ValidationLevel,
) -> Result<(), DeploymentError> {
    if level == ValidationLevel::Template {
        return Ok(());
    }
    let errors = all
        .iter()
        .filter_map(|step| check_type(azure, environment, step).err())
        .collect();
    DeploymentError::joined(errors).map_or(Ok(()), Err)?;
    if level == ValidationLevel::ProviderNoRbac {
        return Ok(());
    }
    authorize(azure, caller, all)
}

fn check_type(
    azure: &dyn ResourceManager,
    environment: &Environment<'_>,
    step: &DeploymentStep,
) -> Result<(), DeploymentError> {
    let refused = |code, message| Err(DeploymentError::new(StatusCode::BAD_REQUEST, code, message));
    let (namespace, name) = steps::namespace_and_type(&step.id);
    let kind = azure
        .resource_type(namespace, &name, &step.api_version)
        // What is not found at a path is a bad request in a template.
        .map_err(|error| DeploymentError {
            status: StatusCode::BAD_REQUEST,
            ..error
        })?;
    let location = get(&step.resource, "location").and_then(|one| environment.text(one).ok());
    if !kind
        .api_versions
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
                kind.api_versions.join(", "),
                kind.locations.join(", ")
            ),
        );
    }
    if let Some(location) = location.filter(|_| !kind.locations.is_empty())
        && !kind.locations.contains(&normalised(&location))
    {
        return refused(
            "LocationNotAvailableForResourceType",
            format!(
                "The provided location '{location}' is not available for resource type '{}/{}'. List of available regions for the resource type is '{}'.",
                kind.namespace,
                kind.name,
                kind.locations.join(",")
            ),
        );
    }
    Ok(())
}

fn authorize(azure: &dyn ResourceManager, caller: &Caller, all: &[DeploymentStep]) -> Result<(), DeploymentError> {
    let refusals: Vec<String> = all
        .iter()
        .filter_map(|step| {
            let (namespace, kind) = steps::namespace_and_type(&step.id);
            let action = format!("{namespace}/{kind}/write");
            (!azure.is_allowed(caller, &action, &step.id)).then(|| {
                format!(
                    "Authorization failed for template resource '{}' of type '{}'. The client '{}' with object id '{}' does not have permission to perform action '{action}' at scope '{}'.",
                    step.resource_name, step.resource_type, caller.client_id, caller.object_id, step.id
                )
            })
        })
        .collect();
    let message = match refusals.as_slice() {
        [] => return Ok(()),
        [only] => format!("The template deployment failed with error: '{only}'."),
        several => format!("Deployment failed with multiple errors: '{}'", several.join(":")),
    };
    Err(DeploymentError::new(
        StatusCode::FORBIDDEN,
        "InvalidTemplateDeployment",
        message,
    ))
}
