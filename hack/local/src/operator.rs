//! The operator as a process.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control_plane::free_ports;
use crate::{Error, Launch, Lifetime, Process};

const READY_DEADLINE: Duration = Duration::from_mins(1);

/// How the operator is started.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// The `lifeguard` executable.
    pub binary: PathBuf,
    /// What it reaches the cluster with: usually that of the chart's ServiceAccount.
    pub kubeconfig: PathBuf,
    /// The cloud file that the emulator wrote, or the name of a cloud.
    pub cloud: String,
    /// The folder of `operator.log`.
    pub folder: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further environment variables, such as `RUST_LOG`.
    pub environment: Vec<(String, String)>,
    /// Whether it may outlive this process.
    pub lifetime: Lifetime,
}

impl OperatorOptions {
    /// An operator that ends with this process, with its log in `folder`.
    pub fn new(binary: &Path, kubeconfig: &Path, cloud: &Path, folder: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            cloud: cloud.display().to_string(),
            folder: folder.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            lifetime: Lifetime::WithParent,
        }
    }
}

/// A running operator. Dropped, it ends at once if it was started [`Lifetime::WithParent`].
#[derive(Debug)]
pub struct Operator {
    options: OperatorOptions,
    process: Process,
    health_port: u16,
}

impl Operator {
    /// Starts the operator and waits until `/readyz` answers 200. One that was left running detached is taken over.
    pub fn spawn(options: OperatorOptions) -> Result<Self, Error> {
        let operator = Self::spawn_without_waiting(options)?;
        operator.wait_ready()?;
        Ok(operator)
    }

    /// Starts the operator and returns at once, for tests that kill it while it starts.
    pub fn spawn_without_waiting(options: OperatorOptions) -> Result<Self, Error> {
        let [health_port] = free_ports()?;
        let mut arguments = vec![
            "--cloud".to_owned(),
            options.cloud.clone(),
            "--health-address".to_owned(),
            format!("127.0.0.1:{health_port}"),
        ];
        arguments.extend(options.arguments.iter().cloned());
        // The second as in the chart.
        let mut environment = vec![
            ("KUBECONFIG".to_owned(), options.kubeconfig.display().to_string()),
            ("MALLOC_ARENA_MAX".to_owned(), "2".to_owned()),
        ];
        environment.extend(options.environment.iter().cloned());
        let process = Launch {
            name: "operator".to_owned(),
            program: options.binary.clone(),
            arguments,
            environment,
            folder: options.folder.clone(),
            stdout: None,
            lifetime: options.lifetime,
        }
        .start()?;
        // One that was taken over listens where it was told to at its own start.
        let listens = process.argument("--health-address");
        let health_port = listens
            .and_then(|address| address.rsplit(':').next()?.parse().ok())
            .unwrap_or(health_port);
        Ok(Self {
            options,
            process,
            health_port,
        })
    }

    /// Waits until `/readyz` answers 200.
    pub fn wait_ready(&self) -> Result<(), Error> {
        self.process.wait_until(READY_DEADLINE, || self.is_healthy("/readyz"))
    }

    /// Whether a health endpoint (`/livez` or `/readyz`) answers 200.
    pub fn is_healthy(&self, path: &str) -> bool {
        http_status(self.health_port, path) == Some(200)
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it with SIGKILL, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Where the health port listens.
    pub fn health_address(&self) -> String {
        format!("127.0.0.1:{}", self.health_port)
    }

    /// Lets it end by itself.
    pub fn stop(self) {
        self.process.stop();
    }

    /// Starts it again after it was killed or ended; kills it if it still runs. Waits until it is ready.
    pub fn restart(self) -> Result<Self, Error> {
        self.process.kill();
        Self::spawn(self.options.clone())
    }
}

/// The status of a GET over plain HTTP on loopback, or None where nothing answers properly.
fn http_status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = [0_u8; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer)
        .ok()?
        .strip_prefix("HTTP/1.")?
        .get(2..5)?
        .parse()
        .ok()
}
