//! What the data plane returns of files and sessions.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use super::endpoint::SessionIdentifier;

/// A file that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Download {
    /// Its bytes, at most as many as were requested.
    pub bytes: Vec<u8>,
    /// Whether these are all of them.
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

/// A session that a pool has. Its identifier gives access to it, so it is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// What it is called. `None` for one that this program could not have made.
    pub identifier: Option<SessionIdentifier>,
    /// When it was allocated, where the service says so in a way that is understood.
    pub created_at: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for LiveSession {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Listed {
            #[serde(default)]
            identifier: String,
            #[serde(default)]
            created_at: Option<String>,
        }
        let Listed { identifier, created_at } = Listed::deserialize(deserializer)?;
        Ok(Self {
            identifier: SessionIdentifier::new(identifier).ok(),
            created_at: created_at.and_then(|it| it.parse().ok()),
        })
    }
}
