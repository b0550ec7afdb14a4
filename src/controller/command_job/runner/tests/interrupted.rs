//! Kills at each line that matters, repeats, replaced sessions.

use std::fs;

use super::super::*;
use super::session::*;

/// Appends to a file what was started, so that starts can be counted.
const COUNTED: &str = "echo started >>count; echo out; echo err >&2; exit 3";

fn starts(session: &Session) -> usize {
    fs::read_to_string(session.file("count")).map_or(0, |text| text.lines().count())
}

enum Then {
    Ends(u8),
    IsLost,
    IsUnprepared,
}

#[test]
fn whoever_is_killed_where_a_command_starts_at_most_once() {
    use Then::{Ends, IsLost, IsUnprepared};
    // Where; what a look finds after it; what the same start finds after that; starts in all.
    let table = [
        ("caller-before-mkdir", Some(ReportedState::Absent), Ends(3), 1),
        ("caller-after-mkdir", Some(ReportedState::Registered), Ends(3), 1),
        ("caller-after-spawn", None, Ends(3), 1),
        ("caller-before-frame", None, Ends(3), 1),
        ("runner-before-identity", Some(ReportedState::Registered), Ends(3), 1),
        ("runner-before-link", Some(ReportedState::Registered), Ends(3), 1),
        (
            "runner-after-link",
            Some(ReportedState::Lost { killed: None }),
            IsLost,
            0,
        ),
        (
            "runner-after-ticket",
            Some(ReportedState::Lost { killed: None }),
            IsLost,
            0,
        ),
        (
            "runner-before-exit",
            Some(ReportedState::Lost { killed: None }),
            IsLost,
            1,
        ),
        (
            "command-before-environment",
            Some(ReportedState::Unprepared { killed: None }),
            IsUnprepared,
            0,
        ),
        ("command-before-exec", None, Ends(137), 0),
    ];
    std::thread::scope(|scope| {
        for kind in Shell::installed() {
            for row in &table {
                scope.spawn(move || survives(kind, row));
            }
        }
    });
}

fn survives(kind: Shell, (place, found, then, count): &(&str, Option<ReportedState>, Then, usize)) {
    let session = Session::new(kind);
    let mut work = shell(COUNTED);
    work.env = Some(vec![variable("A", "1")]);
    session.upload(&work);
    let killed = session.run_killed_at(&session.start(&work), place);
    assert_eq!(killed.is_err(), place.starts_with("caller"), "{kind:?} {place}");
    if let Some(found) = found {
        assert_eq!(session.run(&session.look()).state, *found, "{kind:?} {place}");
    }
    for _ in 0..2 {
        let look = session.run(&session.start(&work));
        match then {
            Then::Ends(code) => assert_eq!(exit_code(&look), Some(*code), "{kind:?} {place} {look:?}"),
            Then::IsLost => assert_eq!(look.state, ReportedState::Lost { killed: None }, "{kind:?} {place}"),
            Then::IsUnprepared => assert_eq!(
                look.state,
                ReportedState::Unprepared { killed: None },
                "{kind:?} {place}"
            ),
        }
    }
    assert_eq!(starts(&session), *count, "{kind:?} {place}");
    assert!(session.comes_to_rest(), "{kind:?} {place}");
}

#[test]
fn a_command_on_its_way_when_its_runner_dies_does_not_run_on() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; sleep 1000");
        session.upload(&work);
        let look = session.run_killed_at(&session.start(&work), "runner-before-command");
        assert_eq!(
            look.expect("a frame").state,
            ReportedState::Lost { killed: None },
            "{kind:?}"
        );
        assert!(session.comes_to_rest(), "{kind:?}");
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Lost { killed: None },
            "{kind:?}"
        );
        assert!(starts(&session) <= 1, "{kind:?}");
    }
}

#[test]
fn a_command_whose_runner_dies_is_lost_and_does_not_run_on() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; sleep 1000 & sleep 1000");
        session.upload(&work);
        session.begin(&work);
        let lock = fs::read_to_string(session.inner("lock")).expect("a lock");
        signal("KILL", lock.split(' ').next().expect("a pid"));
        assert_eq!(
            session.run(&session.look()).state,
            ReportedState::Lost { killed: None },
            "{kind:?}"
        );
        assert!(session.comes_to_rest(), "{kind:?}");
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Lost { killed: None },
            "{kind:?}"
        );
        assert_eq!(starts(&session), 1);
    }
}

