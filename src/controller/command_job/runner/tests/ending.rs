//! Deadline, cancellation, and what is swept.

use std::fs;

use super::super::*;
use super::session::*;

const CANCEL: Action<'static> = Action::Cancel {
    reason: KillReason::Cancel,
    grace_seconds: 1,
};

fn killed(look: &Report) -> Option<(u8, KillReason)> {
    match look.state {
        ReportedState::Ended {
            exit_code,
            killed: Some(reason),
            ..
        } => Some((exit_code, reason)),
        _ => None,
    }
}

#[test]
fn the_timeout_is_enforced_inside_the_session() {
    // What it runs; how it ends; what was printed is kept.
    let table = [
        ("echo kept; sleep 1000", 143),
        ("trap '' TERM; echo kept; while :; do sleep 0.1; done", 137),
        ("trap 'exit 9' TERM; echo kept; sleep 1000 & wait", 9),
        ("(setsid sleep 1000 &); setsid sleep 1000 & echo kept; sleep 1000", 143),
        ("(trap '' TERM; sleep 1000) & echo kept; sleep 1000", 143),
        ("kill -STOP $$", 137),
    ];
    std::thread::scope(|scope| {
        for kind in Shell::installed() {
            for (script, code) in table {
                scope.spawn(move || times_out(kind, script, code));
            }
        }
    });
}

fn times_out(kind: Shell, script: &str, code: u8) {
    let session = Session::new(kind);
    let mut work = shell(script);
    work.timeout_seconds = Some(2);
    session.upload(&work);
    let look = session.run(&session.start(&work));
    assert_eq!(
        killed(&look),
        Some((code, KillReason::Timeout)),
        "{kind:?} {script} {look:?}"
    );
    if script.contains("kept") {
        assert_eq!(bytes(&look.stdout), b"kept\n", "{kind:?} {script}");
    }
    assert!(session.comes_to_rest(), "{kind:?} {script}");
}

#[test]
fn a_command_that_floods_is_killed_and_what_it_printed_is_measured() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        // At its own limit it stops writing, so that the test does not fill the disk.
        let mut work = shell("head -c 20000000 /dev/zero; sleep 1000");
        work.timeout_seconds = Some(1);
        session.upload(&work);
        let look = session.run(&session.start(&work));
        assert_eq!(killed(&look), Some((143, KillReason::Timeout)), "{kind:?}");
        assert_eq!(
            look.stdout.length,
            fs::metadata(session.inner("out")).expect("out").len()
        );
        assert!(matches!(look.stdout.payload, Payload::Sha256(_)), "{kind:?}");
        assert!(session.comes_to_rest(), "{kind:?}");
    }
}

#[test]
fn a_command_that_ends_in_time_is_not_killed() {
    let session = Session::new(Shell::installed()[0]);
    let mut work = shell("sleep 0.3; exit 1");
    work.timeout_seconds = Some(30);
    session.upload(&work);
    let look = session.run(&session.start(&work));
    assert!(
        matches!(
            look.state,
            ReportedState::Ended {
                exit_code: 1,
                killed: None,
                ..
            }
        ),
        "{look:?}"
    );
    assert!(session.comes_to_rest(), "the watcher goes with the runner");
}

#[test]
fn an_uploaded_cancel_file_ends_a_running_command() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo kept; sleep 1000");
        session.upload(&work);
        session.begin(&work);
        session.place(&session.attempt.cancel_upload(KillReason::Delete, 5));
        let look = session.run(&session.look());
        assert_eq!(killed(&look), Some((143, KillReason::Delete)), "{kind:?} {look:?}");
        assert_eq!(bytes(&look.stdout), b"kept\n");
        assert!(session.comes_to_rest(), "{kind:?}");
    }
}

#[test]
fn an_uploaded_cancel_file_keeps_a_command_from_starting() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count");
        session.upload(&work);
        session.place(&session.attempt.cancel_upload(KillReason::Deadline, 5));
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Cancelled(KillReason::Deadline),
            "{kind:?}"
        );
        assert!(!session.file("count").exists());
    }
}

#[test]
fn an_empty_cancel_file_is_a_cancellation() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("sleep 1000");
    session.upload(&work);
    let mut upload = session.attempt.cancel_upload(KillReason::Delete, 5);
    upload.content.clear();
    session.place(&upload);
    assert_eq!(
        session.run(&session.start(&work)).state,
        ReportedState::Cancelled(KillReason::Cancel)
    );
}

#[test]
fn a_cancel_call_ends_a_running_command_and_seals_one_that_has_not_started() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>count; sleep 1000");
        session.upload(&work);
        session.begin(&work);
        assert_eq!(
            killed(&session.run(&session.call(CANCEL))),
            Some((143, KillReason::Cancel)),
            "{kind:?}"
        );
        assert!(session.comes_to_rest());

        let session = Session::new(kind);
        session.upload(&work);
        assert_eq!(
            session.run(&session.call(CANCEL)).state,
            ReportedState::Cancelled(KillReason::Cancel),
            "{kind:?}"
        );
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Cancelled(KillReason::Cancel),
            "{kind:?}"
        );
        assert!(!session.file("count").exists());
    }
}

#[test]
fn a_cancellation_after_the_end_changes_nothing() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("exit 8");
    session.upload(&work);
    let look = session.run(&session.start(&work));
    assert_eq!(session.run(&session.call(CANCEL)).state, look.state);
}

#[test]
fn of_start_and_cancel_at_the_same_time_either_wins_and_both_agree() {
    let mut never_ran = 0;
    for round in 0..40_u64 {
        let kinds = Shell::installed();
        let session = Session::new(kinds[usize::try_from(round).expect("small") % kinds.len()]);
        let work = shell("echo started >>count; sleep 1000");
        session.upload(&work);
        let (start, cancel) = (session.start(&work), session.call(CANCEL));
        let first = session.spawn(&start, "");
        std::thread::sleep(std::time::Duration::from_micros(round * 250));
        let second = session.spawn(&cancel, "");
        let looks = [(start.clone(), first), (cancel, second)].map(|(call, child)| {
            let output = child.wait_with_output().expect("an answer");
            call.parse(&output.stdout, &output.stderr).expect("a frame")
        });
        let ran = session.file("count").exists();
        for look in looks {
            match look.state {
                ReportedState::Cancelled(KillReason::Cancel) => assert!(!ran, "round {round}"),
                ReportedState::Ended {
                    killed: Some(KillReason::Cancel),
                    ..
                } => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        never_ran += usize::from(!ran);
        assert!(session.comes_to_rest(), "round {round}");
    }
    eprintln!("{never_ran} of 40 never ran");
}
