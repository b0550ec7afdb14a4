//! What carries out the commands of attempts: one executor for each kind of target.

mod farewell;
pub mod session_pool;

pub use farewell::{Farewells, Leaving};

use super::attempt::{Command, Event, Limits};

/// Carries out commands of the attempts of one job, in one target. It decides nothing.
pub trait Executor: Clone + Send + Sync + 'static {
    /// What the target allows.
    fn limits(&self) -> Limits;

    /// Names the target: files of an attempt that lie in another one are of no use in this one.
    fn place(&self) -> &str;

    /// Carries out a command and tells what became of it. Dropped before it is done, it may have been carried out, or may
    /// yet be.
    fn run(&self, command: &Command) -> impl Future<Output = Event> + Send;
}
