//! The program: its ready line, its signals, and what it refuses.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::wire::{answer, client};

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(data_dir: &Path, extra: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azure-emulator"));
    command
        .args(["serve", "--isolation", "none", "--data-dir"])
        .arg(data_dir)
        .args(extra);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn it_prints_one_line_serves_and_ends_on_sigterm() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut program = Program(
        command(data_dir.path(), &["--behaviour", r#"{"arm":{"pageSize":7}}"#])
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    for name in [
        "arm",
        "authority",
        "ca",
        "cloud",
        "tenantId",
        "subscriptionId",
        "clientId",
        "clientSecret",
        "imds",
        "identityEndpoint",
        "identityHeader",
    ] {
        assert!(ready[name].is_string(), "{name}");
    }
    let root = ready["arm"].as_str().unwrap();
    let client = client(Path::new(ready["ca"].as_str().unwrap()));
    let url = format!("{root}/_emulator/behaviour");
    let behaviour = answer(client.get(url).send().await.unwrap()).await.expect(200).body;
    assert_eq!(behaviour["arm"]["pageSize"], 7);
    let cloud = std::fs::read_to_string(ready["cloud"].as_str().unwrap()).unwrap();
    assert!(cloud.contains(&format!("resourceManagerEndpoint: {root}\n")));
    assert!(cloud.contains("caBundle: ca.pem\n"));

    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(program.0.wait().unwrap().success());
    assert!(data_dir.path().join("state.json").exists());
}

#[test]
fn it_listens_on_loopback_only() {
    let data_dir = tempfile::tempdir().unwrap();
    let output = command(data_dir.path(), &["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("loopback"));
}

#[test]
fn it_refuses_switches_that_it_does_not_know() {
    let data_dir = tempfile::tempdir().unwrap();
    let output = command(data_dir.path(), &["--behaviour", r#"{"arms":{}}"#])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown field `arms`"));
}
