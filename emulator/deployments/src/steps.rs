//! The resources of a template in their order, checked as far as that is possible before anything runs.

use serde_json::{Map, Value};

use crate::deployment::{DeploymentStep, StepAction};
use crate::evaluation::{Environment, EvaluationError};
use crate::json::{get, get_str, present};
use crate::{DeploymentError, functions};

/// The steps of a template whose parameters were checked. Resources whose condition is false are left out.
pub fn steps(environment: &Environment<'_>) -> Result<Vec<DeploymentStep>, DeploymentError> {
    let resources = get(environment.template, "resources").and_then(Value::as_array);
    let declared = resources
        .into_iter()
        .flatten()
        .map(|resource| step(environment, resource))
        .collect::<Result<Vec<_>, _>>()?;
    refuse_duplicates(&declared)?;
    let mut steps = Vec::new();
    for one in &declared {
        let depends_on = dependencies(environment, one, &declared)?;
        if condition(environment, one)? {
            steps.push(DeploymentStep {
                depends_on,
                ..one.clone()
            });
        }
    }
    // What is left out is not waited for.
    let ids: Vec<String> = steps.iter().map(|one| one.id.to_ascii_lowercase()).collect();
    for one in &mut steps {
        one.depends_on.retain(|id| ids.contains(id));
    }
    refuse_circles(&steps)?;
    for one in &steps {
        check_body(environment, one)?;
    }
    Ok(steps)
}

/// A resource as a step without its dependencies.
fn step(environment: &Environment<'_>, resource: &Value) -> Result<DeploymentStep, DeploymentError> {
    for (member, what) in [
        ("copy", "copy loops"),
        ("resources", "resources inside resources"),
        ("existing", "existing resources"),
        ("subscriptionId", "resources of other subscriptions"),
        ("resourceGroup", "resources of other resource groups"),
    ] {
        if present(resource, member).is_some() {
            return Err(DeploymentError::unsupported(what));
        }
    }
    let text = |name: &str| match get(resource, name) {
        None => Err(DeploymentError::invalid_template(format!(
            "Deployment template parse failed: 'Required property '{name}' not found in JSON. Path 'resources'.'."
        ))),
        Some(value) => environment.text(value).map_err(|error| {
            DeploymentError::validation_failed(&format!(
                "The template resource '{}' is not valid: {error}.",
                get_str(resource, "name").unwrap_or_default()
            ))
        }),
    };
    let (resource_type, name, api_version) = (text("type")?, text("name")?, text("apiVersion")?);
    let types = resource_type.split('/').count();
    let names: Vec<String> = name.split('/').map(str::to_owned).collect();
    if types < 2 || types != names.len() + 1 || names.iter().any(String::is_empty) {
        return Err(DeploymentError::validation_failed(&format!(
            "The template resource '{name}' for type '{resource_type}' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name. A root resource type must have segment length one greater than its resource name. Please see https://aka.ms/arm-syntax-resources for usage details."
        )));
    }
    if resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
        return Err(DeploymentError::unsupported("nested deployments"));
    }
    let scope = scope(environment, resource, &name)?;
    let path = functions::interleave(&resource_type, &names);
    let id = format!("{scope}/providers/{path}");
    Ok(DeploymentStep {
        resource: resource.clone(),
        ..DeploymentStep::new(StepAction::Create, id, resource_type, name, api_version)
    })
}

/// The id that a resource is below: its group, or another resource of it.
fn scope(environment: &Environment<'_>, resource: &Value, name: &str) -> Result<String, DeploymentError> {
    let group = environment.scope.group_id.as_str();
    let Some(scope) = present(resource, "scope") else {
        return Ok(group.to_owned());
    };
    let scope = environment.text(scope).map_err(|error| {
        DeploymentError::validation_failed(&format!(
            "The scope of the template resource '{name}' is not valid: {error}."
        ))
    })?;
    absolute(group, &scope).ok_or_else(|| {
        DeploymentError::validation_failed(&format!(
            "The template resource '{name}' is not valid: the scope '{scope}' is no resource of this resource group."
        ))
    })
}

/// Whether a resource's condition holds, if it has one.
fn condition(environment: &Environment<'_>, step: &DeploymentStep) -> Result<bool, DeploymentError> {
    let name = &step.resource_name;
    let refused = |reason: String| {
        Err(DeploymentError::validation_failed(&format!(
            "The condition of the resource '{name}' is {reason}."
        )))
    };
    let Some(condition) = get(&step.resource, "condition") else {
        return Ok(true);
    };
    match environment.resolve(condition) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => refused(format!("'{other}', not a boolean")),
        Err(error) => refused(format!("not valid: {error}")),
    }
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
) -> Result<Vec<String>, DeploymentError> {
    let mut ids = Vec::new();
    let list = get(&step.resource, "dependsOn").and_then(Value::as_array);
    for entry in list.into_iter().flatten() {
        let wanted = environment.text(entry).map_err(|error| {
            DeploymentError::validation_failed(&format!(
                "The template resource '{}' is not valid: {error}.",
                step.resource_name
            ))
        })?;
        let found = find(known, &wanted).ok_or_else(|| {
            DeploymentError::validation_failed(&format!(
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

/// The namespace and the type of an id's resource: the last of them, as extension resources are below others.
pub fn namespace_and_type(id: &str) -> (&str, String) {
    let below = id.rsplit("/providers/").next().unwrap_or_default();
    let mut segments = below.split('/');
    let namespace = segments.next().unwrap_or_default();
    (namespace, segments.step_by(2).collect::<Vec<_>>().join("/"))
}

fn refuse_duplicates(steps: &[DeploymentStep]) -> Result<(), DeploymentError> {
    for (at, one) in steps.iter().enumerate() {
        if steps[..at].iter().any(|other| other.id.eq_ignore_ascii_case(&one.id)) {
            return Err(DeploymentError::validation_failed(&format!(
                "The resource '{}' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details.",
                one.id
            )));
        }
    }
    Ok(())
}

fn refuse_circles(steps: &[DeploymentStep]) -> Result<(), DeploymentError> {
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
            return Err(DeploymentError::validation_failed(&format!(
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
fn check_body(environment: &Environment<'_>, step: &DeploymentStep) -> Result<(), DeploymentError> {
    match body(environment, step) {
        Ok(_) | Err(EvaluationError::RuntimeOnly) => Ok(()),
        Err(EvaluationError::Invalid(reason)) => Err(unresolved(step, &reason)),
    }
}

/// The error of a resource whose expressions have no value.
pub fn unresolved(step: &DeploymentStep, reason: &str) -> DeploymentError {
    DeploymentError::invalid_template(format!(
        "Unable to process template language expressions for resource '{}'. '{reason}.'",
        step.id
    ))
}
