//! Starting and stopping the emulator.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::behaviour::Behaviour;
use crate::clock::Clock;
use crate::dataplane::{DataPlane, DataPlaneError};
use crate::hosts::{self, HostEndpoints, HostError};
use crate::identity::{KEY_FILE, KeyError, SigningKey, Tokens};
use crate::state::AppState;
use crate::store::{Store, StoreError};
use crate::tls::{self, TlsError};

/// File name of the cloud description in the data directory.
const CLOUD_FILE: &str = "cloud.yaml";

/// How commands of sessions are kept apart from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Isolation {
    /// Each session is a set of Linux namespaces.
    Namespaces,
    /// Commands run as ordinary processes of the host, with all rights of the emulator.
    None,
}

/// How the emulator is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of certificates, keys and state; made if it is not there.
    pub data_dir: PathBuf,
    /// File of the authority's key, made if it is not there; `None` for one in the data directory. Making a key takes
    /// longer than everything else, so emulators that come and go may share one.
    pub authority_key: Option<PathBuf>,
    /// Address to listen on, which must be of the loopback interface; port 0 chooses a free one.
    pub listen: SocketAddr,
    /// How sessions are kept apart from the host.
    pub isolation: Isolation,
    /// Switches at the start, as `PUT /_emulator/behaviour` takes them; `Null` for the live defaults.
    pub behaviour: Value,
}

impl Options {
    /// Live defaults on a free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            authority_key: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            isolation: Isolation::Namespaces,
            behaviour: Value::Null,
        }
    }
}

/// Where the emulator is and who may use it: the JSON line that the binary prints when it is ready.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// URL of Azure Resource Manager, without a trailing slash.
    pub arm: String,
    /// URL of the authority, without a trailing slash.
    pub authority: String,
    /// Path of the CA certificate, in PEM.
    pub ca: PathBuf,
    /// Path of the description of this cloud for clients that take one.
    pub cloud: PathBuf,
    /// The only tenant.
    pub tenant_id: String,
    /// The first subscription.
    pub subscription_id: String,
    /// Client id of a service principal that is Owner and Session Executor on the subscription.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Root URL of the operator's host's IMDS, for `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    pub imds: String,
    /// The same host's endpoint in the manner of App Service and Container Apps, for `IDENTITY_ENDPOINT`.
    pub identity_endpoint: String,
    /// What requests to it carry in `X-IDENTITY-HEADER`, for `IDENTITY_HEADER`.
    pub identity_header: String,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ready")
            .field("arm", &self.arm)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is not of the loopback interface. The control API asks for no credentials, so nobody else may reach it.
    #[error("refusing to listen on {0}: the emulator listens on loopback addresses only")]
    NotLoopback(SocketAddr),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {0}")]
    DataDir(PathBuf, #[source] std::io::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The switches given at the start are not understood.
    #[error("the behaviour switches are not understood")]
    Behaviour(#[source] serde_json::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The authority's key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The remembered state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data plane of session pools.
    #[error(transparent)]
    DataPlane(#[from] DataPlaneError),
    /// The identity endpoints of the operator's host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A running emulator. It stops when [`Emulator::stop`] is called; a dropped one stops serving, without saving its state.
#[derive(Debug)]
pub struct Emulator {
    state: AppState,
    ready: Ready,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Starts the emulator; when this returns it answers.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if !options.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(options.listen));
        }
        let data_dir = prepare_data_dir(&options.data_dir)?;
        let options = Options {
            data_dir: data_dir.clone(),
            ..options
        };
        let behaviour = if options.behaviour.is_null() {
            Behaviour::default()
        } else {
            Behaviour::default()
                .merged(&options.behaviour)
                .map_err(StartError::Behaviour)?
        };
        let tls = tls::server_config(&data_dir)?;
        let own_key = data_dir.join(KEY_FILE);
        let key = SigningKey::load(options.authority_key.as_deref().unwrap_or(&own_key))?;
        let mut store = Store::load(&data_dir)?;
        store.ensure_operator_host();
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| StartError::Listen(options.listen, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Listen(options.listen, error))?;
        let root = format!("https://{address}");

        let clock = Arc::new(Clock::new(store.clock_offset()));
        let tokens = Tokens::new(key, clock.clone(), store.tenant_id.clone(), root.clone());
        let dataplane = DataPlane::new(&options)?;
        let cloud = write_cloud_file(&data_dir, &root, address.port())?;
        let state = AppState::new(options, root, clock, behaviour, tokens, store, dataplane);
        let host = hosts::open_all(&state)?;
        let ready = ready_line(&state, data_dir.join(tls::CA_FILE), cloud, host);

        let shutdown = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(crate::server::serve(listener, tls, state.clone(), shutdown.clone())),
            tokio::spawn(state.clone().save_in_background(shutdown.clone())),
            tokio::spawn(crate::arm::run_deployments(state.clone(), shutdown.clone())),
        ];
        Ok(Self {
            state,
            ready,
            shutdown,
            tasks,
        })
    }

    /// Where it is and who may use it.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its state, for tests in the same process.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Ends all connections and sessions, then saves the state.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.state.hosts().stop().await;
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        self.state.dataplane().stop().await;
        self.state.save();
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.state.hosts().close_all();
    }
}

fn ready_line(state: &AppState, ca: PathBuf, cloud: PathBuf, host: HostEndpoints) -> Ready {
    let root = state.root().to_owned();
    let store = state.store();
    let application = store.first_application();
    Ready {
        arm: root.clone(),
        authority: root,
        ca,
        cloud,
        tenant_id: store.tenant_id.clone(),
        subscription_id: store.first_subscription().to_owned(),
        client_id: application.client_id.clone(),
        client_secret: application.client_secret.clone().unwrap_or_default(),
        imds: host.imds,
        identity_endpoint: host.identity_endpoint,
        identity_header: host.identity_header,
    }
}

fn prepare_data_dir(data_dir: &Path) -> Result<PathBuf, StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir);
    made.and_then(|()| data_dir.canonicalize())
        .map_err(|error| StartError::DataDir(data_dir.to_owned(), error))
}

fn write_cloud_file(data_dir: &Path, root: &str, port: u16) -> Result<PathBuf, StartError> {
    let path = data_dir.join(CLOUD_FILE);
    let text = format!(
        "name: AzureEmulator\n\
         resourceManagerEndpoint: {root}\n\
         resourceManagerAudience: https://management.azure.com\n\
         authorityHost: {root}\n\
         sessionsAudience: https://dynamicsessions.io\n\
         sessionsHostSuffixes: [\"127.0.0.1\", \"localhost\"]\n\
         sessionsPort: {port}\n\
         federationAudience: api://AzureADTokenExchange\n\
         caBundle: {}\n",
        tls::CA_FILE
    );
    std::fs::write(&path, text).map_err(|error| StartError::DataDir(path.clone(), error))?;
    Ok(path)
}
