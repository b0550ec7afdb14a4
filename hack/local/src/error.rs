//! What can go wrong while local processes are started, asked and stopped.

use std::path::{Path, PathBuf};

/// A failure of the local environment. The message names the process and its log, because the reason is usually there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// The program as it was called.
        program: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A program that runs to its end did so with a failure.
    #[error("{command} failed ({status}): {stderr}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote to stderr, trimmed.
        stderr: String,
    },
    /// A process that should keep running ended.
    #[error("{name} ended before it was ready; the end of {log}:\n{tail}")]
    Ended {
        /// The process's short name, such as `kube-apiserver`.
        name: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A process runs but did not become ready in time.
    #[error("{name} was not ready after {seconds} s; see {log}")]
    NotReady {
        /// The process's short name.
        name: String,
        /// How long was waited.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
    },
    /// Certificates could not be made.
    #[error("cannot make the control plane's certificates")]
    Certificate(#[from] rcgen::Error),
    /// The key that signs ServiceAccount tokens could not be made.
    #[error("cannot make the ServiceAccount signing key: {0}")]
    SigningKey(String),
    /// An answer was not the JSON that was expected.
    #[error("{origin} did not answer with the JSON that was expected")]
    Json {
        /// Who answered.
        origin: String,
        /// Where the JSON is wrong.
        source: serde_json::Error,
    },
    /// The emulator's control API did not answer.
    #[error("the emulator's control API cannot be reached")]
    ControlApi(#[from] reqwest::Error),
    /// The emulator's control API refused a request.
    #[error("the emulator answered {status} to {path}: {body}")]
    ControlApiRefused {
        /// The path that was asked for.
        path: String,
        /// The HTTP status code.
        status: u16,
        /// The answer's body.
        body: String,
    },
}

impl Error {
    /// Makes the constructor of a [`Error::File`], for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
