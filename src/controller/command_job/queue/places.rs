//! The places of one pool: who has which session. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::bill::{Bill, hours_begun};
use super::kept::KeptSession;
use super::line::Wish;
use crate::controller::command_job::attempt::{KeptFor, Tenancy};

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

/// A job that has had a session since before this process began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its namespace.
    pub namespace: String,
    /// For whose commands the session is kept, if it is.
    pub tenancy: Option<Tenancy>,
}

/// Who has which session.
#[derive(Debug, Default)]
pub struct Places {
    held: BTreeMap<u64, Held>,
    /// How many of them have no session yet.
    pending: u32,
    /// How many nobody has.
    kept: usize,
    /// Those whose sessions are to end, as far as nobody was told so.
    to_retire: Vec<u64>,
    /// Jobs that have had a session since before this process began, and that it has not come to yet.
    expected: HashMap<String, Expected>,
    /// How many sessions the jobs of each namespace have, or are to get. One that is kept for any command is nobody's; one that is
    /// kept for its files is still that of those who want them.
    has: HashMap<String, u32>,
    next: u64,
}

impl Places {
    /// How many places are taken.
    pub fn used(&self) -> usize {
        self.held.len() + self.expected.len()
    }

    /// How many sessions jobs have, or are about to ask for, or are being ended.
    pub fn in_use(&self) -> usize {
        self.held.len() - self.kept
    }

    /// How many sessions wait for the next job that may have them.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// How many were given to jobs that have no session by them yet.
    pub fn pending(&self) -> u32 {
        self.pending
    }

    /// How many a namespace has.
    pub fn has(&self, namespace: &str) -> u32 {
        self.has.get(namespace).copied().unwrap_or(0)
    }

