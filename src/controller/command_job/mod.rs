//! CommandJob: a command that runs in a session, once, and what it printed and returned.
//!
//! [`job`] says what a job does next, and what its status says; [`attempt`] what one attempt to run its command does next.
//! Both are pure. An [`executor`] carries it out; the text that it has a session run ([`runner`]) starts a command at most
//! once however often it is sent.

mod abridged;
pub mod attempt;
mod budget;
pub mod controller;
mod departure;
mod error;
pub mod executor;
pub mod finished;
mod hosts_told;
pub mod job;
mod memory;
#[cfg(test)]
mod model;
pub mod observe;
pub mod output;
mod queue;
mod reconciler;
mod room;
pub mod runner;

pub use controller::spawn;
pub use error::JobError;
