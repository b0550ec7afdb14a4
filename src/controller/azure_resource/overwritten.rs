//! What was found and written over, and whether it came back: what Azure keeps its own way is told from what others change.
//!
//! The answer to a write may show what was sent although the next look shows what Azure made of it, so only looks count. A
//! state that is found again directly after a write that was to change it is Azure's own way. One that is found again after
//! a look that saw the resource as it should be is somebody's change, and so is one that somebody wrote in between.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::controller::operator_key::hex;
use crate::runtime::requeue::REFUSED;

use super::decision::SETTLING;
use super::subject::age;

/// After so many states that came one after the other, and never the one that was asked for, any other is Azure's own way as
/// well, unless Azure says that somebody wrote it.
const MOST_STATES: usize = 4;

/// What a resource should be and what it was found to be instead, as digests: values may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// What it should be.
    wish: String,
    /// What it is, as far as that differs.
    state: String,
}

impl Deviation {
    /// Digests of both. `wish` is all that a write depends on but the resource.
    pub fn new<'a>(wish: impl IntoIterator<Item = &'a str>, state: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            wish: digest(wish),
            state: digest(state),
        }
    }
}

/// When somebody wrote the resource last, where Azure says so.
fn last_change(resource: &Value) -> Option<Timestamp> {
    let text = resource.pointer("/systemData/lastModifiedAt")?.as_str()?;
    // Recorded: answers to reads leave out that it is UTC.
    let utc = || Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(utc)
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
    /// Whether that look saw a later change than the write.
    others_wrote: bool,
    /// What Azure said of the last change, in its answer to the write and then at that look.
    last_change: Option<Timestamp>,
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

    /// Azure accepted a write over this state, and answered so.
    pub fn note_write(&mut self, found: Deviation, answer: &Value, now: Timestamp) {
        if self.wish != found.wish {
            *self = Self::default();
        }
        if !self.states.contains(&found.state) && self.states.len() < MOST_STATES {
            self.states.push(found.state);
        }
        self.wish = found.wish;
        self.since = Some(now);
        self.came_back = false;
        self.others_wrote = false;
        self.last_change = last_change(answer);
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
        let change = last_change(actual);
        if self.came_back {
            if self.last_change != change {
                // Somebody wrote it since, so nobody knows any more whose the difference is.
                self.forget();
            }
        } else if age(since, now) < SETTLING {
            self.came_back = true;
            // Answers to reads and writes may show the same moment to another precision.
            let is_later = |(before, after): (Timestamp, Timestamp)| after.duration_since(before).as_millis() > 0;
            self.others_wrote = self.last_change.zip(change).is_some_and(is_later);
            self.last_change = change;
        }
    }

    /// What is known of a write over this state.
    pub fn earlier(&self, found: &Deviation, now: Timestamp) -> Earlier {
        let is_known = self.states.contains(&found.state) || (self.states.len() >= MOST_STATES && !self.others_wrote);
        let Some(since) = self.since.filter(|_| is_known && self.wish == found.wish) else {
            return Earlier::Nothing;
        };
        let age: Duration = age(since, now);
        if age < SETTLING {
            Earlier::Settling
        } else if self.came_back && age < REFUSED.most {
            Earlier::InVain
        } else {
            Earlier::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_change_is_read_from_answers_to_reads_and_to_writes() {
        let at = |text: &str| last_change(&json!({"systemData": {"lastModifiedAt": text}}));
        let written = at("2026-03-01T12:00:00.5000004Z");
        assert_eq!(written.map(|it| it.as_second()), Some(1_772_366_400));
        assert_eq!(at("2026-03-01T12:00:00.5000004"), written);
        assert_eq!(at("lately"), None);
        assert_eq!(last_change(&json!({})), None);
    }
}
