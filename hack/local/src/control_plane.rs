//! etcd, kube-apiserver and, where wanted, kube-controller-manager on loopback: a real Kubernetes API without nodes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pki::{Client, Pki, write_private};
use crate::{Error, Helm, Kubectl, Launch, Lifetime, Process, Tools, kubeconfig, temporary_folder};

/// Generous, because a machine that builds at the same time is slow; at rest it takes about five seconds.
const READY_DEADLINE: Duration = Duration::from_mins(2);

/// How often ports are chosen anew when another program was faster to take one.
const PORT_ATTEMPTS: usize = 3;

/// What of kube-controller-manager runs: deletion in cascades and of namespaces, ServiceAccounts, aggregated roles, and
/// the jobs of Kubernetes itself. What needs nodes does not.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
    serviceaccount-token-controller,clusterrole-aggregation-controller,job-controller,cronjob-controller,\
    ttl-after-finished-controller";

/// How a control plane is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of data, keys and logs. None: a temporary one, removed when the control plane stops.
    pub data_dir: Option<PathBuf>,
    /// Whether it may outlive this process.
    pub lifetime: Lifetime,
    /// Whether kube-controller-manager runs, and has to be among the tools. Without it nothing that is deleted takes along
    /// what it owns, a deleted namespace stays, and no namespace gets its ServiceAccount `default`.
    pub controllers: bool,
    /// Further arguments of kube-apiserver.
    pub api_server_arguments: Vec<String>,
}

impl Default for Options {
    /// A temporary control plane that ends with this process.
    fn default() -> Self {
        Self {
            data_dir: None,
            lifetime: Lifetime::WithParent,
            controllers: true,
            api_server_arguments: Vec::new(),
        }
    }
}

