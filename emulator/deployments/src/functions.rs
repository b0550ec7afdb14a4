//! The functions of template expressions.
//!
//! A function that ARM has and this emulator lacks is refused by its name; nothing is guessed.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::evaluation::{Depth, Environment, EvaluationError, Reference};
use crate::expression::Expression;
use crate::json::get;

/// Namespace of `guid(…)`: its value is the version 5 UUID of the arguments, joined by hyphens (Bicep's documentation of
/// string functions).
const GUID_NAMESPACE: Uuid = Uuid::from_u128(0x11fb_06fb_712d_4ddd_98c7_e71b_bd58_8830);

/// Functions of ARM that are emulated.
const EMULATED: &str = "and bool coalesce concat contains createArray createObject deployment empty equals \
    extensionResourceId false format guid if int join length not null or parameters reference replace resourceGroup \
    resourceId split string subscription subscriptionResourceId substring tenant toLower toUpper trim true variables";

/// Functions of ARM that are known and not emulated.
const NOT_EMULATED: &str = "add array base64 base64ToJson base64ToString cidrHost cidrSubnet copyIndex dataUri \
    dataUriToString dateTimeAdd dateTimeFromEpoch dateTimeToEpoch deployer div endsWith environment fail filter first \
    flatten float greater greaterOrEquals groupBy indexOf intersection items json lambda last lastIndexOf less \
    lessOrEquals listAccountSas listKeys listSecrets managementGroup managementGroupResourceId map max min mod mul \
    newGuid objectKeys padLeft parseCidr pickZones providers range reduce skip sort startsWith sub take \
    tenantResourceId union uniqueString uri utcNow";

/// The value of a call.
pub fn call(
    environment: &Environment<'_>,
    name: &str,
    arguments: &[Expression],
    depth: Depth,
) -> Result<Value, EvaluationError> {
    let lower = name.to_ascii_lowercase();
    let function = Call {
        environment,
        name,
        depth,
    };
    // Only the branch that is taken is evaluated.
    if lower == "if" {
        return function.condition(arguments);
    }
    let values = arguments
        .iter()
        .map(|one| environment.evaluate(one, depth))
        .collect::<Result<Vec<_>, _>>()?;
    function.apply(&lower, &values)
}

struct Call<'a> {
    environment: &'a Environment<'a>,
    name: &'a str,
    depth: Depth,
}

