//! What an object can name: nothing of another namespace, but a session pool that lets it in.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::{KINDS, Path, Step, schema, walk};

/// The only reference that may leave its namespace.
const CROSSING: [&str; 1] = ["sessionPoolRef"];

/// Every property of a kind's spec, with its schema.
fn properties(plural: &str) -> Vec<(Path, String, Value)> {
    let mut found = Vec::new();
    let spec = Path(vec![Step::Property("spec".to_owned())]);
    walk(&spec, &schema(plural)["properties"]["spec"], &mut |path, node| {
        if let Some(Step::Property(name)) = path.0.last() {
            found.push((path.clone(), name.clone(), node.clone()));
        }
    });
    found
}

fn is_reference(name: &str, node: &Value) -> bool {
    let names_an_object = node["properties"]["name"].is_object();
    names_an_object && (name.ends_with("Ref") || name == "configMap" || name == "secret")
}

#[test]
fn no_reference_of_any_kind_leaves_its_namespace_but_that_to_a_session_pool() {
    let mut crossing = BTreeSet::new();
    let mut local = 0;
    for (kind, plural) in KINDS {
        for (path, name, node) in properties(plural) {
            let has_namespace = node["properties"]["namespace"].is_object();
            if has_namespace {
                assert!(
                    CROSSING.contains(&name.as_str()),
                    "{kind}: {path} may name another namespace"
                );
                crossing.insert(name.clone());
            }
            local += usize::from(is_reference(&name, &node) && !has_namespace);
        }
    }
    assert_eq!(crossing.into_iter().collect::<Vec<_>>(), CROSSING);
    assert!(local > 20, "only {local} references were found: the walk is broken");
}

#[test]
fn no_property_holds_a_namespace_outside_of_such_a_reference() {
    for (kind, plural) in KINDS {
        for (path, name, _) in properties(plural) {
            let steps: Vec<String> = path.0.iter().filter_map(property).collect();
            let holder = steps.iter().rev().nth(1).map(String::as_str).unwrap_or_default();
            assert!(
                !name.to_lowercase().ends_with("namespace") || CROSSING.contains(&holder),
                "{kind}: {path} names a namespace"
            );
        }
    }
}

#[test]
fn references_have_bounded_names_and_nothing_else_that_points_somewhere() {
    for (kind, plural) in KINDS {
        for (path, name, node) in properties(plural) {
            if !is_reference(&name, &node) {
                continue;
            }
            let members: BTreeSet<&str> = node["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(it, _)| it.as_str())
                .collect();
            let known = BTreeSet::from(["name", "namespace", "key", "optional"]);
            assert!(members.is_subset(&known), "{kind}: {path} has {members:?}");
            assert!(node["properties"]["name"]["maxLength"].is_number(), "{kind}: {path}");
        }
    }
}

fn property(step: &Step) -> Option<String> {
    match step {
        Step::Property(name) => Some(name.clone()),
        Step::Items | Step::Values => None,
    }
}
