//! Why a pass failed, what that asks of the runtime, and which reason of the API it is.

use std::borrow::Cow;

use crate::azure::AzureError;
use crate::runtime::{ApiError, Class, Classify, WriteError};

use super::accounts::AccountError;
use super::azure_error::{class_of, reason_of};

/// Why a pass over an object failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Azure, or the way to it.
    #[error(transparent)]
    Azure(#[from] AzureError),
    /// The API server, when something was read.
    #[error(transparent)]
    Kubernetes(#[from] ApiError),
    /// The API server, when the object was written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The account cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Azure(error) => class_of(error),
            Self::Kubernetes(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Account(error) => error.class(),
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Azure(error) => reason_of(error).as_str().into(),
            Self::Kubernetes(error) => error.reason(),
            Self::Write(error) => error.reason(),
            Self::Account(error) => error.reason().as_str().into(),
        }
    }
}
