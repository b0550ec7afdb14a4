//! What this process knows of an attempt beyond the job's status, and how every answer changes it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Command, Emptying, Event, Finding, Limits, Problem, Ticket};
use crate::api::command_job::OutputTail;
use crate::api::condition::Reason;
use crate::controller::command_job::runner::{KillReason, Report, ReportedState};
use crate::runtime::{Class, Effect};

/// What this process knows of an attempt. Losing it costs requests, never correctness: an empty state asks the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptState {
    /// What lies in the session for a start, where that was confirmed.
    pub preparation: Option<Preparation>,
    /// Where files of the attempt may lie, confirmed or not: there is a session, or may be one.
    pub place: Option<String>,
    /// The same before the preparation that is under way.
    place_before: Option<String>,
    /// What the session said last.
    pub finding: Finding,
    /// What the command printed last, as far as it was asked for.
    pub tail: Option<Arc<OutputTail>>,
    /// Since when the service has refused the account; nothing was started meanwhile.
    pub denied_since: Option<Timestamp>,
    /// Whether its session was handed over to be released.
    pub has_left: bool,
    /// When the last command was issued.
    pub(super) issued_at: Option<Timestamp>,
    /// Calls in a row that brought no readable frame.
    pub(super) unreadable: u32,
    /// How often what the command printed was looked for in vain.
    pub(super) looks_for_output: u32,
    /// How the command was told to end, once somebody tried to.
    pub(super) told: Option<Told>,
    /// Whether the command was told to end, as well as that could be done.
    pub(super) is_cancelled: bool,
    /// Whether it was seen to run although it was told to end.
    pub(super) is_deaf: bool,
    /// Requests in a row that its session took and did not answer with a frame, since it was told to end.
    pub(super) unheard: u32,
    /// Tries to release the session that failed.
    pub(super) failed_releases: usize,
    /// Whether the session is released.
    pub(super) is_released: bool,
    /// Whether the session ever said that something of the attempt ran.
    has_begun: bool,
    /// Whether its session took a file when the command was told to end.
    pub(super) takes_files: bool,
    /// Whether its session can be for another command.
    pub(super) emptying: Emptying,
    /// Whether nobody wants it for another command.
    pub(super) is_unwanted: bool,
    start: Calls,
}

/// What lies in a session, ready to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preparation {
    /// Names it.
    pub ticket: Ticket,
    /// When the last file was there.
    pub at: Timestamp,
    /// What was put where, as a keyed digest: secret values and specs can change between preparation and claim.
    pub contents: String,
}

/// How the command was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Why, the first time.
    pub reason: KillReason,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

/// What became of the starts that were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    /// One is under way.
    pending: bool,
    /// One was never answered; it may still arrive.
    unanswered: bool,
    /// More than one was sent, or may have been.
    several: bool,
    /// What the session says of the attempt follows from a start.
    has_arrived: bool,
}

impl AttemptState {
    /// The state of an attempt that another process claimed: a start that it sent may still arrive.
    pub fn of_another_process() -> Self {
        let mut state = Self::default();
        state.start.unanswered = true;
        state.start.several = true;
        state
    }

    /// Whether its session is released.
    pub fn is_released(&self) -> bool {
        self.is_released
    }

    /// Whether a start of the attempt may still arrive at its session.
    pub fn may_still_start(&self) -> bool {
        let is_open = self.start.pending || self.start.unanswered;
        // The only one that was ever sent is the one that arrived.
        is_open && (self.start.several || !self.start.has_arrived)
    }

