//! Reading what a command printed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::JobError;
use super::capture::{self, Raw};
use super::overflow;
use super::runner::{Action, Attempt, Call, KillReason, Look, Payload, Secrets, State, Stream, Streams};
use super::session::{Talk, nonce};
use crate::api::command_job::{CapturedStream, CommandJob, CommandResult, Outcome, OverflowPolicy};

/// The longest stream that is read whole. Of a longer one only the ends are read.
pub const WHOLE_STREAM_BYTES: u64 = 8 * 1024 * 1024;

/// How much of all jobs' streams is held in memory at a time, in MiB.
const MEMORY_MEBIBYTES: u32 = 24;

/// Reads streams, a bounded number of bytes at a time.
#[derive(Clone)]
pub struct Collector {
    memory: Arc<Semaphore>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            memory: Arc::new(Semaphore::new(MEMORY_MEBIBYTES as usize)),
        }
    }
}

/// What is known of the values that must not be shown.
pub enum Masking {
    /// They are these.
    Values(Secrets),
    /// They are not known any more, so nothing of the streams may be kept.
    Unknown,
}

impl Collector {
    /// Makes the result of a command that has ended, reading from its session what did not come with `look`.
    pub async fn collect(
        &self,
        kube: &kube::Client,
        job: &CommandJob,
        talk: &Talk,
        look: &Look,
        masking: &Masking,
    ) -> Result<CommandResult, JobError> {
        let (outcome, exit_code, elapsed) = match look.state {
            State::Ended {
                exit_code,
                elapsed,
                killed,
            } => (outcome(killed), Some(i32::from(exit_code)), Some(elapsed)),
            State::Cancelled(reason) | State::Lost { killed: Some(reason) } => (outcome(Some(reason)), None, None),
            State::Absent
            | State::Replaced
            | State::Registered
            | State::Void
            | State::Running { .. }
            | State::Unprepared { .. }
            | State::Lost { killed: None } => (Outcome::Lost, None, None),
        };
        let mut result = CommandResult {
            outcome,
            exit_code,
            execution_milliseconds: elapsed.map(milliseconds),
            masked: None,
            withheld: false,
            stdout: CapturedStream::default(),
            stderr: CapturedStream::default(),
        };
        let Masking::Values(secrets) = masking else {
            result.withheld = true;
            result.stdout = capture::withheld(look.stdout.length);
            result.stderr = capture::withheld(look.stderr.length);
            return Ok(result);
        };
        let mut masked = 0;
        let streams = [
            (
                &look.stdout,
                Attempt::STDOUT,
                Attempt::STDOUT_HEAD,
                Attempt::STDOUT_TAIL,
                "stdout",
            ),
            (
                &look.stderr,
                Attempt::STDERR,
                Attempt::STDERR_HEAD,
                Attempt::STDERR_TAIL,
                "stderr",
            ),
        ];
        for (stream, file, head_file, tail_file, name) in streams {
            let max_bytes = usize::try_from(job.spec.output.max_bytes).unwrap_or_default();
            let needed = u32::try_from(stream.length.min(WHOLE_STREAM_BYTES) / (1024 * 1024)).unwrap_or(8) + 1;
            let _memory = self
                .memory
                .acquire_many(needed)
                .await
                .expect("invariant: the semaphore is never closed");
            let raw = read(talk, stream, [file, head_file, tail_file], max_bytes, secrets).await?;
            let prepared = capture::prepare(raw, secrets, max_bytes);
            masked += prepared.masked;
            let mut captured = prepared.stream;
            if let (OverflowPolicy::ConfigMap, true, Some(whole)) =
                (job.spec.output.overflow, captured.truncated, &prepared.whole)
            {
                captured.config_maps = overflow::store(kube, job, name, whole).await?;
            }
            *(if name == "stdout" {
                &mut result.stdout
            } else {
                &mut result.stderr
            }) = captured;
        }
        result.masked = (masked > 0).then(|| i64::try_from(masked).unwrap_or(i64::MAX));
        Ok(result)
    }
}

async fn read(
    talk: &Talk,
    stream: &Stream,
    [file, head_file, tail_file]: [&str; 3],
    max_bytes: usize,
    secrets: &Secrets,
) -> Result<Raw, JobError> {
    match &stream.payload {
        _ if stream.length == 0 => Ok(Raw::Whole(Vec::new())),
        Payload::Bytes(bytes) => Ok(Raw::Whole(bytes.clone())),
        Payload::Absent | Payload::Sha256(_) if stream.length <= WHOLE_STREAM_BYTES => {
            let mut bytes = talk.download(file, WHOLE_STREAM_BYTES).await?;
            // A process that outlived the command may have written on; the stream is what was measured at the end.
            if (bytes.len() as u64) < stream.length {
                return Err(JobError::ShortRead { file: file.to_owned() });
            }
            bytes.truncate(usize::try_from(stream.length).unwrap_or(usize::MAX));
            Ok(Raw::Whole(bytes))
        }
        Payload::Absent | Payload::Sha256(_) => {
            let end = (max_bytes.div_ceil(2) + secrets.margin() + 4) as u64;
            let call = Call {
                attempt: &talk.attempt,
                nonce: nonce(),
                window_seconds: 1,
                linger_milliseconds: 0,
                streams: Streams::Cut { head: end, tail: end },
                action: Action::Look,
            };
            talk.execute(&call, Duration::from_secs(1))
                .await?
                .map_err(|_| JobError::Unreadable)?;
            let head = talk.download(head_file, end).await?;
            let tail = talk.download(tail_file, end).await?;
            let sha256 = match &stream.payload {
                Payload::Sha256(digest) => Some(digest.clone()),
                Payload::Absent | Payload::Bytes(_) => None,
            };
            Ok(Raw::Ends {
                head,
                tail,
                length: stream.length,
                sha256,
            })
        }
    }
}

fn outcome(killed: Option<KillReason>) -> Outcome {
    match killed {
        None => Outcome::Exited,
        Some(KillReason::Timeout | KillReason::Deadline) => Outcome::TimedOut,
        Some(KillReason::Cancel | KillReason::Delete) => Outcome::Cancelled,
    }
}

fn milliseconds(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
