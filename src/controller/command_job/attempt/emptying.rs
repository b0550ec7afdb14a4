//! Whether a session can be for another command once this one has ended.

use super::{AttemptState, Command, Event, Finding, KeptFor, Slot};
use crate::controller::command_job::runner::{Baseline, Remains};

/// What is known of the calls that are to empty an attempt's session, and of what they left in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptying {
    /// What the session was before its first command, as the start told.
    baseline: Option<Baseline>,
    /// Whether the start was sent.
    is_started: bool,
    /// Whether a request is under way that puts something into it, or empties it.
    is_pending: bool,
    /// Whether one was never answered. It may come late, when the session is another command's.
    is_spoilt: bool,
    /// What was left in it.
    remains: Option<Remains>,
}

/// What becomes of the session of an attempt of which nothing is wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It ends.
    Release,
    /// It is for another command, as it is.
    Keep(Option<Baseline>),
    /// It is to be emptied, because what the command printed was read first.
    Empty(Baseline),
}

impl Emptying {
    /// Whether a start that is sent now is to empty the session: the first one alone can know what it was.
    pub fn by_start(&self) -> bool {
        !self.is_started && !self.is_spoilt
    }

    /// What a call about the running command is to be told that empties the session where it sees its end.
    pub fn by_poll(&self) -> Option<Baseline> {
        let is_certain = !self.is_pending && !self.is_spoilt;
        self.baseline.clone().filter(|_| is_certain)
    }

    /// A start is sent, and empties the session or not.
    pub fn issue_start(&mut self, empties: bool) {
        self.is_started = true;
        self.issue(empties);
    }

    /// A request is sent, and changes the session or not.
    pub fn issue(&mut self, changes: bool) {
        self.is_spoilt |= self.is_pending;
        self.is_pending = changes;
    }

    /// Takes note of what became of a request.
    pub fn on(&mut self, command: &Command, event: &Event) {
        match command {
            Command::Prepare { .. } | Command::Start { .. } | Command::Poll { .. } | Command::Empty { .. } => {}
            Command::ReadEnd { .. } | Command::Collect { .. } | Command::Cancel { .. } | Command::Release { .. } => {
                return;
            }
        }
        let was_pending = std::mem::take(&mut self.is_pending);
        match event {
            Event::Frame(report) | Event::Printed(report, _) if was_pending => {
                self.baseline = report.cleaned.baseline.clone().or(self.baseline.take());
                self.remains = report.cleaned.remains;
            }
            Event::Unanswered(_) | Event::NoFrame => self.is_spoilt |= was_pending,
            _ => {}
        }
    }

    /// The call that did nothing but empty it was sent: what it did not tell is not asked again.
    pub fn on_emptied(&mut self) {
        self.is_spoilt |= self.remains.is_none();
    }

    /// What becomes of the session.
    fn parting(&self) -> Parting {
        match (&self.baseline, self.remains) {
            _ if self.is_spoilt || self.is_pending => Parting::Release,
            (Some(baseline), Some(Remains::Nothing)) => Parting::Keep(Some(baseline.clone())),
            (Some(baseline), None) => Parting::Empty(baseline.clone()),
            (Some(_), Some(_)) | (None, _) => Parting::Release,
        }
    }
}

impl AttemptState {
    /// What becomes of the attempt's session, if it is that of the slot. `is_claimed` is whether a start may have been sent.
    pub fn parting(&self, slot: Option<&Slot>, is_claimed: bool) -> Parting {
        let has_ended = matches!(self.finding, Finding::Ended(_) | Finding::Collected(_));
        match slot.map(|it| it.tenancy.kept_for) {
            _ if self.is_unwanted => Parting::Release,
            Some(KeptFor::AnyCommand) if has_ended => self.emptying.parting(),
            Some(KeptFor::AnyCommand) | None => Parting::Release,
            // The files in it are wanted, whatever became of the command, as long as nothing of it can go on.
            Some(KeptFor::OneKey) => match self.finding {
                Finding::Ended(_) | Finding::Collected(_) | Finding::Void | Finding::Unprepared | Finding::Died => {
                    Parting::Keep(None)
                }
                Finding::Nothing if !is_claimed => Parting::Keep(None),
                Finding::Nothing
                | Finding::NotBegun
                | Finding::Running
                | Finding::Replaced
                | Finding::Removed
                | Finding::Gone => Parting::Release,
            },
        }
    }
}
