//! What becomes of a session that may be another command's.

use super::*;
use crate::controller::command_job::attempt::{KeptFor, Slot, Tenancy};
use crate::controller::command_job::runner::{Baseline, Cleaned, Remains, Report};
use crate::controller::operator_key::OperatorKey;

fn slot(kept_for: KeptFor) -> Slot {
    let tenancy = Tenancy::derive(&OperatorKey::new([1; 32]), "p", "n", ("a", "b"), kept_for, "k");
    Slot::new(tenancy, None, "0123456789abcdef")
}

fn baseline() -> Baseline {
    Baseline::new("1_1_0123456789abcdef_-").expect("a baseline")
}

fn telling(mut report: Box<Report>, baseline: Option<Baseline>, remains: Option<Remains>) -> Event {
    report.cleaned = Cleaned { baseline, remains };
    Event::Frame(report)
}

/// An attempt in a session that may be another command's, which its start found like this.
fn started(event: Event) -> AttemptState {
    let mut state = AttemptState::default();
    let start = Command::Start {
        claim: claim(),
        start_by: at(120),
        window: std::time::Duration::from_secs(30),
        with_tail: false,
        empties: true,
    };
    state.issue(&start, "place", at(0));
    _ = state.on(&start, event, &limits());
    state
}

fn parts(state: &AttemptState, kept_for: KeptFor, farewell: Farewell) -> AfterEnd {
    state.leave(
        key(),
        Some(&claim()),
        Some(&slot(kept_for)),
        farewell,
        &limits(),
        at(200),
    )
}

#[test]
fn a_session_is_left_if_nothing_remains_emptied_if_that_was_put_off_and_else_released() {
    let release = AfterEnd::Do(Command::Release { key: key() });
    let empty = AfterEnd::Do(Command::Empty {
        claim: claim(),
        baseline: baseline(),
    });
    for (event, expected) in [
        (
            telling(ended(0), Some(baseline()), Some(Remains::Nothing)),
            AfterEnd::Keep(Some(baseline())),
        ),
        (telling(ended(0), Some(baseline()), None), empty),
        (
            telling(ended(0), Some(baseline()), Some(Remains::Processes)),
            release.clone(),
        ),
        (telling(ended(0), None, None), release.clone()),
        (Event::NoFrame, release.clone()),
        (Event::Unanswered(problem(Class::Transient)), release.clone()),
    ] {
        let state = started(event.clone());
        assert_eq!(
            parts(&state, KeptFor::AnyCommand, Farewell::Idle),
            expected,
            "{event:?}"
        );
        assert_eq!(
            parts(&state, KeptFor::AnyCommand, Farewell::Abandoned),
            release,
            "{event:?}"
        );
    }
}

#[test]
fn a_session_that_could_not_be_emptied_is_released_and_not_emptied_for_ever() {
    for event in [
        telling(ended(0), Some(baseline()), None),
        telling(ended(0), Some(baseline()), Some(Remains::Files)),
        Event::NoFrame,
        Event::Failed(problem(Class::Transient)),
    ] {
        let mut state = started(telling(ended(0), Some(baseline()), None));
        let AfterEnd::Do(empty) = parts(&state, KeptFor::AnyCommand, Farewell::Idle) else {
            panic!("it is emptied")
        };
        state.issue(&empty, "place", at(200));
        _ = state.on(&empty, event.clone(), &limits());
        let release = AfterEnd::Do(Command::Release { key: key() });
        assert_eq!(parts(&state, KeptFor::AnyCommand, Farewell::Idle), release, "{event:?}");
    }
}

#[test]
fn a_session_that_nobody_is_to_have_is_released() {
    let mut state = started(telling(ended(0), Some(baseline()), Some(Remains::Nothing)));
    state.on_refused_keeping();
    let release = AfterEnd::Do(Command::Release { key: key() });
    assert_eq!(parts(&state, KeptFor::AnyCommand, Farewell::Idle), release);
}

#[test]
fn the_files_of_a_key_outlive_whatever_becomes_of_a_command_that_cannot_go_on() {
    for finding in [
        Finding::Ended(ended(3)),
        Finding::Collected(result()),
        Finding::Void,
        Finding::Unprepared,
        Finding::Died,
    ] {
        for farewell in [Farewell::Idle, Farewell::Abandoned] {
            let kept = parts(&found(finding.clone()), KeptFor::OneKey, farewell);
            assert_eq!(kept, AfterEnd::Keep(None), "{finding:?}");
        }
    }
    let release = AfterEnd::Do(Command::Release { key: key() });
    for finding in [Finding::Replaced, Finding::Removed, Finding::Gone, Finding::Running] {
        assert_eq!(
            parts(&found(finding.clone()), KeptFor::OneKey, Farewell::Idle),
            release,
            "{finding:?}"
        );
    }
}

#[test]
fn the_command_of_a_deleted_job_ends_without_the_files_of_its_key() {
    let mut state = found(Finding::Running);
    let cancel = cancel(KillReason::Delete);
    assert_eq!(
        parts(&state, KeptFor::OneKey, Farewell::Abandoned),
        AfterEnd::Do(cancel.clone())
    );
    state.issue(&cancel, "place", at(200));
    assert_eq!(state.on(&cancel, Event::Done, &limits()), Ok(Effect::Replan));
    let AfterEnd::Do(poll) = parts(&state, KeptFor::OneKey, Farewell::Abandoned) else {
        panic!("it is looked at")
    };
    state.issue(&poll, "place", at(201));
    let mut deaf = state.clone();
    assert_eq!(state.on(&poll, Event::Frame(ended(143)), &limits()), Ok(Effect::Replan));
    assert_eq!(
        parts(&state, KeptFor::OneKey, Farewell::Abandoned),
        AfterEnd::Keep(None)
    );
    // One that goes on all the same ends with its session.
    let running = report(ReportedState::Running {
        elapsed: std::time::Duration::ZERO,
    });
    _ = deaf.on(&poll, Event::Frame(running), &limits());
    let slot = slot(KeptFor::OneKey);
    let left = deaf.leave(
        key(),
        Some(&claim()),
        Some(&slot),
        Farewell::Abandoned,
        &limits(),
        at(300),
    );
    assert_eq!(left, AfterEnd::Do(Command::Release { key: key() }));
}
