//! Why a job cannot begin, or cannot be asked about: facts, and what it says of them.

use std::fmt;

use crate::api::condition::Reason;
use crate::azure::{AzureError, ResourceId};
use crate::controller::command_job::JobError;
use crate::controller::command_job::budget::OverBudget;
use crate::controller::command_job::queue::{QueuePosition, WaitsFor};
use crate::controller::command_job::runner::WorkError;
use crate::controller::config_maps::NOT_ALLOWED;
use crate::controller::readiness::Verdict;
use crate::runtime::{ApiError, Key};

/// What a job needs, and has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRunnable {
    /// The spec has no target, or one that is no id of a pool.
    #[error(
        "spec.target names no session pool: set sessionPoolRef, or a sessionPool.resourceId that ends in \
         /providers/Microsoft.App/sessionPools/NAME"
    )]
    NoTarget,
    /// The pool does not let the job's namespace in. Whether it exists is not told.
    #[error(
        "spec.target.sessionPoolRef: no SessionPool {pool} lets the namespace {namespace} in; its owner can, by spec.sharing"
    )]
    NotLetIn {
        /// The pool that the spec names.
        pool: Key,
        /// The job's namespace.
        namespace: String,
    },
    /// The pool belongs to an object of another namespace, which does not let the job's in, whatever names it here.
    #[error(
        "spec.target: the session pool {id} belongs to another namespace and does not let the namespace {namespace} in; its \
         owner can, by spec.sharing of the SessionPool"
    )]
    NotShared {
        /// The pool.
        id: Box<ResourceId>,
        /// The job's namespace.
        namespace: String,
    },
    /// There is no such pool.
    #[error("{0} does not exist; the job waits for it")]
    PoolNotFound(NamedPool),
    /// The pool is there and cannot be used yet.
    #[error("{pool} is not ready{because}; the job waits for it")]
    PoolNotReady {
        /// The pool.
        pool: NamedPool,
        /// Why, as the continuation of a sentence; empty where that is not for whoever reads the job.
        because: String,
    },
    /// The job is to have no session yet: it pauses.
    #[error("the job needs no session yet")]
    NotYet,
    /// It is not the job's turn to have a session of the pool.
    #[error("{}", told_to_wait(.pool, *.position))]
    NotItsTurn {
        /// The pool.
        pool: NamedPool,
        /// Where it waits.
        position: Option<QueuePosition>,
    },
    /// No shell runs in the pool, as Azure says, whatever an object says of it.
    #[error("{0} is not of containerType Shell in Azure")]
    NoShell(NamedPool),
    /// The pool's endpoint is none of this cloud.
    #[error("{0}")]
    UnsupportedCloud(String),
    /// There is no such AzureAccount.
    #[error("the AzureAccount {name} does not exist in this namespace; the job waits for it")]
    AccountNotFound {
        /// Its name.
        name: String,
    },
    /// The AzureAccount cannot be used.
    #[error("the AzureAccount {name} is not ready: {because}")]
    AccountNotReady {
        /// Its name.
        name: String,
        /// Why, for people.
        because: String,
        /// Why, as one word.
        reason: Reason,
    },
    /// The account that a pool lends cannot be used. What is wrong with it is in its own conditions, and not for a guest.
    #[error(
        "the account that the SessionPool {pool} lends is not ready; the job waits for it, and the pool's owner sees in the account's \
         conditions why"
    )]
    NotLent {
        /// The pool.
        pool: Key,
    },
    /// A Secret or a key of it does not exist.
    #[error(
        "env {variable}: secret {name} has no key {key}, or does not exist in this namespace; the job waits for it"
    )]
    SecretNotFound {
        /// The variable.
        variable: String,
        /// The Secret.
        name: String,
        /// The key.
        key: String,
    },
    /// A ConfigMap or a key of it does not exist.
    #[error(
        "env {variable}: config map {name} has no key {key}, or does not exist in this namespace; the job waits for it"
    )]
    ConfigMapNotFound {
        /// The variable.
        variable: String,
        /// The ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
    /// A variable names a field that no variable can have.
    #[error(
        "env {variable}: valueFrom.fieldRef.fieldPath {path} is none of metadata.name, metadata.namespace, metadata.uid, \
         metadata.labels['KEY'] and metadata.annotations['KEY']"
    )]
    UnknownField {
        /// The variable.
        variable: String,
        /// The path.
        path: String,
    },
    /// The job asks for its long output in ConfigMaps, and none may be written. A command that ran could not be run again.
    #[error("spec.output.overflow: {NOT_ALLOWED}")]
    NotStored,
    /// The command cannot be run as written.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// The job stands for more than a command can get.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// Other jobs have the memory that this one needs.
    #[error(
        "other jobs of this namespace, or of all, take the memory that there is for what commands are given; it is tried again \
         when some of them have ended"
    )]
    NoRoom {
        /// How many bytes of values from Secrets would be kept while the command runs, where that is what there is no room for.
        secret_bytes: usize,
    },
}

