//! A disk that is full: the command has its exit code, what it printed first is kept, and what may be lost is said.

use super::super::*;
use super::session::*;

/// Fills the disk that the runner's files are on.
const FILL: &str = "cat /dev/zero >../first/fill";

/// Until the runner has seen that the disk is full.
const UNTIL_SEEN: &str = "until grep -q ^f ../first/.lg-*/lock; do sleep 0.1; done";

fn looked_at(session: &Session, text: &str) -> Report {
    let work = shell(&format!("{text}; exit 3"));
    session.upload(&work);
    let look = session.run(&session.start(&work));
    assert_eq!(exit_code(&look), Some(3), "{text}: {look:?}");
    assert!(session.comes_to_rest(), "{text}");
    look
}

fn shells() -> impl Iterator<Item = Shell> {
    let installed = Shell::installed().into_iter();
    installed.filter(|it| *it != Shell::Busybox)
}

#[test]
fn what_is_said_of_a_full_disk_is_kept_although_the_disk_is_full() {
    for kind in shells() {
        let session = Session::new(kind).on_disk_of("400k");
        let look = looked_at(&session, &format!("{FILL}; echo out; echo after >&2"));
        assert_eq!(bytes(&look.stdout), b"out\n", "{kind:?}");
        let stderr = String::from_utf8(bytes(&look.stderr)).expect("text");
        assert!(stderr.contains("No space left on device"), "{kind:?} {stderr}");
        assert!(stderr.ends_with("after\n"), "{kind:?} {stderr}");
        assert!(!look.stdout.is_incomplete && !look.stderr.is_incomplete, "{kind:?}");
    }
}

#[test]
fn a_stream_that_may_have_lost_something_to_a_full_disk_says_so() {
    let print = "head -c 300000 /dev/zero 2>/dev/null";
    for kind in shells() {
        for text in [
            format!("{FILL}; {print}; echo after >&2"),
            format!("{FILL}; {print}; {UNTIL_SEEN}; rm ../first/fill; echo after >&2"),
        ] {
            let session = Session::new(kind).on_disk_of("400k");
            let look = looked_at(&session, &text);
            assert!((65536..300_000).contains(&look.stdout.length), "{kind:?} {look:?}");
            assert!(
                look.stdout.is_incomplete && !look.stderr.is_incomplete,
                "{kind:?} {text}"
            );
        }
    }
}

#[test]
fn a_session_that_can_set_nothing_aside_says_it_of_both_streams() {
    for kind in shells() {
        let session = Session::without(kind, &["fallocate"]).on_disk_of("400k");
        let look = looked_at(&session, &format!("{FILL}; echo out; echo after >&2"));
        assert!(
            look.stdout.is_incomplete && look.stderr.is_incomplete,
            "{kind:?} {look:?}"
        );
    }
}

#[test]
fn of_a_disk_with_space_left_nothing_is_said() {
    for kind in shells() {
        for lacking in [&[][..], &["fallocate"]] {
            let session = Session::without(kind, lacking);
            let look = looked_at(&session, "head -c 300000 /dev/zero; sleep 1.2; echo after >&2");
            assert_eq!((look.stdout.length, look.stderr.length), (300_000, 6), "{kind:?}");
            assert!(!look.stdout.is_incomplete && !look.stderr.is_incomplete, "{kind:?}");
        }
    }
}
