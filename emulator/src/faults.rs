//! Faults: answers that the control API puts in the place of the service's own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Notify;

/// A fault as the control API takes and shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRequest {
    /// Which requests it applies to; absent: all of them.
    #[serde(rename = "match", default)]
    pub matches: FaultMatch,
    /// How many requests it applies to before it is gone.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    pub action: FaultAction,
}

/// Which requests a fault applies to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultMatch {
    /// HTTP method, whatever its case; absent: every method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Regular expression that must match somewhere in path and query, whatever the case; absent: every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What happens to a request. A delay can be combined with any of the others.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FaultAction {
    /// Answer with this status, without carrying the request out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of that answer.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
    /// Body of that answer: a string as it stands, anything else as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Wait before anything else happens, in real time, or until the faults are cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_milliseconds: Option<u64>,
    /// Reset the TCP connection without carrying the request out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Carry the request out, then close the connection without an answer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_response: bool,
    /// Carry the request out, announce its whole answer and close the connection after this many bytes of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate_bytes: Option<usize>,
}

/// Why a fault was refused.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// `match.path` is no regular expression.
    #[error("match.path is no regular expression")]
    Pattern(#[from] regex::Error),
    /// `action.status` is no HTTP status.
    #[error("action.status {0} is no HTTP status")]
    Status(u16),
    /// The action would do nothing, or two things that exclude each other.
    #[error("action must have exactly one of status, reset, dropResponse and truncateBytes, or else delayMilliseconds")]
    Action,
}

/// A fault with its id and how often it still applies, as `GET /_emulator/faults` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct FaultState {
    /// Number of the fault, in the order of arrival.
    pub id: u64,
    /// The fault, with `times` counting down.
    #[serde(flatten)]
    pub fault: FaultRequest,
    #[serde(skip)]
    pattern: Option<Regex>,
}

/// The faults that are armed.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<(u64, Vec<FaultState>)>,
    cleared: Notify,
}

impl Faults {
    /// Arms a fault and returns its id. Faults apply in the order in which they were armed.
    pub fn arm(&self, fault: FaultRequest) -> Result<u64, FaultError> {
        let action = &fault.action;
        if let Some(status) = action.status
            && !(200..=599).contains(&status)
        {
            return Err(FaultError::Status(status));
        }
        let effects = usize::from(action.status.is_some())
            + usize::from(action.reset)
            + usize::from(action.drop_response)
            + usize::from(action.truncate_bytes.is_some());
        if effects > 1 || (effects == 0 && action.delay_milliseconds.is_none()) {
            return Err(FaultError::Action);
        }
        let pattern = match &fault.matches.path {
            Some(path) => Some(RegexBuilder::new(path).case_insensitive(true).build()?),
            None => None,
        };
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.0 += 1;
        let id = armed.0;
        armed.1.push(FaultState { id, fault, pattern });
        Ok(id)
    }

    /// The fault for a request, if one is armed; takes one of its times.
    pub fn take(&self, method: &str, path_and_query: &str) -> Option<(u64, FaultAction)> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let state = armed.1.iter_mut().find(|state| {
            state.fault.times > 0
                && state
                    .fault
                    .matches
                    .method
                    .as_ref()
                    .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && state
                    .pattern
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(path_and_query))
        })?;
        state.fault.times -= 1;
        Some((state.id, state.fault.action.clone()))
    }

    /// All faults, spent ones included.
    pub fn list(&self) -> Vec<FaultState> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Disarms all faults, and lets the requests go on that they delay.
    pub fn clear(&self) {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
        self.cleared.notify_waiters();
    }

    /// Returns after this time, or as soon as the faults are cleared.
    pub async fn delay(&self, time: Duration) {
        // The one error says that the time is over.
        let _ = tokio::time::timeout(time, self.cleared.notified()).await;
    }
}

fn once() -> u32 {
    1
}
