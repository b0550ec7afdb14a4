//! A session that is emptied for another command: what a hostile one leaves in it is gone, or it is said that something is left.

use super::super::*;
use super::session::*;

/// Each with one of the shells, by turns.
fn by_turns<T>(cases: impl IntoIterator<Item = T>) -> impl Iterator<Item = (Shell, T)> {
    let shells: Vec<_> = shells().collect();
    shells.into_iter().cycle().zip(cases)
}

fn shells() -> impl Iterator<Item = Shell> {
    // The others lack what tells when a file was changed.
    let installed = Shell::installed().into_iter();
    installed.filter(|it| *it != Shell::Busybox)
}

/// The first call of a session, which empties it where it sees the end.
fn first<'a>(session: &'a Session, work: &'a Work) -> Call<'a> {
    let mut call = session.start(work);
    call.cleaning = Some(Cleaning {
        baseline: None,
        mark: None,
        when: CleanWhen::AllIsTold,
    });
    call
}

/// A look that empties the session where the command has ended.
fn look<'a>(session: &'a Session, baseline: &'a Baseline) -> Call<'a> {
    let mut call = session.look();
    call.cleaning = Some(Cleaning {
        baseline: Some(baseline),
        mark: None,
        when: CleanWhen::AllIsTold,
    });
    call
}

/// What the session was before a command that runs for longer than a call waits.
fn begun(session: &Session, work: &Work) -> Baseline {
    let mut call = first(session, work);
    call.window_seconds = 1;
    let report = session.run(&call);
    assert_eq!(report.cleaned.remains, None);
    let mut looks = std::iter::once(report.state).chain((0..20).map(|_| session.run(&call).state));
    assert!(looks.any(|it| matches!(it, ReportedState::Running { .. })));
    report.cleaned.baseline.expect("what it was")
}

/// What is left of a command, and its result, which is exact whatever is left.
fn left(session: &Session, deed: &str) -> (Option<Remains>, Baseline) {
    let work = shell(&format!(
        "{{ {deed}\n}} >/dev/null 2>&1; echo out; echo err >&2; exit 3"
    ));
    session.upload(&work);
    let report = session.run(&first(session, &work));
    assert_eq!(exit_code(&report), Some(3), "{deed}: {report:?}");
    assert_eq!(
        (bytes(&report.stdout), bytes(&report.stderr)),
        (b"out\n".to_vec(), b"err\n".to_vec()),
        "{deed}"
    );
    (report.cleaned.remains, report.cleaned.baseline.expect("what it was"))
}

/// All files in what is emptied, but those of attempts.
fn files(session: &Session) -> String {
    session.inside("find . ../first ../second ../home -mindepth 1 ! -path '*lg-*'")
}

/// All processes but the first ones and those that ask.
fn processes(session: &Session) -> String {
    let found = session.inside(
        "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || [ $p = $$ ] || tr '\\0' ' ' </proc/$p/cmdline; done 2>/dev/null",
    );
    found.replace("sleep 100000 ", "")
}

