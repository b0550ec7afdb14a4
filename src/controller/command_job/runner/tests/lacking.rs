//! Sessions that lack a tool still keep every promise, and say what they lack.

use super::super::*;
use super::session::*;

#[test]
fn a_session_without_a_tool_says_so_and_is_exact_all_the_same() {
    let cases: [(&[&str], &[Missing]); 5] = [
        (&[], &[]),
        (&["flock"], &[Missing::Flock]),
        (&["setsid"], &[Missing::Setsid, Missing::InterruptDefault]),
        (&["sha256sum", "base64"], &[Missing::Sha256sum, Missing::Base64]),
        (
            &["flock", "setsid", "sha256sum", "base64"],
            &[
                Missing::Flock,
                Missing::Setsid,
                Missing::Sha256sum,
                Missing::Base64,
                Missing::InterruptDefault,
            ],
        ),
    ];
    for kind in [Shell::Dash, Shell::Bash]
        .into_iter()
        .filter(|kind| Shell::installed().contains(kind))
    {
        for (lacking, missing) in cases {
            let session = Session::without(kind, lacking);
            let all: Vec<u8> = (0..=255).cycle().take(1700).collect();
            let mut work = shell("echo started >>count; cat; sleep 0.2; echo err >&2; exit 3");
            work.stdin = Some(all.clone().into());
            session.upload(&work);
            let look = session.run(&session.start(&work));
            assert_eq!(exit_code(&look), Some(3), "{kind:?} {lacking:?} {look:?}");
            assert_eq!(
                (bytes(&look.stdout), bytes(&look.stderr)),
                (all, b"err\n".to_vec()),
                "{kind:?} {lacking:?}"
            );
            assert_eq!(look.missing, missing, "{kind:?}");
            assert_eq!(std::fs::read(session.file("count")).expect("count"), b"started\n");
            assert!(session.comes_to_rest(), "{kind:?} {lacking:?}");
        }
    }
}

#[test]
fn a_session_without_a_tool_enforces_the_timeout() {
    for lacking in ["flock", "setsid"] {
        let session = Session::without(Shell::installed()[0], &[lacking]);
        let mut work = shell("sleep 1000 & trap '' TERM; while :; do sleep 0.1; done");
        work.timeout_seconds = Some(1);
        session.upload(&work);
        let look = session.run(&session.start(&work));
        let expected = Some(KillReason::Timeout);
        assert!(
            matches!(look.state, ReportedState::Ended { exit_code: 137, killed, .. } if killed == expected),
            "{lacking} {look:?}"
        );
        assert!(session.comes_to_rest(), "{lacking}");
    }
}

#[test]
fn a_session_where_hard_links_are_refused_starts_once() {
    // `ln` that always fails stands for such a file system.
    let session = Session::without(Shell::installed()[0], &["ln"]);
    std::fs::write(session.outside("bin/ln"), "#!/bin/false\n").expect("a file");
    let work = shell("echo started >>count; sleep 0.2; exit 3");
    session.upload(&work);
    let (first, second) = (session.start(&work), session.start(&work));
    let children = [&first, &second].map(|call| session.spawn(call, ""));
    for (call, child) in [&first, &second].into_iter().zip(children) {
        let output = child.wait_with_output().expect("an answer");
        let look = call.parse(&output.stdout, &output.stderr).expect("a frame");
        assert!(matches!(exit_code(&look), Some(3)), "{look:?}");
    }
    assert_eq!(std::fs::read(session.file("count")).expect("count"), b"started\n");
}
