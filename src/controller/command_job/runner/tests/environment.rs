//! The environment arrives exactly, and its file does not stay.

use bytes::Bytes;

use super::super::*;
use super::session::*;

fn names() -> Vec<&'static str> {
    vec![
        "A",
        "_a1",
        "PATH",
        "IFS",
        "HOME",
        "PWD",
        "OLDPWD",
        "PS1",
        "PS4",
        "ENV",
        "BASH_ENV",
        "CDPATH",
        "LC_ALL",
        "LANG",
        "lg_x",
        "lg_a",
        "HISTFILE",
        "TMOUT",
        "OPTARG",
        "POSIXLY_CORRECT",
        "BASH_VERSION",
        "GLOBIGNORE",
        "TMPDIR",
    ]
}

#[test]
fn values_arrive_as_they_are() {
    let values: [&[u8]; 9] = [
        b"",
        b"a b",
        b"'",
        b"\"$A\" `id` $(id) \\",
        b"line\nline\n",
        b"\t \r\n ",
        b"\xff\xfe",
        b"***",
        b"=x=;#",
    ];
    let env = names().into_iter().enumerate().map(|(index, name)| EnvVar {
        name: name.to_owned(),
        value: values[index % values.len()].into(),
    });
    let env: Vec<_> = env.collect();
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let mut work = command(&["/usr/bin/env", "-0"]);
        work.env = Some(env.clone());
        session.upload(&work);
        let look = session.run(&session.start(&work));
        let printed = bytes(&look.stdout);
        let printed: Vec<_> = printed.split(|&byte| byte == 0).collect();
        for EnvVar { name, value } in &env {
            let expected = [name.as_bytes(), b"=", value].concat();
            assert!(printed.contains(&&expected[..]), "{kind:?}: {name} {look:?}");
        }
        assert_eq!(look.stderr.length, 0, "{kind:?}");
        assert!(
            !session.file(&format!("{}.env", session.attempt.directory())).exists(),
            "{kind:?}"
        );
        assert!(session.comes_to_rest());
    }
}

#[test]
fn nothing_but_what_was_asked_for_is_added() {
    for kind in [Shell::Dash, Shell::Busybox]
        .into_iter()
        .filter(|kind| Shell::installed().contains(kind))
    {
        let session = Session::new(kind);
        let work = command(&["/usr/bin/env"]);
        session.upload(&work);
        let printed = bytes(&session.run(&session.start(&work)).stdout);
        let printed = String::from_utf8(printed).expect("text");
        let mut names: Vec<_> = printed
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable();
        // A shell adds its working directory by itself.
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        assert_eq!(names, ["HOME", "LG_ID", "PATH"], "{kind:?}");
    }
}

#[test]
fn a_name_that_a_shell_cannot_set_is_refused() {
    for name in [
        "", "1A", "A-B", "A.B", "A B", "é", "UID", "PPID", "RANDOM", "OPTIND", "LG_ID", "_",
    ] {
        assert!(!is_valid_env_name(name), "{name}");
        let mut work = shell("true");
        work.env = Some(vec![variable(name, "x")]);
        let session = Session::new(Shell::installed()[0]);
        assert_eq!(work.uploads(&session.attempt), Err(WorkError::EnvName(name.to_owned())));
    }
    assert!(names().into_iter().all(is_valid_env_name));
}

#[test]
fn a_cut_or_broken_environment_is_a_failed_preparation_and_does_not_stay() {
    for kind in Shell::installed() {
        for (index, content) in ["export A='1'\n", "export A='1", "", "readonly A; A=1\n", "exit 0\n"]
            .into_iter()
            .enumerate()
        {
            let session = Session::new(kind);
            let mut work = shell("echo ran");
            work.env = Some(vec![variable("A", "secret value")]);
            session.upload(&work);
            let name = format!("{}.env", session.attempt.directory());
            std::fs::write(session.file(&name), content).expect("a file");
            let look = session.run(&session.start(&work));
            assert_eq!(
                look.state,
                ReportedState::Unprepared { killed: None },
                "{kind:?} {index}"
            );
            assert_eq!(look.stdout.length, 0);
            assert!(!session.file(&name).exists());
            assert_eq!(
                session.run(&session.start(&work)).state,
                look.state,
                "it is never tried again"
            );
        }
    }
}

