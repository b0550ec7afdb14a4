//! Every bound that a schema states, tried at the bound and one beyond it. The values around it are those of the
//! examples, so that a new field without an example, or a bound that the server does not keep, fails.

use serde_json::{Value, json};

use crate::examples;
use crate::schema::{KINDS, Path, Step, is_of_form, schema, spec, walk};
use crate::server::{admission, client, namespace};

/// A bound on the value at a path, or on a member of it.
#[derive(Debug)]
enum Bound {
    Required(String),
    MinLength(usize),
    MaxLength(usize),
    /// What the server says of a text of another form.
    Form(String),
    Minimum(i64),
    Maximum(i64),
    MinItems(usize),
    MaxItems(usize),
    MaxProperties(usize),
    Enumeration(Vec<Value>),
}

impl Bound {
    /// The bounds of one node of a schema.
    fn of(node: &Value) -> Vec<Self> {
        let length = |name: &str| node[name].as_u64().and_then(|it| usize::try_from(it).ok());
        // Written as 300.0: the type of bounds in a schema is a floating-point number.
        #[expect(clippy::cast_possible_truncation, reason = "the bounds are small integers")]
        let number = |name: &str| node[name].as_f64().map(|it| it as i64);
        let rules = node["x-kubernetes-validations"].as_array().into_iter().flatten();
        let forms = rules
            .filter(|it| is_of_form(it))
            .filter_map(|it| it["message"].as_str());
        let required = node["required"].as_array().into_iter().flatten();
        required
            .filter_map(Value::as_str)
            .map(|it| Self::Required(it.to_owned()))
            .chain(length("minLength").map(Self::MinLength))
            .chain(length("maxLength").map(Self::MaxLength))
            .chain(forms.map(|it| Self::Form(it.to_owned())))
            .chain(number("minimum").map(Self::Minimum))
            .chain(number("maximum").map(Self::Maximum))
            .chain(length("minItems").map(Self::MinItems))
            .chain(length("maxItems").map(Self::MaxItems))
            .chain(length("maxProperties").map(Self::MaxProperties))
            .chain(node["enum"].as_array().cloned().map(Self::Enumeration))
            .collect()
    }

    /// The values that just keep the bound, and one that just does not; from a valid value.
    fn values(&self, valid: &Value) -> (Vec<Value>, Value) {
        let text = |length: usize| json!("a".repeat(length));
        match self {
            Self::Required(member) => {
                let mut without = valid.clone();
                without.as_object_mut().expect("an object").remove(member);
                (vec![valid.clone()], without)
            }
            Self::MinLength(n) => (vec![text(*n)], text(n - 1)),
            Self::MaxLength(n) => (vec![text(*n)], text(n + 1)),
            // As long as the valid one: of several bounds the server may name just the first that is broken.
            Self::Form(_) => {
                let length = valid.as_str().map_or(1, str::len);
                (vec![valid.clone()], json!("!".repeat(length)))
            }
            Self::Minimum(n) => (vec![json!(n)], json!(n - 1)),
            Self::Maximum(n) => (vec![json!(n)], json!(n + 1)),
            Self::MinItems(n) => (vec![items(valid, *n)], items(valid, n - 1)),
            Self::MaxItems(n) => (vec![items(valid, *n)], items(valid, n + 1)),
            Self::MaxProperties(n) => (vec![properties(*n)], properties(n + 1)),
            Self::Enumeration(values) => (values.clone(), json!("NoSuchValue")),
        }
    }

    /// What the server says of a value beyond the bound, and of which path.
    fn complaint(&self, path: &str) -> (String, &str) {
        let path = match self {
            Self::Required(member) => format!("{path}.{member}"),
            _ => path.to_owned(),
        };
        let words = match self {
            Self::Required(_) => "Required value",
            Self::MinLength(_) => "should be at least",
            Self::MaxLength(_) => "Too long",
            Self::Form(words) => words,
            Self::Minimum(_) => "should be greater than or equal to",
            Self::Maximum(_) => "should be less than or equal to",
            Self::MinItems(_) => "should have at least",
            Self::MaxItems(_) | Self::MaxProperties(_) => "Too many",
            Self::Enumeration(_) => "Unsupported value",
        };
        (path, words)
    }
}

/// A list of this many items, told apart by their names where they have one.
fn items(valid: &Value, count: usize) -> Value {
    let first = &valid[0];
    let item = |index: usize| {
        let mut item = first.clone();
        if let Some(name) = item.get_mut("name") {
            *name = json!(format!("name{index}"));
        }
        item
    };
    (0..count).map(item).collect()
}

fn properties(count: usize) -> Value {
    (0..count)
        .map(|it| (format!("key{it}"), json!("value")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[tokio::test]
async fn a_value_beyond_a_bound_is_refused_by_its_path_and_one_at_the_bound_is_not() {
    let client = client().await;
    let namespace = namespace("bounds");
    let mut tried = 0;
    for (kind, plural) in KINDS {
        let mut bounds: Vec<(Path, Bound)> = Vec::new();
        walk(&spec(), &schema(plural)["properties"]["spec"], &mut |path, node| {
            // Label selectors are Kubernetes' own type; their schema has no bounds but required members.
            bounds.extend(Bound::of(node).into_iter().map(|it| (path.clone(), it)));
        });
        for (path, bound) in bounds {
            let mut example = examples::of_kind(kind)
                .into_iter()
                .find(|it| path.find(&mut it.clone()).is_some())
                .unwrap_or_else(|| panic!("no example has {kind}.{path}"));
            let (index, place) = path.find(&mut example).expect("found above");
            let (inside, outside) = bound.values(place);
            let (printed, words) = bound.complaint(&path.with_index(index));

            *place = outside;
            let refusal = admission(&client, &namespace, &example)
                .await
                .expect_err(&format!("{kind}.{path}: a value beyond {bound:?} was accepted"));
            assert!(
                complains(&refusal, &printed, words),
                "{kind}.{path}, {bound:?}: `{printed}: … {words}` is not in\n{refusal}"
            );
            for value in inside {
                *path.find(&mut example).expect("found above").1 = value.clone();
                if let Err(refusal) = admission(&client, &namespace, &example).await {
                    // Another rule may refuse the combination, such as a container type that needs other fields.
                    assert!(
                        !complains(&refusal, &printed, words),
                        "{kind}.{path}: {value} keeps {bound:?} and was refused:\n{refusal}"
                    );
                }
            }
            tried += 1;
        }
    }
    assert!(
        tried > 150,
        "only {tried} bounds were found, so the walk through the schemas is wrong"
    );
}

/// Whether a refusal says this of this path. It lists its causes, separated by commas, each as `path: words`.
fn complains(refusal: &str, path: &str, words: &str) -> bool {
    refusal.match_indices(&format!("{path}: ")).any(|(start, _)| {
        let rest = &refusal[start + path.len()..];
        let end = rest.find(", spec").unwrap_or(rest.len());
        rest[..end].contains(words)
    })
}

#[test]
fn a_path_is_found_in_the_item_that_has_it() {
    let name = Path(vec![
        Step::Property("spec".into()),
        Step::Property("env".into()),
        Step::Items,
        Step::Property("value".into()),
    ]);
    let mut object = json!({"spec": {"env": [{"name": "A"}, {"name": "B", "value": "b"}]}});
    let (index, value) = name.find(&mut object).expect("the second item has a value");
    assert_eq!((index, &*value), (1, &json!("b")));
    assert_eq!(name.with_index(index), "spec.env[1].value");
}
