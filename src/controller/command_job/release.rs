//! Giving sessions back, in the background: a pass never waits for it, and a failure is tried again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plan::GRACE_SECONDS;
use super::runner::KillReason;
use super::session::Talk;

/// How many sessions are given back at the same time.
const CONCURRENCY: usize = 64;

/// Pauses between tries. After the last one the session is left to its pool's cooldown.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(120),
];

/// Gives sessions back.
#[derive(Clone)]
pub struct Releaser {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Whether something may still run in a session that is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing runs in it: its job has ended.
    Idle,
    /// Its job was deleted. The command is killed at once; the session itself ends with everything in it once no start
    /// that was never answered can arrive any more.
    Abandoned {
        /// When that is; `None` if no start is outstanding.
        start_by: Option<Timestamp>,
    },
}

impl Releaser {
    /// Tries until `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            stop,
        }
    }

    /// Gives a session back, soon. Never blocks.
    pub fn release(&self, talk: Talk, contents: Contents) {
        let (permits, stop) = (Arc::clone(&self.permits), self.stop.clone());
        self.tasks.spawn(async move {
            if let Contents::Abandoned {
                start_by: Some(start_by),
            } = contents
            {
                kill(&talk).await;
                let wait = start_by.duration_since(Timestamp::now());
                tokio::select! {
                    () = tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()) => {}
                    () = stop.cancelled() => {}
                }
            }
            let _permit = permits.acquire().await;
            for pause in PAUSES {
                match talk.release().await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "session not released yet"),
                }
                // At shutdown one try is made for each session, and the rest is left to the pool's cooldown.
                if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                    return;
                }
            }
            tracing::warn!("a session could not be released; it ends with its pool's cooldown");
        });
    }

    /// Runs something that ends in a release, such as finding the session of a job that was deleted.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns once everything that was asked for is done or given up. Nothing may be asked for afterwards.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Asks the runner to kill the command, or to never start it. A file, because a file waits behind no execution.
async fn kill(talk: &Talk) {
    let upload = talk.attempt.cancel_upload(KillReason::Delete, GRACE_SECONDS);
    if let Err(error) = talk.upload(upload).await {
        tracing::debug!(%error, "the command of a deleted job was not told to end; its session is ended instead");
    }
}
