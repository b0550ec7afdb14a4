//! What carries out the commands of attempts: one executor for each kind of target.

mod farewell;
pub mod session_pool;

pub use farewell::{Farewells, Leaving};

use super::attempt::{AttemptKey, Command, Event, Limits, Slot, Ticket};
use super::runner::Baseline;

/// Carries out commands of the attempts of one job, in one target. It decides nothing.
pub trait Executor: Clone + Send + Sync + 'static {
    /// What the target allows.
    fn limits(&self) -> Limits;

    /// Names the target: files of an attempt that lie in another one are of no use in this one.
    fn place(&self) -> &str;

    /// Names the session, if it is kept for other commands.
    fn slot(&self) -> Option<&Slot>;

    /// Leaves the session for another command; `ticket` is that of the attempt that had it last, and `baseline` what it was before
    /// its first command, of one that is emptied. False if nobody is to have it.
    fn keep(
        &self,
        key: AttemptKey,
        ticket: Option<&Ticket>,
        baseline: Option<Baseline>,
    ) -> impl Future<Output = bool> + Send;

    /// Carries out a command and tells what became of it. Dropped before it is done, it may have been carried out, or may
    /// yet be.
    fn run(&self, command: &Command) -> impl Future<Output = Event> + Send;
}
