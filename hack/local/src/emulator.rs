//! The Azure emulator as a process, and what tests and the demo need of its control API.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Launch, Lifetime, Process};

const READY_DEADLINE: Duration = Duration::from_mins(1);

/// How the emulator is started.
#[derive(Debug, Clone)]
pub struct EmulatorOptions {
    /// The `azure-emulator` executable; see [`beside`](crate::beside).
    pub binary: PathBuf,
    /// Where it keeps its state, `ca.pem` and `cloud.yaml`.
    pub data_dir: PathBuf,
    /// The folder of `emulator.log` and of the ready line, `emulator.json`.
    pub folder: PathBuf,
    /// File of the authority's key, made if it is not there, so that emulators that come and go may share one; `None` for
    /// one in `data_dir`.
    pub authority_key: Option<PathBuf>,
    /// Further arguments of `azure-emulator serve`.
    pub arguments: Vec<String>,
    /// Further environment variables, such as `RUST_LOG`.
    pub environment: Vec<(String, String)>,
    /// Whether it may outlive this process.
    pub lifetime: Lifetime,
}

impl EmulatorOptions {
    /// An emulator that ends with this process and keeps everything in `folder`.
    pub fn new(binary: &Path, folder: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            data_dir: folder.join("emulator"),
            folder: folder.to_owned(),
            authority_key: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            lifetime: Lifetime::WithParent,
        }
    }
}

/// What the emulator prints when it is ready: where it listens, a first principal, Owner of the subscription, and where the
/// host that the operator runs on has its identity.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyLine {
    /// Root URL of Azure Resource Manager, the sessions hosts and the control API.
    pub arm: String,
    /// Root URL of the Entra authority.
    pub authority: String,
    /// Path of the CA certificate that its TLS certificates are signed with.
    pub ca: PathBuf,
    /// Path of the cloud file that the operator is given.
    pub cloud: PathBuf,
    /// The tenant.
    pub tenant_id: String,
    /// The subscription.
    pub subscription_id: String,
    /// Application id of the first principal.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: String,
    /// Root URL of the IMDS of the operator's host.
    pub imds: String,
    /// The token endpoint of the operator's host in the manner of App Service.
    pub identity_endpoint: String,
    /// The secret that requests to it carry.
    pub identity_header: String,
}

impl fmt::Debug for ReadyLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadyLine")
            .field("arm", &self.arm)
            .field("tenant_id", &self.tenant_id)
            .field("subscription_id", &self.subscription_id)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// A running emulator. Dropped, it ends at once if it was started [`Lifetime::WithParent`].
#[derive(Debug)]
pub struct Emulator {
    options: EmulatorOptions,
    process: Process,
    ready: ReadyLine,
}

impl Emulator {
    /// Starts the emulator and waits for its ready line. In a folder used before it listens where it did, because the
    /// endpoints that it handed out name the port; if it still runs there it is taken over.
    pub fn spawn(options: EmulatorOptions) -> Result<Self, Error> {
        let path = options.folder.join("emulator.json");
        let before = ready_line(&path);
        if let Some(ready) = before.clone()
            && options.lifetime == Lifetime::Detached
            && let Some(process) = launch(&options, None).running()
        {
            return Ok(Self {
                options,
                process,
                ready,
            });
        }
        let listen = before.as_ref().and_then(listen_address);
        let process = launch(&options, listen).start()?;
        let ready = process.wait_for(READY_DEADLINE, || ready_line(&path))?;
        Ok(Self {
            options,
            process,
            ready,
        })
    }

    /// The ready line.
    pub fn ready(&self) -> &ReadyLine {
        &self.ready
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it with SIGKILL, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Lets it end by itself.
    pub fn stop(self) {
        self.process.stop();
    }

    /// Starts it again, on the same port and data, after it was killed or ended; kills it if it still runs.
    pub fn restart(self) -> Result<Self, Error> {
        self.process.kill();
        Self::spawn(self.options.clone())
    }

    /// Makes the emulator trust tokens of a Kubernetes cluster, whose issuer it could not resolve by name.
    pub fn register_issuer(&self, issuer: &str, jwks: &Value) -> Result<(), Error> {
        self.post("/_emulator/issuers", &json!({"issuer": issuer, "jwks": jwks}))
            .map(drop)
    }

    /// Sends a request to the control API and returns the JSON of the answer, null where it has no body.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}{path}", self.ready.arm);
        let authority = fs::read(&self.ready.ca).map_err(Error::file("read", &self.ready.ca))?;
        // On a thread of its own, because the caller may be inside a runtime, where blocking on another one panics.
        let answer = std::thread::scope(|scope| {
            scope
                .spawn(|| blocking_post(&url, &authority, body))
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let (status, text) = answer?;
        if !(200..300).contains(&status) {
            return Err(Error::ControlApiRefused {
                path: path.to_owned(),
                status,
                body: text,
            });
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|source| Error::Json {
            origin: path.to_owned(),
            source,
        })
    }
}

/// The ready line of an emulator that was started in this folder, whether it still runs or not.
pub fn ready_line(path: &Path) -> Option<ReadyLine> {
    let text = fs::read_to_string(path).ok()?;
    // The line is complete only when its end was written.
    let (line, _) = text.split_once('\n')?;
    serde_json::from_str(line).ok()
}

fn listen_address(ready: &ReadyLine) -> Option<SocketAddr> {
    ready.arm.strip_prefix("https://")?.trim_end_matches('/').parse().ok()
}

fn launch(options: &EmulatorOptions, listen: Option<SocketAddr>) -> Launch {
    let mut arguments = vec![
        "serve".to_owned(),
        "--data-dir".to_owned(),
        options.data_dir.display().to_string(),
    ];
    if let Some(listen) = listen {
        arguments.extend(["--listen".to_owned(), listen.to_string()]);
    }
    if let Some(key) = &options.authority_key {
        arguments.extend(["--authority-key".to_owned(), key.display().to_string()]);
    }
    arguments.extend(options.arguments.iter().cloned());
    Launch {
        name: "emulator".to_owned(),
        program: options.binary.clone(),
        arguments,
        environment: options.environment.clone(),
        folder: options.folder.clone(),
        stdout: Some(options.folder.join("emulator.json")),
        lifetime: options.lifetime,
    }
}

fn blocking_post(url: &str, authority: &[u8], body: &Value) -> Result<(u16, String), Error> {
    // Another part of the process may have installed it already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::file("start a runtime for", Path::new(url)))?;
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(authority)?])
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        let answer = client.post(url).json(body).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await?))
    })
}
