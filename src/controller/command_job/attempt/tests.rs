//! What is done next for an attempt, as tables.

mod overdue;
mod parting;
mod stopping;

use std::time::Duration;

use jiff::SignedDuration;

use super::fixtures::{at, claim, ended, found, key, limits, report, result};
use super::*;
use crate::api::command_job::AttemptReason;
use crate::api::condition::Reason;
use crate::controller::command_job::runner::{KillReason, ReportedState};
use crate::runtime::{Class, Effect};

fn problem(class: Class) -> Problem {
    Problem {
        class,
        reason: Reason::Unavailable.as_str().into(),
        message: "the pool refuses the principal".into(),
    }
}

fn pursued(state: &AttemptState, second: i64) -> AfterClaim {
    pursued_as(state, second, "s", None, true)
}

fn pursued_as(
    state: &AttemptState,
    second: i64,
    session: &str,
    secrets_digest: Option<&str>,
    is_reachable: bool,
) -> AfterClaim {
    let around = Pursuit {
        claim: &claim(),
        timeout: SignedDuration::from_secs(60),
        session,
        secrets_digest,
        is_reachable,
        stop: None,
        tail_within: None,
    };
    state.pursue(around, &limits(), at(second))
}

fn start() -> Command {
    Command::Start {
        empties: false,
        claim: claim(),
        start_by: at(120),
        window: limits().window,
        with_tail: false,
    }
}

fn poll() -> Command {
    Command::Poll {
        empties: None,
        claim: claim(),
        window: limits().window,
        with_tail: false,
    }
}

fn begun(state: &AttemptState, place: &str, contents: &str, second: i64) -> BeforeClaim {
    let fresh = Ticket("fresh".into());
    let around = Surroundings {
        place,
        contents,
        fresh: &fresh,
    };
    state.begin(key(), around, &limits(), at(second))
}

fn prepare() -> BeforeClaim {
    BeforeClaim::Do(Command::Prepare {
        key: key(),
        ticket: Ticket("fresh".into()),
    })
}

fn cancel(reason: KillReason) -> Command {
    Command::Cancel {
        claim: claim(),
        reason,
        grace_seconds: 10,
    }
}

/// A state in which `t` was prepared at second 0.
fn prepared() -> AttemptState {
    let command = Command::Prepare {
        key: key(),
        ticket: Ticket("t".into()),
    };
    let mut state = AttemptState::default();
    state.issue(&command, "place", at(0));
    let event = Event::Prepared {
        at: at(0),
        contents: "c".into(),
    };
    assert_eq!(state.on(&command, event, &limits()), Ok(Effect::Replan));
    state
}

#[test]
fn a_new_attempt_is_prepared_before_it_is_claimed() {
    assert_eq!(begun(&AttemptState::default(), "place", "c", 0), prepare());
    let BeforeClaim::Claim(preparation) = begun(&prepared(), "place", "c", 1) else {
        panic!("it is claimed")
    };
    assert_eq!(preparation.ticket, Ticket("t".into()));
}

#[test]
fn an_old_preparation_is_made_again_because_its_session_may_have_ended() {
    assert!(matches!(begun(&prepared(), "place", "c", 59), BeforeClaim::Claim(_)));
    assert_eq!(begun(&prepared(), "place", "c", 60), prepare());
}

#[test]
fn a_preparation_for_another_spec_or_secret_is_made_again() {
    assert_eq!(begun(&prepared(), "place", "other", 1), prepare());
}

#[test]
fn what_was_put_into_a_pool_that_is_no_longer_the_jobs_is_left() {
    assert_eq!(begun(&prepared(), "elsewhere", "c", 1), BeforeClaim::Leave);
}

#[test]
fn a_preparation_that_was_not_confirmed_is_never_claimed() {
    let command = Command::Prepare {
        key: key(),
        ticket: Ticket("u".into()),
    };
    let mut interrupted = prepared();
    interrupted.issue(&command, "place", at(1));
    assert_eq!(begun(&interrupted, "place", "c", 2), prepare());
    let unanswered = Event::Unanswered(problem(Class::Transient));
    assert!(interrupted.on(&command, unanswered, &limits()).is_err());
    assert_eq!(begun(&interrupted, "place", "c", 2), prepare());
}

