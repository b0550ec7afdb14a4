//! A pool of sessions as the runner keeps it; the runner's own tests hold it to this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::controller::command_job::attempt::fixtures::{ended, report};
use crate::controller::command_job::attempt::{AttemptClaim, AttemptKey, Command, Event, Ticket};
use crate::controller::command_job::output::ending;
use crate::controller::command_job::runner::{KillReason, ReportedState};

/// What became of an attempt in a container, once somebody took its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Running,
    /// It runs, and neither its runner nor a file ends it.
    Deaf,
    /// By itself, with this exit code.
    Ended(u8),
    Killed(KillReason),
    /// A tombstone, of a start that came too late or of a cancellation: nothing ran nor ever will.
    Late,
    Cancelled(KillReason),
    /// The runner died.
    Dead,
}

/// The container behind a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Those that nobody has taken.
    tickets: BTreeSet<Ticket>,
    taken: BTreeSet<Ticket>,
    cancelled: BTreeMap<Ticket, KillReason>,
    pub locks: BTreeMap<Ticket, Lock>,
}

/// The service, and what is on its way to it.
#[derive(Clone, Debug, Default)]
pub struct Service {
    pub sessions: BTreeMap<AttemptKey, Container>,
    /// Requests that were sent and never answered. Each may arrive at any time, or never.
    pub on_their_way: Vec<Command>,
    /// The tickets whose command was started, once for each start.
    pub started: Vec<Ticket>,
    /// Whether a command ended by itself with exit code 0.
    pub has_succeeded: bool,
    /// How many commands are still to fail that end by themselves.
    pub failures_left: u32,
}

impl Service {
    /// What a request does when it arrives, and what is answered.
    pub fn receive(&mut self, command: &Command, now: jiff::Timestamp) -> Event {
        match command {
            Command::Prepare { key, ticket } => {
                self.sessions.entry(*key).or_default().tickets.insert(ticket.clone());
                Event::Prepared {
                    at: now,
                    contents: super::CONTENTS.into(),
                }
            }
            Command::Start { claim, start_by, .. } => self.start(claim, now > *start_by),
            // Whoever waits for a command sees its end.
            Command::Poll { claim, .. } => {
                self.end(claim.key);
                self.look(claim)
            }
            Command::ReadEnd { claim } => match self.look(claim) {
                Event::Frame(report) if matches!(report.state, ReportedState::Ended { .. }) => Event::Frame(report),
                _ => Event::NoFrame,
            },
            Command::Collect { report, .. } => Event::Collected(Box::new(ending(report))),
            Command::Cancel { claim, reason, .. } => {
                let container = self.sessions.entry(claim.key).or_default();
                container.cancelled.insert(claim.ticket.clone(), *reason);
                if container.locks.get(&claim.ticket) == Some(&Lock::Running) {
                    container.locks.insert(claim.ticket.clone(), Lock::Killed(*reason));
                }
                Event::Done
            }
            Command::Release { key } => {
                self.sessions.remove(key);
                Event::Done
            }
        }
    }

    fn start(&mut self, claim: &AttemptClaim, is_late: bool) -> Event {
        let container = self.sessions.entry(claim.key).or_default();
        if container.tickets.remove(&claim.ticket) {
            container.taken.insert(claim.ticket.clone());
            let lock = match (container.cancelled.get(&claim.ticket), is_late) {
                (Some(reason), _) => Lock::Cancelled(*reason),
                (None, true) => Lock::Late,
                (None, false) => {
                    self.started.push(claim.ticket.clone());
                    Lock::Running
                }
            };
            container.locks.insert(claim.ticket.clone(), lock);
        }
        self.look(claim)
    }

    fn look(&mut self, claim: &AttemptClaim) -> Event {
        let container = self.sessions.entry(claim.key).or_default();
        Event::Frame(match container.locks.get(&claim.ticket) {
            Some(Lock::Ended(code)) => ended(*code),
            Some(Lock::Killed(reason)) => report(ReportedState::Ended {
                exit_code: 143,
                elapsed: Duration::ZERO,
                killed: Some(*reason),
            }),
            Some(Lock::Running | Lock::Deaf) => report(ReportedState::Running {
                elapsed: Duration::ZERO,
            }),
            Some(Lock::Late) => report(ReportedState::Void),
            Some(Lock::Cancelled(reason)) => report(ReportedState::Cancelled(*reason)),
            Some(Lock::Dead) => report(ReportedState::Lost { killed: None }),
            None if container.tickets.contains(&claim.ticket) => report(ReportedState::Absent),
            None if container.taken.contains(&claim.ticket) => report(ReportedState::Removed),
            None => report(ReportedState::Replaced),
        })
    }

    /// The commands that run in a session end by themselves.
    pub fn end(&mut self, key: AttemptKey) {
        let code = u8::from(self.failures_left > 0);
        if self.turn(key, Lock::Ended(code)) {
            self.has_succeeded |= code == 0;
            self.failures_left -= u32::from(code);
        }
    }

    /// The runners of a session die.
    pub fn kill_runner(&mut self, key: AttemptKey) -> bool {
        self.turn(key, Lock::Dead)
    }

    /// The commands of a session keep their runners from ending them.
    pub fn deafen(&mut self, key: AttemptKey) -> bool {
        self.turn(key, Lock::Deaf)
    }

    /// The commands of a session remove everything that is kept of them, and kill their runners.
    pub fn remove_files(&mut self, key: AttemptKey) -> bool {
        let locks = self.sessions.get_mut(&key).map(|it| &mut it.locks);
        let has_run = |lock: &Lock| !matches!(lock, Lock::Late | Lock::Cancelled(_));
        locks.is_some_and(|it| it.extract_if(.., |_, lock| has_run(lock)).count() > 0)
    }

    fn turn(&mut self, key: AttemptKey, into: Lock) -> bool {
        let locks = self
            .sessions
            .get_mut(&key)
            .into_iter()
            .flat_map(|it| it.locks.values_mut());
        let running: Vec<_> = locks.filter(|it| **it == Lock::Running).collect();
        let has_run = !running.is_empty();
        for lock in running {
            *lock = into;
        }
        has_run
    }
}
