//! Which sessions there are, and for how long.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::session::{Container, HostError, MemoryVolume, Network, SessionHost, Volume};
use crate::store::{Lifecycle, Pool};

/// Executions whose result a session remembers for `GET /executions/{id}`.
const REMEMBERED_EXECUTIONS: usize = 100;

/// A session of a pool: what an identifier stands for until it expires or is deleted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) identifier: String,
    /// Id of the container; another one under the same identifier means that the session was replaced.
    pub(super) etag: Uuid,
    pub(super) created: Timestamp,
    usage: Mutex<Usage>,
    active: AtomicUsize,
    backend: OnceCell<Backend>,
    network: Network,
    simulated: bool,
    removed: CancellationToken,
    executions: Mutex<VecDeque<(String, Value)>>,
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    last_accessed: Timestamp,
    lifecycle: Lifecycle,
}

/// What a session runs in.
#[derive(Debug)]
pub(super) enum Backend {
    Container(Container),
    /// No processes, files in memory: executions are answered from templates.
    Simulated {
        files: Arc<MemoryVolume>,
        volume: Volume,
    },
}

/// The use of a session by one request: it does not expire meanwhile, and its cooldown starts anew at the end.
#[derive(Debug)]
pub(super) struct Lease {
    session: Arc<Session>,
    clock: crate::AppState,
}

/// What a lookup found out.
pub(super) enum Acquired {
    Known(Arc<Session>),
    New(Arc<Session>),
    /// As many sessions as the pool may have.
    Full,
}

/// The sessions of all pools, by [`Pool::instance`] and identifier.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<HashMap<Uuid, HashMap<String, Arc<Session>>>>);

impl Registry {
    /// The session of an identifier; a new one where there is none any more. What expired meanwhile goes to `gone`.
    pub(super) fn acquire(
        &self,
        pool: &Pool,
        identifier: &str,
        now: Timestamp,
        simulated: bool,
        gone: &mut Vec<Arc<Session>>,
    ) -> Acquired {
        let mut pools = self.lock();
        let sessions = pools.entry(pool.instance).or_default();
        if let Some(session) = sessions.get(identifier) {
            if !session.has_ended(now) {
                session.touch(now, pool.lifecycle);
                session.active.fetch_add(1, Ordering::SeqCst);
                return Acquired::Known(Arc::clone(session));
            }
            gone.extend(sessions.remove(identifier));
        }
        if sessions.len() >= pool.max_concurrent_sessions as usize {
            sessions.retain(|_, session| {
                let ended = session.has_ended(now);
                if ended {
                    gone.push(Arc::clone(session));
                }
                !ended
            });
        }
        if sessions.len() >= pool.max_concurrent_sessions as usize {
            return Acquired::Full;
        }
        let session = Arc::new(Session::new(pool, identifier, now, simulated));
        sessions.insert(identifier.to_owned(), Arc::clone(&session));
        Acquired::New(session)
    }

    /// The live session of an identifier, whose cooldown starts anew.
    pub(super) fn touch(&self, pool: &Pool, identifier: &str, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.lock().get(&pool.instance)?.get(identifier).cloned()?;
        if session.has_ended(now) {
            return None;
        }
        session.touch(now, pool.lifecycle);
        Some(session)
    }

    /// The live sessions of a pool, oldest first.
    pub(super) fn list(&self, pool: &Pool, now: Timestamp) -> Vec<Arc<Session>> {
        let pools = self.lock();
        let of_pool = pools.get(&pool.instance).into_iter().flat_map(HashMap::values);
        let mut sessions: Vec<_> = of_pool.filter(|session| !session.has_ended(now)).cloned().collect();
        sessions.sort_by(|a, b| (a.created, &a.identifier).cmp(&(b.created, &b.identifier)));
        sessions
    }

    /// Takes a session out, if it is still the one of its identifier.
    pub(super) fn remove(&self, instance: Uuid, session: &Session) -> bool {
        let mut pools = self.lock();
        let Some(sessions) = pools.get_mut(&instance) else {
            return false;
        };
        let is_current = sessions
            .get(&session.identifier)
            .is_some_and(|current| current.etag == session.etag);
        if is_current {
            sessions.remove(&session.identifier);
        }
        is_current
    }

    /// Takes out all sessions of a pool.
    pub(super) fn remove_pool(&self, instance: Uuid) -> Vec<Arc<Session>> {
        self.lock()
            .remove(&instance)
            .map(|sessions| sessions.into_values().collect())
            .unwrap_or_default()
    }

