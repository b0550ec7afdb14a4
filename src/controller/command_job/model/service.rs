//! A pool of sessions as the runner keeps it; the runner's own tests hold it to this.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::controller::command_job::attempt::fixtures::{ended, report};
use crate::controller::command_job::attempt::{AttemptClaim, AttemptKey, Command, Event, Ticket};
use crate::controller::command_job::output::ending;
use crate::controller::command_job::runner::{Baseline, Cleaned, KillReason, Remains, Report, ReportedState};

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
    /// Whether it was emptied after the last start.
    is_clean: bool,
}

impl Container {
    /// It is another job's: what comes late must neither start anything, nor empty or end it.
    fn check(&self, command: &Command) {
        match command {
            Command::Start { claim, empties, .. } => {
                assert!(!empties, "another job's session is emptied");
                assert!(
                    !self.tickets.contains(&claim.ticket),
                    "it starts in another job's session"
                );
            }
            Command::Poll { empties, .. } => assert!(empties.is_none(), "another job's session is emptied"),
            Command::Empty { .. } => panic!("another job's session is emptied"),
            Command::Release { .. } => panic!("another job's session is ended"),
            Command::Prepare { .. } | Command::ReadEnd { .. } | Command::Collect { .. } | Command::Cancel { .. } => {}
        }
    }
}

/// What every session was before its first command.
fn baseline() -> Baseline {
    Baseline::new("1_1_0123456789abcdef_-").expect("a baseline")
}

/// Whose session it is about.
fn key_of(command: &Command) -> AttemptKey {
    match command {
        Command::Prepare { key, .. } | Command::Release { key } => *key,
        Command::Start { claim, .. }
        | Command::Poll { claim, .. }
        | Command::ReadEnd { claim }
        | Command::Collect { claim, .. }
        | Command::Cancel { claim, .. }
        | Command::Empty { claim, .. } => claim.key,
    }
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
    /// Sessions that were left for other jobs, as they were left.
    pub left: BTreeMap<AttemptKey, Container>,
    /// How many commands are still to fail that end by themselves.
    pub failures_left: u32,
}

impl Service {
    /// What a request does when it arrives, and what is answered.
    pub fn receive(&mut self, command: &Command, now: jiff::Timestamp) -> Event {
        if let Some(container) = self.left.get(&key_of(command)) {
            container.check(command);
            return Event::NoFrame;
        }
        let event = self.carry_out(command, now);
        match event {
            Event::Frame(report) => Event::Frame(self.emptied(command, report)),
            event => event,
        }
    }

    /// What the call tells of the session besides, if it is to empty it.
    fn emptied(&mut self, command: &Command, mut report: Box<Report>) -> Box<Report> {
        let baseline = match command {
            Command::Start { empties: true, .. } => Some(baseline()),
            Command::Poll { empties, .. } => empties.clone(),
            Command::Empty { baseline, .. } => Some(baseline.clone()),
            _ => None,
        };
        let has_ended = matches!(report.state, ReportedState::Ended { .. });
        // Of every other command the output is read apart.
        let is_told = matches!(command, Command::Empty { .. }) || self.started.len() % 2 == 1;
        let container = self.sessions.get_mut(&key_of(command));
        let is_emptied = baseline.is_some() && has_ended && is_told;
        if let Some(container) = container.filter(|_| is_emptied) {
            container.is_clean = true;
        }
        report.cleaned = Cleaned {
            baseline,
            remains: is_emptied.then_some(Remains::Nothing),
        };
        report
    }

    /// The session is left for another job. An operator that is started anew has sessions of other names, so what was on its way when
    /// the one before died may only seem to come here.
    pub fn leave(&mut self, key: AttemptKey, has_died: bool) {
        let container = self.sessions.remove(&key).unwrap_or_default();
        // A new one is found out by whoever comes next.
        let is_new = container.locks.is_empty() && (container.tickets.is_empty() || has_died);
        assert!(container.is_clean || is_new, "it is not clean: {container:?}");
        let is_quiet = |it: &Lock| !matches!(it, Lock::Running | Lock::Deaf);
        assert!(
            container.locks.values().all(is_quiet),
            "something runs in it: {container:?}"
        );
        self.left.insert(key, container);
    }

    fn carry_out(&mut self, command: &Command, now: jiff::Timestamp) -> Event {
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
            Command::Empty { claim, .. } => self.look(claim),
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
                    container.is_clean = false;
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
