//! The CustomResourceDefinitions, made from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation, JSON,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;
use serde_json::json;

use super::{
    AzureAccount, CommandJob, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool, schema,
    spelling,
};

/// The definition of every kind, ready to be applied.
///
/// `status` has the default `{observedGeneration: -1}`, so that a fresh object never reads as done: kstatus compares
/// `observedGeneration` with `metadata.generation`, and an absent one would pass. The derive macro cannot say that.
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<AzureAccount>(),
        definition::<ResourceGroup>(),
        definition::<SessionPool>(),
        definition::<ManagedIdentity>(),
        definition::<RoleAssignment>(),
        definition::<IdentityAssignment>(),
        definition::<CommandJob>(),
    ]
}

fn definition<K: CustomResourceExt + JsonSchema>() -> CustomResourceDefinition {
    let mut crd = K::crd();
    let mut root = schema::structural::<K>();
    let properties = root.properties.as_mut().expect("invariant: a kind has properties");
    let spec = properties.get_mut("spec").expect("invariant: every kind has a spec");
    spelling::refuse_others(&crd.spec.names.kind, spec);
    // What the derive macro writes there is about Rust; `kubectl explain` shows this line first.
    root.description.clone_from(&spec.description);
    let status = properties
        .get_mut("status")
        .expect("invariant: every kind has a status");
    status.default = Some(JSON(json!({"observedGeneration": -1})));
    let [version] = crd.spec.versions.as_mut_slice() else {
        unreachable!("invariant: the derive macro makes one version");
    };
    version.schema = Some(CustomResourceValidation {
        open_api_v3_schema: Some(root),
    });
    crd
}

/// A definition as the YAML that is committed below `crds/`.
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(crd).expect("invariant: a definition is plain data")
}

