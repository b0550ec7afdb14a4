//! One attempt to run a job's command: how it is named, what is known of it, what is done next. Pure.
//!
//! The order is what the promise of at most one start rests on: *prepare* (uploads, which start nothing; the last of them is
//! the ticket), *claim* (the ticket enters the job's status, by compare-and-swap), *start* (the session starts the command if
//! it has this very ticket, unless it already has). A ticket is claimed only once its upload was answered, and no other
//! upload ever brings the same one; so there is at most one container that it was put into, and a lock in it.
//!
//! What is remembered of an attempt ([`AttemptState`]) saves requests. A process that has lost it begins with an empty one,
//! and is as right.

mod command;
mod emptying;
mod finding;
mod identity;
mod limits;
mod next;
mod parting;
mod slot;
mod state;

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;

pub use command::{Command, Event, Problem};
pub use emptying::Emptying;
pub use finding::Finding;
pub use identity::{AttemptIdentity, AttemptKey, SessionNames, Ticket};
pub use limits::Limits;
pub use next::{AfterClaim, AttemptClaim, BeforeClaim, Ending, Pursuit, Stop, Surroundings};
pub use parting::{AfterEnd, Farewell};
pub use slot::{InvalidSlot, KeptFor, Slot, Tenancy};
pub use state::{AttemptState, Preparation};
