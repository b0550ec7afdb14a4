//! What can go wrong with a file of a session.

use super::path::PathError;

/// Why an operation on a file failed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file or directory within the session's data directory.
    #[error("file not found: {0:?}")]
    NotFound(String),
    /// It is there, but is no regular file (a directory, a pipe, a link that leads elsewhere).
    #[error("not a regular file: {0:?}")]
    NotAFile(String),
    /// The name or directory was refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The session's data directory could not be read or written.
    #[error("cannot access the files of the session")]
    Io(#[from] std::io::Error),
}
