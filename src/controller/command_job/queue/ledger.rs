//! The sessions of one pool: who has one, who waits, who is next. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::bill::{Bill, hours_begun};
use super::breaker::Breaker;
use super::kept::KeptSession;
use super::line::{Line, QueuePosition, QueuedJob, Rank, Wish};
use super::places::{Expected, Places};
use crate::controller::command_job::attempt::Tenancy;
use crate::runtime::Key;

/// From how many turns an estimate is made, at most.
const REMEMBERED_TURNS: usize = 64;

/// A job that wants a session of the pool.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// Names the object.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// The higher goes first.
    pub priority: i32,
    /// When the object was created.
    pub created: Timestamp,
    /// How many sessions its namespace may have at a time, if the pool's owner says.
    pub share: Option<u32>,
    /// Whose session it may have, if not only one of its own.
    pub wish: Option<Wish>,
    /// What its status says already of where it waits: an operator that is started anew does not tell everybody once more.
    pub told: Option<QueuePosition>,
}

#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) line: Line,
    share: Option<u32>,
    /// The number of its last turn.
    pub(super) served: u64,
}

/// The sessions of one pool.
#[derive(Debug, Default)]
pub struct Ledger {
    /// How many there may be; unknown where Azure did not say.
    capacity: Option<u32>,
    /// How many others have, as far as is known.
    foreign: u32,
    pub(super) places: Places,
    pub(super) tenants: HashMap<Arc<str>, Tenant>,
    /// The ranks of the jobs that wait, by uid.
    pub(super) ranks: HashMap<Arc<str>, (Arc<str>, Rank)>,
    /// Jobs whose turn it is and that have not come for it: the number of what they are given.
    turns: HashMap<String, u64>,
    are_wishes_held: bool,
    /// How many turns were given.
    served: u64,
    breaker: Breaker,
    bill: Bill,
    pub(super) recent: VecDeque<Timestamp>,
}

impl Ledger {
    /// How many sessions the pool may have at a time, as far as is known.
    pub fn set_capacity(&mut self, capacity: Option<u32>) {
        self.capacity = capacity.or(self.capacity);
    }

    /// How many sessions of the pool are not this operator's.
    pub fn set_foreign(&mut self, foreign: u32) {
        self.foreign = foreign;
    }

    /// What was billed before this process began.
    pub fn set_bill(&mut self, bill: Bill) {
        self.bill = bill;
    }

    /// A job wants a session: the number of what it is given, if it is its turn; and the other jobs that have one now.
    pub fn ask(&mut self, applicant: &Applicant, now: Timestamp) -> (Option<u64>, Vec<Key>) {
        if let Some(number) = self.turns.remove(&applicant.uid) {
            self.places.take(number);
            return (Some(number), Vec::new());
        }
        let Applicant { key, uid, .. } = applicant;
        let rank = Rank::new(applicant.priority, applicant.created, &key.name, uid);
        let mut since = (now, applicant.told.map(|it| (it, now)));
        if let Some((namespace, before)) = self.ranks.get(uid.as_str()).cloned()
            && before != rank
        {
            // Its priority was changed.
            let was = self.tenants.get_mut(&namespace).and_then(|it| it.line.remove(&before));
            since = was.map_or(since, |it| (it.since, it.told));
        }
        let namespace = self.tenants.get_key_value(key.namespace.as_str());
        let namespace = namespace.map_or_else(|| key.namespace.as_str().into(), |(it, _)| Arc::clone(it));
        self.ranks
            .insert(Arc::clone(rank.uid()), (Arc::clone(&namespace), rank.clone()));
        let tenant = self.tenants.entry(namespace).or_default();
        tenant.share = applicant.share;
        let (since, told) = since;
        tenant.line.add(QueuedJob {
            rank,
            since,
            wish: applicant.wish.clone(),
            told,
        });
        let mut woken = self.advance(now);
        let number = self.turns.remove(uid);
        if let Some(number) = number {
            self.places.take(number);
        }
        woken.retain(|it| number.is_none() || it != key);
        (number, woken)
    }

    /// A job is known to have a session, and will come to occupy it.
    pub fn expect(&mut self, uid: &str, job: Expected) {
        self.places.expect(uid, job);
    }

    /// Whether jobs that may have a session that was left have to wait, because it is not known yet which there are.
    pub fn hold_wishes(&mut self, are_held: bool) {
        self.are_wishes_held = are_held;
    }

