//! Names of one attempt in a session: its id, its directory, and the files beside it.

use std::fmt;

use super::call::KillReason;
use super::ticket::Upload;

/// Root of the files API of a code-interpreter session, and where files that are uploaded without a path lie.
/// Source: "Use code interpreter sessions", learn.microsoft.com.
pub const DATA_DIRECTORY: &str = "/mnt/data";

/// Identifies one attempt of one job: 8 to 64 of `[A-Za-z0-9-]`.
///
/// It is unguessable when its maker derives it so. Ids that may meet in one session must be of equal length, because a
/// process of the attempt is found by `LG_ID=<id>` anywhere in its environment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AttemptId(String);

/// A text that is no [`AttemptId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an attempt id is 8 to 64 of the characters A-Z a-z 0-9 and -")]
pub struct InvalidAttemptId;

impl AttemptId {
    /// Accepts `text` where it is a valid id.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidAttemptId> {
        let text = text.into();
        let valid = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if valid && (8..=64).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(InvalidAttemptId)
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows only the beginning: whoever knows the whole id can guess the session.
impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptId({}…)", &self.0[..4])
    }
}

/// An attempt at its place in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFiles {
    id: AttemptId,
    root: String,
}

impl AttemptFiles {
    /// The attempt below [`DATA_DIRECTORY`].
    pub fn new(id: AttemptId) -> Self {
        Self {
            id,
            root: DATA_DIRECTORY.to_owned(),
        }
    }

    /// The attempt below another directory, an absolute path of `[A-Za-z0-9/._-]`; for sessions that are not Azure's.
    ///
    /// # Panics
    /// Where `root` has other characters: it goes into shell text without quotes.
    pub fn below(root: &str, id: AttemptId) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        assert!(
            root.starts_with('/') && root.bytes().all(plain),
            "the root of an attempt is a plain absolute path"
        );
        Self {
            id,
            root: root.to_owned(),
        }
    }

    /// The attempt's id.
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    /// Name of the attempt's directory, relative to the root of the files API: the `path` of [`Self::STDOUT`] and the others.
    /// It has no dot, which directory paths of the files API may not contain.
    pub fn directory(&self) -> String {
        format!("lg-{}", self.id.0)
    }

    /// File in [`Self::directory`] that takes the command's standard output.
    pub const STDOUT: &'static str = "out";
    /// File in [`Self::directory`] that takes the command's standard error.
    pub const STDERR: &'static str = "err";
    /// First bytes of a long standard output, made by [`Streams::Cut`](super::Streams::Cut).
    pub const STDOUT_HEAD: &'static str = "out.head";
    /// Last bytes of a long standard output.
    pub const STDOUT_TAIL: &'static str = "out.tail";
    /// First bytes of a long standard error.
    pub const STDERR_HEAD: &'static str = "err.head";
    /// Last bytes of a long standard error.
    pub const STDERR_TAIL: &'static str = "err.tail";

    /// The file whose upload asks the running attempt to end: SIGTERM to its group, SIGKILL after `grace_seconds`, and a
    /// sweep of what daemonised. The session finds it within a second. An upload is not an execution, so it never waits
    /// behind one. An attempt that has not started yet finds it and never starts.
    pub fn cancel_upload(&self, reason: KillReason, grace_seconds: u32) -> Upload {
        Upload {
            name: self.beside("cancel"),
            content: format!("{} {grace_seconds}\n", reason.word()).into(),
        }
    }

    /// Name of an uploaded file, beside the directory and not in it, so that an upload never creates the directory.
    pub(super) fn beside(&self, extension: &str) -> String {
        format!("lg-{}.{extension}", self.id.0)
    }

    /// Absolute path of the directory.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.root, self.directory())
    }
}
