//! The session pools that jobs run in: from the spec's reference to a client of the pool's sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use kube::ResourceExt;

use super::kept::wish;
use super::runs_as::RunsAs;
use crate::api::azure_account::AzureAccountSpec;
use crate::api::command_job::CommandJob;
use crate::api::condition::{Reason, kind};
use crate::api::reference::PoolReference;
use crate::api::session_pool::{ContainerType, SessionPool};
use crate::azure::session::PoolEndpoint;
use crate::azure::{AzureError, ResourceId, SessionClient, session_pool};
use crate::controller::Context;
use crate::controller::accounts::{Account, AccountError};
use crate::controller::command_job::budget::InputMemory;
use crate::controller::command_job::job::{NamedPool, NotRunnable, Unavailable};
use crate::controller::command_job::output::Output;
use crate::controller::command_job::queue::{PoolFacts, Queues};
use crate::controller::operator_key::OperatorKey;
use crate::controller::readiness::is_provisioned;
use crate::runtime::conditions::find;
use crate::runtime::{Key, Snapshot};

/// Azure's default, where the pool does not say.
pub(super) const DEFAULT_COOLDOWN: Duration = Duration::from_mins(5);

/// A pool whose sessions can be used, for one account.
#[derive(Clone)]
pub struct UsablePool {
    /// The pool's data plane.
    pub client: SessionClient,
    /// The pool's resource id.
    pub id: ResourceId,
    /// The account that executes.
    pub account: Arc<Account>,
    /// Whose that is.
    pub runs_as: RunsAs,
    /// The SessionPool of another namespace that lets the job in without lending it an account. Whoever holds that of the job may
    /// enter every session of the pool. Known only for a new attempt.
    pub guest_of: Option<Key>,
    /// How long a session lives without a request.
    pub cooldown: Duration,
    /// How many sessions the pool may have at a time, where Azure said so.
    pub max_sessions: Option<u32>,
    /// How many of them the job's namespace may have, if the pool's owner says. Known only for a new attempt.
    pub share: Option<u32>,
    /// The SessionPool that the job names.
    pub object: Option<Snapshot<SessionPool>>,
}

impl UsablePool {
    /// What the queue has to know of it, for a job.
    pub fn facts(&self, operator: &OperatorKey, job: &CommandJob) -> PoolFacts {
        PoolFacts {
            wish: wish(self, operator, job),
            id: self.id.key(),
            capacity: self.max_sessions,
            object: self.object.clone(),
            share: self.share,
        }
    }

    /// As the job names it.
    pub fn named(&self) -> NamedPool {
        match &self.object {
            Some(object) => NamedPool::Object(Key::of(&**object)),
            None => NamedPool::Resource(Box::new(self.id.clone())),
        }
    }
}

impl std::fmt::Debug for UsablePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsablePool")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a pool is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolUse {
    /// A new attempt: the pool has to be ready and to let the job in.
    Start,
    /// An attempt that is under way: what counts is that its session can be reached.
    Reach,
}

/// Finds pools, and keeps one client a pool and account, because a client remembers what the pool accepts.
pub struct Pools {
    pub(super) context: Context,
    output: Output,
    input_memory: InputMemory,
    queues: Queues,
    poll_window: Duration,
    clients: Mutex<OfAccounts<PoolEndpoint, SessionClient>>,
    pub(super) looked_up: Mutex<OfAccounts<ResourceId, (Instant, DataPlane)>>,
}

/// What is known for an account, told apart by [`account_key`].
type OfAccounts<K, V> = HashMap<(K, usize), (Weak<Account>, V)>;

/// Where the sessions of a pool are asked, how long one lives without a request, and how many there may be.
#[derive(Clone)]
pub(super) struct DataPlane {
    pub endpoint: PoolEndpoint,
    pub cooldown: Duration,
    pub max_sessions: Option<u32>,
}

impl Pools {
    /// Finds pools among the objects of `context`, and others by asking Azure. A call to a session waits at most
    /// `poll_window` for a command's end. `queues` say whose turn it is to have one.
    pub fn new(context: Context, queues: Queues, poll_window: Duration) -> Self {
        Self {
            queues,
            output: Output::new(
                context.client().clone(),
                context.events().clone(),
                context.config_maps(),
            ),
            input_memory: InputMemory::default(),
            poll_window,
            context,
            clients: Mutex::default(),
            looked_up: Mutex::default(),
        }
    }

    /// The operator's key.
    pub fn key(&self) -> &OperatorKey {
        self.context.key()
    }

    /// The cluster, as sessions are marked with it.
    pub fn cluster(&self) -> &str {
        self.context.cluster().as_str()
    }

    /// How long a call may wait for a command's end.
    pub fn poll_window(&self) -> Duration {
        self.poll_window
    }

    /// Memory for what commands are given.
    pub fn input_memory(&self) -> &InputMemory {
        &self.input_memory
    }

