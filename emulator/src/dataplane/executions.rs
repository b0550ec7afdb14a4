//! `/executions`: running commands.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Call;
use super::error::ServiceError;
use super::session::{Backend, Lease};
use crate::AppState;
use crate::behaviour::{SessionsBehaviour, ShellResponse};
use crate::json;
use crate::server::ConnectionControl;
use crate::session::{Command, Completion, ExecuteError, Execution, SimulatedExecution, StreamRules};

/// What a body asks for.
struct ShellRequest {
    command: Command,
    timeout: Option<Duration>,
    stream_limit_bytes: usize,
    is_asynchronous: bool,
    /// The caller's spelling, which the answer repeats.
    execution_type: Option<String>,
}

/// One execution, on its way.
struct Run {
    id: String,
    lease: Lease,
    state: AppState,
    pool_id: String,
    request: ShellRequest,
    behaviour: std::sync::Arc<crate::behaviour::Behaviour>,
}

/// `POST /executions`.
pub(super) async fn execute(call: &Call) -> Result<Response, ServiceError> {
    shell_only(call)?;
    let behaviour = call.state.behaviour();
    let request = ShellRequest::parse(&call.body, &behaviour.sessions)?;
    let given_id = call.parts.headers.get("operation-id").and_then(|id| id.to_str().ok());
    let id = given_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let connection = call.parts.extensions.get::<ConnectionControl>().cloned();

    let lease = call.session().await?;
    lease.count_execution();
    let mut headers = session_headers(&lease, &behaviour.sessions);
    let running = json!({
        "id": id, "identifier": lease.identifier, "executionType": request.execution_type, "status": "Running",
    });
    lease.remember_execution(&id, running.clone());
    let is_asynchronous = request.is_asynchronous;
    let run = Run {
        id: id.clone(),
        lease,
        state: call.state.clone(),
        pool_id: call.pool.id.clone(),
        request,
        behaviour: behaviour.clone(),
    };
    // On its own, because the command outlives both the client's connection and the time for a synchronous answer.
    let mut ended = tokio::spawn(run.finish());
    let location = format!(
        "{}{}/executions/{id}?api-version={}&identifier={}",
        call.state.root(),
        call.target.base,
        call.version.as_str(),
        crate::query::encode(call.target.identifier()?),
    );
    headers.extend([("operation-id", id), ("operation-location", location)]);
    if is_asynchronous {
        return Ok(answered(running, headers));
    }
    let limit = Duration::try_from_secs_f64(behaviour.sessions.synchronous_limit_seconds).unwrap_or(Duration::MAX);
    let Ok(joined) = tokio::time::timeout(limit, &mut ended).await else {
        if let Some(connection) = connection {
            connection.close();
        }
        return Ok(StatusCode::GATEWAY_TIMEOUT.into_response());
    };
    let body = joined.map_err(|error| ExecuteError::Io(std::io::Error::other(error)))??;
    Ok(answered(body, headers))
}

/// `GET /executions/{id}`.
pub(super) async fn get(call: &Call, id: &str) -> Result<Response, ServiceError> {
    let lease = call.session().await?;
    let unknown = || ServiceError::not_found(format!("No execution available for operation Id: {id}."));
    let body = lease.execution(id).ok_or_else(unknown)?;
    Ok((StatusCode::OK, Json(body)).into_response())
}

/// `POST /code/execute`, which Shell pools never had.
pub(super) fn execute_older(call: &Call) -> Result<Response, ServiceError> {
    shell_only(call)?;
    Err(ServiceError::bad_request(
        "InvalidPath",
        format!(
            "Session pool '{}' runs shell commands by POST /executions.",
            call.pool.name
        ),
    ))
}

fn shell_only(call: &Call) -> Result<(), ServiceError> {
    if call.pool.container_type.eq_ignore_ascii_case("Shell") {
        return Ok(());
    }
    Err(ServiceError::not_emulated(format!(
        "The emulator does not run code of {} pools.",
        call.pool.container_type
    )))
}

