//! Frames: what is lost, cut or in the way; slices; the listing as a last resort.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use super::super::*;
use super::session::*;

/// The writes of a call, one by one: a datagram socket keeps their borders.
fn writes(session: &Session, call: &Call<'_>) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (ours, theirs) = UnixDatagram::pair().expect("a pair");
    let mut child = session.spawn_to(call, OwnedFd::from(theirs).into());
    let mut errors = Vec::new();
    std::io::Read::read_to_end(child.stderr.as_mut().expect("a pipe"), &mut errors).expect("stderr");
    child.wait().expect("an end");
    ours.set_nonblocking(true).expect("a switch");
    let mut found = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = ours.recv(&mut buffer) {
        found.push(buffer[..length].to_vec());
    }
    (found, errors)
}

#[test]
fn a_lost_last_write_costs_nothing() {
    for kind in Shell::installed() {
        for size in [0, 1, 2700, 100_000] {
            let session = Session::new(kind);
            let work = shell(&format!("head -c {size} /dev/zero; echo err >&2; exit 2"));
            session.upload(&work);
            let call = session.start(&work);
            let (writes, errors) = writes(&session, &call);
            let (last, rest) = writes.split_last().expect("writes");
            assert_eq!(last, b"\n", "{kind:?}");
            let look = call.parse(&rest.concat(), &errors).expect("a frame");
            assert_eq!(
                (exit_code(&look), look.stdout.length, bytes(&look.stderr)),
                (Some(2), size, b"err\n".to_vec())
            );
        }
    }
}

#[test]
fn a_lost_stderr_is_known_to_be_missing() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("echo err >&2");
    session.upload(&work);
    let call = session.start(&work);
    let output = session.spawn(&call, "").wait_with_output().expect("an answer");
    let look = call.parse(&output.stdout, b"").expect("a frame");
    assert_eq!(
        look.stderr,
        Stream {
            length: 4,
            is_incomplete: false,
            payload: Payload::Absent
        }
    );
}

fn frame(state: &str) -> Call<'static> {
    static ATTEMPT: std::sync::OnceLock<AttemptFiles> = std::sync::OnceLock::new();
    let attempt = ATTEMPT.get_or_init(|| AttemptFiles::new(AttemptId::new("attempt-1").expect("an id")));
    assert!(!state.is_empty());
    Call {
        attempt,
        nonce: Nonce::new("nonce0001").expect("a nonce"),
        window_seconds: 30,
        linger_milliseconds: 0,
        streams: Streams::Fitting,
        earlier: None,
        cleaning: None,
        action: Action::Observe,
    }
}

#[test]
fn only_a_whole_frame_of_this_call_is_read() {
    let call = frame("ended");
    let whole = "LG1 nonce0001 ended 7 100 250 - 2 0 - - =aGk= END nonce0001";
    let look = call
        .parse(format!("noise\n{whole}\nnoise").as_bytes(), b"")
        .expect("a frame");
    assert_eq!(exit_code(&look), Some(7));
    assert_eq!(bytes(&look.stdout), b"hi");
    assert!(matches!(look.state, ReportedState::Ended { elapsed, .. } if elapsed.as_millis() == 1500));
    for cut in 0..whole.len() {
        let error = call.parse(&whole.as_bytes()[..cut], b"").expect_err("no frame");
        assert!(matches!(error, FrameError::Missing | FrameError::Cut), "{cut}");
    }
    for (text, error) in [
        (whole.replace("nonce0001", "nonce0002"), FrameError::Missing),
        (whole.replace("ended 7", "ended 256"), FrameError::Malformed),
        (whole.replace("ended", "unheard"), FrameError::Malformed),
        (whole.replace("=aGk=", "=a!"), FrameError::Malformed),
        (whole.replace(" 0 -", " -"), FrameError::Malformed),
        (whole.replace("=aGk=", ""), FrameError::Malformed),
        ("LG1 nonce0001 \u{fffd} END nonce0001".to_owned(), FrameError::Malformed),
    ] {
        assert_eq!(call.parse(text.as_bytes(), b""), Err(error), "{text}");
    }
}

#[test]
fn what_a_daemon_appended_between_measuring_and_reading_does_not_count() {
    let call = frame("ended");
    let text = |length: u32| format!("LG1 nonce0001 ended 0 1 2 - {length} 0 - - =aGk= END nonce0001");
    assert_eq!(
        bytes(&call.parse(text(1).as_bytes(), b"").expect("a frame").stdout),
        b"h"
    );
    // Shorter than it was measured: someone truncated it.
    assert_eq!(
        call.parse(text(3).as_bytes(), b"").expect("a frame").stdout.payload,
        Payload::Absent
    );
}

#[test]
fn output_is_read_by_offset_while_the_command_runs() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("seq 1 3000; seq 1 3000 >&2; sleep 1000");
        session.upload(&work);
        let expected: String = (1..=3000).map(|n| format!("{n}\n")).collect();
        session.begin(&work);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while out.len() < expected.len() || err.len() < expected.len() {
            let mut call = session.look();
            call.window_seconds = 0;
            call.streams = Streams::From {
                stdout: out.len() as u64,
                stderr: err.len() as u64,
            };
            let look = session.run(&call);
            for (all, stream) in [(&mut out, look.stdout), (&mut err, look.stderr)] {
                match stream.payload {
                    Payload::Bytes(bytes) => all.extend(bytes),
                    Payload::Absent => assert!(all.len() as u64 == stream.length, "{kind:?}"),
                    Payload::Sha256(digest) => panic!("{digest}"),
                }
            }
        }
        assert!(out == expected.as_bytes() && err == expected.as_bytes(), "{kind:?}");
    }
}