/// A running control plane. Dropped, it ends at once if it was started [`Lifetime::WithParent`].
#[derive(Debug)]
pub struct ControlPlane {
    tools: Tools,
    // Dropped in this order: clients before what they talk to, the folder last.
    controller_manager: Option<Process>,
    api_server: Process,
    etcd: Process,
    kubeconfig: PathBuf,
    folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl ControlPlane {
    /// The issuer of ServiceAccount tokens. The name does not resolve: who checks tokens is given [`Self::jwks`].
    pub const ISSUER: &'static str = "https://kubernetes.default.svc";

    /// Starts it and waits until the API answers and controllers act. With a `data_dir` used before, its state, keys and
    /// ports are used again; what was left running there is taken over.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let tools = Tools::locate()?;
        let (folder, temporary) = if let Some(folder) = &options.data_dir {
            (
                std::path::absolute(folder).map_err(Error::file("resolve", folder))?,
                None,
            )
        } else {
            let temporary = temporary_folder()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let pki = Pki::ensure(&folder.join("pki"))?;
        let plan = Plan {
            tools: &tools,
            folder: &folder,
            pki: &pki,
            options,
        };

        let mut attempt = 1;
        loop {
            let ports = plan.ports(attempt > 1)?;
            match plan.launch(ports) {
                Ok((etcd, api_server, controller_manager)) => {
                    return Ok(Self {
                        kubeconfig: plan.kubeconfig(),
                        tools,
                        controller_manager,
                        api_server,
                        etcd,
                        folder,
                        _temporary: temporary,
                    });
                }
                Err(Error::Ended { tail, .. })
                    if attempt < PORT_ATTEMPTS && tail.contains("address already in use") =>
                {
                    // What did start listens on ports that are given up now.
                    stop_detached(&folder);
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig for a ServiceAccount that exists, beside the administrator's, and returns its path: for
    /// programs that shall have that account's rights and no others.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("{namespace}.{name}.kubeconfig"));
        self.kubectl().service_account_kubeconfig(namespace, name, &path)?;
        Ok(path)
    }

    /// The public keys of ServiceAccount tokens, as `/openid/v1/jwks` has them.
    pub fn jwks(&self) -> Result<Value, Error> {
        jwks(&self.kubectl())
    }

    /// `kubectl` as the administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.tools, &self.kubeconfig)
    }

    /// `helm` as the administrator.
    pub fn helm(&self) -> Helm {
        Helm::new(&self.tools, &self.kubeconfig)
    }

    /// The folder of data, keys and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The processes by name, in the order in which they depend on each other.
    pub fn processes(&self) -> Vec<(&'static str, &Process)> {
        let controller_manager = self.controller_manager.as_ref();
        [("etcd", &self.etcd), ("kube-apiserver", &self.api_server)]
            .into_iter()
            .chain(controller_manager.map(|process| ("kube-controller-manager", process)))
            .collect()
    }

    /// Ends the processes, with time to do so in order. Data in a `data_dir` stays.
    pub fn stop(self) {
        for (_, process) in self.processes().into_iter().rev() {
            process.stop();
        }
    }
}

/// The public keys of ServiceAccount tokens of any cluster.
pub fn jwks(kubectl: &Kubectl) -> Result<Value, Error> {
    let printed = kubectl.run(&["get", "--raw", "/openid/v1/jwks"])?;
    serde_json::from_str(&printed).map_err(|source| Error::Json {
        origin: "/openid/v1/jwks".to_owned(),
        source,
    })
}

/// Ends what an earlier, [`Lifetime::Detached`] start left running in `folder`. Returns the names of what it ended.
pub fn stop_detached(folder: &Path) -> Vec<&'static str> {
    let mut stopped = Vec::new();
    for name in ["kube-controller-manager", "kube-apiserver", "etcd"] {
        if let Some(process) = detached(folder, name) {
            process.stop();
            stopped.push(name);
        }
    }
    stopped
}

/// A process of the control plane that an earlier, [`Lifetime::Detached`] start left running in `folder`.
pub fn detached(folder: &Path, name: &str) -> Option<Process> {
    Launch {
        name: name.to_owned(),
        program: name.into(),
        arguments: Vec::new(),
        environment: Vec::new(),
        folder: folder.to_owned(),
        stdout: None,
        lifetime: Lifetime::Detached,
    }
    .running()
}

/// The loopback ports of one control plane.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ports {
    etcd_client: u16,
    etcd_peer: u16,
    api_server: u16,
}

/// Everything that the three command lines are made from.
struct Plan<'a> {
    tools: &'a Tools,
    folder: &'a Path,
    pki: &'a Pki,
    options: &'a Options,
}

