//! Commands that their job wants to end, as tables.

use std::time::Duration;

use jiff::SignedDuration;

use super::super::*;
use super::{at, claim, ended, found, key, left, limits, poll, problem, report, start};
use crate::api::command_job::{AttemptReason, Outcome};
use crate::controller::command_job::runner::{KillReason, ReportedState};
use crate::runtime::{Class, Effect};

fn pursued(state: &AttemptState, second: i64) -> AfterClaim {
    let stop = Stop {
        reason: KillReason::Cancel,
        at: at(5),
    };
    let around = Pursuit {
        claim: &claim(),
        timeout: SignedDuration::from_secs(86_400),
        session: "s",
        secrets_digest: None,
        is_reachable: true,
        stop: Some(stop),
        tail_within: None,
    };
    state.pursue(around, &limits(), at(second))
}

fn cancel() -> Command {
    super::cancel(KillReason::Cancel)
}

fn brief_poll() -> Command {
    Command::Poll {
        empties: None,
        claim: claim(),
        window: Duration::from_secs(12),
        with_tail: false,
    }
}

fn running() -> Event {
    Event::Frame(report(ReportedState::Running {
        elapsed: Duration::ZERO,
    }))
}

fn carried_out(state: &mut AttemptState, command: &Command, second: i64, event: Event) {
    state.issue(command, "place", at(second));
    let _ = state.on(command, event, &limits());
}

#[test]
fn a_command_is_told_to_end_when_its_job_wants_that_and_its_output_is_read_as_ever() {
    let mut state = AttemptState::default();
    carried_out(&mut state, &start(), 0, running());
    let AfterClaim::Do(Command::Poll { window, .. }) = pursued(&state, 2) else {
        panic!("it is asked")
    };
    assert_eq!(window, Duration::from_secs(3), "no longer than it may run");
    assert_eq!(pursued(&state, 5), AfterClaim::Do(cancel()));
    carried_out(&mut state, &cancel(), 5, Event::Done);
    assert_eq!(pursued(&state, 5), AfterClaim::Do(brief_poll()));
    let killed = report(ReportedState::Ended {
        exit_code: 143,
        elapsed: Duration::ZERO,
        killed: Some(KillReason::Cancel),
    });
    carried_out(&mut state, &brief_poll(), 5, Event::Frame(killed));
    assert!(matches!(pursued(&state, 6), AfterClaim::Do(Command::Collect { .. })));
}

#[test]
fn a_session_that_did_not_take_it_is_told_again_between_looks() {
    let mut state = found(Finding::Running);
    let lost = || Event::Unanswered(problem(Class::Transient));
    carried_out(&mut state, &cancel(), 5, lost());
    assert_eq!(pursued(&state, 5), AfterClaim::Do(brief_poll()));
    carried_out(&mut state, &brief_poll(), 5, running());
    assert_eq!(pursued(&state, 10), AfterClaim::Do(cancel()));
    carried_out(&mut state, &cancel(), 10, Event::Done);
    carried_out(&mut state, &brief_poll(), 20, running());
    assert_eq!(
        pursued(&state, 40),
        AfterClaim::Do(brief_poll()),
        "once it took it, that is enough"
    );
}

#[test]
fn a_command_that_goes_on_all_the_same_ends_with_its_session_soon() {
    let mut state = found(Finding::Running);
    carried_out(&mut state, &cancel(), 5, Event::Done);
    carried_out(&mut state, &brief_poll(), 17, running());
    assert_eq!(
        pursued(&state, 5 + 70),
        AfterClaim::Do(brief_poll()),
        "it has its grace"
    );
    let release = Command::Release { key: key() };
    assert_eq!(pursued(&state, 5 + 71), AfterClaim::Do(release.clone()));
    carried_out(&mut state, &release, 76, Event::Done);
    let AfterClaim::End(Ending::Known(result)) = pursued(&state, 77) else {
        panic!("it ends")
    };
    assert_eq!(
        (result.outcome, result.exit_code, result.withheld),
        (Outcome::Cancelled, None, true)
    );
}

#[test]
fn a_session_that_never_takes_it_or_never_answers_is_ended_later() {
    let lost = || Event::Unanswered(problem(Class::Transient));
    let release = AfterClaim::Do(Command::Release { key: key() });
    let mut untold = found(Finding::Running);
    for second in [5, 605, 610] {
        carried_out(&mut untold, &cancel(), second, lost());
        carried_out(&mut untold, &brief_poll(), second, running());
    }
    assert_eq!(pursued(&untold, 614), AfterClaim::Do(brief_poll()));
    assert_eq!(pursued(&untold, 616), release);

    let mut mute = found(Finding::Running);
    carried_out(&mut mute, &cancel(), 5, Event::Done);
    for _ in 0..5 {
        carried_out(&mut mute, &brief_poll(), 17, lost());
    }
    mute.unreadable = 0;
    assert_eq!(pursued(&mute, 615), AfterClaim::Do(brief_poll()));
    assert_eq!(pursued(&mute, 616), release);
}

#[test]
fn a_session_out_of_reach_is_given_up_once_it_cannot_be_there_any_more() {
    let mut state = found(Finding::Running);
    let refused = Event::Failed(problem(Class::Transient));
    carried_out(&mut state, &cancel(), 5, refused);
    let last = 5 + 10 + 3600;
    assert!(!matches!(pursued(&state, last), AfterClaim::End(_)));
    let lost = AfterClaim::End(Ending::Lost(AttemptReason::Unreachable));
    assert_eq!(pursued(&state, last + 1), lost);
}

#[test]
fn a_command_of_which_no_start_was_sent_is_told_before_it_is_sealed_by_one() {
    let mut state = AttemptState::default();
    assert_eq!(pursued(&state, 5), AfterClaim::Do(cancel()));
    carried_out(&mut state, &cancel(), 5, Event::Done);
    assert!(matches!(pursued(&state, 5), AfterClaim::Do(Command::Start { .. })));
}

#[test]
fn a_start_whose_answer_was_not_waited_for_is_only_looked_for_and_keeps_no_session() {
    let mut state = AttemptState::default();
    state.issue(&start(), "place", at(0));
    assert_eq!(pursued(&state, 5), AfterClaim::Do(cancel()));
    carried_out(&mut state, &cancel(), 5, Event::Done);
    assert_eq!(pursued(&state, 5), AfterClaim::Do(brief_poll()));
    assert_eq!(left(&state, Farewell::Idle, 6), AfterEnd::Wait(at(121)));
    assert_eq!(
        state.on(&brief_poll(), Event::Frame(ended(143)), &limits()),
        Ok(Effect::Replan)
    );
    assert_eq!(
        left(&state, Farewell::Idle, 6),
        AfterEnd::Do(Command::Release { key: key() }),
        "the only start has arrived"
    );
    // Of two starts one may still be on its way.
    let mut several = AttemptState::default();
    several.issue(&start(), "place", at(0));
    several.issue(&start(), "place", at(1));
    carried_out(&mut several, &poll(), 2, Event::Frame(ended(143)));
    assert_eq!(left(&several, Farewell::Idle, 3), AfterEnd::Wait(at(121)));
}
