//! Drift: what a resource should be against what ARM says it is.
//!
//! Only what is desired is compared, and spelling is normalised as ARM normalises it, so that a resource at rest
//! shows no difference and is never written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::identity_block::{IdentityBlock, Spelling};
use super::location::Location;

/// What a comparison and a write have to know of a resource type. Paths are lower case, joined by dots, and leave
/// out positions in arrays: `properties.secrets.value`.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Members that ARM sets and a PUT does not carry.
    pub read_only: &'static [&'static str],
    /// Members that are sent and never returned.
    pub write_only: &'static [&'static str],
    /// Members whose values are resource ids, whatever they begin with.
    pub identifiers: &'static [&'static str],
    /// Members with names of a closed list, which ARM takes and returns in any case.
    pub case_insensitive: &'static [&'static str],
    /// Elements of arrays that ARM adds by itself where nothing is said: the array, a member, and its value in such an
    /// element.
    pub added: &'static [(&'static str, &'static str, &'static str)],
}

/// A value that differs from the desired one.
#[derive(Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path of the value, such as `properties.scaleConfiguration.maxConcurrentSessions` or `properties.secrets[token]`.
    pub path: String,
    /// The desired value; `None` for an element that should not exist.
    pub desired: Option<Value>,
    /// The value that ARM returned; `None` if it does not return the member.
    pub actual: Option<Value>,
}

/// Values may be secret, so only the path is shown.
impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Difference")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What differs.
    pub differences: Vec<Difference>,
    /// Paths of desired write-only members, which ARM never returns: their drift cannot be seen.
    pub unverifiable: Vec<String>,
}

impl Comparison {
    /// Whether no visible member differs.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares the desired part of a resource with the resource.
///
/// `null` is "not set". An empty object or array equals an absent one. Arrays of objects that all have a unique
/// `name` (or `identity`) are compared by it and are otherwise compared by position; elements that are not desired
/// are a difference, unless ARM adds such ones by itself. Members of objects that are not desired are not looked at, but
/// for those of `identity`: a resource's identities are desired as a whole, whatever their spelling.
pub fn compare(desired: &Value, actual: &Value, shape: &Shape) -> Comparison {
    let mut comparison = Comparison::default();
    let place = Place {
        shown: String::new(),
        pattern: String::new(),
    };
    walk(&place, desired, Some(actual), shape, &mut comparison);
    comparison
}

/// A path, as it is shown and as shapes write it.
#[derive(Clone)]
pub(super) struct Place {
    shown: String,
    pattern: String,
}

impl Place {
    /// The root of a resource.
    pub(super) fn root() -> Self {
        Self {
            shown: String::new(),
            pattern: String::new(),
        }
    }

    pub(super) fn member(&self, name: &str) -> Self {
        let join = |path: &str, name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        Self {
            shown: join(&self.shown, name),
            pattern: join(&self.pattern, &name.to_ascii_lowercase()),
        }
    }

    pub(super) fn element(&self, key: &str) -> Self {
        Self {
            shown: format!("{}[{key}]", self.shown),
            pattern: self.pattern.clone(),
        }
    }

