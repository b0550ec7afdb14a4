//! The operator uses every right that the chart gives it, and asks for none that it has not: its requests are read from
//! the API server's audit log while it does all that it can do, under the chart's ServiceAccount.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use lifeguard_local::{
    ControlPlane, Emulator, EmulatorOptions, Error, Kubectl, Operator, OperatorOptions, Options, beside,
};
use serde_json::{Value, json};

const OPERATOR: &str = "system:serviceaccount:lifeguard-system:lifeguard";
const HOST: &str = "host";
const GUEST: &str = "guest";

/// How often, and so how long, something is waited for: two minutes.
const TRIES: usize = 600;
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn every_right_of_the_chart_is_used_and_nothing_else_is_asked_for() {
    let (used, granted) = used_and_granted(&[], &[]);
    assert_eq!(used, granted, "left: used, right: granted");
}

#[test]
fn an_operator_of_some_namespaces_does_with_roles_in_them_what_one_of_all_does() {
    let watched = format!("watchNamespaces={{{HOST},{GUEST}}}");
    let arguments = ["--cluster-id=test", "--watch-namespace=host", "--watch-namespace=guest"];
    let (used, granted) = used_and_granted(&["clusterId=test", &watched], &arguments);
    assert_eq!(used, granted, "left: used, right: granted");
}

#[test]
fn an_operator_that_may_write_no_config_map_says_so_and_does_not_try() {
    let (used, granted) = used_and_granted(&["rbac.writeConfigMaps=false"], &["--write-config-maps=false"]);
    assert_eq!(used, granted, "left: used, right: granted");
    assert!(granted.contains("get /configmaps") && !granted.contains("create /configmaps"));
}

/// Lets an operator with the rights of a release with these values do all that it can do. Returns what it asked for and
/// what it may ask for.
fn used_and_granted(values: &[&str], arguments: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = audited_control_plane(folder.path());
    let kubectl = cluster.kubectl();
    for namespace in [HOST, GUEST] {
        kubectl.run(&["create", "namespace", namespace]).expect("created");
    }
    let lifeguard = Path::new(env!("CARGO_BIN_EXE_lifeguard"));

    let mut options = EmulatorOptions::new(&beside(lifeguard, "azure-emulator"), folder.path());
    let quick = json!({
        "arm": {"operationSeconds": 0.1, "groupDeletionSeconds": 0.1, "registrationSeconds": 0.1},
        "roles": {"propagationSeconds": 0},
    });
    options.arguments = vec!["--behaviour".to_owned(), quick.to_string()];
    options.authority_key = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("authority.key"));
    let emulator = Emulator::spawn(options).expect("the emulator starts (`make test-build` builds it)");
    emulator
        .register_issuer(ControlPlane::ISSUER, &cluster.jwks().expect("keys"))
        .expect("the emulator trusts the cluster");

    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/lifeguard");
    cluster
        .helm()
        .install("lifeguard", &chart, "lifeguard-system", values)
        .expect("the chart is installed");
    let kubeconfig = cluster
        .kubeconfig_for_service_account("lifeguard-system", "lifeguard")
        .expect("a token of the operator's account");
    let mut options = OperatorOptions::new(lifeguard, &kubeconfig, &emulator.ready().cloud, folder.path());
    options.arguments = arguments
        .iter()
        .chain(&["--pace=0.05"])
        .map(|&it| it.to_owned())
        .collect();
    let operator = Operator::spawn(options).expect("the operator starts under the chart's rights");

    let writes_config_maps = !arguments.contains(&"--write-config-maps=false");
    live_a_whole_life(&kubectl, &emulator, writes_config_maps);
    operator.stop();

    let (used, refused) = requests(&folder.path().join("audit.log"));
    assert!(refused.is_empty(), "the operator lacks rights: {refused:#?}");
    (used, granted(&kubectl))
}

