//! Kernels: interpreters that run one piece of code after the other and keep their state between them.
//!
//! A kernel is a program of ours (`kernel.py`, `kernel.js`) that runs in the session's container, with the interpreter that
//! the machine has. It is started by the first code that needs it. Code and answers go over a socket; what the code prints is
//! read from its output streams.

mod process;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::KernelProcess;
use serde_json::{Map, Value};

/// A language that code can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// `PythonLTS` pools.
    Python,
    /// `NodeLTS` pools.
    Node,
}

/// Which of a session's kernels runs a piece of code. They share files, but no variables: the specification of the service's
/// image names these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelUse {
    /// The one of synchronous executions.
    Synchronous,
    /// The one of asynchronous executions.
    Asynchronous,
    /// The one without preloaded libraries (`useEmptyKernel`). The emulator preloads none anywhere.
    Empty,
}

/// A piece of code to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// What it is written in.
    pub language: Language,
    /// Where it runs.
    pub kernel: KernelUse,
    /// The code.
    pub text: String,
    /// How long it may run, in real time, once it is its turn.
    pub limit: Duration,
    /// Bytes that are kept of each stream.
    pub stream_bytes: usize,
}

/// Code that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeExecution {
    /// Standard output, as far as it was kept.
    pub stdout: Vec<u8>,
    /// Standard error, as far as it was kept: an exception's traceback too.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran, in real time.
    pub duration: Duration,
}

/// How a piece of code ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// By itself, with the value of its last expression by MIME type (`text/plain`, `image/png`: in base64), if it has one.
    Succeeded(Option<Map<String, Value>>),
    /// With an exception.
    Raised,
    /// It was interrupted at its time limit. Where that did not help, its kernel was killed.
    TimedOut,
    /// Its kernel ended under it. The next code gets another one.
    Died,
}

/// Why code has no result.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The machine has no interpreter.
    #[error("code runs with this machine's `{0}`, and there is none in /usr/local/bin, /usr/bin or /bin")]
    NoInterpreter(&'static str),
    /// The session ended before the code did.
    #[error("the session ended")]
    SessionEnded,
    /// The process could not be made, or not be talked to.
    #[error("cannot run a kernel")]
    Io(#[from] io::Error),
}

impl Language {
    /// The program that is searched for in the session's PATH.
    pub fn interpreter(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
        }
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<KernelProcess>>>;

/// The kernels of one session. Each runs one piece of code at a time; others wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Kernels(Mutex<HashMap<(Language, KernelUse), Slot>>);

impl Kernels {
    /// Runs code in its kernel; `command` makes a process in the session that runs a program.
    pub(super) async fn run(
        &self,
        code: &Code,
        command: impl FnOnce(&[&str]) -> tokio::process::Command,
    ) -> Result<CodeExecution, KernelError> {
        let slot = {
            let mut kernels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kernels.entry((code.language, code.kernel)).or_default())
        };
        let mut kernel = slot.lock().await;
        // Taken out while it runs: a call that is dropped halfway leaves no kernel in the middle of something.
        let mut process = match kernel.take() {
            Some(process) => process,
            None => KernelProcess::start(code.language, command).await?,
        };
        let execution = process.run(code).await?;
        if process.is_usable() {
            *kernel = Some(process);
        }
        Ok(execution)
    }
}
