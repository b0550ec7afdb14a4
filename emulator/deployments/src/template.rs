//! What a body asks for: the template, its parameters and its mode, before anything of them is evaluated.

use serde_json::{Map, Value};

use crate::deployment::DeploymentMode;
use crate::json::{get, get_str, present};
use crate::{DeploymentError, lenient, parameters};

/// Longest name of a deployment.
const MAX_NAME_CHARS: usize = 64;

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

/// What a PUT of a deployment, or its `validate`, asks for.
#[derive(Debug, Clone)]
pub struct DeploymentRequest {
    /// Tags as they were sent. They are the host's to check, since tags have the same rules everywhere.
    pub tags: Option<Value>,
    pub(crate) name: String,
    pub(crate) template: Value,
    /// Values of parameters that were given.
    pub(crate) parameters: Map<String, Value>,
    pub(crate) mode: DeploymentMode,
    pub(crate) validation: ValidationLevel,
}

/// `validationLevel`: how much is checked before anything runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidationLevel {
    /// The template only.
    Template,
    /// The template and its resources' types.
    ProviderNoRbac,
    /// These and the caller's rights.
    Provider,
}

impl DeploymentRequest {
    /// Reads the body of a request for the deployment `name`, comments included, and refuses a template that ARM cannot
    /// read. Expressions are not evaluated.
    pub fn read(name: &str, body: &[u8]) -> Result<Self, DeploymentError> {
        check_name(name)?;
        let body = lenient::read(&String::from_utf8_lossy(body))
            .map_err(|reason| DeploymentError::invalid_content(&reason))?;
        if !body.is_object() {
            return Err(DeploymentError::invalid_content("an object was expected"));
        }
        if present(&body, "location").is_some() {
            return Err(DeploymentError::invalid_deployment(format!(
                "The 'location' property is not allowed for '{name}' at resource group scope. Please see https://aka.ms/deploy-to-subscription for usage details."
            )));
        }
        let properties = get(&body, "properties").filter(|one| one.is_object()).ok_or_else(|| {
            DeploymentError::invalid_content("Required property 'properties' not found in JSON. Path ''")
        })?;
        for link in ["templateLink", "parametersLink", "onErrorDeployment"] {
            if present(properties, link).is_some() {
                return Err(DeploymentError::validation_failed(&format!(
                    "The property '{link}' is not supported by this emulator."
                )));
            }
        }
        let (mode, validation) = (mode(properties)?, validation_level(properties)?);
        let template = present(properties, "template").cloned().ok_or_else(|| {
            DeploymentError::invalid_deployment("The deployment must have a 'template' or a 'templateLink'.")
        })?;
        check_shape(&template)?;
        Ok(Self {
            tags: get(&body, "tags").cloned(),
            name: name.to_owned(),
            template,
            parameters: parameters::given(get(properties, "parameters"))?,
            mode,
            validation,
        })
    }
}

fn check_name(name: &str) -> Result<(), DeploymentError> {
    let allowed = |one: char| one.is_alphanumeric() || matches!(one, '-' | '_' | '.' | '(' | ')');
    if name.chars().count() <= MAX_NAME_CHARS && name.chars().all(allowed) {
        return Ok(());
    }
    Err(DeploymentError::invalid_deployment(format!(
        "The provided deployment name '{name}' is not valid. It has at most {MAX_NAME_CHARS} letters, digits, '-', '.', '_', '(' and ')'."
    )))
}

fn mode(properties: &Value) -> Result<DeploymentMode, DeploymentError> {
    let mode = get_str(properties, "mode").map(str::to_ascii_lowercase);
    let refused = |reason: &str| Err(DeploymentError::invalid_content(reason));
    match mode.as_deref() {
        Some("incremental") => Ok(DeploymentMode::Incremental),
        Some("complete") => Ok(DeploymentMode::Complete),
        Some(other) => refused(&format!(
            "Error converting value \"{other}\" to type 'Azure.Deployments.Core.Definitions.DeploymentMode'. Path 'properties.mode'"
        )),
        None => refused("Required property 'mode' not found in JSON. Path 'properties'"),
    }
}

fn validation_level(properties: &Value) -> Result<ValidationLevel, DeploymentError> {
    let level = get_str(properties, "validationLevel").map(str::to_ascii_lowercase);
    match level.as_deref() {
        None | Some("provider") => Ok(ValidationLevel::Provider),
        Some("providernorbac") => Ok(ValidationLevel::ProviderNoRbac),
        Some("template") => Ok(ValidationLevel::Template),
        Some(other) => Err(DeploymentError::invalid_content(&format!(
            "The validation level '{other}' is not known"
        ))),
    }
}

/// Refuses a template whose members are not those that ARM has, or are more than it takes.
fn check_shape(template: &Value) -> Result<(), DeploymentError> {
    let parse = |reason: &str| {
        Err(DeploymentError::invalid_template(format!(
            "Deployment template parse failed: '{reason}'."
        )))
    };
    let unsupported = |what: &str| Err(DeploymentError::unsupported(what));
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
        return Err(DeploymentError::validation_failed(
            "The template schema is not valid for a deployment at resource group scope. Please see https://aka.ms/arm-syntax for usage details.",
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
            return Err(DeploymentError::validation_failed(&format!(
                "The number of template {name} limit exceeded. Limit: '{limit}' and actual: '{actual}'. Please see https://aka.ms/arm-resource-functions/#limits for usage details."
            )));
        }
    }
    if get(template, "variables").is_some_and(|all| get(all, "copy").is_some()) {
        return unsupported("copy loops");
    }
    Ok(())
}