fn audited_control_plane(folder: &Path) -> ControlPlane {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [OPERATOR]}, {"level": "None"}],
    });
    let path = folder.join("audit-policy.json");
    fs::write(&path, policy.to_string()).expect("a file");
    ControlPlane::start(&Options {
        api_server_arguments: vec![
            format!("--audit-policy-file={}", path.display()),
            format!("--audit-log-path={}", folder.join("audit.log").display()),
        ],
        ..Options::default()
    })
    .expect("the control plane starts")
}

/// Makes the operator do everything for which it needs a right. The chart's admission policies are in force meanwhile.
fn live_a_whole_life(kubectl: &Kubectl, emulator: &Emulator, writes_config_maps: bool) {
    kubectl
        .run(&["label", "namespace", GUEST, "guest=yes"])
        .expect("labelled");
    kubectl
        .run(&["create", "serviceaccount", "lifeguard", "--namespace", HOST])
        .expect("created");

    let ready = emulator.ready();
    // Owner, and Session Executor.
    let roles = [
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
    ];
    let scope = format!("/subscriptions/{}", ready.subscription_id);
    let application = emulator
        .post(
            "/_emulator/applications",
            &json!({
                "federatedCredentials": [{
                    "issuer": ControlPlane::ISSUER,
                    "subject": format!("system:serviceaccount:{HOST}:lifeguard"),
                    "audiences": ["api://AzureADTokenExchange"],
                }],
                "roleAssignments": roles.map(|role| json!({"scope": scope, "roleDefinitionId": role})).to_vec(),
            }),
        )
        .expect("an application");
    let account = |credential: Value| {
        json!({
            "tenantId": ready.tenant_id,
            "subscriptionId": ready.subscription_id,
            "location": "northcentralus",
            "credential": credential,
        })
    };
    let job = |more: Value| {
        let mut spec =
            json!({"target": {"sessionPoolRef": {"name": "shell", "namespace": HOST}}, "script": "echo $A$B"});
        spec.as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        spec
    };
    let variables = json!([
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "a"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "map", "key": "b"}}},
    ]);

    let workload_identity = json!({"workloadIdentity": {"clientId": application["clientId"]}});
    apply(kubectl, HOST, "AzureAccount", "default", &account(workload_identity));
    // What the identity assignment is for stays in it.
    apply(
        kubectl,
        HOST,
        "ResourceGroup",
        "group",
        &json!({"deletionPolicy": "Retain"}),
    );
    apply(
        kubectl,
        HOST,
        "SessionPool",
        "shell",
        &json!({
            "resourceGroupRef": {"name": "group"},
            "containerType": "Shell",
            "scaleConfiguration": {"maxConcurrentSessions": 5},
            "sharing": [{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"guest": "yes"}}}}],
        }),
    );
    kubectl
        .run(&[
            "create",
            "secret",
            "generic",
            "secret",
            "--namespace",
            HOST,
            "--from-literal=a=value-a",
        ])
        .expect("created");
    kubectl
        .run(&[
            "create",
            "configmap",
            "map",
            "--namespace",
            HOST,
            "--from-literal=b=value-b",
        ])
        .expect("created");
    let own = |overflow: &str| {
        job(json!({"env": variables, "output": {"maxBytes": 1, "overflow": overflow}, "ttlSecondsAfterFinished": 3}))
    };
    if writes_config_maps {
        apply(kubectl, HOST, "CommandJob", "own", &own("ConfigMap"));
    } else {
        apply(kubectl, HOST, "CommandJob", "own", &own("None"));
        apply(kubectl, HOST, "CommandJob", "refused", &own("ConfigMap"));
        wait_until(kubectl, "commandjobs", "refused", ("Stalled", "ConfigMapsNotAllowed"));
        let refused = ["commandjobs.lifeguard.dev", "refused", "--namespace", HOST];
        let job = kubectl.get(&refused).expect("the job");
        assert_eq!(job["status"]["attempts"], Value::Null, "it was started");
        kubectl.run(&[&["delete"], &refused[..]].concat()).expect("deleted");
    }

    let secret = format!("--from-literal=clientSecret={}", ready.client_secret);
    kubectl
        .run(&["create", "secret", "generic", "azure", "--namespace", GUEST, &secret])
        .expect("created");
    let client_secret = json!({"clientSecret": {"clientId": ready.client_id, "secretKeyRef": {"name": "azure"}}});
    apply(kubectl, GUEST, "AzureAccount", "default", &account(client_secret));
    apply(kubectl, GUEST, "CommandJob", "guest", &job(json!({})));

    wait(kubectl, "the guest's job succeeds", || {
        let job = kubectl.get(&["commandjobs.lifeguard.dev", "guest", "--namespace", GUEST])?;
        Ok(job["status"]["phase"] == "Succeeded")
    });
    manage_identities(kubectl, writes_config_maps);
    wait(kubectl, "the finished job is deleted after its time to live", || {
        let found = kubectl.get(&["commandjobs.lifeguard.dev", "--namespace", HOST])?;
        Ok(found["items"].as_array().is_some_and(Vec::is_empty))
    });
    for (kind, namespace) in [
        ("identityassignments", HOST),
        ("roleassignments", HOST),
        ("managedidentities", HOST),
        ("sessionpools", HOST),
        ("resourcegroups", HOST),
        ("azureaccounts", HOST),
        ("azureaccounts", GUEST),
    ] {
        let kind = format!("{kind}.lifeguard.dev");
        kubectl
            .run(&["delete", &kind, "--all", "--namespace", namespace, "--timeout=120s"])
            .expect("deletion comes to an end");
    }
}

