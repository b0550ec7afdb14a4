//! What a command sees, and what is seen of it, is what it would be without the runner between.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sha2::{Digest, Sha256};

use super::super::*;
use super::session::*;

fn outcome(kind: Shell, work: &Work) -> Report {
    let session = Session::new(kind);
    session.upload(work);
    let look = session.run(&session.start(work));
    assert!(session.comes_to_rest(), "{kind:?}: nothing is left behind");
    look
}

#[test]
fn a_command_runs_once_and_its_answer_is_exact() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo \"hi from $0\"; echo oops >&2; exit 7\n");
        session.upload(&work);
        let look = session.run(&session.start(&work));
        let script = session.inner("sh");
        assert_eq!(exit_code(&look), Some(7), "{kind:?} {look:?}");
        assert_eq!(
            bytes(&look.stdout),
            format!("hi from {}\n", script.display()).into_bytes()
        );
        assert_eq!(bytes(&look.stderr), b"oops\n");
        let again = session.run(&session.look());
        assert_eq!(
            (again.state, again.stdout, again.stderr),
            (look.state, look.stdout, look.stderr)
        );
        assert!(session.comes_to_rest(), "{kind:?}");
    }
}

#[test]
fn every_exit_code_arrives() {
    let codes: Vec<u8> = (0..=255).collect();
    std::thread::scope(|scope| {
        for codes in codes.chunks(64) {
            scope.spawn(move || {
                for &code in codes {
                    let look = outcome(Shell::installed()[0], &shell(&format!("exit {code}")));
                    assert_eq!(exit_code(&look), Some(code));
                }
            });
        }
    });
}

#[test]
fn death_by_a_signal_is_128_and_its_number() {
    for kind in Shell::installed() {
        // Not 3: bash always ignores it in itself. And without `setsid -f`, which busybox lacks, 2 is ignored.
        for signal in [1, 2, 6, 9, 11, 13, 14, 15]
            .into_iter()
            .filter(|n| *n != 2 || kind != Shell::Busybox)
        {
            let look = outcome(kind, &shell(&format!("kill -{signal} $$; exit 1")));
            assert_eq!(exit_code(&look), Some(128 + signal), "{kind:?} signal {signal}");
        }
    }
}

#[test]
fn a_command_that_kills_its_own_group_still_has_an_outcome() {
    for kind in Shell::installed() {
        assert_eq!(exit_code(&outcome(kind, &shell("kill -9 0"))), Some(137), "{kind:?}");
    }
}

#[test]
fn what_cannot_be_executed_is_127_or_126_with_a_message() {
    for kind in Shell::installed() {
        for (work, code) in [
            (command(&["no-such-program"]), 127),
            (command(&["/no/such/program"]), 127),
            (command(&["-n"]), 127),
            (command(&["/etc/passwd"]), 126),
            (shell("#!/no/such/interpreter\n"), 127),
            (shell("no-such-program"), 127),
        ] {
            let look = outcome(kind, &work);
            assert_eq!(exit_code(&look), Some(code), "{kind:?} {work:?}");
            assert!(look.stderr.length > 0 && look.stdout.length == 0, "{kind:?} {work:?}");
        }
    }
}

#[test]
fn arguments_are_passed_as_they_are() {
    let words = [
        "printf",
        "[%s]",
        "",
        "a b",
        "'",
        "\"",
        "$HOME `id` \\",
        "\n\n",
        "*",
        "é\u{1F600}",
        "-n",
        "~",
    ];
    for kind in Shell::installed() {
        let look = outcome(kind, &command(&words));
        let expected: String = words[2..].iter().map(|word| format!("[{word}]")).collect();
        assert_eq!(bytes(&look.stdout), expected.into_bytes(), "{kind:?}");
    }
}

#[test]
fn the_first_line_of_a_script_chooses_its_interpreter() {
    for kind in Shell::installed() {
        for (script, expected) in [
            ("#!/bin/cat\nbody\n", "#!/bin/cat\nbody\n"),
            ("#! /usr/bin/env  cat \nbody", "#! /usr/bin/env  cat \nbody"),
            ("#!/usr/bin/head -n 1\nbody\n", "#!/usr/bin/head -n 1\n"),
            ("#!\necho plain", "plain\n"),
            ("# comment\necho plain", "plain\n"),
        ] {
            let look = outcome(kind, &shell(script));
            assert_eq!(bytes(&look.stdout), expected.as_bytes(), "{kind:?} {script:?}");
        }
    }
}

#[test]
fn a_script_without_a_first_line_runs_under_bash_where_there_is_one() {
    let look = outcome(Shell::installed()[0], &shell("echo \"${BASH_VERSION:+bash}\""));
    let expected: &[u8] = if std::path::Path::new("/bin/bash").exists() {
        b"bash\n"
    } else {
        b"\n"
    };
    assert_eq!(bytes(&look.stdout), expected);
}

