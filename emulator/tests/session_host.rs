//! Containers: what a session can do, what it cannot, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::time::Duration;

use azure_emulator::Isolation;
use azure_emulator::session::{
    Command, Completion, Container, DirectoryPath, ExecuteError, Execution, FileName, Network, SessionHost, StreamRules,
};
use uuid::Uuid;

const RULES: StreamRules = StreamRules {
    max_bytes: 4096,
    lose_last_write: false,
};

struct Host {
    host: SessionHost,
    data_dir: tempfile::TempDir,
}

fn host(isolation: Isolation) -> Host {
    let data_dir = tempfile::tempdir().unwrap();
    std::fs::write(data_dir.path().join("ca.key"), "a secret of the emulator").unwrap();
    let hidden = [data_dir.path().to_owned()];
    let host = SessionHost::start(isolation, &data_dir.path().join("sessions"), &hidden).unwrap();
    Host { host, data_dir }
}

async fn open(host: &Host, network: Network) -> Container {
    host.host.open(Uuid::new_v4(), network).await.unwrap()
}

async fn execute(container: &Container, text: &str) -> Execution {
    let command = Command::Shell(text.to_owned());
    container.execute(&command, RULES, None).await.unwrap()
}

/// What a command prints, both streams, without the last newline.
async fn output(container: &Container, text: &str) -> String {
    let execution = execute(container, &format!("{{ {text}\n}} 2>&1")).await;
    String::from_utf8(execution.stdout).unwrap().trim_end().to_owned()
}

async fn exit_code(container: &Container, text: &str) -> i32 {
    match execute(container, text).await.completion {
        Completion::Exited(code) => code,
        Completion::TimedOut => panic!("there is no limit"),
    }
}

#[tokio::test]
async fn a_command_returns_its_streams_and_its_exit_code() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let execution = execute(&session, "printf out; printf err >&2; exit 7").await;
    assert_eq!(
        (execution.stdout.as_slice(), execution.stderr.as_slice()),
        (&b"out"[..], &b"err"[..])
    );
    assert_eq!(execution.completion, Completion::Exited(7));
    assert_eq!(exit_code(&session, "kill -9 $$").await, 137);
    assert_eq!(exit_code(&session, "kill -15 $$").await, 143);
    assert_eq!(exit_code(&session, "no-such-command").await, 127);
    assert_eq!(output(&session, "pwd").await, "/mnt/data");
}

#[tokio::test]
async fn a_program_is_run_with_its_arguments_as_they_are() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let arguments = ["printf", "%s|", "a b", "$HOME", "--", ""].map(str::to_owned).to_vec();
    let execution = session
        .execute(&Command::Arguments(arguments), RULES, None)
        .await
        .unwrap();
    assert_eq!(execution.stdout, b"a b|$HOME|--||");
}

#[tokio::test]
async fn files_are_shared_between_calls_and_environment_is_not() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    assert_eq!(
        exit_code(&session, "export KEPT=1; echo text >file; echo other >/tmp/file").await,
        0
    );
    assert_eq!(
        output(&session, "echo \"[$KEPT]\"; cat file /tmp/file").await,
        "[]\ntext\nother"
    );
    let variables = output(&session, "env | sed 's/=.*//' | sort | tr '\\n' ' '").await;
    assert_eq!(variables, "HOME LANG PATH PWD SHLVL _");
}

#[tokio::test]
async fn sessions_share_nothing_with_each_other() {
    let host = host(Isolation::Namespaces);
    let (one, other) = (open(&host, Network::Egress).await, open(&host, Network::Egress).await);
    execute(
        &one,
        "echo one >/mnt/data/f; echo one >/tmp/f; echo one >/dev/shm/f; setsid -f sleep 1000",
    )
    .await;
    assert_eq!(
        output(&other, "ls /mnt/data /tmp /dev/shm | grep -x f; ls /mnt").await,
        "data"
    );
    assert_eq!(
        output(&other, "pgrep -c sleep").await,
        output(&other, "pgrep -cf '^sleep 2147483$'").await
    );
}