/// An identity whose ConfigMap is written, put right and removed, that has a role and is attached to a pool of nobody.
fn manage_identities(kubectl: &Kubectl, writes_config_maps: bool) {
    let identity = |config_map: Option<&str>| {
        json!({
            "resourceGroupRef": {"name": "group"}, "interval": "1s",
            "federatedCredentials": [{"name": "lifeguard", "serviceAccountRef": {"name": "lifeguard"}}],
            "export": config_map.map(|name| json!({"configMap": {"name": name}})),
        })
    };
    let pool = json!({"resourceGroupRef": {"name": "group"}, "containerType": "Shell", "deletionPolicy": "Retain"});
    apply(kubectl, HOST, "SessionPool", "left", &pool);
    apply(kubectl, HOST, "ManagedIdentity", "one", &identity(Some("before")));
    if writes_config_maps {
        wait_until_ready(kubectl, "managedidentities", "one");
        write_config_maps(kubectl, &|name| identity(Some(name)));
    } else {
        let (kind, name) = ("managedidentities", "one");
        wait_until(kubectl, kind, name, ("Stalled", "ConfigMapsNotAllowed"));
        apply(kubectl, HOST, "ManagedIdentity", name, &identity(None));
        wait_until_ready(kubectl, kind, name);
    }

    let assignment = json!({
        "principal": {"managedIdentityRef": {"name": "one"}},
        "role": "Azure ContainerApps Session Executor",
        "scope": {"sessionPoolRef": {"name": "shell"}},
    });
    apply(kubectl, HOST, "RoleAssignment", "one", &assignment);
    wait_until_ready(kubectl, "roleassignments", "one");

    wait_until_ready(kubectl, "sessionpools", "left");
    let left = kubectl
        .get(&["sessionpools.lifeguard.dev", "left", "--namespace", HOST])
        .expect("the pool");
    kubectl
        .run(&[
            "delete",
            "sessionpools.lifeguard.dev",
            "left",
            "--namespace",
            HOST,
            "--timeout=120s",
        ])
        .expect("the object goes and the pool stays");
    let assignment = json!({
        "target": {"sessionPool": {"resourceId": left["status"]["id"]}},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": [{"managedIdentityRef": {"name": "one"}}]},
    });
    apply(kubectl, HOST, "IdentityAssignment", "one", &assignment);
    wait_until_ready(kubectl, "identityassignments", "one");
}

