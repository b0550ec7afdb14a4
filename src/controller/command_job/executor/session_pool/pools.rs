//! The session pools that jobs run in: from the spec's reference to a client of the pool's sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};

use super::runs_as::RunsAs;
use crate::api::azure_account::AzureAccountSpec;
use crate::api::command_job::{CommandJob, SessionPoolTarget};
use crate::api::condition::{Reason, kind};
use crate::api::reference::PoolReference;
use crate::api::session_pool::{ContainerType, Labels, SessionPool};
use crate::azure::session::PoolEndpoint;
use crate::azure::{AzureError, ResourceId, SessionClient, session_pool};
use crate::controller::Context;
use crate::controller::accounts::{Account, AccountError};
use crate::controller::command_job::JobError;
use crate::controller::command_job::output::Output;
use crate::controller::operator_key::OperatorKey;
use crate::controller::readiness::Verdict;
use crate::runtime::Key;

/// How long the answer of Azure about a pool that no object manages is believed.
const POOL_BELIEVED_FOR: Duration = Duration::from_mins(5);

/// Azure's default, where the pool does not say.
const DEFAULT_COOLDOWN: Duration = Duration::from_mins(5);

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
    /// How long a session lives without a request.
    pub cooldown: Duration,
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
    context: Context,
    output: Output,
    poll_window: Duration,
    clients: Mutex<OfAccounts<PoolEndpoint, SessionClient>>,
    looked_up: Mutex<OfAccounts<ResourceId, (Instant, PoolFacts)>>,
}

/// What is known for an account, told apart by [`account_key`].
type OfAccounts<K, V> = HashMap<(K, usize), (Weak<Account>, V)>;

#[derive(Clone)]
struct PoolFacts {
    endpoint: PoolEndpoint,
    cooldown: Duration,
}

