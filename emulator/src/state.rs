//! What all parts of the emulator share.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::arm::Throttle;
use crate::behaviour::Behaviour;
use crate::clock::Clock;
use crate::dataplane::DataPlane;
use crate::emulator::Options;
use crate::faults::Faults;
use crate::hosts::Hosts;
use crate::identity::{Principal, Tokens};
use crate::journal::Journal;
use crate::roles::Permission;
use crate::store::{Pool, Store};

/// How long changes are gathered before they are written to the data directory.
const SAVE_INTERVAL: Duration = Duration::from_millis(250);

/// Handle to what all parts of the emulator share; clones are the same state.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Options,
    root: String,
    tenant_id: String,
    clock: Arc<Clock>,
    behaviour: RwLock<Arc<Behaviour>>,
    journal: Journal,
    faults: Faults,
    tokens: Tokens,
    throttle: Throttle,
    store: Mutex<Store>,
    dirty: AtomicBool,
    dataplane: DataPlane,
    hosts: Hosts,
}

impl AppState {
    pub(crate) fn new(
        options: Options,
        root: String,
        clock: Arc<Clock>,
        behaviour: Behaviour,
        tokens: Tokens,
        store: Store,
        dataplane: DataPlane,
    ) -> Self {
        Self(Arc::new(Inner {
            options,
            root,
            tenant_id: store.tenant_id.clone(),
            clock,
            behaviour: RwLock::new(Arc::new(behaviour)),
            journal: Journal::default(),
            faults: Faults::default(),
            tokens,
            throttle: Throttle::default(),
            store: Mutex::new(store),
            dirty: AtomicBool::new(true),
            dataplane,
            hosts: Hosts::default(),
        }))
    }

    /// How the emulator was started.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// URL of the port, without a trailing slash.
    pub fn root(&self) -> &str {
        &self.0.root
    }

    /// The only tenant.
    pub fn tenant_id(&self) -> &str {
        &self.0.tenant_id
    }

    /// The virtual clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The switches as they are now.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        self.0.behaviour.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the switches.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self.0.behaviour.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// What was answered and run.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The armed faults.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Access tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// ARM's token buckets.
    pub fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// Sessions.
    pub fn dataplane(&self) -> &DataPlane {
        &self.0.dataplane
    }

    /// Identity endpoints of hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.0.hosts
    }

    /// The stored state, with everything carried out that was due by now. Never hold it across an await.
    pub fn store(&self) -> StoreGuard<'_> {
        let mut store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = store.settle(self.clock().now());
        if settled.changed {
            self.0.dirty.store(true, Ordering::SeqCst);
        }
        for pool in settled.deleted_pools {
            self.0.dataplane.pool_deleted(pool.instance, &self.0.clock);
        }
        for host in settled.deleted_hosts {
            self.0.hosts.close(&host);
        }
        StoreGuard {
            store,
            dirty: &self.0.dirty,
        }
    }

    /// The session pool of these names, whatever their case; `None` unless it exists and is not being deleted.
    pub fn find_pool(&self, subscription: &str, resource_group: &str, name: &str) -> Option<Pool> {
        self.store().find_pool(subscription, resource_group, name)
    }

    /// Whether role assignments that are in effect by now let a principal do this at a scope or above it.
    pub fn is_allowed(&self, principal: &Principal, scope: &str, permission: Permission<'_>) -> bool {
        let now = self.clock().now();
        self.store().is_allowed(&principal.object_id, scope, permission, now)
    }

    /// Writes the state to the data directory, if it changed.
    pub(crate) fn save(&self) {
        if !self.0.dirty.swap(false, Ordering::SeqCst) {
            return;
        }
        let snapshot = {
            let mut store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
            store.set_clock_offset(self.clock().offset());
            store.snapshot()
        };
        if let Err(error) = Store::write(self.data_dir(), &snapshot) {
            tracing::error!(%error, "cannot save the state");
            self.0.dirty.store(true, Ordering::SeqCst);
        }
    }

    /// Marks the state as changed, so that it is saved.
    pub(crate) fn touch(&self) {
        self.0.dirty.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn save_in_background(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SAVE_INTERVAL) => self.save(),
            }
        }
    }

    fn data_dir(&self) -> &Path {
        &self.0.options.data_dir
    }
}

/// Exclusive access to the stored state; what is changed through it is saved.
#[derive(Debug)]
pub struct StoreGuard<'a> {
    store: MutexGuard<'a, Store>,
    dirty: &'a AtomicBool,
}

impl Deref for StoreGuard<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl DerefMut for StoreGuard<'_> {
    fn deref_mut(&mut self) -> &mut Store {
        self.dirty.store(true, Ordering::SeqCst);
        &mut self.store
    }
}
