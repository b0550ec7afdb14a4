//! The tasks of the process, which live and end together.

use std::{collections::HashMap, error::Error, future::Future, time::Duration};

use futures::{Stream, StreamExt};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long tasks may take to end after the token is cancelled.
pub const DRAIN: Duration = Duration::from_secs(25);

/// Runs tasks until a signal, or until one of them ends by itself: a process in which one part has stopped is worse than
/// one that is restarted.
pub struct Supervisor {
    stop: CancellationToken,
    tasks: JoinSet<Result<(), TaskError>>,
    names: HashMap<Id, &'static str>,
    drain: Duration,
}

/// The error that a task ended with.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// Why the process ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A task failed.
    #[error("{task} failed")]
    Failed {
        /// The task.
        task: &'static str,
        /// Why.
        #[source]
        source: TaskError,
    },
    /// A task ended although the token was not cancelled.
    #[error("{task} ended although it should run for ever")]
    Ended {
        /// The task.
        task: &'static str,
    },
    /// A task panicked.
    #[error("{task} panicked")]
    Panicked {
        /// The task.
        task: &'static str,
    },
    /// Tasks were still running after the time for ending.
    #[error("{tasks} tasks did not end in time and were aborted")]
    DrainExpired {
        /// How many.
        tasks: usize,
    },
    /// A second signal came.
    #[error("aborted by a second signal")]
    Aborted,
}

impl Supervisor {
    /// Supervises tasks that end once `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            tasks: JoinSet::new(),
            names: HashMap::new(),
            drain: DRAIN,
        }
    }

    /// The token whose cancellation ends the tasks.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Starts a task.
    pub fn spawn<E>(&mut self, name: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<TaskError>,
    {
        let handle = self.tasks.spawn(async move { task.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Runs until all tasks have ended. The first signal, or the first end of a task, cancels the token; a second signal
    /// aborts everything at once. The error is the first thing that went wrong.
    pub async fn run(mut self, signals: impl Stream<Item = &'static str>) -> Result<(), SupervisorError> {
        let mut signals = std::pin::pin!(signals.chain(futures::stream::pending()).fuse());
        let mut first_error = None;
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.stop.cancelled() => {}
                Some(signal) = signals.next() => {
                    tracing::info!(signal, "shutting down");
                    self.stop.cancel();
                }
                ended = self.tasks.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    first_error = Some(self.untimely(ended));
                    self.stop.cancel();
                }
            }
        }
        let expired = tokio::time::sleep(self.drain);
        let cut_short = tokio::select! {
            () = self.drained(&mut first_error) => None,
            () = expired => Some(CutShort::Expired),
            Some(signal) = signals.next() => {
                tracing::warn!(signal, "aborting");
                Some(CutShort::Signal)
            }
        };
        let drained = match cut_short {
            None => Ok(()),
            Some(CutShort::Expired) => Err(SupervisorError::DrainExpired {
                tasks: self.tasks.len(),
            }),
            Some(CutShort::Signal) => Err(SupervisorError::Aborted),
        };
        self.tasks.abort_all();
        first_error.map_or(drained, Err)
    }

    async fn drained(&mut self, first_error: &mut Option<SupervisorError>) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Some(error) = self.failure(ended) {
                first_error.get_or_insert(error);
            }
        }
    }

    fn untimely(&mut self, ended: Result<(Id, Result<(), TaskError>), JoinError>) -> SupervisorError {
        let task = self.name(&ended);
        self.failure(ended).unwrap_or(SupervisorError::Ended { task })
    }

    fn failure(&mut self, ended: Result<(Id, Result<(), TaskError>), JoinError>) -> Option<SupervisorError> {
        let task = self.name(&ended);
        match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(source))) => Some(SupervisorError::Failed { task, source }),
            Err(_) => Some(SupervisorError::Panicked { task }),
        }
    }

    fn name(&self, ended: &Result<(Id, Result<(), TaskError>), JoinError>) -> &'static str {
        let id = match ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.names.get(&id).copied().unwrap_or("a task")
    }
}

/// Why the time to end was over.
enum CutShort {
    Expired,
    Signal,
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use tokio::sync::mpsc;

    use super::*;

    fn never() -> impl Stream<Item = &'static str> {
        futures::stream::pending()
    }

    async fn until_stopped(stop: CancellationToken) -> Result<(), Infallible> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_ends_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("steady", until_stopped(supervisor.stop().clone()));
        supervisor.spawn("short", async { Ok::<_, Infallible>(()) });
        assert!(matches!(
            supervisor.run(never()).await,
            Err(SupervisorError::Ended { task: "short" })
        ));
    }

    #[tokio::test]
    async fn a_task_that_panics_or_fails_ends_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("broken", async {
            if true {
                panic!("as planned")
            } else {
                Ok::<_, Infallible>(())
            }
        });
        assert!(matches!(
            supervisor.run(never()).await,
            Err(SupervisorError::Panicked { task: "broken" })
        ));
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("failing", async { Err("no") });
        assert!(matches!(
            supervisor.run(never()).await,
            Err(SupervisorError::Failed { task: "failing", .. })
        ));
    }

    #[tokio::test]
    async fn a_signal_drains_and_a_clean_end_is_no_error() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("steady", until_stopped(supervisor.stop().clone()));
        supervisor.run(futures::stream::iter(["SIGTERM"])).await.unwrap();
    }

    #[tokio::test]
    async fn a_second_signal_aborts_what_does_not_end() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("stuck", pending::<Result<(), Infallible>>());
        let (sender, mut receiver) = mpsc::unbounded_channel();
        sender.send("SIGTERM").unwrap();
        sender.send("SIGINT").unwrap();
        let signals = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        assert!(matches!(supervisor.run(signals).await, Err(SupervisorError::Aborted)));
    }

    #[tokio::test]
    async fn what_does_not_end_in_time_is_aborted() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.drain = Duration::from_millis(1);
        supervisor.spawn("stuck", pending::<Result<(), Infallible>>());
        let result = supervisor.run(futures::stream::iter(["SIGTERM"])).await;
        assert!(matches!(result, Err(SupervisorError::DrainExpired { tasks: 1 })));
    }
}
