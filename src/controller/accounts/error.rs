//! Why an account cannot be opened.

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::azure::credential::CertificateError;
use crate::controller::reference::Unresolved;
use crate::runtime::{ApiError, Class, Classify};

/// Why an account cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such Secret.
    #[error("Secret {name} does not exist (spec.credential.{field}.name)")]
    SecretNotFound {
        /// Its name.
        name: String,
        /// The field of `spec.credential` that names it.
        field: &'static str,
    },
    /// The Secret has no such key, or it is empty.
    #[error("Secret {name} has no value under the key `{key}` (spec.credential.{field})")]
    SecretKeyNotFound {
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// The field of `spec.credential` that names it.
        field: &'static str,
    },
    /// The value is no text.
    #[error("the value under `{key}` of Secret {name} is not UTF-8 text, so it cannot be a client secret")]
    SecretNotText {
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// What the Secret holds is no certificate with its key.
    #[error("tls.crt and tls.key of Secret {name} cannot be used: {problem}")]
    Certificate {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: CertificateError,
    },
    /// The certificate is not valid now.
    #[error("tls.crt of Secret {name} cannot be used: {problem}")]
    CertificateNotValid {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The managed identity that the account is cannot be used.
    #[error("{0} (spec.credential.workloadIdentity.managedIdentityRef)")]
    Identity(Unresolved),
    /// The managed identity is made with the very account that is to be it.
    #[error(
        "ManagedIdentity {name} uses this AzureAccount, which would have to be that identity before it exists: give the \
         identity another spec.accountRef"
    )]
    IdentityOfItself {
        /// Name of the ManagedIdentity.
        name: String,
    },
    /// The installation does not let the namespace use the operator's own identity.
    #[error(
        "the namespace {namespace} may not use the identity of the operator's host (spec.credential.hostIdentity); who \
         administers the installation can allow it, by the chart's value hostIdentity.allowedNamespaces \
         (--allow-host-identity)"
    )]
    HostIdentityNotAllowed {
        /// The account's namespace.
        namespace: String,
    },
    /// No way to prove who the account is was set.
    #[error("spec.credential must set one of workloadIdentity, clientSecret, clientCertificate and hostIdentity")]
    NoCredential,
    /// The Secret could not be read.
    #[error("Secret {name} cannot be read: {source}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Since when.
        since: Timestamp,
        /// Why.
        source: ApiError,
    },
}

impl AccountError {
    /// The reason that it is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::SecretNotFound { .. } | Self::SecretKeyNotFound { .. } => Reason::SecretNotFound,
            Self::SecretNotText { .. } | Self::Certificate { .. } | Self::CertificateNotValid { .. } => {
                Reason::InvalidCredential
            }
            Self::Identity(unusable) => unusable.reason(),
            Self::HostIdentityNotAllowed { .. } => Reason::HostIdentityNotAllowed,
            Self::NoCredential | Self::IdentityOfItself { .. } => Reason::InvalidSpec,
            Self::Unreadable { source, .. } if source.class() == Class::Forbidden => Reason::Forbidden,
            Self::Unreadable { .. } => Reason::Unavailable,
        }
    }

    /// What it asks of the runtime.
    pub fn class(&self) -> Class {
        match self {
            Self::SecretNotFound { .. } | Self::SecretKeyNotFound { .. } | Self::SecretNotText { .. } => {
                Class::Waiting { after: None }
            }
            Self::Identity(_) => Class::Waiting { after: None },
            // Somebody has to act, and the Secret is read again as often as a missing one is.
            Self::Certificate { .. } | Self::CertificateNotValid { .. } => Class::Denied,
            Self::NoCredential | Self::IdentityOfItself { .. } | Self::HostIdentityNotAllowed { .. } => Class::Terminal,
            Self::Unreadable { source, .. } => source.class(),
        }
    }
}
