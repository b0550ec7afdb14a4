//! `kubectl` at the pinned version, for one kubeconfig.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Error, Tools, kubeconfig};

/// Validity asked for in tokens of ServiceAccounts. The API server may grant less.
const TOKEN_DURATION: &str = "8760h";

/// Runs `kubectl` with one kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// `kubectl` of `tools` with the kubeconfig at `kubeconfig`.
    pub fn new(tools: &Tools, kubeconfig: &Path) -> Self {
        Self {
            program: tools.program("kubectl"),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Runs one command and returns its stdout. A failure carries its stderr.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String, Error> {
        run(&self.program, &self.kubeconfig, arguments, "")
    }

    /// As [`Self::run`], with `input` on stdin (for `-f -`).
    pub fn run_with_input<S: AsRef<str>>(&self, arguments: &[S], input: &str) -> Result<String, Error> {
        run(&self.program, &self.kubeconfig, arguments, input)
    }

    /// Runs `kubectl get … -o json` and returns the object or list.
    pub fn get<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Value, Error> {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments.iter().map(AsRef::as_ref));
        let printed = self.run(&all)?;
        serde_json::from_str(&printed).map_err(|source| Error::Json {
            origin: "kubectl get".to_owned(),
            source,
        })
    }

    /// Writes a kubeconfig for a ServiceAccount, which must exist, to `path`: who uses it has that account's rights only.
    pub fn service_account_kubeconfig(&self, namespace: &str, name: &str, path: &Path) -> Result<(), Error> {
        let token = self.run(&[
            "create",
            "token",
            name,
            "--namespace",
            namespace,
            "--duration",
            TOKEN_DURATION,
        ])?;
        let printed = self.run(&["config", "view", "--minify", "--flatten", "--raw", "-o", "json"])?;
        let config: Value = serde_json::from_str(&printed).map_err(|source| Error::Json {
            origin: "kubectl config view".to_owned(),
            source,
        })?;
        kubeconfig::write_with_cluster(path, &config["clusters"][0]["cluster"], token.trim())
    }
}

/// Runs a client of the API server to its end.
pub(crate) fn run<S: AsRef<str>>(
    program: &Path,
    kubeconfig: &Path,
    arguments: &[S],
    input: &str,
) -> Result<String, Error> {
    let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let start_failure = |source| Error::Start {
        program: program.display().to_string(),
        source,
    };
    let mut child = Command::new(program)
        .args(&arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start_failure)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading closes the pipe; its exit status tells more than this error would.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start_failure)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Err(Error::Command {
        command: format!("{name} {}", arguments.join(" ")),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
