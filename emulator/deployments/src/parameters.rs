//! Parameters of a template: which are declared, and whether their values are allowed.

use serde_json::{Map, Value, json};

use crate::DeploymentError;
use crate::evaluation::Environment;
use crate::json::{get, get_str};

/// A type of parameters and outputs.
#[derive(Debug)]
pub struct ParameterType {
    /// Its name in answers.
    pub name: &'static str,
    /// Whether a value is of this type.
    pub takes: fn(&Value) -> bool,
    is_secure: bool,
}

const fn plain(name: &'static str, takes: fn(&Value) -> bool) -> ParameterType {
    ParameterType {
        name,
        takes,
        is_secure: false,
    }
}

const fn secure(name: &'static str, takes: fn(&Value) -> bool) -> ParameterType {
    ParameterType {
        is_secure: true,
        ..plain(name, takes)
    }
}

static TYPES: [ParameterType; 7] = [
    plain("String", Value::is_string),
    secure("SecureString", Value::is_string),
    plain("Int", |value| value.is_i64() || value.is_u64()),
    plain("Bool", Value::is_boolean),
    plain("Object", Value::is_object),
    secure("SecureObject", Value::is_object),
    plain("Array", Value::is_array),
];

impl ParameterType {
    /// The type of a declaration, whatever the case of its name.
    pub fn of(declaration: &Value) -> Option<&'static Self> {
        let name = get_str(declaration, "type")?;
        TYPES.iter().find(|one| one.name.eq_ignore_ascii_case(name))
    }

    /// A value as answers show it: a secure one by its type only.
    pub fn shown(&self, value: Option<Value>) -> Value {
        let mut shown = json!({ "type": self.name });
        if let Some(value) = value.filter(|_| !self.is_secure) {
            shown["value"] = value;
        }
        shown
    }
}

/// The values of a request's `parameters`, each `{"value": …}`.
pub fn given(parameters: Option<&Value>) -> Result<Map<String, Value>, DeploymentError> {
    let members = match parameters {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(members)) => members,
        Some(_) => {
            return Err(DeploymentError::invalid_content(
                "properties.parameters must be an object",
            ));
        }
    };
    let mut values = Map::new();
    for (name, parameter) in members {
        if get(parameter, "reference").is_some() {
            return Err(DeploymentError::validation_failed(&format!(
                "The parameter '{name}' refers to a secret of a key vault, which is not supported by this emulator."
            )));
        }
        // Null is as good as absent: the default is taken.
        match get(parameter, "value") {
            Some(Value::Null) => {}
            Some(value) => {
                values.insert(name.clone(), value.clone());
            }
            None => {
                return Err(DeploymentError::invalid_content(&format!(
                    "The parameter '{name}' has neither 'value' nor 'reference'."
                )));
            }
        }
    }
    Ok(values)
}

/// Refuses values of parameters that the template does not declare, that are missing, or that it does not allow.
pub fn check(environment: &Environment<'_>) -> Result<(), DeploymentError> {
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
        return Err(DeploymentError::validation_failed(&format!(
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
    let shown = declared.into_iter().flatten().filter_map(|(name, declaration)| {
        let kind = ParameterType::of(declaration)?;
        Some((name.clone(), kind.shown(environment.parameter(name).ok())))
    });
    Value::Object(shown.collect())
}

fn check_one(environment: &Environment<'_>, name: &str, declaration: &Value) -> Result<(), DeploymentError> {
    let Some(kind) = ParameterType::of(declaration) else {
        let type_name = get_str(declaration, "type").unwrap_or_default();
        return Err(DeploymentError::validation_failed(&format!(
            "The type '{type_name}' of the template parameter '{name}' is not valid. Please see https://aka.ms/arm-syntax-parameters for usage details."
        )));
    };
    let is_given = environment.given.keys().any(|one| one.eq_ignore_ascii_case(name));
    if !is_given && get(declaration, "defaultValue").is_none() {
        return Err(DeploymentError::validation_failed(&format!(
            "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details."
        )));
    }
    let value = environment.parameter(name).map_err(|error| {
        DeploymentError::validation_failed(&format!("The template parameter '{name}' is not valid: {error}."))
    })?;
    if !(kind.takes)(&value) {
        return Err(DeploymentError::validation_failed(&format!(
            "Template parameter JToken type is not valid. Expected '{}'. Actual '{}'. Please see https://aka.ms/resource-manager-parameter-files for usage details.",
            kind.name,
            json_type(&value)
        )));
    }
    check_limits(name, declaration, &value)
}

fn check_limits(name: &str, declaration: &Value, value: &Value) -> Result<(), DeploymentError> {
    let refused = |reason: String| {
        Err(DeploymentError::validation_failed(&format!(
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
