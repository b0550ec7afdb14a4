//! Keeps the documentation true: the tables of fields and reasons are made from the definitions and the types, links
//! lead somewhere, and what is named exists. `make docs` writes the tables instead of comparing them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeguard::api::condition::Reason;
use serde_json::Value;

mod blocks;
mod commands;

const KINDS: [(&str, &str); 7] = [
    ("azureaccount", "azureaccounts"),
    ("resourcegroup", "resourcegroups"),
    ("sessionpool", "sessionpools"),
    ("managedidentity", "managedidentities"),
    ("roleassignment", "roleassignments"),
    ("identityassignment", "identityassignments"),
    ("commandjob", "commandjobs"),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares what stands between `<!-- NAME: generated -->` and `<!-- end -->` of a page, or writes it.
fn compare(page: &Path, name: &str, expected: &str) {
    let text = read(page);
    let start = format!("<!-- {name}: generated -->\n");
    let (before, rest) = text
        .split_once(&start)
        .unwrap_or_else(|| panic!("{} has no `{}`", page.display(), start.trim()));
    let (found, after) = rest.split_once("<!-- end -->").expect("the generated part has an end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(page, format!("{before}{start}{expected}<!-- end -->{after}")).expect("docs/ can be written");
    } else {
        assert!(found == expected, "{} is out of date: run `make docs`", page.display());
    }
}

#[test]
fn the_tables_of_fields_are_those_of_the_definitions() {
    for (page, plural) in KINDS {
        let page = repository(&format!("docs/kinds/{page}.md"));
        let definition: Value =
            serde_saphyr::from_str(&read(&repository(&format!("crds/{plural}.yaml")))).expect("valid YAML");
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            let mut table = String::from("| Field | Type | Default | Meaning |\n|---|---|---|---|\n");
            rows("", &schema[part], &mut table);
            compare(&page, part, &table);
        }
    }
}

#[test]
fn the_table_of_reasons_is_that_of_the_types() {
    let mut table = String::from("| Reason | Meaning |\n|---|---|\n");
    for reason in Reason::ALL {
        writeln!(table, "| `{reason}` | {} |", cell(reason.explanation())).expect("text");
    }
    compare(&repository("docs/reasons.md"), "reasons", &table);
}

/// One row for each property below a node, depth first.
fn rows(prefix: &str, node: &Value, table: &mut String) {
    let required: BTreeSet<_> = node["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = node["properties"].as_object().into_iter().flatten();
    // Other spellings of a property are declared only to be refused.
    for (name, property) in properties.filter(|(_, it)| it["x-kubernetes-validations"][0]["rule"] != "false") {
        let path = format!("{prefix}{name}");
        let default = match &property["default"] {
            Value::Null if required.contains(name.as_str()) => "required".to_owned(),
            Value::Null | Value::Object(_) => String::new(),
            default => format!("`{}`", default.to_string().trim_matches('"')),
        };
        let description = cell(property["description"].as_str().unwrap_or_default());
        writeln!(
            table,
            "| `{path}` | {} | {default} | {description} |",
            type_of(property)
        )
        .expect("text");
        if name == "conditions" {
            // Kubernetes' own type; what the kinds put there is in a table of its own.
            continue;
        }
        rows(&format!("{path}."), property, table);
        rows(&format!("{path}[]."), &property["items"], table);
    }
}

/// The type in words, with its bounds.
fn type_of(node: &Value) -> String {
    if let Some(values) = node["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .filter_map(Value::as_str)
            .map(|it| format!("`{it}`"))
            .collect();
        return values.join(", ");
    }
    let range = |low: &str, high: &str| match (node[low].as_f64(), node[high].as_f64()) {
        (None, None) => String::new(),
        (Some(low), None) => format!(", at least {low}"),
        (None, Some(high)) => format!(", at most {high}"),
        (Some(low), Some(high)) if (low - high).abs() < 0.5 => format!(", {low}"),
        (Some(low), Some(high)) => format!(", {low} to {high}"),
    };
    match node["type"].as_str() {
        Some("string") if node["format"] == "date-time" => "time".to_owned(),
        Some("string") => format!("text{}", with_unit(&range("minLength", "maxLength"), "characters")),
        Some("integer") => format!("integer{}", range("minimum", "maximum")),
        Some("number") => "number".to_owned(),
        Some("boolean") => "boolean".to_owned(),
        Some("array") => format!(
            "list of {}{}",
            plural(&type_of(&node["items"])),
            with_unit(&range("minItems", "maxItems"), "items")
        ),
        Some("object") if node["additionalProperties"].is_object() => {
            format!(
                "map of {}{}",
                plural(&type_of(&node["additionalProperties"])),
                with_unit(&range("minProperties", "maxProperties"), "entries")
            )
        }
        _ => "object".to_owned(),
    }
}

fn with_unit(range: &str, unit: &str) -> String {
    if range.is_empty() {
        String::new()
    } else {
        format!("{range} {unit}")
    }
}

fn plural(name: &str) -> String {
    match name.split_once(',') {
        Some((first, rest)) => format!("{first}s ({})", rest.trim()),
        None => format!("{name}s"),
    }
}

/// A text as a cell of a table: in one line of the file.
fn cell(text: &str) -> String {
    let one = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = text.lines().map(one);
    // The heading of the values of an enum says no more than that they follow.
    let lines = lines.filter(|it| !it.is_empty() && *it != "Possible enum values:");
    let lines = lines.map(|it| it.trim_start_matches("- ").to_owned());
    lines.collect::<Vec<_>>().join("<br>").replace('|', "\\|")
}

/// Every Markdown file that users read.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = ["README.md", "ARCHITECTURE.md"].map(repository).into();
    for folder in ["docs", "docs/kinds"] {
        let entries = fs::read_dir(repository(folder)).expect("a folder");
        pages.extend(
            entries
                .flatten()
                .map(|it| it.path())
                .filter(|it| it.extension().is_some_and(|it| it == "md")),
        );
    }
    pages.sort();
    pages
}

