//! The chart as Helm renders it.

use std::process::Command;

use clap::Parser as _;
use lifeguard::config::{Arguments, LogFormat};
use lifeguard::controller::role_assignment::Grants;
use lifeguard_local::Tools;
use serde_json::{Value, json};

use crate::schema::KINDS;
use crate::server::{OPERATOR_NAMESPACE, chart, namespace, server};

/// Renders the chart as the release `lifeguard`, with an image; `Err` is Helm's message.
pub fn render(values: &[&str]) -> Result<Vec<Value>, String> {
    render_as("lifeguard", &[&["image.repository=\"lifeguard\""], values].concat())
}

/// Renders the chart with these values only.
fn render_as(release: &str, values: &[&str]) -> Result<Vec<Value>, String> {
    let chart = chart();
    let mut arguments = vec!["template", release];
    let folder = chart.to_string_lossy();
    arguments.extend([&*folder, "--namespace", OPERATOR_NAMESPACE]);
    for value in values {
        arguments.extend(["--set-json", value]);
    }
    let printed = helm(&arguments)?;
    Ok(serde_saphyr::from_multiple::<Value>(&printed)
        .expect("Helm prints YAML")
        .into_iter()
        .filter(|it| !it.is_null())
        .collect())
}

/// Runs Helm without a cluster.
fn helm(arguments: &[&str]) -> Result<String, String> {
    let tools = Tools::locate().map_err(|it| it.to_string())?;
    let output = Command::new(tools.program("helm"))
        .args(arguments)
        .output()
        .map_err(|it| it.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("Helm prints UTF-8");
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|it| it["kind"] == kind).collect()
}

fn container(objects: &[Value]) -> Value {
    of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0].clone()
}

fn arguments(objects: &[Value]) -> Vec<String> {
    serde_json::from_value(container(objects)["args"].clone()).expect("a list of texts")
}

#[test]
fn the_chart_is_clean_by_helms_own_rules() {
    let folder = chart();
    helm(&["lint", "--strict", &folder.to_string_lossy()]).expect("no error and no warning");
}

#[test]
fn by_default_one_operator_works_in_all_namespaces_of_the_public_cloud() {
    let objects = render(&[]).expect("the defaults are valid");
    let deployment = of_kind(&objects, "Deployment")[0];
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(
        arguments(&objects),
        [
            "--cloud=public",
            "--operator-namespace=lifeguard-system",
            "--poll-window=30",
            "--grantable-role=0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
            "--grantable-role=4633458b-17de-408a-b874-0445c86b69e6",
            "--grantable-role=7f951dda-4ed3-4680-a7ca-43fe172d538d",
            "--health-address=0.0.0.0:8080",
            "--log-format=json",
        ]
    );
    assert_eq!(of_kind(&objects, "CustomResourceDefinition").len(), KINDS.len());
    assert_eq!(
        container(&objects)["livenessProbe"]["httpGet"],
        json!({"path": "/livez", "port": "health"})
    );
    assert_eq!(
        container(&objects)["readinessProbe"]["httpGet"],
        json!({"path": "/readyz", "port": "health"})
    );
    assert!(container(&objects)["resources"]["limits"]["memory"].is_string());
}

#[test]
fn every_value_reaches_the_operator() {
    let objects = render(&[
        "cloudConfigMap=\"emulator\"",
        "clusterId=\"cluster-1\"",
        "watchNamespaces=[\"one\",\"two\"]",
        "hostIdentity.allowedNamespaces=[\"one\",\"*\"]",
        "workloadIdentity.issuer=\"https://issuer.example\"",
        "managedIdentities.allowedIssuers=[\"https://ci.example\",\"*\"]",
        "pollWindowSeconds=150",
        "defaultTtlSeconds=0",
        "roleAssignments={\"grantable\":[\"*@/subscriptions/s\"]}",
        "rbac.writeConfigMaps=false",
        "logFormat=\"text\"",
        "logLevel=\"debug\"",
        "image={\"repository\":\"registry.example.com/lifeguard\",\"tag\":\"1\"}",
        "crds.install=false",
    ])
    .expect("the values are valid");
    assert_eq!(
        arguments(&objects),
        [
            "--cloud=/etc/lifeguard/cloud/cloud.yaml",
            "--operator-namespace=lifeguard-system",
            "--cluster-id=cluster-1",
            "--watch-namespace=one",
            "--watch-namespace=two",
            "--service-account-issuer=https://issuer.example",
            "--allowed-issuer=https://ci.example",
            "--allowed-issuer=*",
            "--allow-host-identity=one",
            "--allow-host-identity=*",
            "--poll-window=150",
            "--default-ttl=0",
            "--write-config-maps=false",
            "--grantable-role=*@/subscriptions/s",
            "--health-address=0.0.0.0:8080",
            "--log-format=text",
        ]
    );
    let container = container(&objects);
    assert_eq!(container["image"], "registry.example.com/lifeguard:1");
    assert_eq!(
        container["env"],
        json!([{"name": "RUST_LOG", "value": "debug"}, {"name": "MALLOC_ARENA_MAX", "value": "2"}])
    );
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/lifeguard/cloud");
    let deployment = of_kind(&objects, "Deployment")[0];
    assert_eq!(
        deployment["spec"]["template"]["spec"]["volumes"],
        json!([{"name": "cloud", "configMap": {"name": "emulator"}}])
    );
    assert!(of_kind(&objects, "CustomResourceDefinition").is_empty());
}