    /// Who has the sessions, and who waits for one.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Returns once the jobs and the pools that were there at the start are known.
    pub async fn begin(&self) {
        let (jobs, pools) = (self.context.command_jobs.cache(), self.context.session_pools.cache());
        self.queues.begin(jobs, pools).await;
    }

    /// What keeps the output of commands.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The pool that a job runs in.
    pub async fn resolve(&self, job: &CommandJob, purpose: PoolUse) -> Result<UsablePool, Unavailable> {
        match (&job.spec.target.session_pool_ref, &job.spec.target.session_pool) {
            (Some(reference), _) => self.of_reference(job, reference, purpose).await,
            (None, Some(pool)) => self.of_resource_id(job, pool, purpose).await,
            (None, None) => Err(NotRunnable::NoTarget.into()),
        }
    }

    async fn of_reference(
        &self,
        job: &CommandJob,
        reference: &PoolReference,
        purpose: PoolUse,
    ) -> Result<UsablePool, Unavailable> {
        let own = job.namespace().unwrap_or_default();
        let key = Key::new(reference.namespace.as_ref().unwrap_or(&own), &reference.name);
        let not_let_in = || NotRunnable::NotLetIn {
            pool: key.clone(),
            namespace: own.clone(),
        };
        let named = || NamedPool::Object(key.clone());
        let Some(pool) = self.context.session_pools.get(&key) else {
            let is_foreign = purpose == PoolUse::Start && key.namespace != own;
            return Err(if is_foreign {
                not_let_in()
            } else {
                NotRunnable::PoolNotFound(named())
            }
            .into());
        };
        let runs_as = match purpose {
            PoolUse::Start => {
                let labels = self.labels(&own, &pool).await?;
                RunsAs::begins(job, &pool, &labels).ok_or_else(not_let_in)?
            }
            PoolUse::Reach => {
                let accounts = self.context.azure_accounts.cache().list();
                let accounts = accounts.iter().map(|it| Key::of(&**it));
                let not_lent = || NotRunnable::NotLent { pool: key.clone() };
                RunsAs::goes_on(job, &pool, self.key(), accounts).ok_or_else(not_lent)?
            }
        };
        let status = pool.status.as_ref();
        // What the spec says counts only for what Azure was not asked about yet.
        let container_type = status.and_then(|it| it.container_type.as_deref());
        if !container_type.map_or(
            pool.spec.container_type == ContainerType::Shell,
            session_pool::runs_shell,
        ) {
            return Err(NotRunnable::NoShell(named()).into());
        }
        let conditions = status.map(|it| it.azure.conditions.as_slice()).unwrap_or_default();
        // A pool that works serves jobs although its spec cannot be applied at the moment.
        let is_refused = || find(conditions, kind::READY).is_some_and(|it| it.status == "False");
        let works = is_provisioned(conditions).unwrap_or_else(|| !is_refused());
        let is_unusable = !works || pool.metadata.deletion_timestamp.is_some();
        let facts = status.and_then(|it| {
            let id: ResourceId = it.azure.id.as_deref()?.parse().ok()?;
            Some((it.pool_management_endpoint.as_deref()?, id))
        });
        let facts = facts.filter(|_| purpose == PoolUse::Reach || container_type.is_some());
        let Some((endpoint, id)) = facts.filter(|_| purpose == PoolUse::Reach || !is_unusable) else {
            let is_ours = key.namespace == own;
            let because = if is_ours { why_unusable(&pool) } else { String::new() };
            return Err(NotRunnable::PoolNotReady { pool: named(), because }.into());
        };
        let account = self.account(&runs_as, purpose).await?;
        let mut share = None;
        let guest_of = match purpose {
            PoolUse::Start => {
                let host = self.admit(job, &id).await?;
                let guest_of = host.as_ref().map(|it| it.pool.clone());
                let guest_of = guest_of.or_else(|| (key.namespace != own).then(|| key.clone()));
                share = host.and_then(|it| it.share);
                guest_of.filter(|_| runs_as.lender.is_none())
            }
            PoolUse::Reach => None,
        };
        let endpoint = self.endpoint(endpoint)?;
        let cooldown = pool
            .spec
            .dynamic_pool_configuration
            .as_ref()
            .and_then(|it| it.lifecycle_configuration.as_ref())
            .and_then(|it| it.cooldown_period_in_seconds)
            .and_then(|it| u64::try_from(it).ok())
            .map_or(DEFAULT_COOLDOWN, Duration::from_secs);
        let max_sessions = status.and_then(|it| it.max_concurrent_sessions);
        let data_plane = DataPlane {
            endpoint,
            cooldown,
            max_sessions: max_sessions.and_then(|it| u32::try_from(it).ok()),
        };
        let usable = self.usable(id, account, runs_as, &data_plane);
        Ok(UsablePool {
            guest_of,
            share,
            object: Some(pool.clone()),
            ..usable
        })
    }

