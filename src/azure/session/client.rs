//! The calls of the data plane.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::IgnoredAny;
use serde_json::Value;
use tracing::Instrument;

use super::answer::{MAX_ANSWER, list_member, read_json, read_list};
use super::endpoint::{PoolEndpoint, SessionIdentifier, SessionPath};
use super::error::{SessionError, SessionErrorKind};
use super::execution::{self, BodyForm, Execution};
use super::record::{Download, LiveSession, SessionFile};
use crate::azure::arm::read_error;
use crate::azure::error::ServiceError;
use crate::azure::http::{Http, TransportError, date, read_body, retry_after};
use crate::azure::scope::TokenScope;
use crate::azure::token::{Token, Tokens};

/// Executions and files: the version that the pages on Shell pools and live-tested clients use. Later versions may
/// answer in the session image's shape.
pub const EXECUTION_API_VERSION: &str = "2025-02-02-preview";
/// Sessions: the version with which langchain-azure-dynamic-sessions 1.0.4 deletes sessions of Python and Shell pools.
pub const SESSION_API_VERSION: &str = "2025-10-02-preview";
/// The longest time that the service allows a synchronous call ("Dynamic sessions usage").
pub const SYNCHRONOUS_LIMIT: Duration = Duration::from_secs(220);
/// The time that a call may take beyond the execution's own: allocation, network, queueing.
const MARGIN: Duration = Duration::from_secs(15);
/// How long a call without an execution may take.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// The largest difference of two clocks that is accepted. A clock that is off by more is wrong, or the header is forged.
const LARGEST_SKEW: i64 = 600;
/// How many pages of a list are read: more than any pool has.
const MAX_PAGES: usize = 100;
/// Added to an upload's or download's deadline for each MiB.
const PER_MEBIBYTE: Duration = Duration::from_secs(1);

/// A client of one pool's data plane for one principal; clones share the body form that the pool accepted.
///
/// A POST is never repeated: not after a lost answer, not after a 401. (The next body form after a 400 that names a
/// field is another request, and the refused one ran nothing.) GET and DELETE are sent once more after a 401, with a
/// new token. Nothing else is ever sent twice.
#[derive(Clone)]
pub struct SessionClient {
    http: Http,
    endpoint: PoolEndpoint,
    tokens: Tokens,
    scope: TokenScope,
    form: Arc<Mutex<BodyForm>>,
    skew_seconds: Arc<AtomicI64>,
}

