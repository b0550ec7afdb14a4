//! What the controllers of all kinds that own an Azure resource have in common.
//!
//! A kind says what its resource should be and where it is; everything else is here: ownership, policies, drift, one write
//! at a time, operations that take long, registration of providers, deletion, and letting go.
//!
//! [`course()`](course::course) decides everything, without I/O: what to do next, when to look again, and what the
//! status says. [`carry_out`](act::carry_out) does it and decides nothing.

mod act;
mod course;
mod dependency;
pub mod drift;
mod look;
mod memory;
mod placement;
mod read;
mod status;
mod subject;

pub use act::{carry_out, is_about_the_resource};
pub use course::{Course, Release, SETTLING, Step, course, lets_go_unseen, may_use};
pub use dependency::{
    Dependency, OpenAccount, account_id, account_key, close_account, credential_gone, held, open_account, unresolved,
};
pub use look::{Body, Held, Look, Occupants, Registration, Tagging, View};
pub use memory::{Answer, Memories, Memory, OperationUrl, Purpose, Written};
pub use placement::Placement;
pub use read::{cause_of_failure, find, look_at};
pub use status::{notes, summarize};
pub use subject::{AzureObject, Reports, Subject, age, entry};

#[cfg(test)]
mod tests;
