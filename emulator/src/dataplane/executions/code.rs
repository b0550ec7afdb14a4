//! Executions of Python and Node pools: code, in both families of API versions.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Run;
use crate::behaviour::SessionsBehaviour;
use crate::dataplane::error::ServiceError;
use crate::dataplane::target::{ApiVersion, Family};
use crate::json;
use crate::session::{Code, CodeExecution, KernelUse, Language, Outcome};

/// What the specification of the service's image takes where a body says nothing.
const DEFAULT_TIMEOUT_SECONDS: u64 = 120;

/// The longest character in UTF-8. Streams are limited in characters, and read in bytes.
const MAX_CHARACTER_BYTES: usize = 4;

/// As many characters are answered of a stream, whatever a body asks for: they are in memory several times.
const MAX_STREAM_CHARACTERS: u64 = 16 * 1024 * 1024;

/// What a body asks for.
#[derive(Debug)]
pub(super) struct CodeRequest {
    pub(super) code: Code,
    /// Characters that are answered of each stream.
    stream_characters: usize,
    /// Whether the result is answered by MIME type, as a Jupyter kernel gives it.
    jupyter_result: bool,
    pub(super) is_asynchronous: bool,
    /// The caller's spelling, which the answer repeats.
    pub(super) execution_type: Option<String>,
    family: Family,
}

impl CodeRequest {
    /// Reads a body: flat in newer versions, wrapped in `properties` in older ones.
    pub(super) fn parse(
        body: &[u8],
        language: Language,
        version: ApiVersion,
        behaviour: &SessionsBehaviour,
    ) -> Result<Self, ServiceError> {
        let body: Value = serde_json::from_slice(body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| refuse("The body must be a JSON object."))?;
        let body = match version.family() {
            Family::Newer => &body,
            Family::Older => json::get(&body, "properties")
                .filter(|properties| properties.is_object())
                .ok_or_else(|| refuse("The field 'properties' is required."))?,
        };
        let text = match json::get(body, "code") {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            None | Some(Value::Null | Value::String(_)) => return Err(refuse("The field 'code' is required.")),
            Some(_) => return Err(refuse("The field 'code' must be a string.")),
        };
        let text = match word(body, "codeInputType")?.as_deref() {
            None | Some("inline" | "inlinetext") => text,
            Some("inlinebase64") => STANDARD
                .decode(text.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| refuse("The field 'code' must be UTF-8 text in base64."))?,
            Some(_) => {
                return Err(refuse(
                    "The field 'codeInputType' must be one of 'Inline', 'InlineText', 'InlineBase64'.",
                ));
            }
        };
        let is_asynchronous = match word(body, "executionType")?.as_deref() {
            None | Some("synchronous") => false,
            // The older versions have no way to ask for the result.
            Some("asynchronous") => version.family() == Family::Newer,
            Some(_) => {
                return Err(refuse(
                    "The field 'executionType' must be one of 'Synchronous', 'Asynchronous'.",
                ));
            }
        };
        let seconds = whole(body, "timeoutInSeconds")?.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        // Versions that do not have them ignore them, as all unknown members.
        let has_options = version.has_execution_options();
        let option = |name: &str| if has_options { flag(body, name) } else { Ok(false) };
        let stream_characters = whole(body, "outputStreamsMaxLength")?
            .filter(|_| has_options)
            .and_then(|length| usize::try_from(length.min(MAX_STREAM_CHARACTERS)).ok())
            .unwrap_or(behaviour.stream_limit_bytes);
        let kernel = match (option("useEmptyKernel")?, is_asynchronous) {
            (true, _) => KernelUse::Empty,
            (false, true) => KernelUse::Asynchronous,
            (false, false) => KernelUse::Synchronous,
        };
        Ok(Self {
            code: Code {
                language,
                kernel,
                text,
                limit: Duration::from_secs(seconds),
                stream_bytes: stream_characters.saturating_mul(MAX_CHARACTER_BYTES),
            },
            stream_characters,
            jupyter_result: option("returnJupyterFormatExecutionResult")?,
            is_asynchronous,
            execution_type: json::get_str(body, "executionType").map(str::to_owned),
            family: version.family(),
        })
    }