    /// A command is about to be carried out. Whatever interrupts it, what it may have done is known from here on.
    pub fn issue(&mut self, command: &Command, place: &str, now: Timestamp) {
        self.issued_at = Some(now);
        match command {
            Command::Prepare { .. } => {
                self.emptying.issue(true);
                self.preparation = None;
                self.place_before = self.place.replace(place.to_owned());
            }
            Command::Start { empties, .. } => {
                self.emptying.issue_start(*empties);
                self.start.several |= self.start.pending || self.start.unanswered;
                self.start.unanswered |= self.start.pending;
                self.start.pending = true;
            }
            Command::Cancel { reason, .. } => {
                let first = self.told.map_or((*reason, now), |it| (it.reason, it.first));
                self.told = Some(Told {
                    reason: first.0,
                    first: first.1,
                    last: now,
                });
            }
            // Whatever becomes of it: the end may have to be looked for where there are no files yet, and a look at the
            // output may never return.
            Command::ReadEnd { .. } => self.unreadable = 0,
            Command::Collect { .. } => self.looks_for_output += 1,
            Command::Poll { empties, .. } => self.emptying.issue(empties.is_some()),
            Command::Empty { .. } => self.emptying.issue(true),
            Command::Release { .. } => {}
        }
    }

    /// Takes note of what became of a command: there is something else to do now, or what was waited for goes on. An error is
    /// what keeps the attempt from going on; when it is tried again follows from its class.
    pub fn on(&mut self, command: &Command, event: Event, limits: &Limits) -> Result<Effect, Problem> {
        self.emptying.on(command, &event);
        match command {
            Command::Prepare { ticket, .. } => self.on_prepare(ticket, event, limits),
            Command::Start { .. } => {
                self.start.pending = false;
                self.start.unanswered |= matches!(event, Event::Unanswered(_));
                self.on_answer(event, limits)
            }
            Command::Poll { .. } => self.on_answer(event, limits),
            Command::ReadEnd { .. } => match event {
                Event::NoFrame => Err(unreadable()),
                event => self.on_answer(event, limits),
            },
            Command::Collect { .. } => match event {
                Event::Collected(result) => {
                    self.finding = Finding::Collected(result);
                    Ok(Effect::Replan)
                }
                Event::OutputMissing(_) => Ok(Effect::Replan),
                Event::NotKept(problem) => {
                    self.looks_for_output = self.looks_for_output.saturating_sub(1);
                    Err(problem)
                }
                event => failed(event),
            },
            // A command that cannot be told to end ends with its session.
            Command::Cancel { .. } => {
                self.is_cancelled = true;
                // A session that took this is not out of reach.
                self.takes_files = event == Event::Done;
                self.issued_at = None;
                Ok(Effect::Replan)
            }
            // What it found is noted, and nothing else is to be learnt from it.
            Command::Empty { .. } => {
                self.emptying.on_emptied();
                Ok(Effect::Replan)
            }
            Command::Release { .. } => {
                match event {
                    Event::Done => self.is_released = true,
                    _ => self.failed_releases += 1,
                }
                Ok(Effect::Replan)
            }
        }
    }

    fn on_prepare(&mut self, ticket: &Ticket, event: Event, limits: &Limits) -> Result<Effect, Problem> {
        let place_before = self.place_before.take();
        match event {
            Event::Prepared { at, contents } => {
                self.denied_since = None;
                self.preparation = Some(Preparation {
                    ticket: ticket.clone(),
                    at,
                    contents,
                });
                Ok(Effect::Replan)
            }
            // Nothing was put anywhere by this.
            Event::Denied { at, problem } => {
                self.place = place_before;
                Err(self.denied(at, problem, limits))
            }
            Event::Failed(problem) => {
                self.place = place_before;
                Err(problem)
            }
            // A session of the attempt would not have been refused. The job waits for its turn again.
            Event::Full(_) => {
                self.denied_since = None;
                self.place = None;
                Ok(Effect::Reobserve)
            }
            event => failed(event),
        }
    }

