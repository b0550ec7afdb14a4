//! Why a pass over a job failed.

use std::borrow::Cow;

use crate::api::condition::Reason;
use crate::azure::session::SessionErrorKind;
use crate::azure::{AzureError, ErrorClass, SessionError};
use crate::controller::error::{class_of, reason_of};
use crate::runtime::{ApiError, Class, Classify, WriteError};

use super::inputs::InputsError;
use super::observe::NotReady;
use super::refusal::Refusal;
use super::runner::WorkError;

/// Why a pass over a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The data plane.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Resource Manager.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// The API server.
    #[error(transparent)]
    Kubernetes(#[from] ApiError),
    /// A status write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The inputs cannot be uploaded as they are.
    #[error(transparent)]
    Inputs(#[from] WorkError),
    /// The answers of the session have no frame.
    #[error("the session's answer could not be read")]
    Unreadable,
    /// A file of the session is shorter than it was said to be.
    #[error("the file {file} of the session is shorter than it was a moment ago")]
    ShortRead {
        /// Name of the file.
        file: String,
    },
    /// A file of the session is not what its digest says.
    #[error("the file {file} of the session is not what it was when the command ended")]
    Altered {
        /// Name of the file.
        file: String,
    },
    /// The runner could not begin.
    #[error("the session cannot start the command; its disk may be full")]
    NotBegun,
    /// A ConfigMap that the job would create exists and is not its own.
    #[error("the config map {name} exists and is not owned by this job; delete it")]
    ForeignConfigMap {
        /// Name of the ConfigMap.
        name: String,
    },
    /// A path was made that the files API does not take.
    #[error("a session path is not valid")]
    Path,
    /// The pool refuses the account, and nothing was started.
    #[error("{0}")]
    Refused(Refusal),
    /// The pool is gone or not allowed while the job is being worked on.
    #[error("the target of the job is not available")]
    NoTarget,
}

impl JobError {
    /// Whether the session, or a file in it, was not found.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Session(error) if error.kind == SessionErrorKind::NotFound)
    }

    /// Azure's code, if the pool refused the account.
    pub(super) fn denied_code(&self) -> Option<&str> {
        match self {
            Self::Session(error) if error.kind == SessionErrorKind::Denied => Some(&error.code),
            _ => None,
        }
    }

    /// For names that are made here and are therefore always valid.
    pub(super) fn path(_: crate::azure::session::InvalidSessionPath) -> Self {
        Self::Path
    }
}

impl From<kube::Error> for JobError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error.into())
    }
}

impl Classify for JobError {
    fn class(&self) -> Class {
        match self {
            Self::Session(error) => match error.kind {
                // A full pool is no failure: the job waits for its turn.
                SessionErrorKind::Exhausted => Class::Waiting {
                    after: error.retry_after,
                },
                _ => class_of_session(&error.class()),
            },
            Self::Azure(error) => class_of(error),
            Self::Kubernetes(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Inputs(_) => Class::Terminal,
            Self::Unreadable | Self::ShortRead { .. } | Self::Altered { .. } | Self::NotBegun | Self::NoTarget => {
                Class::Transient
            }
            Self::Refused(refusal) if refusal.is_overdue => Class::Denied,
            Self::Refused(_) | Self::ForeignConfigMap { .. } => Class::Waiting { after: None },
            Self::Path => Class::Bug,
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        let reason = match self {
            Self::Session(error) => match error.kind {
                SessionErrorKind::Exhausted => Reason::PoolExhausted,
                SessionErrorKind::Credential => Reason::InvalidCredential,
                SessionErrorKind::Denied => Reason::Unauthorized,
                SessionErrorKind::Throttled => Reason::Throttled,
                SessionErrorKind::Rejected | SessionErrorKind::TooLarge => Reason::Rejected,
                SessionErrorKind::NotFound
                | SessionErrorKind::Unreachable
                | SessionErrorKind::TimedOut
                | SessionErrorKind::Broken
                | SessionErrorKind::ServiceFailed => Reason::Unavailable,
            },
            Self::Azure(error) => reason_of(error),
            Self::Inputs(_) => Reason::InvalidSpec,
            Self::Kubernetes(error) => return error.reason(),
            Self::Write(error) => return error.reason(),
            Self::Unreadable | Self::ShortRead { .. } | Self::Altered { .. } | Self::NotBegun | Self::NoTarget => {
                Reason::Unavailable
            }
            Self::ForeignConfigMap { .. } => Reason::AlreadyExists,
            Self::Refused(refusal) if refusal.is_overdue => Reason::Unauthorized,
            Self::Refused(_) => Reason::RolePropagating,
            Self::Path => Reason::InternalError,
        };
        reason.as_str().into()
    }
}

fn class_of_session(class: &ErrorClass) -> Class {
    match class {
        ErrorClass::Throttled(after) => Class::Throttled { after: *after },
        ErrorClass::Waiting | ErrorClass::Unregistered => Class::Waiting { after: None },
        // What is not found may be replicating; whether a pool is really gone is asked of Resource Manager.
        ErrorClass::NotFound | ErrorClass::Transient | ErrorClass::Conflict => Class::Transient,
        ErrorClass::Denied => Class::Denied,
        ErrorClass::Terminal => Class::Terminal,
    }
}

impl NotReady {
    /// What a job says about inputs that are not complete; an error of the API server stays an error.
    pub(super) fn from_inputs_error(error: InputsError) -> Result<Self, JobError> {
        let message = error.to_string();
        match error {
            InputsError::Secret { .. } => Ok(Self::waiting(Reason::SecretNotFound, message)),
            InputsError::ConfigMap { .. } => Ok(Self::waiting(Reason::ConfigMapNotFound, message)),
            InputsError::Work(
                WorkError::EnvName(_) | WorkError::EnvValue(_) | WorkError::Argument(_) | WorkError::EmptyCommand,
            ) => Ok(Self::stalled(Reason::InvalidSpec, message)),
            InputsError::Api(error) => Err(error.into()),
        }
    }
}