    /// Somebody has a session, whatever there may be: one that was found, or that a job has had since before this process
    /// began.
    pub fn occupy(
        &mut self,
        namespace: &str,
        uid: &str,
        tenancy: Option<Tenancy>,
        since: Timestamp,
        now: Timestamp,
    ) -> u64 {
        self.places.expect_no_more(uid);
        let number = self.places.hold(namespace, tenancy);
        // The hours that were begun are on the bill that was found.
        self.places.allocate(number, since, hours_begun(since, now));
        number
    }

    /// What was given is a session now.
    pub fn on_allocated(&mut self, number: u64, now: Timestamp) {
        if self.places.allocate(number, now, 0) {
            self.breaker.on_success();
        }
    }

    /// The pool refused a session for what was given.
    pub fn on_refused(&mut self, asked_pause: Option<Duration>, now: Timestamp) {
        self.breaker.on_refusal(asked_pause, now);
    }

    /// The session that was left was gone, and another one was allocated in its place.
    pub fn on_replaced(&mut self, number: u64, now: Timestamp) {
        self.places.replace(number, now, &mut self.bill);
    }

    /// When a session was allocated.
    pub fn allocated(&self, number: u64) -> Option<Timestamp> {
        self.places.allocated(number)
    }

    /// A job has left its session for another one. False if nobody is to have it.
    pub fn keep(&mut self, number: u64, session: &KeptSession, now: Timestamp) -> bool {
        self.places.keep(number, session, now)
    }

    /// The sessions that are to end, each once. They hold their places until they are given back.
    pub fn take_retired(&mut self) -> Vec<u64> {
        self.places.take_retired()
    }

    /// What was given is not needed any more: its session ended, or there never was one.
    pub fn give_back(&mut self, number: u64, now: Timestamp) {
        if self.places.give_back(number, now, &mut self.bill) {
            self.breaker.on_return();
        }
    }

    /// A job does not want a session any more; whether the ledger knew of it.
    pub fn withdraw(&mut self, uid: &str, now: Timestamp) -> bool {
        let was_expected = self.places.expect_no_more(uid);
        let rank = self.ranks.remove(uid);
        if let Some((namespace, rank)) = &rank
            && let Some(tenant) = self.tenants.get_mut(namespace)
        {
            tenant.line.remove(rank);
        }
        let turn = self.turns.remove(uid);
        if let Some(number) = turn.filter(|it| !self.places.break_promise(*it)) {
            self.give_back(number, now);
        }
        was_expected || rank.is_some() || turn.is_some()
    }