/// The headings of a page, as links name them: in lower case, without punctuation, with hyphens for spaces.
fn headings(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    let texts = lines.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |it: &char| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_');
    texts
        .map(|text| text.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_between_pages_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for (_, rest) in text.match_indices("](").map(|(at, it)| (at, &text[at + it.len()..])) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let linked = page.parent().expect("a folder").join(target);
            let linked = if target.is_empty() { page.clone() } else { linked };
            let whole = rest.split(')').next().unwrap_or_default();
            let is_there = match whole.split_once('#') {
                None => linked.exists(),
                Some((_, heading)) => linked.exists() && headings(&read(&linked)).contains(heading),
            };
            if !is_there {
                broken.push(format!("{}: {whole}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_reason_that_a_kinds_page_lists_exists_and_every_reason_is_listed() {
    let known: BTreeSet<_> = Reason::ALL.iter().map(|it| it.as_str().to_owned()).collect();
    let mut listed = BTreeSet::new();
    for (page, _) in KINDS {
        let text = read(&repository(&format!("docs/kinds/{page}.md")));
        let (_, section) = text
            .split_once("## Conditions and reasons")
            .expect("each page lists reasons");
        for line in section.lines().take_while(|it| !it.starts_with("## ")) {
            // Rows of the table: `| Ready=False | `Reason`, `Reason` | … |`.
            let Some(cell) = line.strip_prefix("| ").and_then(|it| it.split(" | ").nth(1)) else {
                continue;
            };
            listed.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    assert_eq!(listed, known);
}

#[test]
fn every_example_that_a_page_names_exists_and_each_kinds_page_shows_its_own() {
    for (page, _) in KINDS {
        let text = read(&repository(&format!("docs/kinds/{page}.md")));
        let example = format!("examples/kinds/{page}.yaml");
        assert!(text.contains(&example), "docs/kinds/{page}.md does not name {example}");
        let first = read(&repository(&example));
        let first = first.split("\n---").next().unwrap_or_default().trim();
        assert!(
            text.contains(first),
            "docs/kinds/{page}.md does not show the first example of {example} as it stands"
        );
    }
}

#[test]
fn the_first_page_leads_to_every_page() {
    let text = read(&repository("README.md"));
    for page in pages() {
        let path = page.strip_prefix(repository("")).expect("below the repository");
        let target = format!("]({})", path.display());
        assert!(
            text.contains(&target) || path.ends_with("README.md"),
            "README.md does not lead to {}",
            path.display()
        );
    }
}

#[test]
fn the_first_page_shows_the_quickstart_as_it_stands() {
    let text = read(&repository("README.md"));
    let job = read(&repository("examples/quickstart/job.yaml"));
    let (_, shown) = text.split_once("```yaml\n").expect("an example");
    let (shown, _) = shown.split_once("```").expect("the end of the example");
    assert!(job.starts_with(shown.trim_end()), "{shown}");
}

#[test]
fn the_picture_of_the_demo_is_made_of_the_text_beside_it() {
    let text = fs::File::open(repository("docs/pictures/demo.txt")).expect("the text");
    let drawn = Command::new(repository("hack/terminal-picture")).stdin(text).output();
    let drawn = drawn.expect("the script can be run");
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let expected = read(&repository("docs/pictures/demo.svg"));
    assert!(
        String::from_utf8_lossy(&drawn.stdout) == expected,
        "docs/pictures/demo.svg is out of date: see hack/terminal-picture"
    );
}
