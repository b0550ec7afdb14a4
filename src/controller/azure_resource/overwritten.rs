//! What was found and written over, and whether it came back: what Azure keeps its own way is told from what others change.
//!
//! The answer to a write may show what was sent although the next look shows what Azure made of it, so only looks count. A
//! state that is found again directly after a write that was to change it is Azure's own way. One that is found again after
//! a look that saw the resource as it should be is somebody's change, and so is one that somebody wrote in between.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::controller::operator_key::hex;
use crate::runtime::requeue::REJECTED_RESYNC;

use super::decision::SETTLING;
use super::subject::age;

/// After so many states that came one after the other, and never the one that was asked for, any other is Azure's own way as
/// well.
const MOST_STATES: usize = 4;

/// What a resource should be and what it was found to be instead, as digests: values may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it should be.
    wish: String,
    /// What it is, as far as that differs.
    state: String,
}

impl Found {
    /// Digests of both. `wish` is all that a write depends on but the resource.
    pub fn new<'a>(wish: impl IntoIterator<Item = &'a str>, state: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            wish: digest(wish),
            state: digest(state),
        }
    }
}

fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// The states that writes were to change since a look last saw the resource as it should be. All of it may be lost: then
/// there is one write more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overwritten {
    wish: String,
    states: Vec<String>,
    /// When the last write, or the operation that it began, ended as far as is known.
    since: Option<Timestamp>,
    /// Whether a look directly after that saw that the resource still differs.
    came_back: bool,
    /// What Azure said at that look of the last change.
    last_change: Option<String>,
}

/// What earlier writes say about one that would be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing: it may be sent.
    Nothing,
    /// The like of it was accepted lately, and a look may not show it yet.
    Settling,
    /// The like of it changed nothing.
    InVain,
}

impl Overwritten {
    /// Whether the last write is still to be confirmed by a look.
    pub fn is_unconfirmed(&self) -> bool {
        !self.states.is_empty() && !self.came_back
    }

    /// Azure accepted a write over this state.
    pub fn note_write(&mut self, found: Found, now: Timestamp) {
        if self.wish != found.wish {
            *self = Self::default();
        }
        if !self.states.contains(&found.state) && self.states.len() < MOST_STATES {
            self.states.push(found.state);
        }
        self.wish = found.wish;
        self.since = Some(now);
        self.came_back = false;
        self.last_change = None;
    }

    /// A look saw the resource as it should be.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// A look saw that an operation goes on.
    pub fn note_operation(&mut self, now: Timestamp) {
        if !self.states.is_empty() && !self.came_back {
            self.since = Some(now);
        }
    }

    /// A look saw the resource, and that it differs.
    pub fn note_difference(&mut self, actual: &Value, now: Timestamp) {
        let Some(since) = self.since else { return };
        let change = actual.pointer("/systemData/lastModifiedAt").and_then(Value::as_str);
        if self.came_back {
            if self.last_change.as_deref() != change {
                // Somebody wrote it since, so nobody knows any more whose the difference is.
                self.forget();
            }
        } else if age(since, now) < SETTLING {
            self.came_back = true;
            self.last_change = change.map(str::to_owned);
        }
    }

    /// What is known of a write over this state.
    pub fn earlier(&self, found: &Found, now: Timestamp) -> Earlier {
        let is_known = self.states.contains(&found.state) || self.states.len() >= MOST_STATES;
        let Some(since) = self.since.filter(|_| is_known && self.wish == found.wish) else {
            return Earlier::Nothing;
        };
        let age: Duration = age(since, now);
        if age < SETTLING {
            Earlier::Settling
        } else if self.came_back && age < REJECTED_RESYNC {
            Earlier::InVain
        } else {
            Earlier::Nothing
        }
    }
}
