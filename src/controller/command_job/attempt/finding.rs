//! What a session says of an attempt.

use crate::api::command_job::CommandResult;
use crate::controller::command_job::runner::{Report, ReportedState};

/// What a session says of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finding {
    /// It has not been asked, or did not say.
    #[default]
    Nothing,
    /// The session could not begin; what keeps it from beginning may pass.
    NotBegun,
    /// The command runs, or is about to.
    Running,
    /// The command has ended; what it printed is not read yet.
    Ended(Box<Report>),
    /// The command has ended, and its result is ready to be written.
    Collected(Box<CommandResult>),
    /// It is proven that nothing ran nor ever will.
    Void,
    /// The session is not the one that was prepared.
    Replaced,
    /// What was kept of the attempt in its session was removed, although something may have run.
    Removed,
    /// The runner died without leaving an exit code.
    Died,
    /// The runner could not prepare the command.
    Unprepared,
    /// The target no longer exists.
    Gone,
}

impl Finding {
    /// What a report says, on its own.
    pub fn of(report: Box<Report>) -> Self {
        match report.state {
            ReportedState::Absent | ReportedState::Registered => Self::NotBegun,
            ReportedState::Running { .. } => Self::Running,
            ReportedState::Replaced => Self::Replaced,
            ReportedState::Removed => Self::Removed,
            ReportedState::Void => Self::Void,
            ReportedState::Lost { killed: None } => Self::Died,
            ReportedState::Unprepared { .. } => Self::Unprepared,
            // A runner that died while it was killing the command: how that ended is known, its exit code is not.
            ReportedState::Lost { killed: Some(_) } | ReportedState::Ended { .. } | ReportedState::Cancelled(_) => {
                Self::Ended(report)
            }
        }
    }

    /// Whether the session will never say anything else.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Nothing | Self::NotBegun | Self::Running => false,
            Self::Ended(_)
            | Self::Collected(_)
            | Self::Void
            | Self::Replaced
            | Self::Removed
            | Self::Died
            | Self::Unprepared
            | Self::Gone => true,
        }
    }
}
