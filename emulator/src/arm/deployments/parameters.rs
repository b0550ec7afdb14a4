//! Parameters of a template: which are declared, and whether their values are allowed.

use serde_json::{Map, Value, json};

use super::evaluation::Environment;
use super::invalid_template;
use crate::arm::ArmError;
use crate::json::{get, get_str};

/// The type of a parameter or an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// A string.
    String,
    /// A string that no answer shows.
    SecureString,
    /// An integer.
    Int,
    /// True or false.
    Bool,
    /// An object.
    Object,
    /// An object that no answer shows.
    SecureObject,
    /// An array.
    Array,
}

impl ParameterType {
    const ALL: [Self; 7] = [
        Self::String,
        Self::SecureString,
        Self::Int,
        Self::Bool,
        Self::Object,
        Self::SecureObject,
        Self::Array,
    ];

    /// The type of this name, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|one| one.as_str().eq_ignore_ascii_case(name))
    }

    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::SecureString => "SecureString",
            Self::Int => "Int",
            Self::Bool => "Bool",
            Self::Object => "Object",
            Self::SecureObject => "SecureObject",
            Self::Array => "Array",
        }
    }

    /// Whether no answer shows its values.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::SecureString | Self::SecureObject)
    }

    /// Whether a value is of this type.
    pub fn takes(self, value: &Value) -> bool {
        match self {
            Self::String | Self::SecureString => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Object | Self::SecureObject => value.is_object(),
            Self::Array => value.is_array(),
        }
    }
}

/// The values of a request's `parameters`, each `{"value": …}`.
pub fn given(parameters: Option<&Value>) -> Result<Map<String, Value>, ArmError> {
    let members = match parameters {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(members)) => members,
        Some(_) => {
            return Err(ArmError::invalid_content(
                "The request content was invalid and could not be deserialized: 'properties.parameters must be an object'.",
            ));
        }
    };
    let mut values = Map::new();
    for (name, parameter) in members {
        if get(parameter, "reference").is_some() {
            return Err(invalid_template(format!(
                "Deployment template validation failed: 'The parameter '{name}' refers to a secret of a key vault, which is not supported by this emulator.'."
            )));
        }
        // Null is as good as absent: the default is taken.
        match get(parameter, "value") {
            Some(Value::Null) => {}
            Some(value) => {
                values.insert(name.clone(), value.clone());
            }
            None => {
                return Err(ArmError::invalid_content(format!(
                    "The request content was invalid and could not be deserialized: 'The parameter '{name}' has neither 'value' nor 'reference'.'."
                )));
            }
        }
    }
    Ok(values)
}

/// Refuses values of parameters that the template does not declare, that are missing, or that it does not allow.
pub fn check(environment: &Environment<'_>) -> Result<(), ArmError> {
    let nothing = Map::new();
    let declared = get(environment.template, "parameters")
        .and_then(Value::as_object)
        .unwrap_or(&nothing);
    let knows = |name: &str| declared.keys().any(|known| known.eq_ignore_ascii_case(name));
    let unknown: Vec<&str> = environment
        .given
        .keys()
        .map(String::as_str)
        .filter(|name| !knows(name))
        .collect();
    if !unknown.is_empty() {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        return Err(failed(&format!(
            "The following parameters were supplied, but do not correspond to any parameters defined in the template: '{}'. The parameters defined in the template are: '{}'. Please see https://aka.ms/arm-pass-parameter-values for usage details.",
            unknown.join(", "),
            known.join(", ")
        )));
    }
    for (name, declaration) in declared {
        check_one(environment, name, declaration)?;
    }
    Ok(())
}

/// The parameters as answers show them: secure ones by their type only.
pub fn rendered(environment: &Environment<'_>) -> Value {
    let declared = get(environment.template, "parameters").and_then(Value::as_object);
    let mut shown = Map::new();
    for (name, declaration) in declared.into_iter().flatten() {
        let Some(kind) = get_str(declaration, "type").and_then(ParameterType::named) else {
            continue;
        };
        let mut one = json!({ "type": kind.as_str() });
        if !kind.is_secure()
            && let Ok(value) = environment.parameter(name)
        {
            one["value"] = value;
        }
        shown.insert(name.clone(), one);
    }
    Value::Object(shown)
}

fn check_one(environment: &Environment<'_>, name: &str, declaration: &Value) -> Result<(), ArmError> {
    let type_name = get_str(declaration, "type").unwrap_or_default();
    let Some(kind) = ParameterType::named(type_name) else {
        return Err(failed(&format!(
            "The type '{type_name}' of the template parameter '{name}' is not valid. Please see https://aka.ms/arm-syntax-parameters for usage details."
        )));
    };
    let is_given = environment.given.keys().any(|one| one.eq_ignore_ascii_case(name));
    if !is_given && get(declaration, "defaultValue").is_none() {
        return Err(failed(&format!(
            "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details."
        )));
    }
    let value = environment
        .parameter(name)
        .map_err(|error| failed(&format!("The template parameter '{name}' is not valid: {error}.")))?;
    if !kind.takes(&value) {
        return Err(failed(&format!(
            "Template parameter JToken type is not valid. Expected '{}'. Actual '{}'. Please see https://aka.ms/resource-manager-parameter-files for usage details.",
            kind.as_str(),
            json_type(&value)
        )));
    }
    check_limits(name, declaration, &value)
}

fn check_limits(name: &str, declaration: &Value, value: &Value) -> Result<(), ArmError> {
    let refused = |reason: String| {
        Err(failed(&format!(
            "The provided value for the template parameter '{name}' is not valid. {reason}"
        )))
    };
    if let Some(allowed) = get(declaration, "allowedValues").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let shown = |one: &Value| one.as_str().map_or_else(|| one.to_string(), str::to_owned);
        let list: Vec<String> = allowed.iter().map(shown).collect();
        return refused(format!(
            "The value '{}' is not part of the allowed value(s): '{}'.",
            shown(value),
            list.join(",")
        ));
    }
    let limit = |limit: &str| get(declaration, limit).and_then(Value::as_i64);
    let length = match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    let checks = [
        ("minLength", length.and_then(|one| i64::try_from(one).ok()), true),
        ("maxLength", length.and_then(|one| i64::try_from(one).ok()), false),
        ("minValue", value.as_i64(), true),
        ("maxValue", value.as_i64(), false),
    ];
    for (keyword, actual, is_least) in checks {
        if let (Some(bound), Some(actual)) = (limit(keyword), actual)
            && (if is_least { actual < bound } else { actual > bound })
        {
            return refused(format!("'{actual}' does not satisfy '{keyword}' of '{bound}'."));
        }
    }
    Ok(())
}

fn failed(reason: &str) -> ArmError {
    invalid_template(format!("Deployment template validation failed: '{reason}'."))
}

/// The type of a value as Newtonsoft's JSON reader, which ARM uses, names it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_f64() => "Float",
        Value::Number(_) => "Integer",
        Value::String(_) => "String",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}
