//! The resources of a template in their order, checked as far as that is possible before anything runs.

use serde_json::{Map, Value};

use super::evaluation::{Environment, EvaluationError};
use super::template::unsupported;
use super::{functions, invalid_template, parameters};
use crate::arm::ArmError;
use crate::json::{get, get_str};
use crate::store::{DeploymentStep, StepAction, StepState};

/// The steps of a template whose parameters were checked. Resources whose condition is false are left out.
pub fn steps(environment: &Environment<'_>) -> Result<Vec<DeploymentStep>, ArmError> {
    let resources = get(environment.template, "resources").and_then(Value::as_array);
    let mut all = Vec::new();
    for resource in resources.into_iter().flatten() {
        all.push(step(environment, resource)?);
    }
    if let Some((at, _)) = all.iter().enumerate().find(|(at, (one, _))| {
        all[..*at]
            .iter()
            .any(|(other, _)| other.id.eq_ignore_ascii_case(&one.id))
    }) {
        return Err(failed(&format!(
            "The resource '{}' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details.",
            all[at].0.id
        )));
    }
    let known: Vec<DeploymentStep> = all.iter().map(|(one, _)| one.clone()).collect();
    for (one, _) in &mut all {
        one.depends_on = dependencies(environment, one, &known)?;
    }
    all.retain(|(_, wanted)| *wanted);
    let mut steps: Vec<DeploymentStep> = all.into_iter().map(|(one, _)| one).collect();
    let ids: Vec<String> = steps.iter().map(|one| one.id.to_ascii_lowercase()).collect();
    for one in &mut steps {
        one.depends_on.retain(|id| ids.contains(id));
    }
    refuse_circles(&steps)?;
    for one in &steps {
        check_body(environment, one)?;
    }
    check_outputs(environment)?;
    Ok(steps)
}

/// A resource as a step without its dependencies, and whether its condition holds.
fn step(environment: &Environment<'_>, resource: &Value) -> Result<(DeploymentStep, bool), ArmError> {
    for (member, what) in [
        ("copy", "copy loops"),
        ("resources", "resources inside resources"),
        ("existing", "existing resources"),
        ("subscriptionId", "resources of other subscriptions"),
        ("resourceGroup", "resources of other resource groups"),
    ] {
        if get(resource, member).is_some_and(|one| !one.is_null()) {
            return unsupported(what);
        }
    }
    let text = |name: &str| match get(resource, name) {
        None => Err(invalid_template(format!(
            "Deployment template parse failed: 'Required property '{name}' not found in JSON. Path 'resources'.'."
        ))),
        Some(value) => environment.text(value).map_err(|error| {
            failed(&format!(
                "The template resource '{}' is not valid: {error}.",
                get_str(resource, "name").unwrap_or_default()
            ))
        }),
    };
    let (resource_type, name, api_version) = (text("type")?, text("name")?, text("apiVersion")?);
    let types = resource_type.split('/').count();
    let names: Vec<String> = name.split('/').map(str::to_owned).collect();
    if types < 2 || types != names.len() + 1 || names.iter().any(String::is_empty) {
        return Err(failed(&format!(
            "The template resource '{name}' for type '{resource_type}' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage details."
        )));
    }
    if resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
        return unsupported("nested deployments");
    }
    let group = environment.surroundings.group["id"].as_str().unwrap_or_default();
    let scope = match get(resource, "scope").filter(|one| !one.is_null()) {
        None => group.to_owned(),
        Some(value) => {
            let scope = environment.text(value).map_err(|error| {
                failed(&format!(
                    "The scope of the template resource '{name}' is not valid: {error}."
                ))
            })?;
            absolute(group, &scope).ok_or_else(|| {
                failed(&format!(
                    "The template resource '{name}' is not valid: the scope '{scope}' is no resource of this resource group."
                ))
            })?
        }
    };
    let wanted = match get(resource, "condition")
        .map(|one| environment.resolve(one))
        .transpose()
    {
        Ok(None) => true,
        Ok(Some(Value::Bool(wanted))) => wanted,
        Ok(Some(other)) => {
            return Err(failed(&format!(
                "The condition of the resource '{name}' is '{other}', not a boolean."
            )));
        }
        Err(error) => {
            return Err(failed(&format!(
                "The condition of the resource '{name}' is not valid: {error}."
            )));
        }
    };
    let path = functions::interleave(&resource_type, &names);
    Ok((
        DeploymentStep {
            id: format!("{scope}/providers/{path}"),
            resource_type,
            resource_name: name,
            api_version,
            action: StepAction::Create,
            depends_on: Vec::new(),
            resource: resource.clone(),
            operation: super::operation_id(),
            state: StepState::Waiting,
        },
        wanted,
    ))
}

