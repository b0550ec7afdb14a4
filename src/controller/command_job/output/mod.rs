//! What is kept of what a command printed: masked, cut, and stored in ConfigMaps where that is asked for.

mod capture;
mod memory;
mod overflow;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use super::runner::Secrets;
use crate::api::command_job::{CapturedStream, CommandJob, OverflowPolicy, StoredPart};
use crate::runtime::{Class, Classify, Events, Note, Severity};

pub use capture::{MaskedStream, Raw, ending, shorten, without_output};
pub use memory::{StreamMemory, StreamRoom};
pub use overflow::OverflowError;

/// The longest stream that is read whole. Of a longer one only the ends are read.
pub const WHOLE_STREAM_BYTES: u64 = 8 * MEBIBYTE;

const MEBIBYTE: u64 = 1024 * 1024;

/// How much of all jobs' streams is in memory at a time.
const MEMORY_BYTES: u64 = 3 * WHOLE_STREAM_BYTES;

/// How much of the streams of one namespace's jobs.
const SHARE_BYTES: u64 = WHOLE_STREAM_BYTES;

/// How long room is waited for at a time: a pass has its end.
const ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// Keeps streams, a bounded number of bytes of them in memory at a time.
pub struct Output {
    client: kube::Client,
    events: Events,
    memory: Arc<StreamMemory>,
}

impl Output {
    /// Stores through `client`, and says in `events` what could not be stored.
    pub fn new(client: kube::Client, events: Events) -> Self {
        Self {
            client,
            events,
            memory: StreamMemory::new(MEMORY_BYTES, SHARE_BYTES),
        }
    }

    /// Room for so many bytes of one of the job's streams, for as long as it is held; `None` where others of the namespace, or
    /// all of them, take theirs for too long. It is asked for before a stream is read, since whoever waits with an answer that
    /// has begun holds memory as well.
    pub async fn room(&self, job: &CommandJob, bytes: u64) -> Option<StreamRoom> {
        let mut room = self.memory.ask(&job.namespace().unwrap_or_default(), bytes);
        let granted = tokio::time::timeout(ROOM_PATIENCE, room.granted()).await;
        granted.ok().map(|()| room)
    }

    /// What the job keeps of a stream called `name`, and how often a secret was masked in it.
    pub async fn keep(
        &self,
        job: &CommandJob,
        name: &str,
        raw: Raw,
        secrets: &Secrets,
    ) -> Result<(CapturedStream, u64), OverflowError> {
        let masked = capture::mask_and_cut(raw, secrets, max_bytes(job));
        let mut stream = masked.stream;
        if let (OverflowPolicy::ConfigMap, true, Some(whole)) =
            (job.spec.output.overflow, stream.truncated, &masked.whole)
        {
            stream.stored = self.store(job, name, whole).await?;
        }
        Ok((stream, masked.count))
    }

    /// Stores a long stream. What the API server refuses for good is not worth a job that never ends: the stream is
    /// then only kept in part, as without overflow, and an event says why.
    async fn store(&self, job: &CommandJob, name: &str, whole: &[u8]) -> Result<Vec<StoredPart>, OverflowError> {
        match overflow::store(&self.client, job, name, whole).await {
            Err(error) if matches!(error.class(), Class::Denied | Class::Terminal) => {
                let note = Note {
                    severity: Severity::Warning,
                    reason: "OverflowNotStored".into(),
                    action: "Collect".into(),
                    message: format!("{name} could not be put into ConfigMaps: {error}"),
                };
                self.events.publish(job, &note);
                Ok(Vec::new())
            }
            result => result,
        }
    }
}

/// How much of each end of a stream must be read where not all of it is.
pub fn end_bytes(job: &CommandJob, secrets: &Secrets) -> u64 {
    (max_bytes(job).div_ceil(2) + secrets.margin() + 4) as u64
}

fn max_bytes(job: &CommandJob) -> usize {
    usize::try_from(job.spec.output.max_bytes).unwrap_or_default()
}
