//! The local control plane behaves like a cluster: it authenticates, authorises, collects garbage, and leaves nothing
//! behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lifeguard_local::{ControlPlane, Kubectl, Launch, Lifetime, Options, Tools};

/// Set in the process that [`children_end_when_their_parent_is_killed`] starts and kills.
const PARENT_ROLE: &str = "LIFEGUARD_LOCAL_TEST_PARENT";

fn cluster() -> &'static ControlPlane {
    static CLUSTER: OnceLock<ControlPlane> = OnceLock::new();
    CLUSTER.get_or_init(|| ControlPlane::start(&Options::default()).expect("the control plane starts"))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_mins(1), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A process that nobody waited for yet (state Z) has ended, too.
fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Ends a detached control plane even when the test fails.
struct EndDetached(PathBuf);

impl Drop for EndDetached {
    fn drop(&mut self) {
        lifeguard_local::control_plane::stop_detached(&self.0);
    }
}

#[test]
fn the_administrator_may_do_everything_and_a_service_account_only_what_is_granted() {
    let admin = cluster().kubectl();
    admin
        .run(&["create", "serviceaccount", "reader", "-n", "default"])
        .unwrap();
    admin
        .run(&[
            "create",
            "role",
            "reader",
            "--verb=get",
            "--resource=configmaps",
            "-n",
            "default",
        ])
        .unwrap();
    admin
        .run(&[
            "create",
            "rolebinding",
            "reader",
            "--role=reader",
            "--serviceaccount=default:reader",
            "-n",
            "default",
        ])
        .unwrap();
    admin
        .run(&[
            "create",
            "configmap",
            "greeting",
            "--from-literal=text=hello",
            "-n",
            "default",
        ])
        .unwrap();

    let kubeconfig = cluster().kubeconfig_for_service_account("default", "reader").unwrap();
    let reader = Kubectl::new(&Tools::locate().unwrap(), &kubeconfig);
    let greeting = reader.get(&["configmap", "greeting", "-n", "default"]).unwrap();
    assert_eq!(greeting["data"]["text"], "hello");
    let refused = reader
        .run(&["delete", "configmap", "greeting", "-n", "default"])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Forbidden"), "{refused}");
}

#[test]
fn a_deleted_namespace_goes_away_with_what_is_in_it() {
    let kubectl = cluster().kubectl();
    kubectl.run(&["create", "namespace", "passing"]).unwrap();
    kubectl
        .run(&["create", "configmap", "content", "-n", "passing"])
        .unwrap();
    kubectl
        .run(&["delete", "namespace", "passing", "--timeout=60s"])
        .unwrap();
    let gone = kubectl.run(&["get", "namespace", "passing"]).unwrap_err().to_string();
    assert!(gone.contains("NotFound"), "{gone}");
}

#[test]
fn without_controllers_the_api_serves_its_namespaces_and_nobody_acts_on_them() {
    let options = Options {
        controllers: false,
        ..Options::default()
    };
    let cluster = ControlPlane::start(&options).unwrap();
    let names: Vec<_> = cluster.processes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["etcd", "kube-apiserver"]);
    let kubectl = cluster.kubectl();
    kubectl
        .run(&["create", "configmap", "content", "-n", "default"])
        .unwrap();
    kubectl.run(&["create", "namespace", "staying"]).unwrap();
    kubectl
        .run(&["delete", "namespace", "staying", "--wait=false"])
        .unwrap();
    let namespace = kubectl.get(&["namespace", "staying"]).unwrap();
    assert_eq!(namespace["status"]["phase"], "Terminating");
}

#[test]
fn what_is_owned_goes_away_with_its_owner() {
    let kubectl = cluster().kubectl();
    kubectl.run(&["create", "configmap", "owner", "-n", "default"]).unwrap();
    let owner = kubectl.get(&["configmap", "owner", "-n", "default"]).unwrap();
    let owned = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "owned", "namespace": "default",
            "ownerReferences":
                [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}],
        },
    });
    kubectl
        .run_with_input(&["create", "-f", "-"], &owned.to_string())
        .unwrap();
    kubectl.run(&["delete", "configmap", "owner", "-n", "default"]).unwrap();
    eventually("the owned object's deletion", || {
        kubectl.run(&["get", "configmap", "owned", "-n", "default"]).is_err()
    });
}

