//! The examples are accepted by the API server as they stand.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::{KINDS, Path, spec, walk};
use crate::server::{namespace, repository, server};

/// The objects of one of our kinds in `examples/kinds/`.
pub fn of_kind(kind: &str) -> Vec<Value> {
    let path = repository(&format!("examples/kinds/{}.yaml", kind.to_lowercase()));
    let text = std::fs::read_to_string(&path).expect("each kind has a file of examples");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("valid YAML");
    documents.into_iter().filter(|it| it["kind"] == kind).collect()
}

/// Applies each file of a folder, in that order but beginning with another one each time, and then the folder.
fn applied_in_any_order(example: &str) {
    let folder = repository("examples").join(example);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a folder")
        .map(|it| it.expect("an entry").path())
        .collect();
    files.sort();
    assert!(
        files.iter().all(|it| it.extension().is_some_and(|it| it == "yaml")),
        "{files:?}"
    );
    for first in 0..files.len() {
        let namespace = namespace(&format!("{example}-{first}"));
        for offset in 0..files.len() {
            let file = &files[(first + offset) % files.len()];
            let arguments = ["apply", "--namespace", &namespace, "-f", &file.to_string_lossy()];
            server().kubectl().run(&arguments).expect("the file is accepted");
        }
        let arguments = ["apply", "--namespace", &namespace, "-f", &folder.to_string_lossy()];
        let again = server().kubectl().run(&arguments).expect("the folder is accepted");
        assert!(
            again
                .lines()
                // `stringData` is never read back, so kubectl calls every Secret with it configured.
                .filter(|line| !line.starts_with("secret/"))
                .all(|line| line.ends_with("unchanged")),
            "applying it again changes something, so GitOps tools would never rest:\n{again}"
        );
    }
}

#[test]
fn the_quickstart_is_applied_in_any_order() {
    applied_in_any_order("quickstart");
}

#[test]
fn the_tutorial_is_applied_in_any_order() {
    applied_in_any_order("tutorial");
}

#[test]
fn the_managed_identities_are_applied_in_any_order() {
    applied_in_any_order("managed-identities");
}

#[test]
fn the_quota_is_applied_as_it_stands_and_bounds_every_kind() {
    applied_in_any_order("quota");
    let namespace = namespace("full");
    let kubectl = server().kubectl();
    let file = repository("examples/quota/quota.yaml");
    let arguments = ["apply", "--namespace", &namespace, "-f", &file.to_string_lossy()];
    kubectl.run(&arguments).expect("the file is accepted");
    // No controller counts on this control plane: it is said that the namespace has all that it may have.
    let quota = kubectl
        .get(&["resourcequota", "lifeguard", "--namespace", &namespace])
        .expect("the quota");
    let hard = &quota["spec"]["hard"];
    let patch = serde_json::json!({"status": {"hard": hard, "used": hard}}).to_string();
    let quota = ["patch", "resourcequota", "lifeguard", "--namespace", &namespace];
    let more = ["--subresource=status", "--type=merge", "--patch", &patch];
    kubectl.run(&[&quota[..], &more].concat()).expect("patched");
    for (kind, plural) in KINDS {
        let mut object = of_kind(kind).swap_remove(0);
        object["metadata"]["namespace"] = namespace.as_str().into();
        let refusal = || {
            let created = kubectl.run_with_input(&["create", "--dry-run=server", "-f", "-"], &object.to_string());
            created.err().map(|it| it.to_string())
        };
        // The server sees a quota a moment later.
        let refusal = (0..300).find_map(|_| {
            let refusal = refusal();
            if refusal.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            refusal
        });
        let refusal = refusal.unwrap_or_else(|| panic!("{kind} is not bounded"));
        let words = format!("count/{plural}.lifeguard.dev");
        assert!(
            refusal.contains("exceeded quota") && refusal.contains(&words),
            "{refusal}"
        );
    }
}

#[test]
fn every_example_is_applied_as_it_stands_and_applied_again_changes_nothing() {
    let namespace = namespace("examples");
    let folder = repository("examples/kinds");
    let arguments = ["apply", "--namespace", &namespace, "-f", &folder.to_string_lossy()];
    server().kubectl().run(&arguments).expect("the examples are accepted");
    let again = server().kubectl().run(&arguments).expect("the examples are accepted");
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");
}

#[test]
fn every_field_of_every_spec_is_in_an_example() {
    let mut missing = BTreeSet::new();
    for (kind, plural) in KINDS {
        let mut examples = of_kind(kind);
        walk(
            &spec(),
            &crate::schema::schema(plural)["properties"]["spec"],
            &mut |path: &Path, _| {
                if examples.iter_mut().all(|it| path.find(it).is_none()) {
                    missing.insert(format!("{kind}.{path}"));
                }
            },
        );
    }
    assert!(missing.is_empty(), "in no example below examples/kinds: {missing:#?}");
}
