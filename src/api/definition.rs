//! The CustomResourceDefinitions, made from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;

use super::{
    AzureAccount, CommandJob, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool,
};

/// The definition of every kind, ready to be applied.
///
/// `status` has the default `{observedGeneration: -1}`, so that a fresh object never reads as done: kstatus compares
/// `observedGeneration` with `metadata.generation`, and an absent one would pass. The derive macro cannot say that.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    [
        AzureAccount::crd(),
        ResourceGroup::crd(),
        SessionPool::crd(),
        ManagedIdentity::crd(),
        RoleAssignment::crd(),
        IdentityAssignment::crd(),
        CommandJob::crd(),
    ]
    .into_iter()
    .map(complete)
    .collect()
}

fn complete(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let root = version
            .schema
            .as_mut()
            .and_then(|it| it.open_api_v3_schema.as_mut())
            .expect("invariant: every version has a schema");
        let properties = root.properties.as_mut().expect("invariant: a schema has properties");
        // What the derive macro writes there is about Rust; `kubectl explain` shows this line first.
        root.description = properties.get("spec").and_then(|it| it.description.clone());
        let status = properties
            .get_mut("status")
            .expect("invariant: every kind has a status");
        status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    }
    crd
}

/// A definition as the YAML that is committed below `crds/`.
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(crd).expect("invariant: a definition is plain data")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `make crds` runs this test with `UPDATE_CRDS=1`, which writes the files instead of comparing them.
    #[test]
    fn the_committed_definitions_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        for crd in custom_resource_definitions() {
            let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
            let expected = to_yaml(&crd);
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::write(&path, &expected).expect("crds/ can be written");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == expected,
                "{} is out of date: run `make crds`",
                path.display()
            );
        }
    }

    #[test]
    fn every_field_is_described_and_spelled_as_azure_spells_it() {
        fn walk(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
            if let Some(properties) = schema.get("properties").and_then(|it| it.as_object()) {
                for (name, property) in properties {
                    let path = format!("{path}.{name}");
                    if name.contains("ID") || name.contains("URI") {
                        found.push(format!("{path}: write Id and Uri"));
                    }
                    if property
                        .get("description")
                        .and_then(|it| it.as_str())
                        .is_none_or(|it| it.len() < 4)
                    {
                        found.push(format!("{path}: no description"));
                    }
                    walk(&path, property, found);
                }
            }
            for inner in ["items", "additionalProperties"] {
                if let Some(inner) = schema.get(inner) {
                    walk(path, inner, found);
                }
            }
        }
        let mut found = Vec::new();
        for crd in custom_resource_definitions() {
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("plain data");
            let schema = &schema["openAPIV3Schema"];
            assert!(
                schema["description"].as_str().is_some_and(|it| it.len() > 40),
                "{}",
                crd.spec.names.kind
            );
            for part in ["spec", "status"] {
                walk(
                    &format!("{}.{part}", crd.spec.names.kind),
                    &schema["properties"][part],
                    &mut found,
                );
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}
