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
