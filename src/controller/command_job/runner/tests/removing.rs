//! Commands that remove, move, close or stop what they find. They are started once, and where anything of it is left, what they
//! returned and printed is exact.

use std::fs;

use super::super::*;
use super::session::*;

/// What a command does to the session that it runs in, its working directory first.
const DEEDS: [&str; 25] = [
    "rm -rf *",
    "rm -rf \"$PWD\"/*/",
    "mkdir build; rm -rf */",
    "find \"$PWD\" -mindepth 1 -delete",
    "mkdir ../o; : >a; mv * ../o/",
    "cd ..; rm -rf data",
    "cd ..; mv data o",
    "chmod 000 \"$PWD\"",
    "kill -STOP $PPID",
    "rm -rf ../first/.lg*",
    "mv ../first/.lg* ../o",
    "rm -rf ../first ../second ../data",
    "find ../first ../second . -delete",
    "chmod 000 ../first/.lg*; kill -STOP $PPID",
    "rm -f ../first/.lg*/lock",
    "rm -f ../first/.lg*/h.*",
    "rm -f ../first/.lg*/lock ../first/.lg*/h.*; kill -STOP $PPID",
    "rm -f ../first/.lg*/out ../first/.lg*/err",
    "cd ../first/.lg*; rm -f out err; mkfifo out err",
    "cd ../first/.lg*; rm -f out err; ln -s /dev/zero out; mkdir err",
    "cd ../first/.lg*; rm -f lock; mkfifo lock",
    "cd ../first/.lg*; rm -f p; mkfifo p",
    "cd ../first/.lg*; rm -f lock; mkdir lock",
    "for f in ../first/.lg*/lock; do : >$f; done",
    "chmod 000 ../first/.lg*/* ../first/.lg*; kill -STOP $PPID",
];

fn starts(session: &Session) -> usize {
    fs::read_to_string(session.outside("count")).map_or(0, |text| text.lines().count())
}

/// All of it on as many threads as the machine has use for.
fn each(cases: &[(Shell, &'static str, &'static str)], test: impl Fn(Shell, &str, &str) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((kind, first, second)) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    test(*kind, first, second);
                }
            });
        }
    });
}

/// Each pair in one of the shells, by turns.
fn cases(first: &[&'static str], second: &[&'static str]) -> Vec<(Shell, &'static str, &'static str)> {
    let pairs = first
        .iter()
        .flat_map(|it| second.iter().map(move |other| (*it, *other)));
    let kinds = Shell::installed();
    pairs
        .enumerate()
        .map(|(index, (it, other))| (kinds[(index + index / second.len()) % kinds.len()], it, other))
        .collect()
}

#[test]
fn a_command_that_removes_what_it_finds_runs_once_and_its_end_is_exact() {
    // At once, and while it is looked at.
    let pauses = ["true", "sleep 2.3"];
    each(&cases(&DEEDS, &pauses), |kind, deed, pause| {
        let session = Session::new(kind);
        let mut work = shell(&format!(
            "echo started >>../count; seq 1 2000; {deed}; {pause}; echo out; echo err >&2; exit 7"
        ));
        work.env = Some(vec![variable("A", "1")]);
        work.stdin = Some(b"input".to_vec().into());
        session.upload(&work);
        let mut call = session.start(&work);
        call.window_seconds = 1;
        // The same start again for as long as it runs, which is more than the operator does.
        let mut looks = (0..20)
            .map(|_| session.run(&call))
            .skip_while(|look| matches!(look.state, ReportedState::Running { .. }));
        let look = looks.next().expect("an end");
        let case = format!("{kind:?} {deed}; {pause}: {look:?}");
        assert_eq!(exit_code(&look), Some(7), "{case}");
        let expected: String = (1..=2000).map(|n| format!("{n}\n")).collect::<String>() + "out\n";
        assert_eq!(look.stdout.length, expected.len() as u64, "{case}");
        assert_eq!(bytes(&look.stderr), b"err\n", "{case}");
        assert!(matches!(look.stdout.payload, Payload::Sha256(_)), "{case}");
        assert!(
            fs::read(session.published(AttemptFiles::STDOUT)).expect("out") == expected.as_bytes(),
            "{case}"
        );
        let late = session.call(Action::Start {
            work: &work,
            start_by: now() - 1,
        });
        for call in [&call, &late, &session.look()] {
            assert_eq!(session.run(call).state, look.state, "{case}");
        }
        assert_eq!(starts(&session), 1, "{case}");
        assert!(session.comes_to_rest(), "{case}");
    });
}

/// Where callers, runners and commands are killed.
const PLACES: [&str; 11] = [
    "caller-before-mkdir",
    "caller-after-mkdir",
    "caller-after-spawn",
    "caller-before-frame",
    "runner-before-identity",
    "runner-before-link",
    "runner-after-link",
    "runner-after-ticket",
    "runner-before-command",
    "runner-before-exit",
    "command-before-exec",
];

