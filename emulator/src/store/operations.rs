//! Asynchronous operations, as their status endpoints show them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How an operation ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationOutcome {
    /// It does what it was to do.
    Succeeded,
    /// It fails.
    Failed,
    /// It is cancelled.
    Canceled,
}

impl OperationOutcome {
    /// The state as ARM spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// An asynchronous operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id, a GUID.
    pub id: String,
    /// The resource or group that it is about.
    pub target: String,
    /// When it was asked for.
    pub started: Timestamp,
    /// When it is through.
    pub due: Timestamp,
    /// How it ends.
    pub outcome: OperationOutcome,
    /// Whether it deletes its target.
    pub deletes: bool,
}
