//! Why a pass over a job failed.

use std::borrow::Cow;

use crate::api::condition::Reason;
use crate::azure::AzureError;
use crate::controller::azure_error::{class_of, reason_of};
use crate::runtime::{ApiError, Class, Classify, WriteError};

use super::attempt::Problem;

/// Why a pass over a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A command of an attempt was not carried out.
    #[error(transparent)]
    Attempt(#[from] Problem),
    /// Resource Manager.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// The API server.
    #[error(transparent)]
    Kubernetes(#[from] ApiError),
    /// A status write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The target is not there any more.
    #[error("the target of the job is not available")]
    NoTarget,
    /// The job was changed after it was seen.
    #[error("the job was changed in the meantime")]
    Changed,
}

impl From<kube::Error> for JobError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error.into())
    }
}

impl Classify for JobError {
    fn class(&self) -> Class {
        match self {
            Self::Attempt(problem) => problem.class(),
            Self::Azure(error) => class_of(error),
            Self::Kubernetes(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::NoTarget => Class::Transient,
            Self::Changed => Class::Conflict,
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Attempt(problem) => problem.reason(),
            Self::Azure(error) => reason_of(error).as_str().into(),
            Self::Kubernetes(error) => error.reason(),
            Self::Write(error) => error.reason(),
            Self::NoTarget | Self::Changed => Reason::Unavailable.as_str().into(),
        }
    }
}
