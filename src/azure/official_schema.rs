//! Microsoft's JSON schemas of the resources, which bodies are tried against in tests.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a body does not say as the official schema of its type and version has it; `None` where the schemas are not.
///
/// `pointer` names the type in the schema's file, such as `/resourceDefinitions/sessionPools`. A body has no name, which is
/// in the path of its request; one that is given is tried too.
pub fn violations(version: &str, resource_type: &str, pointer: &str, body: &Value) -> Option<Vec<String>> {
    let folder = folder()?;
    let mut resource = body.clone();
    if resource.get("name").is_none() {
        resource["name"] = "name".into();
    }
    resource["type"] = resource_type.into();
    resource["apiVersion"] = version.into();
    let provider = resource_type.split('/').next().expect("a provider");
    let validator = validator(&folder, version, &format!("{provider}.json"), pointer);
    let errors = validator.iter_errors(&resource);
    Some(
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect(),
    )
}

/// Where a definition of ours allows less than the definition at `pointer` of a file of the official schemas: a line for each
/// bound of ours, of the properties that both have. `None` where the schemas are not.
///
/// The official schemas have many bounds of numbers only in the texts of the properties.
pub fn narrower(file: &str, pointer: &str, ours: &Value) -> Option<Vec<String>> {
    let document = read(&folder()?.join(file));
    let theirs = document.pointer(pointer).expect("a definition");
    let mut found = Vec::new();
    compare_bounds(&document, theirs, ours, "", &mut found);
    Some(found)
}

fn compare_bounds(document: &Value, theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    let (theirs, text) = resolved(document, theirs);
    let values = |schema: &Value| schema["enum"].as_array().cloned().unwrap_or_default();
    if ours["enum"].is_array() {
        let missing = values(theirs).into_iter().filter(|it| !values(ours).contains(it));
        found.extend(missing.map(|it| format!("{path}: not {}", it.as_str().unwrap_or_default())));
    }
    let said = |words: &str| {
        let (_, rest) = text.split_once(words)?;
        rest.split(['.', ' ']).next()?.parse::<f64>().ok()
    };
    let (least, most) = (said("Minimum value is "), said("Maximum value is "));
    let least = least.or(text.contains("non-negative").then_some(0.0));
    if let Some(number) = ours["minimum"].as_f64()
        && least.is_none_or(|least| number > least)
    {
        found.push(format!("{path}: at least {number}"));
    }
    if let Some(number) = ours["maximum"].as_f64()
        && most.is_none_or(|most| number < most)
    {
        found.push(format!("{path}: at most {number}"));
    }
    // Of lengths and counts the official schemas of these types have none but those of names.
    for bound in ["minLength", "maxLength", "minItems", "maxItems", "maxProperties"] {
        if ours[bound].is_u64() && ours[bound] != theirs[bound] {
            found.push(format!("{path}: {bound} {}", ours[bound]));
        }
    }
    let rules = ours["x-kubernetes-validations"].as_array().into_iter().flatten();
    if rules
        .filter_map(|it| it["rule"].as_str())
        .any(|it| it.starts_with("self.matches(r"))
    {
        found.push(format!("{path}: of a form"));
    }
    let names = |schema: &Value| schema["required"].as_array().cloned().unwrap_or_default();
    for (name, property) in ours["properties"].as_object().into_iter().flatten() {
        let Some(their) = theirs["properties"].get(name) else {
            continue;
        };
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_required = |schema: &Value| names(schema).iter().any(|it| it == name);
        if is_required(ours) && !is_required(theirs) {
            found.push(format!("{path}: required"));
        }
        compare_bounds(document, their, property, &path, found);
    }
    if ours["items"].is_object() && theirs["items"].is_object() {
        compare_bounds(document, &theirs["items"], &ours["items"], &format!("{path}[]"), found);
    }
}

/// The schema behind a reference, or of a value that is no expression of a template; and the text of the property.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> (&'a Value, &'a str) {
    let (mut at, mut text) = (schema, schema["description"].as_str());
    loop {
        let next = match (at["oneOf"].get(0), at["$ref"].as_str()) {
            (Some(first), _) => first,
            (None, Some(reference)) => {
                let pointer = reference.strip_prefix('#').expect("a reference within the file");
                document.pointer(pointer).expect("a definition")
            }
            (None, None) => return (at, text.unwrap_or_default()),
        };
        at = next;
        text = text.or(at["description"].as_str());
    }
}

/// The folder of the schemas, which `AZURE_SCHEMAS` names.
fn folder() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/azure-schemas");
    let folder = std::env::var_os("AZURE_SCHEMAS").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "left out: there is no folder of Azure's schemas at {}",
            folder.display()
        );
    }
    None
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a schema")).expect("JSON")
}

/// The schema of one resource type, made self-contained.
fn validator(folder: &Path, version: &str, file: &str, pointer: &str) -> jsonschema::Validator {
    let document = read(&folder.join(version).join(file));
    let mut schema = document.pointer(pointer).expect("a resource type").clone();
    schema["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    schema["definitions"] = document["definitions"].clone();
    for (owner, member) in [
        ("SessionContainerResources", "cpu"),
        ("ContainerResources", "cpu"),
        ("ResourceRequests", "cpu"),
        ("ResourceRequests", "memoryInGB"),
    ] {
        let kind = format!("/definitions/{owner}/properties/{member}/oneOf/0/type");
        if let Some(kind) = schema.pointer_mut(&kind) {
            // The generated schema has lost the fraction: the specification's type is a double, and 0.5 is what pages show.
            *kind = "number".into();
        }
    }
    let kinds = "/definitions/SessionPoolProperties/properties/containerType/oneOf/0/enum";
    if let Some(Value::Array(kinds)) = schema.pointer_mut(kinds)
        && version == "2025-10-02-preview"
    {
        // The generated schema lacks a type that the specification of the same version lists.
        kinds.push("GpuBase".into());
    }
    let common = read(&folder.join("common/definitions.json"));
    let url = "https://schema.management.azure.com/schemas/common/definitions.json";
    let registry = jsonschema::Registry::new()
        .add(url, common)
        .expect("a schema")
        .prepare()
        .expect("schemas without missing references");
    jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .expect("a valid schema")
}