/// 202 also for what has ended, as recorded.
fn answered(body: Value, headers: Vec<(&'static str, String)>) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What the headers of an answer tell of its session. The service documents them for Python pools only.
fn session_headers(lease: &Lease, switches: &SessionsBehaviour) -> Vec<(&'static str, String)> {
    if !switches.allocation_headers {
        return Vec::new();
    }
    let took = if lease.is_new() {
        lease.allocation_time()
    } else {
        SignedDuration::ZERO
    };
    vec![
        ("x-ms-allocation-retries", "0".to_owned()),
        ("x-ms-allocation-time", (took.as_secs_f64() * 1000.0).to_string()),
        ("x-ms-new-allocation", lease.is_new().to_string()),
        ("x-ms-session-guid", lease.etag.to_string()),
    ]
}

impl ShellRequest {
    fn parse(body: &[u8], behaviour: &SessionsBehaviour) -> Result<Self, ServiceError> {
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

impl Run {
    /// Runs the command, writes it into the journal and returns the body of the answer.
    async fn finish(self) -> Result<Value, ServiceError> {
        let start = self.state.clock().now();
        let result = self.execute().await;
        let end = self.state.clock().now();
        let exit_code = result.as_ref().ok().map(|execution| exit_code(execution.completion));
        self.state.journal().record_execution(json!({
            "pool": self.pool_id,
            "identifier": self.lease.identifier,
            "id": self.id,
            "text": self.request.command.text(),
            "start": start,
            "end": end,
            "exitCode": exit_code,
        }));
        let shape = self.behaviour.sessions.shell_response;
        let result = match (result, shape) {
            (Ok(execution), ShellResponse::Live) => Ok(self.live(&execution)),
            (Ok(execution), ShellResponse::Image) => Ok(self.image(&execution)),
            (Err(error @ (ExecuteError::ArgumentTooLong | ExecuteError::InvalidCommand)), ShellResponse::Image) => {
                Ok(self.not_started(&error))
            }
            (Err(error), _) => Err(ServiceError::from(error)),
        };
        if let Ok(body) = &result {
            self.lease.remember_execution(&self.id, body.clone());
        }
        result
    }

    async fn execute(&self) -> Result<Execution, ExecuteError> {
        let backend = self
            .lease
            .backend(&self.state.dataplane().host, self.state.clock())
            .await;
        let backend = backend.map_err(|error| ExecuteError::Io(std::io::Error::other(error)))?;
        match backend {
            Backend::Container(container) => {
                let rules = StreamRules {
                    max_bytes: self.request.stream_limit_bytes,
                    lose_last_write: happens(self.behaviour.sessions.lost_write_probability),
                };
                container
                    .execute(&self.request.command, rules, self.request.timeout)
                    .await
            }
            Backend::Simulated { files, .. } => {
                // Borrowed: a clone of a regular expression would have to warm up again.
                let switched_off = SimulatedExecution::default();
                let simulation = self
                    .behaviour
                    .sessions
                    .simulated_execution
                    .as_ref()
                    .unwrap_or(&switched_off);
                let duration = Duration::from_millis(simulation.milliseconds);
                tokio::select! {
                    () = tokio::time::sleep(duration) => {}
                    () = self.lease.removed().cancelled() => return Err(ExecuteError::SessionEnded),
                }
                let mut execution = simulation.respond(&self.request.command.text(), files);
                execution.stdout.truncate(self.request.stream_limit_bytes);
                execution.stderr.truncate(self.request.stream_limit_bytes);
                Ok(execution)
            }
        }
    }

    fn live(&self, execution: &Execution) -> Value {
        json!({
            "id": self.id,
            "identifier": self.lease.identifier,
            "status": exit_code(execution.completion).to_string(),
            "result": streams(execution),
        })
    }

    fn image(&self, execution: &Execution) -> Value {
        let (status, error) = match execution.completion {
            Completion::Exited(0) => ("Succeeded", None),
            Completion::Exited(_) => ("Failed", None),
            Completion::TimedOut => ("Failed", Some(("ExecutionTimeout", "The command did not end in time."))),
        };
        json!({
            "id": self.id,
            "identifier": self.lease.identifier,
            "status": status,
            "exitCode": exit_code(execution.completion),
            "errorName": error.map(|(name, _)| name),
            "errorMessage": error.map(|(_, message)| message),
            "result": streams(execution),
        })
    }

    fn not_started(&self, error: &ExecuteError) -> Value {
        json!({
            "id": self.id,
            "identifier": self.lease.identifier,
            "status": "Failed",
            "exitCode": -1,
            "errorName": "CommandStartError",
            "errorMessage": error.to_string(),
            "result": { "stdout": "", "stderr": "", "executionTimeInMilliseconds": 0 },
        })
    }
}

/// The exit code as the service gives it: −1 for a command that was killed at its time limit.
fn exit_code(completion: Completion) -> i32 {
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

/// True with a probability.
fn happens(probability: f64) -> bool {
    // 53 random bits fill the mantissa of a double.
    let bits = Uuid::new_v4().as_u128() & ((1 << 53) - 1);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let uniform = bits as f64 / (1u64 << 53) as f64;
    uniform < probability
}