/// The schema of a kind's `spec`.
#[cfg(test)]
pub(crate) fn spec_schema(kind: &str) -> serde_json::Value {
    let definitions = custom_resource_definitions();
    let of_kind = definitions.iter().find(|it| it.spec.names.kind == kind);
    let definition = serde_json::to_value(of_kind.expect("a kind")).expect("plain data");
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

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

    /// Calls `visit` with every node below `spec` and `status` of every kind, and with its path.
    fn every_node(mut visit: impl FnMut(&str, &Value)) {
        fn walk(path: &str, node: &Value, visit: &mut impl FnMut(&str, &Value)) {
            visit(path, node);
            for (name, property) in node["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}.{name}"), property, visit);
            }
            for (inner, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
                if node[inner].is_object() {
                    walk(&format!("{path}{suffix}"), &node[inner], visit);
                }
            }
        }
        for crd in custom_resource_definitions() {
            let kind = &crd.spec.names.kind;
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("plain data");
            for part in ["spec", "status"] {
                let node = &schema["openAPIV3Schema"]["properties"][part];
                walk(&format!("{kind}.{part}"), node, &mut visit);
            }
        }
    }

    fn text(node: &Value) -> &str {
        node["description"].as_str().unwrap_or_default()
    }

    /// The texts of the types in the sources of this module.
    fn texts_of_types() -> BTreeSet<String> {
        fn of_folder(folder: &Path, texts: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    of_folder(&path, texts);
                    continue;
                }
                let mut text = Vec::new();
                for line in std::fs::read_to_string(&path).expect("a source").lines() {
                    if let Some(comment) = line.strip_prefix("/// ") {
                        text.push(comment.to_owned());
                    } else if line.starts_with("pub struct") || line.starts_with("pub enum") {
                        texts.insert(std::mem::take(&mut text).join(" "));
                    } else if line.is_empty() {
                        text.clear();
                    }
                }
            }
        }
        let mut texts = BTreeSet::new();
        of_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api"), &mut texts);
        assert!(texts.len() > 50, "the sources are read: {texts:?}");
        texts
    }

    #[test]
    fn every_field_is_described_and_spelled_as_azure_spells_it() {
        let mut found = Vec::new();
        every_node(|path, node| {
            for (name, property) in node["properties"].as_object().into_iter().flatten() {
                let is_refused = property["x-kubernetes-validations"][0]["rule"] == "false";
                if (name.contains("ID") || name.contains("URI")) && !is_refused {
                    found.push(format!("{path}.{name}: write Id and Uri"));
                }
                if text(property).len() < 4 {
                    found.push(format!("{path}.{name}: no description"));
                }
            }
        });
        for crd in custom_resource_definitions() {
            let schema = crd.spec.versions[0].schema.clone().and_then(|it| it.open_api_v3_schema);
            let description = schema.and_then(|it| it.description).unwrap_or_default();
            if description.len() < 40 {
                found.push(crd.spec.names.kind);
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn the_text_of_a_field_is_its_own_and_never_that_of_its_type() {
        let types = texts_of_types();
        every_node(|path, node| {
            for (name, property) in node["properties"].as_object().into_iter().flatten() {
                let own = text(property).split("\n\n").next().unwrap_or_default();
                assert!(
                    !types.contains(own),
                    "{path}.{name} has only the text of its type: {own}"
                );
            }
        });
    }

    #[test]
    fn every_value_of_an_enum_is_explained_where_it_may_be_written() {
        let mut seen = 0;
        every_node(|path, node| {
            for value in node["enum"].as_array().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                let mut lines = text(node).lines();
                let explained = lines.find_map(|it| it.strip_prefix(&format!(" - `{value}`: ")));
                assert!(
                    explained.is_some_and(|it| it.len() > 4),
                    "{path}: {value} is not explained"
                );
                seen += 1;
            }
        });
        assert!(
            seen > 60,
            "only {seen} values were found, so the walk through the schemas is wrong"
        );
    }

    /// `kubectl explain` does not show defaults.
    #[test]
    fn the_default_of_a_field_is_in_its_text() {
        every_node(|path, node| {
            let default = match &node["default"] {
                Value::Null | Value::Object(_) | Value::Array(_) => return,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let own = text(node).split("\n\n").next().unwrap_or_default();
            let is_said = own.contains("efault") && own.contains(&default);
            assert!(is_said, "{path}: {default} is not in: {own}");
        });
    }

    #[test]
    fn nothing_may_be_null() {
        every_node(|path, node| {
            assert!(node.get("nullable").is_none(), "{path} is nullable");
            let is_listed = node["enum"].as_array().is_some_and(|it| it.contains(&Value::Null));
            assert!(!is_listed, "{path} has null among its values");
        });
    }

    #[test]
    fn whoever_breaks_a_rule_reads_what_is_allowed_and_no_regular_expression() {
        every_node(|path, node| {
            assert!(
                node.get("pattern").is_none(),
                "{path}: a pattern is answered with itself"
            );
            for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(
                    message.len() > 8 && !message.contains(['^', '[', '\\']),
                    "{path}: {message}"
                );
            }
        });
    }

    #[test]
    fn named_items_are_merged_by_name_and_references_are_replaced_as_a_whole() {
        // A header may be sent more than once; drift is written as a whole, by one writer.
        let exempt = ["httpHeaders", "drift"];
        every_node(|path, node| {
            let name = path.rsplit('.').next().unwrap_or_default();
            let required = node["items"]["required"].as_array().into_iter().flatten();
            let keys: BTreeSet<_> = required.filter_map(Value::as_str).collect();
            let is_keyed = ["name", "type", "number", "path"].iter().any(|it| keys.contains(it));
            if is_keyed && !exempt.contains(&name) {
                assert_eq!(node["x-kubernetes-list-type"], "map", "{path}");
            }
            let is_reference = name.ends_with("Ref") || name == "configMap" || name == "selector";
            if is_reference && node["type"] == "object" {
                assert_eq!(node["x-kubernetes-map-type"], "atomic", "{path}");
            }
        });
    }
}
