//! The request bodies of an execution, and its responses.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// The bodies that are known for a command in a Shell pool. Documents and the live service disagree, and a 400 that
/// names a field ran nothing, so they are tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyForm {
    /// `{shellCommand}`: what live-tested clients send (langchain-azure-dynamic-sessions 1.0.4).
    Command,
    /// `{shellCommand, timeoutInSeconds}`: the description of the session image.
    CommandWithTimeout,
    /// `{codeInputType, executionType, shellCommand, timeoutInSeconds}`: the tutorial for Shell pools; the live service
    /// was reported to refuse it in 2026.
    Typed,
    /// `{execCommandAndArgs}`: the description of the session image, excludes `shellCommand`.
    Arguments,
}

impl BodyForm {
    /// Every form, the likeliest first.
    pub const ALL: [Self; 4] = [Self::Command, Self::CommandWithTimeout, Self::Typed, Self::Arguments];

    /// The body for a command.
    pub(super) fn body(self, text: &str, timeout: Duration) -> Value {
        let seconds = timeout.as_secs().max(1);
        match self {
            Self::Command => json!({"shellCommand": text}),
            Self::CommandWithTimeout => json!({"shellCommand": text, "timeoutInSeconds": seconds}),
            Self::Typed => json!({
                "codeInputType": "inline",
                "executionType": "synchronous",
                "shellCommand": text,
                "timeoutInSeconds": seconds,
            }),
            Self::Arguments => json!({"execCommandAndArgs": ["/bin/sh", "-c", text]}),
        }
    }
}

/// Whether a 400's message is about the form of the body: it names one of the fields that the forms differ in.
pub(super) fn names_a_field(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "shellcommand",
        "timeoutinseconds",
        "codeinputtype",
        "executiontype",
        "execcommandandargs",
    ]
    .iter()
    .any(|field| message.contains(field))
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// The command ended with this code.
    Exited(i32),
    /// The service could not start the command or ended it, such as `ExecutionTimeout`.
    Failed {
        /// The service's name of the failure.
        name: Option<String>,
        /// The service's message.
        message: Option<String>,
    },
    /// The response does not say. This never counts as success.
    Unknown,
}

/// The response of an execution. Each stream was cut by the service at 4096 bytes, and its last write may be missing
/// (measured by the authors of langchain's azure-compute).
#[derive(Clone, PartialEq, Eq)]
pub struct Execution {
    /// What the command wrote to its standard output, as far as the service returned it.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExecutionStatus,
}

/// Streams may hold secrets, so only their lengths are shown.
impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("stdout_bytes", &self.stdout.len())
            .field("stderr_bytes", &self.stderr.len())
            .field("status", &self.status)
            .finish()
    }
}

/// Reads the answer of an execution in every shape that is known: the live one of Shell pools (`status` is the exit
/// code as a string), the session image's (`exitCode`, `errorName`), a Python pool's (`Succeeded`), with and without the
/// `properties` wrapper of versions before 2024-10-02-preview. `None` if it is none of them.
pub(super) fn parse(answer: &Value) -> Option<Execution> {
    let answer = member(answer, "properties")
        .filter(|value| value.is_object())
        .unwrap_or(answer);
    let result = member(answer, "result")
        .filter(|value| value.is_object())
        .unwrap_or(answer);
    let stdout = member(result, "stdout");
    let stderr = member(result, "stderr");
    let status = member(answer, "status");
    let exit_code = member(answer, "exitCode").or_else(|| member(result, "exitCode"));
    if stdout.is_none() && stderr.is_none() && status.is_none() && exit_code.is_none() {
        return None;
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Execution {
        stdout: text(stdout),
        stderr: text(stderr),
        status: parse_status(answer, exit_code, status),
    })
}

