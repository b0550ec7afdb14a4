//! The surroundings of one test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lifeguard::api::{CommandJob, SessionPool};
use lifeguard::runtime::Pace;
use lifeguard_local::{
    ControlPlane, Emulator, EmulatorOptions, Operator, OperatorOptions, Options, ReadyLine, beside, temporary_folder,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The namespace of the operator that the chart is installed for.
pub const OPERATOR_NAMESPACE: &str = "lifeguard-system";

/// How long anything may take on a busy machine. Never what a test is about.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// The control plane with the chart installed. It ends with this process.
pub fn control_plane() -> &'static ControlPlane {
    static SERVER: OnceLock<ControlPlane> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = ControlPlane::start(&Options::default()).expect("the control plane starts");
        server
            .helm()
            .install("lifeguard", &chart(), OPERATOR_NAMESPACE, &[])
            .expect("the chart can be installed");
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        server.kubectl().run(&wait).expect("the definitions are established");
        server
    })
}

/// The chart's folder.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/lifeguard")
}

/// The pace of the operator: a twentieth of its pauses, which are what most tests would wait for.
const PACE: &str = "0.05";

/// The shortest pause between two looks at what is under way, at that pace.
pub fn shortest_poll() -> Duration {
    PACE.parse::<Pace>().expect("a pace").of(Duration::from_secs(2))
}

/// A `spec.interval` by which objects are compared with Azure some times a second, at that pace.
pub const OFTEN: &str = "8s";

/// How a world is made.
#[derive(Clone, Default)]
pub struct WorldOptions {
    /// Further arguments of the operator.
    pub arguments: Vec<String>,
    /// The operator pauses as long as in production, because how long is what the test is about.
    pub at_full_pace: bool,
    /// `RUST_LOG` of the operator.
    pub log: Option<String>,
    /// Further namespaces that the operator works in, besides the test's own.
    pub namespaces: Vec<String>,
    /// Start no operator yet.
    pub without_operator: bool,
    /// Create no account `default`.
    pub without_account: bool,
    /// Install the chart once more, into the test's own namespace and for that namespace alone, so that the operator's
    /// own Secrets are the test's as well.
    pub own_release: bool,
}

/// A namespace, an emulator and an operator of a test's own.
pub struct World {
    /// The test's namespace.
    pub namespace: String,
    /// The administrator's client.
    pub client: Client,
    /// The emulator.
    pub emulator: Emulator,
    /// The operator, unless it was killed.
    pub operator: Option<Operator>,
    operator_options: OperatorOptions,
    http: reqwest::Client,
    folder: TempDir,
}

impl World {
    /// Everything running: operator and emulator, an account `default`, nothing else.
    pub async fn new(name: &str) -> Self {
        Self::with(name, WorldOptions::default()).await
    }

