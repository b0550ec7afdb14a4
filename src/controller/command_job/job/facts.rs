//! What a job's plan is made from, besides the job.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::not_runnable::NotRunnable;
use super::plan::{last_claim, next_key};
use crate::api::command_job::{CommandJob, SessionMode};
use crate::controller::command_job::attempt::{AttemptKey, AttemptState, Finding, Limits, Slot, Ticket};
use crate::controller::command_job::output::Fit;
use crate::runtime::Key;

/// What is known around a job.
#[derive(Clone, Debug)]
pub struct JobFacts {
    /// What the target allows.
    pub limits: Limits,
    /// The target, as far as the next thing that is to be done in it goes; or why it cannot be used.
    pub place: Result<String, NotRunnable>,
    /// What a new attempt would be given, and where, as a keyed digest; or why that is not complete. Empty while an attempt
    /// is under way.
    pub contents: Result<String, NotRunnable>,
    /// The keyed digest of the secret values that are at hand, if there are any.
    pub secrets_digest: Option<String>,
    /// Names the account that a new attempt would run as, if that is one that the pool lends.
    pub lent_account: Option<String>,
    /// The SessionPool of another namespace that a new attempt would enter as an account of its own.
    pub guest_of: Option<Key>,
    /// The session that a new attempt would have.
    pub lodging: Lodging,
    /// The digests of the sessions of the attempts that matter.
    pub sessions: BTreeMap<AttemptKey, String>,
    /// A ticket that no preparation has had yet.
    pub fresh: Ticket,
    /// What this process knows of the attempts.
    pub attempts: BTreeMap<AttemptKey, AttemptState>,
    /// How the job's result is written: the API server refused the ways before this one as too large.
    pub fit: Fit,
}

/// The session that an attempt has that is prepared now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lodging {
    /// How it was chosen.
    pub mode: SessionMode,
    /// Names it, if it is kept for other commands.
    pub slot: Option<Slot>,
    /// How many jobs had it before.
    pub reuse: u32,
    /// When it was allocated, if a job had it before.
    pub allocated: Option<Timestamp>,
}

impl JobFacts {
    /// What is known of an attempt of the job.
    pub fn attempt(&self, job: &CommandJob, key: AttemptKey) -> AttemptState {
        self.attempts.get(&key).cloned().unwrap_or_else(|| untouched(job))
    }
}

/// The attempt that a pass is about, and whether it is claimed: the last one in the status, unless it is void; else the next.
pub fn current_key(job: &CommandJob, attempts: &BTreeMap<AttemptKey, AttemptState>) -> (AttemptKey, bool) {
    let is_void = |key: &AttemptKey| attempts.get(key).is_some_and(|it| it.finding == Finding::Void);
    match last_claim(job).map(|it| it.key).filter(|key| !is_void(key)) {
        Some(key) => (key, true),
        None => (next_key(job, attempts), false),
    }
}

/// The attempts whose sessions a plan asks about: the one in the status that is open, void or not, and the next one.
pub fn attempts_that_matter(
    job: &CommandJob,
    known: &BTreeMap<AttemptKey, AttemptState>,
) -> impl Iterator<Item = AttemptKey> + use<> {
    let claimed = last_claim(job).map(|it| it.key);
    claimed.into_iter().chain([next_key(job, known)])
}

/// The state of an attempt that nothing was done about yet. Since when the job has been refused is in its status, so that a
/// restart does not begin that time again.
pub fn untouched(job: &CommandJob) -> AttemptState {
    let queue = job.status.as_ref().and_then(|it| it.queue.as_ref());
    let mut state = AttemptState::default();
    state.denied_since = queue.and_then(|it| it.refused_since.as_ref()).map(|it| it.0);
    state
}
