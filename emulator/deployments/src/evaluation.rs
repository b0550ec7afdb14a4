//! Evaluation of template expressions: where their values come from.

use std::cell::Cell;

use serde_json::{Map, Value};

use crate::expression::{self, Expression, Text};
use crate::json::get;
use crate::{Deployment, Scope, functions};

/// Parameters and variables may use each other no deeper than this, so that a circle ends.
const MAX_USES: u32 = 24;

/// Values and calls may be nested no deeper than this, those of used parameters and variables included.
const MAX_NESTING: u32 = 160;

/// Calls that are evaluated for one answer at most, so that none takes long.
const MAX_CALLS: u32 = 100_000;

/// Longest string or list that a call may yield (template limits of Azure Resource Manager).
const LONGEST_VALUE: usize = 131_072;

/// How deep an evaluation is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Depth {
    uses: u32,
    nesting: u32,
}

impl Depth {
    /// Inside a parameter or variable, unless a circle must be the reason.
    fn used(self) -> Result<Self, EvaluationError> {
        if self.uses >= MAX_USES {
            return Err(EvaluationError::invalid(
                "The template language expression has a circular dependency between parameters or variables",
            ));
        }
        let uses = self.uses + 1;
        Ok(Self { uses, ..self })
    }

    /// Inside a list, an object or a call.
    fn nested(self) -> Result<Self, EvaluationError> {
        if self.nesting >= MAX_NESTING {
            return Err(EvaluationError::invalid("The template is nested too deeply"));
        }
        let nesting = self.nesting + 1;
        Ok(Self { nesting, ..self })
    }
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// It is wrong.
    #[error("{0}")]
    Invalid(String),
    /// It asks for the state of a resource, which is known only once its turn has come.
    #[error(
        "The template function 'reference' is not expected at this location. Please see https://aka.ms/arm-functions for usage details"
    )]
    RuntimeOnly,
}

impl EvaluationError {
    /// An error with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

/// What `reference(…)` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// A resource's id, or the name of one of the template.
    pub resource: String,
    /// The API version to read it with; that of the template if absent.
    pub api_version: Option<String>,
    /// Whether the whole resource is asked for, not its `properties`.
    pub full: bool,
}

/// Reads the state of a resource for `reference(…)`.
pub type Reader<'a> = &'a dyn Fn(&Reference) -> Result<Value, EvaluationError>;

/// Everything that the value of an expression depends on.
pub struct Environment<'a> {
    /// Name of the deployment.
    pub name: &'a str,
    /// The template.
    pub template: &'a Value,
    /// Values of parameters that were given.
    pub given: &'a Map<String, Value>,
    /// Where it is deployed to.
    pub scope: &'a Scope,
    /// How resources are read; `None` before the deployment runs.
    pub reader: Option<Reader<'a>>,
    /// How many calls were evaluated in it.
    calls: Cell<u32>,
}

impl<'a> Environment<'a> {
    /// The expressions of a deployment's template, while it does not run.
    pub fn new(deployment: &'a Deployment) -> Self {
        Self {
            name: &deployment.name,
            template: &deployment.template,
            given: &deployment.parameters,
            scope: &deployment.scope,
            reader: None,
            calls: Cell::new(0),
        }
    }

    /// The same while it runs.
    pub fn reading(deployment: &'a Deployment, reader: Reader<'a>) -> Self {
        Self {
            reader: Some(reader),
            ..Self::new(deployment)
        }
    }

    /// A value of the template with all expressions in it evaluated.
    pub fn resolve(&self, value: &Value) -> Result<Value, EvaluationError> {
        self.at_depth(value, Depth::default())
    }

    /// A string of the template, evaluated, which must yield a string again.
    pub fn text(&self, value: &Value) -> Result<String, EvaluationError> {
        match self.resolve(value)? {
            Value::String(text) => Ok(text),
            other => Err(EvaluationError::invalid(format!(
                "a string is expected and not '{other}'"
            ))),
        }
    }

    /// The value of a parameter, its default included.
    pub fn parameter(&self, name: &str) -> Result<Value, EvaluationError> {
        self.parameter_at(name, Depth::default())
    }

    /// The first arguments of all `reference(…)` in a value, as far as they are known before the deployment runs.
    pub fn references(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.gather(value, &mut found);
        found
    }

