//! Who has the sessions of a pool, and who waits for one.
//!
//! Azure refuses a session beyond a pool's maximum, in several ways, and tells nobody when one is free. So the operator keeps
//! a [`Ledger`] for each pool: jobs ask for a session, wait without a request and without a poll, and are woken when it is
//! their turn. What a job was given is a [`Seat`]: whatever becomes of the job, the session's place in the pool is free again
//! once nothing holds the seat any more.
//!
//! Order: the namespace that has the fewest sessions of the pool, among equals the one that was served the longest ago; of
//! its jobs the one of the highest priority, among equals the oldest. So no namespace can keep another one waiting by what it
//! writes into its jobs.

mod bill;
mod books;
mod breaker;
mod kept;
mod ledger;
mod line;
mod places;
mod position;
mod queues;
mod report;
mod seat;
mod sightings;
mod telling;

#[cfg(test)]
mod tests;

pub use books::{PoolFacts, Suspect};
pub use kept::{Keeper, KeptSession};
pub use line::{QueuePosition, WaitsFor, Wish};
pub use queues::{Queues, Turn};
pub use report::report;
pub use seat::Seat;
pub use sightings::Sightings;