fn parse_status(answer: &Value, exit_code: Option<&Value>, status: Option<&Value>) -> ExecutionStatus {
    let text = |name: &str| {
        let value = member(answer, name)
            .and_then(Value::as_str)
            .filter(|value| !value.is_empty());
        value.map(|value| value.chars().take(512).collect::<String>())
    };
    let error = member(answer, "error").map(|error| member(error, "error").unwrap_or(error));
    let of_error = |name: &str| {
        error
            .and_then(|error| member(error, name))
            .and_then(Value::as_str)
            .map(|value| value.chars().take(512).collect())
    };
    let failed = || ExecutionStatus::Failed {
        name: text("errorName").or_else(|| of_error("code")),
        message: text("errorMessage").or_else(|| of_error("message")),
    };
    let integer = |value: &Value| -> Option<i32> {
        let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
        i32::try_from(number).ok()
    };
    // The image says −1 for what it could not start or had to end; no process exits so.
    let code = exit_code
        .and_then(Value::as_i64)
        .and_then(|code| i32::try_from(code).ok());
    match code.or_else(|| status.and_then(integer)) {
        Some(code) if code < 0 => failed(),
        Some(code) => ExecutionStatus::Exited(code),
        None => match status
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "succeeded" | "success" => ExecutionStatus::Exited(0),
            "failed" | "failure" => failed(),
            _ => ExecutionStatus::Unknown,
        },
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| {
            object
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        })
        .filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{BodyForm, Execution, ExecutionStatus, names_a_field, parse};

    fn status(answer: &Value) -> ExecutionStatus {
        parse(answer).expect("an execution").status
    }

    #[test]
    fn the_live_answer_has_the_exit_code_as_a_string() {
        let answer = json!({"id": "1", "identifier": "x", "status": "7", "result": {"stdout": "a\n", "stderr": "b"}});
        let expected = Execution {
            stdout: "a\n".to_owned(),
            stderr: "b".to_owned(),
            status: ExecutionStatus::Exited(7),
        };
        assert_eq!(parse(&answer), Some(expected));
    }

    #[test]
    fn every_known_shape_tells_how_the_command_ended() {
        let failed = |name: Option<&str>, message: Option<&str>| ExecutionStatus::Failed {
            name: name.map(str::to_owned),
            message: message.map(str::to_owned),
        };
        for (answer, expected) in [
            (
                json!({"$id": "1", "status": "0", "result": {"$id": "2", "stdout": ""}}),
                ExecutionStatus::Exited(0),
            ),
            (
                json!({"status": "Failed", "exitCode": 3, "result": {}}),
                ExecutionStatus::Exited(3),
            ),
            (
                json!({"status": "Succeeded", "exitCode": 0, "result": {}}),
                ExecutionStatus::Exited(0),
            ),
            (
                json!({"status": "Succeeded", "result": {"stdout": ""}}),
                ExecutionStatus::Exited(0),
            ),
            (
                json!({"status": "Failed", "exitCode": -1, "errorName": "ExecutionTimeout", "errorMessage": "late"}),
                failed(Some("ExecutionTimeout"), Some("late")),
            ),
            (json!({"status": "-1", "result": {}}), failed(None, None)),
            (
                json!({"status": "Failed", "error": {"error": {"code": "C", "message": "m"}}}),
                failed(Some("C"), Some("m")),
            ),
            (
                json!({"properties": {"status": "Success", "stdout": "x"}}),
                ExecutionStatus::Exited(0),
            ),
            (json!({"result": {"stdout": "x"}}), ExecutionStatus::Unknown),
            (json!({"status": "Running", "result": null}), ExecutionStatus::Unknown),
            (json!({"status": 7, "result": {}}), ExecutionStatus::Exited(7)),
        ] {
            assert_eq!(status(&answer), expected, "{answer}");
        }
    }

    #[test]
    fn what_is_no_execution_is_not_taken_for_one() {
        for answer in [
            json!(null),
            json!("0"),
            json!([]),
            json!({}),
            json!({"error": {"code": "X"}}),
        ] {
            assert_eq!(parse(&answer), None, "{answer}");
        }
    }

    #[test]
    fn a_refusal_is_about_the_form_when_it_names_a_field() {
        assert!(names_a_field("Unrecognized fields: codeInputType, executionType"));
        assert!(names_a_field("The ShellCommand field is required."));
        assert!(!names_a_field("identifier is too short"));
    }

    #[test]
    fn the_first_form_has_nothing_but_the_command() {
        let bodies = BodyForm::ALL.map(|form| form.body("echo hi", Duration::from_secs(30)));
        assert_eq!(bodies[0], json!({"shellCommand": "echo hi"}));
        assert_eq!(bodies[1], json!({"shellCommand": "echo hi", "timeoutInSeconds": 30}));
        assert_eq!(bodies[3], json!({"execCommandAndArgs": ["/bin/sh", "-c", "echo hi"]}));
    }

    #[test]
    fn streams_are_not_shown_when_an_execution_is_debugged() {
        let execution = parse(&json!({"status": "0", "result": {"stdout": "canary"}})).unwrap();
        assert!(!format!("{execution:?}").contains("canary"));
    }
}