/// A ConfigMap that is exported to is put right, and goes when another one is named.
fn write_config_maps(kubectl: &Kubectl, identity: &dyn Fn(&str) -> Value) {
    let forged = ["patch", "configmap", "before", "--namespace", HOST, "--type=merge"];
    let forged = [&forged[..], &["--patch", r#"{"data":{"clientId":"forged"}}"#]].concat();
    kubectl.run(&forged).expect("patched");
    wait(kubectl, "the ConfigMap is put right", || {
        let found = kubectl.get(&["configmap", "before", "--namespace", HOST])?;
        Ok(found["data"]["clientId"] != "forged")
    });
    apply(kubectl, HOST, "ManagedIdentity", "one", &identity("after"));
    wait(kubectl, "the ConfigMap of before is removed", || {
        let found = kubectl.get(&["configmaps", "--namespace", HOST])?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().all(|it| it["metadata"]["name"] != "before"))
    });
}

fn wait_until_ready(kubectl: &Kubectl, plural: &str, name: &str) {
    wait_until(kubectl, plural, name, ("Ready", "Available"));
}

/// Waits until a condition is true for a reason.
fn wait_until(kubectl: &Kubectl, plural: &str, name: &str, (condition, reason): (&str, &str)) {
    let kind = format!("{plural}.lifeguard.dev");
    wait(kubectl, &format!("{plural} {name}: {condition}, {reason}"), || {
        let found = kubectl.get(&[&kind, name, "--namespace", HOST])?;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|it| it["type"] == condition && it["status"] == "True" && it["reason"] == reason))
    });
}

fn apply(kubectl: &Kubectl, namespace: &str, kind: &str, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "lifeguard.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    kubectl
        .run_with_input(&["apply", "-f", "-"], &object.to_string())
        .expect("the object is accepted");
}

fn wait(kubectl: &Kubectl, what: &str, mut happened: impl FnMut() -> Result<bool, Error>) {
    for _ in 0..TRIES {
        if happened().expect("kubectl answers") {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    let state = kubectl
        .run(&["get", "lifeguard", "--all-namespaces", "-o", "yaml"])
        .unwrap_or_default();
    panic!("{what}: not in time\n{state}");
}

/// What the operator asked for, as `VERB GROUP/RESOURCE`, and what of it was refused.
fn requests(log: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = fs::read_to_string(log).expect("the audit log");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).expect("each line is an event");
        // Requests without an object, such as for the server's version, are open to every user.
        let reference = &event["objectRef"];
        let Some(resource) = reference["resource"].as_str() else {
            continue;
        };
        let group = reference["apiGroup"].as_str().unwrap_or_default();
        let subresource = reference["subresource"]
            .as_str()
            .map(|it| format!("/{it}"))
            .unwrap_or_default();
        let verb = event["verb"].as_str().unwrap_or_default();
        let request = format!("{verb} {group}/{resource}{subresource}");
        if event["responseStatus"]["code"] == 403 && !is_of_a_terminating_namespace(&event) {
            refused.insert(format!("{request}: {}", event["responseStatus"]["message"]));
        }
        used.insert(request);
    }
    (used, refused)
}

/// Creating something in a namespace that is being deleted is refused with the same status.
fn is_of_a_terminating_namespace(event: &Value) -> bool {
    event["responseStatus"]["message"]
        .as_str()
        .is_some_and(|it| it.contains("is being terminated"))
}

/// What the chart's roles grant the operator, in the same notation.
fn granted(kubectl: &Kubectl) -> BTreeSet<String> {
    let mut granted = BTreeSet::new();
    let everywhere = kubectl.get(&["clusterrole", "lifeguard"]);
    let there = |_| kubectl.get(&["role", "lifeguard", "--namespace", HOST]);
    let roles = [
        everywhere.or_else(there),
        kubectl.get(&["role", "lifeguard-key", "--namespace", "lifeguard-system"]),
    ];
    for role in roles {
        let role = role.expect("the chart's role");
        for rule in role["rules"].as_array().into_iter().flatten() {
            let texts = |name: &str| -> Vec<String> {
                let values = rule[name].as_array().into_iter().flatten();
                values.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    granted.extend(texts("verbs").iter().map(|verb| format!("{verb} {group}/{resource}")));
                }
            }
        }
    }
    granted
}
