//! What an object can name: nothing of another namespace, but a session pool that lets it in.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::schema::{KINDS, Path, Step, is_of_form, schema, walk};
use crate::server::{admission, client, namespace, object};

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

/// What the API server says of a text of another form.
fn form(node: &Value) -> Option<&str> {
    let mut rules = node["x-kubernetes-validations"].as_array()?.iter();
    rules.find(|it| is_of_form(it))?["message"].as_str()
}

#[test]
fn every_reference_takes_only_names_that_objects_can_have() {
    let mut found = 0;
    for (kind, plural) in KINDS {
        for (path, name, node) in properties(plural) {
            if !is_reference(&name, &node) {
                continue;
            }
            for (member, begins) in [
                ("name", "must be the name of an object: "),
                ("namespace", "must be the name of a namespace: "),
                ("key", "must be a key: "),
            ] {
                let member = &node["properties"][member];
                let is_kept = form(member).is_some_and(|it| it.starts_with(begins));
                assert!(member.is_null() || is_kept, "{kind}: {path}: {member}");
            }
            found += 1;
        }
    }
    assert!(found > 20, "only {found} references were found: the walk is broken");
}

#[tokio::test]
async fn what_would_ask_the_api_server_for_something_else_is_no_name() {
    let client = client().await;
    let namespace = namespace("names");
    let job = |pool: Value, source: Value| {
        let env = json!([{"name": "A", "valueFrom": source}]);
        object(
            "CommandJob",
            "j",
            &json!({"target": {"sessionPoolRef": pool}, "script": "true", "env": env}),
        )
    };
    let key = |name: &str, key: &str| json!({"name": name, "key": key});
    let hostile = [
        "../../namespaces/a/secrets/x",
        "x/../y",
        "a%2fb",
        "a?limit=500",
        "a#b",
        "a b",
        "A",
        "a_b",
        "-a",
        "a-",
        ".",
        "..",
        "a..b",
        "ä",
    ];
    for name in hostile {
        for (what, job) in [
            (
                "a pool",
                job(json!({"name": name}), json!({"secretKeyRef": key("a", "k")})),
            ),
            (
                "a Secret",
                job(json!({"name": "p"}), json!({"secretKeyRef": key(name, "k")})),
            ),
            (
                "a ConfigMap",
                job(json!({"name": "p"}), json!({"configMapKeyRef": key(name, "k")})),
            ),
        ] {
            let refusal = admission(&client, &namespace, &job).await;
            let refusal = refusal.expect_err(&format!("{name} is taken for {what}"));
            assert!(refusal.contains("must be the name of an object"), "{name}: {refusal}");
        }
    }
    for name in hostile.into_iter().chain(["a.b"]) {
        let pool = json!({"name": "p", "namespace": name});
        let refusal = admission(&client, &namespace, &job(pool, json!({"secretKeyRef": key("a", "k")}))).await;
        let refusal = refusal.expect_err(&format!("{name} is taken for a namespace"));
        assert!(refusal.contains("must be the name of a namespace"), "{name}: {refusal}");
    }
    for bad in ["a/b", "a b", "a%b", "ä", "a\n"] {
        let refusal = admission(
            &client,
            &namespace,
            &job(json!({"name": "p"}), json!({"secretKeyRef": key("a", bad)})),
        )
        .await;
        let refusal = refusal.expect_err(&format!("{bad:?} is taken for a key"));
        assert!(refusal.contains("must be a key"), "{bad:?}: {refusal}");
    }
    let pool = json!({"name": "a.b-c.0", "namespace": "a-b"});
    admission(
        &client,
        &namespace,
        &job(pool, json!({"secretKeyRef": key("a.b", "TLS_a-b.crt")})),
    )
    .await
    .expect("proper names are taken");
}

fn property(step: &Step) -> Option<String> {
    match step {
        Step::Property(name) => Some(name.clone()),
        Step::Items | Step::Values => None,
    }
}