#[test]
fn the_end_of_what_a_running_command_printed_comes_with_the_frame_or_as_a_file() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("seq 1 3000; echo err >&2; sleep 1000");
        session.upload(&work);
        let expected: String = (1..=3000).map(|n| format!("{n}\n")).collect();
        session.begin(&work);
        let tail = |bytes: usize, window_seconds: u32| {
            let mut call = session.look();
            call.window_seconds = window_seconds;
            call.streams = Streams::FittingOrTail { bytes: bytes as u64 };
            session.run(&call)
        };
        let ready = || tail(100, 0).stderr.length == 4;
        assert!((0..200).any(|_| ready() || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            false
        }));
        let look = tail(1000, 0);
        assert_eq!(
            (look.stdout.length, bytes(&look.stderr)),
            (expected.len() as u64, b"err\n".to_vec())
        );
        assert!(
            bytes(&look.stdout) == expected.as_bytes()[expected.len() - 1000..],
            "{kind:?}"
        );
        assert!(!session.published(AttemptFiles::STDOUT_TAIL).exists());
        let look = tail(5000, 0);
        assert_eq!(
            (look.stdout.payload, bytes(&look.stderr)),
            (Payload::Absent, b"err\n".to_vec())
        );
        let file = fs::read(session.published(AttemptFiles::STDOUT_TAIL)).expect("a tail");
        assert!(file == expected.as_bytes()[expected.len() - 5000..], "{kind:?}");
        // A file is that of the last call.
        let look = tail(1_000_000, 0);
        assert_eq!(look.stdout.payload, Payload::Absent);
        assert!(fs::read(session.published(AttemptFiles::STDOUT_TAIL)).expect("a tail") == expected.as_bytes());
    }
}

#[test]
fn a_call_for_the_tail_brings_all_that_fits_if_the_command_ends_meanwhile() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("echo hello; seq 1 3000 >&2; exit 3");
        session.upload(&work);
        let mut call = session.start(&work);
        call.streams = Streams::FittingOrTail { bytes: 2 };
        let look = session.run(&call);
        assert_eq!(
            (exit_code(&look), bytes(&look.stdout)),
            (Some(3), b"hello\n".to_vec()),
            "{kind:?}"
        );
        assert!(matches!(look.stderr.payload, Payload::Sha256(_)), "{kind:?}");
    }
}

#[test]
fn the_ends_of_a_long_stream_become_files() {
    for kind in Shell::installed() {
        let session = Session::new(kind);
        let work = shell("seq 1 20000; echo err >&2");
        session.upload(&work);
        let mut call = session.start(&work);
        call.streams = Streams::Files { head: 1000, tail: 500 };
        let look = session.run(&call);
        let all = fs::read(session.inner("out")).expect("out");
        assert_eq!(look.stdout.length, all.len() as u64);
        assert!(matches!(look.stdout.payload, Payload::Sha256(_)), "{kind:?} {look:?}");
        assert_eq!(
            fs::read(session.published(AttemptFiles::STDOUT_HEAD)).expect("head"),
            all[..1000]
        );
        assert_eq!(
            fs::read(session.published(AttemptFiles::STDOUT_TAIL)).expect("tail"),
            all[all.len() - 500..]
        );
        assert!(!session.published(AttemptFiles::STDERR_HEAD).exists());
    }
}

#[test]
fn a_listing_of_the_directory_says_how_it_ended() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("echo hello; exit 9");
    session.upload(&work);
    let look = session.run(&session.start(&work));
    let list = || -> Vec<String> {
        let entries = fs::read_dir(session.published("")).expect("a directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        entries.map(|entry| name(entry).expect("text")).collect()
    };
    let read = |names: &[String]| ended(names.iter().map(String::as_str));
    let found = read(&list()).expect("an end");
    assert_eq!(
        (found.state, found.stdout.length, found.stderr.length),
        (look.state, 6, 0)
    );
    let mark = list()
        .into_iter()
        .find(|name| name.starts_with("exit."))
        .expect("a mark");
    let without: Vec<_> = list().into_iter().filter(|name| *name != mark).collect();
    assert_eq!(read(&without), None);
    let incomplete = read(&[mark.replacen(".6.0", ".6_.0_", 1)]).expect("an end");
    assert_eq!((incomplete.stdout.length, incomplete.stderr.length), (6, 0));
    assert!(incomplete.stdout.is_incomplete && incomplete.stderr.is_incomplete && !found.stdout.is_incomplete);
    let unprepared = mark.replacen("exit.9", "exit.-", 1);
    assert_eq!(
        read(&[unprepared]).expect("an end").state,
        ReportedState::Unprepared { killed: None }
    );
    for odd in [
        "exit.",
        "exit.9.1.2.-.6",
        "exit.256.1.2.-.6.0",
        "exit.9.1.2.-.6.0.7",
        "exit.9.1.2.-.x.0",
        "exit.9.1.2.-._.0",
        "exit.9.1.2.-.6__.0",
    ] {
        assert_eq!(read(&[odd.to_owned()]), None, "{odd}");
    }
}

#[test]
fn a_call_is_small_enough_for_one_argument() {
    let session = Session::new(Shell::installed()[0]);
    let work = shell("true");
    let length = session.start(&work).render().len();
    assert!(length < 16_384, "{length}");
    let mut look = session.look();
    assert!(look.render().len() < 8192);
    look.streams = Streams::FittingOrTail { bytes: 1_000_000 };
    assert!(look.render().len() < 8192);
}
