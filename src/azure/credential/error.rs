//! Why there is no token.

use std::time::Duration;

use crate::azure::error::ErrorClass;

/// What Entra ID objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The client secret is wrong or has expired.
    Secret,
    /// The certificate is not registered for the application, or has expired.
    Certificate,
    /// The application is unknown in the tenant, perhaps because it is new.
    UnknownApplication,
    /// The tenant does not exist.
    UnknownTenant,
    /// No federated credential matches the assertion's issuer, subject and audience, perhaps because it is new.
    Federation,
    /// The assertion is not valid any more.
    AssertionExpired,
    /// The resource or scope is unknown in the tenant.
    Scope,
    /// Anything else.
    Other,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Entra ID refused.
    #[error("Entra ID refused the credential: {message}")]
    Rejected {
        /// What it objects to.
        rejection: Rejection,
        /// Its code, such as `AADSTS7000215`; or the OAuth error.
        code: String,
        /// Its text, bounded.
        message: String,
    },
    /// Entra ID could not be reached, or failed.
    #[error("no token could be obtained from Entra ID: {message}")]
    Unavailable {
        /// Why.
        message: String,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// There is no assertion to exchange.
    #[error("no federated token could be obtained: {message}")]
    Assertion {
        /// What to do about it.
        class: ErrorClass,
        /// Why.
        message: String,
    },
    /// The host that the process runs on issues no token.
    #[error("no token could be obtained from the operator's host: {message}")]
    Host {
        /// What to do about it.
        class: ErrorClass,
        /// Its error code, or what the status says.
        code: String,
        /// Its text, bounded.
        message: String,
    },
    /// The credential is not valid: its tenant, client id or secret is empty or malformed.
    #[error("credential is not valid: {message}")]
    Configuration {
        /// What is wrong.
        message: String,
    },
    /// Entra ID did not respond in time.
    #[error("no token from Entra ID within {} s", deadline.as_secs())]
    Deadline {
        /// The time that it had.
        deadline: Duration,
    },
}

impl CredentialError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Rejected { rejection, .. } => match rejection {
                // An unknown application and federation are also what a new identity looks like for some minutes.
                Rejection::Secret
                | Rejection::Certificate
                | Rejection::UnknownApplication
                | Rejection::Federation
                | Rejection::UnknownTenant
                | Rejection::Other => ErrorClass::Denied,
                Rejection::AssertionExpired => ErrorClass::Transient,
                Rejection::Scope => ErrorClass::Terminal,
            },
            Self::Unavailable {
                retry_after: Some(after),
                ..
            } => ErrorClass::Throttled(*after),
            Self::Unavailable { .. } | Self::Deadline { .. } => ErrorClass::Transient,
            Self::Assertion { class, .. } | Self::Host { class, .. } => *class,
            Self::Configuration { .. } => ErrorClass::Denied,
        }
    }

    /// Whether waiting may help, because Entra ID may not know something new yet.
    pub fn may_be_replication(&self) -> bool {
        matches!(
            self,
            Self::Rejected {
                rejection: Rejection::UnknownApplication | Rejection::Federation,
                ..
            }
        )
    }

    /// A short, stable name: Entra ID's own code where there is one.
    pub fn code(&self) -> &str {
        match self {
            Self::Rejected { code, .. } | Self::Host { code, .. } => code,
            Self::Unavailable { .. } => "TokenUnavailable",
            Self::Assertion { .. } => "NoFederatedToken",
            Self::Configuration { .. } => "InvalidCredential",
            Self::Deadline { .. } => "TokenDeadlineExceeded",
        }
    }

    /// The pause that Entra ID asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