/// The id that a `scope` means: an id as it stands, or `type/name` in the group; only what is in the group.
fn absolute(group: &str, scope: &str) -> Option<String> {
    if scope.starts_with('/') {
        let lower = scope.to_ascii_lowercase();
        return lower
            .strip_prefix(&group.to_ascii_lowercase())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            .then(|| scope.trim_end_matches('/').to_owned());
    }
    (scope.split('/').count() >= 3).then(|| format!("{group}/providers/{scope}"))
}

/// Ids of what a step waits for: its `dependsOn`, and the resources whose state it reads.
fn dependencies(
    environment: &Environment<'_>,
    step: &DeploymentStep,
    known: &[DeploymentStep],
) -> Result<Vec<String>, ArmError> {
    let mut ids = Vec::new();
    let list = get(&step.resource, "dependsOn").and_then(Value::as_array);
    for entry in list.into_iter().flatten() {
        let wanted = environment.text(entry).map_err(|error| {
            failed(&format!(
                "The template resource '{}' is not valid: {error}.",
                step.resource_name
            ))
        })?;
        let found = find(known, &wanted).ok_or_else(|| {
            failed(&format!(
                "The resource '{wanted}' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details."
            ))
        })?;
        ids.push(found.id.to_ascii_lowercase());
    }
    for read in environment.references(&step.resource) {
        ids.extend(find(known, &read).map(|one| one.id.to_ascii_lowercase()));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// The step that a full id, a `type/name` or a name means; a name that several resources have means none.
pub fn find<'a>(steps: &'a [DeploymentStep], wanted: &str) -> Option<&'a DeploymentStep> {
    let wanted = wanted.trim_matches('/').to_ascii_lowercase();
    let by_id = steps.iter().find(|one| {
        let id = one.id.trim_matches('/').to_ascii_lowercase();
        id == wanted || (wanted.contains('/') && id.ends_with(&format!("/providers/{wanted}")))
    });
    by_id.or_else(|| {
        let mut named = steps
            .iter()
            .filter(|one| one.resource_name.eq_ignore_ascii_case(&wanted));
        let first = named.next();
        first.filter(|_| named.next().is_none())
    })
}

fn refuse_circles(steps: &[DeploymentStep]) -> Result<(), ArmError> {
    let mut done: Vec<String> = Vec::new();
    while done.len() < steps.len() {
        let before = done.len();
        for one in steps {
            let id = one.id.to_ascii_lowercase();
            if !done.contains(&id) && one.depends_on.iter().all(|needed| done.contains(needed)) {
                done.push(id);
            }
        }
        if done.len() == before {
            let stuck = steps.iter().find(|one| !done.contains(&one.id.to_ascii_lowercase()));
            return Err(failed(&format!(
                "Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources for usage details.",
                stuck.map_or("", |one| one.id.as_str())
            )));
        }
    }
    Ok(())
}

/// The body of a step's PUT: the resource without what is meant for the deployment.
pub fn body(environment: &Environment<'_>, step: &DeploymentStep) -> Result<Value, EvaluationError> {
    const OWN: [&str; 8] = [
        "type",
        "name",
        "apiVersion",
        "dependsOn",
        "scope",
        "condition",
        "comments",
        "metadata",
    ];
    let members = step.resource.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)))
        .map(|(name, value)| Ok((name.clone(), environment.resolve(value)?)))
        .collect::<Result<Map<_, _>, _>>()
        .map(Value::Object)
}

/// Everything but what only the run can tell must have a value beforehand.
fn check_body(environment: &Environment<'_>, step: &DeploymentStep) -> Result<(), ArmError> {
    match body(environment, step) {
        Ok(_) | Err(EvaluationError::RuntimeOnly) => Ok(()),
        Err(EvaluationError::Invalid(reason)) => Err(unresolved(step, &reason)),
    }
}

/// The error of a resource whose expressions have no value.
pub fn unresolved(step: &DeploymentStep, reason: &str) -> ArmError {
    invalid_template(format!(
        "Unable to process template language expressions for resource '{}'. '{reason}.'",
        step.id
    ))
}

fn check_outputs(environment: &Environment<'_>) -> Result<(), ArmError> {
    let outputs = get(environment.template, "outputs").and_then(Value::as_object);
    for (name, output) in outputs.into_iter().flatten() {
        let kind = get_str(output, "type").unwrap_or_default();
        if parameters::ParameterType::named(kind).is_none() {
            return Err(failed(&format!(
                "The type '{kind}' of the template output '{name}' is not valid."
            )));
        }
        if get(output, "copy").is_some() {
            return unsupported("copy loops");
        }
        let Some(value) = get(output, "value") else {
            return Err(failed(&format!("The template output '{name}' has no value.")));
        };
        if let Err(EvaluationError::Invalid(reason)) = environment.resolve(value) {
            return Err(failed(&format!("The template output '{name}' is not valid: {reason}.")));
        }
    }
    Ok(())
}

fn failed(reason: &str) -> ArmError {
    invalid_template(format!("Deployment template validation failed: '{reason}'."))
}
