//! Running one command to its end and collecting what it printed.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use super::capture::StreamRules;
use super::streams::{Captured, Streams};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Text for a shell, as its one argument: bash where the machine has it, else sh.
    Shell(String),
    /// A program with its arguments, found by PATH.
    Arguments(Vec<String>),
}

impl Command {
    /// The text of a shell command; the arguments of a program joined with spaces.
    pub fn text(&self) -> String {
        match self {
            Self::Shell(text) => text.clone(),
            Self::Arguments(arguments) => arguments.join(" "),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// By itself, with this code; 128 + n where signal n ended it.
    Exited(i32),
    /// It was killed at its time limit, with everything in its process group.
    TimedOut,
}

/// A command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Standard output, as far as it was kept.
    pub stdout: Vec<u8>,
    /// Standard error, as far as it was kept.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub completion: Completion,
    /// How long it ran, in real time.
    pub duration: Duration,
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// One argument is longer than 131 071 bytes, or all together are longer than the kernel takes (`E2BIG`).
    #[error("the command is longer than an argument can be")]
    ArgumentTooLong,
    /// The command is empty or holds a NUL.
    #[error("the command cannot be given to a process")]
    InvalidCommand,
    /// The session ended before the command did.
    #[error("the session ended")]
    SessionEnded,
    /// The process could not be made or awaited.
    #[error("cannot run a process")]
    Io(#[from] io::Error),
}

/// Runs a prepared process until it ends, or until `limit`.
///
/// Only the process itself is awaited: processes that it leaves behind may keep its streams open without holding up the
/// answer.
pub(super) async fn run(
    mut process: tokio::process::Command,
    rules: StreamRules,
    limit: Option<Duration>,
) -> Result<Execution, ExecuteError> {
    let started = Instant::now();
    let (streams, ends) = Streams::open()?;
    process
        .stdin(Stdio::null())
        .stdout(ends.stdout)
        .stderr(ends.stderr)
        .process_group(0)
        .kill_on_drop(true);
    let mut child = spawn(process).await?;
    let mut captured = Captured::new(rules.max_bytes);
    let ended = streams.capture_until(&mut captured, wait(&mut child, limit)).await?;
    Ok(Execution {
        stdout: captured.stdout.finish(rules.lose_last_write),
        stderr: captured.stderr.finish(false),
        completion: ended,
        duration: started.elapsed(),
    })
}

/// Spawns apart from the threads that serve requests, as a fork takes long enough to be felt by others.
pub(super) async fn spawn(mut process: tokio::process::Command) -> Result<Child, ExecuteError> {
    // The closure owns `process`, and with it our copies of the pipes' writing ends, so that they close here.
    let spawned = tokio::task::spawn_blocking(move || process.spawn()).await;
    spawned
        .map_err(io::Error::other)?
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::TOOBIG) => ExecuteError::ArgumentTooLong,
            None if error.kind() == io::ErrorKind::InvalidInput => ExecuteError::InvalidCommand,
            _ => ExecuteError::Io(error),
        })
}

async fn wait(child: &mut Child, limit: Option<Duration>) -> io::Result<Completion> {
    let Some(limit) = limit else {
        return child.wait().await.map(exited);
    };
    if let Ok(status) = tokio::time::timeout(limit, child.wait()).await {
        return status.map(exited);
    }
    kill_group(child);
    child.wait().await?;
    Ok(Completion::TimedOut)
}

/// Kills a child that leads a process group, with the group.
pub(super) fn kill_group(child: &Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(group) = group {
        // It may have ended just now, which whoever waits for it sees as well.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn exited(status: ExitStatus) -> Completion {
    let by_signal = || 128 + status.signal().unwrap_or_default();
    Completion::Exited(status.code().unwrap_or_else(by_signal))
}