#[test]
fn a_claimed_attempt_is_started_with_a_latest_start_that_follows_from_its_claim() {
    let start = AfterClaim::Do(start());
    assert_eq!(pursued(&AttemptState::default(), 1), start);
    assert_eq!(
        pursued(&AttemptState::default(), 500),
        start,
        "a restarted operator sends the very same start"
    );
    assert_eq!(pursued(&found(Finding::NotBegun), 500), start);
}

#[test]
fn a_command_that_runs_is_only_asked_for_and_not_too_often() {
    assert_eq!(pursued(&found(Finding::Running), 200), AfterClaim::Do(poll()));
    let mut state = AttemptState::default();
    state.issue(&start(), "place", at(200));
    let running = report(ReportedState::Running {
        elapsed: Duration::ZERO,
    });
    assert_eq!(state.on(&start(), Event::Frame(running), &limits()), Ok(Effect::Done));
    assert_eq!(pursued(&state, 200), AfterClaim::Wait(at(201)));
    assert_eq!(pursued(&state, 201), AfterClaim::Do(poll()));
}

#[test]
fn what_the_session_says_decides() {
    let lost = |why| AfterClaim::End(Ending::Lost(why));
    let collect = Command::Collect {
        claim: claim(),
        report: ended(0),
    };
    for (finding, expected) in [
        (Finding::Ended(ended(0)), AfterClaim::Do(collect)),
        (Finding::Collected(result()), AfterClaim::End(Ending::Known(result()))),
        (Finding::Replaced, lost(AttemptReason::SessionReplaced)),
        (Finding::Removed, lost(AttemptReason::FilesRemoved)),
        (Finding::Died, lost(AttemptReason::RunnerDied)),
        (Finding::Gone, lost(AttemptReason::PoolDeleted)),
        (Finding::Unprepared, AfterClaim::End(Ending::Unprepared)),
        (Finding::Void, AfterClaim::End(Ending::Void)),
    ] {
        assert_eq!(pursued(&found(finding.clone()), 1), expected, "{finding:?}");
    }
}

#[test]
fn an_attempt_whose_session_can_no_longer_be_derived_is_lost_and_not_started() {
    let lost = AfterClaim::End(Ending::Lost(AttemptReason::KeyReplaced));
    assert_eq!(pursued_as(&AttemptState::default(), 1, "another", None, true), lost);
}

#[test]
fn of_what_was_seen_to_run_no_later_answer_proves_that_it_did_not() {
    let running = || {
        report(ReportedState::Running {
            elapsed: Duration::ZERO,
        })
    };
    for denial in [
        ReportedState::Absent,
        ReportedState::Registered,
        ReportedState::Void,
        ReportedState::Cancelled(KillReason::Delete),
    ] {
        let mut state = AttemptState::default();
        assert_eq!(state.on(&start(), Event::Frame(running()), &limits()), Ok(Effect::Done));
        let denied = Event::Frame(report(denial));
        assert_eq!(state.on(&poll(), denied, &limits()), Ok(Effect::Replan), "{denial:?}");
        let lost = AfterClaim::End(Ending::Lost(AttemptReason::FilesRemoved));
        assert_eq!(pursued(&state, 1), lost, "{denial:?}");
    }
}

#[test]
fn an_unreachable_session_is_asked_for_until_nothing_can_be_left_of_it() {
    let running = found(Finding::Running);
    let last = 120 + 60 + 10 + 3600;
    assert_eq!(pursued_as(&running, last, "s", None, false), AfterClaim::Blocked);
    let lost = AfterClaim::End(Ending::Lost(AttemptReason::Unreachable));
    assert_eq!(pursued_as(&running, last + 1, "s", None, false), lost);
}

#[test]
fn after_two_answers_without_a_frame_the_files_are_asked() {
    let mut state = AttemptState::default();
    for _ in 0..2 {
        assert_eq!(pursued(&state, 1), AfterClaim::Do(start()));
        assert_eq!(state.on(&start(), Event::NoFrame, &limits()), Ok(Effect::Replan));
    }
    let read_end = Command::ReadEnd { claim: claim() };
    assert_eq!(pursued(&state, 1), AfterClaim::Do(read_end.clone()));
    state.issue(&read_end, "place", at(1));
    assert!(
        state.on(&read_end, Event::NoFrame, &limits()).is_err(),
        "then again, later"
    );
    assert_eq!(pursued(&state, 1), AfterClaim::Do(start()));
}

