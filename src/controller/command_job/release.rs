//! Giving sessions back, in the background: a pass never waits for it, and a failure is tried again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plan::GRACE_SECONDS;
use super::runner::{Action, Call, KillReason, State, Streams};
use super::session::{Talk, nonce};

/// For how long one look at a command that is being killed waits for its end.
const LOOK: Duration = Duration::from_secs(GRACE_SECONDS as u64 + 2);

/// The pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// How many sessions are given back at the same time.
const CONCURRENCY: usize = 64;

/// Pauses between tries. After the last one the session is left to its pool's cooldown.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_mins(1),
    Duration::from_mins(2),
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
    /// Its job was deleted: the command is killed at once, and the session ends with everything in it.
    Abandoned,
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

    /// Gives a session back, soon, and not before `not_before`: a start that was never answered and arrives after the
    /// session's end would allocate another one. Where an abandoned command is seen to have ended its start has arrived,
    /// so nothing is waited for. Never blocks.
    pub fn release(&self, talk: Talk, contents: Contents, not_before: Option<Timestamp>) {
        let (permits, stop) = (Arc::clone(&self.permits), self.stop.clone());
        self.tasks.spawn(async move {
            if let Some(not_before) = not_before {
                if contents == Contents::Abandoned {
                    kill(&talk).await;
                }
                let wait = not_before.duration_since(Timestamp::now());
                let wait = tokio::time::sleep(Duration::try_from(wait).unwrap_or_default());
                tokio::select! {
                    () = seen_to_have_ended(&talk), if contents == Contents::Abandoned => {}
                    () = wait => {}
                    () = stop.cancelled() => {}
                }
            }
            for pause in PAUSES.into_iter().map(Some).chain([None]) {
                // The permit is for the try alone: a pool that does not answer must not hold up the others.
                let result = {
                    let _permit = permits.acquire().await;
                    talk.release().await
                };
                match (result, pause) {
                    (Ok(()), _) => return,
                    (Err(error), Some(pause)) => {
                        tracing::debug!(%error, "session not released yet");
                        // At shutdown one try is made for each session, and the rest is left to the pool's cooldown.
                        if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                            return;
                        }
                    }
                    (Err(error), None) => {
                        tracing::warn!(%error, "a session could not be released; it ends with its pool's cooldown");
                    }
                }
            }
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

/// Returns once the attempt is seen to have come to its end, whatever that is. Never returns if it does not.
async fn seen_to_have_ended(talk: &Talk) {
    loop {
        let call = Call {
            attempt: &talk.attempt,
            nonce: nonce(),
            window_seconds: GRACE_SECONDS + 2,
            linger_milliseconds: 0,
            streams: Streams::From { stdout: 0, stderr: 0 },
            action: Action::Look,
        };
        let state = talk
            .execute(&call, LOOK)
            .await
            .ok()
            .and_then(Result::ok)
            .map(|look| look.state);
        match state {
            Some(
                State::Ended { .. }
                | State::Cancelled(_)
                | State::Void
                | State::Lost { .. }
                | State::Unprepared { .. }
                | State::Replaced,
            ) => return,
            Some(State::Absent | State::Registered | State::Running { .. }) | None => {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
    }
}
