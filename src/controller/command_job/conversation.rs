//! What this process knows of a job's session beyond the job's status. Losing it costs requests, never correctness: a
//! restarted operator asks the session again.

use jiff::Timestamp;

use super::runner::Look;
use crate::api::command_job::CommandResult;

/// What this process knows of a job's session.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The attempt whose files this process uploaded.
    pub prepared: Option<Prepared>,
    /// The last that was heard, and of which attempt.
    pub heard: Option<(i32, Heard)>,
    /// A start was sent and never answered; it may still arrive.
    pub unanswered: bool,
    /// Answers in a row without a readable frame.
    pub unreadable: u32,
    /// The session was given up because the job is being deleted.
    pub discarded: bool,
}

/// A finished preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Number of the attempt.
    pub attempt: i32,
    /// When the last file was there.
    pub at: Timestamp,
}

/// What a session said of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The command runs, or is about to.
    Running,
    /// The command has ended; what it printed is not read yet.
    Ended(Box<Look>),
    /// The command has ended, and its result is ready to be written.
    Collected(Box<CommandResult>),
    /// It is proven that nothing ran nor ever will.
    Void,
    /// The session is not the one that was prepared.
    Replaced,
    /// The runner died without leaving an exit code.
    Died,
    /// The runner could not prepare the command.
    Unprepared,
    /// Azure says that the pool no longer exists.
    PoolGone,
}

impl Conversation {
    /// What was last heard of an attempt.
    pub fn heard_of(&self, attempt: i32) -> Option<&Heard> {
        self.heard
            .as_ref()
            .filter(|(number, _)| *number == attempt)
            .map(|(_, heard)| heard)
    }
}
