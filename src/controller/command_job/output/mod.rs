//! What is kept of what a command printed: masked, cut, and stored in ConfigMaps where that is asked for.

mod capture;
mod fit;
mod overflow;

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::budget::{
    LITTLE_MASKED_AT_ONCE, LITTLE_TO_MASK, MASKED_AT_ONCE, MASKED_BYTES, OUTPUT_BYTES, OUTPUT_SHARE_BYTES,
};
use super::room::{Room, SharedRoom};
use super::runner::Secrets;
use crate::api::command_job::{CapturedStream, CommandJob, OverflowPolicy, StoredPart};
use crate::controller::config_maps::ConfigMapWrites;
use crate::runtime::{Class, Classify, Events, Note, Severity};

pub use capture::{MaskedStream, Raw, ended_with_session, ending, without_output};
pub use fit::{Fit, SMALL_STREAM_BYTES};
pub use overflow::OverflowError;

/// The pauses between tries to store what the API server refuses: one that was just started refuses everybody for some seconds.
const REFUSED_PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// How long room is waited for at a time: a pass has its end.
const ROOM_PATIENCE: Duration = Duration::from_secs(30);

/// Keeps streams, a bounded number of bytes of them in memory at a time.
pub struct Output {
    writes: ConfigMapWrites,
    client: kube::Client,
    events: Events,
    memory: Arc<SharedRoom>,
    masking: Masking,
}

/// Threads for masking.
struct Masking {
    little: Arc<Semaphore>,
    much: Arc<Semaphore>,
}

impl Output {
    /// Stores through `client`, as far as `writes` allows it, and says in `events` what could not be stored.
    pub fn new(client: kube::Client, events: Events, writes: ConfigMapWrites) -> Self {
        Self {
            writes,
            client,
            events,
            memory: SharedRoom::new(OUTPUT_BYTES, OUTPUT_SHARE_BYTES),
            masking: Masking {
                little: Arc::new(Semaphore::new(LITTLE_MASKED_AT_ONCE)),
                much: Arc::new(Semaphore::new(MASKED_AT_ONCE as usize)),
            },
        }
    }

    /// Room for so many bytes of one of the job's streams, for as long as it is held; `None` where others of the namespace, or
    /// all of them, take theirs for too long. It is asked for before a stream is read, since whoever waits with an answer that
    /// has begun holds memory as well.
    pub async fn room(&self, job: &CommandJob, bytes: u64) -> Option<Room> {
        let mut room = self.memory.ask(&job.namespace().unwrap_or_default(), bytes);
        let granted = tokio::time::timeout(ROOM_PATIENCE, room.granted()).await;
        granted.ok().map(|()| room)
    }

    /// Whether the job's output can be kept as it asks: what is in the way is known before it is started.
    pub fn can_keep(&self, job: &CommandJob) -> bool {
        self.writes == ConfigMapWrites::Allowed || job.spec.output.overflow != OverflowPolicy::ConfigMap
    }

    /// What the job keeps of a stream called `name`, and how often a secret was masked in it.
    pub async fn keep(
        &self,
        job: &CommandJob,
        name: &str,
        raw: Raw,
        secrets: &Arc<Secrets>,
    ) -> Result<(CapturedStream, u64), OverflowError> {
        let masked = self.mask(raw, Arc::clone(secrets), max_bytes(job)).await;
        let mut stream = masked.stream;
        if let (OverflowPolicy::ConfigMap, true, Some(whole)) =
            (job.spec.output.overflow, stream.truncated, &masked.whole)
        {
            stream.stored = self.store(job, name, whole).await?;
        }
        Ok((stream, masked.count))
    }

    /// Masks and cuts a stream, on a thread of its own: it may take a second. Where nobody waits for it any more it stops.
    async fn mask(&self, raw: Raw, secrets: Arc<Secrets>, max_bytes: usize) -> MaskedStream {
        let permit = if secrets.is_empty() {
            None
        } else {
            Some(self.masking.thread(&raw, &secrets).await)
        };
        let given_up = CancellationToken::new();
        let _waited_for = given_up.clone().drop_guard();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            capture::mask_and_cut(raw, &secrets, max_bytes, &|| given_up.is_cancelled())
        });
        let masked = work
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        masked.expect("invariant: it is given up only where nobody waits for it")
    }

    /// Stores a long stream. What the API server refuses for good is not worth a job that never ends: the stream is
    /// then only kept in part, as without overflow, and an event says why.
    async fn store(&self, job: &CommandJob, name: &str, whole: &[u8]) -> Result<Vec<StoredPart>, OverflowError> {
        let mut pauses = REFUSED_PAUSES.iter();
        let stored = loop {
            let stored = match self.writes {
                ConfigMapWrites::Allowed => overflow::store(&self.client, job, name, whole).await,
                ConfigMapWrites::NotAllowed => Err(OverflowError::NotAllowed),
            };
            match (&stored, pauses.next()) {
                (Err(error), Some(pause)) if error.class() == Class::Forbidden => tokio::time::sleep(*pause).await,
                _ => break stored,
            }
        };
        match stored {
            Err(error) if matches!(error.class(), Class::Denied | Class::Forbidden | Class::Terminal) => {
                let note = Note {
                    severity: Severity::Warning,
                    reason: "OverflowNotStored".into(),
                    action: "Collect".into(),
                    message: format!(
                        "{name} could not be put into ConfigMaps, so that only its two ends are kept: {error}"
                    ),
                };
                self.events.publish(job, &note);
                Ok(Vec::new())
            }
            result => result,
        }
    }
}

impl Masking {
    /// Returns once there is a thread for this, for as long as the permit lives.
    async fn thread(&self, raw: &Raw, secrets: &Secrets) -> OwnedSemaphorePermit {
        let (threads, needed) = match secrets.bytes() {
            bytes if raw.bytes() + bytes <= LITTLE_TO_MASK => (&self.little, 1),
            bytes if bytes <= MASKED_BYTES / 2 => (&self.much, 1),
            _ => (&self.much, MASKED_AT_ONCE),
        };
        let permit = Arc::clone(threads).acquire_many_owned(needed).await;
        permit.expect("invariant: the semaphore is never closed")
    }
}

/// How much of each end of a stream must be read where not all of it is.
pub fn end_bytes(job: &CommandJob, secrets: &Secrets) -> u64 {
    (max_bytes(job).div_ceil(2) + secrets.margin() + 4) as u64
}

fn max_bytes(job: &CommandJob) -> usize {
    usize::try_from(job.spec.output.max_bytes).unwrap_or_default()
}