impl fmt::Debug for SessionClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionClient")
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl SessionClient {
    /// A client of the pool at `endpoint`; `scope` is that of the cloud's [`Sessions`](crate::azure::cloud::Sessions).
    pub fn new(http: Http, endpoint: PoolEndpoint, tokens: Tokens, scope: TokenScope) -> Self {
        Self {
            http,
            endpoint,
            tokens,
            scope,
            form: Arc::new(Mutex::new(BodyForm::Command)),
            skew_seconds: Arc::default(),
        }
    }

    /// The pool's data plane.
    pub fn endpoint(&self) -> &PoolEndpoint {
        &self.endpoint
    }

    /// By how much the service's clock is ahead of this machine's, by the `Date` of its last answer. Differences of up
    /// to two seconds, which the header's whole seconds and the network can make, count as none, and those of more than ten
    /// minutes as ten minutes.
    pub fn clock_skew(&self) -> SignedDuration {
        let seconds = self.skew_seconds.load(Ordering::Relaxed);
        SignedDuration::from_secs(if seconds.abs() <= 2 { 0 } else { seconds })
    }

    /// The body form that the pool accepted last, or the one that is tried first.
    pub fn body_form(&self) -> BodyForm {
        *self.form.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `text` in the session, which is allocated if there is none, and waits at most `timeout` for its end. The
    /// service itself does not respond after [`SYNCHRONOUS_LIMIT`].
    pub async fn execute_shell(
        &self,
        identifier: &SessionIdentifier,
        text: &str,
        timeout: Duration,
    ) -> Result<Execution, SessionError> {
        let preferred = self.body_form();
        let others = BodyForm::ALL.into_iter().filter(|form| *form != preferred);
        let mut refusal: Option<SessionError> = None;
        for form in std::iter::once(preferred).chain(others) {
            match self.execute(identifier, &form.body(text, timeout), timeout).await {
                Ok(execution) => {
                    *self.form.lock().unwrap_or_else(PoisonError::into_inner) = form;
                    return Ok(execution);
                }
                Err(error) if error.status == Some(400) && execution::names_a_field(&error.message) => {
                    tracing::debug!(
                        ?form,
                        code = error.code,
                        "the pool does not take this form of an execution"
                    );
                    // The refusal of the form that the pool should take says most.
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| SessionError::unreadable(400, "no form of an execution is known")))
    }

    async fn execute(
        &self,
        identifier: &SessionIdentifier,
        body: &Value,
        timeout: Duration,
    ) -> Result<Execution, SessionError> {
        let query = [
            ("api-version", EXECUTION_API_VERSION),
            ("identifier", identifier.as_str()),
        ];
        let call = Call {
            name: "execute",
            method: Method::POST,
            segments: &["executions"],
            query: &query,
            allocates: true,
        };
        let deadline = timeout.saturating_add(MARGIN);
        let response = self.send(&call, deadline, |request| request.json(body)).await?;
        let status = response.status().as_u16();
        let answer = read_json(response).await?;
        execution::parse(&answer).ok_or_else(|| SessionError::unreadable(status, "the answer is no execution"))
    }

    /// Uploads a file into the session, which is allocated if there is none. A file of that name is replaced.
    pub async fn upload(
        &self,
        identifier: &SessionIdentifier,
        path: &SessionPath,
        bytes: impl Into<Bytes>,
    ) -> Result<(), SessionError> {
        let bytes = bytes.into();
        let query = file_query(identifier, path.directory());
        let call = Call {
            name: "upload",
            method: Method::POST,
            segments: &["files"],
            query: &query,
            allocates: true,
        };
        let deadline = transfer_deadline(bytes.len());
        let length = bytes.len() as u64;
        let part = Part::stream_with_length(bytes, length)
            .file_name(path.name().to_owned())
            .mime_str("application/octet-stream")
            .map_err(TransportError::from)?;
        let form = Form::new().part("file", part);
        let response = self.send(&call, deadline, |request| request.multipart(form)).await?;
        let status = response.status().as_u16();
        let answer = read_body(response, MAX_ANSWER).await?;
        // The service answers with the file's record. A page in its place comes from something in front of it, and the
        // file may never have arrived.
        if answer.is_empty() || serde_json::from_slice::<IgnoredAny>(&answer).is_ok() {
            Ok(())
        } else {
            Err(SessionError::unreadable(status, "the answer is not JSON"))
        }
    }

    /// Reads at most `max` bytes of a file; the rest is not transferred.
    pub async fn download(
        &self,
        identifier: &SessionIdentifier,
        path: &SessionPath,
        max: usize,
    ) -> Result<Download, SessionError> {
        let query = file_query(identifier, path.directory());
        let segments = ["files", path.name(), "content"];
        let call = Call {
            name: "download",
            method: Method::GET,
            segments: &segments,
            query: &query,
            allocates: true,
        };
        let deadline = transfer_deadline(max);
        let mut response = self.send_idempotent(&call, deadline).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(TransportError::from)? {
            let room = max - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                return Ok(Download { bytes, complete: false });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Download { bytes, complete: true })
    }

    /// Lists the files of a directory.
    pub async fn list_files(
        &self,
        identifier: &SessionIdentifier,
        directory: &str,
    ) -> Result<Vec<SessionFile>, SessionError> {
        let query = file_query(identifier, directory);
        let call = Call {
            name: "list files",
            method: Method::GET,
            segments: &["files"],
            query: &query,
            allocates: true,
        };
        let response = self.send_idempotent(&call, CALL_DEADLINE).await?;
        read_list(response, "value").await
    }

    /// Ends a session with everything in it. A session that does not exist is no error.
    pub async fn delete_session(&self, identifier: &SessionIdentifier) -> Result<(), SessionError> {
        let query = [
            ("api-version", SESSION_API_VERSION),
            ("identifier", identifier.as_str()),
        ];
        let call = Call {
            name: "delete session",
            method: Method::DELETE,
            segments: &["session"],
            query: &query,
            allocates: false,
        };
        match self.send_idempotent(&call, CALL_DEADLINE).await {
            // A connection whose answer was not read to its end cannot be used again.
            Ok(response) => _ = read_body(response, MAX_ANSWER).await,
            Err(error) if error.kind == SessionErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lists the sessions of the pool. Those that come or go meanwhile may be missing, or listed twice.
    pub async fn list_sessions(&self) -> Result<Vec<LiveSession>, SessionError> {
        let mut sessions = Vec::new();
        for _ in 0..MAX_PAGES {
            let skip = sessions.len().to_string();
            let query = [("api-version", SESSION_API_VERSION), ("skip", &skip)];
            let call = Call {
                name: "list sessions",
                method: Method::GET,
                segments: &["listSessions"],
                query: &query,
                allocates: false,
            };
            let response = self.send_idempotent(&call, CALL_DEADLINE).await?;
            let status = response.status().as_u16();
            let answer = read_json(response).await?;
            let page: Vec<LiveSession> = list_member(&answer, "sessions", status)?;
            let is_last = page.is_empty() || answer.get("nextLink").is_none_or(Value::is_null);
            sessions.extend(page);
            if is_last {
                break;
            }
        }
        Ok(sessions)
    }

    async fn send_idempotent(&self, call: &Call<'_>, deadline: Duration) -> Result<Response, SessionError> {
        match self.send(call, deadline, |request| request).await {
            Err(error) if error.status == Some(401) => self.send(call, deadline, |request| request).await,
            result => result,
        }
    }

    /// Sends one request once and returns the response if it is a success.
    async fn send(
        &self,
        call: &Call<'_>,
        deadline: Duration,
        complete: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, SessionError> {
        // The query holds the identifier, so neither the URL nor its parts are shown.
        let span = tracing::debug_span!("sessions", operation = call.name);
        async {
            let token = self.tokens.get(&self.scope).await?;
            let url = self.endpoint.operation(call.segments, call.query);
            let request = self
                .http
                .sessions()
                .request(call.method.clone(), url)
                .bearer_auth(token.secret());
            let request = request.timeout(self.http.deadline(deadline));
            let response = complete(request).send().await.map_err(TransportError::from)?;
            let status = response.status();
            tracing::debug!(status = status.as_u16(), "answered");
            if let Some(date) = date(response.headers()) {
                let ahead = date.duration_since(Timestamp::now()).as_secs();
                self.skew_seconds
                    .store(ahead.clamp(-LARGEST_SKEW, LARGEST_SKEW), Ordering::Relaxed);
            }
            if status.is_success() {
                Ok(response)
            } else {
                Err(self.refusal(response, &token, call).await)
            }
        }
        .instrument(span)
        .await
    }

    async fn refusal(&self, response: Response, token: &Token, call: &Call<'_>) -> SessionError {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            self.tokens.invalidate(&self.scope, token);
        }
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let request_id = header("mise-correlation-id").or_else(|| header("x-ms-request-id"));
        let pause = retry_after(response.headers(), Timestamp::now());
        let body = read_body(response, MAX_ANSWER).await.unwrap_or_default();
        let error: ServiceError = read_error(status.as_u16(), &body, request_id, pause);
        SessionError::of_answer(error, call.allocates)
    }
}

/// One operation of the data plane.
struct Call<'a> {
    name: &'static str,
    method: Method,
    segments: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    /// Whether a session is allocated where there is none, so that a full pool refuses it.
    allocates: bool,
}

fn file_query<'a>(identifier: &'a SessionIdentifier, directory: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("api-version", EXECUTION_API_VERSION),
        ("identifier", identifier.as_str()),
        ("path", directory),
    ]
}

fn transfer_deadline(bytes: usize) -> Duration {
    let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    CALL_DEADLINE.saturating_add(PER_MEBIBYTE.saturating_mul(mebibytes))
}
