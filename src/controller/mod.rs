//! What each kind does: observe, plan, at most one step, status.

pub mod command_job;
