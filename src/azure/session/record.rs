//! What the data plane tells of files and sessions.

use std::fmt;

use serde::Deserialize;

/// A file that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Download {
    /// Its bytes, at most as many as were asked for.
    pub bytes: Vec<u8>,
    /// Whether there are no more.
    pub complete: bool,
}

/// Contents may be secret, so only their length is shown.
impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("bytes", &self.bytes.len())
            .field("complete", &self.complete)
            .finish()
    }
}

/// A file or directory in a session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionFile {
    /// Its name, without the directory.
    pub name: String,
    /// `file` or `directory`; may be empty.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Its size.
    #[serde(default)]
    pub size_in_bytes: u64,
    /// When it was changed, as the service writes it.
    #[serde(default)]
    pub last_modified_at: Option<String>,
}

/// A session that lives.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    /// Its name.
    pub identifier: String,
    /// When it was allocated, as the service writes it.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it was used last.
    #[serde(default)]
    pub last_accessed_at: Option<String>,
    /// When it ends unless it is used.
    #[serde(default)]
    pub expire_at: Option<String>,
    /// Changes when the session was silently replaced by a new one.
    #[serde(default)]
    pub etag: Option<String>,
}

/// An identifier gives access to its session, so it is not shown.
impl fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionInfo")
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}
