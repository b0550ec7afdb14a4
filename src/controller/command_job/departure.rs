//! What a job that left the watch leaves behind.

use std::sync::Arc;
use std::time::Duration;

use kube::{Api, ResourceExt};

use super::attempt::{AttemptState, Farewell};
use super::executor::session_pool::{GRACE_SECONDS, PoolUse, Pools, SessionPoolExecutor};
use super::executor::{Farewells, Leaving};
use super::job::inputs;
use super::job::plan::{claim_of, is_finished, last_claim};
use super::memory::RememberedJob;
use crate::api::CommandJob;
use crate::controller::Context;
use crate::runtime::{Snapshot, is_missing};

/// The pause between two tries to find out what became of a job.
const BETWEEN_READS: Duration = Duration::from_secs(2);

/// A job that left the watch.
pub struct Departure {
    /// What all controllers share.
    pub context: Context,
    /// Finds its pool.
    pub pools: Arc<Pools>,
    /// Leave its attempts.
    pub farewells: Farewells,
    /// Its newest version that is known.
    pub job: Snapshot<CommandJob>,
}

/// What became of the job.
enum Fate {
    Ended,
    Deleted,
    /// It is still there, and the watch will tell of it again.
    Present,
}

impl Departure {
    /// Leaves the attempts of a job that has not ended as far as is known. Nothing is killed on a guess: whether the job was
    /// deleted is asked of the API server, unless it was being deleted already.
    pub async fn see_off(self, remembered: RememberedJob<SessionPoolExecutor>) {
        match self.fate().await {
            Fate::Present => {}
            Fate::Ended => self.leave(remembered, Farewell::Idle),
            Fate::Deleted => {
                let unknown = last_claim(&self.job).filter(|it| !remembered.attempts.contains_key(&it.key));
                self.leave(remembered, Farewell::Abandoned);
                if let Some(claim) = unknown
                    && let Some(executor) = self.executor().await
                {
                    self.farewells.leave(Leaving {
                        executor,
                        key: claim.key,
                        claim: Some(claim),
                        state: AttemptState::of_another_process(),
                        farewell: Farewell::Abandoned,
                    });
                }
            }
        }
    }

    /// Leaves the attempts that this process has to do with.
    pub fn leave(&self, remembered: RememberedJob<SessionPoolExecutor>, farewell: Farewell) {
        for (key, (state, executor)) in remembered.attempts {
            if !state.has_left {
                let claim = claim_of(&self.job, key);
                self.farewells.leave(Leaving {
                    executor,
                    key,
                    claim,
                    state,
                    farewell,
                });
            }
        }
    }

    async fn fate(&self) -> Fate {
        if self.job.metadata.deletion_timestamp.is_some() {
            return Fate::Deleted;
        }
        let namespace = self.job.namespace().unwrap_or_default();
        let api: Api<CommandJob> = Api::namespaced(self.context.client().clone(), &namespace);
        loop {
            match api.get(&self.job.name_any()).await {
                Ok(now) if now.uid() == self.job.uid() => {
                    return if is_finished(&now) { Fate::Ended } else { Fate::Present };
                }
                Ok(_) => return Fate::Deleted,
                Err(kube::Error::Api(status)) if is_missing(&status) => return Fate::Deleted,
                Err(error) => {
                    tracing::warn!(job = %self.job.name_any(), %error, "what became of a job is not known yet");
                }
            }
            if tokio::time::timeout(BETWEEN_READS, self.context.stop().cancelled())
                .await
                .is_ok()
            {
                return Fate::Present;
            }
        }
    }

    /// What reaches the attempts of a job that this process never had to do with.
    async fn executor(&self) -> Option<SessionPoolExecutor> {
        match self.pools.resolve(&self.job, PoolUse::Reach).await {
            Ok(pool) => {
                let inputs = Arc::new(inputs::shape(&self.job, GRACE_SECONDS));
                Some(SessionPoolExecutor::new(&self.pools, pool, &self.job, inputs, None))
            }
            Err(_) => {
                tracing::warn!(
                    job = %self.job.name_any(),
                    "the session of a deleted job cannot be found any more; it ends with its pool's cooldown"
                );
                None
            }
        }
    }
}
