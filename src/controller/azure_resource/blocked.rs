//! Why Azure is not asked for a resource: facts, and what an object says of them.

use std::time::Duration;

use crate::api::condition::Reason;
use crate::azure::ResourceId;
use crate::controller::readiness::Verdict;
use crate::controller::reference::Unresolved;
use crate::controller::waiting::WAITING_PACE;
use crate::runtime::Next;

/// What an object needs before Azure can be asked, and has not. What it says of that is decided by [`Blocked::verdict`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Its author decided to let it go, whatever Azure would answer.
    #[error("the object is let go")]
    Abandoned,
    /// It is being deleted and never had anything in Azure.
    #[error("the object has nothing in Azure")]
    Nothing,
    /// There is no such AzureAccount.
    #[error("AzureAccount {name} does not exist in this namespace")]
    AccountNotFound {
        /// Name of the account.
        name: String,
    },
    /// The AzureAccount cannot be used yet.
    #[error("AzureAccount {name} is not ready{because}")]
    AccountNotReady {
        /// Name of the account.
        name: String,
        /// Why, as the continuation of the sentence.
        because: String,
    },
    /// The object is being deleted, and no token can be obtained to delete its resource with.
    #[error(
        "{resource} cannot be deleted, no token can be obtained: {cause}. Make AzureAccount {account} usable again"
    )]
    CredentialGone {
        /// Id of the resource, or a word for it.
        resource: String,
        /// Name of the account.
        account: String,
        /// Why there is no token.
        cause: String,
    },
    /// The object is being deleted, and its account may not even read its resource.
    #[error(
        "AzureAccount {account} may no longer read {resource}, so it cannot be deleted: {cause}. Give the account the role \
         back, which takes up to ten minutes"
    )]
    NoAccess {
        /// Id of the resource, or a word for it.
        resource: String,
        /// Name of the account.
        account: String,
        /// Azure's refusal.
        cause: String,
    },
    /// An object that it refers to cannot be used.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// An identity that it would attach is another namespace's.
    #[error("the identity {id} is managed by a ManagedIdentity of another namespace")]
    ForeignIdentity {
        /// Id of the identity.
        id: String,
    },
    /// Azure does not know an identity that it would attach.
    #[error("Azure does not know the managed identity {id}, or not everywhere yet")]
    IdentityNotFound {
        /// Id of the identity.
        id: String,
    },
    /// A Secret, or a key of it, is missing.
    #[error("{0}")]
    SecretNotFound(String),
    /// The spec, with what it refers to, makes no sense: which field, and what would.
    #[error("{0}")]
    Invalid(String),
    /// With what the account or the group says now, the object would be another resource.
    #[error("{message}")]
    Moved {
        /// The resource that it is.
        known: Box<ResourceId>,
        /// What says otherwise, for people.
        message: String,
    },
    /// The installation does not let the object assign its role.
    #[error("{0}")]
    NotGrantable(String),
    /// Azure knows no such role, or several.
    #[error("{0}")]
    RoleNotFound(String),
}

impl Blocked {
    /// What the object says.
    pub fn verdict(&self) -> Verdict {
        let (is_stalled, reason) = match self {
            Self::Abandoned | Self::Nothing => (false, Reason::Deleting),
            Self::AccountNotFound { .. } => (false, Reason::AccountNotFound),
            Self::AccountNotReady { .. } => (false, Reason::AccountNotReady),
            Self::CredentialGone { .. } => (true, Reason::CredentialGone),
            Self::NoAccess { .. } => (false, Reason::Unauthorized),
            Self::Unresolved(unresolved) => (false, unresolved.reason()),
            Self::ForeignIdentity { .. } => (true, Reason::OwnedByAnother),
            Self::IdentityNotFound { .. } => (false, Reason::IdentityNotFound),
            Self::SecretNotFound(_) => (false, Reason::SecretNotFound),
            Self::Invalid(_) => (true, Reason::InvalidSpec),
            Self::Moved { .. } => (true, Reason::ImmutableChange),
            Self::NotGrantable(_) => (true, Reason::RoleNotGrantable),
            Self::RoleNotFound(_) => (true, Reason::RoleNotFound),
        };
        if is_stalled {
            Verdict::stalled(reason, self.to_string())
        } else {
            Verdict::progressing(reason, self.to_string())
        }
    }

    /// When to look again. Changes of what the object refers to wake it; Secrets are not watched, nor is Azure.
    pub fn next(&self) -> Next {
        match self {
            Self::SecretNotFound(_) | Self::NoAccess { .. } | Self::IdentityNotFound { .. } => {
                Next::Poll { after: None }
            }
            Self::CredentialGone { .. } => Next::Resync(Duration::from_secs(30)),
            _ => Next::Resync(WAITING_PACE),
        }
    }
}
