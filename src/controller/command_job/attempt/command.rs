//! What an executor is told to do, and what it tells of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{AttemptClaim, AttemptKey, Ticket};
use crate::api::command_job::{CommandResult, OutputTail};
use crate::controller::command_job::runner::{Baseline, KillReason, Report};
use crate::runtime::{Class, Classify};

/// One effect of an attempt, with every choice made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put what the attempt needs into its session, the ticket last. Starts nothing; may be repeated.
    Prepare {
        /// The attempt.
        key: AttemptKey,
        /// Names this preparation.
        ticket: Ticket,
    },
    /// Ask the session to start the command unless that has happened, and to wait for its end.
    Start {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
        /// The latest moment of a start, by the operator's clock.
        start_by: Timestamp,
        /// How long to wait.
        window: Duration,
        /// Whether what the command printed last is wanted if it still runs then.
        with_tail: bool,
        /// Whether to find out what the session was before, and to empty it where the command ends meanwhile.
        empties: bool,
    },
    /// Wait for the end of a command that was started. Starts nothing.
    Poll {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
        /// How long to wait.
        window: Duration,
        /// Whether what the command printed last is wanted if it still runs then.
        with_tail: bool,
        /// What the session was before, if it is to be emptied where the command ends meanwhile.
        empties: Option<Baseline>,
    },
    /// Ask the session's files how the attempt ended, because its answers keep getting lost.
    ReadEnd {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
    },
    /// Read what the command printed.
    Collect {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
        /// How it ended, and what came with that.
        report: Box<Report>,
    },
    /// Have the command killed, or never started, without waiting for that.
    Cancel {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
        /// Why.
        reason: KillReason,
        /// Seconds between TERM and KILL.
        grace_seconds: u32,
    },
    /// Empty the session of a command that has ended and whose output is read.
    Empty {
        /// The attempt, as it was claimed.
        claim: AttemptClaim,
        /// What the session was before.
        baseline: Baseline,
    },
    /// End the session with everything in it.
    Release {
        /// The attempt.
        key: AttemptKey,
    },
}

impl Command {
    /// What it is called in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prepare { .. } => "Prepare",
            Self::Start { .. } => "Start",
            Self::Poll { .. } => "Poll",
            Self::ReadEnd { .. } => "ReadEnd",
            Self::Collect { .. } => "Collect",
            Self::Cancel { .. } => "Cancel",
            Self::Empty { .. } => "Empty",
            Self::Release { .. } => "Release",
        }
    }

    /// Whether it waits for something that takes its time, so that it may be given up.
    pub fn waits(&self) -> bool {
        match self {
            Self::Start { .. } | Self::Poll { .. } => true,
            Self::Prepare { .. }
            | Self::ReadEnd { .. }
            | Self::Collect { .. }
            | Self::Cancel { .. }
            | Self::Empty { .. }
            | Self::Release { .. } => false,
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Everything that the attempt needs lies in its session.
    Prepared {
        /// When the last file was there.
        at: Timestamp,
        /// What was put where, as a keyed digest.
        contents: String,
    },
    /// There was no answer: the request may have been carried out, and may still arrive.
    Unanswered(Problem),
    /// The request was not carried out, and will not be.
    Failed(Problem),
    /// The service refuses the account. Nothing was done.
    Denied {
        /// When.
        at: Timestamp,
        /// Whom the service refuses, where, and its code.
        problem: Problem,
    },
    /// There is no session to be had. Nothing was done.
    Full(Problem),
    /// The target is known not to exist any more.
    Gone,
    /// What the session says of the attempt.
    Frame(Box<Report>),
    /// The same of an attempt that runs, and what it printed last.
    Printed(Box<Report>, Arc<OutputTail>),
    /// The session answered and said nothing of the attempt.
    NoFrame,
    /// What the command printed is read, and ready for the status.
    Collected(Box<CommandResult>),
    /// What the command printed is not there, or not as it was when the command ended.
    OutputMissing(Problem),
    /// What the command printed cannot be kept for now, which is not its session's doing.
    NotKept(Problem),
    /// It is done, and there is nothing to tell.
    Done,
}

/// Why a command was not carried out, in the words of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it asks of the controller.
    pub class: Class,
    /// The reason of a condition.
    pub reason: Cow<'static, str>,
    /// The message of a condition: the same text for the same cause, never a secret.
    pub message: String,
}

impl Problem {
    /// The problem that an error is.
    pub fn of(error: &impl Classify) -> Self {
        Self {
            class: error.class(),
            reason: error.reason(),
            message: error.message(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Classify for Problem {
    fn class(&self) -> Class {
        self.class.clone()
    }

    fn reason(&self) -> Cow<'static, str> {
        self.reason.clone()
    }
}
