//! The data plane of dynamic sessions: commands, files and sessions of one pool.

mod answer;
mod client;
mod endpoint;
mod error;
mod execution;
mod record;

pub use client::{EXECUTION_API_VERSION, SESSION_API_VERSION, SYNCHRONOUS_LIMIT, SessionClient};
pub use endpoint::{InvalidIdentifier, InvalidSessionPath, PoolEndpoint, SessionIdentifier, SessionPath};
pub use error::{Dispatch, SessionError, SessionErrorKind};
pub use execution::{BodyForm, Execution, ExecutionStatus};
pub use record::{Download, LiveSession, SessionFile};
