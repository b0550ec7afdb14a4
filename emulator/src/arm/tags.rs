//! Tags and their limits (Azure tagging documentation).

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::{ArmError, ArmRequest};
use crate::behaviour::TagValues;

const MAX_TAGS: usize = 50;
const MAX_NAME_CHARS: usize = 512;
const MAX_VALUE_CHARS: usize = 256;

/// A resource as a GET shows it, by the switch for values of tags.
pub fn as_read(request: &ArmRequest<'_>, mut body: Value) -> Value {
    let tags = body.get_mut("tags").and_then(Value::as_object_mut);
    if let (TagValues::LowerCase, Some(tags)) = (request.state.behaviour().arm.tag_values_on_read, tags) {
        for value in tags.values_mut() {
            if let Some(text) = value.as_str() {
                *value = text.to_lowercase().into();
            }
        }
    }
    body
}

/// The tags of a body's `tags` member; `None` when it is absent or null.
pub fn read(value: Option<&Value>) -> Result<Option<Map<String, Value>>, ArmError> {
    let tags = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(tags)) => tags,
        Some(_) => {
            return Err(ArmError::invalid_content(
                "The request content was invalid and could not be deserialized: 'tags must be an object'.",
            ));
        }
    };
    let refused = |code, message: String| Err(ArmError::gateway(StatusCode::BAD_REQUEST, code, message));
    if tags.len() > MAX_TAGS {
        let message = format!("Too many tags on the resource/resource group: at most {MAX_TAGS} are allowed.");
        return refused("TooManyTags", message);
    }
    let mut read = Map::new();
    for (name, value) in tags {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
            return refused(
                "InvalidTagNameLength",
                format!("The tag name must have 1 to {MAX_NAME_CHARS} characters."),
            );
        }
        if let Some(bad) = name.chars().find(|one| "<>%&\\?/".contains(*one) || one.is_control()) {
            let message = format!(
                "The tag names '{name}' contain the reserved character '{bad}'; these are reserved: '<,>,%,&,\\,?,/' and control characters."
            );
            return refused("InvalidTagNameCharacters", message);
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(ArmError::invalid_content(format!(
                    "The request content was invalid and could not be deserialized: 'the value of the tag {name} must be a string'."
                )));
            }
        };
        if text.chars().count() > MAX_VALUE_CHARS {
            let message = format!("The value of the tag '{name}' has more than {MAX_VALUE_CHARS} characters.");
            return refused("InvalidTagValueLength", message);
        }
        if read.keys().any(|known: &String| known.eq_ignore_ascii_case(name)) {
            let message = format!("The tag name '{name}' occurs more than once, as its case does not count.");
            return refused("DuplicateTagName", message);
        }
        read.insert(name.clone(), Value::String(text));
    }
    Ok(Some(read))
}
