//! The direction of dependencies, read from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("the source can be read");
            found.push((path, text));
        }
    }
    found
}

/// The modules of this crate that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn api_azure_and_runtime_know_nothing_of_each_other() {
    for (folder, foreign) in [
        ("api", vec!["reqwest"]),
        ("azure", vec!["kube::", "k8s_openapi", "kube_runtime"]),
        ("runtime", vec!["azure_core", "azure_identity"]),
    ] {
        let files = sources(&repository(&format!("src/{folder}")));
        assert!(files.len() > 5, "{folder} was not found");
        for (path, text) in files {
            for line in code(&text) {
                let outside: Vec<_> = named(line).filter(|it| *it != folder).collect();
                assert!(outside.is_empty(), "{}: {line}", path.display());
                assert!(
                    !foreign.iter().any(|it| line.contains(it)),
                    "{}: {line}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_runner_is_pure() {
    for (path, text) in sources(&repository("src/controller/command_job/runner")) {
        if path.components().any(|it| it.as_os_str() == "tests") {
            continue;
        }
        for line in code(&text) {
            for effect in [
                "crate::",
                "tokio",
                "std::fs",
                "std::process",
                "std::net",
                "SystemTime",
                "Timestamp::now",
            ] {
                assert!(!line.contains(effect), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn a_plan_has_no_clock_and_does_no_io() {
    let pure = [
        "plan.rs",
        "job/status.rs",
        "accounts/check.rs",
        "azure_resource/answer.rs",
        "identity_assignment/answer.rs",
    ];
    let files = sources(&repository("src/controller"));
    let plans: Vec<_> = files
        .iter()
        .filter(|(path, _)| {
            let is_in = |folder: &str| path.components().any(|it| it.as_os_str() == folder);
            pure.iter().any(|it| path.ends_with(it)) || is_in("decision") || is_in("attempt")
        })
        .collect();
    assert!(plans.len() >= 20, "the plans have moved: {}", plans.len());
    for (path, text) in plans {
        for line in code(text) {
            for effect in [
                "async ",
                ".await",
                "Timestamp::now",
                "Instant::now",
                "tokio",
                "fastrand",
                "Api<",
            ] {
                assert!(!line.contains(effect), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn an_observation_takes_no_clock() {
    let files = sources(&repository("src/controller"));
    let looks = |path: &Path| path.ends_with("observe.rs") || path.ends_with("observation.rs");
    let observations: Vec<_> = files.iter().filter(|(path, _)| looks(path)).collect();
    assert!(observations.len() >= 5, "they have moved: {}", observations.len());
    for (path, text) in observations {
        for line in code(text) {
            assert!(!line.contains("::now("), "{}: {line}", path.display());
        }
    }
}

/// The part of a manifest that the binary is built from.
fn dependencies(manifest: &str) -> String {
    let manifest = fs::read_to_string(repository(manifest)).expect("the manifest can be read");
    let section = manifest
        .split("[dependencies]")
        .nth(1)
        .and_then(|it| it.split("\n[").next());
    section.expect("it has dependencies").to_owned()
}

#[test]
fn the_emulator_and_the_operator_share_no_type() {
    for manifest in ["emulator/Cargo.toml", "emulator/deployments/Cargo.toml"] {
        let text = fs::read_to_string(repository(manifest)).expect("the emulator's manifest");
        assert!(!text.contains("lifeguard"), "{manifest}");
    }
    let operator = dependencies("Cargo.toml");
    for foreign in ["azure-emulator", "azure-deployments", "emulator/"] {
        assert!(!operator.contains(foreign), "{foreign}");
    }
}

#[test]
fn deployments_know_nothing_of_the_emulator_that_carries_them_out() {
    assert!(dependencies("emulator/Cargo.toml").contains("azure-deployments"));
    let manifest = fs::read_to_string(repository("emulator/deployments/Cargo.toml")).expect("the manifest");
    for foreign in ["path =", "axum", "hyper", "reqwest", "rustls", "tokio"] {
        assert!(!manifest.contains(foreign), "{foreign}");
    }
    let files = sources(&repository("emulator/deployments/src"));
    assert!(files.len() > 5, "the crate was not found");
    for (path, text) in files {
        for line in code(&text) {
            for effect in ["std::fs", "std::net", "std::thread", "SystemTime", "Timestamp::now"] {
                assert!(!line.contains(effect), "{}: {line}", path.display());
            }
        }
    }
}

/// The top-level modules of `src/controller`, each with the text of its files that is not for tests.
fn controller_modules() -> BTreeMap<String, String> {
    let root = repository("src/controller");
    let mut modules = BTreeMap::new();
    for (path, text) in sources(&root) {
        let inside = path.strip_prefix(&root).expect("a file below the folder");
        let is_for_tests = inside.components().any(|it| {
            let name = it.as_os_str().to_string_lossy();
            ["tests", "tests.rs", "model"].contains(&&*name)
        });
        let first = inside.components().next().expect("a file name").as_os_str();
        let name = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        if name == "mod" || is_for_tests {
            continue;
        }
        let shipped = text.split("#[cfg(test)]\nmod ").next().expect("a first part");
        // In the module's own root file `super` is `controller`.
        let is_root = inside.components().count() == 1 || inside.ends_with(format!("{name}/mod.rs"));
        let lines = code(shipped).map(|line| {
            if is_root {
                line.replace("super::", "controller::")
            } else {
                line.to_owned()
            }
        });
        let text: String = lines.map(|line| line + "\n").collect();
        modules.entry(name).or_insert_with(String::new).push_str(&text);
    }
    modules
}

fn imports_of(modules: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, text) in modules {
        let named = modules.keys().filter(|other| {
            let is_named = |prefix: &str| text.contains(&format!("controller::{prefix}{other}::"));
            *other != name && (is_named("") || is_named("{") || text.contains(&format!("controller::{{self, {other}")))
        });
        let mut named: BTreeSet<&str> = named.map(String::as_str).collect();
        if name != "context" && (text.contains("controller::Context") || text.contains("controller::{Context")) {
            named.insert("context");
        }
        found.insert(name, named);
    }
    found
}

const KINDS: [&str; 7] = [
    "azure_account",
    "command_job",
    "identity_assignment",
    "managed_identity",
    "resource_group",
    "role_assignment",
    "session_pool",
];

#[test]
fn nothing_below_the_controllers_knows_a_kind_and_no_kind_knows_another() {
    let modules = controller_modules();
    for (module, named) in imports_of(&modules) {
        let kinds: Vec<_> = named.iter().filter(|it| KINDS.contains(it)).collect();
        assert!(kinds.is_empty(), "{module} knows {kinds:?}");
    }
    assert!(KINDS.iter().all(|it| modules.contains_key(*it)), "a kind has moved");
}

#[test]
fn the_modules_of_the_controllers_form_no_circle() {
    let modules = controller_modules();
    let mut left = imports_of(&modules);
    assert!(
        left["azure_resource"].contains("accounts"),
        "imports were not found: {left:?}"
    );
    loop {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, on)| on.is_empty())
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
            for on in left.values_mut() {
                on.remove(name);
            }
        }
    }
    assert!(left.is_empty(), "these need each other: {left:?}");
}

/// Names of types that others may use, with where they are declared.
fn public_types() -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (path, text) in sources(&repository("src")) {
        let is_test = |part: &std::ffi::OsStr| ["tests", "tests.rs", "model"].iter().any(|it| part == *it);
        if path.components().any(|it| is_test(it.as_os_str())) {
            continue;
        }
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for line in code(text).filter(|line| line.starts_with("pub")) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|it| matches!(it, "struct" | "enum" | "trait" | "type"))
                && let Some(name) = words.next()
            {
                found.entry(name.to_owned()).or_default().push(path.clone());
            }
        }
    }
    found
}

#[test]
fn the_name_of_a_type_means_one_thing() {
    let types = public_types();
    assert!(types.contains_key("Verdict") && types.len() > 200, "{}", types.len());
    let repeated: BTreeMap<_, _> = types.into_iter().filter(|(_, places)| places.len() > 1).collect();
    assert_eq!(repeated, BTreeMap::new());
}
