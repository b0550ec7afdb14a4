//! The emulator as a process: as an ordinary user, and killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::endpoint::{VERSION, client, send, token};

/// A user and group that no account has.
const ORDINARY: u32 = 61_999;

/// Switches of every emulator here.
const BEHAVIOUR: &str = r#"{"arm": {"providersRegistered": true}, "sessions": {"lostWriteProbability": 0}}"#;

/// A running binary, killed in the end whatever happens.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the binary and returns what it printed when it was ready.
fn start(directory: &Path, ordinary: bool) -> (Process, Value) {
    let binary = directory.join("azure-emulator");
    std::fs::copy(env!("CARGO_BIN_EXE_azure-emulator"), &binary).unwrap();
    let data_dir = directory.join("data");
    let is_root = is_root();
    let mut command = if ordinary && is_root {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(&data_dir).unwrap();
        chown(&data_dir, Some(ORDINARY), Some(ORDINARY)).unwrap();
        let mut command = Command::new("setpriv");
        let id = ORDINARY.to_string();
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"])
            .arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    command
        .arg("serve")
        .arg("--data-dir")
        .arg(&data_dir)
        .args(["--behaviour", BEHAVIOUR]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let process = Process(child);
    (
        process,
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}")),
    )
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self")
        .map(|own| std::os::unix::fs::MetadataExt::uid(&own))
        .unwrap()
        == 0
}

/// Makes a pool with egress and runs a command in it.
async fn run(ready: &Value, text: &str) -> Value {
    let read = |member: &str| ready[member].as_str().unwrap();
    let client = client(&std::fs::read(read("ca")).unwrap());
    let tokens = async |audience| {
        token(
            &client,
            read("authority"),
            read("tenantId"),
            read("clientId"),
            read("clientSecret"),
            audience,
        )
        .await
    };
    let group = format!(
        "{}/subscriptions/{}/resourceGroups/rg",
        read("arm"),
        read("subscriptionId")
    );
    let pool = format!("{group}/providers/Microsoft.App/sessionPools/shell");
    let arm = tokens("https://management.azure.com").await;
    let put = async |url: &str, version: &str, body: Value| {
        let answer = send(
            client
                .put(format!("{url}?api-version={version}"))
                .bearer_auth(&arm)
                .json(&body),
        )
        .await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.body
    };
    put(&group, "2024-11-01", json!({ "location": "westeurope" })).await;
    let body = json!({ "location": "westeurope", "properties": {
        "poolManagementType": "Dynamic", "containerType": "Shell",
        "scaleConfiguration": { "maxConcurrentSessions": 5 },
        "dynamicPoolConfiguration": { "lifecycleConfiguration": { "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300 } },
        "sessionNetworkConfiguration": { "status": "EgressEnabled" },
    }});
    let made = put(&pool, "2025-10-02-preview", body).await;
    let endpoint = made["properties"]["poolManagementEndpoint"].as_str().unwrap();
    let url = format!("{endpoint}/executions?api-version={VERSION}&identifier=session-1");
    let request = client.post(url).bearer_auth(tokens("https://dynamicsessions.io").await);
    send(request.json(&json!({ "shellCommand": text }))).await.body
}

#[tokio::test]
async fn an_ordinary_user_s_sessions_are_confined_as_those_of_root() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, ready) = start(directory.path(), true);
    let data_dir = directory.path().join("data");
    let text = format!(
        "touch /var/tmp/intruder && echo wrote; mount -o remount,bind,rw / && echo remounted
         unshare -Urm mount -o remount,bind,rw / && echo remounted; ls -A {} 2>/dev/null
         setsid -f sleep 100; for _ in $(seq 1000); do [ $(pgrep -xc sleep) = 2 ] && break; done
         touch f /tmp/f && echo $(id -u) $(pgrep -xc sleep)",
        data_dir.display()
    );
    let body = run(&ready, &text).await;
    assert_eq!(body["result"]["stdout"], "1000 2\n", "{body}");
}

#[tokio::test]
async fn nothing_outlives_an_emulator_that_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut process, ready) = start(directory.path(), false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A detached process, and one of a call that is under way, hold a connection each.
    let hold = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo up >&3; read -r never <&3");
    let body = run(
        &ready,
        &format!("setsid -f bash -c '{hold}; sleep 1000' >/dev/null 2>&1"),
    )
    .await;
    assert_eq!(body["status"], "0", "{body}");
    let under_way = tokio::spawn(async move { run(&ready, &format!("{hold}; sleep 1000")).await });
    let accept = tokio::task::spawn_blocking(move || {
        let mut connections = [
            BufReader::new(listener.accept().unwrap().0),
            BufReader::new(listener.accept().unwrap().0),
        ];
        for connection in &mut connections {
            let mut line = String::new();
            connection.read_line(&mut line).unwrap();
            assert_eq!(line, "up\n");
        }
        connections
    });
    let connections = accept.await.unwrap();
    under_way.abort();
    process.0.kill().unwrap();
    process.0.wait().unwrap();
    // Both ends close once their processes are dead.
    let closed = tokio::task::spawn_blocking(move || {
        connections.map(|mut connection| {
            let mut rest = Vec::new();
            connection.read_to_end(&mut rest).map_or(0, |_| rest.len())
        })
    });
    assert_eq!(closed.await.unwrap(), [0, 0]);
}

/// Starts the binary as the root of a user namespace that allows no further ones, as in many containers.
fn start_without_namespaces(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$0\" serve \"$@\"";
    command.args([
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        env!("CARGO_BIN_EXE_azure-emulator"),
    ]);
    command
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(["--behaviour", BEHAVIOUR])
        .args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn where_namespaces_are_refused_it_names_the_setting_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let output = start_without_namespaces(directory.path(), &[]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(
        said.contains("sysctl user.max_user_namespaces=") && said.contains("--isolation none"),
        "{said}"
    );
}

#[tokio::test]
async fn where_namespaces_are_refused_commands_run_without_isolation_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let child = start_without_namespaces(directory.path(), &["--isolation", "none"])
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let body = run(&ready, "echo text >/mnt/data/f; cd /; cat /mnt/data/f").await;
    assert_eq!(
        (&body["status"], &body["result"]["stdout"]),
        (&json!("0"), &json!("text\n")),
        "{body}"
    );
}
