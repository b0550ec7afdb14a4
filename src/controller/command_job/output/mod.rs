//! What is kept of what a command printed: masked, cut, and stored in ConfigMaps where that is asked for.

mod capture;
mod overflow;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::runner::{Secrets, WHOLE_STREAM_BYTES};
use crate::api::command_job::{CapturedStream, CommandJob, OverflowPolicy, StoredPart};
use crate::runtime::{Class, Classify, Events, Note, Severity};

pub use capture::{MaskedStream, Raw, ending, shorten, timed_out, without_output};
pub use overflow::OverflowError;

const MEBIBYTE: u64 = 1024 * 1024;

/// How much of all jobs' streams is in memory at a time, in MiB.
const MEMORY_MEBIBYTES: usize = 24;

/// Keeps streams, a bounded number of bytes of them in memory at a time.
pub struct Output {
    client: kube::Client,
    events: Events,
    memory: Semaphore,
}

impl Output {
    /// Stores through `client`, and says in `events` what could not be stored.
    pub fn new(client: kube::Client, events: Events) -> Self {
        Self {
            client,
            events,
            memory: Semaphore::new(MEMORY_MEBIBYTES),
        }
    }

    /// Returns once there is room for a stream of this length, for as long as the permit lives.
    pub async fn room(&self, length: u64) -> SemaphorePermit<'_> {
        let needed = u32::try_from(length.min(WHOLE_STREAM_BYTES) / MEBIBYTE).unwrap_or(8) + 1;
        let permit = self.memory.acquire_many(needed).await;
        permit.expect("invariant: the semaphore is never closed")
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