#[test]
fn the_operator_understands_the_arguments_that_the_chart_gives_it() {
    let objects = render(&[
        "clusterId=\"a\"",
        "watchNamespaces=[\"one\",\"two\"]",
        "hostIdentity.allowedNamespaces=[\"one\",\"*\"]",
        "workloadIdentity.issuer=\"https://issuer.example\"",
        "managedIdentities.allowedIssuers=[\"https://ci.example\",\"*\"]",
        "defaultTtlSeconds=5",
        "pollWindowSeconds=7",
        "rbac.writeConfigMaps=false",
        "cloud=\"china\"",
    ])
    .expect("valid");
    let command_line = std::iter::once("lifeguard".to_owned()).chain(arguments(&objects));
    let config = Arguments::try_parse_from(command_line)
        .expect("the operator starts")
        .config;
    assert_eq!(config.cloud, "china");
    assert_eq!(config.cluster_id.as_deref(), Some("a"));
    assert_eq!(config.watch_namespaces, ["one", "two"]);
    assert_eq!(config.allow_host_identity, ["one", "*"]);
    assert_eq!(config.service_account_issuer.as_deref(), Some("https://issuer.example"));
    assert_eq!(config.allowed_issuers, ["https://ci.example", "*"]);
    assert_eq!(config.default_ttl_seconds, Some(5));
    assert_eq!(config.poll_window_seconds, 7);
    assert!(!config.write_config_maps);
    assert_eq!(config.operator_namespace, OPERATOR_NAMESPACE);
    assert_eq!(config.log_format, LogFormat::Json);
    let port = container(&objects)["ports"][0]["containerPort"].as_u64();
    assert_eq!(port, Some(u64::from(config.health_address.port())));
}

#[test]
fn the_roles_that_the_chart_grants_by_default_are_those_of_the_operator_and_an_empty_list_grants_none() {
    let config = |values: &[&str]| {
        let command_line = std::iter::once("lifeguard".to_owned()).chain(arguments(&render(values).expect("valid")));
        Arguments::try_parse_from(command_line)
            .expect("the operator starts")
            .config
    };
    assert_eq!(Grants::new(&config(&[]).grantable_roles), Grants::new(&[]));
    let nothing = config(&["roleAssignments={\"grantable\":[]}"]).grantable_roles;
    assert_eq!(nothing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["none"]);
}

