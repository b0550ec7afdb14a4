//! The variables and arguments of a command, expanded as in Pods and counted against what Linux takes.

use std::cell::OnceCell;
use std::collections::HashMap;

use bytes::Bytes;

use super::expansion::expand;
use super::sources::Values;
use crate::api::environment::EnvironmentVariable;
use crate::controller::command_job::budget::{ExecBudget, OverBudget};
use crate::controller::command_job::runner::EnvVar;

/// The environment in the order of the spec; a value may refer to variables before it, as in Pods.
pub fn environment(
    variables: &[EnvironmentVariable],
    values: &Values,
    budget: &mut ExecBudget,
) -> Result<Vec<EnvVar>, OverBudget> {
    let made: Vec<OnceCell<Bytes>> = variables.iter().map(|_| OnceCell::new()).collect();
    let mut earlier: HashMap<&str, &str> = HashMap::new();
    for (variable, made) in variables.iter().zip(&made) {
        let name = &variable.name;
        let (most, is_whole) = budget.next();
        let kind = if is_whole {
            OverBudget::Environment
        } else {
            OverBudget::Variable
        };
        let over = || kind(name.clone());
        let most = most.checked_sub(name.len() + 1).ok_or_else(over)?;
        let value = match (&variable.value, values.get(name)) {
            (Some(text), _) => expand(text, |name| earlier.get(name).copied(), most).map(Bytes::from),
            (None, Some((value, _))) => Some(value.clone()).filter(|it| it.len() <= most),
            (None, None) => continue,
        };
        let value = value.ok_or_else(over)?;
        budget.take(name.len() + 1 + value.len());
        // What is no text cannot be referred to. Each value is looked at once, however often it is.
        match str::from_utf8(made.get_or_init(|| value)) {
            Ok(text) => earlier.insert(name, text),
            Err(_) => earlier.remove(name.as_str()),
        };
    }
    let made = variables.iter().zip(made);
    let made = made.filter_map(|(variable, value)| Some((variable.name.clone(), value.into_inner()?)));
    Ok(made.map(|(name, value)| EnvVar { name, value }).collect())
}

/// The words of a command; each may refer to any variable.
pub fn arguments<'a>(
    words: impl Iterator<Item = &'a String>,
    env: &[EnvVar],
    budget: &mut ExecBudget,
) -> Result<Vec<String>, OverBudget> {
    let texts: HashMap<&str, Option<&str>> = env
        .iter()
        .map(|it| (it.name.as_str(), str::from_utf8(&it.value).ok()))
        .collect();
    let word = |(index, word): (usize, &String)| {
        let (most, is_whole) = budget.next();
        let expanded = expand(word, |name| texts.get(name).copied().flatten(), most);
        let over = if is_whole {
            OverBudget::Arguments
        } else {
            OverBudget::Argument
        };
        let expanded = expanded.ok_or_else(|| over(index))?;
        budget.take(expanded.len());
        Ok(expanded)
    };
    words.enumerate().map(word).collect()
}