impl Pools {
    /// Finds pools among the objects of `context`, and others by asking Azure. A call to a session waits at most
    /// `poll_window` for a command's end.
    pub fn new(context: Context, poll_window: Duration) -> Self {
        Self {
            output: Output::new(context.client().clone(), context.events().clone()),
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

    /// What keeps the output of commands.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The pool that a job runs in, or why it cannot be used yet.
    pub async fn resolve(&self, job: &CommandJob, purpose: PoolUse) -> Result<Result<UsablePool, Verdict>, JobError> {
        match (&job.spec.target.session_pool_ref, &job.spec.target.session_pool) {
            (Some(reference), _) => self.of_reference(job, reference, purpose).await,
            (None, Some(pool)) => self.of_resource_id(job, pool, purpose).await,
            (None, None) => Ok(Err(Verdict::stalled(Reason::InvalidSpec, "spec.target names no pool"))),
        }
    }

    async fn of_reference(
        &self,
        job: &CommandJob,
        reference: &PoolReference,
        purpose: PoolUse,
    ) -> Result<Result<UsablePool, Verdict>, JobError> {
        let own = job.namespace().unwrap_or_default();
        let key = Key::new(reference.namespace.as_ref().unwrap_or(&own), &reference.name);
        // Whether a pool of another namespace exists is not told to whom it does not let in.
        let not_let_in = || {
            let message = format!(
                "spec.target.sessionPoolRef: no SessionPool {key} lets the namespace {own} in; its owner can, by spec.sharing"
            );
            Verdict::stalled(Reason::NamespaceNotAllowed, message)
        };
        let Some(pool) = self.context.session_pools.get(&key) else {
            if purpose == PoolUse::Start && key.namespace != own {
                return Ok(Err(not_let_in()));
            }
            let message = format!("spec.target.sessionPoolRef: the SessionPool {key} does not exist");
            return Ok(Err(Verdict::progressing(Reason::ReferenceNotFound, message)));
        };
        let runs_as = match purpose {
            PoolUse::Start => {
                let labels = self.labels(&own, &pool).await?;
                RunsAs::begins(job, &pool, &labels).ok_or_else(not_let_in)
            }
            PoolUse::Reach => {
                let accounts = self.context.azure_accounts.cache().list();
                let accounts = accounts.iter().map(|it| Key::of(&**it));
                RunsAs::goes_on(job, &pool, self.key(), accounts).ok_or_else(|| not_lent(&key))
            }
        };
        let runs_as = match runs_as {
            Ok(runs_as) => runs_as,
            Err(why) => return Ok(Err(why)),
        };
        if purpose == PoolUse::Start && pool.spec.container_type != ContainerType::Shell {
            let message = format!("spec.target.sessionPoolRef: the SessionPool {key} is not of containerType Shell");
            return Ok(Err(Verdict::stalled(Reason::UnsupportedTarget, message)));
        }
        let status = pool.status.as_ref();
        let refused = status
            .iter()
            .flat_map(|it| &it.azure.conditions)
            .any(|it| it.type_ == kind::READY && it.status == "False");
        let facts = status.and_then(|it| Some((it.pool_management_endpoint.as_deref()?, it.azure.id.as_deref()?)));
        let not_ready =
            || Verdict::progressing(Reason::ReferenceNotReady, format!("the SessionPool {key} is not ready"));
        let Some((endpoint, id)) = facts else {
            return Ok(Err(not_ready()));
        };
        let unusable = refused || pool.metadata.deletion_timestamp.is_some();
        if purpose == PoolUse::Start && unusable {
            return Ok(Err(not_ready()));
        }
        let account = match self.account(&runs_as, purpose).await? {
            Ok(account) => account,
            Err(not_ready) => return Ok(Err(not_ready)),
        };
        let endpoint = match self.context.cloud().session_endpoint(endpoint) {
            Ok(endpoint) => endpoint,
            Err(error) => return Ok(Err(Verdict::stalled(Reason::UnsupportedCloud, error.to_string()))),
        };
        let Ok(id) = id.parse::<ResourceId>() else {
            return Ok(Err(not_ready()));
        };
        let cooldown = pool
            .spec
            .dynamic_pool_configuration
            .as_ref()
            .and_then(|it| it.lifecycle_configuration.as_ref())
            .and_then(|it| it.cooldown_period_in_seconds)
            .and_then(|it| u64::try_from(it).ok())
            .map_or(DEFAULT_COOLDOWN, Duration::from_secs);
        Ok(Ok(self.usable(id, account, runs_as, &PoolFacts { endpoint, cooldown })))
    }

    async fn of_resource_id(
        &self,
        job: &CommandJob,
        pool: &SessionPoolTarget,
        purpose: PoolUse,
    ) -> Result<Result<UsablePool, Verdict>, JobError> {
        let runs_as = RunsAs::own(job, None);
        let account = match self.account(&runs_as, purpose).await? {
            Ok(account) => account,
            Err(not_ready) => return Ok(Err(not_ready)),
        };
        let Ok(id) = pool.resource_id.parse::<ResourceId>() else {
            let message = "spec.target.sessionPool.resourceId is not the id of a session pool";
            return Ok(Err(Verdict::stalled(Reason::InvalidSpec, message)));
        };
        let cache_key = (id.clone(), account_key(&account));
        let known = lock(&self.looked_up).get(&cache_key).cloned();
        if let Some((_, (_, facts))) = known.filter(|(_, (at, _))| at.elapsed() < POOL_BELIEVED_FOR) {
            return Ok(Ok(self.usable(id, account, runs_as, &facts)));
        }
        let version = session_pool::PoolApiVersion::for_reading();
        let Some(found) = session_pool::find(account.arm(), &id, version).await? else {
            let message = format!("spec.target.sessionPool.resourceId: Azure has no session pool {id}");
            return Ok(Err(Verdict::progressing(Reason::ReferenceNotFound, message)));
        };
        if session_pool::container_type(&found.body) != Some("Shell") {
            let message = format!("spec.target.sessionPool.resourceId: the pool {id} is not of containerType Shell");
            return Ok(Err(Verdict::stalled(Reason::UnsupportedTarget, message)));
        }
        let Some(endpoint) = session_pool::management_endpoint(&found.body) else {
            return Ok(Err(Verdict::progressing(
                Reason::ReferenceNotReady,
                format!("the pool {id} is not ready"),
            )));
        };
        let endpoint = match self.context.cloud().session_endpoint(endpoint) {
            Ok(endpoint) => endpoint,
            Err(error) => return Ok(Err(Verdict::stalled(Reason::UnsupportedCloud, error.to_string()))),
        };
        let cooldown = session_pool::cooldown_seconds(&found.body).map_or(DEFAULT_COOLDOWN, Duration::from_secs);
        let facts = PoolFacts { endpoint, cooldown };
        let mut looked_up = lock(&self.looked_up);
        looked_up.retain(|_, (account, ..)| account.strong_count() > 0);
        looked_up.insert(cache_key, (Arc::downgrade(&account), (Instant::now(), facts.clone())));
        drop(looked_up);
        Ok(Ok(self.usable(id, account, runs_as, &facts)))
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
        self.context.accounts().held(&Key::new(&pool.namespace, name))
    }

    async fn account(&self, runs_as: &RunsAs, purpose: PoolUse) -> Result<Result<Arc<Account>, Verdict>, JobError> {
        let opened = self.open(&runs_as.account, purpose).await;
        match &runs_as.lender {
            Some(lender) if !matches!(opened, Ok(Ok(_))) => Ok(Err(not_lent(lender))),
            Some(_) | None => opened,
        }
    }

    async fn open(&self, key: &Key, purpose: PoolUse) -> Result<Result<Arc<Account>, Verdict>, JobError> {
        let Some(object) = self.context.azure_accounts.get(key) else {
            // What is open stays open for what is under way, so that it can be ended.
            let held = self.context.accounts().held(key).filter(|_| purpose == PoolUse::Reach);
            let message = format!("the AzureAccount {} does not exist in this namespace", key.name);
            return Ok(held.ok_or_else(|| Verdict::progressing(Reason::AccountNotFound, message)));
        };
        let verdict = object
            .status
            .iter()
            .flat_map(|it| &it.conditions)
            .find(|it| it.type_ == kind::READY);
        let refusal = match verdict {
            None => Some("it has not been checked yet"),
            Some(ready) if ready.status == "False" => Some(ready.message.as_str()),
            Some(_) => None,
        };
        if let (PoolUse::Start, Some(why)) = (purpose, refusal) {
            let message = format!("the AzureAccount {} is not ready: {why}", key.name);
            return Ok(Err(Verdict::progressing(Reason::AccountNotReady, message)));
        }
        match self.context.accounts().open(&object).await {
            Ok(account) => Ok(Ok(account)),
            Err(AccountError::Unreadable { source, .. }) => Err(source.into()),
            Err(error) => Ok(Err(Verdict::progressing(error.reason(), error.to_string()))),
        }
    }

    fn usable(&self, id: ResourceId, account: Arc<Account>, runs_as: RunsAs, facts: &PoolFacts) -> UsablePool {
        let mut clients = lock(&self.clients);
        let key = (facts.endpoint.clone(), account_key(&account));
        let client = if let Some((_, client)) = clients.get(&key) {
            client.clone()
        } else {
            let cloud = self.context.cloud();
            let scope = cloud.sessions.as_ref().map(|it| it.scope.clone());
            let scope = scope.expect("invariant: an endpoint was accepted, so the cloud has sessions");
            let (http, tokens) = (self.context.http().clone(), account.tokens().clone());
            let client = SessionClient::new(http, facts.endpoint.clone(), tokens, scope);
            clients.retain(|_, (account, _)| account.strong_count() > 0);
            clients.insert(key, (Arc::downgrade(&account), client.clone()));
            client
        };
        UsablePool {
            client,
            id,
            account,
            runs_as,
            cooldown: facts.cooldown,
        }
    }

    /// The labels of the namespace, where they decide whether the pool lets it in.
    async fn labels(&self, namespace: &str, pool: &SessionPool) -> Result<Labels, JobError> {
        let is_asked = pool.namespace().as_deref() != Some(namespace)
            && pool.spec.sharing.iter().any(|it| it.namespaces.selector.is_some());
        if !is_asked {
            return Ok(Labels::new());
        }
        let namespaces: Api<Namespace> = Api::all(self.context.client().clone());
        Ok(namespaces.get(namespace).await?.metadata.labels.unwrap_or_default())
    }
}

/// A guest is not told of the account that it is lent what is wrong with it: that is in the account's own conditions.
fn not_lent(pool: &Key) -> Verdict {
    let message = format!("the account that the SessionPool {pool} lends is not ready");
    Verdict::progressing(Reason::AccountNotReady, message)
}

/// Tells accounts apart. The entries that it is a key of hold a `Weak`, so that the address of a closed account is not given
/// to another one as long as there is such an entry.
fn account_key(account: &Arc<Account>) -> usize {
    Arc::as_ptr(account).addr()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