#[test]
fn bad_values_are_refused_before_anything_is_rendered() {
    for (value, words) in [
        ("cloud=\"mars\"", "/cloud"),
        ("pollWindowSeconds=151", "/pollWindowSeconds"),
        (
            "workloadIdentity.issuer=\"http://plain.example\"",
            "/workloadIdentity/issuer",
        ),
        (
            "managedIdentities.allowedIssuers=[\"https://*.example\"]",
            "/managedIdentities/allowedIssuers/0",
        ),
        ("pollWindowSeconds=0", "/pollWindowSeconds"),
        ("pollWindowSeconds=\"30\"", "/pollWindowSeconds"),
        ("defaultTtlSeconds=-1", "/defaultTtlSeconds"),
        ("logFormat=\"xml\"", "/logFormat"),
        ("clusterId=\"a b\"", "/clusterId"),
        ("watchNamespaces=[\"Upper\"]", "/watchNamespaces/0"),
        ("watchNamespaces=[\"one\",\"one\"]", "/watchNamespaces"),
        // Without the right to read kube-system there is no id to fall back to.
        ("watchNamespaces=[\"one\"]", "/clusterId"),
        ("image.digest=\"latest\"", "/image/digest"),
        ("fullnameOverride=\"Upper\"", "/fullnameOverride"),
        ("nameOverride=\"a_b\"", "/nameOverride"),
        ("caBundle.key=\"a/b\"", "/caBundle/key"),
        ("extraEnv=[{\"value\":\"a\"}]", "/extraEnv/0"),
        ("extraVolumes={}", "/extraVolumes"),
        ("podSecurityContext=\"none\"", "/podSecurityContext"),
        ("rbac.submitter=\"yes\"", "/rbac/submitter"),
        ("rbac.writeConfigMaps=\"no\"", "/rbac/writeConfigMaps"),
        ("admissionPolicy=true", "/admissionPolicy"),
        ("admissionPolicy.enabled=\"no\"", "/admissionPolicy/enabled"),
        ("networkPolicy.ingress=[]", "/networkPolicy"),
        ("networkPolicy.egress={}", "/networkPolicy/egress"),
        ("image={\"pullPolicy\":\"Sometimes\"}", "/image/pullPolicy"),
        (
            "workloadIdentity={\"serviceAccountNames\":[\"*\"]}",
            "/workloadIdentity/serviceAccountNames/0",
        ),
        (
            "hostIdentity.allowedNamespaces=[\"team-*\"]",
            "/hostIdentity/allowedNamespaces/0",
        ),
        (
            "roleAssignments={\"grantable\":[\"Owner\"]}",
            "/roleAssignments/grantable/0",
        ),
        (
            "roleAssignments={\"grantable\":[\"*@/subscriptions/s,*@*\"]}",
            "/roleAssignments/grantable/0",
        ),
        ("crds={\"install\":\"yes\"}", "/crds/install"),
        ("replicas=2", "replicas"),
        ("podLabels={\"a\":1}", "/podLabels/a"),
    ] {
        let refusal = render(&[value]).expect_err(value);
        assert!(
            refusal.contains("don't meet the specifications of the schema") && refusal.contains(words),
            "{value}: {refusal}"
        );
    }
}

#[test]
fn without_an_image_the_installation_is_refused_with_what_to_do() {
    for values in [&[][..], &["image.repository=\"\""], &["image.digest=\"\""]] {
        let refusal = render_as("lifeguard", values).expect_err("no image");
        let sentence = "image.repository is required, because no image is published yet: build one from the Dockerfile";
        assert!(
            refusal.contains(sentence) && refusal.contains("--set image.repository="),
            "{refusal}"
        );
    }
}

#[test]
fn an_image_with_a_digest_is_that_one_and_no_tag() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let objects = render(&[&format!("image.digest=\"{digest}\""), "image.tag=\"1\""]).expect("valid");
    assert_eq!(container(&objects)["image"], format!("lifeguard@{digest}"));
}

#[test]
fn what_an_installation_needs_besides_reaches_the_pod() {
    let objects = render(&[
        "cloudConfigMap=\"emulator\"",
        "caBundle={\"configMap\":\"proxy\",\"key\":\"root.pem\"}",
        "extraEnv=[{\"name\":\"HTTPS_PROXY\",\"value\":\"http://proxy.example:3128\"}]",
        "extraVolumes=[{\"name\":\"more\",\"emptyDir\":{}}]",
        "extraVolumeMounts=[{\"name\":\"more\",\"mountPath\":\"/more\"}]",
        "podSecurityContext={\"runAsUser\":1000}",
        "securityContext={\"readOnlyRootFilesystem\":null}",
    ])
    .expect("the values are valid");
    let spec = of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"].clone();
    let container = container(&objects);
    assert_eq!(container["env"][0]["name"], "RUST_LOG");
    assert_eq!(
        container["env"][2],
        json!({"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"})
    );
    let mounts = |it: &Value| it["mountPath"].as_str().unwrap_or_default().to_owned();
    let mounted: Vec<_> = container["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(mounts)
        .collect();
    assert_eq!(mounted, ["/etc/lifeguard/cloud", "/etc/lifeguard/ca", "/more"]);
    assert_eq!(
        spec["volumes"][1],
        json!({"name": "ca-bundle", "configMap": {"name": "proxy"}})
    );
    assert_eq!(spec["volumes"][2], json!({"name": "more", "emptyDir": {}}));
    assert_eq!(
        (
            &spec["securityContext"]["runAsUser"],
            &spec["securityContext"]["runAsNonRoot"]
        ),
        (&json!(1000), &json!(true))
    );
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], Value::Null);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    let command_line = std::iter::once("lifeguard".to_owned()).chain(arguments(&objects));
    let config = Arguments::try_parse_from(command_line)
        .expect("the operator starts")
        .config;
    assert_eq!(
        config.ca_bundle.as_deref(),
        Some(std::path::Path::new("/etc/lifeguard/ca/root.pem"))
    );
}

