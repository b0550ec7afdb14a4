//! What each kind does: observe, plan, at most one step, status.

pub mod accounts;
pub mod command_job;
pub mod context;
pub mod error;
mod federation;
pub mod operator_key;
pub mod ownership;
pub mod policy;
pub mod readiness;

pub use context::{Context, Foundation, Sources, Watched};
pub use error::Error;

use crate::runtime::supervisor::Supervisor;

/// Starts the controllers of the kinds that own something in Azure, and of the accounts that they use.
pub fn spawn(_context: &Context, sources: Sources, _supervisor: &mut Supervisor) {
    drop(sources);
}
