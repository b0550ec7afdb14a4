//! Session pools that no object here manages: what Azure tells of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pools::{DEFAULT_COOLDOWN, DataPlane, PoolUse, Pools, UsablePool, account_key, lock};
use super::runs_as::RunsAs;
use crate::api::command_job::{CommandJob, SessionPoolTarget};
use crate::azure::{ResourceId, session_pool};
use crate::controller::command_job::job::{NamedPool, NotRunnable, Unavailable};

/// How long the answer of Azure about a pool that no object manages is believed.
const POOL_BELIEVED_FOR: Duration = Duration::from_mins(5);

impl Pools {
    /// The pool of a job that names it by its id.
    pub(super) async fn of_resource_id(
        &self,
        job: &CommandJob,
        pool: &SessionPoolTarget,
        purpose: PoolUse,
    ) -> Result<UsablePool, Unavailable> {
        let runs_as = RunsAs::own(job, None);
        let id: ResourceId = pool.resource_id.parse().map_err(|_| NotRunnable::NoTarget)?;
        let account = self.account(&runs_as, purpose).await?;
        let host = match purpose {
            PoolUse::Start => self.admit(job, &id).await?,
            PoolUse::Reach => None,
        };
        let share = host.as_ref().and_then(|it| it.share);
        let guest_of = host.map(|it| it.pool);
        let cache_key = (id.clone(), account_key(&account));
        let known = lock(&self.looked_up).get(&cache_key).cloned();
        if let Some((_, (_, known))) = known.filter(|(_, (at, _))| at.elapsed() < POOL_BELIEVED_FOR) {
            let usable = self.usable(id, account, runs_as, &known);
            return Ok(UsablePool {
                guest_of,
                share,
                ..usable
            });
        }
        let named = || NamedPool::Resource(Box::new(id.clone()));
        let version = session_pool::PoolApiVersion::for_reading();
        let found = session_pool::find(account.arm(), &id, version).await?;
        let found = found.ok_or_else(|| NotRunnable::PoolNotFound(named()))?.body;
        if !session_pool::container_type(&found).is_some_and(session_pool::runs_shell) {
            return Err(NotRunnable::NoShell(named()).into());
        }
        let endpoint = session_pool::management_endpoint(&found).ok_or_else(|| NotRunnable::PoolNotReady {
            pool: named(),
            because: ": Azure tells no poolManagementEndpoint of it yet".to_owned(),
        })?;
        let endpoint = self.endpoint(endpoint)?;
        let cooldown = session_pool::cooldown_seconds(&found).map_or(DEFAULT_COOLDOWN, Duration::from_secs);
        let known = DataPlane {
            endpoint,
            cooldown,
            max_sessions: session_pool::max_concurrent_sessions(&found),
        };
        let mut looked_up = lock(&self.looked_up);
        looked_up.retain(|_, (account, ..)| account.strong_count() > 0);
        looked_up.insert(cache_key, (Arc::downgrade(&account), (Instant::now(), known.clone())));
        drop(looked_up);
        let usable = self.usable(id, account, runs_as, &known);
        Ok(UsablePool {
            guest_of,
            share,
            ..usable
        })
    }
}
