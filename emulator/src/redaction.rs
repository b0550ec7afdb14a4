//! Bodies as the journal shows them: secrets become digests, so that a test can compare them but nothing can leak.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Longest text of a body that the journal keeps.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Members whose value is secret wherever they occur.
const SECRET_MEMBERS: [&str; 14] = [
    "client_secret",
    "clientSecret",
    "client_assertion",
    "password",
    "secureValue",
    "apiKey",
    "storageAccountKey",
    "workspaceKey",
    "sharedKey",
    "daprAIConnectionString",
    "daprAIInstrumentationKey",
    "certificateValue",
    "certificatePassword",
    "connectionString",
];

/// Members all of whose texts are secret: those of secret volumes and extensions of container groups, and the exporters
/// of telemetry of environments, whose keys and headers are.
const SECRET_PARTS: [&str; 4] = ["secret", "protectedSettings", "dataDogConfiguration", "headers"];

/// The body of a request as the journal keeps it.
///
/// JSON and form bodies are kept with their secrets replaced by `sha256:<hex>`; of anything else only the length.
pub fn journal_body(content_type: Option<&str>, body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    if content_type.contains("json")
        && let Ok(mut value) = serde_json::from_slice::<Value>(body)
    {
        redact(&mut value);
        redact_secure_parameters(&mut value);
        return value;
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let fields: Map<String, Value> = crate::query::parse(&String::from_utf8_lossy(body))
            .into_iter()
            .map(|(name, value)| {
                let shown = if is_secret(&name) { digest(&value) } else { value };
                (name, Value::String(shown))
            })
            .collect();
        return Value::Object(fields);
    }
    json!({ "bytes": body.len() })
}

/// A secret's stand-in: equal secrets have equal stand-ins.
pub fn digest(secret: &str) -> String {
    let hash = Sha256::digest(secret.as_bytes());
    let mut shown = "sha256:".to_owned();
    for byte in hash {
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}

fn is_secret(name: &str) -> bool {
    SECRET_MEMBERS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, member) in fields.iter_mut() {
                if is_secret(name) {
                    redact_all(member);
                } else if name.eq_ignore_ascii_case("secrets") {
                    redact_secret_list(member);
                } else if SECRET_PARTS.iter().any(|secret| secret.eq_ignore_ascii_case(name)) {
                    redact_all(member);
                } else {
                    redact(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            let cut = (0..=MAX_TEXT_BYTES)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            text.truncate(cut);
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `secrets[]` of a session pool or container app: `{name, value}`. In anything else every text is taken for a secret.
fn redact_secret_list(value: &mut Value) {
    let Some(items) = value.as_array_mut() else {
        return redact_all(value);
    };
    for item in items {
        let Some(fields) = item.as_object_mut() else {
            redact_all(item);
            continue;
        };
        for (name, member) in fields.iter_mut() {
            if name.eq_ignore_ascii_case("value") {
                redact_all(member);
            }
        }
    }
}

/// Every text in a value.
fn redact_all(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(redact_all),
        Value::Array(items) => items.iter_mut().for_each(redact_all),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => redact_scalar(value),
    }
}

/// Values of a deployment's parameters that its template declares as secure.
fn redact_secure_parameters(body: &mut Value) {
    let declared = body
        .pointer("/properties/template/parameters")
        .and_then(Value::as_object);
    let secure: Vec<String> = declared
        .into_iter()
        .flatten()
        .filter(|(_, one)| {
            one["type"]
                .as_str()
                .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("secure"))
        })
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    for (place, member) in [
        ("/properties/template/parameters", "defaultValue"),
        ("/properties/parameters", "value"),
    ] {
        let parameters = body.pointer_mut(place).and_then(Value::as_object_mut);
        for (name, parameter) in parameters.into_iter().flatten() {
            if secure.contains(&name.to_ascii_lowercase())
                && let Some(value) = parameter.get_mut(member)
            {
                *value = Value::String(digest(&value.to_string()));
            }
        }
    }
}

fn redact_scalar(member: &mut Value) {
    if let Value::String(text) = member {
        *text = digest(text);
    }
}
