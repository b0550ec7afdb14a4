//! What all controllers of the process share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use kube::{Client, Resource};
use tokio_util::sync::CancellationToken;

use crate::api::FIELD_MANAGER;
use crate::azure::{Cloud, Http};
use crate::runtime::drive::Settings;
use crate::runtime::health::Health;
use crate::runtime::reconciler::Object;
use crate::runtime::references::{Entry, Kind};
use crate::runtime::rest::Rest;
use crate::runtime::{Clients, Controller, Events, Key, Pace, Reconciler, Scope, Source, StatusWriter};

use super::accounts::{Accounts, HostAccess};
use super::config_maps::ConfigMapWrites;
use super::operator_key::OperatorKey;
use super::ownership::ClusterId;
use super::watched::{Kinds, Sources};

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
    /// Whether ConfigMaps may be written.
    pub config_maps: ConfigMapWrites,
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
    kinds: Kinds,
    rest: Rest,
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
        let (kinds, sources) = Kinds::watch(&clients.watch, scope);
        let accounts = Accounts::new(
            clients.write.clone(),
            Arc::clone(cloud),
            http.clone(),
            kinds.managed_identities.clone(),
            host.clone(),
        );
        let context = Self {
            foundation,
            accounts,
            kinds,
            rest: Rest::default(),
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

    /// Whether ConfigMaps may be written.
    pub fn config_maps(&self) -> ConfigMapWrites {
        self.foundation.config_maps
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
        Settings {
            rest: self.rest.clone(),
            ..Settings::at_pace(self.foundation.pace)
        }
    }

    /// Cancelled when the process ends.
    pub fn stop(&self) -> &CancellationToken {
        &self.foundation.stop
    }

    /// The accounts that are open.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The one writer of a kind's status.
    pub fn status_writer<K: Object>(&self) -> StatusWriter<K> {
        StatusWriter::new(self.client().clone(), format!("{FIELD_MANAGER}/{}", K::plural(&())))
    }

    /// The controller of a kind. `entry` says what the index knows of an object.
    pub fn controller<R: Reconciler>(
        &self,
        source: Source<R::Object>,
        reconciler: R,
        passes: Settings,
        entry: fn(&R::Object) -> Entry,
    ) -> Controller<R>
    where
        R::Object: Kind,
    {
        let (events, stop) = (self.events().clone(), self.stop().clone());
        Controller::new(source, Arc::new(reconciler), self.status_writer(), events, passes, stop)
            .indexed(self.references().clone(), entry)
            .report_to(self.health().check(&R::Object::plural(&())))
    }

    /// A credential was refused: whoever checks the account shall not trust earlier answers.
    pub fn doubt_account(&self, key: &Key) {
        if let Some(account) = self.accounts.get(key) {
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

impl Deref for Context {
    type Target = Kinds;

    fn deref(&self) -> &Kinds {
        &self.kinds
    }
}