impl Call<'_> {
    fn apply(&self, lower: &str, values: &[Value]) -> Result<Value, EvaluationError> {
        let scope = self.environment.scope;
        match (lower, values) {
            ("parameters", [name]) => self.environment.parameter_at(self.text(name)?, self.depth),
            ("variables", [name]) => self.environment.variable(self.text(name)?, self.depth),
            ("resourcegroup", []) => Ok(scope.group()),
            ("subscription", []) => Ok(scope.subscription()),
            ("tenant", []) => Ok(scope.tenant()),
            ("deployment", []) => Ok(json!({ "name": self.environment.name })),
            ("reference", [resource, more @ ..]) if more.len() <= 2 => self.reference(resource, more),
            ("resourceid", _) => self.resource_id(values),
            ("subscriptionresourceid", _) => self.subscription_resource_id(values),
            ("extensionresourceid", [extended, rest @ ..]) => {
                let (kind, names) = self.type_and_names(rest)?;
                Ok(json!(format!(
                    "{}/providers/{}",
                    self.text(extended)?,
                    interleave(&kind, &names)
                )))
            }
            ("concat", [Value::Array(_), ..]) => self.concat_arrays(values),
            ("concat", [_, ..]) => Ok(json!(self.joined(values, "")?)),
            ("format", [Value::String(template), rest @ ..]) => self.format(template, rest),
            ("guid", [_, ..]) => {
                let name = self.joined(values, "-")?;
                Ok(json!(Uuid::new_v5(&GUID_NAMESPACE, name.as_bytes()).to_string()))
            }
            ("tolower", [Value::String(text)]) => Ok(json!(text.to_lowercase())),
            ("toupper", [Value::String(text)]) => Ok(json!(text.to_uppercase())),
            ("trim", [Value::String(text)]) => Ok(json!(text.trim())),
            ("replace", [Value::String(text), Value::String(old), Value::String(new)]) => {
                Ok(json!(text.replace(old.as_str(), new)))
            }
            ("substring", [Value::String(text), from, more @ ..]) if more.len() <= 1 => {
                self.substring(text, from, more.first())
            }
            ("split", [Value::String(text), Value::String(separator)]) => {
                Ok(text.split(separator.as_str()).map(|part| json!(part)).collect())
            }
            ("join", [Value::Array(items), Value::String(separator)]) => Ok(json!(self.joined(items, separator)?)),
            ("string", [value]) => Ok(json!(printed(value))),
            ("int", [value]) => self.int(value),
            ("bool", [value]) => self.bool(value),
            ("length", [value]) => self.length(value),
            ("empty", [value]) => Ok(json!(match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(members) => members.is_empty(),
                Value::Bool(_) | Value::Number(_) => return Err(self.arguments()),
            })),
            ("contains", [Value::String(text), part]) => Ok(json!(text.contains(&printed(part)))),
            ("contains", [Value::Array(items), item]) => Ok(json!(items.contains(item))),
            ("contains", [object @ Value::Object(_), Value::String(name)]) => Ok(json!(get(object, name).is_some())),
            ("equals", [one, other]) => Ok(json!(one == other)),
            ("not", [Value::Bool(value)]) => Ok(json!(!value)),
            ("and", [_, _, ..]) => Ok(json!(self.all_bool(values)?.into_iter().all(|one| one))),
            ("or", [_, _, ..]) => Ok(json!(self.all_bool(values)?.into_iter().any(|one| one))),
            ("coalesce", [_, ..]) => Ok(values.iter().find(|one| !one.is_null()).cloned().unwrap_or_default()),
            ("createarray", _) => Ok(json!(values)),
            ("createobject", _) if values.len().is_multiple_of(2) => values
                .chunks_exact(2)
                .map(|pair| Ok((self.text(&pair[0])?.to_owned(), pair[1].clone())))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            ("true", []) => Ok(json!(true)),
            ("false", []) => Ok(json!(false)),
            ("null", []) => Ok(Value::Null),
            _ => Err(self.refused(lower)),
        }
    }

    fn refused(&self, lower: &str) -> EvaluationError {
        let among = |names: &str| names.split_whitespace().any(|one| one.eq_ignore_ascii_case(lower));
        if among(EMULATED) {
            return self.arguments();
        }
        let name = self.name;
        EvaluationError::Invalid(if among(NOT_EMULATED) {
            format!("The template function '{name}' is not supported by this emulator")
        } else {
            format!(
                "The template function '{name}' is not valid. Please see https://aka.ms/arm-functions for usage details"
            )
        })
    }

    fn arguments(&self) -> EvaluationError {
        EvaluationError::Invalid(format!(
            "Unable to evaluate template language function '{}': the number or the types of its arguments are not valid. Please see https://aka.ms/arm-functions for usage details",
            self.name
        ))
    }

    fn condition(&self, arguments: &[Expression]) -> Result<Value, EvaluationError> {
        let [condition, yes, no] = arguments else {
            return Err(self.arguments());
        };
        match self.environment.evaluate(condition, self.depth)? {
            Value::Bool(true) => self.environment.evaluate(yes, self.depth),
            Value::Bool(false) => self.environment.evaluate(no, self.depth),
            _ => Err(self.arguments()),
        }
    }

    fn reference(&self, resource: &Value, more: &[Value]) -> Result<Value, EvaluationError> {
        let Some(read) = self.environment.reader else {
            return Err(EvaluationError::RuntimeOnly);
        };
        let api_version = match more.first() {
            None | Some(Value::Null) => None,
            Some(version) => Some(self.text(version)?.to_owned()),
        };
        let full = match more.get(1) {
            None => false,
            Some(what) if self.text(what)?.eq_ignore_ascii_case("full") => true,
            Some(_) => return Err(self.arguments()),
        };
        read(&Reference {
            resource: self.text(resource)?.to_owned(),
            api_version,
            full,
        })
    }

    /// `resourceId([subscription], [group], type, name, …)`.
    fn resource_id(&self, values: &[Value]) -> Result<Value, EvaluationError> {
        let scope = self.environment.scope;
        let (own_subscription, own_group) = (scope.subscription_id.as_str(), scope.group_name.as_str());
        let before = self.before_type(values)?;
        let (subscription, group) = match before {
            [] => (own_subscription, own_group),
            [group] => (own_subscription, self.text(group)?),
            [subscription, group] => (self.text(subscription)?, self.text(group)?),
            _ => return Err(self.arguments()),
        };
        let (kind, names) = self.type_and_names(&values[before.len()..])?;
        Ok(json!(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/{}",
            interleave(&kind, &names)
        )))
    }

    /// `subscriptionResourceId([subscription], type, name, …)`.
    fn subscription_resource_id(&self, values: &[Value]) -> Result<Value, EvaluationError> {
        let before = self.before_type(values)?;
        let subscription = match before {
            [] => self.environment.scope.subscription_id.as_str(),
            [one] => self.text(one)?,
            _ => return Err(self.arguments()),
        };
        let (kind, names) = self.type_and_names(&values[before.len()..])?;
        Ok(json!(format!(
            "/subscriptions/{subscription}/providers/{}",
            interleave(&kind, &names)
        )))
    }

    /// The arguments before the first that is a type.
    fn before_type<'v>(&self, values: &'v [Value]) -> Result<&'v [Value], EvaluationError> {
        values
            .iter()
            .position(|one| one.as_str().is_some_and(|text| text.contains('/')))
            .map(|at| &values[..at])
            .ok_or_else(|| self.arguments())
    }

    fn type_and_names(&self, values: &[Value]) -> Result<(String, Vec<String>), EvaluationError> {
        let Some((kind, names)) = values.split_first() else {
            return Err(self.arguments());
        };
        let kind = self.text(kind)?.to_owned();
        // Names may be given joined by slashes, as the `name` of a child resource is.
        let names: Vec<String> = names
            .iter()
            .map(|one| self.text(one))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flat_map(|one| one.split('/'))
            .map(str::to_owned)
            .collect();
        let wanted = kind.split('/').count() - 1;
        if names.len() != wanted || wanted == 0 {
            return Err(EvaluationError::Invalid(format!(
                "Unable to evaluate template language function '{}': the type '{kind}' requires '{wanted}' resource name argument(s). Please see https://aka.ms/arm-resource-functions/#resourceid for usage details",
                self.name
            )));
        }
        Ok((kind, names))
    }

    fn concat_arrays(&self, values: &[Value]) -> Result<Value, EvaluationError> {
        let mut all = Vec::new();
        for value in values {
            all.extend(value.as_array().ok_or_else(|| self.arguments())?.iter().cloned());
        }
        Ok(Value::Array(all))
    }

    /// The composite format of .NET, as far as its items are plain: `{0}`, and doubled braces.
    fn format(&self, template: &str, values: &[Value]) -> Result<Value, EvaluationError> {
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                text.push_str(brace);
                rest = after;
                continue;
            }
            let (item, after) = rest.split_once('}').ok_or_else(|| self.arguments())?;
            if item.contains([',', ':']) {
                return Err(EvaluationError::Invalid(format!(
                    "The format item '{{{item}}}' of the template function 'format' is not supported by this emulator"
                )));
            }
            let index: usize = item.parse().map_err(|_| self.arguments())?;
            text.push_str(&printed(values.get(index).ok_or_else(|| self.arguments())?));
            rest = after;
        }
        text.push_str(rest);
        Ok(json!(text))
    }

    fn substring(&self, text: &str, from: &Value, length: Option<&Value>) -> Result<Value, EvaluationError> {
        let number = |value: &Value| value.as_u64().and_then(|one| usize::try_from(one).ok());
        let from = number(from).ok_or_else(|| self.arguments())?;
        let count = text.chars().count();
        let length = match length {
            None => count.saturating_sub(from),
            Some(value) => number(value).ok_or_else(|| self.arguments())?,
        };
        if from.saturating_add(length) > count {
            return Err(self.arguments());
        }
        Ok(json!(text.chars().skip(from).take(length).collect::<String>()))
    }

    fn int(&self, value: &Value) -> Result<Value, EvaluationError> {
        match value {
            Value::Number(number) if number.is_i64() => Ok(value.clone()),
            Value::String(text) => text
                .parse::<i64>()
                .map(|number| json!(number))
                .map_err(|_| self.arguments()),
            _ => Err(self.arguments()),
        }
    }

    fn bool(&self, value: &Value) -> Result<Value, EvaluationError> {
        match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::Number(number) => Ok(json!(number.as_i64() != Some(0))),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(json!(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(json!(false)),
            _ => Err(self.arguments()),
        }
    }

    fn length(&self, value: &Value) -> Result<Value, EvaluationError> {
        Ok(json!(match value {
            Value::String(text) => text.chars().count(),
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => return Err(self.arguments()),
        }))
    }

    fn all_bool(&self, values: &[Value]) -> Result<Vec<bool>, EvaluationError> {
        values
            .iter()
            .map(|one| one.as_bool().ok_or_else(|| self.arguments()))
            .collect()
    }

    fn joined(&self, values: &[Value], separator: &str) -> Result<String, EvaluationError> {
        let parts = values
            .iter()
            .map(|one| match one {
                Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(printed(one)),
                Value::Null | Value::Array(_) | Value::Object(_) => Err(self.arguments()),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(parts.join(separator))
    }

    fn text<'v>(&self, value: &'v Value) -> Result<&'v str, EvaluationError> {
        value.as_str().ok_or_else(|| self.arguments())
    }
}

/// A value as it is joined to others.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => String::new(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// `ns/a/b` and `1`, `2` as the path `ns/a/1/b/2`.
pub fn interleave(kind: &str, names: &[String]) -> String {
    let mut segments = kind.split('/');
    let mut path = segments.next().unwrap_or_default().to_owned();
    for (segment, name) in segments.zip(names) {
        path.push('/');
        path.push_str(segment);
        path.push('/');
        path.push_str(name);
    }
    path
}