    /// The body of the answer.
    pub(super) fn answer(&self, run: &Run, execution: CodeExecution) -> Value {
        let failure = failure(&execution.outcome);
        let succeeded = matches!(execution.outcome, Outcome::Succeeded(_));
        let stdout = cut(&execution.stdout, self.stream_characters);
        let stderr = with_failure(cut(&execution.stderr, self.stream_characters), &execution.outcome);
        let milliseconds = u64::try_from(execution.duration.as_millis()).unwrap_or(u64::MAX);
        let result = match execution.outcome {
            Outcome::Succeeded(result) => shown(result, self.jupyter_result),
            Outcome::Raised | Outcome::TimedOut | Outcome::Died => Value::from(""),
        };
        match self.family {
            Family::Newer => {
                let mut body = json!({
                    "$id": "1",
                    "id": run.id,
                    "identifier": run.lease.identifier,
                    "executionType": self.execution_type,
                    "status": if succeeded { "Succeeded" } else { "Failed" },
                    "result": {
                        "$id": "2",
                        "stdout": stdout,
                        "stderr": stderr,
                        "executionResult": result,
                        "executionTimeInMilliseconds": milliseconds,
                    },
                });
                if let Some((code, message)) = failure {
                    body["error"] = json!({ "error": { "code": code, "message": message } });
                }
                body
            }
            Family::Older => json!({
                "$id": "1",
                "properties": {
                    "$id": "2",
                    "status": if succeeded { "Success" } else { "Failure" },
                    "stdout": stdout,
                    "stderr": stderr,
                    "result": result,
                    "executionTimeInMilliseconds": milliseconds,
                },
            }),
        }
    }
}

/// The value of the last expression as the service answers it: a picture, the JSON that its text is, or its text.
pub(in crate::dataplane) fn shown(result: Option<Map<String, Value>>, as_jupyter: bool) -> Value {
    let Some(result) = result else {
        return Value::from("");
    };
    if as_jupyter {
        return Value::Object(result);
    }
    for format in ["png", "jpeg"] {
        if let Some(picture) = result.get(&format!("image/{format}")) {
            return json!({ "type": "image", "format": format, "base64_data": picture });
        }
    }
    let text = result.get("text/plain").and_then(Value::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        // An integer that no number of JSON holds keeps its digits.
        Ok(Value::Number(number)) if number.is_f64() && !text.contains(['.', 'e', 'E']) => Value::from(text),
        Ok(value) => value,
        Err(_) => Value::from(text),
    }
}

/// Standard error, with a line of what ended the code if it did not end by itself.
pub(in crate::dataplane) fn with_failure(stderr: String, outcome: &Outcome) -> String {
    match failure(outcome) {
        Some((name, message)) => format!("{stderr}{name}: {message}\n"),
        None => stderr,
    }
}

/// The name and message of what ended code that did not end by itself, as the specification of the image names them.
fn failure(outcome: &Outcome) -> Option<(&'static str, &'static str)> {
    match outcome {
        Outcome::Succeeded(_) | Outcome::Raised => None,
        Outcome::TimedOut => Some(("Timeout", "Request timed out waiting for execution to complete.")),
        Outcome::Died => Some((
            "ConnectionClosed",
            "The kernel died while the code was running. Its variables are lost; the session's files are not.",
        )),
    }
}

/// The beginning of a stream, as text.
fn cut(stream: &[u8], characters: usize) -> String {
    let text = String::from_utf8_lossy(stream);
    match text.char_indices().nth(characters) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.into_owned(),
    }
}

fn refuse(message: impl Into<String>) -> ServiceError {
    ServiceError::bad_request("InvalidRequestBody", message)
}

/// A word of an enumeration, in lower case: the service takes any.
fn word(body: &Value, name: &str) -> Result<Option<String>, ServiceError> {
    match json::get(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.to_ascii_lowercase())),
        Some(_) => Err(refuse(format!("The field '{name}' must be a string."))),
    }
}

fn flag(body: &Value, name: &str) -> Result<bool, ServiceError> {
    match json::get(body, name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(refuse(format!("The field '{name}' must be a boolean."))),
    }
}

fn whole(body: &Value, name: &str) -> Result<Option<u64>, ServiceError> {
    match json::get(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|number| *number > 0)
            .map(Some)
            .ok_or_else(|| refuse(format!("The field '{name}' must be a positive whole number."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Map<String, Value>> {
        json!({ "text/plain": text }).as_object().cloned()
    }

    #[test]
    fn a_result_is_json_where_its_text_is_and_text_elsewhere() {
        assert_eq!(shown(text("42"), false), 42);
        assert_eq!(shown(text("[1, 2.5]"), false), json!([1, 2.5]));
        assert_eq!(shown(text("'a'"), false), "'a'");
        assert_eq!(shown(text("True"), false), "True");
        assert_eq!(
            shown(text("1267650600228229401496703205376"), false),
            "1267650600228229401496703205376"
        );
        assert_eq!(shown(None, false), "");
        assert_eq!(shown(text("42"), true), json!({ "text/plain": "42" }));
    }

    #[test]
    fn a_picture_is_preferred_to_text() {
        let bundle = json!({ "text/plain": "<Figure>", "image/png": "iVBORw" })
            .as_object()
            .cloned();
        let picture = json!({ "type": "image", "format": "png", "base64_data": "iVBORw" });
        assert_eq!(shown(bundle, false), picture);
    }

    #[test]
    fn a_stream_is_cut_in_characters() {
        assert_eq!(cut("aé日b".as_bytes(), 3), "aé日");
        assert_eq!(cut(b"ab", 3), "ab");
    }
}
