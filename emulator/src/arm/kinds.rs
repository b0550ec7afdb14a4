//! Kinds of values in a body: what has to be an object or a list is one, or the provider cannot read the body.

use serde_json::Value;

use super::ArmError;

/// What a member is, if it is there and not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An object.
    Object,
    /// A list of objects.
    Objects,
    /// A list of strings.
    Texts,
    /// A string.
    Text,
    /// A number, or one written as a string, which providers take too.
    Number,
}

impl Kind {
    fn takes(self, value: &Value) -> bool {
        let all = |is: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(is));
        value.is_null()
            || match self {
                Self::Object => value.is_object(),
                Self::Objects => all(Value::is_object),
                Self::Texts => all(Value::is_string),
                Self::Text => value.is_string(),
                Self::Number => {
                    value.is_number() || value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok())
                }
            }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Objects => "a list of objects",
            Self::Texts => "a list of strings",
            Self::Text => "a string",
            Self::Number => "a number",
        }
    }
}

/// Refuses properties in which a member is of another kind (`InvalidRequestContent`).
///
/// Paths are members joined by dots, which lists on the way are walked through for; names have no case.
pub fn check(properties: &Value, kinds: &[(&str, Kind)]) -> Result<(), ArmError> {
    if !Kind::Object.takes(properties) {
        return Err(ArmError::invalid_content(
            "The request content was invalid and could not be deserialized: 'properties must be an object'.",
        ));
    }
    for (path, kind) in kinds {
        let members: Vec<&str> = path.split('.').collect();
        if !all(properties, &members, *kind) {
            return Err(ArmError::invalid_content(format!(
                "The request content was invalid and could not be deserialized: 'properties.{path} must be {}'.",
                kind.name()
            )));
        }
    }
    Ok(())
}

fn all(value: &Value, path: &[&str], kind: Kind) -> bool {
    match (value, path) {
        (value, []) => kind.takes(value),
        (Value::Array(items), path) => items.iter().all(|item| all(item, path, kind)),
        (Value::Object(members), [name, inner @ ..]) => members
            .iter()
            .filter(|(member, _)| member.eq_ignore_ascii_case(name))
            .all(|(_, member)| all(member, inner, kind)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_of_another_kind_is_found_wherever_it_is() {
        let kinds = [("a", Kind::Objects), ("a.b", Kind::Texts), ("a.c.d", Kind::Object)];
        for good in [
            json!({}),
            json!({ "a": null }),
            json!({ "a": [] }),
            json!({ "A": [{ "B": ["x"] }, { "c": { "d": {} } }, { "c": 1 }] }),
        ] {
            assert!(check(&good, &kinds).is_ok(), "{good}");
        }
        for bad in [
            json!([]),
            json!({ "a": {} }),
            json!({ "a": [null] }),
            json!({ "a": [{ "b": [1] }] }),
            json!({ "a": [{}, { "B": "x" }] }),
            json!({ "a": [{ "c": { "d": [] } }] }),
        ] {
            assert!(check(&bad, &kinds).is_err(), "{bad}");
        }
    }
}
