//! Outputs of a template.

use serde_json::{Map, Value};

use crate::DeploymentError;
use crate::evaluation::{Environment, EvaluationError};
use crate::json::{get, get_str};
use crate::parameters::ParameterType;

/// Refuses outputs that can have no value. Those that ask for the state of a resource are known only at the end.
pub fn check(environment: &Environment<'_>) -> Result<(), DeploymentError> {
    let outputs = get(environment.template, "outputs").and_then(Value::as_object);
    for (name, output) in outputs.into_iter().flatten() {
        if ParameterType::of(output).is_none() {
            let kind = get_str(output, "type").unwrap_or_default();
            return Err(DeploymentError::validation_failed(&format!(
                "The type '{kind}' of the template output '{name}' is not valid."
            )));
        }
        if get(output, "copy").is_some() {
            return Err(DeploymentError::unsupported("copy loops"));
        }
        let Some(value) = get(output, "value") else {
            return Err(DeploymentError::validation_failed(&format!(
                "The template output '{name}' has no value."
            )));
        };
        if let Err(EvaluationError::Invalid(reason)) = environment.resolve(value) {
            return Err(DeploymentError::validation_failed(&format!(
                "The template output '{name}' is not valid: {reason}."
            )));
        }
    }
    Ok(())
}

/// The values of a template's outputs, secure ones by their type only. The error names the output that has none.
pub fn values(environment: &Environment<'_>) -> Result<Option<Value>, (String, String)> {
    let Some(declared) = get(environment.template, "outputs").and_then(Value::as_object) else {
        return Ok(None);
    };
    let mut all = Map::new();
    for (name, output) in declared {
        let refused = |reason: String| (name.clone(), reason);
        let condition = get(output, "condition").map(|one| environment.resolve(one)).transpose();
        if condition.map_err(|error| refused(error.to_string()))? == Some(Value::Bool(false)) {
            continue;
        }
        let (Some(kind), Some(value)) = (ParameterType::of(output), get(output, "value")) else {
            continue;
        };
        let value = environment.resolve(value).map_err(|error| refused(error.to_string()))?;
        if !(kind.takes)(&value) {
            return Err(refused(format!("the value is not of the type '{}'", kind.name)));
        }
        all.insert(name.clone(), kind.shown(Some(value)));
    }
    Ok(Some(Value::Object(all)))
}
