//! What this process watches: the objects of all kinds, and who refers to whom.

use kube::Client;
use kube_runtime::watcher;

use crate::api::command_job::LIVE;
use crate::api::{
    AzureAccount, CommandJob, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, SessionPool,
};
use crate::runtime::reconciler::Object;
use crate::runtime::references::Kind;
use crate::runtime::{Cache, Key, References, Scope, Snapshot, Source, Triggers};

/// The objects of all kinds; clones are the same.
#[derive(Clone)]
pub struct Kinds {
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
    fn watched(kinds: &Kinds) -> &Watched<Self>;
}

macro_rules! watched_kinds {
    ($($kind:ident in $field:ident),+ $(,)?) => {
        $(impl Kind for $kind {
            const NAME: &'static str = stringify!($kind);
        }

        impl WatchedKind for $kind {
            fn watched(kinds: &Kinds) -> &Watched<Self> {
                &kinds.$field
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

impl Kinds {
    /// Prepares the watches; nothing is sent yet.
    pub fn watch(client: &Client, scope: &Scope) -> (Self, Sources) {
        let sources = Sources {
            azure_accounts: Source::new(client, scope, watcher::Config::default()),
            resource_groups: Source::new(client, scope, watcher::Config::default()),
            session_pools: Source::new(client, scope, watcher::Config::default()),
            managed_identities: Source::new(client, scope, watcher::Config::default()),
            role_assignments: Source::new(client, scope, watcher::Config::default()),
            identity_assignments: Source::new(client, scope, watcher::Config::default()),
            command_jobs: Source::new(client, scope, watcher::Config::default().fields(LIVE)),
        };
        let kinds = Self {
            references: index(&sources),
            azure_accounts: Watched::of(&sources.azure_accounts),
            resource_groups: Watched::of(&sources.resource_groups),
            session_pools: Watched::of(&sources.session_pools),
            managed_identities: Watched::of(&sources.managed_identities),
            role_assignments: Watched::of(&sources.role_assignments),
            identity_assignments: Watched::of(&sources.identity_assignments),
            command_jobs: Watched::of(&sources.command_jobs),
        };
        (kinds, sources)
    }

    /// Who refers to whom.
    pub fn references(&self) -> &References {
        &self.references
    }
}