/// A pool as the spec names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedPool {
    /// By its object.
    Object(Key),
    /// By its id.
    Resource(Box<ResourceId>),
}

impl fmt::Display for NamedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => write!(f, "spec.target.sessionPoolRef: the SessionPool {key}"),
            Self::Resource(id) => write!(f, "spec.target.sessionPool.resourceId: the session pool {id}"),
        }
    }
}

impl NotRunnable {
    /// Whether what the command is given is such that it cannot be run.
    pub fn is_of_the_spec(&self) -> bool {
        matches!(self, Self::UnknownField { .. } | Self::Work(_) | Self::OverBudget(_))
    }

    /// What the job says.
    pub fn verdict(&self) -> Verdict {
        let (is_stalled, reason) = match self {
            Self::NoTarget | Self::UnknownField { .. } | Self::Work(_) | Self::OverBudget(_) => {
                (true, Reason::InvalidSpec)
            }
            Self::NotStored => (true, Reason::ConfigMapsNotAllowed),
            Self::NotLetIn { .. } | Self::NotShared { .. } => (true, Reason::NamespaceNotAllowed),
            Self::PoolNotFound(_) => (false, Reason::ReferenceNotFound),
            Self::PoolNotReady { .. } => (false, Reason::ReferenceNotReady),
            Self::NotItsTurn { .. } => (false, Reason::PoolExhausted),
            Self::NotYet => (false, Reason::BackingOff),
            Self::NoShell(_) => (true, Reason::UnsupportedTarget),
            Self::UnsupportedCloud(_) => (true, Reason::UnsupportedCloud),
            Self::AccountNotFound { .. } => (false, Reason::AccountNotFound),
            Self::AccountNotReady { reason, .. } => (false, *reason),
            Self::NotLent { .. } => (false, Reason::AccountNotReady),
            Self::NoRoom { .. } => (false, Reason::OperatorBusy),
            Self::SecretNotFound { .. } => (false, Reason::SecretNotFound),
            Self::ConfigMapNotFound { .. } => (false, Reason::ConfigMapNotFound),
        };
        if is_stalled {
            Verdict::stalled(reason, self.to_string())
        } else {
            Verdict::progressing(reason, self.to_string())
        }
    }
}

fn told_to_wait(pool: &NamedPool, position: Option<QueuePosition>) -> String {
    match position.map(|it| it.waits_for) {
        Some(WaitsFor::Share) => format!(
            "the namespace has as many sessions of {pool} as its owner lets it have; the job starts when one of them is free"
        ),
        Some(WaitsFor::Session) => format!(
            "another job has the session of {pool} that spec.session.key names; the job starts when that one has ended"
        ),
        Some(WaitsFor::Place) | None => format!(
            "every session of {pool} is in use, or promised to jobs before this one; the job starts when one is free"
        ),
    }
}

/// Why something that a job needs could not be had: it is not there, or it could not be found out.
#[derive(Debug)]
pub enum Unavailable {
    /// It is not there.
    NotRunnable(NotRunnable),
    /// It could not be found out.
    Failed(JobError),
}

impl Unavailable {
    /// That something is not there is a fact; that it could not be found out is an error.
    pub fn fact<T>(found: Result<T, Self>) -> Result<Result<T, NotRunnable>, JobError> {
        match found {
            Ok(found) => Ok(Ok(found)),
            Err(Self::NotRunnable(why)) => Ok(Err(why)),
            Err(Self::Failed(error)) => Err(error),
        }
    }
}

impl From<NotRunnable> for Unavailable {
    fn from(why: NotRunnable) -> Self {
        Self::NotRunnable(why)
    }
}

impl From<ApiError> for Unavailable {
    fn from(error: ApiError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<AzureError> for Unavailable {
    fn from(error: AzureError) -> Self {
        Self::Failed(error.into())
    }
}