#[tokio::test]
async fn a_session_cannot_write_to_the_machine() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    for place in [
        "/", "/etc", "/usr", "/usr/bin", "/var/tmp", "/var/lib", "/opt", "/sys", "/run", "/mnt", "/dev",
    ] {
        let code = exit_code(&session, &format!("[ ! -d {place} ] || touch {place}/intruder")).await;
        assert_ne!(code, 0, "{place}");
    }
    assert_ne!(exit_code(&session, "echo x >/proc/sys/kernel/core_pattern").await, 0);
    assert_ne!(
        exit_code(&session, "[ -e /dev/vda ] || [ -e /dev/sda ] || [ -e /dev/kmsg ]").await,
        0
    );
    assert_eq!(
        exit_code(&session, "touch /mnt/data/f /tmp/f /dev/shm/f && echo >/dev/null").await,
        0
    );
}

#[tokio::test]
async fn a_session_cannot_undo_what_confines_it() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    for attempt in [
        "mount -o remount,bind,rw /",
        "umount /run",
        "unshare --user --map-root-user --mount mount -o remount,bind,rw /",
        "unshare --user --map-root-user --mount umount /run",
        "unshare --user --map-root-user --mount umount /mnt/data",
        "unshare --user --map-root-user --mount sh -c 'umount -l /root || umount -l /home'",
        "nsenter --target 1 --user --mount true",
        "chroot /proc/1/root true",
    ] {
        assert_ne!(
            exit_code(&session, &format!("{attempt} 2>/dev/null")).await,
            0,
            "{attempt}"
        );
    }
    let capabilities = output(
        &session,
        "grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status /proc/1/status | cut -f2",
    )
    .await;
    assert!(
        capabilities.lines().all(|set| set.trim_matches('0').is_empty()),
        "{capabilities}"
    );
    assert_ne!(output(&session, "id -u").await, "0");
}

#[tokio::test]
async fn a_session_sees_neither_the_emulator_s_files_nor_home_directories() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Egress).await;
    let data_dir = host.data_dir.path().display();
    assert_ne!(exit_code(&session, &format!("cat {data_dir}/ca.key")).await, 0);
    assert_ne!(exit_code(&session, &format!("ls -A {data_dir} | grep .")).await, 0);
    let homes = format!(
        "ls -A /root /home/* {} | grep -v -e : -e '^$'",
        std::env::var("HOME").unwrap_or_default()
    );
    assert_ne!(exit_code(&session, &homes).await, 0);
    // The brackets keep the pattern from finding itself in the command line of its own shell.
    let emulator = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'session[_]host'";
    assert_ne!(exit_code(&session, emulator).await, 0);
}

#[tokio::test]
async fn the_machine_s_network_is_there_only_with_egress() {
    let host = host(Isolation::Namespaces);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let call = format!("echo hello >/dev/tcp/127.0.0.1/{}", address.port());
    let isolated = open(&host, Network::Isolated).await;
    assert_ne!(exit_code(&isolated, &call).await, 0);
    let egress = open(&host, Network::Egress).await;
    assert_eq!(exit_code(&egress, &call).await, 0);
    let mut line = String::new();
    BufReader::new(listener.accept().unwrap().0)
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "hello\n");
}

