//! What became of the passes of one controller, in numbers without names of objects.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Class;

/// The end of one pass, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything planned was done.
    Done,
    /// Put off because the process has just started.
    Deferred,
    /// The object could not be decoded.
    Invalid,
    /// The pass ran out of time.
    DeadlineExceeded,
    /// The process is shutting down.
    Cancelled,
    /// A panic was caught.
    Panicked,
    /// Failed and waits for something.
    Waiting,
    /// Failed for any other reason.
    Failed,
}

const KINDS_OF_END: usize = 8;

/// Counters of one controller. They only grow.
#[derive(Debug, Default)]
pub struct Counters {
    ended: [AtomicU64; KINDS_OF_END],
    steps: AtomicU64,
    status_writes: AtomicU64,
    watch_errors: AtomicU64,
}

impl Counters {
    /// How many passes ended so.
    pub fn ended(&self, how: Ended) -> u64 {
        self.ended[how as usize].load(Ordering::Relaxed)
    }

    /// How many passes ended at all.
    pub fn passes(&self) -> u64 {
        self.ended.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// How many steps were begun.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// How many statuses were written.
    pub fn status_writes(&self) -> u64 {
        self.status_writes.load(Ordering::Relaxed)
    }

    /// How many errors the watches had.
    pub fn watch_errors(&self) -> u64 {
        self.watch_errors.load(Ordering::Relaxed)
    }

    pub(super) fn count_end(&self, how: Ended) {
        self.ended[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_status_write(&self) {
        self.status_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_watch_error(&self) {
        self.watch_errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl From<&Class> for Ended {
    fn from(class: &Class) -> Self {
        match class {
            Class::Throttled { .. } | Class::Waiting { .. } => Self::Waiting,
            Class::Conflict | Class::Transient | Class::Denied | Class::Forbidden | Class::Terminal | Class::Bug => {
                Self::Failed
            }
        }
    }
}
