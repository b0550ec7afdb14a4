//! Leaving attempts, in the background: a pass never waits for it, and a failure is tried again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Executor;
use crate::controller::command_job::attempt::{
    AfterEnd, AttemptClaim, AttemptKey, AttemptState, Command, Event, Farewell,
};

/// How many sessions are released at the same time.
const CONCURRENCY: usize = 64;

/// An attempt of which nothing is wanted any more.
pub struct Leaving<E> {
    /// What reaches it.
    pub executor: E,
    /// The attempt.
    pub key: AttemptKey,
    /// What is in the job's status of it, if anything is.
    pub claim: Option<AttemptClaim>,
    /// What is known of it.
    pub state: AttemptState,
    /// Why it is left.
    pub farewell: Farewell,
}

/// Leaves attempts: ends what runs of them, and releases their sessions.
#[derive(Clone)]
pub struct Farewells {
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Farewells {
    /// Takes its time until `stop` is cancelled. Then one try is made for each session, and the rest is left to its own end.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            stop,
        }
    }

    /// Leaves an attempt, soon. Never blocks.
    pub fn leave<E: Executor>(&self, leaving: Leaving<E>) {
        let farewells = self.clone();
        self.tasks.spawn(async move { farewells.see_off(leaving).await });
    }

    /// Runs something that ends in leaving an attempt, such as finding its session.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns once everything that was asked for is done or given up. Nothing may be asked for afterwards.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn see_off<E: Executor>(&self, leaving: Leaving<E>) {
        let Leaving {
            executor,
            key,
            claim,
            mut state,
            farewell,
        } = leaving;
        let limits = executor.limits();
        loop {
            let now = Timestamp::now();
            let command = match state.leave(key, claim.as_ref(), executor.slot(), farewell, &limits, now) {
                AfterEnd::Do(command) => command,
                AfterEnd::Wait(until) => {
                    let pause = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                    if tokio::time::timeout(pause, self.stop.cancelled()).await.is_ok() {
                        self.carry_out(&executor, &Command::Release { key }).await;
                        return;
                    }
                    continue;
                }
                AfterEnd::Keep(baseline) => {
                    let prepared = state.preparation.as_ref().map(|it| &it.ticket);
                    let ticket = claim.as_ref().map(|it| &it.ticket).or(prepared);
                    if executor.keep(key, ticket, baseline).await {
                        return;
                    }
                    state.on_refused_keeping();
                    continue;
                }
                AfterEnd::Rest => break,
            };
            state.issue(&command, executor.place(), now);
            let event = tokio::select! {
                event = self.carry_out(&executor, &command) => event,
                () = self.stop.cancelled(), if command.waits() => continue,
            };
            // What cannot be done is not waited for: the session ends with everything in it.
            if let Err(problem) = state.on(&command, event, &limits) {
                tracing::debug!(%problem, "an attempt that is left could not be asked");
            }
        }
        if !state.is_released() {
            tracing::warn!("a session could not be released; it ends with its pool's cooldown");
        }
    }

    async fn carry_out<E: Executor>(&self, executor: &E, command: &Command) -> Event {
        // The permit is for the try alone: a target that does not answer must not hold up the others.
        let _permit = match command {
            Command::Release { .. } => self.permits.acquire().await.ok(),
            _ => None,
        };
        executor.run(command).await
    }
}
