//! What the process remembers of each object between passes. All of it may be lost: then something is asked or written
//! once more than necessary.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::api::condition::Reason;
use crate::azure::ResourceId;
use crate::runtime::Pace;

use super::overwritten::Overwritten;

/// What is remembered of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// How fast the operator goes.
    pub pace: Pace,
    /// The last write that Azure answered.
    pub write: Option<LastWrite>,
    /// Where Azure accepted the object's first write, should the status that says so not have been written: somebody may have
    /// changed the spec meanwhile, and with it the place.
    pub placed: Option<ResourceId>,
    /// When Azure was last asked to delete the resource.
    pub deletion: Option<Timestamp>,
    /// Why Azure refused to delete it, if it did.
    pub deletion_refusal: Option<String>,
    /// How often in a row it refused.
    pub deletion_refusals: u32,
    /// Where Azure reports the operation that the last write began.
    pub operation: Option<OperationUrl>,
    /// How that operation failed, for people.
    pub operation_error: Option<String>,
    /// How often the owner tag was asked to be removed.
    pub disowned: u32,
    /// The provider that is being registered.
    pub registering: Option<String>,
    /// The digest of the secret values that Azure was last given.
    pub secrets_digest: Option<String>,
    /// What was written over since a look last saw the resource as it should be.
    pub overwritten: Overwritten,
}

impl History {
    /// Remembers how Azure answered a write.
    pub fn note_answer(&mut self, purpose: Purpose, fingerprint: String, answer: Answer, at: Timestamp) {
        let before = self.write.as_ref().filter(|before| before.fingerprint == fingerprint);
        let refusals = answer.refusals_after(before.map(|before| before.refusals));
        self.write = Some(LastWrite {
            at,
            purpose,
            fingerprint,
            answer,
            refusals,
        });
    }
}

/// Where Azure reports an operation: about 4 KB and signed, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct OperationUrl(pub String);

impl fmt::Debug for OperationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperationUrl(…)")
    }
}

/// A write that Azure answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// When.
    pub at: Timestamp,
    /// What it was for.
    pub purpose: Purpose,
    /// What was sent, and over which state of the resource.
    pub fingerprint: String,
    /// The answer.
    pub answer: Answer,
    /// How often in a row Azure refused it.
    pub refusals: u32,
}

/// What a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The resource is created.
    Create,
    /// A resource that existed is taken over.
    Adopt,
    /// What differs is corrected.
    Update,
}

/// How Azure answered a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It accepted.
    Accepted,
    /// It refused for good.
    Refused {
        /// What the refusal is in the words of conditions.
        reason: Reason,
        /// The refusal, for people.
        message: String,
    },
}

impl Answer {
    /// How often in a row Azure refused the same write, this answer included; `before` is that of the answers until now.
    pub fn refusals_after(&self, before: Option<u32>) -> u32 {
        match self {
            Self::Accepted => 0,
            Self::Refused { .. } => before.unwrap_or(0) + 1,
        }
    }
}

/// What is remembered, by uid.
#[derive(Debug)]
pub struct Histories<M = History>(Mutex<HashMap<String, M>>);

impl<M> Default for Histories<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Clone + Default + PartialEq> Histories<M> {
    /// What is remembered of an object.
    pub fn of(&self, uid: &str) -> M {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .cloned()
            .unwrap_or_default()
    }

    /// Remembers.
    pub fn keep(&self, uid: &str, history: M) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if history == M::default() {
            all.remove(uid);
        } else {
            all.insert(uid.to_owned(), history);
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.keep(uid, M::default());
    }
}
