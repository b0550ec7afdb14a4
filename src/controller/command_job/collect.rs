//! Reading what a command printed.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::JobError;
use super::capture::{self, Raw};
use super::overflow;
use super::runner::{Action, Attempt, Call, Look, Payload, Secrets, Stream, Streams};
use super::session::{Talk, nonce};
use crate::api::command_job::{CommandJob, CommandResult, OverflowPolicy, StoredPart};
use crate::controller::operator_key::hex;
use crate::runtime::{Class, Classify, Events, Note, Severity};

/// The longest stream that is read whole. Of a longer one only the ends are read.
pub const WHOLE_STREAM_BYTES: u64 = 8 * 1024 * 1024;

/// How much of all jobs' streams is held in memory at a time, in MiB.
const MEMORY_MEBIBYTES: u32 = 24;

/// Reads streams, a bounded number of bytes at a time.
pub struct Collector {
    events: Events,
    memory: Semaphore,
}

/// What is known of the values that must not be shown.
pub enum Masking {
    /// They are these.
    Values(Secrets),
    /// They are not known any more, so nothing of the streams may be kept.
    Unknown,
}

impl Collector {
    /// Says in `events` what could not be kept.
    pub fn new(events: Events) -> Self {
        Self {
            events,
            memory: Semaphore::new(MEMORY_MEBIBYTES as usize),
        }
    }

    /// Makes the result of a command that has ended, reading from its session what did not come with `look`.
    pub async fn collect(
        &self,
        kube: &kube::Client,
        job: &CommandJob,
        talk: &Talk,
        look: &Look,
        masking: &Masking,
    ) -> Result<CommandResult, JobError> {
        let Masking::Values(secrets) = masking else {
            return Ok(capture::without_output(look));
        };
        let mut result = capture::ending(look);
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
                captured.stored = self.overflow(kube, job, name, whole).await?;
            }
            *(if name == "stdout" {
                &mut result.stdout
            } else {
                &mut result.stderr
            }) = captured;
        }
        result.masked_count = (masked > 0).then(|| i64::try_from(masked).unwrap_or(i64::MAX));
        Ok(result)
    }

    /// Stores a long stream. What the API server refuses for good is not worth a job that never ends: the stream is
    /// then only kept in part, as without overflow, and an event says why.
    async fn overflow(
        &self,
        kube: &kube::Client,
        job: &CommandJob,
        stream: &str,
        whole: &[u8],
    ) -> Result<Vec<StoredPart>, JobError> {
        match overflow::store(kube, job, stream, whole).await {
            Err(error) if matches!(error.class(), Class::Denied | Class::Terminal) => {
                let note = Note {
                    severity: Severity::Warning,
                    reason: "OverflowNotStored".into(),
                    action: "Collect".into(),
                    message: format!("{stream} could not be put into ConfigMaps: {error}"),
                };
                self.events.publish(job, &note);
                Ok(Vec::new())
            }
            result => result,
        }
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
            // Whatever stands between here and the session may answer with a page of its own.
            if let Payload::Sha256(digest) = &stream.payload
                && hex(&Sha256::digest(&bytes)) != *digest
            {
                return Err(JobError::Altered { file: file.to_owned() });
            }
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
            let head = whole(talk, head_file, end).await?;
            let tail = whole(talk, tail_file, end).await?;
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

/// Exactly `length` bytes of a file that has at least as many.
async fn whole(talk: &Talk, file: &str, length: u64) -> Result<Vec<u8>, JobError> {
    let bytes = talk.download(file, length).await?;
    if (bytes.len() as u64) < length {
        return Err(JobError::ShortRead { file: file.to_owned() });
    }
    Ok(bytes)
}