#[test]
fn a_missing_environment_or_input_is_a_failed_preparation() {
    for extension in ["env", "in"] {
        let session = Session::new(Shell::installed()[0]);
        let mut work = shell("echo ran");
        work.env = Some(vec![variable("A", "secret value")]);
        work.stdin = Some("input".into());
        session.upload(&work);
        std::fs::remove_file(session.file(&format!("{}.{extension}", session.attempt.directory()))).expect("a file");
        assert_eq!(
            session.run(&session.start(&work)).state,
            ReportedState::Unprepared { killed: None },
            "{extension}"
        );
    }
}

#[test]
fn secrets_are_in_no_text_and_in_no_debug_output() {
    let session = Session::new(Shell::installed()[0]);
    let mut work = shell("echo canary-program");
    work.env = Some(vec![variable("A", "canary-value")]);
    work.stdin = Some("canary-input".into());
    let call = session.start(&work);
    let shown = format!(
        "{}{call:?}{:?}",
        call.render(),
        work.uploads(&session.attempt).expect("work")
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(!format!("{call:?}").contains(session.attempt.id().as_str()));
}

#[test]
fn a_secrets_file_that_a_killed_runner_left_is_removed_by_the_next_call() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let mut work = shell("echo ran");
        work.env = Some(vec![variable("A", "secret value")]);
        session.upload(&work);
        let look = session
            .run_killed_at(&session.start(&work), "runner-after-link")
            .expect("a frame");
        assert_eq!(look.state, ReportedState::Lost { killed: None });
        assert!(
            !session.file(&format!("{}.env", session.attempt.directory())).exists(),
            "{kind:?}"
        );
    }
}

#[test]
fn values_are_kept_out_of_every_argument_list() {
    let session = Session::new(Shell::installed()[0]);
    let mut work = shell("cat /proc/[0-9]*/cmdline | grep -ac '[c]anary-value'");
    work.env = Some(vec![variable("A", "canary-value")]);
    session.upload(&work);
    assert_eq!(bytes(&session.run(&session.start(&work)).stdout), b"0\n");
}

/// Everything by which a shell shows the variable `A`.
const SHOW: &str = r#"
env; export -p; set
(set -x; : "$A")
case $BASH_VERSION in
?*) eval 'declare -p A; printf "%q\n" "$A"; echo "${A@Q}"; readonly -p; echo "${A@A}"' ;;
esac
"#;

#[test]
fn what_a_shell_quotes_is_masked_too() {
    let values: [&[u8]; 8] = [
        b"c4nary c4nary",
        b"c4nary'c4nary\"c4nary c4nary$c4nary`c4nary\\c4nary''c4nary",
        b"'c4nary'",
        b"c4nary\nc4nary\t'c4nary' \\c4nary\x1bc4nary\n\nc4nary\n",
        "c4naryé'c4nary\u{85}c4nary".as_bytes(),
        b"c4nary\xffc4nary'\x01c4nary\x7fc4nary",
        b"#c4nary~c4nary =~c4nary:~c4nary#c4nary",
        b"c4nary!c4nary%c4nary&c4nary(c4nary)c4nary*c4nary+c4nary,c4nary-c4nary.c4nary/c4nary:c4nary;c4nary<c4nary=\
c4nary>c4nary?c4nary@c4nary[c4nary]c4nary^c4nary_c4nary{c4nary|c4nary}c4nary~c4nary",
    ];
    for kind in Shell::installed() {
        let mut interpreter = kind.program().expect("a shell").display().to_string();
        if kind == Shell::Busybox {
            interpreter.push_str(" sh");
        }
        for value in values {
            // What is printable differs for what is not ASCII.
            for locale in &["C", "C.UTF-8"][..if value.is_ascii() { 1 } else { 2 }] {
                let session = Session::new(kind);
                let mut work = shell(&format!("#!{interpreter}\n{SHOW}"));
                let env = |name: &str, value: &[u8]| EnvVar {
                    name: name.to_owned(),
                    value: Bytes::copy_from_slice(value),
                };
                work.env = Some(vec![env("LC_ALL", locale.as_bytes()), env("A", value)]);
                session.upload(&work);
                session.run(&session.start(&work));
                for stream in ["out", "err"] {
                    let printed = std::fs::read(session.inner(stream)).expect("a stream");
                    let secrets = Secrets::new([Bytes::copy_from_slice(value)]);
                    let (masked, count) = secrets.mask(printed, &|| false).expect("a stream");
                    let masked = String::from_utf8_lossy(&masked);
                    assert!(count > 0 || stream == "err", "{kind:?}: nothing was shown: {masked}");
                    let left = masked.lines().find(|it| it.contains("4nary"));
                    assert_eq!(left, None, "{kind:?}, {locale}, {stream}: {}", value.escape_ascii());
                }
            }
        }
    }
}
