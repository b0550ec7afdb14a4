//! `/executions`, and `/code/execute` of the older versions: running commands and code.

mod code;
mod shell;

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use code::CodeRequest;
pub(super) use code::{shown, with_failure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shell::ShellRequest;
pub(super) use shell::exit_code;
use uuid::Uuid;

use super::Call;
use super::error::ServiceError;
use super::session::{Backend, Lease};
use crate::AppState;
use crate::behaviour::{Behaviour, SessionsBehaviour};
use crate::server::ConnectionControl;
use crate::session::{
    Code, CodeExecution, Command, Completion, ExecuteError, Execution, KernelError, Language, Outcome,
    SimulatedExecution, StreamRules,
};
use crate::store::Pool;

/// What a body asks for.
enum Request {
    Shell(ShellRequest),
    Code(CodeRequest),
}

/// One execution in a session.
pub(super) struct Run {
    /// Its id, which `GET /executions/{id}` takes.
    pub(super) id: String,
    /// The session.
    pub(super) lease: Lease,
    /// The emulator.
    pub(super) state: AppState,
    /// The ARM id of the pool.
    pub(super) pool_id: String,
    /// The switches, as they were when it began.
    pub(super) behaviour: std::sync::Arc<Behaviour>,
}

/// `POST /executions`.
pub(super) async fn execute(call: &Call) -> Result<Response, ServiceError> {
    let request = Request::parse(call)?;
    start(call, request).await
}

/// `POST /code/execute`, which Shell pools never had.
pub(super) async fn execute_older(call: &Call) -> Result<Response, ServiceError> {
    match Request::parse(call)? {
        Request::Shell(_) => Err(ServiceError::bad_request(
            "InvalidPath",
            format!(
                "Session pool '{}' runs shell commands by POST /executions.",
                call.pool.name
            ),
        )),
        request @ Request::Code(_) => {
            let mut response = start(call, request).await?;
            if response.status() == StatusCode::ACCEPTED {
                *response.status_mut() = StatusCode::OK;
            }
            Ok(response)
        }
    }
}

async fn start(call: &Call, request: Request) -> Result<Response, ServiceError> {
    let behaviour = call.state.behaviour();
    let given_id = call.parts.headers.get("operation-id").and_then(|id| id.to_str().ok());
    let id = given_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let connection = call.parts.extensions.get::<ConnectionControl>().cloned();

    let lease = call.session().await?;
    lease.count_execution();
    let mut headers = session_headers(&lease, &call.pool, &behaviour.sessions);
    let running = json!({
        "id": id, "identifier": lease.identifier, "executionType": request.execution_type(), "status": "Running",
    });
    lease.remember_execution(&id, running.clone());
    let is_asynchronous = request.is_asynchronous();
    let run = Run {
        id: id.clone(),
        lease,
        state: call.state.clone(),
        pool_id: call.pool.id.clone(),
        behaviour: behaviour.clone(),
    };
    // On its own, because the execution outlives both the client's connection and the time for a synchronous answer.
    let mut ended = tokio::spawn(run.finish(request));
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
fn session_headers(lease: &Lease, pool: &Pool, switches: &SessionsBehaviour) -> Vec<(&'static str, String)> {
    if !switches.allocation_headers && !pool.container_type.eq_ignore_ascii_case("PythonLTS") {
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

impl Request {
    fn parse(call: &Call) -> Result<Self, ServiceError> {
        let behaviour = &call.state.behaviour().sessions;
        match language(&call.pool) {
            None => ShellRequest::parse(&call.body, behaviour).map(Self::Shell),
            Some(language) => CodeRequest::parse(&call.body, language, call.version, behaviour).map(Self::Code),
        }
    }

    fn is_asynchronous(&self) -> bool {
        match self {
            Self::Shell(request) => request.is_asynchronous,
            Self::Code(request) => request.is_asynchronous,
        }
    }

    fn execution_type(&self) -> Option<&str> {
        match self {
            Self::Shell(request) => request.execution_type.as_deref(),
            Self::Code(request) => request.execution_type.as_deref(),
        }
    }
}

/// What the code of a pool is written in; nothing for Shell pools.
fn language(pool: &Pool) -> Option<Language> {
    match pool.container_type.to_ascii_lowercase().as_str() {
        "shell" => None,
        "nodelts" => Some(Language::Node),
        _ => Some(Language::Python),
    }
}

impl Run {
    /// Carries the execution out and returns the body of the answer, which the session remembers.
    async fn finish(self, request: Request) -> Result<Value, ServiceError> {
        let result = match request {
            Request::Shell(request) => {
                let result = self
                    .shell(&request.command, request.stream_limit_bytes, request.timeout)
                    .await;
                shell::answer(&self, result, self.behaviour.sessions.shell_response)
            }
            Request::Code(request) => match self.code(&request.code).await {
                Ok(execution) => Ok(request.answer(&self, execution)),
                Err(error) => Err(ServiceError::from(error)),
            },
        };
        if let Ok(body) = &result {
            self.lease.remember_execution(&self.id, body.clone());
        }
        result
    }

    /// Runs a command and writes it into the journal.
    pub(super) async fn shell(
        &self,
        command: &Command,
        max_bytes: usize,
        limit: Option<Duration>,
    ) -> Result<Execution, ExecuteError> {
        let start = self.state.clock().now();
        let result = match self.backend().await.map_err(ExecuteError::Io)? {
            Backend::Container(container) => {
                let rules = StreamRules {
                    max_bytes,
                    lose_last_write: happens(self.behaviour.sessions.lost_write_probability),
                };
                container.execute(command, rules, limit).await
            }
            Backend::Simulated { .. } => match self.simulate(&command.text()).await {
                Some(mut execution) => {
                    execution.stdout.truncate(max_bytes);
                    execution.stderr.truncate(max_bytes);
                    Ok(execution)
                }
                None => Err(ExecuteError::SessionEnded),
            },
        };
        let code = result.as_ref().ok().map(|execution| exit_code(execution.completion));
        self.record(start, &command.text(), code);
        result
    }

    /// Runs code and writes it into the journal, whose exit codes are 0 and 1 for it, and −1 at the time limit.
    pub(super) async fn code(&self, code: &Code) -> Result<CodeExecution, KernelError> {
        let start = self.state.clock().now();
        let result = match self.backend().await? {
            Backend::Container(container) => container.run_code(code).await,
            Backend::Simulated { .. } => match self.simulate(&code.text).await {
                Some(execution) => Ok(CodeExecution {
                    stdout: execution.stdout,
                    stderr: execution.stderr,
                    outcome: match execution.completion {
                        Completion::Exited(0) => Outcome::Succeeded(None),
                        Completion::Exited(_) => Outcome::Raised,
                        Completion::TimedOut => Outcome::TimedOut,
                    },
                    duration: execution.duration,
                }),
                None => Err(KernelError::SessionEnded),
            },
        };
        let exit_code = result.as_ref().ok().map(|execution| match execution.outcome {
            Outcome::Succeeded(_) => 0,
            Outcome::Raised | Outcome::Died => 1,
            Outcome::TimedOut => -1,
        });
        self.record(start, &code.text, exit_code);
        result
    }

    async fn backend(&self) -> std::io::Result<&Backend> {
        let backend = self
            .lease
            .backend(&self.state.dataplane().host, self.state.clock())
            .await;
        backend.map_err(std::io::Error::other)
    }

    /// The answer of a template; nothing where the session ends before it is due.
    async fn simulate(&self, text: &str) -> Option<Execution> {
        let Ok(Backend::Simulated { files, .. }) = self.backend().await else {
            return None;
        };
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
            () = self.lease.removed().cancelled() => return None,
        }
        Some(simulation.respond(text, files))
    }

    fn record(&self, start: Timestamp, text: &str, exit_code: Option<i32>) {
        self.state.journal().record_execution(json!({
            "pool": self.pool_id,
            "identifier": self.lease.identifier,
            "id": self.id,
            "text": text,
            "start": start,
            "end": self.state.clock().now(),
            "exitCode": exit_code,
        }));
    }
}

/// True with a probability.
fn happens(probability: f64) -> bool {
    // 53 random bits fill the mantissa of a double.
    let bits = Uuid::new_v4().as_u128() & ((1 << 53) - 1);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let uniform = bits as f64 / (1u64 << 53) as f64;
    uniform < probability
}
