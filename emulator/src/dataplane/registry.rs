//! Which sessions there are, and how many there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::allocations::{Allocations, Ending};
use super::session::{Manner, Session};
use crate::clock::Clock;
use crate::store::Pool;

/// What a lookup found out.
pub(super) enum Acquired {
    Known(Arc<Session>),
    New(Arc<Session>),
    /// As many sessions as the pool may have.
    Full,
}

/// Which places of a pool are taken, besides those of its sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occupancy {
    /// Places of sessions that no list shows.
    pub(super) unlisted: usize,
    /// How long the place of a session that ended stays taken.
    pub(super) release: SignedDuration,
}

/// The sessions of all pools, by [`Pool::instance`] and identifier.
///
/// It reads the clock itself, under its lock, so that a session that takes the place of another never begins before the
/// other's end. Sessions that it hands back are no longer in it and are still to be closed.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    pools: HashMap<Uuid, Places>,
    journal: Allocations,
}

#[derive(Debug, Default)]
struct Places {
    sessions: HashMap<String, Arc<Session>>,
    /// When sessions ended whose places may still be taken.
    ends: Vec<Timestamp>,
}

impl Registry {
    /// The session of an identifier, entered; a new one where there is none any more. What ended meanwhile goes to `gone`.
    pub(super) fn acquire(
        &self,
        pool: &Pool,
        identifier: &str,
        clock: &Clock,
        manner: Manner,
        occupancy: Occupancy,
        gone: &mut Vec<Arc<Session>>,
    ) -> Acquired {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let now = clock.now();
        let places = pools.entry(pool.instance).or_default();
        if let Some(session) = places.sessions.get(identifier) {
            match session.ended(now) {
                None => {
                    session.touch(now, pool.lifecycle);
                    session.enter();
                    return Acquired::Known(Arc::clone(session));
                }
                Some((ending, at)) => gone.extend(places.end(identifier, ending, at, journal)),
            }
        }
        let free = |places: &mut Places| places.taken(occupancy, now) < pool.max_concurrent_sessions as usize;
        if !free(places) {
            places.sweep(now, journal, gone);
        }
        if !free(places) {
            journal.refuse(&pool.id);
            return Acquired::Full;
        }
        let session = Arc::new(Session::new(pool, identifier, now, manner));
        session.enter();
        places.sessions.insert(identifier.to_owned(), Arc::clone(&session));
        Acquired::New(session)
    }

    /// The live session of an identifier, whose cooldown starts anew.
    pub(super) fn touch(&self, pool: &Pool, identifier: &str, clock: &Clock) -> Option<Arc<Session>> {
        let contents = self.lock();
        let session = contents.pools.get(&pool.instance)?.sessions.get(identifier)?;
        let now = clock.now();
        if session.ended(now).is_some() {
            return None;
        }
        session.touch(now, pool.lifecycle);
        Some(Arc::clone(session))
    }

    /// The live sessions of a pool, oldest first.
    pub(super) fn list(&self, pool: &Pool, clock: &Clock) -> Vec<Arc<Session>> {
        let contents = self.lock();
        let now = clock.now();
        let of_pool = contents.pools.get(&pool.instance).into_iter();
        let mut sessions: Vec<_> = of_pool
            .flat_map(|places| places.sessions.values())
            .filter(|session| session.ended(now).is_none())
            .cloned()
            .collect();
        sessions.sort_by(|a, b| (a.created, &a.identifier).cmp(&(b.created, &b.identifier)));
        sessions
    }

    /// Ends the live session of an identifier.
    pub(super) fn end(&self, instance: Uuid, identifier: &str, ending: Ending, clock: &Clock) -> Option<Arc<Session>> {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let places = pools.get_mut(&instance)?;
        let now = clock.now();
        // One that is over by itself is left to whoever waits for that.
        places.sessions.get(identifier).filter(|it| it.ended(now).is_none())?;
        places.end(identifier, ending, now, journal)
    }

    /// Ends this very session because it never came up.
    pub(super) fn end_unopened(&self, instance: Uuid, session: &Session, clock: &Clock) {
        self.end_if(instance, session, || Some((Ending::NeverStarted, clock.now())));
    }

