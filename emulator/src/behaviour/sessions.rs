//! Switches of the data plane of session pools.

use serde::{Deserialize, Serialize};

/// How the data plane of session pools behaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionsBehaviour {}
