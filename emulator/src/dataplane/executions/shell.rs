//! Executions of Shell pools: commands.

use std::time::Duration;

use serde_json::{Value, json};

use super::Run;
use crate::behaviour::{SessionsBehaviour, ShellResponse};
use crate::dataplane::error::ServiceError;
use crate::json;
use crate::session::{Command, Completion, ExecuteError, Execution};

/// What a body asks for.
#[derive(Debug)]
pub(super) struct ShellRequest {
    pub(super) command: Command,
    pub(super) timeout: Option<Duration>,
    pub(super) stream_limit_bytes: usize,
    pub(super) is_asynchronous: bool,
    /// The caller's spelling, which the answer repeats.
    pub(super) execution_type: Option<String>,
}

impl ShellRequest {
    pub(super) fn parse(body: &[u8], behaviour: &SessionsBehaviour) -> Result<Self, ServiceError> {
        let refuse = |message: String| ServiceError::bad_request("InvalidRequestBody", message);
        let body: Value = serde_json::from_slice(body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| refuse("The body must be a JSON object.".to_owned()))?;
        let present = |names: &[String], wanted: bool| -> Vec<String> {
            let found = |name: &&String| json::get(&body, name).is_some() == wanted;
            names.iter().filter(found).map(|name| format!("'{name}'")).collect()
        };
        let rejected = present(&behaviour.rejected_shell_fields, true);
        if !rejected.is_empty() {
            let names = rejected.join(", ");
            return Err(refuse(format!(
                "The fields {names} are not accepted by session pools of type Shell."
            )));
        }
        let missing = present(&behaviour.required_shell_fields, false);
        if !missing.is_empty() {
            return Err(refuse(format!("The fields {} are required.", missing.join(", "))));
        }
        let text = match json::get(&body, "shellCommand") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => return Err(refuse("The field 'shellCommand' must be a string.".to_owned())),
        };
        let arguments = match json::get(&body, "execCommandAndArgs") {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                serde_json::from_value::<Vec<String>>(value.clone())
                    .map_err(|_| refuse("The field 'execCommandAndArgs' must be a list of strings.".to_owned()))?,
            ),
        };
        let command = match (text, arguments) {
            (Some(text), None) if !text.is_empty() => Command::Shell(text),
            (None, Some(arguments)) if !arguments.is_empty() => Command::Arguments(arguments),
            (Some(_), Some(_)) => {
                return Err(refuse(
                    "The fields 'shellCommand' and 'execCommandAndArgs' exclude each other.".to_owned(),
                ));
            }
            _ => return Err(refuse("The field 'shellCommand' is required.".to_owned())),
        };
        let whole = |name: &str| match json::get(&body, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().filter(|number| *number > 0);
                number
                    .map(Some)
                    .ok_or_else(|| refuse(format!("The field '{name}' must be a positive whole number.")))
            }
        };
        let timeout = whole("timeoutInSeconds")?.map(Duration::from_secs);
        let wanted_streams = whole("outputStreamsMaxLength")?.and_then(|length| usize::try_from(length).ok());
        let stream_limit_bytes = match behaviour.shell_response {
            ShellResponse::Live => behaviour.stream_limit_bytes,
            ShellResponse::Image => wanted_streams.unwrap_or(behaviour.stream_limit_bytes),
        };
        let execution_type = json::get_str(&body, "executionType").map(str::to_owned);
        let is_asynchronous = execution_type
            .as_ref()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("asynchronous"));
        Ok(Self {
            command,
            timeout,
            stream_limit_bytes,
            is_asynchronous,
            execution_type,
        })
    }
}

/// The body of the answer.
pub(super) fn answer(
    run: &Run,
    result: Result<Execution, ExecuteError>,
    shape: ShellResponse,
) -> Result<Value, ServiceError> {
    match (result, shape) {
        (Ok(execution), ShellResponse::Live) => Ok(live(run, &execution)),
        (Ok(execution), ShellResponse::Image) => Ok(image(run, &execution)),
        (Err(error @ (ExecuteError::ArgumentTooLong | ExecuteError::InvalidCommand)), ShellResponse::Image) => {
            Ok(not_started(run, &error))
        }
        (Err(error), _) => Err(ServiceError::from(error)),
    }
}

fn live(run: &Run, execution: &Execution) -> Value {
    json!({
        "id": run.id,
        "identifier": run.lease.identifier,
        "status": exit_code(execution.completion).to_string(),
        "result": streams(execution),
    })
}

fn image(run: &Run, execution: &Execution) -> Value {
    let (status, error) = match execution.completion {
        Completion::Exited(0) => ("Succeeded", None),
        Completion::Exited(_) => ("Failed", None),
        Completion::TimedOut => ("Failed", Some(("ExecutionTimeout", "The command did not end in time."))),
    };
    json!({
        "id": run.id,
        "identifier": run.lease.identifier,
        "status": status,
        "exitCode": exit_code(execution.completion),
        "errorName": error.map(|(name, _)| name),
        "errorMessage": error.map(|(_, message)| message),
        "result": streams(execution),
    })
}

fn not_started(run: &Run, error: &ExecuteError) -> Value {
    json!({
        "id": run.id,
        "identifier": run.lease.identifier,
        "status": "Failed",
        "exitCode": -1,
        "errorName": "CommandStartError",
        "errorMessage": error.to_string(),
        "result": { "stdout": "", "stderr": "", "executionTimeInMilliseconds": 0 },
    })
}

/// The exit code as the service gives it: −1 for a command that was killed at its time limit.
pub(in crate::dataplane) fn exit_code(completion: Completion) -> i32 {
    match completion {
        Completion::Exited(code) => code,
        Completion::TimedOut => -1,
    }
}

/// Streams are strings in the answer, so bytes that are not UTF-8 are lost: also half a character at the cut.
fn streams(execution: &Execution) -> Value {
    json!({
        "stdout": String::from_utf8_lossy(&execution.stdout),
        "stderr": String::from_utf8_lossy(&execution.stderr),
        "executionTimeInMilliseconds": u64::try_from(execution.duration.as_millis()).unwrap_or(u64::MAX),
    })
}
