//! What this process remembers of each job that has not ended. Losing it costs requests, never correctness.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::attempt::{AttemptKey, AttemptState};
use super::output::Fit;

/// What this process remembers of one job.
#[derive(Clone, Debug)]
pub struct RememberedJob<E> {
    /// Its attempts that something was done about, each with what reaches it.
    pub attempts: BTreeMap<AttemptKey, (AttemptState, E)>,
    /// How its result is written: the API server refused the ways before this one as too large.
    pub fit: Fit,
    /// How many bytes of values from Secrets it would keep, where there was no room for them: so that they are read again only
    /// once there is.
    pub secret_bytes: usize,
}

impl<E> Default for RememberedJob<E> {
    fn default() -> Self {
        Self {
            attempts: BTreeMap::new(),
            fit: Fit::AsItIs,
            secret_bytes: 0,
        }
    }
}

/// The jobs that have not ended, by uid.
#[derive(Debug)]
pub struct JobMemory<E>(Mutex<HashMap<String, RememberedJob<E>>>);

impl<E> Default for JobMemory<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E: Clone> JobMemory<E> {
    /// What is remembered of a job.
    pub fn of(&self, uid: &str) -> RememberedJob<E> {
        self.lock().get(uid).cloned().unwrap_or_default()
    }

    /// Changes what is remembered of a job.
    pub fn update<T>(&self, uid: &str, change: impl FnOnce(&mut RememberedJob<E>) -> T) -> T {
        change(self.lock().entry(uid.to_owned()).or_default())
    }

    /// Forgets a job.
    pub fn take(&self, uid: &str) -> RememberedJob<E> {
        self.lock().remove(uid).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RememberedJob<E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