    pub(super) fn endpoint(&self, endpoint: &str) -> Result<PoolEndpoint, NotRunnable> {
        let endpoint = self.context.cloud().session_endpoint(endpoint);
        endpoint.map_err(|error| NotRunnable::UnsupportedCloud(error.to_string()))
    }

    /// Whether Azure still knows the pool. An error is no answer.
    pub async fn exists(&self, pool: &UsablePool) -> Result<bool, AzureError> {
        let version = session_pool::PoolApiVersion::for_reading();
        let manager = pool.runs_as.lender.as_ref().and_then(|it| self.manager(it));
        let account = manager.as_ref().unwrap_or(&pool.account);
        Ok(session_pool::find(account.arm(), &pool.id, version).await?.is_some())
    }

    /// The account that manages a pool, where it is open. One that is lent is for executions only.
    fn manager(&self, pool: &Key) -> Option<Arc<Account>> {
        let object = self.context.session_pools.get(pool)?;
        let name = AzureAccountSpec::name_for(object.spec.azure.management.account_ref.as_ref());
        self.context.accounts().get(&Key::new(&pool.namespace, name))
    }

    pub(super) async fn account(&self, runs_as: &RunsAs, purpose: PoolUse) -> Result<Arc<Account>, Unavailable> {
        let opened = self.open(&runs_as.account, purpose).await;
        match &runs_as.lender {
            Some(pool) => opened.map_err(|_| NotRunnable::NotLent { pool: pool.clone() }.into()),
            None => opened,
        }
    }

    async fn open(&self, key: &Key, purpose: PoolUse) -> Result<Arc<Account>, Unavailable> {
        let name = || key.name.clone();
        let Some(object) = self.context.azure_accounts.get(key) else {
            // What is open stays open for what is under way, so that it can be ended.
            let open = self.context.accounts().get(key).filter(|_| purpose == PoolUse::Reach);
            return open.ok_or_else(|| NotRunnable::AccountNotFound { name: name() }.into());
        };
        let not_ready = |reason, because| NotRunnable::AccountNotReady {
            name: name(),
            because,
            reason,
        };
        let conditions = object.status.as_ref().map(|it| it.conditions.as_slice());
        let refusal = match find(conditions.unwrap_or_default(), kind::READY) {
            None => Some("it has not been checked yet"),
            Some(ready) if ready.status == "False" => Some(ready.message.as_str()),
            Some(_) => None,
        };
        if let (PoolUse::Start, Some(why)) = (purpose, refusal) {
            return Err(not_ready(Reason::AccountNotReady, why.to_owned()).into());
        }
        let opened = self.context.accounts().open(&object).await;
        opened.map_err(|error| match error {
            AccountError::Unreadable { source, .. } => source.into(),
            error => not_ready(error.reason(), error.to_string()).into(),
        })
    }

    pub(super) fn usable(
        &self,
        id: ResourceId,
        account: Arc<Account>,
        runs_as: RunsAs,
        data_plane: &DataPlane,
    ) -> UsablePool {
        let mut clients = lock(&self.clients);
        let key = (data_plane.endpoint.clone(), account_key(&account));
        let client = if let Some((_, client)) = clients.get(&key) {
            client.clone()
        } else {
            let cloud = self.context.cloud();
            let scope = cloud.sessions.as_ref().map(|it| it.scope.clone());
            let scope = scope.expect("invariant: an endpoint was accepted, so the cloud has sessions");
            let (http, tokens) = (self.context.http().clone(), account.tokens().clone());
            let client = SessionClient::new(http, data_plane.endpoint.clone(), tokens, scope);
            clients.retain(|_, (account, _)| account.strong_count() > 0);
            clients.insert(key, (Arc::downgrade(&account), client.clone()));
            client
        };
        UsablePool {
            client,
            id,
            account,
            runs_as,
            guest_of: None,
            cooldown: data_plane.cooldown,
            max_sessions: data_plane.max_sessions,
            share: None,
            object: None,
        }
    }
}

/// Why a pool of the job's own namespace cannot be used, as the continuation of a sentence. Its own conditions say more.
fn why_unusable(pool: &SessionPool) -> String {
    if pool.metadata.deletion_timestamp.is_some() {
        return ": it is being deleted".to_owned();
    }
    let status = pool.status.as_ref();
    let ready = status.and_then(|it| find(&it.azure.conditions, kind::READY));
    ready.map_or_else(
        || " yet: Azure has not been asked about it".to_owned(),
        |it| format!(" ({})", it.reason),
    )
}

/// Tells accounts apart. The entries that it is a key of hold a `Weak`, so that the address of a closed account is not given
/// to another one as long as there is such an entry.
pub(super) fn account_key(account: &Arc<Account>) -> usize {
    Arc::as_ptr(account).addr()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
