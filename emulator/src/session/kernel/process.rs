//! One kernel: a process, and what is said with it.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio_util::codec::{Framed, LinesCodec};

use super::{Code, CodeExecution, KernelError, Language, Outcome};
use crate::session::execution::{ExecuteError, kill_group, spawn};
use crate::session::host::START_LIMIT;
use crate::session::streams::{Captured, Streams};

const PYTHON: &str = include_str!("kernel.py");
const NODE: &str = include_str!("kernel.js");

/// The socket moves from standard input, where it arrives, to a descriptor that code has no reason to read.
const START_PYTHON: &str = "exec 3<&0 </dev/null; exec python3 -c \"$0\"";
const START_NODE: &str = "exec 3<&0 </dev/null; exec node -e \"$0\"";

/// The longest answer that is read: results with pictures are some megabytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// How long an interrupted kernel has to say so. Code may catch the interrupt, or not come back to its interpreter.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

/// A running kernel. Dropping it kills it, with the process group that it leads.
#[derive(Debug)]
pub(super) struct KernelProcess {
    child: Child,
    channel: Framed<UnixStream, LinesCodec>,
    streams: Streams,
    usable: bool,
}

#[derive(Debug, Deserialize)]
struct Answer {
    ok: bool,
    result: Option<Map<String, Value>>,
}

impl KernelProcess {
    /// Starts a kernel and waits until it is ready.
    pub(super) async fn start(
        language: Language,
        command: impl FnOnce(&[&str]) -> tokio::process::Command,
    ) -> Result<Self, KernelError> {
        let (start, program) = match language {
            Language::Python => (START_PYTHON, PYTHON),
            Language::Node => (START_NODE, NODE),
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (streams, ends) = Streams::open()?;
        let mut process = command(&["/bin/sh", "-c", start, program]);
        process
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(ends.stdout)
            .stderr(ends.stderr)
            .process_group(0)
            .kill_on_drop(true);
        let child = spawn(process).await.map_err(|error| match error {
            ExecuteError::Io(error) => error,
            other => io::Error::other(other),
        })?;
        let mut kernel = Self {
            child,
            channel: Framed::new(
                UnixStream::from_std(ours)?,
                LinesCodec::new_with_max_length(MAX_ANSWER_BYTES),
            ),
            streams,
            usable: true,
        };
        match tokio::time::timeout(START_LIMIT, kernel.channel.next()).await {
            Ok(Some(Ok(_ready))) => Ok(kernel),
            _ => Err(KernelError::NoInterpreter(language.interpreter())),
        }
    }

    /// Whether it can run more code.
    pub(super) fn is_usable(&self) -> bool {
        self.usable
    }

    /// Runs a piece of code to its end, or to its limit.
    pub(super) async fn run(&mut self, code: &Code) -> Result<CodeExecution, KernelError> {
        let started = Instant::now();
        let mut captured = Captured::new(code.stream_bytes);
        let Self { channel, streams, .. } = self;
        let (outcome, usable) = streams.capture_until(&mut captured, converse(channel, code)).await;
        self.usable = usable;
        Ok(CodeExecution {
            stdout: captured.stdout.finish(false),
            stderr: captured.stderr.finish(false),
            outcome,
            duration: started.elapsed(),
        })
    }
}

impl Drop for KernelProcess {
    fn drop(&mut self) {
        kill_group(&self.child);
    }
}

/// Sends code and waits for the answer. The second part says whether the kernel is as it should be afterwards.
async fn converse(channel: &mut Framed<UnixStream, LinesCodec>, code: &Code) -> (Outcome, bool) {
    let milliseconds = u64::try_from(code.limit.as_millis()).unwrap_or(u64::MAX);
    let request = json!({ "code": code.text, "milliseconds": milliseconds }).to_string();
    let answered = tokio::time::timeout(code.limit, async {
        channel.send(request).await.ok()?;
        answer(channel).await
    });
    match answered.await {
        Ok(Some(Answer { ok: true, result })) => return (Outcome::Succeeded(result), true),
        Ok(Some(Answer { ok: false, .. })) => return (Outcome::Raised, true),
        Ok(None) => return (Outcome::Died, false),
        Err(_) => {}
    }
    let interrupted = tokio::time::timeout(INTERRUPT_GRACE, async {
        channel.send(json!({ "interrupt": true }).to_string()).await.ok()?;
        answer(channel).await
    });
    (Outcome::TimedOut, matches!(interrupted.await, Ok(Some(_))))
}

/// The next answer; nothing if the kernel is gone or says something else.
async fn answer(channel: &mut Framed<UnixStream, LinesCodec>) -> Option<Answer> {
    let line = channel.next().await?.ok()?;
    serde_json::from_str(&line).ok()
}