    pub(super) fn is_one_of(&self, paths: &[&str]) -> bool {
        paths.contains(&self.pattern.as_str())
    }
}

fn walk(place: &Place, desired: &Value, actual: Option<&Value>, shape: &Shape, comparison: &mut Comparison) {
    let actual = actual.filter(|value| !value.is_null());
    if desired.is_null() {
        return;
    }
    if place.is_one_of(shape.write_only) && actual.is_none() {
        comparison.unverifiable.push(place.shown.clone());
        return;
    }
    if place.is_one_of(&["identity"]) {
        walk_identities(place, desired, actual, comparison);
        return;
    }
    match (desired, actual) {
        (Value::Object(desired), actual @ (None | Some(Value::Object(_)))) => {
            for (name, value) in desired {
                let actual = actual
                    .and_then(Value::as_object)
                    .and_then(|object| member(object, name));
                walk(
                    &place.member(name),
                    value,
                    actual.map(|(_, value)| value),
                    shape,
                    comparison,
                );
            }
        }
        (Value::Array(desired), actual @ (None | Some(Value::Array(_)))) => {
            let actual = actual.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            walk_array(place, desired, actual, shape, comparison);
        }
        (desired, Some(actual)) if same(place, desired, actual, shape) => {}
        (desired, actual) => comparison.differences.push(Difference {
            path: place.shown.clone(),
            desired: Some(desired.clone()),
            actual: actual.cloned(),
        }),
    }
}

/// A user-assigned identity whose principal is desired and another one was deleted and created again since it was attached.
fn walk_identities(place: &Place, desired: &Value, actual: Option<&Value>, comparison: &mut Comparison) {
    let block = |value: &Value| IdentityBlock::of(&json!({"identity": value}));
    let (desired, attached) = (block(desired), actual.map(block).unwrap_or_default());
    let mut differs = |place: Place, desired: Option<Value>, actual: Option<Value>| {
        comparison.differences.push(Difference {
            path: place.shown,
            desired,
            actual,
        });
    };
    let kind = |block: &IdentityBlock| block.replacement(Spelling::Joined)["type"].clone();
    if kind(&desired) != kind(&attached) {
        let shown = actual.and_then(|actual| actual.get("type").cloned());
        differs(place.member("type"), Some(kind(&desired)), shown);
    }
    let ids = place.member("userAssignedIdentities");
    for identity in desired.user_assigned() {
        let place = ids.element(&identity.id);
        let Some(found) = attached.get(&identity.id) else {
            differs(place, Some(json!({})), None);
            continue;
        };
        match (&identity.principal_id, &found.principal_id) {
            (Some(wanted), Some(found)) if !wanted.eq_ignore_ascii_case(found) => {
                differs(place.member("principalId"), Some(json!(wanted)), Some(json!(found)));
            }
            (Some(_) | None, _) => {}
        }
    }
    for identity in attached.user_assigned() {
        if desired.get(&identity.id).is_none() {
            differs(ids.element(&identity.id), None, Some(json!({})));
        }
    }
}

fn walk_array(place: &Place, desired: &[Value], actual: &[Value], shape: &Shape, comparison: &mut Comparison) {
    let extra = |place: Place, value: &Value| Difference {
        path: place.shown,
        desired: None,
        actual: Some(value.clone()),
    };
    if let Some(key) = array_key(desired, actual) {
        for element in desired {
            let name = key_of(element, key).unwrap_or_default();
            let partner = actual.iter().find(|other| has_key(other, key, name));
            let place = place.element(name);
            match partner {
                Some(partner) => walk(&place, element, Some(partner), shape, comparison),
                None => comparison.differences.push(Difference {
                    path: place.shown,
                    desired: Some(element.clone()),
                    actual: None,
                }),
            }
        }
        for element in actual {
            let name = key_of(element, key).unwrap_or_default();
            if !desired.iter().any(|other| has_key(other, key, name)) && !is_added(place, element, shape) {
                comparison.differences.push(extra(place.element(name), element));
            }
        }
        return;
    }
    for (position, element) in desired.iter().enumerate() {
        walk(
            &place.element(&position.to_string()),
            element,
            actual.get(position),
            shape,
            comparison,
        );
    }
    let further = actual.iter().enumerate().skip(desired.len());
    for (position, element) in further.filter(|(_, element)| !is_added(place, element, shape)) {
        comparison
            .differences
            .push(extra(place.element(&position.to_string()), element));
    }
}

/// Whether an element is one that ARM adds to this array by itself.
fn is_added(array: &Place, element: &Value, shape: &Shape) -> bool {
    shape.added.iter().any(|(path, name, value)| {
        array.is_one_of(&[path]) && key_of(element, name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    })
}

/// The member that names the elements of both arrays, if one does so uniquely.
pub(super) fn array_key(desired: &[Value], actual: &[Value]) -> Option<&'static str> {
    let names_all = |elements: &[Value], key: &str| {
        let names: Option<BTreeSet<&str>> = elements.iter().map(|element| key_of(element, key)).collect();
        names.is_some_and(|names| names.len() == elements.len())
    };
    ["name", "identity"]
        .into_iter()
        .find(|key| !desired.is_empty() && names_all(desired, key) && names_all(actual, key))
}

/// Whether an element has this name. ARM returns names as they were sent, and identities in any case.
pub(super) fn has_key(element: &Value, key: &str, name: &str) -> bool {
    key_of(element, key).is_some_and(|own| own == name || (key == "identity" && own.eq_ignore_ascii_case(name)))
}

/// The value of the naming member.
pub(super) fn key_of<'a>(element: &'a Value, key: &str) -> Option<&'a str> {
    member(element.as_object()?, key).and_then(|(_, value)| value.as_str())
}

/// A member by its name in any case, with the name as it is spelled.
pub(super) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<(&'a String, &'a Value)> {
    object
        .get_key_value(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
}

/// Whether two values that are not both objects or both arrays mean the same to ARM.
fn same(place: &Place, desired: &Value, actual: &Value, shape: &Shape) -> bool {
    match (desired, actual) {
        (Value::Number(_), Value::Number(_) | Value::String(_)) | (Value::String(_), Value::Number(_)) => {
            number(desired)
                .zip(number(actual))
                .is_some_and(|(a, b)| (a - b).abs() < f64::EPSILON)
        }
        (Value::String(desired), Value::String(actual)) => {
            desired == actual
                || (place.is_one_of(&["location"]) && Location::new(desired) == Location::new(actual))
                || (place.is_one_of(&["properties.roledefinitionid"]) && last_name(desired) == last_name(actual))
                || (desired.eq_ignore_ascii_case(actual)
                    && (is_resource_id(desired)
                        || place.is_one_of(shape.identifiers)
                        || place.is_one_of(shape.case_insensitive)))
        }
        (desired, actual) => desired == actual,
    }
}

/// A number, or a string that holds one: ARM took `"300"` and answered 300 (recorded for a pool's cooldown).
#[allow(clippy::cast_precision_loss)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A role definition is its GUID, and is named below one scope or another (recorded for role assignments).
fn last_name(id: &str) -> Option<String> {
    id.rsplit('/').next().map(str::to_ascii_lowercase)
}

fn is_resource_id(text: &str) -> bool {
    text.get(..15)
        .is_some_and(|head| head.eq_ignore_ascii_case("/subscriptions/"))
}