    /// Ends this very session if its time has come; whether it did.
    pub(super) fn end_if_over(&self, instance: Uuid, session: &Session, clock: &Clock) -> bool {
        self.end_if(instance, session, || session.ended(clock.now()))
    }

    /// Puts a fresh session in the place of a live one; the old one and the new one.
    pub(super) fn replace(
        &self,
        pool: &Pool,
        identifier: &str,
        clock: &Clock,
        manner: Manner,
    ) -> Option<(Arc<Session>, Arc<Session>)> {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let places = pools.get_mut(&pool.instance)?;
        let now = clock.now();
        places.sessions.get(identifier).filter(|it| it.ended(now).is_none())?;
        let old = places.end(identifier, Ending::Replaced, now, journal)?;
        // Its place goes to the new one at once.
        places.ends.pop();
        let new = Arc::new(Session::new(pool, identifier, now, manner));
        places.sessions.insert(identifier.to_owned(), Arc::clone(&new));
        Some((old, new))
    }

    /// Ends all sessions of a pool that is no more.
    pub(super) fn end_pool(&self, instance: Uuid, clock: &Clock) -> Vec<Arc<Session>> {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let now = clock.now();
        let places = pools.remove(&instance).unwrap_or_default();
        for session in places.sessions.values() {
            let ended = session.ended(now).unwrap_or((Ending::PoolDeleted, now));
            journal.end(session.allocation(Some(ended)));
        }
        places.sessions.into_values().collect()
    }

    /// Takes out everything.
    pub(super) fn clear(&self) -> Vec<Arc<Session>> {
        let pools = std::mem::take(&mut self.lock().pools);
        pools.into_values().flat_map(|it| it.sessions.into_values()).collect()
    }

    /// The journal of the pools that are meant. What ended meanwhile goes to `gone`.
    pub(super) fn report(&self, clock: &Clock, is_meant: impl Fn(&str) -> bool, gone: &mut Vec<Arc<Session>>) -> Value {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let now = clock.now();
        for places in pools.values_mut() {
            places.sweep(now, journal, gone);
        }
        let live = pools.values().flat_map(|places| places.sessions.values());
        let live = live.map(|session| session.allocation(None)).collect();
        journal.report(live, now, is_meant)
    }

    /// Forgets the sessions that have ended, and the refusals.
    pub(super) fn clear_journal(&self) {
        self.lock().journal = Allocations::default();
    }

    fn end_if(&self, instance: Uuid, session: &Session, ended: impl FnOnce() -> Option<(Ending, Timestamp)>) -> bool {
        let mut contents = self.lock();
        let Contents { pools, journal } = &mut *contents;
        let Some(places) = pools.get_mut(&instance) else {
            return false;
        };
        let current = places.sessions.get(&session.identifier);
        if current.is_none_or(|current| current.etag != session.etag) {
            return false;
        }
        let Some((ending, at)) = ended() else { return false };
        places.end(&session.identifier, ending, at, journal).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("invariant: no holder of this lock panics")
    }
}

impl Places {
    /// How many places are taken.
    fn taken(&mut self, occupancy: Occupancy, now: Timestamp) -> usize {
        self.ends.retain(|end| now.duration_since(*end) < occupancy.release);
        self.sessions.len() + self.ends.len() + occupancy.unlisted
    }

    /// Takes a session out.
    fn end(
        &mut self,
        identifier: &str,
        ending: Ending,
        at: Timestamp,
        journal: &mut Allocations,
    ) -> Option<Arc<Session>> {
        let session = self.sessions.remove(identifier)?;
        journal.end(session.allocation(Some((ending, at))));
        self.ends.push(at);
        Some(session)
    }

    /// Takes out what is over by itself.
    fn sweep(&mut self, now: Timestamp, journal: &mut Allocations, gone: &mut Vec<Arc<Session>>) {
        let over: Vec<_> = self
            .sessions
            .values()
            .filter_map(|session| Some((session.identifier.clone(), session.ended(now)?)))
            .collect();
        for (identifier, (ending, at)) in over {
            gone.extend(self.end(&identifier, ending, at, journal));
        }
    }
}
