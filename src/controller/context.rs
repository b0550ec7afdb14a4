//! What all controllers of the process share.

use std::fmt;
use std::sync::Arc;

use kube::Client;
use kube_runtime::watcher;
use tokio_util::sync::CancellationToken;

use crate::api::{
    AzureAccount, CommandJob, FIELD_MANAGER, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment,
    SessionPool,
};
use crate::azure::{Cloud, Http};
use crate::runtime::drive::Settings;
use crate::runtime::health::Health;
use crate::runtime::reconciler::Object;
use crate::runtime::references::Kind;
use crate::runtime::{Cache, Clients, Events, Key, Pace, References, Scope, Snapshot, Source, StatusWriter, Triggers};

use super::accounts::{Accounts, HostAccess};
use super::azure_resource::ownership::ClusterId;
use super::command_job;
use super::operator_key::OperatorKey;

/// What a process has before its controllers are made.
#[derive(Clone)]
pub struct Foundation {
    /// Connections to the API server.
    pub clients: Clients,
    /// The namespaces that are worked in.
    pub scope: Scope,
    /// The cloud.
    pub cloud: Arc<Cloud>,
    /// The HTTP client of the cloud.
    pub http: Http,
    /// The identity of the operator's host, and who may be it.
    pub host: HostAccess,
    /// The cluster, as owner tags name it.
    pub cluster: ClusterId,
    /// The operator's key.
    pub key: OperatorKey,
    /// Where events go.
    pub events: Events,
    /// What is ready, and what is not.
    pub health: Health,
    /// How fast it goes where it chooses itself.
    pub pace: Pace,
    /// Cancelled when the process ends.
    pub stop: CancellationToken,
}

/// What all controllers share; clones are the same.
#[derive(Clone)]
pub struct Context {
    foundation: Foundation,
    accounts: Accounts,
    references: References,
    /// The AzureAccounts that are watched.
    pub azure_accounts: Watched<AzureAccount>,
    /// The ResourceGroups that are watched.
    pub resource_groups: Watched<ResourceGroup>,
    /// The SessionPools that are watched.
    pub session_pools: Watched<SessionPool>,
    /// The ManagedIdentities that are watched.
    pub managed_identities: Watched<ManagedIdentity>,
    /// The RoleAssignments that are watched.
    pub role_assignments: Watched<RoleAssignment>,
    /// The IdentityAssignments that are watched.
    pub identity_assignments: Watched<IdentityAssignment>,
    /// The CommandJobs that are watched: those that have not ended.
    pub command_jobs: Watched<CommandJob>,
}

/// The watches, each to be given to the controller of its kind.
pub struct Sources {
    /// Of the controller [`azure_account`](super::azure_account).
    pub azure_accounts: Source<AzureAccount>,
    /// Of the controller [`resource_group`](super::resource_group).
    pub resource_groups: Source<ResourceGroup>,
    /// Of the controller [`session_pool`](super::session_pool).
    pub session_pools: Source<SessionPool>,
    /// Of the controller [`managed_identity`](super::managed_identity).
    pub managed_identities: Source<ManagedIdentity>,
    /// Of the controller [`role_assignment`](super::role_assignment).
    pub role_assignments: Source<RoleAssignment>,
    /// Of the controller [`identity_assignment`](super::identity_assignment).
    pub identity_assignments: Source<IdentityAssignment>,
    /// Of the controller [`command_job`](super::command_job).
    pub command_jobs: Source<CommandJob>,
}

/// The objects of a kind, and the means to ask for passes over them.
pub struct Watched<K: Object> {
    cache: Cache<K>,
    triggers: Triggers<K>,
}

impl<K: Object> Watched<K> {
    /// The cache and the triggers of a watch.
    pub fn of(source: &Source<K>) -> Self {
        Self {
            cache: source.cache(),
            triggers: source.triggers(),
        }
    }

    /// The object, if it is watched and could be decoded.
    pub fn get(&self, key: &Key) -> Option<Snapshot<K>> {
        self.cache.get(key)
    }

    /// Asks for a pass, soon.
    pub fn trigger(&self, key: Key) {
        self.triggers.trigger(key);
    }

    /// All watched objects.
    pub fn cache(&self) -> &Cache<K> {
        &self.cache
    }
}

impl<K: Object> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            triggers: self.triggers.clone(),
        }
    }
}

/// A kind that this process watches.
pub trait WatchedKind: Object + Kind {
    /// The objects of the kind.
    fn watched(context: &Context) -> &Watched<Self>;
}