#[test]
fn what_a_command_leaves_behind_is_gone_and_its_result_stays() {
    for (kind, deed) in by_turns([
        ":",
        "sleep 1000 & sleep 1001 &",
        "env -i setsid sh -c 'sleep 1000 & sleep 1001' &",
        "(trap '' TERM HUP INT; setsid env -i sh -c 'while :; do sleep 1000; done' &)",
        // Names in which the numbers are not to be found where they usually are.
        "n=$(printf 'a\\n) S 1 1'); for n in \"$n\" ') S 1 1 ('; do cp $(command -v sleep) \"$n\"; \"./$n\" 1000 & done",
        "echo x >leftover; mkdir -p ../first/a/b ../second/.hidden; echo y >../first/a/b/c; ln -s / root; mkfifo pipe",
        "echo x >\"$HOME/new\"; mkdir -p \"$HOME/.cache/deep\"; echo y >\"$HOME/.cache/deep/file\"",
        "mkdir -p ../first/locked/in; touch ../first/locked/in/it; chmod 000 ../first/locked/in ../first/locked",
        "cat /dev/zero >../first/fill",
        "cat /dev/zero >../second/fill; cat /dev/zero >../first/fill",
        // What is open is on the disk although it has no name any more.
        "(env -i setsid sh -c 'cat /dev/zero >../second/fill; rm ../second/fill; sleep 1000' >../second/fill &); sleep 1",
        "mkdir ../first/.lg-*/hidden; echo x >../first/.lg-*/more; head -c 100000 /dev/zero >../first/.lg-*/exit.d; mkdir ../first/.lg-*/exit.e",
    ]) {
        let session = Session::new(kind).contained();
        let before = files(&session);
        let (remains, baseline) = left(&session, deed);
        assert_eq!(
            remains,
            Some(Remains::Nothing),
            "{kind:?} {deed}\n{}{}",
            files(&session),
            processes(&session)
        );
        assert_eq!(files(&session), before, "{kind:?} {deed}");
        assert_eq!(processes(&session), "", "{kind:?} {deed}");
        // It ended once and for all: whoever asks again is told the same.
        let again = session.run(&look(&session, &baseline));
        assert_eq!(
            (exit_code(&again), bytes(&again.stdout)),
            (Some(3), b"out\n".to_vec()),
            "{kind:?} {deed}"
        );
        assert_eq!(again.cleaned.remains, Some(Remains::Nothing), "{kind:?} {deed}");
    }
}

#[test]
fn a_session_in_which_something_is_left_is_not_said_to_be_clean() {
    for (kind, (deed, expected)) in by_turns([
        ("echo 'evil' >>/etc/profile", Remains::System),
        ("echo x >/etc/new", Remains::System),
        ("rm /etc/profile", Remains::System),
        ("chmod 777 /etc/profile", Remains::System),
        ("touch -d 2001-01-01 ../system/shared", Remains::System),
        (
            "printf '#!/bin/sh\\n' >../tools/ls; chmod 755 ../tools/ls",
            Remains::System,
        ),
        ("mkdir ../tools/empty", Remains::System),
        ("echo 'evil' >>\"$HOME/.profile\"", Remains::Home),
        ("rm \"$HOME/.profile\"", Remains::Home),
        ("mount -t tmpfs extra ../second", Remains::Mounts),
        ("mkdir ../x; mount --bind ../x ../system", Remains::Mounts),
        ("umount ../second", Remains::Mounts),
        ("mkdir ../first/.lg-ofanother", Remains::Used),
        ("echo x >lg-another0.sh", Remains::Used),
    ]) {
        let session = Session::new(kind).contained();
        let (remains, _) = left(&session, deed);
        assert_eq!(remains, Some(expected), "{kind:?} {deed}");
    }
}

#[test]
fn what_starts_processes_as_fast_as_they_are_killed_is_ended_or_said() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        let chain = "printf '%s\\n' 'sh \"$0\" &' >../first/chain; sh ../first/chain";
        let (remains, _) = left(&session, chain);
        match remains {
            Some(Remains::Nothing) => assert_eq!(processes(&session), "", "{kind:?}"),
            remains => assert_eq!(remains, Some(Remains::Processes), "{kind:?}"),
        }
    }
}

#[test]
fn what_was_there_before_the_first_command_stays() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        session.inside("setsid sleep 1002 >/dev/null 2>&1 & sleep 0.1");
        let (remains, _) = left(&session, "sleep 1003 &");
        assert_eq!(remains, Some(Remains::Nothing), "{kind:?}");
        assert_eq!(processes(&session), "sleep 1002 ", "{kind:?}");
        assert_eq!(session.inside("cat \"$HOME/.profile\""), "# theirs\n");
    }
}

