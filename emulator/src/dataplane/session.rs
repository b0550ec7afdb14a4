//! One session: what it runs in, when it is over, and what it remembers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::allocations::{Allocation, Ending};
use crate::clock::Clock;
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
    pool_id: String,
    usage: Mutex<Usage>,
    active: AtomicUsize,
    backend: OnceCell<(Backend, SignedDuration)>,
    network: Network,
    manner: Manner,
    removed: CancellationToken,
    started_executions: AtomicU64,
    executions: Mutex<VecDeque<(String, Value)>>,
}

/// How a session is allocated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether executions are answered from templates instead of being run.
    pub(super) simulated: bool,
    /// How long that takes at least, on the virtual clock.
    pub(super) duration: SignedDuration,
}

#[derive(Debug, Clone, Copy)]
struct Usage {
    last_accessed: Timestamp,
    lifecycle: Lifecycle,
}

/// What a session runs in.
#[derive(Debug)]
pub(super) enum Backend {
    Container(Box<Container>),
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
    is_new: bool,
    state: crate::AppState,
}

/// Custom containers have networks of their own, whatever the pool says: all of a pool listen on the same port.
fn network(pool: &Pool) -> Network {
    if pool.egress_enabled && !pool.is_custom() {
        Network::Egress
    } else {
        Network::Isolated
    }
}

impl Session {
    /// A session that nobody uses yet.
    pub(super) fn new(pool: &Pool, identifier: &str, now: Timestamp, manner: Manner) -> Self {
        Self {
            identifier: identifier.to_owned(),
            etag: Uuid::new_v4(),
            created: now,
            pool_id: pool.id.clone(),
            usage: Mutex::new(Usage {
                last_accessed: now,
                lifecycle: pool.lifecycle,
            }),
            active: AtomicUsize::new(0),
            backend: OnceCell::new(),
            network: network(pool),
            manner,
            removed: CancellationToken::new(),
            started_executions: AtomicU64::new(0),
            executions: Mutex::default(),
        }
    }

    /// What it runs in; allocated by the first who asks, while the others wait.
    pub(super) async fn backend(&self, host: &SessionHost, clock: &Clock) -> Result<&Backend, HostError> {
        let allocate = || async {
            let due = self
                .created
                .saturating_add(self.manner.duration)
                .unwrap_or(Timestamp::MAX);
            let (opened, ()) = tokio::join!(self.open(host), clock.sleep_until(due));
            opened.map(|backend| (backend, clock.now().duration_since(self.created)))
        };
        let (backend, _) = self.backend.get_or_try_init(allocate).await?;
        if self.removed.is_cancelled() {
            // It was deleted while it was being opened.
            self.close().await;
        }
        Ok(backend)
    }

    async fn open(&self, host: &SessionHost) -> Result<Backend, HostError> {
        if self.manner.simulated {
            let files = Arc::new(MemoryVolume::default());
            return Ok(Backend::Simulated {
                volume: Volume::Memory(Arc::clone(&files)),
                files,
            });
        }
        let container = host.open(self.etag, self.network).await?;
        Ok(Backend::Container(Box::new(container)))
    }

    /// How long its allocation took; zero until it is over.
    pub(super) fn allocation_time(&self) -> SignedDuration {
        self.backend.get().map(|(_, took)| *took).unwrap_or_default()
    }

    /// Ends it. It must have been taken out of the registry before.
    pub(super) async fn close(&self) {
        self.removed.cancel();
        if let Some((Backend::Container(container), _)) = self.backend.get()
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

    /// Why and when it ended by itself, if it has by `now`. While a request uses it, it does not cool down.
    pub(super) fn ended(&self, now: Timestamp) -> Option<(Ending, Timestamp)> {
        if matches!(self.backend.get(), Some((Backend::Container(container), _)) if container.has_ended()) {
            return Some((Ending::Crashed, now));
        }
        let expires = self.expires();
        if self.lives_until_exit()
            && matches!(self.backend.get(), Some((Backend::Container(container), _)) if container.service_has_ended())
        {
            return Some((Ending::ContainerExited, now.min(expires)));
        }
        if expires > now {
            return None;
        }
        match self.usage().lifecycle {
            Lifecycle::Timed { .. } if self.active.load(Ordering::SeqCst) > 0 => None,
            Lifecycle::Timed { .. } => Some((Ending::CooledDown, expires)),
            Lifecycle::OnContainerExit { .. } => Some((Ending::MaximumAge, expires)),
        }
    }

    /// Counts an execution that it is given.
    pub(super) fn count_execution(&self) {
        self.started_executions.fetch_add(1, Ordering::Relaxed);
    }

    /// What the journal says of it.
    pub(super) fn allocation(&self, ended: Option<(Ending, Timestamp)>) -> Allocation {
        Allocation {
            pool: self.pool_id.clone(),
            identifier: self.identifier.clone(),
            etag: self.etag,
            allocated_at: self.created,
            ended,
            executions: self.started_executions.load(Ordering::Relaxed),
        }
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

    /// Notes that it is accessed, by the pool's lifecycle of now.
    pub(super) fn touch(&self, now: Timestamp, lifecycle: Lifecycle) {
        *self.usage.lock().expect("invariant: no holder of this lock panics") = Usage {
            last_accessed: now,
            lifecycle,
        };
    }

    /// Notes that one more request uses it; a [`Lease`] takes that back.
    pub(super) fn enter(&self) {
        self.active.fetch_add(1, Ordering::SeqCst);
    }

    fn lives_until_exit(&self) -> bool {
        matches!(self.usage().lifecycle, Lifecycle::OnContainerExit { .. })
    }

    fn usage(&self) -> Usage {
        *self.usage.lock().expect("invariant: no holder of this lock panics")
    }
}

impl Lease {
    /// The use of a session that was entered; `is_new` where the request allocates it.
    pub(super) fn new(session: Arc<Session>, is_new: bool, state: crate::AppState) -> Self {
        Self { session, is_new, state }
    }

    /// Whether the request allocated the session.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
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
        self.session.touch(self.state.clock().now(), lifecycle);
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn session(lifecycle: Lifecycle) -> Session {
        let pool = Pool {
            id: "/pool".to_owned(),
            name: "pool".to_owned(),
            region: "westeurope".to_owned(),
            container_type: "Shell".to_owned(),
            max_concurrent_sessions: 1,
            lifecycle,
            egress_enabled: false,
            properties: Value::Null,
            instance: Uuid::nil(),
        };
        let manner = Manner {
            simulated: true,
            duration: SignedDuration::ZERO,
        };
        Session::new(&pool, "session", at(0), manner)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_timed_session_ends_when_it_has_not_been_used_for_its_cooldown() {
        let lifecycle = Lifecycle::Timed { cooldown_seconds: 300 };
        let session = session(lifecycle);
        session.touch(at(100), lifecycle);
        assert_eq!(session.ended(at(399)), None);
        assert_eq!(session.ended(at(1000)), Some((Ending::CooledDown, at(400))));
        session.enter();
        assert_eq!(session.ended(at(1000)), None, "a request uses it");
    }

    #[test]
    fn a_session_with_a_maximum_age_ends_then_however_much_it_is_used() {
        let lifecycle = Lifecycle::OnContainerExit { max_alive_seconds: 300 };
        let session = session(lifecycle);
        session.touch(at(299), lifecycle);
        session.enter();
        assert_eq!(session.ended(at(299)), None);
        assert_eq!(session.ended(at(1000)), Some((Ending::MaximumAge, at(300))));
    }
}
