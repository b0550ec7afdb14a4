//! The containers of a `CustomContainer` pool, in ARM's names.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::form;
use crate::api::reference::LocalReference;

/// The containers of a session of a `CustomContainer` pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomContainerTemplate {
    /// The private container registry that the images come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_credentials: Option<RegistryCredentials>,
    /// The containers of a session.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub containers: Vec<Container>,
    /// The port of a session that takes requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// Credentials of a private container registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.username) ? 1 : 0) + (has(self.identity) ? 1 : 0) + (has(self.managedIdentityRef) ? 1 : 0) <= 1", "only one of username, identity and managedIdentityRef may be set"))]
pub struct RegistryCredentials {
    /// Host name of the registry.
    #[schemars(length(min = 1, max = 253))]
    pub server: String,
    /// User name for the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub username: Option<String>,
    /// Name of the entry of the pool's `secrets` that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub password_secret_ref: Option<String>,
    /// The identity that pulls the images, instead of a user: `system`, or the Azure resource id of a user-assigned
    /// identity. The pool must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = form::IDENTITY_ID_OR_SYSTEM)
    )]
    pub identity: Option<String>,
    /// The identity that pulls the images, instead of a user, as a ManagedIdentity of this namespace. The pool must
    /// have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity_ref: Option<LocalReference>,
}

/// One container of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Name of the container.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The container image, with a tag.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub command: Vec<String>,
    /// Arguments of the entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub args: Vec<String>,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<ContainerEnvironmentVariable>,
    /// CPU and memory of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
    /// Liveness and startup probes, at most one of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub probes: Vec<Probe>,
}

/// One environment variable of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.value) != has(self.secretRef)", "exactly one of value and secretRef must be set"))]
pub struct ContainerEnvironmentVariable {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value of the variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,
    /// Name of the entry of the pool's `secrets` that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_ref: Option<String>,
}

/// How much CPU and memory a container has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerResources {
    /// Number of CPU cores, such as 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Amount of memory, such as `1Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub memory: Option<String>,
}

/// How requests reach a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The port that the container listens on.
    #[schemars(range(min = 1, max = 65_535))]
    pub target_port: i32,
}

/// What a probe finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeKind {
    /// Whether the container still works. A container that fails is restarted.
    Liveness,
    /// Whether the container has started. Other probes wait until it succeeds.
    Startup,
}

/// A liveness or startup probe. Azure has no readiness probes for sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.httpGet) != has(self.tcpSocket)", "exactly one of httpGet and tcpSocket must be set"))]
#[x_kube(validation = ("self.type != 'Liveness' || !has(self.failureThreshold) || self.failureThreshold <= 30", "failureThreshold of a Liveness probe must be 1 to 30"))]
pub struct Probe {
    /// What the probe checks.
    #[serde(rename = "type")]
    pub kind: ProbeKind,
    /// An HTTP request that must succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGetProbe>,
    /// A TCP connection that must succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocketProbe>,
    /// How many failures in a row make the probe fail: 1 to 30 for `Liveness`, 1 to 240 for `Startup`. Azure's default is 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 240))]
    pub failure_threshold: Option<i32>,
    /// Seconds between the start of the container and the first probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 60))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds between two probes. Azure's default is 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 240))]
    pub period_seconds: Option<i32>,
    /// How many successes in a row make the probe succeed after a failure. Azure allows only 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1))]
    pub success_threshold: Option<i32>,
    /// Seconds after which a probe without an answer fails. Azure's default is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 240))]
    pub timeout_seconds: Option<i32>,
    /// Seconds that the container has to end after the probe failed; 0 ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub termination_grace_period_seconds: Option<i64>,
}

/// An HTTP request of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpGetProbe {
    /// Host name to connect to. Default: the container itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// Path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub path: Option<String>,
    /// Port to connect to.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// Protocol of the request. Default `HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<HttpScheme>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub http_headers: Vec<HttpHeader>,
}

/// The protocol of a probe's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// A header of a probe's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name of the header.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Value of the header.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// A TCP connection of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpSocketProbe {
    /// Host name to connect to. Default: the container itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub host: Option<String>,
    /// Port to connect to.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
}
