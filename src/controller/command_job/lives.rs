//! What this process holds of each job that has not ended. Losing it costs requests, never correctness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use super::conversation::Conversation;
use super::inputs::Inputs;
use super::session::Talk;
use super::target::Target;
use crate::api::CommandJob;

/// What this process holds of one job.
#[derive(Clone, Default)]
pub struct Life {
    /// What was said.
    pub conversation: Conversation,
    /// The pool that it was last worked on in.
    pub target: Option<Target>,
    /// The session that may have been allocated for it.
    pub talk: Option<Talk>,
    /// What its command was given.
    pub inputs: Option<Arc<Inputs>>,
    /// Its result is being written or was, so that its leaving the watch is no deletion.
    pub finishing: bool,
    /// Cancelled when the job is deleted, or begins to be.
    pub gone: CancellationToken,
}

/// The jobs that have not ended, by uid.
#[derive(Default)]
pub struct Lives(Mutex<HashMap<String, Life>>);

impl Lives {
    /// What is held of the job; from now on something is.
    pub fn open(&self, job: &CommandJob) -> Life {
        self.lock().entry(uid(job)).or_default().clone()
    }

    /// What is held of the job, if anything is.
    pub fn get(&self, job: &CommandJob) -> Option<Life> {
        self.lock().get(&uid(job)).cloned()
    }

    /// Changes what is held of the job. Of a job that was let go nothing is held, and nothing begins to be.
    pub fn update(&self, job: &CommandJob, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lock().get_mut(&uid(job)) {
            change(life);
        }
    }

    /// Holds nothing of the job any more, and returns what was held.
    pub fn close(&self, job: &CommandJob) -> Option<Life> {
        self.lock().remove(&uid(job))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Life>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uid(job: &CommandJob) -> String {
    job.uid().unwrap_or_default()
}