#[test]
fn tokens_are_signed_with_a_published_rsa_key() {
    let keys = cluster().jwks().unwrap();
    assert_eq!(keys["keys"][0]["kty"], "RSA");
    assert_eq!(keys["keys"][0]["alg"], "RS256");
}

#[test]
fn the_server_has_its_release_as_version_so_that_helm_and_kubectl_accept_it() {
    let printed = cluster().kubectl().run(&["get", "--raw", "/version"]).unwrap();
    let version: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(!version["gitVersion"].as_str().unwrap().starts_with("v0."), "{printed}");
    let releases = cluster()
        .helm()
        .run(&["list", "--all-namespaces", "-o", "json"])
        .unwrap();
    assert_eq!(releases.trim(), "[]");
}

#[test]
fn a_detached_control_plane_is_taken_over_and_repaired_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        data_dir: Some(folder.path().to_owned()),
        lifetime: Lifetime::Detached,
        ..Options::default()
    };
    let ids = |cluster: &ControlPlane| -> Vec<u32> {
        let processes = cluster.processes();
        processes.into_iter().map(|(_, process)| process.pid()).collect()
    };

    let _end = EndDetached(folder.path().to_owned());
    let first = ControlPlane::start(&options).unwrap();
    let before = ids(&first);
    first.kubectl().run(&["create", "namespace", "kept"]).unwrap();
    drop(first);

    let second = ControlPlane::start(&options).unwrap();
    assert_eq!(ids(&second), before, "what runs stays");
    let (_, api_server) = second.processes()[1];
    api_server.kill();
    drop(second);

    let third = ControlPlane::start(&options).unwrap();
    assert_eq!(ids(&third)[0], before[0], "etcd stays");
    assert_ne!(ids(&third)[1], before[1], "the API server is a new one");
    third.kubectl().run(&["get", "namespace", "kept"]).unwrap();

    third.stop();
    for pid in before {
        eventually("the end of the processes", || has_ended(pid));
    }
}

#[test]
fn a_port_that_another_program_took_meanwhile_is_given_up() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let [etcd_client, etcd_peer] = lifeguard_local::control_plane::free_ports().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ports = serde_json::json!({"etcdClient": etcd_client, "etcdPeer": etcd_peer, "apiServer": port});
    fs::write(folder.path().join("ports.json"), ports.to_string()).unwrap();

    let options = Options {
        data_dir: Some(folder.path().to_owned()),
        lifetime: Lifetime::Detached,
        ..Options::default()
    };
    let _end = EndDetached(folder.path().to_owned());
    let cluster = ControlPlane::start(&options).unwrap();
    cluster.kubectl().run(&["get", "namespaces"]).unwrap();
    let kubeconfig = fs::read_to_string(cluster.kubeconfig_path()).unwrap();
    assert!(!kubeconfig.contains(&format!(":{port}\"")), "{kubeconfig}");
}

#[test]
fn children_end_when_their_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        name: "child".to_owned(),
        program: "/bin/sleep".into(),
        arguments: vec!["600".to_owned()],
        environment: Vec::new(),
        folder: folder.path().to_owned(),
        stdout: None,
        lifetime: Lifetime::WithParent,
    };
    if std::env::var_os(PARENT_ROLE).is_some() {
        // The role of the parent: a child started by a thread that ends, then silence.
        let child = std::thread::spawn(move || launch.start().unwrap()).join().unwrap();
        eprintln!("child {}", child.pid());
        std::thread::sleep(Duration::from_mins(10));
        return;
    }

    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "children_end_when_their_parent_is_killed", "--nocapture"])
        .env(PARENT_ROLE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stderr.take().unwrap()).lines();
    let child = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("child ")?.parse::<u32>().ok())
        .unwrap();
    eventually("the child's start", || {
        fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| stat.contains("(sleep)"))
    });

    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the child's end", || has_ended(child));
}