#[test]
fn whatever_becomes_of_the_look_at_the_files_the_start_is_sent_again() {
    let failed = Event::Failed(problem(Class::Transient));
    let unanswered = Event::Unanswered(problem(Class::Transient));
    for outcome in [None, Some(Event::NoFrame), Some(failed), Some(unanswered)] {
        let mut state = AttemptState::default();
        // Calls that are not answered in time count as much as answers without a frame.
        for _ in 0..2 {
            let lost = Event::Unanswered(problem(Class::Transient));
            assert!(state.on(&start(), lost, &limits()).is_err());
        }
        let read_end = Command::ReadEnd { claim: claim() };
        assert_eq!(pursued(&state, 1), AfterClaim::Do(read_end.clone()));
        state.issue(&read_end, "place", at(1));
        // Without an outcome the pass ended meanwhile.
        if let Some(outcome) = outcome {
            assert!(state.on(&read_end, outcome, &limits()).is_err());
        }
        assert_eq!(pursued(&state, 1), AfterClaim::Do(start()));
    }
}

#[test]
fn output_that_cannot_be_read_does_not_keep_a_job_from_ending_with_its_exit_code() {
    let outcomes: [fn() -> Option<Event>; 5] = [
        || Some(Event::OutputMissing(problem(Class::Transient))),
        || Some(Event::Unanswered(problem(Class::Transient))),
        || Some(Event::Failed(problem(Class::Terminal))),
        || Some(Event::Full(problem(Class::Waiting { after: None }))),
        // The pass ended before the session answered.
        || None,
    ];
    for outcome in outcomes {
        let mut state = found(Finding::Ended(ended(7)));
        let looks = i64::from(limits().looks_for_output);
        for look in 0..looks {
            let second = look * 10;
            let AfterClaim::Do(collect) = pursued(&state, second) else {
                panic!("it is looked for")
            };
            state.issue(&collect, "place", at(second));
            if let Some(outcome) = outcome() {
                let _ = state.on(&collect, outcome, &limits());
            }
            if look < looks - 1 {
                assert!(matches!(pursued(&state, second), AfterClaim::Wait(_)), "not at once");
            }
        }
        let AfterClaim::End(Ending::Known(result)) = pursued(&state, looks * 10) else {
            panic!("it ends")
        };
        assert_eq!((result.exit_code, result.withheld), (Some(7), false));
    }
}

#[test]
fn what_keeps_output_from_being_kept_here_is_no_look_at_it() {
    let mut state = found(Finding::Ended(ended(7)));
    for second in 0..100 {
        let AfterClaim::Do(collect) = pursued(&state, second * 10) else {
            panic!("it is looked for")
        };
        state.issue(&collect, "place", at(second * 10));
        let not_kept = Event::NotKept(problem(Class::Transient));
        assert!(state.on(&collect, not_kept, &limits()).is_err());
    }
}

#[test]
fn output_of_secrets_that_are_no_longer_known_is_not_kept() {
    let state = found(Finding::Ended(ended(7)));
    let claim = AttemptClaim {
        secrets_digest: Some("then".into()),
        ..claim()
    };
    for (now, is_kept) in [(Some("then"), true), (Some("now"), false), (None, false)] {
        let around = Pursuit {
            claim: &claim,
            timeout: SignedDuration::from_secs(60),
            session: "s",
            secrets_digest: now,
            is_reachable: true,
            stop: None,
            tail_within: Some(Duration::from_secs(5)),
        };
        let next = state.pursue(around, &limits(), at(1));
        assert_eq!(matches!(next, AfterClaim::Do(_)), is_kept, "{next:?}");
        for finding in [Finding::Running, Finding::Nothing] {
            let next = found(finding).pursue(around, &limits(), at(1));
            let AfterClaim::Do(Command::Poll { window, with_tail, .. } | Command::Start { window, with_tail, .. }) =
                next
            else {
                panic!("it is asked for its end: {next:?}")
            };
            let expected = if is_kept {
                Duration::from_secs(5)
            } else {
                limits().window
            };
            assert_eq!(
                (window, with_tail),
                (expected, is_kept),
                "nor is it shown while it runs"
            );
        }
    }
}

