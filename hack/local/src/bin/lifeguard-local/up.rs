//! Starting everything, in the order in which it depends on each other.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use lifeguard_local::{
    ControlPlane, Emulator, Error, Helm, Kubectl, Lifetime, Operator, Options, ReadyLine, Tools, control_plane,
    write_private,
};
use serde_json::{Value, json};

use crate::Cluster;
use crate::console::Console;
use crate::layout::Layout;

/// The chart's release, its namespace and the ServiceAccount that it makes for the operator.
const RELEASE: &str = "lifeguard";
const NAMESPACE: &str = "lifeguard-system";
const SERVICE_ACCOUNT: &str = "lifeguard";

/// The application of [`FEDERATED_SUBJECT`], for accounts with `credential.workloadIdentity`.
const WORKLOAD_CLIENT_ID: &str = "00000000-0000-0000-0000-000000000004";
const FEDERATED_SUBJECT: &str = "system:serviceaccount:default:lifeguard";
const FEDERATION_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Built-in roles of Azure: Owner, and Azure ContainerApps Session Executor.
const ROLES: [&str; 2] = [
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
];

/// What runs. Dropped, it ends if it was started [`Lifetime::WithParent`]: the operator first.
#[derive(Debug)]
pub struct Running {
    /// The operator.
    pub operator: Operator,
    /// The emulator.
    pub emulator: Emulator,
    /// None where the cluster is the user's own.
    pub control_plane: Option<ControlPlane>,
    /// `kubectl` as the administrator.
    pub kubectl: Kubectl,
}

/// Starts what does not run yet; what runs stays. Of `options` the folder is the layout's.
pub fn up(layout: &Layout, cluster: Cluster, options: Options, console: &Console) -> Result<Running, Error> {
    let lifetime = options.lifetime;
    let file_error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { action, path, source }
    };
    fs::create_dir_all(layout.folder()).map_err(file_error("create", layout.folder()))?;
    let lock = File::create(layout.lock()).map_err(file_error("create", &layout.lock()))?;
    lock.lock().map_err(file_error("lock", &layout.lock()))?;
    let tools = Tools::locate()?;

    let control_plane = match cluster {
        Cluster::Local => {
            if control_plane::detached(&layout.control_plane(), "kube-apiserver").is_none() {
                console.step("starting a Kubernetes control plane without nodes");
            }
            let options = Options {
                data_dir: Some(layout.control_plane()),
                ..options
            };
            let control_plane = ControlPlane::start(&options)?;
            fs::copy(control_plane.kubeconfig_path(), layout.kubeconfig())
                .map_err(file_error("write", &layout.kubeconfig()))?;
            console.step("the Kubernetes API is ready");
            Some(control_plane)
        }
        Cluster::Current => {
            let kubeconfig = current_kubeconfig(&tools)?;
            write_private(&layout.kubeconfig(), &kubeconfig)?;
            console.step("using the current context of your kubeconfig");
            None
        }
    };
    let kubectl = Kubectl::new(&tools, &layout.kubeconfig());

    if layout.left_running("emulator").is_none() {
        console.step("starting the Azure emulator");
    }
    let emulator = start_emulator(layout, lifetime, console)?;
    register_workload_identity(&kubectl, &emulator)?;
    console.step(&format!("the Azure emulator answers at {}", emulator.ready().arm));

    console.step("installing charts/lifeguard with helm");
    // The operator runs on this machine, with the rights of the chart's ServiceAccount. The chart's own pod must
    // therefore never run, not even where there are nodes.
    let nowhere = r"nodeSelector.lifeguard\.dev/runs-outside-the-cluster=yes";
    Helm::new(&tools, &layout.kubeconfig()).install(RELEASE, &layout.chart(), NAMESPACE, &[nowhere])?;

    write_private(&layout.environment(), &environment(layout, &tools, emulator.ready()))?;

    if layout.left_running("operator").is_none() {
        console.step("starting the operator");
    }
    kubectl.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT, &layout.operator_kubeconfig())?;
    let operator = Operator::spawn(layout.operator_options(&emulator.ready().cloud, lifetime))?;
    console.step("the operator is ready");
    Ok(Running {
        operator,
        emulator,
        control_plane,
        kubectl,
    })
}

