//! How the types become the schemas of the definitions: what the API server checks, and what `kubectl explain` shows.
//!
//! The schemas that schemars makes of the types say less than the types do. A property whose type is an optional enum has
//! the text of the enum instead of its own, no enum says what its values mean, a text that breaks a pattern is answered
//! with the regular expression, and everything optional may be `null`, which nothing in Kubernetes' own types may be.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::core::schema::StructuralSchemaRewriter;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::form;

/// The structural schema of a kind. Every property has its own text and default, every value of an enum is explained in
/// the text of the property that has it, and nothing may be `null`.
///
/// Panics if a pattern has no words in [`form`], which every test of the definitions would show.
pub(super) fn structural<K: JsonSchema>() -> JSONSchemaProps {
    let mut settings = SchemaSettings::openapi3().with_transform(StructuralSchemaRewriter);
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.transforms.insert(0, Box::new(Explained));
    let schema = settings.into_generator().into_root_schema_for::<K>();
    serde_json::from_value(schema.to_value())
        .expect("invariant: a structural schema has only what a definition may have")
}

/// Makes of schemars' schema one that says what the types say.
#[derive(Clone, Debug)]
struct Explained;

impl Transform for Explained {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(node) = schema.as_object_mut() {
            forbid_null(node);
            if let Some(Value::String(text)) = node.get_mut("description") {
                *text = unfolded(text);
            }
            explain_values(node);
            say_pattern_in_words(node);
        }
        transform_subschemas(self, schema);
    }
}

/// What is optional is absent and never `null`. What the property says itself (its text, its default) stays, before what
/// its type says.
fn forbid_null(node: &mut Map<String, Value>) {
    let is_null = |it: &Value| it["type"] == "null";
    let is_optional = |it: &[Value]| it.len() == 2 && it.iter().any(is_null);
    if node
        .get("anyOf")
        .and_then(|it| it.as_array())
        .is_some_and(|it| is_optional(it))
        && let Some(Value::Array(alternatives)) = node.remove("anyOf")
        && let Some(Value::Object(of_the_type)) = alternatives.into_iter().find(|it| !is_null(it))
    {
        for (name, value) in of_the_type {
            node.entry(name).or_insert(value);
        }
    }
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            node.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(values)) = node.get_mut("enum") {
        values.retain(|it| !it.is_null());
    }
}

/// Appends what each value of an enum means to the text of the property, as Kubernetes' own documentation has it.
fn explain_values(node: &mut Map<String, Value>) {
    let variants = node.get("oneOf").and_then(|it| it.as_array());
    let of = |it: &Value| {
        let text = it["description"].as_str().unwrap_or_default();
        Some((it["const"].as_str()?.to_owned(), unfolded(text)))
    };
    let Some(values): Option<Vec<_>> = variants.and_then(|it| it.iter().map(of).collect()) else {
        return;
    };
    node.remove("oneOf");
    let own = node.get("description").and_then(|it| it.as_str()).unwrap_or_default();
    let lines: Vec<_> = values
        .iter()
        .map(|(value, text)| format!(" - `{value}`: {text}"))
        .collect();
    let text = format!("{own}\n\nPossible enum values:\n{}", lines.join("\n"));
    node.insert("description".to_owned(), json!(text));
    node.insert("type".to_owned(), json!("string"));
    let values: Vec<_> = values.into_iter().map(|(value, _)| value).collect();
    node.insert("enum".to_owned(), json!(values));
}

/// Turns a pattern into a rule that says what is allowed.
fn say_pattern_in_words(node: &mut Map<String, Value>) {
    let Some(Value::String(pattern)) = node.remove("pattern") else {
        return;
    };
    let words = form::in_words(&pattern).unwrap_or_else(|| panic!("the pattern {pattern} has no words in form.rs"));
    let quote = if pattern.contains('\'') { '"' } else { '\'' };
    let rule = json!({"rule": format!("self.matches(r{quote}{pattern}{quote})"), "message": words});
    match node.get_mut("x-kubernetes-validations") {
        Some(Value::Array(rules)) => rules.insert(0, rule),
        _ => drop(node.insert("x-kubernetes-validations".to_owned(), json!([rule]))),
    }
}

/// The text with each paragraph in one line: where a comment breaks its lines means nothing to whoever reads the schema.
fn unfolded(text: &str) -> String {
    let paragraphs = text.split("\n\n");
    let paragraphs = paragraphs.map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}