    pub(crate) fn at_depth(&self, value: &Value, depth: Depth) -> Result<Value, EvaluationError> {
        match value {
            Value::String(text) => match expression::read(text).map_err(EvaluationError::Invalid)? {
                Text::Plain(text) => Ok(Value::String(text)),
                Text::Expression(parsed) => self.evaluate(&parsed, depth),
            },
            Value::Array(items) => {
                let depth = depth.nested()?;
                items.iter().map(|item| self.at_depth(item, depth)).collect()
            }
            Value::Object(members) => {
                let depth = depth.nested()?;
                members
                    .iter()
                    .map(|(name, member)| Ok((self.name(name, depth)?, self.at_depth(member, depth)?)))
                    .collect::<Result<Map<_, _>, _>>()
                    .map(Value::Object)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
        }
    }

    /// A member's name, which may be an expression as those of `userAssignedIdentities` are.
    fn name(&self, name: &str, depth: Depth) -> Result<String, EvaluationError> {
        match self.at_depth(&Value::String(name.to_owned()), depth)? {
            Value::String(name) => Ok(name),
            other => Err(EvaluationError::invalid(format!(
                "a name is expected and not '{other}'"
            ))),
        }
    }

    pub(crate) fn evaluate(&self, parsed: &Expression, depth: Depth) -> Result<Value, EvaluationError> {
        let depth = depth.nested()?;
        match parsed {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Call(name, arguments) => {
                self.count()?;
                let value = functions::call(self, name, arguments, depth)?;
                check_size(&value)?;
                Ok(value)
            }
            Expression::Member(of, member) => {
                let of = self.evaluate(of, depth)?;
                let member = self.evaluate(member, depth)?;
                member_of(&of, &member)
            }
        }
    }

    /// Counts a call, since parameters and variables that use each other twice double the work at each level.
    fn count(&self) -> Result<(), EvaluationError> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() > MAX_CALLS {
            return Err(EvaluationError::invalid(
                "The template language expressions are too many to be evaluated",
            ));
        }
        Ok(())
    }

    pub(crate) fn parameter_at(&self, name: &str, depth: Depth) -> Result<Value, EvaluationError> {
        let unknown = || {
            EvaluationError::invalid(format!(
                "The template parameter '{name}' is not found. Please see https://aka.ms/arm-syntax-parameters for usage details"
            ))
        };
        let declared = get(self.template, "parameters")
            .and_then(|all| get(all, name))
            .ok_or_else(unknown)?;
        let given = self.given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        match (given, get(declared, "defaultValue")) {
            (Some((_, value)), _) => Ok(value.clone()),
            (None, Some(default)) => self.at_depth(default, depth.used()?),
            (None, None) => Err(unknown()),
        }
    }

    pub(crate) fn variable(&self, name: &str, depth: Depth) -> Result<Value, EvaluationError> {
        let declared = get(self.template, "variables")
            .and_then(|all| get(all, name))
            .ok_or_else(|| {
                EvaluationError::invalid(format!(
                    "The template variable '{name}' is not found. Please see https://aka.ms/arm-syntax-variables for usage details"
                ))
            })?;
        self.at_depth(declared, depth.used()?)
    }

    fn gather(&self, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                if let Ok(Text::Expression(parsed)) = expression::read(text) {
                    self.gather_calls(&parsed, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.gather(item, found)),
            Value::Object(members) => members.values().for_each(|member| self.gather(member, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn gather_calls(&self, parsed: &Expression, found: &mut Vec<String>) {
        match parsed {
            Expression::Literal(_) => {}
            Expression::Member(of, member) => {
                self.gather_calls(of, found);
                self.gather_calls(member, found);
            }
            Expression::Call(name, arguments) => {
                if name.eq_ignore_ascii_case("reference")
                    && let Some(Ok(Value::String(resource))) =
                        arguments.first().map(|one| self.evaluate(one, Depth::default()))
                {
                    found.push(resource);
                }
                for one in arguments {
                    self.gather_calls(one, found);
                }
            }
        }
    }
}

fn check_size(value: &Value) -> Result<(), EvaluationError> {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    if size <= LONGEST_VALUE {
        return Ok(());
    }
    Err(EvaluationError::Invalid(format!(
        "The template language expression literal limit exceeded. Limit: '{LONGEST_VALUE}' and actual: '{size}'"
    )))
}

fn member_of(of: &Value, member: &Value) -> Result<Value, EvaluationError> {
    let missing = |what: String| Err(EvaluationError::Invalid(what));
    match (of, member) {
        (Value::Object(members), Value::String(name)) => get(of, name).cloned().map_or_else(
            || {
                let known: Vec<&str> = members.keys().map(String::as_str).collect();
                missing(format!(
                    "The language expression property '{name}' doesn't exist, available properties are '{}'",
                    known.join(", ")
                ))
            },
            Ok,
        ),
        (Value::Array(items), Value::Number(index)) => index
            .as_u64()
            .and_then(|index| items.get(usize::try_from(index).ok()?))
            .cloned()
            .map_or_else(
                || {
                    missing(format!(
                        "The language expression property array index '{index}' is out of bounds"
                    ))
                },
                Ok,
            ),
        _ => missing(format!(
            "The language expression property '{member}' cannot be evaluated on a value that is no object or array"
        )),
    }
}