/// What takes Azure half a minute takes the local one a moment: registration, operations, and new roles.
const QUICK: &str = r#"{"arm": {"registrationSeconds": 1, "operationSeconds": 1, "groupDeletionSeconds": 1,
    "retryAfterSeconds": 1}, "roles": {"propagationSeconds": 1, "principalReplicationSeconds": 1},
    "tokens": {"federationPropagationSeconds": 1}}"#;

fn start_emulator(layout: &Layout, lifetime: Lifetime, console: &Console) -> Result<Emulator, Error> {
    let mut options = layout.emulator_options(lifetime);
    options.arguments.extend(["--behaviour".to_owned(), QUICK.to_owned()]);
    match Emulator::spawn(options.clone()) {
        // Its message names the setting that would allow namespaces, and this way round it.
        Err(Error::Ended { tail, log, .. }) if tail.contains("--isolation none") => {
            console.step(&format!(
                "this machine allows no namespaces: commands of sessions run as ordinary processes (see {})",
                log.display()
            ));
            options.arguments.extend(["--isolation".to_owned(), "none".to_owned()]);
            Emulator::spawn(options)
        }
        result => result,
    }
}

/// Makes the cluster's ServiceAccount tokens worth something in the emulator: trust in the issuer, and an application
/// that the ServiceAccount `lifeguard` of the namespace `default` may be.
fn register_workload_identity(kubectl: &Kubectl, emulator: &Emulator) -> Result<(), Error> {
    let origin = "/.well-known/openid-configuration";
    let discovery: Value =
        serde_json::from_str(&kubectl.run(&["get", "--raw", origin])?).map_err(|source| Error::Json {
            origin: origin.to_owned(),
            source,
        })?;
    let issuer = discovery["issuer"].as_str().unwrap_or(ControlPlane::ISSUER);
    emulator.register_issuer(issuer, &control_plane::jwks(kubectl)?)?;
    let scope = format!("/subscriptions/{}", emulator.ready().subscription_id);
    let assignments: Vec<Value> = ROLES
        .iter()
        .map(|role| json!({"scope": scope, "roleDefinitionId": role}))
        .collect();
    let application = json!({
        "clientId": WORKLOAD_CLIENT_ID,
        "federatedCredentials":
            [{"issuer": issuer, "subject": FEDERATED_SUBJECT, "audiences": [FEDERATION_AUDIENCE]}],
        "roleAssignments": assignments,
    });
    emulator.post("/_emulator/applications", &application).map(drop)
}

/// The user's own kubeconfig, reduced to its current context.
fn current_kubeconfig(tools: &Tools) -> Result<String, Error> {
    let kubectl = tools.program("kubectl");
    let output = Command::new(&kubectl)
        .args(["config", "view", "--minify", "--flatten", "--raw"])
        .output()
        .map_err(|source| Error::Start {
            program: kubectl.display().to_string(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Command {
        command: "kubectl config view --minify".to_owned(),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn environment(layout: &Layout, tools: &Tools, emulator: &ReadyLine) -> String {
    let exports = [
        ("KUBECONFIG", layout.kubeconfig().display().to_string()),
        ("AZURE_EMULATOR_URL", emulator.arm.clone()),
        ("AZURE_EMULATOR_CA", emulator.ca.display().to_string()),
        ("AZURE_EMULATOR_WORKLOAD_CLIENT_ID", WORKLOAD_CLIENT_ID.to_owned()),
    ];
    let lines: Vec<String> = exports
        .iter()
        .map(|(name, value)| format!("export {name}={}", quoted(value)))
        .collect();
    let tools = quoted(&tools.folder().display().to_string());
    format!("{}\nexport PATH={tools}:\"$PATH\"\n", lines.join("\n"))
}

/// A word of a shell script that stands for exactly `text`.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
