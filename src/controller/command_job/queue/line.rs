//! The jobs of one namespace that wait for a session of a pool, in their order. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::runtime::Key;

/// Where a job stands among those of its namespace: the higher priority first, then the older, and the name of the job decides
/// between those that were made in the same second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Reverse<i32>,
    created: Timestamp,
    name: String,
    uid: String,
}

impl Rank {
    /// The rank of a job.
    pub fn new(priority: i32, created: Timestamp, name: &str, uid: &str) -> Self {
        Self {
            priority: Reverse(priority),
            created,
            name: name.to_owned(),
            uid: uid.to_owned(),
        }
    }

    /// The job's uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    pub rank: Rank,
    /// Names the object.
    pub key: Key,
    /// Since when it waits.
    pub since: Timestamp,
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
    /// Whether its namespace has as many sessions as the pool's owner lets it have.
    pub is_at_share: bool,
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

    /// The job whose turn is next.
    pub fn pop(&mut self) -> Option<QueuedJob> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// Adds a job, unless one of this rank waits.
    pub fn add(&mut self, waiting: QueuedJob) {
        if let Err(index) = self.find(&waiting.rank) {
            self.0.insert(index, waiting);
        }
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
