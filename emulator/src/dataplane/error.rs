//! Error answers of the data plane.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::session::{ExecuteError, FileError, HostError, KernelError, PathError};

/// An error as the data plane answers it: `{"error":{"code","message","traceId"}}` and `x-ms-error-code`.
#[derive(Debug)]
pub(super) struct ServiceError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_seconds: Option<u32>,
}

impl ServiceError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_seconds: None,
        }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(super) fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after_seconds = seconds;
        self
    }

    /// What the emulator does not do, as opposed to what the service would refuse.
    pub(super) fn not_emulated(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotEmulated", what)
    }
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let trace_id = Uuid::new_v4().simple().to_string();
        let body = json!({ "error": { "code": self.code, "message": self.message, "traceId": trace_id } });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert("x-ms-error-code", HeaderValue::from_static(self.code));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert("retry-after", HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<HostError> for ServiceError {
    fn from(error: HostError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot open a session");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "SessionAllocationFailed",
            "The session could not be allocated.",
        )
    }
}

impl From<ExecuteError> for ServiceError {
    fn from(error: ExecuteError) -> Self {
        match error {
            // The service passes the command on as one argument; about 64 KB work, 120 KB fail.
            ExecuteError::ArgumentTooLong | ExecuteError::InvalidCommand => Self::bad_request(
                "CommandStartError",
                format!("The command could not be started: {error}."),
            ),
            ExecuteError::SessionEnded => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "SessionTerminated",
                "The session was terminated while the command was running.",
            ),
            ExecuteError::Io(error) => {
                tracing::error!(%error, "cannot run a command");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalServerError",
                    "The command could not be run.",
                )
            }
        }
    }
}

impl From<KernelError> for ServiceError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::NoInterpreter(_) => Self::not_emulated(format!("The emulator cannot run the code: {error}.")),
            KernelError::SessionEnded => ExecuteError::SessionEnded.into(),
            KernelError::Io(error) => ExecuteError::Io(error).into(),
        }
    }
}

impl From<PathError> for ServiceError {
    fn from(error: PathError) -> Self {
        Self::bad_request("InvalidPath", format!("{error}."))
    }
}

impl From<FileError> for ServiceError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Path(error) => error.into(),
            FileError::NotFound(name) => Self::new(
                StatusCode::NOT_FOUND,
                "FileNotFound",
                format!("File '{name}' was not found."),
            ),
            FileError::NotAFile(name) => Self::bad_request("NotAFile", format!("'{name}' is not a file.")),
            FileError::Io(error) => {
                tracing::warn!(%error, "cannot access the files of a session");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "FileOperationFailed",
                    format!("The file operation failed: {error}."),
                )
            }
        }
    }
}
