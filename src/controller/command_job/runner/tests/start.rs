//! One start, whole answer.

use super::super::*;
use super::session::*;

#[test]
fn a_command_runs_once_and_its_answer_is_exact() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo \"hi from $0\"; echo oops >&2; exit 7\n");
        session.upload(&work);
        let look = session.run(&session.start(&work));
        let script = session.file(&format!("{}.sh", session.attempt.directory()));
        assert_eq!(exit_code(&look), Some(7), "{kind:?} {look:?}");
        assert_eq!(
            bytes(&look.stdout),
            format!("hi from {}\n", script.display()).into_bytes()
        );
        assert_eq!(bytes(&look.stderr), b"oops\n");
        assert_eq!(
            session.run(&session.look()),
            Look {
                missing: session.run(&session.look()).missing,
                ..look
            }
        );
        assert!(session.comes_to_rest(), "{kind:?}");
    }
}
