//! Why a call of the data plane failed, and whether anything can have run.

use std::time::Duration;

use crate::azure::credential::CredentialError;
use crate::azure::error::{DEFAULT_THROTTLE, ErrorClass, ServiceError};
use crate::azure::http::{Reached, TransportError};

/// How far a failed call can have got. It decides whether the same command may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// Nothing of it was sent.
    NotSent,
    /// The service refused it: nothing ran.
    Refused,
    /// It may have run, may be running, or may still begin.
    Unknown,
}

/// What a failed call of the data plane means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionErrorKind {
    /// There is no token.
    Credential,
    /// The principal may not execute in the pool, or a new role assignment is not known everywhere yet.
    Denied,
    /// The pool has no free session: 404 with its message, or 429.
    Exhausted,
    /// There is no such pool, session or file. A pool may also be exhausted with a message that is not recognised, so
    /// ask ARM whether the pool exists.
    NotFound,
    /// The service asks for a pause.
    Throttled,
    /// The service does not accept the request.
    Rejected,
    /// The upload is longer than the service accepts (128 MB).
    TooLarge,
    /// There was no connection.
    Unreachable,
    /// The deadline passed.
    TimedOut,
    /// The connection broke, or the response cannot be read.
    Broken,
    /// The service failed (5xx).
    ServiceFailed,
}

/// A failed call of the data plane. Its text never contains what was sent, nor an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SessionError {
    /// What it means.
    pub kind: SessionErrorKind,
    /// Whether anything can have run.
    pub dispatch: Dispatch,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The service's code, or a short name of the failure.
    pub code: String,
    /// The service's message, bounded, or what broke.
    pub message: String,
    /// Azure's id of the request.
    pub request_id: Option<String>,
    /// The pause that the service asked for.
    pub retry_after: Option<Duration>,
    /// What to do about a missing token, if that is what failed.
    credential: Option<ErrorClass>,
}

impl SessionError {
    /// What the caller can do about it.
    pub fn class(&self) -> ErrorClass {
        match self.kind {
            SessionErrorKind::Credential => self.credential.unwrap_or(ErrorClass::Denied),
            SessionErrorKind::Denied => ErrorClass::Denied,
            SessionErrorKind::Exhausted | SessionErrorKind::Throttled => {
                ErrorClass::Throttled(self.retry_after.unwrap_or(DEFAULT_THROTTLE))
            }
            SessionErrorKind::NotFound => ErrorClass::NotFound,
            SessionErrorKind::Rejected | SessionErrorKind::TooLarge => ErrorClass::Terminal,
            SessionErrorKind::Unreachable
            | SessionErrorKind::TimedOut
            | SessionErrorKind::Broken
            | SessionErrorKind::ServiceFailed => ErrorClass::Transient,
        }
    }

    /// An error answer. `allocates` tells whether the call may have needed a new session.
    pub(super) fn of_answer(error: ServiceError, allocates: bool) -> Self {
        let says_exhausted = says_exhausted(&error.message);
        let kind = match error.status {
            401 | 403 => SessionErrorKind::Denied,
            404 | 409 | 500 | 503 if allocates && says_exhausted => SessionErrorKind::Exhausted,
            404 | 410 => SessionErrorKind::NotFound,
            413 => SessionErrorKind::TooLarge,
            429 if allocates => SessionErrorKind::Exhausted,
            429 => SessionErrorKind::Throttled,
            408 => SessionErrorKind::TimedOut,
            400..=499 => SessionErrorKind::Rejected,
            _ => SessionErrorKind::ServiceFailed,
        };
        let dispatch = match kind {
            SessionErrorKind::ServiceFailed | SessionErrorKind::TimedOut => Dispatch::Unknown,
            // What fails with a message about sessions need not have failed before it had one.
            SessionErrorKind::Exhausted if error.status >= 500 => Dispatch::Unknown,
            _ => Dispatch::Refused,
        };
        Self {
            kind,
            dispatch,
            status: Some(error.status),
            code: error.code,
            message: error.message,
            request_id: error.request_id,
            retry_after: error.retry_after,
            credential: None,
        }
    }

    /// An answer that was accepted and cannot be used.
    pub(super) fn unreadable(status: u16, message: impl Into<String>) -> Self {
        Self {
            kind: SessionErrorKind::Broken,
            dispatch: Dispatch::Unknown,
            status: Some(status),
            code: "UnexpectedAnswer".to_owned(),
            message: message.into(),
            request_id: None,
            retry_after: None,
            credential: None,
        }
    }

