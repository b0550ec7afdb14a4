//! Commands that run long after their deadline, as tables.

use std::time::Duration;

use super::super::*;
use super::at;
use super::{cancel, found, key, left, limits, poll, problem, pursued, report};
use crate::api::command_job::{AttemptReason, Outcome};
use crate::controller::command_job::runner::{KillReason, ReportedState};
use crate::runtime::{Class, Effect};

#[test]
fn a_command_that_runs_long_after_its_deadline_is_told_to_end_and_then_ends_with_its_session() {
    let overdue = 120 + 60 + 10 + 60;
    let answered = |state: &mut AttemptState| {
        let running = report(ReportedState::Running {
            elapsed: Duration::ZERO,
        });
        assert_eq!(state.on(&poll(), Event::Frame(running), &limits()), Ok(Effect::Done));
    };
    let mut state = AttemptState::default();
    answered(&mut state);
    assert_eq!(pursued(&state, overdue), AfterClaim::Do(poll()));
    let cancel = cancel(KillReason::Timeout);
    assert_eq!(pursued(&state, overdue + 1), AfterClaim::Do(cancel.clone()));
    assert_eq!(state.on(&cancel, Event::Done, &limits()), Ok(Effect::Replan));
    let later = overdue + 10 + 60;
    assert_eq!(
        pursued(&state, later + 1),
        AfterClaim::Do(poll()),
        "it is asked once more, however late"
    );
    answered(&mut state);
    assert_eq!(pursued(&state, later), AfterClaim::Do(poll()), "it has its grace");
    let release = Command::Release { key: key() };
    assert_eq!(pursued(&state, later + 1), AfterClaim::Do(release.clone()));
    assert_eq!(state.on(&release, Event::Done, &limits()), Ok(Effect::Replan));
    let AfterClaim::End(Ending::Known(result)) = pursued(&state, later + 2) else {
        panic!("it ends")
    };
    assert_eq!(
        (result.outcome, result.exit_code, result.withheld),
        (Outcome::TimedOut, None, true)
    );
    assert_eq!(left(&state, Farewell::Idle, later + 2), AfterEnd::Rest);
}

#[test]
fn an_overdue_command_that_keeps_its_session_from_answering_is_lost_with_it() {
    let unanswered = || Event::Unanswered(problem(Class::Transient));
    let told = |event: Event| {
        let mut state = found(Finding::Running);
        assert_eq!(
            state.on(&cancel(KillReason::Timeout), event, &limits()),
            Ok(Effect::Replan)
        );
        for _ in 0..5 {
            assert!(state.on(&poll(), unanswered(), &limits()).is_err());
        }
        // Its files were asked for meanwhile, and said nothing.
        state.unreadable = 0;
        state
    };
    let mute = 120 + 60 + 10 + 60 + 10 + 600;
    let mut state = told(Event::Done);
    assert_eq!(pursued(&state, mute), AfterClaim::Do(poll()));
    let release = Command::Release { key: key() };
    assert_eq!(pursued(&state, mute + 1), AfterClaim::Do(release.clone()));
    assert_eq!(state.on(&release, Event::Done, &limits()), Ok(Effect::Replan));
    let lost = AfterClaim::End(Ending::Lost(AttemptReason::SessionUnresponsive));
    assert_eq!(pursued(&state, mute + 1), lost);
    // A session that took nothing either may be out of reach, with the result in it.
    assert_eq!(pursued(&told(unanswered()), mute + 1), AfterClaim::Do(poll()));
}

#[test]
fn an_overdue_command_whose_session_cannot_be_released_is_asked_for_until_nothing_can_be_left_of_it() {
    let mut state = found(Finding::Running);
    state.is_cancelled = true;
    state.is_deaf = true;
    let release = Command::Release { key: key() };
    let mut second = 400;
    for _ in 0..7 {
        while let AfterClaim::Wait(_) = pursued(&state, second) {
            second += 1;
        }
        assert_eq!(pursued(&state, second), AfterClaim::Do(release.clone()));
        state.issue(&release, "place", at(second));
        let failed = Event::Failed(problem(Class::Transient));
        assert_eq!(state.on(&release, failed, &limits()), Ok(Effect::Replan));
    }
    assert_eq!(pursued(&state, second + 1), AfterClaim::Do(poll()));
}
