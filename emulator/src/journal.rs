//! What the emulator answered and ran, for tests to read.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

/// Entries kept of each kind; older ones are forgotten.
pub(crate) const CAPACITY: usize = 200_000;

/// A request that was answered, or whose answer a fault withheld.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestEntry {
    /// Virtual time at which the request arrived.
    pub time: jiff::Timestamp,
    /// HTTP method.
    pub method: String,
    /// The host whose identity endpoint it was sent to; absent for the TLS port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Path as it was sent, still percent-encoded.
    pub path: String,
    /// Query as it was sent, without the question mark.
    pub query: String,
    /// HTTP status of the answer; absent when a fault left the client without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// JSON and form bodies, with secrets replaced by their digests; for anything else only the length.
    pub body: Value,
    /// Object id of the principal whose token came along, valid or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The caller's `x-ms-client-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// The fault that was applied, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<u64>,
}

/// Journals of requests and of executions.
#[derive(Debug, Default)]
pub struct Journal {
    requests: Mutex<VecDeque<RequestEntry>>,
    executions: Mutex<VecDeque<Value>>,
}

impl Journal {
    /// Adds a request.
    pub fn record_request(&self, entry: RequestEntry) {
        push(&self.requests, entry);
    }

    /// Adds an execution: pool, identifier, text, start, end, exit code.
    pub fn record_execution(&self, entry: Value) {
        push(&self.executions, entry);
    }

    /// All requests, oldest first.
    pub fn requests(&self) -> Vec<RequestEntry> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// All executions, oldest first.
    pub fn executions(&self) -> Vec<Value> {
        self.executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Forgets all requests.
    pub fn clear_requests(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets all executions.
    pub fn clear_executions(&self) {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn push<T>(entries: &Mutex<VecDeque<T>>, entry: T) {
    let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    if entries.len() >= CAPACITY {
        entries.pop_front();
    }
    entries.push_back(entry);
}
