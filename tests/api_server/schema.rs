//! Reads the committed definitions: what they demand, and where.

use std::fmt;

use serde_json::Value;

use crate::server::repository;

/// The plurals of the kinds, which are the names of the files.
pub const KINDS: [(&str, &str); 7] = [
    ("AzureAccount", "azureaccounts"),
    ("ResourceGroup", "resourcegroups"),
    ("SessionPool", "sessionpools"),
    ("ManagedIdentity", "managedidentities"),
    ("RoleAssignment", "roleassignments"),
    ("IdentityAssignment", "identityassignments"),
    ("CommandJob", "commandjobs"),
];

/// The schema of a kind, `spec` and `status` included.
pub fn schema(plural: &str) -> Value {
    let definition = definition(plural);
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The definition of a kind as it is committed.
pub fn definition(plural: &str) -> Value {
    let path = repository(&format!("crds/{plural}.yaml"));
    let text = std::fs::read_to_string(&path).expect("a committed definition");
    serde_saphyr::from_str(&text).expect("valid YAML")
}

/// One step from an object to a property of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A property.
    Property(String),
    /// The items of a list.
    Items,
    /// The values of a map.
    Values,
}

/// Where something is: `spec.env[].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The path with one more step.
    pub fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The path as the API server prints it: the item with this index in the innermost list, the first of outer ones.
    pub fn with_index(&self, index: usize) -> String {
        let path = self.to_string();
        match path.rsplit_once("[]") {
            None => path,
            Some((before, after)) => format!("{}[{index}]{after}", before.replace("[]", "[0]")),
        }
    }

    /// The value there, of the first item of lists that has one; and that item's index.
    pub fn find<'a>(&self, object: &'a mut Value) -> Option<(usize, &'a mut Value)> {
        let candidates = if self.0.contains(&Step::Items) { 0..16 } else { 0..1 };
        // Borrowing the same value again in a loop needs a look first and a second walk.
        let index = candidates.into_iter().find(|&index| self.at(index, object).is_some())?;
        Some((index, self.at(index, object)?))
    }

    fn at<'a>(&self, index: usize, object: &'a mut Value) -> Option<&'a mut Value> {
        // Only the innermost list is searched; outer ones have their first item looked at.
        let lists = self.0.iter().filter(|it| **it == Step::Items).count();
        let mut seen = 0;
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Property(name) => value.get_mut(name),
            Step::Items => {
                seen += 1;
                value.get_mut(if seen == lists { index } else { 0 })
            }
            Step::Values => value.as_object_mut()?.values_mut().next(),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Property(name) if position == 0 => f.write_str(name)?,
                Step::Property(name) => write!(f, ".{name}")?,
                Step::Items => f.write_str("[]")?,
                Step::Values => f.write_str("{}")?,
            }
        }
        Ok(())
    }
}

/// Calls `visit` with each node below `schema` that an object may have, and where it is.
pub fn walk(path: &Path, schema: &Value, visit: &mut impl FnMut(&Path, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if !is_refused(property) {
            walk(&path.then(Step::Property(name.clone())), property, visit);
        }
    }
    if schema["items"].is_object() {
        walk(&path.then(Step::Items), &schema["items"], visit);
    }
    if schema["additionalProperties"].is_object() {
        walk(&path.then(Step::Values), &schema["additionalProperties"], visit);
    }
}

/// Whether a property is declared only to be refused: the known other spelling of another one.
pub fn is_refused(property: &Value) -> bool {
    property["x-kubernetes-validations"][0]["rule"] == "false"
}

/// Whether a rule says which form a text must have, and nothing else.
pub fn is_of_form(rule: &Value) -> bool {
    let text = rule["rule"].as_str().unwrap_or_default();
    text.starts_with("self.matches(r") && !text.contains(" && ")
}

/// The path `spec`.
pub fn spec() -> Path {
    Path::default().then(Step::Property("spec".into()))
}