    /// Takes out everything.
    pub(super) fn clear(&self) -> Vec<Arc<Session>> {
        std::mem::take(&mut *self.lock())
            .into_values()
            .flat_map(HashMap::into_values)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, HashMap<String, Arc<Session>>>> {
        self.0.lock().expect("invariant: no holder of this lock panics")
    }
}

impl Session {
    fn new(pool: &Pool, identifier: &str, now: Timestamp, simulated: bool) -> Self {
        Self {
            identifier: identifier.to_owned(),
            etag: Uuid::new_v4(),
            created: now,
            usage: Mutex::new(Usage {
                last_accessed: now,
                lifecycle: pool.lifecycle,
            }),
            // The request that allocates it uses it.
            active: AtomicUsize::new(1),
            backend: OnceCell::new(),
            network: if pool.egress_enabled {
                Network::Egress
            } else {
                Network::Isolated
            },
            simulated,
            removed: CancellationToken::new(),
            executions: Mutex::default(),
        }
    }

    /// What it runs in; opened by the first who asks.
    pub(super) async fn backend(&self, host: &SessionHost) -> Result<&Backend, HostError> {
        let open = || async {
            if self.simulated {
                let files = Arc::new(MemoryVolume::default());
                return Ok(Backend::Simulated {
                    volume: Volume::Memory(Arc::clone(&files)),
                    files,
                });
            }
            host.open(self.etag, self.network).await.map(Backend::Container)
        };
        let backend = self.backend.get_or_try_init(open).await?;
        if self.removed.is_cancelled() {
            // It was deleted while it was being opened.
            self.close().await;
        }
        Ok(backend)
    }

    /// Ends it. It must have been taken out of the registry before.
    pub(super) async fn close(&self) {
        self.removed.cancel();
        if let Some(Backend::Container(container)) = self.backend.get()
            && let Err(error) = container.close().await
        {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot close a session");
        }
    }

    /// Cancelled when it is being closed.
    pub(super) fn removed(&self) -> &CancellationToken {
        &self.removed
    }

    /// When it was last used.
    pub(super) fn last_accessed(&self) -> Timestamp {
        self.usage().last_accessed
    }

    /// When it expires, unless it is used before.
    pub(super) fn expires(&self) -> Timestamp {
        let usage = self.usage();
        let (from, seconds) = match usage.lifecycle {
            Lifecycle::Timed { cooldown_seconds } => (usage.last_accessed, cooldown_seconds),
            Lifecycle::OnContainerExit { max_alive_seconds } => (self.created, max_alive_seconds),
        };
        from.saturating_add(SignedDuration::from_secs(seconds.into()))
            .unwrap_or(Timestamp::MAX)
    }

    /// Whether it is over by `now`. While a request uses it, it does not cool down.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        let is_dead = matches!(self.backend.get(), Some(Backend::Container(container)) if container.has_ended());
        let in_use =
            self.active.load(Ordering::SeqCst) > 0 && matches!(self.usage().lifecycle, Lifecycle::Timed { .. });
        is_dead || self.removed.is_cancelled() || (!in_use && self.expires() <= now)
    }

    /// Remembers an execution, or what has become of it.
    pub(super) fn remember_execution(&self, id: &str, body: Value) {
        let mut executions = self
            .executions
            .lock()
            .expect("invariant: no holder of this lock panics");
        if let Some((_, known)) = executions.iter_mut().find(|(known, _)| known == id) {
            *known = body;
            return;
        }
        if executions.len() == REMEMBERED_EXECUTIONS {
            executions.pop_front();
        }
        executions.push_back((id.to_owned(), body));
    }

    /// An execution that it remembers.
    pub(super) fn execution(&self, id: &str) -> Option<Value> {
        let executions = self
            .executions
            .lock()
            .expect("invariant: no holder of this lock panics");
        executions
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, body)| body.clone())
    }

    fn touch(&self, now: Timestamp, lifecycle: Lifecycle) {
        *self.usage.lock().expect("invariant: no holder of this lock panics") = Usage {
            last_accessed: now,
            lifecycle,
        };
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().expect("invariant: no holder of this lock panics")
    }
}

impl Lease {
    /// The use of a session that [`Registry::acquire`] returned.
    pub(super) fn new(session: Arc<Session>, state: crate::AppState) -> Self {
        Self { session, clock: state }
    }
}

impl std::ops::Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let lifecycle = self.session.usage().lifecycle;
        self.session.touch(self.clock.clock().now(), lifecycle);
        self.session.active.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Backend {
    /// The files below `/mnt/data`.
    pub(super) fn volume(&self) -> &Volume {
        match self {
            Self::Container(container) => container.volume(),
            Self::Simulated { volume, .. } => volume,
        }
    }
}