    /// What a session answered, or not, when it was asked for the attempt.
    fn on_answer(&mut self, event: Event, limits: &Limits) -> Result<Effect, Problem> {
        match event {
            Event::Unanswered(_) | Event::NoFrame if self.takes_files => self.unheard += 1,
            _ => self.unheard = 0,
        }
        let event = match event {
            Event::Printed(report, tail) => {
                self.tail = Some(tail);
                Event::Frame(report)
            }
            event => event,
        };
        match event {
            Event::Frame(report) => {
                self.denied_since = None;
                self.unreadable = 0;
                self.finding = self.believe(report);
                match self.finding {
                    Finding::Running => Ok(Effect::Done),
                    Finding::NotBegun => Err(not_begun()),
                    // Another attempt takes its place, for which more has to be known than for this one.
                    Finding::Void => Ok(Effect::Reobserve),
                    _ => Ok(Effect::Replan),
                }
            }
            // Nothing was learnt, so what was known stays.
            Event::NoFrame => {
                self.denied_since = None;
                self.unreadable += 1;
                Ok(Effect::Replan)
            }
            Event::Gone => {
                self.finding = Finding::Gone;
                Ok(Effect::Replan)
            }
            Event::Denied { at, problem } if self.finding == Finding::Nothing => Err(self.denied(at, problem, limits)),
            // What keeps the session from answering in time may be what it was asked to look at.
            Event::Unanswered(problem) => {
                self.unreadable += 1;
                Err(problem)
            }
            event => failed(event),
        }
    }

    /// What a report means after all that was heard before. Of what ran, nothing proves that it did not, and it is not started again.
    fn believe(&mut self, report: Box<Report>) -> Finding {
        self.start.has_arrived |= !matches!(report.state, ReportedState::Absent | ReportedState::Replaced);
        match report.state {
            ReportedState::Absent | ReportedState::Registered | ReportedState::Void | ReportedState::Cancelled(_)
                if self.has_begun =>
            {
                return Finding::Removed;
            }
            ReportedState::Running { .. } => {
                self.has_begun = true;
                self.is_deaf |= self.is_cancelled;
            }
            ReportedState::Ended { .. } | ReportedState::Lost { .. } => self.has_begun = true,
            _ => {}
        }
        Finding::of(report)
    }

    /// A refusal before the start: for a while after a role was assigned, Azure does not know it everywhere, and answers as
    /// if it were not there.
    fn denied(&mut self, at: Timestamp, problem: Problem, limits: &Limits) -> Problem {
        let until = *self.denied_since.get_or_insert(at) + limits.role_propagates;
        let minutes = limits.role_propagates.as_mins();
        let refused = problem.message;
        if at >= until {
            return Problem {
                class: Class::Denied,
                reason: Reason::Unauthorized.as_str().into(),
                message: format!(
                    "{refused}: it needs the role Azure ContainerApps Session Executor on the pool, and did not get it \
                     within {minutes} minutes; it is asked again every few minutes"
                ),
            };
        }
        // Messages that differ in fractions of a second would be written for nothing.
        let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
        Problem {
            class: Class::Waiting { after: None },
            reason: Reason::RolePropagating.as_str().into(),
            message: format!(
                "{refused}: a role that was assigned takes up to {minutes} minutes to be effective, so it is waited for \
                 until {until}"
            ),
        }
    }
}

/// What an event that brought nothing says.
fn failed(event: Event) -> Result<Effect, Problem> {
    match event {
        Event::Unanswered(problem)
        | Event::Failed(problem)
        | Event::Full(problem)
        | Event::OutputMissing(problem)
        | Event::NotKept(problem)
        | Event::Denied { problem, .. } => Err(problem),
        Event::Prepared { .. }
        | Event::Gone
        | Event::Frame(_)
        | Event::Printed(..)
        | Event::NoFrame
        | Event::Collected(_)
        | Event::Done => Ok(Effect::Done),
    }
}

fn unreadable() -> Problem {
    transient("the session's answers say nothing of the command; it is asked again")
}

fn not_begun() -> Problem {
    transient("the session cannot start the command; its disk may be full")
}

fn transient(message: &str) -> Problem {
    Problem {
        class: Class::Transient,
        reason: Reason::Unavailable.as_str().into(),
        message: message.to_owned(),
    }
}
