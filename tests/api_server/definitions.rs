//! The definitions as the server has them after the chart was installed.

use std::path::Path;

use lifeguard_local::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::schema::{KINDS, definition};
use crate::server::{chart, repository, server};

#[test]
fn the_chart_brings_the_definitions_of_crds_byte_for_byte() {
    let names = |folder: &std::path::Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<_> = entries.flatten().map(|it| it.file_name()).collect();
        names.sort();
        names
    };
    let (originals, copies) = (repository("crds"), chart().join("files/crds"));
    assert_eq!(names(&originals), names(&copies), "run `make crds`");
    for name in names(&originals) {
        let [original, copy] = [originals.join(&name), copies.join(&name)].map(|it| std::fs::read(it).expect("a file"));
        assert!(
            original == copy,
            "{} in the chart is out of date: run `make crds`",
            name.display()
        );
    }
}

#[test]
fn every_definition_is_established_and_stays_when_the_chart_is_uninstalled() {
    for (_, plural) in KINDS {
        let installed = server()
            .kubectl()
            .get(&["crd", &format!("{plural}.lifeguard.dev")])
            .expect("the definition is installed");
        assert_eq!(installed["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        let conditions = installed["status"]["conditions"].as_array().expect("conditions");
        let is_true = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
        assert!(is_true("Established") && is_true("NamesAccepted"), "{conditions:#?}");
        // Present only when something is wrong, such as a schema that is not structural.
        assert!(
            !is_true("NonStructuralSchema") && !is_true("Terminating"),
            "{conditions:#?}"
        );
        let of = |it: &Value| it["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        assert_eq!(
            as_numbers(of(&installed)),
            as_numbers(of(&definition(plural))),
            "{plural}"
        );
    }
}

#[test]
fn an_upgrade_of_the_chart_brings_new_definitions_and_uninstalling_it_keeps_them() {
    // A cluster of its own: the other tests need the chart.
    let cluster = ControlPlane::start(&Options::default()).expect("the control plane starts");
    let name = "commandjobs.lifeguard.dev";
    let short_names = || {
        let installed = cluster
            .kubectl()
            .get(&["crd", name])
            .expect("the definition is installed");
        installed["spec"]["names"]["shortNames"].clone()
    };

    let older = tempfile::tempdir().expect("a folder");
    copy(&chart(), older.path());
    let file = older.path().join("files/crds/commandjobs.yaml");
    let text = std::fs::read_to_string(&file).expect("a definition");
    std::fs::write(&file, text.replace("- azcmd", "- older")).expect("written");
    let install = |chart: &Path| cluster.helm().install("lifeguard", chart, "lifeguard-system", &[]);
    install(older.path()).expect("the older chart is installed");
    assert_eq!(short_names(), json!(["older"]));

    install(&chart()).expect("it is upgraded");
    assert_eq!(short_names(), json!(["azcmd"]));

    let uninstall = ["uninstall", "lifeguard", "--namespace", "lifeguard-system"];
    cluster.helm().run(&uninstall).expect("it is uninstalled");
    assert_eq!(short_names(), json!(["azcmd"]));
    let role = cluster.kubectl().get(&["clusterrole", "lifeguard"]);
    assert!(role.is_err(), "the operator's rights went with it: {role:?}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The schema with whole numbers written in one way: `300` and `300.0` are the same bound.
fn as_numbers(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => members.values_mut().for_each(|it| *it = as_numbers(it.take())),
        Value::Array(items) => items.iter_mut().for_each(|it| *it = as_numbers(it.take())),
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                schema = Value::from(number);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
    schema
}