#[tokio::test]
async fn background_processes_live_between_calls_and_die_with_the_session() {
    let host = host(Isolation::Namespaces);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let session = open(&host, Network::Egress).await;
    // It holds a connection to us, so that its death can be seen from here.
    let start = format!(
        "setsid -f bash -c 'exec 3>/dev/tcp/127.0.0.1/{port}; echo up >&3; while :; do sleep 0.01; done' >/dev/null 2>&1"
    );
    assert_eq!(exit_code(&session, &start).await, 0);
    let mut connection = BufReader::new(listener.accept().unwrap().0);
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    assert_eq!(exit_code(&session, "pgrep -f /dev/tcp/127.0.0.1 >/dev/null").await, 0);
    session.close().await.unwrap();
    assert!(session.has_ended());
    assert_eq!(connection.read_line(&mut line).unwrap(), 0);
    let again = session.execute(&Command::Shell("true".to_owned()), RULES, None).await;
    assert!(matches!(again, Err(ExecuteError::SessionEnded)));
    assert_eq!(
        std::fs::read_dir(host.data_dir.path().join("sessions"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn an_orphan_is_reaped() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    execute(&session, "for i in 1 2 3 4 5; do (setsid -f sh -c true); done").await;
    let zombies =
        "for i in $(seq 200); do grep -qs '^State:.Z' /proc/[0-9]*/status || exit 0; sleep 0.01; done; exit 1";
    assert_eq!(exit_code(&session, zombies).await, 0);
}

#[tokio::test]
async fn killing_everything_inside_ends_the_call_but_not_the_session() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    execute(&session, "echo kept >f").await;
    assert_eq!(exit_code(&session, "trap '' TERM; kill -9 -1; kill -9 0").await, 137);
    assert_eq!(output(&session, "cat f").await, "kept");
}

#[tokio::test]
async fn each_stream_is_cut_at_4096_bytes() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    for bytes in [0, 1, 4095, 4096, 4097, 20_000, 1_000_000] {
        let text = format!("head -c {bytes} /dev/zero | tr '\\0' x; head -c {bytes} /dev/zero | tr '\\0' y >&2");
        let execution = execute(&session, &text).await;
        assert_eq!(execution.stdout, vec![b'x'; bytes.min(4096)], "stdout of {bytes}");
        assert_eq!(execution.stderr, vec![b'y'; bytes.min(4096)], "stderr of {bytes}");
        assert_eq!(execution.completion, Completion::Exited(0));
    }
}

#[tokio::test]
async fn the_last_write_to_stdout_can_be_lost_and_nothing_else() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let rules = StreamRules {
        max_bytes: 4096,
        lose_last_write: true,
    };
    for (text, left) in [
        ("printf one; printf two", "one"),
        ("printf one; printf two; echo", "onetwo"),
        ("printf only", ""),
        ("", ""),
    ] {
        let text = format!("{text} :; printf first >&2; printf second >&2")
            .replace(" :;", if text.is_empty() { ":;" } else { ";" });
        let execution = session
            .execute(&Command::Shell(text.clone()), rules, None)
            .await
            .unwrap();
        assert_eq!(String::from_utf8(execution.stdout).unwrap(), left, "{text}");
        assert_eq!(execution.stderr, b"firstsecond");
    }
}

#[tokio::test]
async fn a_process_left_behind_does_not_hold_up_the_answer() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let execution = execute(&session, "sleep 1000 & setsid -f sleep 1000; echo done").await;
    assert_eq!(execution.stdout, b"done\n");
    assert!(execution.duration < Duration::from_secs(500));
}

#[tokio::test]
async fn a_command_is_killed_at_its_limit_with_its_group() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let command = Command::Shell("trap '' TERM; echo started; sleep 999 & sleep 999".to_owned());
    let limit = Some(Duration::from_millis(300));
    let execution = session.execute(&command, RULES, limit).await.unwrap();
    assert_eq!(
        (execution.completion, execution.stdout.as_slice()),
        (Completion::TimedOut, &b"started\n"[..])
    );
    assert_ne!(exit_code(&session, "pgrep -f '^sleep 999$'").await, 0);
}

#[tokio::test]
async fn one_argument_has_at_most_131071_bytes() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let text = |length: usize| Command::Shell(format!(":{}", " ".repeat(length - 1)));
    let longest = session.execute(&text(131_071), RULES, None).await.unwrap();
    assert_eq!(longest.completion, Completion::Exited(0));
    let longer = session.execute(&text(131_072), RULES, None).await;
    assert!(matches!(longer, Err(ExecuteError::ArgumentTooLong)));
    let nul = session.execute(&Command::Shell("a\0b".to_owned()), RULES, None).await;
    assert!(matches!(nul, Err(ExecuteError::InvalidCommand)));
}

#[tokio::test]
async fn many_calls_run_in_one_session_at_the_same_time() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    // Each waits until all are there, so they end only if they run together.
    let calls = (0..8).map(|number| {
        let text = format!("touch in.{number}; until [ $(ls in.* | wc -l) = 8 ]; do sleep 0.01; done; echo {number}");
        let session = &session;
        async move { execute(session, &text).await.stdout }
    });
    let results = futures::future::join_all(calls).await;
    assert_eq!(
        results,
        (0..8)
            .map(|number| format!("{number}\n").into_bytes())
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_call_ends_when_its_session_is_closed() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let command = Command::Shell("echo >up; trap '' TERM; while :; do sleep 1; done".to_owned());
    let call = session.execute(&command, RULES, None);
    let close = async {
        let name = FileName::parse("up").unwrap();
        while session
            .volume()
            .metadata(DirectoryPath::default(), name.clone())
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        session.close().await.unwrap();
    };
    let (called, ()) = tokio::join!(call, close);
    assert!(matches!(called, Err(ExecuteError::SessionEnded)));
}

