//! The jobs of one namespace that wait for a session of a pool, in their order. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::controller::command_job::attempt::{KeptFor, Tenancy};

/// Where a job stands among those of its namespace: the higher priority first, then the older, and the name of the job decides
/// between those that were made in the same second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Reverse<i32>,
    created: Timestamp,
    name: Arc<str>,
    uid: Arc<str>,
}

impl Rank {
    /// The rank of a job.
    pub fn new(priority: i32, created: Timestamp, name: &str, uid: &str) -> Self {
        Self {
            priority: Reverse(priority),
            created,
            name: name.into(),
            uid: uid.into(),
        }
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The job's uid.
    pub fn uid(&self) -> &Arc<str> {
        &self.uid
    }
}

/// That a job may have a session that another one has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Of whose sessions.
    pub tenancy: Tenancy,
    /// For how many seconds its session is kept for the next job, if not for as long as it is paid for.
    pub idle_seconds: Option<u32>,
    /// How many jobs a session may have, this one among them, if somebody says.
    pub most_jobs: Option<u32>,
}

impl Wish {
    /// Whether there is to be one session for all that wish the same.
    pub fn is_exclusive(&self) -> bool {
        self.tenancy.kept_for == KeptFor::OneKey
    }
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    pub rank: Rank,
    /// Since when it waits.
    pub since: Timestamp,
    /// Whose session it may have, if not only one of its own.
    pub wish: Option<Wish>,
    /// What its status says, or is about to say, of its position; and since when.
    pub told: Option<(QueuePosition, Timestamp)>,
}

/// What a status says of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePosition {
    /// The position, from 1.
    pub position: u32,
    /// How many waited.
    pub of: u32,
    /// When its turn is expected to come.
    pub estimate: Option<Timestamp>,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a job waits for that is to have a session of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A place in the pool.
    Place,
    /// A place of its namespace's, which has as many sessions as the pool's owner lets it have.
    Share,
    /// The session that another job has.
    Session,
}

/// The jobs of a namespace that wait, by rank.
#[derive(Debug, Default)]
pub struct Line(Vec<QueuedJob>);

impl Line {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a job, unless one of this rank waits.
    pub fn add(&mut self, waiting: QueuedJob) {
        if let Err(index) = self.find(&waiting.rank) {
            self.0.insert(index, waiting);
        }
    }

    /// Takes the job at this index.
    pub fn take(&mut self, index: usize) -> Option<QueuedJob> {
        (index < self.0.len()).then(|| self.0.remove(index))
    }

    pub fn remove(&mut self, rank: &Rank) -> Option<QueuedJob> {
        self.find(rank).ok().map(|index| self.0.remove(index))
    }

    pub fn get(&self, index: usize) -> Option<&QueuedJob> {
        self.0.get(index)
    }

    /// How many are before this rank.
    pub fn index(&self, rank: &Rank) -> usize {
        self.find(rank).unwrap_or_else(|index| index)
    }

    pub fn iter(&self) -> impl Iterator<Item = &QueuedJob> {
        self.0.iter()
    }

    pub fn get_mut(&mut self, rank: &Rank) -> Option<&mut QueuedJob> {
        let index = self.find(rank).ok()?;
        self.0.get_mut(index)
    }

    fn find(&self, rank: &Rank) -> Result<usize, usize> {
        self.0.binary_search_by(|it| it.rank.cmp(rank))
    }
}