#[test]
fn odd_scripts_end_as_they_would_by_themselves() {
    for (script, code, stdout) in [
        ("", 0, ""),
        ("set -e; false; echo no", 1, ""),
        ("exec echo replaced", 0, "replaced\n"),
        ("if true; then", 2, ""),
        ("cat <<'X'\n$a 'b' \"c\"\nX\n", 0, "$a 'b' \"c\"\n"),
        ("printf 'a\\r\\nb'", 0, "a\r\nb"),
        ("echo '@DIR@ @ID@ @WORDS@'", 0, "@DIR@ @ID@ @WORDS@\n"),
    ] {
        let look = outcome(Shell::installed()[0], &shell(script));
        assert_eq!(
            (exit_code(&look), bytes(&look.stdout)),
            (Some(code), stdout.as_bytes().to_vec()),
            "{script:?}"
        );
    }
}

#[test]
fn a_script_of_300_kilobytes_runs() {
    for kind in Shell::installed() {
        let mut script = "# filler\n".repeat(34_000);
        script.push_str("echo end\n");
        assert!(script.len() > 300_000);
        assert_eq!(bytes(&outcome(kind, &shell(&script)).stdout), b"end\n", "{kind:?}");
    }
}

#[test]
fn the_command_sees_the_descriptors_of_the_call_and_no_other() {
    for kind in [Shell::Dash, Shell::Bash]
        .into_iter()
        .filter(|kind| Shell::installed().contains(kind))
    {
        let mut work = command(&["ls", "/proc/self/fd"]);
        work.env = Some(vec![variable("A", "1")]);
        let look = outcome(kind, &work);
        // A process without the runner between, because whoever runs this test may leave descriptors open.
        let control = Command::new("ls").arg("/proc/self/fd").output().expect("ls");
        assert_eq!(
            String::from_utf8(bytes(&look.stdout)),
            String::from_utf8(control.stdout),
            "{kind:?}"
        );
    }
}

#[test]
fn no_signal_is_ignored_or_blocked_in_the_command() {
    let masks = |status: Vec<u8>| -> Vec<String> {
        let status = String::from_utf8(status).expect("text");
        let masks = status
            .lines()
            .filter(|line| line.starts_with("SigIgn") || line.starts_with("SigBlk"));
        masks.map(str::to_owned).collect()
    };
    for kind in [Shell::Dash, Shell::Bash]
        .into_iter()
        .filter(|kind| Shell::installed().contains(kind))
    {
        let look = outcome(kind, &command(&["cat", "/proc/self/status"]));
        let control = Command::new("/usr/bin/env")
            .args(["--default-signal", "cat", "/proc/self/status"])
            .output();
        let control = control.expect("cat");
        assert_eq!(masks(bytes(&look.stdout)), masks(control.stdout), "{kind:?}");
    }
}

#[test]
fn the_working_directory_is_that_of_the_call() {
    let session = Session::new(Shell::installed()[0]);
    let work = command(&["pwd"]);
    session.upload(&work);
    let look = session.run(&session.start(&work));
    assert_eq!(
        bytes(&look.stdout),
        format!("{}\n", session.root.display()).into_bytes()
    );
}

#[test]
fn standard_input_is_exact_and_empty_where_there_is_none() {
    let all: Vec<u8> = (0..=255).collect();
    for kind in Shell::installed() {
        let mut work = command(&["cat"]);
        assert_eq!(outcome(kind, &work).stdout.length, 0);
        work.stdin = Some(all.clone().into());
        assert_eq!(bytes(&outcome(kind, &work).stdout), all, "{kind:?}");
    }
}

#[test]
fn streams_of_every_size_are_exact() {
    for kind in Shell::installed() {
        for size in [0, 1, 2699, 2700, 2701, 3000, 3001, 4095, 4096, 4097, 3 * 4096] {
            let mut work = shell("cat >copy; cat copy; cat copy >&2");
            let data: Vec<u8> = (0..size)
                .map(|n: u32| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
                .collect();
            work.stdin = Some(data.clone().into());
            let look = outcome(kind, &work);
            let digest: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
            for (stream, limit) in [(&look.stdout, 2700), (&look.stderr, 3000)] {
                assert_eq!(stream.length, u64::from(size), "{kind:?}");
                if size > limit {
                    assert_eq!(stream.payload, Payload::Sha256(digest.clone()), "{kind:?} {size}");
                } else {
                    assert_eq!(bytes(stream), data, "{kind:?} {size}");
                }
            }
        }
    }
}

#[test]
fn uploaded_files_are_the_owners_alone_and_the_directory_too() {
    let session = Session::new(Shell::installed()[0]);
    let mut work = shell("exit 0");
    work.env = Some(vec![variable("A", "1")]);
    session.upload(&work);
    session
        .run_killed_at(&session.start(&work), "caller-after-mkdir")
        .expect_err("killed");
    let mode = |path: std::path::PathBuf| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    let name = session.attempt.directory();
    assert_eq!(mode(session.file(&format!("{name}.sh"))), 0o700);
    assert_eq!(mode(session.file(&format!("{name}.env"))), 0o600);
    assert_eq!(mode(session.inner("")), 0o700);
}