    fn without_answer(kind: SessionErrorKind, dispatch: Dispatch, code: &str, message: String) -> Self {
        Self {
            kind,
            dispatch,
            status: None,
            code: code.to_owned(),
            message,
            request_id: None,
            retry_after: None,
            credential: None,
        }
    }
}

impl From<CredentialError> for SessionError {
    fn from(error: CredentialError) -> Self {
        let mut own = Self::without_answer(
            SessionErrorKind::Credential,
            Dispatch::NotSent,
            error.code(),
            error.to_string(),
        );
        own.retry_after = error.retry_after();
        own.credential = Some(error.class());
        own
    }
}

impl From<TransportError> for SessionError {
    fn from(error: TransportError) -> Self {
        let (kind, dispatch, code) = match (error.reached, error.timed_out) {
            (Reached::Nothing, _) => (SessionErrorKind::Unreachable, Dispatch::NotSent, "Unreachable"),
            (Reached::Unknown, true) => (SessionErrorKind::TimedOut, Dispatch::Unknown, "DeadlineExceeded"),
            (Reached::Unknown, false) => (SessionErrorKind::Broken, Dispatch::Unknown, "ConnectionBroken"),
        };
        Self::without_answer(kind, dispatch, code, error.to_string())
    }
}

/// Whether a message says that the pool has no session left. The page "Use session pools" documents 404 with a message
/// that no more sessions can be allocated, and no code.
fn says_exhausted(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let about_sessions = message.contains("session");
    let about_the_end = [
        "no more",
        "no available",
        "not available",
        "cannot be allocated",
        "can be allocated",
        "could not be allocated",
        "failed to allocate",
        "unable to allocate",
        "maximum",
        "max concurrent",
        "maxconcurrentsessions",
        "limit",
        "capacity",
        "exhausted",
        "quota",
    ];
    about_sessions && about_the_end.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Dispatch, SessionError, SessionErrorKind};
    use crate::azure::error::{ErrorClass, ServiceError};

    fn answer(status: u16, message: &str, allocates: bool) -> SessionError {
        let error = ServiceError {
            status,
            code: "X".to_owned(),
            message: message.to_owned(),
            details: Vec::new(),
            request_id: None,
            retry_after: Some(Duration::from_secs(7)),
        };
        SessionError::of_answer(error, allocates)
    }

    #[test]
    fn an_answer_tells_what_it_means_and_whether_anything_can_have_run() {
        use Dispatch::{Refused, Unknown};
        use SessionErrorKind as Kind;
        for (status, message, allocates, kind, dispatch) in [
            (400, "field", true, Kind::Rejected, Refused),
            (401, "", true, Kind::Denied, Refused),
            (403, "", true, Kind::Denied, Refused),
            (
                404,
                "No more sessions can be allocated for the pool.",
                true,
                Kind::Exhausted,
                Refused,
            ),
            (
                404,
                "The maximum number of concurrent sessions is reached",
                true,
                Kind::Exhausted,
                Refused,
            ),
            (404, "Session pool 'p' was not found", true, Kind::NotFound, Refused),
            (404, "No more sessions can be allocated", false, Kind::NotFound, Refused),
            (408, "", true, Kind::TimedOut, Unknown),
            (413, "", true, Kind::TooLarge, Refused),
            (429, "", true, Kind::Exhausted, Refused),
            (429, "", false, Kind::Throttled, Refused),
            (500, "", true, Kind::ServiceFailed, Unknown),
            (500, "No more sessions can be allocated", true, Kind::Exhausted, Unknown),
            (503, "no more sessions", true, Kind::Exhausted, Unknown),
            (503, "no more sessions", false, Kind::ServiceFailed, Unknown),
            (504, "", true, Kind::ServiceFailed, Unknown),
            (302, "", true, Kind::ServiceFailed, Unknown),
        ] {
            let error = answer(status, message, allocates);
            assert_eq!((error.kind, error.dispatch), (kind, dispatch), "{status} {message}");
        }
    }

    #[test]
    fn a_full_pool_makes_its_caller_wait_for_as_long_as_it_says() {
        assert_eq!(
            answer(429, "", true).class(),
            ErrorClass::Throttled(Duration::from_secs(7))
        );
    }
}