macro_rules! watched_kinds {
    ($($kind:ident in $field:ident),+ $(,)?) => {
        $(impl Kind for $kind {
            const NAME: &'static str = stringify!($kind);
        }

        impl WatchedKind for $kind {
            fn watched(context: &Context) -> &Watched<Self> {
                &context.$field
            }
        })+

        /// An index that all of them are in.
        fn index(sources: &Sources) -> References {
            let references = References::default();
            $(references.register(sources.$field.cache(), sources.$field.triggers());)+
            references
        }
    };
}

watched_kinds! {
    AzureAccount in azure_accounts,
    ResourceGroup in resource_groups,
    SessionPool in session_pools,
    ManagedIdentity in managed_identities,
    RoleAssignment in role_assignments,
    IdentityAssignment in identity_assignments,
    CommandJob in command_jobs,
}

impl Context {
    /// Prepares the watches; nothing is sent yet.
    pub fn new(foundation: Foundation) -> (Self, Sources) {
        let Foundation {
            clients,
            scope,
            cloud,
            http,
            host,
            ..
        } = &foundation;
        let sources = Sources {
            azure_accounts: Source::new(&clients.watch, scope, watcher::Config::default()),
            resource_groups: Source::new(&clients.watch, scope, watcher::Config::default()),
            session_pools: Source::new(&clients.watch, scope, watcher::Config::default()),
            managed_identities: Source::new(&clients.watch, scope, watcher::Config::default()),
            role_assignments: Source::new(&clients.watch, scope, watcher::Config::default()),
            identity_assignments: Source::new(&clients.watch, scope, watcher::Config::default()),
            command_jobs: Source::new(
                &clients.watch,
                scope,
                watcher::Config::default().fields(command_job::LIVE),
            ),
        };
        let accounts = Accounts::new(
            clients.write.clone(),
            Arc::clone(cloud),
            http.clone(),
            Watched::of(&sources.managed_identities),
            host.clone(),
        );
        let context = Self {
            references: index(&sources),
            accounts,
            azure_accounts: Watched::of(&sources.azure_accounts),
            resource_groups: Watched::of(&sources.resource_groups),
            session_pools: Watched::of(&sources.session_pools),
            managed_identities: Watched::of(&sources.managed_identities),
            role_assignments: Watched::of(&sources.role_assignments),
            identity_assignments: Watched::of(&sources.identity_assignments),
            command_jobs: Watched::of(&sources.command_jobs),
            foundation,
        };
        (context, sources)
    }

    /// The client for what a pass reads and writes.
    pub fn client(&self) -> &Client {
        &self.foundation.clients.write
    }

    /// Both connections to the API server.
    pub fn clients(&self) -> &Clients {
        &self.foundation.clients
    }

    /// The namespaces that are worked in.
    pub fn scope(&self) -> &Scope {
        &self.foundation.scope
    }

    /// The cloud.
    pub fn cloud(&self) -> &Arc<Cloud> {
        &self.foundation.cloud
    }

    /// The HTTP client of the cloud.
    pub fn http(&self) -> &Http {
        &self.foundation.http
    }

    /// The cluster, as owner tags name it.
    pub fn cluster(&self) -> &ClusterId {
        &self.foundation.cluster
    }

    /// The operator's key.
    pub fn key(&self) -> &OperatorKey {
        &self.foundation.key
    }

    /// Where events go.
    pub fn events(&self) -> &Events {
        &self.foundation.events
    }

    /// What is ready, and what is not.
    pub fn health(&self) -> &Health {
        &self.foundation.health
    }

    /// How a controller runs its passes, unless it says otherwise.
    pub fn settings(&self) -> Settings {
        Settings::at_pace(self.foundation.pace)
    }

    /// Cancelled when the process ends.
    pub fn stop(&self) -> &CancellationToken {
        &self.foundation.stop
    }

    /// The accounts that are open.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Who refers to whom.
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The one writer of a kind's status.
    pub fn status_writer<K: Object>(&self) -> StatusWriter<K> {
        StatusWriter::new(self.client().clone(), format!("{FIELD_MANAGER}/{}", K::plural(&())))
    }

    /// A credential was refused: whoever checks the account shall not trust earlier answers.
    pub fn doubt_account(&self, key: &Key) {
        if let Some(account) = self.accounts.held(key) {
            account.doubt();
        }
        self.azure_accounts.trigger(key.clone());
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("cloud", &self.foundation.cloud.name)
            .finish_non_exhaustive()
    }
}
