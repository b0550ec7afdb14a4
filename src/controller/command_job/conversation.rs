//! What this process knows of a job's session beyond the job's status. Losing it costs requests, never correctness: a
//! restarted operator asks the session again.

use jiff::Timestamp;

use super::runner::{FrameError, Look, State};
use crate::api::command_job::CommandResult;

/// Answers in a row without a frame after which the session's files are asked.
pub const UNREADABLE_ANSWERS: u32 = 2;

/// What this process knows of a job's session.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The attempt whose files this process uploaded.
    pub prepared: Option<Prepared>,
    /// The highest number of an attempt whose files may still arrive, because an upload was never answered. A file that
    /// arrives late could make a replaced session look like the prepared one, so no attempt up to this is claimed.
    pub spoilt: i32,
    /// The last that was heard, and of which attempt.
    pub heard: Option<(i32, Heard)>,
    /// Since when the pool refuses the account; nothing was started meanwhile.
    pub refused_since: Option<Timestamp>,
    /// A start is under way.
    pub calling: bool,
    /// A start of this attempt was sent and never answered; it may still arrive.
    pub unanswered: Option<i32>,
    /// Answers in a row without a readable frame.
    pub unreadable: u32,
    /// How often in a row what the command printed could not be found in its session.
    pub missing_output: u32,
    /// The session was given up because the job is being deleted.
    pub discarded: bool,
}

/// A finished preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Number of the attempt.
    pub attempt: i32,
    /// When the last file was there.
    pub at: Timestamp,
    /// What was prepared, and where. Secret values and specs can change between preparation and claim.
    pub fingerprint: String,
}

/// What a session said of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The command runs, or is about to.
    Running,
    /// The session could not begin; what keeps it from beginning may pass.
    NotBegun,
    /// The answer had no frame.
    Nothing,
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

impl Heard {
    /// What an answer says.
    pub fn from_answer(answer: Result<Look, FrameError>) -> Self {
        let Ok(look) = answer else { return Self::Nothing };
        match look.state {
            State::Absent | State::Registered => Self::NotBegun,
            State::Running { .. } => Self::Running,
            State::Replaced => Self::Replaced,
            State::Void => Self::Void,
            State::Lost { killed: None } => Self::Died,
            State::Unprepared { .. } => Self::Unprepared,
            // A runner that died while it was killing the command: how that ended is known, its exit code is not.
            State::Lost { killed: Some(_) } | State::Ended { .. } | State::Cancelled(_) => Self::Ended(Box::new(look)),
        }
    }
}

impl Conversation {
    /// What was last heard of an attempt.
    pub fn heard_of(&self, attempt: i32) -> Option<&Heard> {
        self.heard
            .as_ref()
            .filter(|(number, _)| *number == attempt)
            .map(|(_, heard)| heard)
    }

    /// Takes note of an answer to a call.
    pub fn hear(&mut self, attempt: i32, heard: Heard) {
        self.calling = false;
        match heard {
            // Nothing was learnt, so what was known stays.
            Heard::Nothing => self.unreadable += 1,
            heard => {
                self.unreadable = 0;
                self.heard = Some((attempt, heard));
            }
        }
    }

    /// Takes note that a call failed; `may_arrive` tells whether it can still reach the session.
    pub fn hear_nothing(&mut self, attempt: i32, may_arrive: bool) {
        self.calling = false;
        if may_arrive {
            self.unanswered = Some(attempt);
        }
    }

    /// Whether a start of the attempt may still arrive at its session.
    pub fn may_still_start(&self, attempt: i32) -> bool {
        self.calling || self.unanswered == Some(attempt)
    }

    /// Begins the conversation about an attempt that was just claimed.
    pub fn begin(&mut self) {
        self.heard = None;
        self.calling = false;
        self.unanswered = None;
        self.unreadable = 0;
        self.missing_output = 0;
    }
}
