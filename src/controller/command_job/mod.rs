//! CommandJob: a command that runs in a session, once, and what it printed and returned.
//!
//! What is promised rests on the order prepare → claim → call ([`plan`]), on identifiers that can be derived again
//! ([`identifier`]) and on the text that runs in the session ([`runner`]), which starts a command at most once however
//! often it is sent.

pub mod capture;
pub mod collect;
pub mod conversation;
mod error;
pub mod expansion;
pub mod expiry;
pub mod identifier;
pub mod inputs;
pub mod observe;
pub mod overflow;
pub mod plan;
mod reconcile;
pub mod release;
pub mod runner;
pub mod session;
pub mod status;
pub mod target;

pub use error::JobError;
pub use reconcile::CommandJobs;
