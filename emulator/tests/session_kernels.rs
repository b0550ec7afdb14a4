//! Kernels and services: that they run where commands run, and end with their session.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use azure_emulator::Isolation;
use azure_emulator::session::{
    Code, Command, Completion, Connection, Container, KernelError, KernelUse, Language, Network, Outcome, Service,
    SessionHost, StreamRules,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

struct Host {
    host: SessionHost,
    _data_dir: tempfile::TempDir,
}

fn host(isolation: Isolation) -> Host {
    let data_dir = tempfile::tempdir().unwrap();
    let hidden = [data_dir.path().to_owned()];
    let host = SessionHost::start(isolation, &data_dir.path().join("sessions"), &hidden).unwrap();
    Host {
        host,
        _data_dir: data_dir,
    }
}

async fn open(host: &Host) -> Container {
    host.host.open(Uuid::new_v4(), Network::Isolated).await.unwrap()
}

fn python(text: &str) -> Code {
    Code {
        language: Language::Python,
        kernel: KernelUse::Synchronous,
        text: text.to_owned(),
        limit: Duration::from_mins(1),
        stream_bytes: 4096,
    }
}

/// The text of a result.
async fn result(container: &Container, text: &str) -> String {
    let execution = container.run_code(&python(text)).await.unwrap();
    let Outcome::Succeeded(Some(result)) = &execution.outcome else {
        panic!("{}", String::from_utf8_lossy(&execution.stderr));
    };
    result["text/plain"].as_str().map(str::to_owned).unwrap()
}

#[tokio::test]
async fn code_is_confined_as_commands_are() {
    let host = host(Isolation::Namespaces);
    let container = open(&host).await;
    assert_eq!(
        result(&container, "import os\n(os.getuid(), os.getcwd())").await,
        "(1000, '/mnt/data')"
    );
    assert_eq!(
        result(&container, "sorted(os.listdir('/root') + os.listdir('/home'))").await,
        "[]"
    );
    let refused = "try: open('/etc/new', 'w'); seen = 'written'\nexcept OSError as error: seen = error.errno\nseen";
    assert_eq!(result(&container, refused).await, "30", "a read-only file system");
    let offline = "import socket\ntry: socket.create_connection(('192.0.2.1', 80), 1); seen = 'connected'\nexcept OSError as error: seen = error.errno\nseen";
    assert_eq!(result(&container, offline).await, "101", "no network");
    // The descriptor on which the kernel is talked to is no child's.
    assert_eq!(result(&container, "os.system('[ -e /proc/self/fd/3 ]')").await, "256");
}

#[tokio::test]
async fn code_reads_nothing_from_its_standard_input() {
    let host = host(Isolation::Namespaces);
    let container = open(&host).await;
    assert_eq!(result(&container, "import sys\nsys.stdin.read()").await, "''");
    assert_eq!(result(&container, "1").await, "1");
}

#[tokio::test]
async fn what_code_left_running_does_not_hold_up_the_answer() {
    let host = host(Isolation::Namespaces);
    let container = open(&host).await;
    let code = "import subprocess\nsubprocess.Popen(['sleep', '1000'])\nprint('started')";
    let execution = container.run_code(&python(code)).await.unwrap();
    assert_eq!(
        (execution.stdout.as_slice(), execution.outcome),
        (&b"started\n"[..], Outcome::Succeeded(None))
    );
}

#[tokio::test]
async fn more_output_than_a_pipe_holds_does_not_stop_the_code() {
    let host = host(Isolation::Namespaces);
    let container = open(&host).await;
    let execution = container
        .run_code(&python("print('x' * 3_000_000)\n'ended'"))
        .await
        .unwrap();
    assert_eq!(execution.stdout, vec![b'x'; 4096]);
    assert!(matches!(execution.outcome, Outcome::Succeeded(Some(_))));
}

#[tokio::test]
async fn a_closed_session_ends_the_code_in_it() {
    let host = host(Isolation::Namespaces);
    let container = open(&host).await;
    let code = python("open('started', 'w').close()\nimport time\ntime.sleep(1000)");
    let started = Command::Shell("until [ -e started ]; do sleep 0.01; done".to_owned());
    let rules = StreamRules {
        max_bytes: 0,
        lose_last_write: false,
    };
    let (ended, ()) = tokio::join!(container.run_code(&code), async {
        let waited = container.execute(&started, rules, None).await.unwrap();
        assert_eq!(waited.completion, Completion::Exited(0));
        container.close().await.unwrap();
    });
    assert!(matches!(ended, Err(KernelError::SessionEnded)), "{ended:?}");
    assert!(matches!(
        container.run_code(&python("1")).await,
        Err(KernelError::SessionEnded)
    ));
}

#[tokio::test]
async fn without_isolation_code_has_the_session_s_directory_in_the_place_of_mnt_data() {
    let host = host(Isolation::None);
    let container = open(&host).await;
    assert_eq!(result(&container, "open('/mnt/data/a', 'w').write('text')").await, "4");
    assert_eq!(result(&container, "open('a').read()").await, "'text'");
    let node = Code {
        language: Language::Node,
        ..python("require('fs').readFileSync('/mnt/data/a', 'utf8')")
    };
    let execution = container.run_code(&node).await.unwrap();
    let Outcome::Succeeded(Some(result)) = execution.outcome else {
        panic!("{}", String::from_utf8_lossy(&execution.stderr));
    };
    assert_eq!(result["text/plain"], Value::from("'text'"));
    container.close().await.unwrap();
}

#[tokio::test]
async fn a_service_is_reached_in_the_network_of_its_session_alone() {
    let host = host(Isolation::Namespaces);
    let (one, other) = (open(&host).await, open(&host).await);
    let server = "import socket\nserver = socket.create_server(('', 80))\nwhile True:\n    peer = server.accept()[0]\n    peer.sendall(peer.recv(9).upper())\n    peer.close()";
    let service = Service {
        program: vec!["python3".to_owned(), "-c".to_owned(), server.to_owned()],
        environment: Vec::new(),
        port: 80,
    };
    for container in [&one, &other, &one] {
        let Connection {
            mut stream,
            guard: _guard,
        } = container.connect(&service).await.unwrap();
        stream.write_all(b"text").await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "TEXT");
    }
    assert!(!one.service_has_ended());
    one.close().await.unwrap();
    assert!(one.connect(&service).await.is_err());
}
