//! What a job may ask for beyond the size of its own object: the one place for the budgets of what the author of a job chooses.
//! `docs/limits.md` says the same to users.
//!
//! A small object can name much: one `$(NAME)` stands for any number of bytes, and a key of a Secret for up to a mebibyte. So
//! everything is counted before it is made, and what is over its budget is never in memory, not even for a moment.

use std::sync::Arc;

use super::room::{Room, SharedRoom};
use super::runner::WHOLE_STREAM_BYTES;

/// The longest argument and the longest variable, with its name and the equals sign: `MAX_ARG_STRLEN` of Linux without the
/// NUL at its end.
pub const STRING_BYTES: usize = 131_071;

/// All arguments and variables of one command together, with [`STRING_OVERHEAD`] for each. Linux takes a quarter of what the
/// stack may have, which is 8 MiB in most places, and never more than 6 MiB. What is left of it here is for what nobody knows
/// beforehand: the session's own environment, what the runner adds, and the arguments of the programs that a script runs.
pub const EXEC_BYTES: usize = 2 * MEBIBYTE - 64 * KIBIBYTE;

/// What an argument or variable takes besides its bytes: the NUL at its end and the pointer to it.
pub const STRING_OVERHEAD: usize = 1 + 8;

/// All files that are uploaded for one attempt: the script or command, its standard input, and its environment.
pub const UPLOAD_BYTES: usize = 4 * MEBIBYTE;

/// All texts that are looked for when the output of one job is masked: the values, their lines, and how shells quote them.
/// To look for them takes thirteen times their size.
pub const MASKED_BYTES: usize = 2 * MEBIBYTE;

/// How many streams are masked at the same time, each on a thread of its own; of those that take more than half of
/// [`MASKED_BYTES`] one.
pub const MASKED_AT_ONCE: u32 = 2;

/// A stream and the texts that are looked for in it are little up to this size: that takes some milliseconds.
pub const LITTLE_TO_MASK: usize = 128 * KIBIBYTE;

/// How many streams are masked at the same time where it is little. They wait for none of the others.
pub const LITTLE_MASKED_AT_ONCE: usize = 16;

/// How much of all jobs' output is in memory at a time.
pub const OUTPUT_BYTES: u64 = 3 * WHOLE_STREAM_BYTES;

/// How much of the output of one namespace's jobs.
pub const OUTPUT_SHARE_BYTES: u64 = WHOLE_STREAM_BYTES;

/// How many jobs read what their command is given at the same time, in all and of one namespace: each holds a whole job, or a
/// Secret or ConfigMap while it looks for keys.
const READ_AT_ONCE: [u64; 2] = [6, 4];

/// What all jobs that are being prepared upload, and those of one namespace. In memory it is up to twice that, because what is
/// uploaded is quoted.
const HELD_BYTES: [u64; 2] = [24 * MEBIBYTE as u64, 8 * MEBIBYTE as u64];

/// The values from Secrets of all jobs that run, and of those of one namespace: they are kept until the output was masked.
const SECRET_BYTES: [u64; 2] = [32 * MEBIBYTE as u64, 8 * MEBIBYTE as u64];

/// What is not larger than this needs no room, neither for its upload nor for its Secrets.
const SMALL: usize = 4 * KIBIBYTE;

const MEBIBYTE: usize = 1024 * 1024;
const KIBIBYTE: usize = 1024;

/// What in a job is over its budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// One variable.
    #[error(
        "env {0}: name, equals sign and value have more than {STRING_BYTES} bytes, which is the most that Linux takes"
    )]
    Variable(String),
    /// One argument.
    #[error("argument {0} of the command has more than {STRING_BYTES} bytes, which is the most that Linux takes")]
    Argument(usize),
    /// This variable together with those before it.
    #[error(
        "env {0}: with this variable the environment has more than {EXEC_BYTES} bytes ({STRING_OVERHEAD} are added for each \
         variable), which is the most that a command is given"
    )]
    Environment(String),
    /// This argument together with those before it and the environment.
    #[error(
        "argument {0} of the command: with it arguments and environment have more than {EXEC_BYTES} bytes ({STRING_OVERHEAD} \
         are added for each of them), which is the most that a command is given"
    )]
    Arguments(usize),
    /// What is uploaded.
    #[error(
        "the command, its standard input and its environment, quoted for a shell, have more than {UPLOAD_BYTES} bytes in all, which is the most that is uploaded"
    )]
    Uploads,
    /// What has to be masked.
    #[error(
        "the values of Secrets in env, their lines and how shells quote them have more than {MASKED_BYTES} bytes in all, which is the most that is masked in the output"
    )]
    Masked,
}

/// What is left of [`EXEC_BYTES`] for one command.
pub struct ExecBudget(usize);

impl ExecBudget {
    /// All of it.
    pub fn new() -> Self {
        Self(EXEC_BYTES)
    }

    /// How long the next string may be, and whether it is the whole that makes it no longer.
    pub fn next(&self) -> (usize, bool) {
        let left = self.0.saturating_sub(STRING_OVERHEAD);
        (left.min(STRING_BYTES), left < STRING_BYTES)
    }

    /// Takes a string of this length, which is at most what [`Self::next`] says.
    pub fn take(&mut self, length: usize) {
        self.0 = self.0.saturating_sub(length + STRING_OVERHEAD);
    }
}

/// Memory for what jobs are given.
pub struct InputMemory {
    reads: Arc<SharedRoom>,
    uploads: Arc<SharedRoom>,
    secrets: Arc<SharedRoom>,
}

impl Default for InputMemory {
    fn default() -> Self {
        let shared = |[total, share]: [u64; 2]| SharedRoom::new(total, share);
        Self {
            reads: shared(READ_AT_ONCE),
            uploads: shared(HELD_BYTES),
            secrets: shared(SECRET_BYTES),
        }
    }
}

impl InputMemory {
    /// Reads what a job of the namespace is given when it is its turn. That waits for the API server only, never for a session.
    pub async fn reading<T>(&self, namespace: &str, read: impl Future<Output = T>) -> T {
        let mut room = self.reads.ask(namespace, 1);
        room.granted().await;
        read.await
    }

    /// Asks for room for what is uploaded; small things need none.
    pub fn for_upload(&self, namespace: &str, bytes: usize) -> Option<Room> {
        (bytes > SMALL).then(|| self.uploads.ask(namespace, bytes as u64))
    }

    /// Asks for room for values from Secrets, to be held while the command runs; small ones need none.
    pub fn for_secrets(&self, namespace: &str, bytes: usize) -> Option<Room> {
        (bytes > SMALL).then(|| self.secrets.ask(namespace, bytes as u64))
    }

    /// Takes room for the values of a command that may be running already.
    pub fn of_running(&self, namespace: &str, bytes: usize) -> Option<Room> {
        (bytes > SMALL).then(|| self.secrets.take(namespace, bytes as u64))
    }
}
