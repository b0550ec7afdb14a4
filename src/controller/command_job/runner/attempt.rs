//! Names of one attempt in a session: its id, its directory, and the files beside it.

use std::fmt;

use super::call::KillReason;
use super::ticket::Upload;

/// Root of the files API of a code-interpreter session, and where files that are uploaded without a path lie.
/// Source: "Use code interpreter sessions", learn.microsoft.com.
pub const DATA_DIRECTORY: &str = "/mnt/data";

/// Where the runner keeps what it needs, the first that it can write to: out of the way of a command that empties the directory it
/// runs in.
const PLACES: [&str; 3] = ["/var/tmp", "/tmp", "/dev/shm"];

/// In which nothing may have changed in a session that is used again, besides what is on `PATH`.
const UNCHANGED: [&str; 11] = [
    "/bin", "/etc", "/home", "/lib", "/lib64", "/opt", "/root", "/sbin", "/srv", "/usr", "/var",
];

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
    /// Directories in which the runner may keep its own.
    places: Vec<String>,
    /// Directories in which nothing may have changed in a session that is used again.
    unchanged: Vec<String>,
}

impl AttemptFiles {
    /// The attempt below [`DATA_DIRECTORY`].
    pub fn new(id: AttemptId) -> Self {
        Self {
            id,
            root: DATA_DIRECTORY.to_owned(),
            places: PLACES.map(str::to_owned).to_vec(),
            unchanged: UNCHANGED.map(str::to_owned).to_vec(),
        }
    }

    /// The attempt in other directories, absolute paths of `[A-Za-z0-9/._-]`, which go into shell text without quotes.
    #[cfg(test)]
    pub(super) fn below(root: &str, places: &[&str], unchanged: &[&str], id: AttemptId) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        assert!(
            [root]
                .iter()
                .chain(places)
                .chain(unchanged)
                .all(|it| it.starts_with('/') && it.bytes().all(plain)),
            "the directories of an attempt are plain absolute paths"
        );
        Self {
            id,
            root: root.to_owned(),
            places: places.iter().map(|it| (*it).to_owned()).collect(),
            unchanged: unchanged.iter().map(|it| (*it).to_owned()).collect(),
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

    /// The command's standard output, in [`Self::directory`] once a call has put it there.
    pub const STDOUT: &'static str = "out";
    /// The command's standard error.
    pub const STDERR: &'static str = "err";
    /// First bytes of a long standard output, made by [`Streams::Files`](super::Streams::Files).
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

    /// Absolute path of the root of the files API.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Where the runner's own files may be: the directory that is made first is theirs. Hidden, so that `rm -rf *` spares them; the
    /// last resort is the directory below the files API.
    pub(super) fn places(&self) -> Vec<String> {
        let hidden = self.places.iter().map(|it| format!("{it}/.lg-{}", self.id.0));
        hidden.chain([self.path()]).collect()
    }

    /// What is emptied where the session is to be used again.
    pub(super) fn emptied(&self) -> impl Iterator<Item = &str> {
        self.places.iter().chain([&self.root]).map(String::as_str)
    }

    /// In which nothing may have changed then.
    pub(super) fn unchanged(&self) -> &[String] {
        &self.unchanged
    }
}