#[test]
fn a_reused_process_number_is_not_taken_for_the_runner() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("true");
    session.upload(&work);
    fs::create_dir(session.inner("")).expect("a directory");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
    // This process lives, but started at another time than the lock says; and one of another boot.
    let stat = fs::read_to_string("/proc/self/stat").expect("stat");
    let started: u64 = stat
        .rsplit_once(") ")
        .expect("fields")
        .1
        .split(' ')
        .nth(19)
        .expect("field 22")
        .parse()
        .expect("ticks");
    let own = std::process::id();
    for (identity, alive) in [
        (format!("{own} {started} {} 1\n", boot.trim()), true),
        (format!("{own} {} {} 1\n", started + 1, boot.trim()), false),
        (
            format!("{own} {started} 00000000-0000-0000-0000-000000000000 1\n"),
            false,
        ),
    ] {
        fs::write(session.inner("lock"), &identity).expect("a lock");
        let mut call = session.look();
        call.window_seconds = 0;
        assert_eq!(
            matches!(session.run(&call).state, ReportedState::Running { .. }),
            alive,
            "{identity}"
        );
    }
}

#[test]
fn a_session_that_was_replaced_starts_nothing() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell(COUNTED);
        for call in [
            session.start(&work),
            session.look(),
            session.call(Action::Cancel {
                reason: KillReason::Cancel,
                grace_seconds: 1,
            }),
        ] {
            assert_eq!(session.run(&call).state, ReportedState::Replaced, "{kind:?}");
        }
        assert!(!session.inner("").exists());
        assert_eq!(starts(&session), 0);
    }
}

#[test]
fn a_look_never_starts_anything() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell(COUNTED);
    session.upload(&work);
    assert_eq!(session.run(&session.look()).state, ReportedState::Absent);
    assert!(!session.inner("").exists());
}

#[test]
fn a_start_after_its_time_seals_the_attempt() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell(COUNTED);
        session.upload(&work);
        let late = session.call(Action::Start {
            work: &work,
            start_by: now() - 1,
        });
        assert_eq!(session.run(&late).state, ReportedState::Void, "{kind:?}");
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Void,
            "{kind:?}: for good"
        );
        assert_eq!(session.run(&session.look()).state, ReportedState::Void);
        assert_eq!(starts(&session), 0);
    }
}

#[test]
fn a_start_after_its_time_only_looks_where_the_command_was_started() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; sleep 3; exit 5");
        session.upload(&work);
        session.begin(&work);
        let late = session.call(Action::Start {
            work: &work,
            start_by: now() - 1,
        });
        assert_eq!(exit_code(&session.run(&late)), Some(5), "{kind:?}");
        assert_eq!(starts(&session), 1);
    }
}

#[test]
fn a_disk_without_room_starts_nothing_and_says_so() {
    // Files where the runner's directory should be stand for a disk that takes none.
    let session = Session::new(Shell::installed()[0]);
    let work = shell(COUNTED);
    session.upload(&work);
    for place in session.attempt.places() {
        fs::write(place, "no directory").expect("a file");
    }
    let look = session.try_run(&session.start(&work));
    assert!(
        matches!(
            look,
            Ok(Report {
                state: ReportedState::Absent,
                ..
            })
        ),
        "{look:?}"
    );
    assert_eq!(starts(&session), 0);
}

#[test]
fn a_job_longer_than_the_window_is_answered_by_the_next_call() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; echo early; sleep 3; echo late; exit 4");
        session.upload(&work);
        let look = session.begin(&work);
        assert_eq!(
            (look.stdout.length, look.stdout.payload),
            (6, Payload::Absent),
            "{kind:?}"
        );
        let look = session.run(&session.look());
        assert_eq!(
            (exit_code(&look), bytes(&look.stdout)),
            (Some(4), b"early\nlate\n".to_vec()),
            "{kind:?}"
        );
        assert!(matches!(look.state, ReportedState::Ended { killed: None, .. }));
        assert_eq!(starts(&session), 1);
    }
}

#[test]
fn several_may_wait_at_once_and_all_are_answered() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; sleep 0.5; exit 6");
        session.upload(&work);
        let (first, second, third) = (session.start(&work), session.start(&work), session.look());
        let children = [&first, &second].map(|call| session.spawn(call, ""));
        for (call, child) in [&first, &second].into_iter().zip(children) {
            let output = child.wait_with_output().expect("an answer");
            assert_eq!(
                exit_code(&call.parse(&output.stdout, &output.stderr).expect("a frame")),
                Some(6),
                "{kind:?}"
            );
        }
        assert_eq!(exit_code(&session.run(&third)), Some(6));
        assert_eq!(starts(&session), 1, "{kind:?}");
    }
}