#[test]
fn while_the_command_runs_or_where_its_output_does_not_fit_nothing_is_removed() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        let work = shell("echo x >kept; sleep 1000");
        session.upload(&work);
        let mut call = first(&session, &work);
        call.window_seconds = 1;
        let report = session.run(&call);
        assert!(
            matches!(report.state, ReportedState::Running { .. }),
            "{kind:?} {report:?}"
        );
        let baseline = report.cleaned.baseline.clone().expect("what it was");
        assert_eq!(report.cleaned.remains, None);
        // Only the call that starts the command knows what was before; another one is told.
        let again = session.run(&call);
        assert_eq!(again.cleaned, Cleaned::default(), "{kind:?}");
        let mut looking = look(&session, &baseline);
        looking.window_seconds = 0;
        let report = session.run(&looking);
        assert_eq!(
            (report.cleaned.baseline, report.cleaned.remains),
            (Some(baseline), None),
            "{kind:?}"
        );
        assert_eq!(session.inside("cat kept"), "x\n", "{kind:?}");

        let session = Session::new(kind).contained();
        let work = shell("echo x >kept; seq 10000");
        session.upload(&work);
        let report = session.run(&first(&session, &work));
        assert!(
            matches!(report.stdout.payload, Payload::Sha256(_)),
            "{kind:?} {report:?}"
        );
        assert_eq!(report.cleaned.remains, None, "{kind:?}");
        assert_eq!(
            session.inside("cat kept; cat lg-*/out | wc -l"),
            "x\n10000\n",
            "{kind:?}"
        );
    }
}

#[test]
fn a_call_that_is_killed_while_it_empties_is_repeated_and_takes_no_result_away() {
    for (kind, place) in by_turns([
        "caller-before-cleaning",
        "caller-before-killing",
        "caller-before-emptying",
        "caller-before-frame",
    ]) {
        let session = Session::new(kind).contained();
        let work = shell("echo x >leftover; setsid sleep 1000 >/dev/null 2>&1 & sleep 2; echo out; exit 3");
        session.upload(&work);
        let baseline = begun(&session, &work);
        let looking = look(&session, &baseline);
        assert_eq!(
            session.run_killed_at(&looking, place),
            Err(FrameError::Missing),
            "{kind:?} {place}"
        );
        let report = session.run(&look(&session, &baseline));
        assert_eq!(
            (exit_code(&report), bytes(&report.stdout)),
            (Some(3), b"out\n".to_vec()),
            "{kind:?} {place}"
        );
        assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?} {place}");
        assert_eq!(processes(&session), "", "{kind:?} {place}");
    }
    for kind in shells() {
        let session = Session::new(kind).contained();
        let work = shell("echo x >leftover; echo out");
        session.upload(&work);
        let call = first(&session, &work);
        let report = session.run_killed_at(&call, "empty-before-looking").expect("a frame");
        assert_eq!(
            (bytes(&report.stdout), report.cleaned.remains),
            (b"out\n".to_vec(), Some(Remains::Unfinished))
        );
    }
}

#[test]
fn the_next_command_finds_nothing_of_the_one_before_and_both_have_their_results() {
    for kind in shells() {
        let mut session = Session::new(kind).contained();
        let (remains, baseline) = left(&session, "echo secret >leftover; sleep 1000 &");
        assert_eq!(remains, Some(Remains::Nothing), "{kind:?}");
        for round in 0..3 {
            let earlier = session.next_attempt();
            let work = shell("find . ../first ../second -mindepth 1 | grep -c lg-; echo x >leftover; exit 4");
            session.upload(&work);
            // One that comes late finds that the session is used.
            let late = Call {
                attempt: &earlier,
                ..look(&session, &baseline)
            };
            let late = session.run(&late);
            assert_eq!(
                (exit_code(&late).is_some(), late.cleaned.remains),
                (true, Some(Remains::Used)),
                "{kind:?}"
            );
            let mut call = session.start(&work);
            call.earlier = Some(&earlier);
            call.cleaning = Some(Cleaning {
                baseline: Some(&baseline),
                mark: None,
                when: CleanWhen::AllIsTold,
            });
            let report = session.run(&call);
            assert_eq!(exit_code(&report), Some(4), "{kind:?} {report:?}");
            let own = bytes(&report.stdout);
            assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?} {round}");
            // Its own directory, with what is in there.
            let alone =
                session.inside("find . ../first ../second -mindepth 1 -name '*lg-*' ! -path '*/*lg-*/*' | wc -l");
            assert_eq!(alone.trim(), "2", "{kind:?} {round}");
            assert!(
                String::from_utf8_lossy(&own).trim().parse::<u32>().expect("a number") < 10,
                "{kind:?}"
            );
        }
    }
}