#[test]
fn a_network_policy_lets_in_who_is_named_to_the_health_port_and_lets_out_unless_it_is_told() {
    assert!(of_kind(&render(&[]).expect("valid"), "NetworkPolicy").is_empty());
    let policy = |values: &[&str]| {
        let objects = render(&[&["networkPolicy.enabled=true"], values].concat()).expect("valid");
        let policy = of_kind(&objects, "NetworkPolicy")[0].clone();
        let labels = &of_kind(&objects, "Deployment")[0]["spec"]["selector"]["matchLabels"];
        assert_eq!(&policy["spec"]["podSelector"]["matchLabels"], labels);
        // The server's own reading of it.
        let kubectl = server().kubectl();
        let arguments = ["create", "--dry-run=server", "--namespace", "default", "-f", "-"];
        let mut here = policy.clone();
        here["metadata"]["namespace"] = json!("default");
        kubectl
            .run_with_input(&arguments, &here.to_string())
            .expect("it is accepted");
        policy["spec"].clone()
    };
    let closed = policy(&[]);
    assert_eq!(
        (&closed["policyTypes"], &closed["ingress"]),
        (&json!(["Ingress"]), &json!([]))
    );
    assert_eq!(closed["egress"], Value::Null);
    let peer = json!({"namespaceSelector": {"matchLabels": {"team": "monitoring"}}});
    let egress = json!([{"ports": [{"port": 443}, {"port": 53, "protocol": "UDP"}]}]);
    let open = policy(&[
        &format!("networkPolicy.ingressFrom=[{peer}]"),
        &format!("networkPolicy.egress={egress}"),
    ]);
    assert_eq!(open["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        open["ingress"],
        json!([{"from": [peer], "ports": [{"port": "health"}]}])
    );
    assert_eq!(open["egress"], egress);
}

#[test]
fn the_names_of_a_release_can_be_chosen() {
    let image = "image.repository=\"lifeguard\"";
    for (release, values, name, application) in [
        ("lifeguard", &[image][..], "lifeguard", "lifeguard"),
        ("batch", &[image], "batch-lifeguard", "lifeguard"),
        ("batch", &[image, "nameOverride=\"pools\""], "batch-pools", "pools"),
        ("batch", &[image, "fullnameOverride=\"azure\""], "azure", "lifeguard"),
    ] {
        let objects = render_as(release, values).expect("valid");
        let deployment = of_kind(&objects, "Deployment")[0];
        assert_eq!(deployment["metadata"]["name"], name);
        assert_eq!(of_kind(&objects, "ServiceAccount")[0]["metadata"]["name"], name);
        let selected = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(selected["app.kubernetes.io/name"], application);
        assert_eq!(
            deployment["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"],
            application
        );
    }
}

#[test]
fn the_pod_meets_the_restricted_pod_security_standard() {
    let namespace = namespace("restricted");
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    server()
        .kubectl()
        .run(&["label", "namespace", &namespace, enforce])
        .expect("labelled");
    // The operator's ServiceAccount and image are not needed: admission of a pod is what is asked for.
    server()
        .kubectl()
        .run(&["create", "serviceaccount", "lifeguard", "--namespace", &namespace])
        .expect("created");

    let objects = render(&["cloudConfigMap=\"emulator\""]).expect("valid");
    let spec = of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"].clone();
    let admit = |spec: &Value| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec});
        let arguments = ["create", "--dry-run=server", "--namespace", &namespace, "-f", "-"];
        server().kubectl().run_with_input(&arguments, &pod.to_string())
    };
    admit(&spec).expect("the pod is admitted");
    assert_eq!(spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);

    let mut relaxed = spec.clone();
    relaxed["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let error = admit(&relaxed).expect_err("the standard is enforced").to_string();
    assert!(error.contains("violates PodSecurity \"restricted"), "{error}");
}