    /// Gives turns as long as there are sessions, and returns the jobs that have one now.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Key> {
        self.places.retire_overdue(now);
        let mut woken = Vec::new();
        while let Some(turn) = self.next_turn(now) {
            let Turn {
                namespace,
                index,
                number,
            } = turn;
            let Some(waiting) = self.tenants.get_mut(&namespace).and_then(|it| it.line.take(index)) else {
                break;
            };
            let number = match number {
                Some(number) => {
                    self.places.promise(number, &namespace);
                    number
                }
                None => {
                    self.breaker.on_asked();
                    self.places.hold(&namespace, waiting.wish.map(|it| it.tenancy))
                }
            };
            self.ranks.remove(waiting.rank.uid());
            self.served += 1;
            if let Some(tenant) = self.tenants.get_mut(&namespace) {
                tenant.served = self.served;
            }
            self.turns.insert(waiting.rank.uid().to_string(), number);
            self.recent.push_back(now);
            self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED_TURNS));
            woken.push(Key::new(&*namespace, waiting.rank.name()));
        }
        woken
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let used = self.places.used() + self.foreign as usize;
        let is_free = self.capacity.is_none_or(|capacity| used < capacity as usize);
        is_free && self.breaker.allows(self.places.pending(), now)
    }

    /// Whose turn it is, and what it is given. Where there is no room for it, a session that is kept makes some; and whoever may
    /// have one of the others need not wait for that.
    fn next_turn(&mut self, now: Timestamp) -> Option<Turn> {
        let mut after = None;
        let mut is_first = true;
        loop {
            let (namespace, index) = self.whose_turn(after.as_ref())?;
            let tenant = self.tenants.get(&namespace)?;
            let order = (self.places.has(&namespace), tenant.served, namespace.clone());
            let wish = tenant.line.get(index).and_then(|it| it.wish.as_ref());
            let kept = wish.and_then(|it| self.places.kept_for(it));
            if kept.is_some() || (is_first && self.has_room(now)) {
                return Some(Turn {
                    namespace,
                    index,
                    number: kept,
                });
            }
            if self.places.kept() == 0 {
                return None;
            }
            if is_first {
                let most = self.waiting_for_room();
                self.places.make_room(most);
            }
            is_first = false;
            after = Some(order);
        }
    }

    /// The namespace that is next, or next after another one; and which of its jobs.
    fn whose_turn(&self, after: Option<&Order>) -> Option<(Arc<str>, usize)> {
        let waiting = self.tenants.iter().filter(|(_, it)| !it.line.is_empty());
        let order = |name: &Arc<str>, it: &Tenant| (self.places.has(name), it.served, name.clone());
        let later = waiting.filter(|(name, it)| after.is_none_or(|after| order(name, it) > *after));
        let able = later.filter_map(|(name, it)| Some((name, it, self.first_able(name, it)?)));
        let next = able.min_by_key(|(name, it, _)| (self.places.has(name), it.served, Arc::clone(name)));
        next.map(|(name, _, index)| (name.clone(), index))
    }

    /// The first job of a namespace that does not wait for another one to leave the session that both are to have. One that goes into
    /// a session that its namespace has needs no further one.
    fn first_able(&self, namespace: &str, tenant: &Tenant) -> Option<usize> {
        let is_at_share = self.is_at_share(namespace, tenant);
        let mut waiting = tenant.line.iter();
        waiting.position(|it| match &it.wish {
            Some(_) if self.are_wishes_held => false,
            Some(wish) if wish.is_exclusive() && is_at_share => self.places.kept_for(wish).is_some(),
            Some(wish) if wish.is_exclusive() => !self.places.is_busy(&wish.tenancy),
            Some(_) | None => !is_at_share,
        })
    }

    /// How many jobs wait that can have no session that is kept, as far as there are sessions.
    fn waiting_for_room(&self) -> usize {
        let tenants = self.tenants.iter().filter(|(name, it)| !self.is_at_share(name, it));
        let waiting = tenants.flat_map(|(_, it)| it.line.iter());
        let kept = |wish: &Wish| self.places.kept_for(wish).is_some();
        let waiting = waiting.filter(|it| !it.wish.as_ref().is_some_and(kept));
        waiting.take(self.places.used()).count()
    }

    pub(super) fn is_at_share(&self, namespace: &str, tenant: &Tenant) -> bool {
        tenant.share.is_some_and(|share| self.places.has(namespace) >= share)
    }

    /// The jobs that wait, of all namespaces.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, &QueuedJob)> {
        let lines = self.tenants.iter();
        lines.flat_map(|(namespace, it)| it.line.iter().map(move |waiting| (&**namespace, waiting)))
    }

    /// Notes what a job is told.
    pub fn tell(&mut self, uid: &str, told: QueuePosition, now: Timestamp) {
        if let Some((namespace, rank)) = self.ranks.get(uid)
            && let Some(tenant) = self.tenants.get_mut(namespace)
            && let Some(waiting) = tenant.line.get_mut(rank)
        {
            waiting.told = Some((told, now));
        }
    }

    /// When somebody who waits may have a turn, or a session is to end, although nothing changes.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = self.breaker.opens_at();
        let opens = opens.filter(|until| *until > now && !self.ranks.is_empty());
        self.places.next_overdue().into_iter().chain(opens).min()
    }

    /// Whether the pool refuses again and again.
    pub fn is_refusing(&self) -> bool {
        self.breaker.is_open()
    }

    /// How many sessions jobs have, or are about to ask for, or are being ended.
    pub fn in_use(&self) -> usize {
        self.places.in_use()
    }

    /// How many sessions wait for the next job that may have them.
    pub fn kept(&self) -> usize {
        self.places.kept()
    }

    /// How many jobs wait.
    pub fn queued(&self) -> usize {
        self.ranks.len()
    }

    /// How many sessions others have.
    pub fn foreign(&self) -> u32 {
        self.foreign
    }

    /// The hours that were begun of every session so far.
    pub fn bill(&self, now: Timestamp) -> Bill {
        let mut bill = self.bill.clone();
        self.places.add_to(&mut bill, now);
        bill
    }

    /// Whether nothing is known of the pool that is worth keeping.
    pub fn is_idle(&self) -> bool {
        self.places.is_empty() && self.ranks.is_empty()
    }
}

/// Where a namespace stands among the others.
type Order = (u32, u64, Arc<str>);

/// What is given next, and to whom.
struct Turn {
    namespace: Arc<str>,
    /// Which of the namespace's jobs.
    index: usize,
    /// The session that was left for it, if it does not get one of its own.
    number: Option<u64>,
}
