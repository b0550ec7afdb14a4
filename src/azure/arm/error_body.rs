//! Error bodies, in every shape that Azure gives them.

use std::time::Duration;

use serde_json::Value;

use crate::azure::error::ServiceError;

/// Azure bounds no message, but conditions and events do.
const MAX_MESSAGE: usize = 1024;

/// Reads an error body: with ARM's `error` wrapper, without it (older answers of Microsoft.App), a plain JSON string,
/// a gateway's page, or nothing at all.
pub(in crate::azure) fn read_error(
    status: u16,
    body: &[u8],
    request_id: Option<String>,
    retry_after: Option<Duration>,
) -> ServiceError {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = member(&json, "error")
        .filter(|error| error.is_object())
        .unwrap_or(&json);
    let code = member(error, "code")
        .and_then(Value::as_str)
        .filter(|code| !code.is_empty());
    let message = member(error, "message")
        .and_then(Value::as_str)
        .or_else(|| json.as_str());
    let mut details = Vec::new();
    collect_details(error, &mut details, 0);
    let plain = || {
        let text = std::str::from_utf8(body).ok().filter(|_| json.is_null())?.trim();
        (!text.is_empty() && !text.starts_with('<')).then_some(text)
    };
    let message = message
        .filter(|message| !message.trim().is_empty())
        .or_else(plain)
        .map_or_else(
            || {
                if body.is_empty() {
                    format!("status {status} without a message")
                } else {
                    format!("status {status} with a body that is no ARM error")
                }
            },
            bounded,
        );
    ServiceError {
        status,
        code: code.map_or_else(
            || format!("HttpStatus{status}"),
            |code| code.chars().take(128).collect(),
        ),
        message,
        details,
        request_id,
        retry_after,
    }
}

/// A member by its name in any case: .NET services of Azure differ in their casing.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// The codes of nested details; a detail's message is at times itself the JSON text of an error.
fn collect_details(error: &Value, codes: &mut Vec<String>, depth: usize) {
    if depth > 5 || codes.len() > 20 {
        return;
    }
    let inner = member(error, "message")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok());
    let inner: Option<Value> = inner.filter(Value::is_object);
    let details = member(error, "details").and_then(Value::as_array).into_iter().flatten();
    for detail in details.chain(inner.as_ref()) {
        let detail = member(detail, "error").unwrap_or(detail);
        codes.extend(member(detail, "code").and_then(Value::as_str).map(str::to_owned));
        collect_details(detail, codes, depth + 1);
    }
}

fn bounded(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::read_error;

    fn read(status: u16, body: &str) -> (String, String, Vec<String>) {
        let error = read_error(status, body.as_bytes(), None, None);
        (error.code, error.message, error.details)
    }

    #[test]
    fn an_error_is_read_in_every_shape() {
        for (body, code, message) in [
            (
                r#"{"error":{"code":"ScopeLocked","message":"locked\r\n by  x"}}"#,
                "ScopeLocked",
                "locked by x",
            ),
            (r#"{"code":"ScopeLocked","message":"locked"}"#, "ScopeLocked", "locked"),
            (
                r#"{"Error":{"Code":"ScopeLocked","Message":"locked"}}"#,
                "ScopeLocked",
                "locked",
            ),
            (
                r#""The field shellCommand is required.""#,
                "HttpStatus400",
                "The field shellCommand is required.",
            ),
            ("no route", "HttpStatus400", "no route"),
            ("", "HttpStatus400", "status 400 without a message"),
            (
                "<html><h1>502</h1></html>",
                "HttpStatus400",
                "status 400 with a body that is no ARM error",
            ),
            (
                r#"{"error":{"code":"X"}}"#,
                "X",
                "status 400 with a body that is no ARM error",
            ),
            (
                r#"{"error":"invalid_client"}"#,
                "HttpStatus400",
                "status 400 with a body that is no ARM error",
            ),
            ("[1,2", "HttpStatus400", "[1,2"),
        ] {
            assert_eq!(
                read(400, body),
                (code.to_owned(), message.to_owned(), Vec::new()),
                "{body}"
            );
        }
    }

    #[test]
    fn the_causes_below_a_failed_deployment_are_found() {
        let inner = r#"{\"error\":{\"code\":\"SkuNotAvailable\",\"message\":\"m\"}}"#;
        let body = format!(
            r#"{{"error":{{"code":"DeploymentFailed","message":"m","details":[{{"code":"Conflict","message":"{inner}"}}]}}}}"#
        );
        assert_eq!(read(409, &body).2, ["Conflict", "SkuNotAvailable"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let body = serde_json::json!({"error": {"code": "X", "message": "é".repeat(5000)}}).to_string();
        assert_eq!(read(400, &body).1.chars().count(), 1025);
    }
}
