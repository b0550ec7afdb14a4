//! The control plane that the tests share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lifeguard_local::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::schema::KINDS;

/// The namespace of the operator that the chart is installed for.
pub const OPERATOR_NAMESPACE: &str = "lifeguard-system";

/// The namespaces of the second release, which works in these only.
pub const WATCHED: [&str; 2] = ["watched-one", "watched-two"];

/// The namespace of the second release.
pub const SECOND_NAMESPACE: &str = "second-system";

/// The control plane, with the chart installed twice: for all namespaces, and for two. It ends with this process.
pub fn server() -> &'static ControlPlane {
    static SERVER: OnceLock<ControlPlane> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = ControlPlane::start(&Options::default()).expect("the control plane starts");
        let install = |release, namespace, values: &[&str]| {
            server
                .helm()
                .install(release, &chart(), namespace, values)
                .expect("the chart can be installed");
        };
        install("lifeguard", OPERATOR_NAMESPACE, &[]);
        for namespace in WATCHED {
            create_namespace(&server, namespace);
        }
        let watched = format!("watchNamespaces={{{}}}", WATCHED.join(","));
        let values = [
            "crds.install=false",
            "clusterId=second",
            "rbac.aggregate=false",
            "rbac.submitter=false",
            &watched,
        ];
        install("second", SECOND_NAMESPACE, &values);
        server
            .kubectl()
            .run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])
            .expect("the definitions are established");
        server
    })
}

fn create_namespace(server: &ControlPlane, name: &str) {
    server
        .kubectl()
        .run(&["create", "namespace", name])
        .expect("a namespace can be created");
}

/// A namespace of the test's own.
pub fn namespace(name: &str) -> String {
    create_namespace(server(), name);
    name.to_owned()
}

/// A client with the administrator's rights. A client belongs to the runtime of its test, so each test makes one.
pub async fn client() -> Client {
    // Another test may have installed it already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(server().kubeconfig_path()).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a valid kubeconfig");
    Client::try_from(config).expect("a client")
}

/// The objects of a kind of ours in a namespace, untyped: what the API server refuses cannot be said with the types.
pub fn objects(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (_, plural) = KINDS.iter().find(|(it, _)| *it == kind).expect("a kind of ours");
    let kind = GroupVersionKind::gvk(lifeguard::api::GROUP, lifeguard::api::VERSION, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Asks the server whether it would create the object: `Err` is its message.
pub async fn admission(client: &Client, namespace: &str, object: &Value) -> Result<(), String> {
    let kind = object["kind"].as_str().expect("an object has a kind");
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    objects(client, kind, namespace)
        .create(&parameters, &typed(object))
        .await
        .map(drop)
        .map_err(message)
}

/// The object as kube takes it.
pub fn typed(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).expect("an object has apiVersion, kind and metadata")
}

/// The server's own words.
pub fn message(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("the API server did not answer: {other}"),
    }
}

/// An object of a kind of ours.
pub fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "lifeguard.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A path from the root of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The chart's folder.
pub fn chart() -> PathBuf {
    repository("charts/lifeguard")
}