    /// Whether nothing is known that is worth keeping.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn gets(&mut self, namespace: &str) {
        *self.has.entry(namespace.to_owned()).or_default() += 1;
    }

    fn had(&mut self, namespace: &str) {
        if let Some(has) = self.has.get_mut(namespace) {
            *has = has.saturating_sub(1);
            if *has == 0 {
                self.has.remove(namespace);
            }
        }
    }

    /// A job is known to have a session, and will come to hold it.
    pub fn expect(&mut self, uid: &str, job: Expected) {
        let namespace = job.namespace.clone();
        if self.expected.insert(uid.to_owned(), job).is_none() {
            self.gets(&namespace);
        }
    }

    /// The job came, or never will; whether it was expected.
    pub fn expect_no_more(&mut self, uid: &str) -> bool {
        let job = self.expected.remove(uid);
        if let Some(job) = &job {
            self.had(&job.namespace);
        }
        job.is_some()
    }

    /// A place for a job of a namespace: its number.
    pub fn hold(&mut self, namespace: &str, tenancy: Option<Tenancy>) -> u64 {
        self.next += 1;
        let held = Held {
            namespace: namespace.to_owned(),
            allocated: None,
            tenancy,
            use_: Use::Taken,
        };
        self.held.insert(self.next, held);
        self.pending += 1;
        self.gets(namespace);
        self.next
    }

    /// There is a session in this place, since then, and so many hours of it were billed before. False if there was one already.
    pub fn allocate(&mut self, number: u64, since: Timestamp, billed: u64) -> bool {
        match self.held.get_mut(&number) {
            Some(held) if held.allocated.is_none() => {
                held.allocated = Some((since, billed));
                self.pending -= 1;
                true
            }
            _ => false,
        }
    }

    /// When the session was allocated.
    pub fn allocated(&self, number: u64) -> Option<Timestamp> {
        self.held.get(&number)?.allocated.map(|(since, _)| since)
    }

    /// The session was gone, and another one is in its place: the hours of the one that was go on the bill.
    pub fn replace(&mut self, number: u64, now: Timestamp, bill: &mut Bill) {
        if let Some(held) = self.held.get_mut(&number) {
            held.add_to(bill, now);
            held.allocated = Some((now, 0));
        }
    }

    /// The session is for another job. False if nobody is to have it.
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
        let namespace = (!held.is_exclusive()).then(|| held.namespace.clone());
        if let Some(namespace) = namespace {
            self.had(&namespace);
        }
        true
    }

    /// A job of this namespace is to have a session that was left: by one of the same, or nobody knows by whom.
    pub fn promise(&mut self, number: u64, namespace: &str) {
        if let Some(held) = self.held.get_mut(&number)
            && let Use::Kept(idle) = held.use_
        {
            held.use_ = Use::Promised(idle);
            let before = std::mem::replace(&mut held.namespace, namespace.to_owned());
            let was_counted = held.is_exclusive();
            self.kept -= 1;
            if was_counted {
                self.had(&before);
            }
            self.gets(namespace);
        }
    }

    /// The job has come for what it was promised.
    pub fn take(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.use_ = Use::Taken;
        }
    }

    /// The job does not come for what it was promised; whether it was promised a session that is kept.
    pub fn break_promise(&mut self, number: u64) -> bool {
        let Some(held) = self.held.get_mut(&number) else {
            return false;
        };
        let Use::Promised(idle) = held.use_ else { return false };
        held.use_ = Use::Kept(idle);
        self.kept += 1;
        let namespace = (!held.is_exclusive()).then(|| held.namespace.clone());
        if let Some(namespace) = namespace {
            self.had(&namespace);
        }
        true
    }

    /// The place is free. Whether there was a session in it; its hours go on the bill.
    pub fn give_back(&mut self, number: u64, now: Timestamp, bill: &mut Bill) -> bool {
        let Some(held) = self.held.remove(&number) else {
            return false;
        };
        held.add_to(bill, now);
        if held.allocated.is_none() {
            self.pending -= 1;
        }
        let is_counted = match held.use_ {
            Use::Taken | Use::Promised(_) => true,
            Use::Kept(_) => held.is_exclusive(),
            Use::Retired => false,
        };
        self.kept -= usize::from(matches!(held.use_, Use::Kept(_)));
        if is_counted {
            self.had(&held.namespace);
        }
        held.allocated.is_some()
    }

    /// Adds the hours of all sessions to a bill.
    pub fn add_to(&self, bill: &mut Bill, now: Timestamp) {
        self.held.values().for_each(|it| it.add_to(bill, now));
    }

    /// The sessions that are to end, each once. They hold their places until they are given back.
    pub fn take_retired(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.to_retire)
    }

    fn retire(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.use_ = Use::Retired;
            let namespace = held.is_exclusive().then(|| held.namespace.clone());
            self.kept -= 1;
            self.to_retire.push(number);
            if let Some(namespace) = namespace {
                self.had(&namespace);
            }
        }
    }

    /// Ends what has been kept for long enough.
    pub fn retire_overdue(&mut self, now: Timestamp) {
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

    /// Ends a session that is kept for any command, the one that is kept the shortest, unless `most` are being ended.
    pub fn make_room(&mut self, most: usize) {
        let retired = self.held.values().filter(|it| it.use_ == Use::Retired).count();
        if retired >= most {
            return;
        }
        let kept = self.held.iter().filter(|(_, it)| !it.is_exclusive());
        let kept = kept.filter_map(|(number, it)| Some((it.kept_until()?, *number)));
        if let Some((_, number)) = kept.min() {
            self.retire(number);
        }
    }

    /// When the next one has been kept for long enough.
    pub fn next_overdue(&self) -> Option<Timestamp> {
        let kept = self.held.values().filter(|_| self.kept > 0);
        kept.filter_map(Held::kept_until).min()
    }

    /// A session that was left and that a job with this wish may have: of several the one that was used the most, so that the others
    /// can end.
    pub fn kept_for(&self, wish: &Wish) -> Option<u64> {
        if self.kept == 0 {
            return None;
        }
        let fitting = self.held.iter().filter_map(|(number, held)| match held.use_ {
            Use::Kept(idle) if held.tenancy.as_ref() == Some(&wish.tenancy) => Some((*number, idle)),
            _ => None,
        });
        let fitting = fitting.filter(|(_, it)| wish.most_jobs.is_none_or(|most| it.jobs < most));
        fitting.max_by_key(|(number, it)| (it.jobs, *number)).map(|it| it.0)
    }

    /// Whether somebody has the one session of this tenancy.
    pub fn is_busy(&self, tenancy: &Tenancy) -> bool {
        let is_expected = self.expected.values().any(|it| it.tenancy.as_ref() == Some(tenancy));
        let mut held = self.held.values().filter(|it| it.tenancy.as_ref() == Some(tenancy));
        is_expected || held.any(|it| !matches!(it.use_, Use::Kept(_)))
    }
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

    /// Adds the hours that were not billed before.
    fn add_to(&self, bill: &mut Bill, now: Timestamp) {
        if let Some((since, billed)) = self.allocated {
            bill.add(&self.namespace, hours_begun(since, now).saturating_sub(billed));
        }
    }
}
