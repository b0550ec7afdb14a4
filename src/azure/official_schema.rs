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