#[test]
fn a_tail_makes_no_call_wait_for_longer_than_the_service_allows() {
    let around = Pursuit {
        claim: &claim(),
        timeout: SignedDuration::from_secs(60),
        session: "s",
        secrets_digest: None,
        is_reachable: true,
        stop: None,
        tail_within: Some(Duration::from_hours(1)),
    };
    let next = found(Finding::Running).pursue(around, &limits(), at(1));
    assert!(matches!(next, AfterClaim::Do(Command::Poll { window, with_tail: true, .. }) if window == limits().window));
}

#[test]
fn a_role_is_waited_for_and_after_ten_minutes_asked_for_slowly() {
    let mut state = AttemptState::default();
    let mut denied = |second| {
        let event = Event::Denied {
            at: at(second),
            problem: problem(Class::Denied),
        };
        state.on(&start(), event, &limits()).expect_err("it is refused")
    };
    for second in [0, 599] {
        let early = denied(second);
        assert_eq!(early.class, Class::Waiting { after: None });
        assert_eq!(early.reason, "RolePropagating");
        for words in ["the principal", "10 minutes", "2027-01-15T08:10:00Z"] {
            assert!(early.message.contains(words), "{early}");
        }
    }
    let late = denied(600);
    assert_eq!(
        (late.class.clone(), late.reason.as_ref()),
        (Class::Denied, "Unauthorized")
    );
    for words in ["the principal", "10 minutes", "Session Executor"] {
        assert!(late.message.contains(words), "{late}");
    }
    // An answer ends it.
    assert!(state.on(&start(), Event::NoFrame, &limits()).is_ok());
    assert_eq!(state.denied_since, None);
}

fn left(state: &AttemptState, farewell: Farewell, second: i64) -> AfterEnd {
    state.leave(key(), Some(&claim()), None, farewell, &limits(), at(second))
}

#[test]
fn a_session_is_released_at_once_unless_a_start_may_still_arrive() {
    let release = AfterEnd::Do(Command::Release { key: key() });
    assert_eq!(left(&found(Finding::Running), Farewell::Abandoned, 1), release);
    let mut unanswered = AttemptState::default();
    unanswered.issue(&start(), "place", at(0));
    assert!(
        unanswered
            .on(&start(), Event::Unanswered(problem(Class::Transient)), &limits())
            .is_err()
    );
    unanswered.finding = Finding::Ended(ended(0));
    assert_eq!(left(&unanswered, Farewell::Idle, 1), AfterEnd::Wait(at(121)));
    assert_eq!(left(&unanswered, Farewell::Idle, 121), release);
}

#[test]
fn a_command_that_may_still_start_is_told_not_to_and_seen_to_its_end() {
    let mut state = AttemptState::of_another_process();
    let cancel = cancel(KillReason::Delete);
    assert_eq!(left(&state, Farewell::Abandoned, 1), AfterEnd::Do(cancel.clone()));
    state.issue(&cancel, "place", at(1));
    assert_eq!(state.on(&cancel, Event::Done, &limits()), Ok(Effect::Replan));
    let AfterEnd::Do(poll) = left(&state, Farewell::Abandoned, 1) else {
        panic!("it is asked for")
    };
    state.issue(&poll, "place", at(1));
    assert!(
        state
            .on(&poll, Event::Failed(problem(Class::Transient)), &limits())
            .is_err()
    );
    assert_eq!(left(&state, Farewell::Abandoned, 1), AfterEnd::Wait(at(6)));
    assert_eq!(state.on(&poll, Event::Frame(ended(143)), &limits()), Ok(Effect::Replan));
    assert_eq!(
        left(&state, Farewell::Abandoned, 1),
        AfterEnd::Do(Command::Release { key: key() })
    );
}

#[test]
fn a_session_that_cannot_be_released_is_left_to_its_cooldown_in_the_end() {
    let mut state = AttemptState::default();
    let release = Command::Release { key: key() };
    let mut second = 0;
    let mut tries = 0;
    loop {
        match left(&state, Farewell::Idle, second) {
            AfterEnd::Do(command) => {
                assert_eq!(command, release);
                tries += 1;
                state.issue(&release, "place", at(second));
                let failed = Event::Failed(problem(Class::Transient));
                assert_eq!(state.on(&release, failed, &limits()), Ok(Effect::Replan));
            }
            AfterEnd::Wait(until) => second = until.duration_since(at(0)).as_secs() + 1,
            AfterEnd::Keep(_) => panic!("it is nobody else's"),
            AfterEnd::Rest => break,
        }
    }
    assert_eq!(tries, 7);
    assert!((200..300).contains(&second), "{second}");
}
