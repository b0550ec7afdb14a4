//! The sessions of one pool: who has one, who waits, who is next. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bill::{Bill, hours_begun};
use super::breaker::Breaker;
use super::kept::KeptSession;
use super::line::{Line, QueuePosition, QueuedJob, Rank, WaitsFor, Wish};
use crate::controller::command_job::attempt::{KeptFor, Tenancy};
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
    /// Whose session it may have, if not only one of its own.
    pub wish: Option<Wish>,
    /// What its status says already of where it waits: an operator that is started anew does not tell everybody once more.
    pub told: Option<QueuePosition>,
}

/// A session that somebody has, or is to ask for, or that is kept.
#[derive(Debug)]
struct Held {
    namespace: String,
    /// Since when it is billed, and how much of that was billed before.
    allocated: Option<(Timestamp, u64)>,
    /// For whose commands it is kept, or will be.
    tenancy: Option<Tenancy>,
    use_: Use,
}

/// Who has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// A job, or one is to ask for it.
    Taken,
    /// Nobody: it is for the next job that may have it.
    Kept(Idle),
    /// A job is to have it, and has not come for it.
    Promised(Idle),
    /// Nobody, and it is being ended.
    Retired,
}

/// A session that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    until: Timestamp,
    /// How many jobs have had it.
    jobs: u32,
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
    /// How many nobody has.
    kept: usize,
    /// Those whose sessions are to end, as far as nobody was told so.
    to_retire: Vec<u64>,
    /// Jobs that have had a session since before this process began, and that it has not come to yet, with their namespaces.
    expected: HashMap<String, String>,
    next: u64,
    /// How many turns were given.
    served: u64,
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
            self.take(number);
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
            wish: applicant.wish.clone(),
            told,
        });
        let mut woken = self.advance(now);
        let number = self.turns.remove(uid);
        number.into_iter().for_each(|it| self.take(it));
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
    pub fn occupy(
        &mut self,
        namespace: &str,
        uid: &str,
        tenancy: Option<Tenancy>,
        since: Timestamp,
        now: Timestamp,
    ) -> u64 {
        self.expect_no_more(uid);
        let number = self.hold(namespace, tenancy);
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

    /// The session that was left was gone, and another one was allocated in its place.
    pub fn on_replaced(&mut self, number: u64, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&number)
            && let Some((since, billed)) = held.allocated.replace((now, 0))
        {
            let hours = hours_begun(since, now).saturating_sub(billed);
            self.bill.add(&held.namespace, hours);
        }
    }

    /// When a session was allocated.
    pub fn allocated(&self, number: u64) -> Option<Timestamp> {
        self.held.get(&number)?.allocated.map(|(since, _)| since)
    }

    /// A job has left its session for another one. False if nobody is to have it.
    pub fn keep(&mut self, number: u64, session: &KeptSession, now: Timestamp) -> bool {
        let Some(held) = self.held.get_mut(&number) else {
            return false;
        };
        let until = held.allocated.and_then(|(since, _)| session.until(since, now));
        let (Some(until), true) = (until, held.tenancy.is_some() && held.use_ == Use::Taken) else {
            return false;
        };
        let jobs = session.jobs;
        held.use_ = Use::Kept(Idle { until, jobs });
        self.kept += 1;
        if !held.is_exclusive() {
            let namespace = held.namespace.clone();
            self.had(&namespace);
        }
        true
    }

    /// The sessions that are to end, each once. They hold their places until they are given back.
    pub fn take_retired(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.to_retire)
    }

    fn retire(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.use_ = Use::Retired;
            self.kept -= 1;
            self.to_retire.push(number);
            if held.is_exclusive() {
                let namespace = held.namespace.clone();
                self.had(&namespace);
            }
        }
    }

    /// The job has come for the session that it was promised.
    fn take(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.use_ = Use::Taken;
        }
    }

    /// A session is not counted for a namespace any more.
    fn had(&mut self, namespace: &str) {
        if let Some(tenant) = self.tenants.get_mut(namespace) {
            tenant.has = tenant.has.saturating_sub(1);
        }
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
        match held.use_ {
            Use::Taken | Use::Promised(_) => self.had(&held.namespace),
            Use::Kept(_) => {
                self.kept -= 1;
                if held.is_exclusive() {
                    self.had(&held.namespace);
                }
            }
            Use::Retired => {}
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
            match self.held.get_mut(&number).map(|it| (it.use_, it)) {
                Some((Use::Promised(idle), held)) => {
                    held.use_ = Use::Kept(idle);
                    self.kept += 1;
                    let namespace = (!held.is_exclusive()).then(|| held.namespace.clone());
                    namespace.into_iter().for_each(|it| self.had(&it));
                }
                _ => self.give_back(number, now),
            }
        }
        was_expected || rank.is_some() || turn.is_some()
    }

    /// Gives turns as long as there are sessions, and returns the jobs that have one now.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Key> {
        self.retire_overdue(now);
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
                Some(number) => self.promise(number, &namespace),
                None => {
                    self.breaker.on_asked();
                    self.hold(&namespace, waiting.wish.map(|it| it.tenancy))
                }
            };
            let uid = waiting.rank.uid().to_owned();
            self.ranks.remove(&uid);
            self.served += 1;
            if let Some(tenant) = self.tenants.get_mut(&namespace) {
                tenant.served = self.served;
            }
            self.turns.insert(uid, number);
            self.recent.push_back(now);
            self.recent.drain(..self.recent.len().saturating_sub(REMEMBERED_TURNS));
            woken.push(waiting.key);
        }
        woken
    }

    fn hold(&mut self, namespace: &str, tenancy: Option<Tenancy>) -> u64 {
        self.next += 1;
        let held = Held {
            namespace: namespace.to_owned(),
            allocated: None,
            tenancy,
            use_: Use::Taken,
        };
        self.held.insert(self.next, held);
        self.pending += 1;
        self.tenants.entry(namespace.to_owned()).or_default().has += 1;
        self.next
    }

    /// A session that was left is for a job of this namespace, which is the one that left it, or not known yet.
    fn promise(&mut self, number: u64, namespace: &str) -> u64 {
        if let Some(held) = self.held.get_mut(&number)
            && let Use::Kept(idle) = held.use_
        {
            let is_counted = held.is_exclusive();
            held.use_ = Use::Promised(idle);
            let before = std::mem::replace(&mut held.namespace, namespace.to_owned());
            self.kept -= 1;
            if is_counted {
                self.had(&before);
            }
            self.tenants.entry(namespace.to_owned()).or_default().has += 1;
        }
        number
    }

    fn has_room(&self, now: Timestamp) -> bool {
        let used = self.held.len() + self.expected.len() + self.foreign as usize;
        let is_free = self.capacity.is_none_or(|capacity| used < capacity as usize);
        is_free && self.breaker.allows(self.pending, now)
    }

    /// Whose turn it is, and what it is given. Where there is no room for it, a session that is kept makes some; and whoever may
    /// have one of the others need not wait for that.
    fn next_turn(&mut self, now: Timestamp) -> Option<Turn> {
        let mut after = None;
        let mut is_first = true;
        loop {
            let (namespace, index) = self.whose_turn(after.as_ref())?;
            let tenant = self.tenants.get(&namespace)?;
            let order = (tenant.has, tenant.served, namespace.clone());
            let wish = tenant.line.get(index).and_then(|it| it.wish.as_ref());
            let kept = wish.filter(|_| self.kept > 0).and_then(|it| self.kept_for(it));
            if kept.is_some() || (is_first && self.has_room(now)) {
                return Some(Turn {
                    namespace,
                    index,
                    number: kept,
                });
            }
            if is_first {
                self.make_room();
            }
            if self.kept == 0 {
                return None;
            }
            is_first = false;
            after = Some(order);
        }
    }

    /// The namespace that is next, or next after another one; and which of its jobs.
    fn whose_turn(&self, after: Option<&Order>) -> Option<(String, usize)> {
        let waiting = self.tenants.iter().filter(|(_, it)| !it.line.is_empty());
        let order = |name: &String, it: &Tenant| (it.has, it.served, name.clone());
        let later = waiting.filter(|(name, it)| after.is_none_or(|after| order(name, it) > *after));
        let able = later.filter_map(|(name, it)| Some((name, it, self.first_able(it)?)));
        let next = able.min_by_key(|(name, it, _)| (it.has, it.served, *name));
        next.map(|(name, _, index)| (name.clone(), index))
    }

    /// The first job of a namespace that does not wait for another one to leave the session that both are to have. One that goes into
    /// a session that its namespace has needs no further one.
    fn first_able(&self, tenant: &Tenant) -> Option<usize> {
        let is_at_share = tenant.is_at_share();
        let mut waiting = tenant.line.iter();
        waiting.position(|it| match &it.wish {
            Some(wish) if wish.is_exclusive() && is_at_share => self.kept > 0 && self.kept_for(wish).is_some(),
            Some(wish) if wish.is_exclusive() => !self.is_busy(&wish.tenancy),
            Some(_) | None => !is_at_share,
        })
    }

    fn is_busy(&self, tenancy: &Tenancy) -> bool {
        let mut held = self.held.values().filter(|it| it.tenancy.as_ref() == Some(tenancy));
        held.any(|it| !matches!(it.use_, Use::Kept(_)))
    }

    /// A session that was left and that a job with this wish may have: of several the one that was used the most, so that the others
    /// can end.
    fn kept_for(&self, wish: &Wish) -> Option<u64> {
        let fitting = self.held.iter().filter_map(|(number, held)| match held.use_ {
            Use::Kept(idle) if held.tenancy.as_ref() == Some(&wish.tenancy) => Some((*number, idle)),
            _ => None,
        });
        let fitting = fitting.filter(|(_, it)| wish.most_jobs.is_none_or(|most| it.jobs < most));
        fitting.max_by_key(|(number, it)| (it.jobs, *number)).map(|it| it.0)
    }

    /// Ends a session that is kept for any command, unless as many are being ended as there is somebody waiting for.
    fn make_room(&mut self) {
        let retired = self.held.values().filter(|it| it.use_ == Use::Retired).count();
        if self.kept == 0 || retired >= self.waiting_for_room() {
            return;
        }
        let kept = self.held.iter().filter_map(|(number, held)| match held.use_ {
            Use::Kept(idle) if !held.is_exclusive() => Some((idle.until, *number)),
            _ => None,
        });
        if let Some((_, number)) = kept.min() {
            self.retire(number);
        }
    }

    /// How many jobs wait that can have no session that is kept.
    fn waiting_for_room(&self) -> usize {
        let waiting = self.tenants.values().filter(|it| !it.is_at_share());
        let waiting = waiting.flat_map(|it| it.line.iter());
        let kept = |wish: &Wish| self.kept_for(wish).is_some();
        waiting
            .filter(|it| !it.wish.as_ref().is_some_and(kept))
            .take(self.kept)
            .count()
    }

    fn retire_overdue(&mut self, now: Timestamp) {
        if self.kept == 0 {
            return;
        }
        let overdue = self
            .held
            .iter()
            .filter(|(_, it)| it.kept_until().is_some_and(|until| until <= now));
        for number in overdue.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.retire(number);
        }
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
        let wish = own.and_then(|it| it.line.get(index)?.wish.as_ref());
        let waits_for = if wish.is_some_and(|it| it.is_exclusive() && self.is_busy(&it.tenancy)) {
            WaitsFor::Session
        } else if own.is_some_and(Tenant::is_at_share) {
            WaitsFor::Share
        } else {
            WaitsFor::Place
        };
        QueuePosition {
            position,
            of: u32::try_from(self.ranks.len()).unwrap_or(u32::MAX).max(position),
            estimate: self.estimate(position, now),
            waits_for,
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

    /// When somebody who waits may have a turn, or a session is to end, although nothing changes.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = self.breaker.opens_at();
        let opens = opens.filter(|until| *until > now && !self.ranks.is_empty());
        let kept = self.held.values().filter(|_| self.kept > 0);
        kept.filter_map(Held::kept_until).chain(opens).min()
    }

    /// Whether the pool refuses again and again.
    pub fn is_refusing(&self) -> bool {
        self.breaker.is_open()
    }

    /// How many sessions jobs have, or are about to ask for, or are being ended.
    pub fn in_use(&self) -> usize {
        self.held.len() - self.kept
    }

    /// How many sessions wait for the next job that may have them.
    pub fn kept(&self) -> usize {
        self.kept
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

/// Where a namespace stands among the others.
type Order = (u32, u64, String);

/// What is given next, and to whom.
struct Turn {
    namespace: String,
    /// Which of the namespace's jobs.
    index: usize,
    /// The session that was left for it, if it does not get one of its own.
    number: Option<u64>,
}

impl Held {
    /// Whether there is to be one session of its tenancy. Then its files are wanted, so that it keeps its place.
    fn is_exclusive(&self) -> bool {
        let kept_for = self.tenancy.as_ref().map(|it| it.kept_for);
        kept_for == Some(KeptFor::OneKey)
    }

    fn kept_until(&self) -> Option<Timestamp> {
        match self.use_ {
            Use::Kept(idle) => Some(idle.until),
            Use::Taken | Use::Promised(_) | Use::Retired => None,
        }
    }
}

impl Tenant {
    fn is_at_share(&self) -> bool {
        self.share.is_some_and(|share| self.has >= share)
    }
}