    /// As [`new`](Self::new), with options.
    pub async fn with(name: &str, options: WorldOptions) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // Another test may have installed it already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = temporary_folder().expect("a temporary folder");
        let path = folder.path().to_owned();
        let (server, emulator) = tokio::task::spawn_blocking(move || {
            let server = control_plane();
            let mut options = EmulatorOptions::new(&binary("azure-emulator"), &path);
            options.authority_key = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.key"));
            let emulator = Emulator::spawn(options).expect("the emulator starts");
            emulator
                .register_issuer(ControlPlane::ISSUER, &server.jwks().expect("a JWKS"))
                .expect("an issuer");
            (server, emulator)
        })
        .await
        .expect("no panic");
        let client = client(server).await;
        let release_namespace = if options.own_release {
            create_namespace(&client, &namespace).await;
            let install = [
                "crds.install=false".to_owned(),
                "rbac.aggregate=false".to_owned(),
                "rbac.submitter=false".to_owned(),
                format!("clusterId={namespace}"),
                format!("watchNamespaces={{{namespace}}}"),
            ];
            let values: Vec<&str> = install.iter().map(String::as_str).collect();
            server
                .helm()
                .install("lifeguard", &chart(), &namespace, &values)
                .expect("the chart can be installed twice");
            namespace.as_str()
        } else {
            OPERATOR_NAMESPACE
        };
        let kubeconfig = server
            .kubeconfig_for_service_account(release_namespace, "lifeguard")
            .expect("a kubeconfig of the chart's ServiceAccount");
        let mut operator_options = OperatorOptions::new(
            &binary("lifeguard"),
            &kubeconfig,
            &emulator.ready().cloud,
            folder.path(),
        );
        if !options.at_full_pace {
            operator_options.arguments.extend(["--pace", PACE].map(str::to_owned));
        }
        for watched in [&namespace].into_iter().chain(&options.namespaces) {
            operator_options
                .arguments
                .extend(["--watch-namespace".to_owned(), watched.clone()]);
        }
        if options.own_release {
            let own = ["--operator-namespace", &namespace, "--cluster-id", &namespace];
            operator_options.arguments.extend(own.map(str::to_owned));
        }
        operator_options.arguments.extend(options.arguments);
        let log = options.log.unwrap_or_else(|| "info,lifeguard=debug".to_owned());
        operator_options.environment.push(("RUST_LOG".to_owned(), log));
        // The operator's host, so that none of its requests ever leaves this machine.
        let imds = (
            "AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(),
            emulator.ready().imds.clone(),
        );
        operator_options.environment.push(imds);
        let ca = std::fs::read(&emulator.ready().ca).expect("the CA of the emulator");
        let http = reqwest::Client::builder()
            .add_root_certificate(reqwest::Certificate::from_pem(&ca).expect("a certificate"))
            .build()
            .expect("an HTTP client");
        let mut world = Self {
            namespace: namespace.clone(),
            client,
            emulator,
            operator: None,
            operator_options,
            http,
            folder,
        };
        // What takes Azure half a minute takes no test that long; the states in between are all the same.
        let pace = json!({
            "arm": {"operationSeconds": 0.3, "groupDeletionSeconds": 0.5, "registrationSeconds": 0.3, "retryAfterSeconds": 1},
            "roles": {"propagationSeconds": 0.0, "principalReplicationSeconds": 0.3},
            "tokens": {"federationPropagationSeconds": 0.3},
        });
        world.behave(&pace).await;
        if !options.own_release {
            world.create_namespace(&namespace).await;
        }
        if !options.without_account {
            world.account_in(&namespace, "default").await;
        }
        if !options.without_operator {
            world.start_operator().await;
        }
        world
    }

    /// Where logs and data of this world are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the emulator said when it was ready.
    pub fn azure(&self) -> &ReadyLine {
        self.emulator.ready()
    }

    /// Starts the operator, or starts it again, and waits until it is ready.
    pub async fn start_operator(&mut self) {
        let options = self.operator_options.clone();
        let started = tokio::task::spawn_blocking(move || Operator::spawn(options))
            .await
            .expect("no panic");
        self.operator = Some(started.expect("the operator starts"));
    }

    /// Starts the operator with these arguments besides its own, this time only.
    pub async fn restart_with(&mut self, arguments: &[&str]) {
        let own = self.operator_options.arguments.clone();
        let more = arguments.iter().map(|&it| it.to_owned());
        self.operator_options.arguments.extend(more);
        self.start_operator().await;
        self.operator_options.arguments = own;
    }

    /// Starts the operator without waiting for anything.
    pub async fn start_operator_at_once(&mut self) {
        let options = self.operator_options.clone();
        let started = tokio::task::spawn_blocking(move || Operator::spawn_without_waiting(options)).await;
        self.operator = Some(started.expect("no panic").expect("the operator starts"));
    }

    /// Ends the operator as a crash would.
    pub fn kill_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.kill();
        }
    }

    /// Whether the operator that was started last still runs.
    pub fn operator_runs(&self) -> bool {
        self.operator.as_ref().is_some_and(|it| it.process().is_running())
    }

    /// The log of the operator, of all its starts.
    pub fn operator_log(&self) -> String {
        std::fs::read_to_string(self.folder().join("operator.log")).expect("the log of an operator that was started")
    }

    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) {
        create_namespace(&self.client, name).await;
    }

    /// A client that trusts the emulator.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A Secret with the first principal's credential, and an account that uses it.
    pub async fn account_in(&self, namespace: &str, name: &str) {
        let azure = self.azure();
        self.apply_in(
            namespace,
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("{name}-credentials")},
                "stringData": {"clientSecret": azure.client_secret},
            }),
        )
        .await;
        self.apply_in(
            namespace,
            &object(
                "AzureAccount",
                name,
                &json!({
                    "tenantId": azure.tenant_id, "subscriptionId": azure.subscription_id,
                    "resourceGroup": "jobs", "location": "northcentralus",
                    "credential": {"clientSecret": {
                        "clientId": azure.client_id, "secretKeyRef": {"name": format!("{name}-credentials")},
                    }},
                }),
            ),
        )
        .await;
    }

    /// Applies an object to the test's namespace.
    pub async fn apply(&self, object: &Value) -> DynamicObject {
        let namespace = self.namespace.clone();
        self.apply_in(&namespace, object).await
    }

    /// Applies an object to a namespace.
    pub async fn apply_in(&self, namespace: &str, object: &Value) -> DynamicObject {
        self.try_apply_in(namespace, object)
            .await
            .expect("the object is accepted")
    }

    /// Applies an object to a namespace, or says why not.
    pub async fn try_apply_in(&self, namespace: &str, object: &Value) -> kube::Result<DynamicObject> {
        let name = object["metadata"]["name"].as_str().expect("an object has a name");
        let parameters = PatchParams::apply("test").force();
        self.objects(namespace, object)
            .patch(name, &parameters, &Patch::Apply(object))
            .await
    }

    /// The API of an object's kind.
    pub fn objects(&self, namespace: &str, object: &Value) -> Api<DynamicObject> {
        let api_version = object["apiVersion"].as_str().expect("an object has an apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().expect("an object has a kind"));
        let singular = kind.kind.to_lowercase();
        let plural = match singular.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{singular}s"),
        };
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// The API of one of our kinds in the test's namespace.
    pub fn ours<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A resource group `jobs` and a Shell pool of that many sessions, ready to be used.
    pub async fn pool(&self, name: &str, max_concurrent_sessions: u32) {
        self.apply(&object("ResourceGroup", "jobs", &json!({}))).await;
        self.apply(&shell_pool(name, max_concurrent_sessions)).await;
        self.until(&format!("pool {name} is ready"), || async {
            let pool: SessionPool = self.ours().get(name).await.ok()?;
            let conditions = pool.status?.azure.conditions;
            conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
                .then_some(())
        })
        .await;
    }

    /// Creates a job.
    pub async fn job(&self, name: &str, spec: &Value) -> CommandJob {
        let job = typed(&object("CommandJob", name, spec));
        self.ours()
            .create(&PostParams::default(), &job)
            .await
            .expect("the job is accepted")
    }

    /// Waits until a job has ended.
    pub async fn ended(&self, name: &str) -> CommandJob {
        self.ended_in(&self.namespace, name).await
    }

    /// Waits until a job of a namespace has ended.
    pub async fn ended_in(&self, namespace: &str, name: &str) -> CommandJob {
        let jobs: Api<CommandJob> = Api::namespaced(self.client.clone(), namespace);
        self.until(&format!("job {name} of {namespace} has ended"), || async {
            let job = jobs.get(name).await.ok()?;
            job.status.as_ref()?.phase?.is_terminal().then_some(job)
        })
        .await
    }

    /// Creates a job and waits until it has ended.
    pub async fn run(&self, name: &str, spec: &Value) -> CommandJob {
        self.job(name, spec).await;
        self.ended(name).await
    }

    /// Waits until `look` finds something. Panics after [`PATIENCE`] with what was waited for and the operator's last words.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if started.elapsed() > PATIENCE {
                // Absent if no operator was started yet.
                let log = std::fs::read_to_string(self.folder().join("operator.log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(40).collect();
                let tail: Vec<_> = tail.into_iter().rev().collect();
                panic!("not within {PATIENCE:?}: {what}\n{}", tail.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks the emulator's control API.
    pub async fn control(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}/_emulator/{path}", self.azure().arm.trim_end_matches('/'));
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("the emulator answers");
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.text().await.unwrap_or_default()
        );
        let text = response.text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Every request that the emulator answered since the last [`forget_requests`](Self::forget_requests).
    pub async fn requests(&self) -> Vec<Value> {
        let answer = self.control(reqwest::Method::GET, "requests", None).await;
        answer
            .as_array()
            .cloned()
            .or_else(|| answer["value"].as_array().cloned())
            .unwrap_or_default()
    }

    /// Forgets the requests so far.
    pub async fn forget_requests(&self) {
        self.control(reqwest::Method::DELETE, "requests", None).await;
    }

    /// Every execution that the emulator ran.
    pub async fn executions(&self) -> Vec<Value> {
        let answer = self.control(reqwest::Method::GET, "executions", None).await;
        answer.as_array().cloned().unwrap_or_default()
    }

    /// Adds a fault.
    pub async fn fault(&self, fault: &Value) {
        self.control(reqwest::Method::POST, "faults", Some(fault)).await;
    }

    /// Changes how the emulator behaves.
    pub async fn behave(&self, switches: &Value) {
        self.control(reqwest::Method::PUT, "behaviour", Some(switches)).await;
    }
}

/// An object of one of our kinds.
pub fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "lifeguard.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A Shell pool in the group `jobs` whose sessions may reach the host's loopback.
pub fn shell_pool(name: &str, max_concurrent_sessions: u32) -> Value {
    object(
        "SessionPool",
        name,
        &json!({
            "resourceGroupRef": {"name": "jobs"}, "containerType": "Shell",
            "scaleConfiguration": {"maxConcurrentSessions": max_concurrent_sessions},
            "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}},
            "sessionNetworkConfiguration": {"status": "EgressEnabled"},
        }),
    )
}

/// A job's spec: a script in the pool `shell`.
pub fn script(text: &str) -> Value {
    json!({"target": {"sessionPoolRef": {"name": "shell"}}, "script": text})
}

/// A count that a sample in `make test` and `make soak` have.
pub fn sample_or_soak(sample: usize, soak: usize) -> usize {
    if std::env::var_os("LIFEGUARD_SOAK").is_some() {
        soak
    } else {
        sample
    }
}

/// The value as the type that the API has.
pub fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a valid object")
}

async fn create_namespace(client: &Client, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    api.create(&PostParams::default(), &typed(&namespace))
        .await
        .expect("a namespace");
}

fn binary(name: &str) -> PathBuf {
    beside(&std::env::current_exe().expect("the test's own path"), name)
}

async fn client(server: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig_path()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a valid kubeconfig")).expect("a client")
}