/// The baseline without the note that nothing of the system can be written to.
fn bare(baseline: &Baseline) -> &str {
    baseline.as_str().trim_end_matches("_r")
}

#[test]
fn a_session_that_took_the_place_of_the_one_that_is_known_is_looked_at_anew() {
    for kind in shells() {
        let mut session = Session::new(kind).contained();
        let (_, baseline) = left(&session, ":");
        let earlier = session.next_attempt();
        session.inside("rm -rf ../first/.lg-* ../second/.lg-* lg-*");
        let work = shell("true");
        session.upload(&work);
        let mut call = session.start(&work);
        call.earlier = Some(&earlier);
        call.cleaning = Some(Cleaning {
            baseline: Some(&baseline),
            mark: None,
            when: CleanWhen::AllIsTold,
        });
        let cleaned = session.run(&call).cleaned;
        let anew = cleaned.baseline.expect("what it is");
        assert_ne!(bare(&anew), bare(&baseline), "{kind:?}");
        assert_eq!(cleaned.remains, Some(Remains::Nothing), "{kind:?}");
    }
}

#[test]
fn a_session_is_emptied_for_a_command_whose_output_was_read_apart() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        let (remains, baseline) = left(&session, "echo x >leftover; seq 10000 >&3");
        assert_eq!(remains, Some(Remains::Nothing));
        let session = Session::new(kind).contained();
        let work = shell("echo x >leftover; seq 10000");
        session.upload(&work);
        let report = session.run(&first(&session, &work));
        let baseline_here = report.cleaned.baseline.expect("what it was");
        assert_ne!(bare(&baseline_here), bare(&baseline));
        let mut call = look(&session, &baseline_here);
        call.cleaning = call.cleaning.map(|it| Cleaning {
            when: CleanWhen::Ended,
            ..it
        });
        let report = session.run(&call);
        assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?}");
        assert_eq!(files(&session), "../home/.profile\n", "{kind:?}");
    }
}

#[test]
fn a_clean_session_has_its_mark_and_nothing_that_a_command_wrote_there() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        let (_, baseline) = left(&session, ":");
        for (deed, expected) in [
            (":", "it is this"),
            ("rm lg-session; mkdir lg-session; echo x >lg-session/x", "it is this"),
        ] {
            session.inside(deed);
            let mut call = look(&session, &baseline);
            call.cleaning = call.cleaning.map(|it| Cleaning {
                mark: Some("it is this"),
                ..it
            });
            assert_eq!(session.run(&call).cleaned.remains, Some(Remains::Nothing), "{kind:?}");
            assert_eq!(session.inside("cat lg-session").trim(), expected, "{kind:?}");
        }
        session.inside("echo 'of a command' >lg-session");
        let report = session.run(&look(&session, &baseline));
        assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?}");
        assert_eq!(files(&session), "../home/.profile\n", "{kind:?}");
    }
}