#[test]
fn whoever_is_killed_where_a_command_that_removes_what_it_finds_starts_at_most_once() {
    let deeds = [
        "rm -rf *",
        "cd ..; rm -rf data",
        "rm -rf ../first/.lg*",
        "rm -f ../first/.lg*/lock",
        "mv ../first/.lg* ../o",
        "rm -rf ../first ../second ../data",
        "chmod 000 ../first/.lg*",
    ];
    each(&cases(&PLACES, &deeds), |kind, place, deed| {
        let session = Session::new(kind);
        let work = shell(&format!("echo started >>../count; {deed}; sleep 0.3; exit 7"));
        session.upload(&work);
        let _killed = session.run_killed_at(&session.start(&work), place);
        let again = session.start(&work);
        let late = session.call(Action::Start {
            work: &work,
            start_by: now() - 1,
        });
        let cancel = session.call(Action::Cancel {
            reason: KillReason::Cancel,
            grace_seconds: 1,
        });
        for call in [&again, &late, &again, &cancel, &session.look()] {
            let look = session.run(call);
            let case = format!("{kind:?} {place} {deed}: {look:?}");
            let began = starts(&session);
            assert!(began <= 1, "{case}");
            match look.state {
                ReportedState::Ended { exit_code, .. } if place == "command-before-exec" => assert_eq!(exit_code, 137),
                ReportedState::Ended { exit_code, .. } => assert_eq!((exit_code, began), (7, 1), "{case}"),
                // The lock lies in what the command removed, and the runner is dead.
                ReportedState::Removed | ReportedState::Replaced | ReportedState::Lost { .. } => {
                    assert!(place.starts_with("runner-"), "{case}");
                }
                _ => panic!("{case}"),
            }
        }
        assert!(session.comes_to_rest(), "{kind:?} {place} {deed}");
    });
}

#[test]
fn a_start_that_comes_after_everything_was_removed_proves_nothing() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo started >>../count; kill -9 $PPID; rm -rf ../first ../second ../data; sleep 1000");
        session.upload(&work);
        let mut call = session.start(&work);
        call.window_seconds = 5;
        session.run(&call);
        assert!(session.comes_to_rest(), "{kind:?}");
        for place in ["first", "second", "data"] {
            let _gone = fs::remove_dir_all(session.outside(place));
            fs::create_dir(session.outside(place)).expect("a directory");
        }
        let late = session.call(Action::Start {
            work: &work,
            start_by: now() - 1,
        });
        for call in [&late, &session.start(&work), &session.look()] {
            assert_eq!(session.run(call).state, ReportedState::Replaced, "{kind:?}");
        }
        assert_eq!(starts(&session), 1, "{kind:?}");
    }
}

#[test]
fn a_runner_that_finds_the_ticket_taken_starts_nothing_and_leaves_no_proof() {
    for kind in Shell::installed() {
        for start_by in [now() + 120, now() - 1] {
            let session = Session::new(kind);
            let work = shell("echo started >>../count");
            session.upload(&work);
            // Its caller saw the ticket; then somebody else took it, and everything else went.
            let ticket = session.file(&format!("{}.sh", session.attempt.directory()));
            let call = session.call(Action::Start { work: &work, start_by });
            let hidden = ticket.display().to_string();
            let output = session
                .spawn_changed(&call, &|text| {
                    let line = "printf \"%s\\n\" \"$lg_m\" >&9";
                    text.replacen(line, &format!("rm {hidden}; {line}"), 1)
                })
                .wait_with_output()
                .expect("an answer");
            let look = call.parse(&output.stdout, &output.stderr).expect("a frame");
            assert_eq!(look.state, ReportedState::Removed, "{kind:?}");
            assert_eq!(session.run(&session.look()).state, ReportedState::Removed, "{kind:?}");
            assert_eq!(starts(&session), 0, "{kind:?}");
        }
    }
}

#[test]
fn what_a_daemon_puts_in_the_place_of_the_streams_holds_nobody_up() {
    let deeds = [
        "mkfifo out",
        "ln -s /dev/zero out",
        "mkdir out",
        "head -c 0 /dev/null >out; chmod 000 out",
    ];
    each(&cases(&deeds, &["9000", "9000000"]), |kind, deed, size| {
        let session = Session::new(kind);
        let work = shell(&format!("head -c {size} /dev/zero; exit 7"));
        session.upload(&work);
        assert_eq!(exit_code(&session.run(&session.start(&work))), Some(7));
        let place = session.inner("");
        let changed = std::process::Command::new("sh")
            .args(["-c", &format!("rm -f out; {deed}")])
            .current_dir(place)
            .status();
        assert!(changed.expect("a shell").success());
        let mut call = session.look();
        for streams in [Streams::Fitting, Streams::Files { head: 10, tail: 10 }] {
            call.streams = streams;
            let look = session.run(&call);
            assert_eq!(exit_code(&look), Some(7), "{kind:?} {deed}");
            assert_eq!(look.stdout.length.to_string(), size, "{kind:?} {deed}");
        }
        assert!(session.comes_to_rest(), "{kind:?} {deed}");
    });
}

#[test]
fn a_command_that_never_ends_and_stops_its_runner_meets_its_deadline() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let mut work = shell("trap '' TERM; kill -STOP $PPID; sleep 1; kill -STOP $PPID; while :; do sleep 0.1; done");
        work.timeout_seconds = Some(2);
        session.upload(&work);
        let look = session.run(&session.start(&work));
        let expected = Some(KillReason::Timeout);
        assert!(
            matches!(look.state, ReportedState::Ended { exit_code: 137, killed, .. } if killed == expected),
            "{kind:?} {look:?}"
        );
        assert!(session.comes_to_rest(), "{kind:?}");
    }
}