impl Plan<'_> {
    /// The ports used before in this folder, or free ones.
    fn ports(&self, choose_anew: bool) -> Result<Ports, Error> {
        let path = self.folder.join("ports.json");
        if !choose_anew
            && let Ok(text) = fs::read_to_string(&path)
            && let Ok(ports) = serde_json::from_str(&text)
        {
            return Ok(ports);
        }
        let [etcd_client, etcd_peer, api_server] = free_ports()?;
        let ports = Ports {
            etcd_client,
            etcd_peer,
            api_server,
        };
        let text = serde_json::to_string(&ports).map_err(|source| Error::Json {
            origin: path.display().to_string(),
            source,
        })?;
        write_private(&path, &text)?;
        Ok(ports)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// etcd, kube-apiserver and, where wanted, kube-controller-manager, once all of them act.
    fn launch(&self, ports: Ports) -> Result<(Process, Process, Option<Process>), Error> {
        let server = format!("https://127.0.0.1:{}", ports.api_server);
        let authority = self.pki.authority();
        for (path, client) in [
            (self.kubeconfig(), Client::Administrator),
            (
                self.folder.join("kube-controller-manager.kubeconfig"),
                Client::ControllerManager,
            ),
        ] {
            let (certificate, key) = self.pki.client(client);
            let user = kubeconfig::User::Certificate {
                certificate: &certificate,
                key: &key,
            };
            kubeconfig::write(&path, &server, &authority, &user)?;
        }
        let kubectl = Kubectl::new(self.tools, &self.kubeconfig());

        let etcd = self.etcd(ports).start()?;
        // kube-apiserver waits for etcd by itself, so both start at once.
        let api_server = self.api_server(ports).start()?;
        api_server.wait_until(READY_DEADLINE, || {
            // An etcd that ended is found out below; waiting on for the API server would take the whole deadline.
            !etcd.is_running() || kubectl.run(&["get", "--raw", "/readyz"]).is_ok()
        })?;
        etcd.wait_until(READY_DEADLINE, || etcd.is_running())?;
        if !self.options.controllers {
            // The API server makes this namespace itself, shortly after it is ready.
            api_server.wait_until(READY_DEADLINE, || kubectl.run(&["get", "namespace", "default"]).is_ok())?;
            return Ok((etcd, api_server, None));
        }
        let controller_manager = self.controller_manager().start()?;
        // The controller that makes this account is one of its own.
        let made = ["get", "serviceaccount", "default", "--namespace", "default"];
        controller_manager.wait_until(READY_DEADLINE, || kubectl.run(&made).is_ok())?;
        Ok((etcd, api_server, Some(controller_manager)))
    }

    fn process(&self, name: &str, arguments: Vec<String>) -> Launch {
        Launch {
            name: name.to_owned(),
            program: self.tools.program(name),
            arguments,
            environment: Vec::new(),
            folder: self.folder.to_owned(),
            stdout: None,
            lifetime: self.options.lifetime,
        }
    }

    fn etcd(&self, ports: Ports) -> Launch {
        let client = format!("http://127.0.0.1:{}", ports.etcd_client);
        let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
        let arguments = vec![
            format!("--data-dir={}", self.folder.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // A crash of the machine may lose data, which is worth nothing here; a crash of the process does not.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        self.process("etcd", arguments)
    }

    fn api_server(&self, ports: Ports) -> Launch {
        let (certificate, key) = self.pki.server();
        let authority = self.pki.authority();
        let signing_key = self.pki.service_account_key();
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd_client),
            format!("--secure-port={}", ports.api_server),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", self.folder.join("pki").display()),
            format!("--tls-cert-file={}", certificate.display()),
            format!("--tls-private-key-file={}", key.display()),
            format!("--client-ca-file={}", authority.display()),
            format!("--service-account-key-file={}", signing_key.display()),
            format!("--service-account-signing-key-file={}", signing_key.display()),
            format!("--service-account-issuer={}", ControlPlane::ISSUER),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // No pod ever reaches the API through the `kubernetes` Service, so nobody keeps its endpoints.
            "--endpoint-reconciler-type=none".to_owned(),
            "--profiling=false".to_owned(),
        ];
        arguments.extend(self.options.api_server_arguments.iter().cloned());
        self.process("kube-apiserver", arguments)
    }

    fn controller_manager(&self) -> Launch {
        let kubeconfig = self.folder.join("kube-controller-manager.kubeconfig");
        let arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!(
                "--service-account-private-key-file={}",
                self.pki.service_account_key().display()
            ),
            format!("--root-ca-file={}", self.pki.authority().display()),
            "--use-service-account-credentials=true".to_owned(),
            format!("--controllers={CONTROLLERS}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // The defaults are for clusters that others use too; here they would only make deletion slow.
            "--kube-api-qps=300".to_owned(),
            "--kube-api-burst=600".to_owned(),
        ];
        self.process("kube-controller-manager", arguments)
    }
}

/// Distinct loopback ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let loopback = Path::new("127.0.0.1:0");
    // All are held until the last is known, or the system could hand out the same port twice.
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::file("listen on", loopback))?;
        *port = listener
            .local_addr()
            .map_err(Error::file("listen on", loopback))?
            .port();
        listeners.push(listener);
    }
    Ok(ports)
}
