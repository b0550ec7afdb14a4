//! What the tests of attempts, of jobs and of the model begin with.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::api::command_job::{CapturedStream, CommandResult, Outcome};
use crate::controller::command_job::executor::session_pool;
use crate::controller::command_job::runner::{Cleaned, Payload, Report, ReportedState, Stream};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn limits() -> Limits {
    session_pool::limits(Duration::from_secs(30), None)
}

pub fn key() -> AttemptKey {
    AttemptKey::of_number(1)
}

pub fn claim() -> AttemptClaim {
    AttemptClaim {
        slot: None,
        key: key(),
        ticket: Ticket("t".into()),
        at: at(0),
        session: "s".into(),
        secrets_digest: None,
        lent_account: None,
    }
}

pub fn report(state: ReportedState) -> Box<Report> {
    let empty = || Stream {
        length: 0,
        is_incomplete: false,
        payload: Payload::Absent,
    };
    Box::new(Report {
        state,
        stdout: empty(),
        stderr: empty(),
        missing: Vec::new(),
        cleaned: Cleaned::default(),
    })
}

pub fn ended(exit_code: u8) -> Box<Report> {
    report(ReportedState::Ended {
        exit_code,
        elapsed: Duration::from_millis(10),
        killed: None,
    })
}

pub fn result() -> Box<CommandResult> {
    Box::new(CommandResult {
        outcome: Outcome::Exited,
        exit_code: Some(0),
        execution_time_in_milliseconds: Some(10),
        masked_count: None,
        withheld: false,
        stdout: CapturedStream::default(),
        stderr: CapturedStream::default(),
    })
}

pub fn found(finding: Finding) -> AttemptState {
    let mut state = AttemptState::default();
    state.finding = finding;
    state
}
