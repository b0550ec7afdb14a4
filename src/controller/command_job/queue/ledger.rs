//! The sessions of one pool: who has one, who waits, who is next. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bill::{Bill, hours_begun};
use super::breaker::Breaker;
use super::line::{Line, QueuePosition, QueuedJob, Rank};
use crate::runtime::Key;

/// From how many turns an estimate is made, at most.
const REMEMBERED_TURNS: usize = 64;

/// And at least.
const TURNS_FOR_AN_ESTIMATE: usize = 5;

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
    /// What its status says already of where it waits: an operator that is started anew does not tell everybody once more.
    pub told: Option<QueuePosition>,
}

/// A session that somebody has, or is to ask for.
#[derive(Debug)]
struct Held {
    namespace: String,
    /// Since when it is billed, and how much of that was billed before.
    allocated: Option<(Timestamp, u64)>,
}

#[derive(Debug, Default)]
struct Tenant {
    line: Line,
    /// Sessions that it has, and turns that it was given.
    has: u32,
    share: Option<u32>,
    /// The number of its last turn.
    served: u64,
}

/// The sessions of one pool.
#[derive(Debug, Default)]
pub struct Ledger {
    /// How many there may be; unknown where Azure did not say.
    capacity: Option<u32>,
    /// How many others have, as far as is known.
    foreign: u32,
    tenants: HashMap<String, Tenant>,
    /// The ranks of the jobs that wait, by uid.
    ranks: HashMap<String, (String, Rank)>,
    /// Jobs whose turn it is and that have not come for it: the number of what they are given.
    turns: HashMap<String, u64>,
    held: BTreeMap<u64, Held>,
    /// How many of these have no session yet.
    pending: u32,
    /// Jobs that have had a session since before this process began, and that it has not come to yet, with their namespaces.
    expected: HashMap<String, String>,
    next: u64,
    breaker: Breaker,
    bill: Bill,
    recent: VecDeque<Timestamp>,
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
            return (Some(number), Vec::new());
        }
        let Applicant { key, uid, .. } = applicant;
        let rank = Rank::new(applicant.priority, applicant.created, &key.name, uid);
        let mut since = (now, applicant.told.map(|it| (it, now)));
        if let Some((namespace, before)) = self.ranks.get(uid).cloned()
            && before != rank
        {
            // Its priority was changed.
            let was = self.tenants.get_mut(&namespace).and_then(|it| it.line.remove(&before));
            since = was.map_or(since, |it| (it.since, it.told));
        }
        self.ranks.insert(uid.clone(), (key.namespace.clone(), rank.clone()));
        let tenant = self.tenants.entry(key.namespace.clone()).or_default();
        tenant.share = applicant.share;
        let (since, told) = since;
        tenant.line.add(QueuedJob {
            rank,
            key: key.clone(),
            since,
            told,
        });
        let mut woken = self.advance(now);
        let number = self.turns.remove(uid);
        woken.retain(|it| number.is_none() || it != key);
        (number, woken)
    }

    /// A job is known to have a session, and will come to occupy it.
    pub fn expect(&mut self, namespace: &str, uid: &str) {
        if self.expected.insert(uid.to_owned(), namespace.to_owned()).is_none() {
            self.tenants.entry(namespace.to_owned()).or_default().has += 1;
        }
    }

    fn expect_no_more(&mut self, uid: &str) -> bool {
        let Some(namespace) = self.expected.remove(uid) else {
            return false;
        };
        if let Some(tenant) = self.tenants.get_mut(&namespace) {
            tenant.has = tenant.has.saturating_sub(1);
        }
        true
    }

    /// Somebody has a session, whatever there may be: one that was found, or that a job has had since before this process
    /// began.
    pub fn occupy(&mut self, namespace: &str, uid: &str, since: Timestamp, now: Timestamp) -> u64 {
        self.expect_no_more(uid);
        let number = self.hold(namespace);
        self.pending -= 1;
        if let Some(held) = self.held.get_mut(&number) {
            // The hours that were begun are on the bill that was found.
            held.allocated = Some((since, hours_begun(since, now)));
        }
        number
    }

    /// What was given is a session now.
    pub fn on_allocated(&mut self, number: u64, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&number)
            && held.allocated.is_none()
        {
            held.allocated = Some((now, 0));
            self.pending -= 1;
            self.breaker.on_success();
        }
    }

    /// The pool refused a session for what was given.
    pub fn on_refused(&mut self, asked_pause: Option<Duration>, now: Timestamp) {
        self.breaker.on_refusal(asked_pause, now);
    }

    /// What was given is not needed any more: its session ended, or there never was one.
    pub fn give_back(&mut self, number: u64, now: Timestamp) {
        let Some(held) = self.held.remove(&number) else {
            return;
        };
        match held.allocated {
            Some((since, billed)) => {
                let hours = hours_begun(since, now).saturating_sub(billed);
                self.bill.add(&held.namespace, hours);
                self.breaker.on_return();
            }
            None => self.pending -= 1,
        }
        if let Some(tenant) = self.tenants.get_mut(&held.namespace) {
            tenant.has = tenant.has.saturating_sub(1);
        }
    }

    /// A job does not want a session any more; whether the ledger knew of it.
    pub fn withdraw(&mut self, uid: &str, now: Timestamp) -> bool {
        let was_expected = self.expect_no_more(uid);
        let rank = self.ranks.remove(uid);
        if let Some((namespace, rank)) = &rank
            && let Some(tenant) = self.tenants.get_mut(namespace)
        {
            tenant.line.remove(rank);
        }
        let turn = self.turns.remove(uid);
        if let Some(number) = turn {
            self.give_back(number, now);
        }
        was_expected || rank.is_some() || turn.is_some()
    }

    /// Gives turns as long as there are sessions, and returns the jobs that have one now.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Key> {
        let mut woken = Vec::new();
        while self.has_room(now)
            && let Some(namespace) = self.whose_turn()
            && let Some(waiting) = self.tenants.get_mut(&namespace).and_then(|it| it.line.pop())
        {
            let uid = waiting.rank.uid().to_owned();
            self.ranks.remove(&uid);
            let number = self.hold(&namespace);
            self.breaker.on_asked();
            if let Some(tenant) = self.tenants.get_mut(&namespace) {
                tenant.served = number;
            }
            self.turns.insert(uid, number);
            self.recent.push_back(now);
            self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED_TURNS));
            woken.push(waiting.key);
        }
        woken
    }

    fn hold(&mut self, namespace: &str) -> u64 {
        self.next += 1;
        let held = Held {
            namespace: namespace.to_owned(),
            allocated: None,
        };
        self.held.insert(self.next, held);
        self.pending += 1;
        self.tenants.entry(namespace.to_owned()).or_default().has += 1;
        self.next
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let used = self.held.len() + self.expected.len() + self.foreign as usize;
        let is_free = self.capacity.is_none_or(|capacity| used < capacity as usize);
        is_free && self.breaker.allows(self.pending, now)
    }

    fn whose_turn(&self) -> Option<String> {
        let waiting = self
            .tenants
            .iter()
            .filter(|(_, it)| !it.line.is_empty() && !it.is_at_share());
        let next = waiting.min_by_key(|(name, it)| (it.has, it.served, *name));
        next.map(|(name, _)| name.clone())
    }

    /// What a job is told of where it waits; `None` as long as that is not worth a write.
    pub fn told(&self, uid: &str) -> Option<QueuePosition> {
        let (namespace, rank) = self.ranks.get(uid)?;
        let line = &self.tenants.get(namespace)?.line;
        line.get(line.index(rank))?.told.map(|(told, _)| told)
    }

    /// What there is to tell a job of its position, from 1: how many turns it is away if nobody else comes.
    pub fn position(&self, namespace: &str, rank: &Rank, now: Timestamp) -> QueuePosition {
        let own = self.tenants.get(namespace);
        let index = own.map_or(0, |it| it.line.index(rank));
        let has = own.map_or(0, |it| it.has);
        let level = has as usize + index;
        let order = own.map(|it| (it.served, namespace));
        let others = self.tenants.iter().filter(|(name, _)| *name != namespace);
        let before: usize = others
            .map(|(name, other)| {
                // As many of theirs come before as bring them to where this one then is; and one more where they came there
                // first.
                let is_first = match other.has.cmp(&has) {
                    Ordering::Less => false,
                    Ordering::Equal => Some((other.served, name.as_str())) < order,
                    Ordering::Greater => true,
                };
                let room = (level + usize::from(is_first)).saturating_sub(other.has as usize);
                other.line.len().min(room)
            })
            .sum();
        let position = u32::try_from(index + before + 1).unwrap_or(u32::MAX);
        QueuePosition {
            position,
            of: u32::try_from(self.ranks.len()).unwrap_or(u32::MAX).max(position),
            estimate: self.estimate(position, now),
            is_at_share: own.is_some_and(Tenant::is_at_share),
        }
    }

    /// When a position's turn comes if turns come as often as lately.
    fn estimate(&self, position: u32, now: Timestamp) -> Option<Timestamp> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        if self.recent.len() < TURNS_FOR_AN_ESTIMATE {
            return None;
        }
        let turns = i32::try_from(self.recent.len() - 1).ok()?;
        // That nothing has come for a while counts as well.
        let each = (last.duration_since(*first) / turns).max(now.duration_since(*last) / 2);
        let wait = each.checked_mul(i32::try_from(position).ok()?)?;
        let expected = now.checked_add(wait.max(SignedDuration::ZERO)).ok()?;
        Timestamp::from_second(expected.as_second()).ok()
    }

    /// The jobs that wait, of all namespaces.
    pub fn waiting(&self) -> impl Iterator<Item = (&str, &QueuedJob)> {
        let lines = self.tenants.iter();
        lines.flat_map(|(namespace, it)| it.line.iter().map(move |waiting| (namespace.as_str(), waiting)))
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

    /// When somebody who waits may have a turn although nothing changes.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.breaker
            .opens_at()
            .filter(|until| *until > now && !self.ranks.is_empty())
    }

    /// Whether the pool refuses again and again.
    pub fn is_refusing(&self) -> bool {
        self.breaker.is_open()
    }

    /// How many sessions jobs have, or are about to ask for.
    pub fn in_use(&self) -> usize {
        self.held.len()
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
        for held in self.held.values() {
            if let Some((since, billed)) = held.allocated {
                bill.add(&held.namespace, hours_begun(since, now).saturating_sub(billed));
            }
        }
        bill
    }

    /// Whether nothing is known of the pool that is worth keeping.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.ranks.is_empty()
    }
}

impl Tenant {
    fn is_at_share(&self) -> bool {
        self.share.is_some_and(|share| self.has >= share)
    }
}
