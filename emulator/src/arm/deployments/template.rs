//! The body of a deployment: the template, its parameters and its mode, before anything of them is evaluated.

use serde_json::{Map, Value};

use super::{invalid_template, parameters};
use crate::arm::ArmError;
use crate::json::{get, get_str};
use crate::store::DeploymentMode;

/// Members of a template that ARM has.
const MEMBERS: [&str; 10] = [
    "$schema",
    "contentVersion",
    "apiProfile",
    "languageVersion",
    "parameters",
    "functions",
    "variables",
    "resources",
    "outputs",
    "metadata",
];

/// How many entries a member of a template may have (Azure Resource Manager limits).
const LIMITS: [(&str, usize); 4] = [
    ("parameters", 256),
    ("variables", 256),
    ("resources", 800),
    ("outputs", 64),
];

/// What a body asks for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The template.
    pub template: Value,
    /// Values of parameters.
    pub parameters: Map<String, Value>,
    /// The mode.
    pub mode: DeploymentMode,
    /// How much is checked before anything runs.
    pub validation: ValidationLevel,
}

/// `validationLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationLevel {
    /// The template only.
    Template,
    /// The template and its resources' types.
    ProviderNoRbac,
    /// These and the caller's rights.
    Provider,
}

/// Reads the `properties` of a deployment's body.
pub fn read(body: &Value) -> Result<Wanted, ArmError> {
    let content = |reason: &str| {
        ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: '{reason}'."
        ))
    };
    let properties = get(body, "properties")
        .filter(|one| one.is_object())
        .ok_or_else(|| content("Required property 'properties' not found in JSON. Path ''"))?;
    let present = |name: &str| get(properties, name).is_some_and(|one| !one.is_null());
    for name in ["templateLink", "parametersLink", "onErrorDeployment"] {
        if present(name) {
            return Err(invalid_template(format!(
                "Deployment template validation failed: 'The property '{name}' is not supported by this emulator.'."
            )));
        }
    }
    let mode = match get_str(properties, "mode").map(str::to_ascii_lowercase).as_deref() {
        Some("incremental") => DeploymentMode::Incremental,
        Some("complete") => DeploymentMode::Complete,
        Some(other) => {
            return Err(content(&format!(
                "Error converting value \"{other}\" to type 'Azure.Deployments.Core.Definitions.DeploymentMode'. Path 'properties.mode'"
            )));
        }
        None => return Err(content("Required property 'mode' not found in JSON. Path 'properties'")),
    };
    let validation = match get_str(properties, "validationLevel")
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("provider") => ValidationLevel::Provider,
        Some("providernorbac") => ValidationLevel::ProviderNoRbac,
        Some("template") => ValidationLevel::Template,
        Some(other) => return Err(content(&format!("The validation level '{other}' is not known"))),
    };
    let template = get(properties, "template").filter(|one| !one.is_null()).cloned();
    let template = template.ok_or_else(|| {
        ArmError::gateway(
            axum::http::StatusCode::BAD_REQUEST,
            "InvalidDeployment",
            "The deployment must have a 'template' or a 'templateLink'.",
        )
    })?;
    check_shape(&template)?;
    Ok(Wanted {
        template,
        parameters: parameters::given(get(properties, "parameters"))?,
        mode,
        validation,
    })
}

fn check_shape(template: &Value) -> Result<(), ArmError> {
    let parse = |reason: &str| {
        Err(invalid_template(format!(
            "Deployment template parse failed: '{reason}'."
        )))
    };
    let Some(members) = template.as_object() else {
        return parse("Error reading JObject from JsonReader. The template must be an object");
    };
    if let Some(odd) = members
        .keys()
        .find(|name| !MEMBERS.iter().any(|known| known.eq_ignore_ascii_case(name)))
    {
        return parse(&format!(
            "Could not find member '{odd}' on object of type 'Template'. Path '{odd}'"
        ));
    }
    for name in ["$schema", "contentVersion"] {
        if get_str(template, name).is_none() {
            return parse(&format!("Required property '{name}' not found in JSON. Path ''"));
        }
    }
    if get_str(template, "$schema").is_some_and(|one| !one.to_ascii_lowercase().contains("/deploymenttemplate.json")) {
        return Err(invalid_template(
            "Deployment template validation failed: 'The template schema is not valid for a deployment at resource group scope. Please see https://aka.ms/arm-syntax for usage details.'.",
        ));
    }
    match get(template, "resources") {
        None => return parse("Required property 'resources' not found in JSON. Path ''"),
        Some(Value::Array(_)) => {}
        Some(_) => return unsupported("resources by symbolic names (languageVersion 2.0)"),
    }
    if get_str(template, "languageVersion").is_some_and(|one| one != "1.0") {
        return unsupported("languageVersion 2.0");
    }
    if get(template, "functions")
        .and_then(Value::as_array)
        .is_some_and(|all| !all.is_empty())
    {
        return unsupported("user-defined functions");
    }
    for name in ["parameters", "variables", "outputs"] {
        if get(template, name).is_some_and(|one| !one.is_object() && !one.is_null()) {
            return parse(&format!("The property '{name}' must be an object"));
        }
    }
    for (name, limit) in LIMITS {
        let actual = match get(template, name) {
            Some(Value::Array(items)) => items.len(),
            Some(Value::Object(members)) => members.len(),
            _ => 0,
        };
        if actual > limit {
            return Err(invalid_template(format!(
                "Deployment template validation failed: 'The number of template {name} limit exceeded. Limit: '{limit}' and actual: '{actual}'. Please see https://aka.ms/arm-resource-functions/#limits for usage details.'."
            )));
        }
    }
    if get(template, "variables").is_some_and(|all| get(all, "copy").is_some()) {
        return unsupported("copy loops");
    }
    Ok(())
}

/// The refusal of something that ARM has and this emulator lacks.
pub fn unsupported<T>(what: &str) -> Result<T, ArmError> {
    Err(invalid_template(format!(
        "Deployment template validation failed: '{what} are not supported by this emulator.'."
    )))
}