#[test]
fn an_abandoned_session_is_emptied_whatever_is_in_it_and_known_again_afterwards() {
    for kind in shells() {
        let mut session = Session::new(kind).contained();
        let (_, baseline) = left(&session, ":");
        session.inside("echo secret >lg-another0.env; echo x >leftover; mkdir ../first/.lg-other000");
        session.next_attempt();
        let mut call = look(&session, &baseline);
        call.cleaning = call.cleaning.map(|it| Cleaning {
            when: CleanWhen::Abandoned,
            ..it
        });
        assert_eq!(session.run(&call).cleaned.remains, Some(Remains::Nothing), "{kind:?}");
        assert_eq!(session.inside("ls").trim(), "", "{kind:?}");
        let earlier = session.next_attempt();
        let work = shell("echo out");
        session.upload(&work);
        let mut call = session.start(&work);
        call.earlier = Some(&earlier);
        call.cleaning = Some(Cleaning {
            baseline: Some(&baseline),
            mark: None,
            when: CleanWhen::AllIsTold,
        });
        let report = session.run(&call);
        let told = report.cleaned.baseline.as_ref().map(bare);
        assert_eq!(
            (bytes(&report.stdout), told),
            (b"out\n".to_vec(), Some(bare(&baseline))),
            "{kind:?}"
        );
        assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?}");
    }
}

#[test]
fn what_no_command_can_write_to_is_looked_at_once() {
    for kind in shells() {
        for is_fixed in [false, true] {
            let session = Session::new(kind).contained();
            if is_fixed {
                session.inside(
                    "for d in /etc ../system ../tools /usr; do mount --bind $d $d; mount -o remount,bind,ro $d; done",
                );
            }
            let (remains, baseline) = left(&session, ":");
            assert_eq!(remains, Some(Remains::Nothing), "{kind:?}");
            assert_eq!(baseline.as_str().ends_with("_r"), is_fixed, "{kind:?}");
            let again = session.run(&look(&session, &baseline)).cleaned;
            assert_eq!(
                (again.baseline, again.remains),
                (Some(baseline), Some(Remains::Nothing)),
                "{kind:?}"
            );
        }
    }
}

#[test]
fn a_session_that_cannot_tell_when_a_file_was_changed_is_not_said_to_be_clean() {
    for lacking in ["find", "timeout", "sha256sum"] {
        let session = Session::without(Shell::Dash, &[lacking]).contained();
        let work = shell("echo out; exit 3");
        session.upload(&work);
        let report = session.run(&first(&session, &work));
        assert_eq!(
            (exit_code(&report), bytes(&report.stdout)),
            (Some(3), b"out\n".to_vec()),
            "{lacking}"
        );
        assert_ne!(report.cleaned.remains, Some(Remains::Nothing), "{lacking}");
    }
}

#[test]
fn a_baseline_that_no_call_told_is_refused() {
    let digest = "0123456789abcdef";
    for (text, is_one) in [
        (format!("12_17.5_{digest}_{digest}"), true),
        (format!("12_17_{digest}_-"), true),
        (format!("12_17_{digest}_"), false),
        (format!("12_17__{digest}"), false),
        (format!("12_$(id)_{digest}_-"), false),
        (format!("12_17_{digest}_-_"), false),
        (format!("12_17_{digest}_-_r"), true),
        (format!("12_17_{digest}_-_x"), false),
        ("-".to_owned(), false),
    ] {
        assert_eq!(Baseline::new(&*text).is_some(), is_one, "{text}");
    }
}

#[test]
fn a_call_that_empties_is_small_enough_for_one_argument() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("true");
    let text = first(&session, &work).render();
    assert!(text.len() < 16_384, "{}", text.len());
    let rest = text.replace("\"$@\"", "").replace("\"@$2\"", "");
    assert!(!rest.contains('@'), "every placeholder is filled in");
}

#[test]
fn the_frame_has_room_for_what_is_told_besides_the_streams() {
    for kind in shells() {
        let session = Session::new(kind).contained();
        let work = shell("head -c 2700 /dev/zero; head -c 3000 /dev/zero >&2");
        session.upload(&work);
        let report = session.run(&first(&session, &work));
        assert_eq!((bytes(&report.stdout).len(), bytes(&report.stderr).len()), (2700, 3000));
        assert_eq!(report.cleaned.remains, Some(Remains::Nothing), "{kind:?}");
    }
}
