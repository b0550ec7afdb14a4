//! What is found out about a job before it is planned. Reads only.

use std::sync::Arc;
use std::time::Duration;

use super::conversation::Conversation;
use super::inputs::Inputs;
use super::target::Target;
use crate::api::command_job::QueueReason;
use crate::api::condition::Reason;

/// What is known of a job's surroundings in this pass.
#[derive(Debug)]
pub struct Observed {
    /// Whether a new attempt could be started, and if not, why.
    pub ready: Result<(), NotReady>,
    /// Whether the session of the attempt under way can be reached, and if not, why.
    pub reachable: Result<(), NotReady>,
    /// The digest of the session of the attempt under way, as it is derived now.
    pub digest: Option<String>,
    /// What a new attempt would be given, and where, as a digest; `None` while that is not known.
    pub fingerprint: Option<String>,
    /// What this process knows of the session.
    pub conversation: Conversation,
    /// The pool, if it can be used.
    pub target: Option<Target>,
    /// What the command gets, if it is complete.
    pub inputs: Option<Arc<Inputs>>,
}

impl Observed {
    /// Of a job that has ended nothing needs to be known.
    pub fn of_a_finished_job() -> Self {
        Self {
            ready: Ok(()),
            reachable: Ok(()),
            digest: None,
            fingerprint: None,
            conversation: Conversation::default(),
            target: None,
            inputs: None,
        }
    }
}

/// Why a job cannot go on, in the words of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// The reason of the conditions.
    pub reason: Reason,
    /// The message of the conditions.
    pub message: String,
    /// What the job is shown to wait for.
    pub queue: QueueReason,
    /// Whether somebody has to act.
    pub stalled: bool,
    /// When to look again, if something said so.
    pub retry_after: Option<Duration>,
}
