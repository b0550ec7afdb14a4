//! The tools of a pool's MCP server.
//!
//! An environment is a session; its id is the session's identifier. It is allocated by the first command, and any identifier
//! will do. Every pool has every tool, as Microsoft's page says.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::RpcError;
use crate::dataplane::Call;
use crate::dataplane::error::ServiceError;
use crate::dataplane::executions::{Run, exit_code, shown, with_failure};
use crate::dataplane::target::check_identifier;
use crate::session::{Code, Command, KernelUse, Language, Outcome};

/// How long a tool may run: what the service gives a request.
const LIMIT: Duration = Duration::from_secs(220);

/// The description of every tool.
pub(super) fn list() -> Value {
    let environment = json!({ "type": "string", "description": "The id that launching the environment returned." });
    let launch = json!({ "type": "object", "properties": {} });
    json!([
        {
            "name": "launchShell",
            "description": "Launches an environment for shell commands and code, and returns its environmentId.",
            "inputSchema": launch,
        },
        {
            "name": "launchPythonEnvironment",
            "description": "Launches an environment for Python code, and returns its environmentId.",
            "inputSchema": launch,
        },
        {
            "name": "runShellCommandInRemoteEnvironment",
            "description": "Runs a command in an environment: either shellCommand or execCommandAndArgs.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "environmentId": environment,
                    "shellCommand": { "type": "string", "description": "Text for a shell." },
                    "execCommandAndArgs": {
                        "type": "array", "items": { "type": "string" }, "description": "A program and its arguments.",
                    },
                },
                "required": ["environmentId"],
            },
        },
        {
            "name": "runPythonCodeInRemoteEnvironment",
            "description": "Runs Python code in an environment, which keeps what the code defines.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "environmentId": environment,
                    "pythonCode": { "type": "string", "description": "The code." },
                },
                "required": ["environmentId", "pythonCode"],
            },
        },
    ])
}

/// Calls a tool. What goes wrong in it is a result too, so that a model reads it; only a wrong call is an error.
pub(super) async fn call(call: &Call, parameters: &Value) -> Result<Value, RpcError> {
    let name = parameters.get("name").and_then(Value::as_str).unwrap_or_default();
    let arguments = parameters.get("arguments").unwrap_or(&Value::Null);
    let outcome = match name {
        "launchShell" | "launchPythonEnvironment" => Ok(Output {
            content: json!({ "environmentId": Uuid::new_v4() }),
            is_error: false,
        }),
        "runShellCommandInRemoteEnvironment" => run_command(call, environment(arguments)?, command(arguments)?).await,
        "runPythonCodeInRemoteEnvironment" => {
            let code = text(arguments, "pythonCode")?
                .ok_or_else(|| RpcError::invalid_parameters("The argument 'pythonCode' is required."))?;
            run_code(call, environment(arguments)?, code).await
        }
        _ => return Err(RpcError::invalid_parameters(format!("There is no tool '{name}'."))),
    };
    Ok(match outcome {
        Ok(Output { content, is_error }) => json!({
            "content": [{ "type": "text", "text": content.to_string() }],
            "structuredContent": content,
            "isError": is_error,
        }),
        Err(error) => json!({ "content": [{ "type": "text", "text": error.to_string() }], "isError": true }),
    })
}

/// What a tool answers.
struct Output {
    content: Value,
    is_error: bool,
}

async fn run_command(call: &Call, environment: &str, command: Command) -> Result<Output, ServiceError> {
    let run = begin(call, environment).await?;
    let limit = run.behaviour.sessions.stream_limit_bytes;
    let execution = run.shell(&command, limit, Some(LIMIT)).await?;
    let exit_code = exit_code(execution.completion);
    Ok(Output {
        content: json!({
            "stdout": String::from_utf8_lossy(&execution.stdout),
            "stderr": String::from_utf8_lossy(&execution.stderr),
            "exitCode": exit_code,
        }),
        is_error: exit_code != 0,
    })
}

async fn run_code(call: &Call, environment: &str, text: &str) -> Result<Output, ServiceError> {
    let run = begin(call, environment).await?;
    let code = Code {
        language: Language::Python,
        kernel: KernelUse::Synchronous,
        text: text.to_owned(),
        limit: LIMIT,
        stream_bytes: run.behaviour.sessions.stream_limit_bytes,
    };
    let execution = run.code(&code).await?;
    let stderr = String::from_utf8_lossy(&execution.stderr).into_owned();
    let stderr = with_failure(stderr, &execution.outcome);
    let (result, is_error) = match execution.outcome {
        Outcome::Succeeded(result) => (shown(result, false), false),
        Outcome::Raised | Outcome::TimedOut | Outcome::Died => (Value::from(""), true),
    };
    Ok(Output {
        content: json!({
            "stdout": String::from_utf8_lossy(&execution.stdout),
            "stderr": stderr,
            "executionResult": result,
        }),
        is_error,
    })
}

async fn begin(call: &Call, environment: &str) -> Result<Run, ServiceError> {
    let lease = call.session_of(environment).await?;
    lease.count_execution();
    Ok(Run {
        id: Uuid::new_v4().to_string(),
        lease,
        state: call.state.clone(),
        pool_id: call.pool.id.clone(),
        behaviour: call.state.behaviour(),
    })
}

fn environment(arguments: &Value) -> Result<&str, RpcError> {
    let id = text(arguments, "environmentId")?
        .ok_or_else(|| RpcError::invalid_parameters("The argument 'environmentId' is required."))?;
    check_identifier(id)
        .map_err(|_| RpcError::invalid_parameters("The argument 'environmentId' must have 4 to 128 characters."))
}

fn command(arguments: &Value) -> Result<Command, RpcError> {
    let words = arguments.get("execCommandAndArgs").filter(|words| !words.is_null());
    match (text(arguments, "shellCommand")?, words) {
        (Some(text), None) => Ok(Command::Shell(text.to_owned())),
        (None, Some(words)) => serde_json::from_value(words.clone())
            .map(Command::Arguments)
            .map_err(|_| RpcError::invalid_parameters("The argument 'execCommandAndArgs' must be a list of strings.")),
        _ => Err(RpcError::invalid_parameters(
            "Exactly one of the arguments 'shellCommand' and 'execCommandAndArgs' is required.",
        )),
    }
}

fn text<'a>(arguments: &'a Value, name: &str) -> Result<Option<&'a str>, RpcError> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RpcError::invalid_parameters(format!(
            "The argument '{name}' must be a string."
        ))),
    }
}