#[tokio::test]
async fn uploaded_files_belong_to_the_session_and_links_lead_nowhere_else() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    let volume = session.volume();
    let (directory, name) = (DirectoryPath::parse("a/b").unwrap(), FileName::parse("f").unwrap());
    volume
        .write(directory.clone(), name.clone(), "text".into())
        .await
        .unwrap();
    let changed = "cat a/b/f && chmod 600 a/b/f && echo more >>a/b/f && mv a/b/f a/g && rmdir a/b && rm -r a";
    assert_eq!(output(&session, changed).await, "text");
    let attack = "ln -s /etc/passwd link; ln -s ../../.. up; mkdir -m 000 closed; mkfifo pipe";
    assert_eq!(exit_code(&session, attack).await, 0);
    let root = DirectoryPath::default();
    assert!(
        volume
            .read(root.clone(), FileName::parse("link").unwrap())
            .await
            .is_err()
    );
    assert!(volume.list(DirectoryPath::parse("up").unwrap(), true).await.is_err());
    assert!(
        volume
            .read(root.clone(), FileName::parse("pipe").unwrap())
            .await
            .is_err()
    );
    assert!(volume.list(root, false).await.is_ok());
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_live_at_the_same_time() {
    let host = host(Isolation::Namespaces);
    let open = (0..200).map(|_| open(&host, Network::Isolated));
    let sessions = futures::future::join_all(open).await;
    let marks = sessions.iter().enumerate().map(|(number, session)| async move {
        execute(session, &format!("echo {number} >mark")).await;
    });
    futures::future::join_all(marks).await;
    for (number, session) in sessions.iter().enumerate() {
        assert_eq!(output(session, "cat mark").await, number.to_string());
    }
    let closed = futures::future::join_all(sessions.iter().map(Container::close)).await;
    assert!(closed.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_killed_sandbox_is_replaced() {
    let host = host(Isolation::Namespaces);
    let session = open(&host, Network::Isolated).await;
    // The session's PID 1 and all above it up to the sandbox are processes of ours, so they can be killed from here.
    let pattern = host.data_dir.path().display().to_string();
    let killed = std::process::Command::new("pkill")
        .args(["-KILL", "-f", &format!("^unshare .*{pattern}")])
        .status();
    assert!(killed.unwrap().success());
    for _ in 0..500 {
        if session.has_ended() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(session.has_ended());
    let next = open(&host, Network::Isolated).await;
    assert_eq!(output(&next, "echo alive").await, "alive");
}

#[tokio::test]
async fn leftovers_of_an_earlier_run_are_removed() {
    let data_dir = tempfile::tempdir().unwrap();
    let sessions = data_dir.path().join("sessions");
    std::fs::create_dir_all(sessions.join("old/data/closed")).unwrap();
    std::fs::write(sessions.join("old/data/closed/file"), "text").unwrap();
    let _host = SessionHost::start(Isolation::Namespaces, &sessions, &[]).unwrap();
    assert_eq!(std::fs::read_dir(&sessions).unwrap().count(), 0);
}

#[tokio::test]
async fn without_isolation_a_session_still_has_files_and_processes_of_its_own() {
    let host = host(Isolation::None);
    let (one, other) = (open(&host, Network::Egress).await, open(&host, Network::Egress).await);
    assert_eq!(
        output(&one, "echo text >/mnt/data/f; cd /; cat /mnt/data/f").await,
        "text"
    );
    assert_eq!(output(&other, "ls -A /mnt/data").await, "");
    let name = FileName::parse("g").unwrap();
    one.volume()
        .write(DirectoryPath::default(), name, "uploaded".into())
        .await
        .unwrap();
    assert_eq!(output(&one, "cat /mnt/data/g").await, "uploaded");
    execute(
        &one,
        "setsid -f sleep 1000 >/dev/null 2>&1; echo $! ; setsid -f sh -c 'echo $$ >/mnt/data/pid; exec sleep 1000'",
    )
    .await;
    let pid = output(
        &one,
        "while [ ! -s /mnt/data/pid ]; do sleep 0.01; done; cat /mnt/data/pid",
    )
    .await;
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    one.close().await.unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}
