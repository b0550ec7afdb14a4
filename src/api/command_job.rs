//! CommandJob: a command that runs once in a session, and what it printed and returned.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::environment::EnvironmentVariable;
use super::reference::{LocalReference, PoolReference};

mod status;

pub use status::{
    Attempt, AttemptReason, CapturedStream, CommandJobStatus, CommandResult, Outcome, Phase, QueueReason, QueueStatus,
};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A command that runs in a session of an Azure Container Apps session pool. What it printed and returned is in
/// `status.result`. It is started at most once; see the documentation for what is promised when machines fail.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "lifeguard.dev",
    version = "v1alpha1",
    kind = "CommandJob",
    plural = "commandjobs",
    shortname = "azcmd",
    category = "lifeguard",
    namespaced,
    status = "CommandJobStatus",
    selectable = ".status.phase",
    derive = "PartialEq",
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "EXIT", type_ = "integer", json_path = ".status.result.exitCode"),
    printcolumn(name = "DURATION", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "TARGET", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.status) || !has(self.status.attempts) || size(self.status.attempts) == 0 || (self.spec.target == oldSelf.spec.target && has(self.spec.accountRef) == has(oldSelf.spec.accountRef) && (!has(self.spec.accountRef) || self.spec.accountRef == oldSelf.spec.accountRef) && has(self.spec.shell) == has(oldSelf.spec.shell) && (!has(self.spec.shell) || self.spec.shell == oldSelf.spec.shell) && has(self.spec.command) == has(oldSelf.spec.command) && (!has(self.spec.command) || self.spec.command == oldSelf.spec.command) && has(self.spec.args) == has(oldSelf.spec.args) && (!has(self.spec.args) || self.spec.args == oldSelf.spec.args) && has(self.spec.stdin) == has(oldSelf.spec.stdin) && (!has(self.spec.stdin) || self.spec.stdin == oldSelf.spec.stdin) && has(self.spec.env) == has(oldSelf.spec.env) && (!has(self.spec.env) || self.spec.env == oldSelf.spec.env) && self.spec.session == oldSelf.spec.session && self.spec.timeoutSeconds == oldSelf.spec.timeoutSeconds && self.spec.output == oldSelf.spec.output)").message("the command has been started: only ttlSecondsAfterFinished can still be changed; create another CommandJob").field_path(".spec")
)]
#[x_kube(validation = ("has(self.shell) != has(self.command)", "exactly one of shell and command must be set"))]
#[x_kube(validation = ("has(self.command) || !has(self.args)", "args goes with command"))]
pub struct CommandJobSpec {
    /// Where the command runs. Exactly one member must be set.
    pub target: Target,
    /// The AzureAccount of this namespace that executes the command. Default: the pool's own account if the pool is
    /// of this namespace, else the AzureAccount named `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<LocalReference>,
    /// A script. It runs under `/bin/bash` where the session has it, else `/bin/sh`; a `#!` line wins. Exactly one of
    /// `shell` and `command` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576))]
    pub shell: Option<String>,
    /// A program and its arguments, run without a shell. `$(NAME)` is replaced by the environment variable's value,
    /// as in Pods; `$$` is a literal `$`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(max = 131_072)))]
    pub command: Option<Vec<String>>,
    /// Further arguments of `command`. `$(NAME)` is replaced as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), inner(length(max = 131_072)))]
    pub args: Option<Vec<String>>,
    /// What the command reads from its standard input. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_048_576))]
    pub stdin: Option<String>,
    /// Environment variables of the command, added to those of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub env: Option<Vec<EnvironmentVariable>>,
    /// Which session the command runs in. Default: a fresh one that no other job sees.
    #[serde(default)]
    pub session: SessionSettings,
    /// Seconds that the command may run; then it is sent TERM and, after a grace of 10 seconds, KILL. Default 600.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: i32,
    /// Seconds after its end after which the object is deleted; 0 means at once. Absent: the operator's
    /// `--default-ttl`, if set; objects that Argo CD or Flux track are then spared, since they would be run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// How much of what the command prints is kept.
    #[serde(default)]
    pub output: OutputSettings,
}

fn default_timeout_seconds() -> i32 {
    600
}

/// Where a command runs: exactly one member is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.sessionPoolRef) != has(self.sessionPool)",
    "exactly one of sessionPoolRef and sessionPool must be set"
))]
pub struct Target {
    /// A SessionPool object with `containerType: Shell`; the job waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool_ref: Option<PoolReference>,
    /// A session pool in Azure that no object here manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool: Option<SessionPoolTarget>,
}

/// A session pool in Azure that no object here manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPoolTarget {
    /// Resource id: `/subscriptions/…/resourceGroups/…/providers/Microsoft.App/sessionPools/…`.
    #[schemars(
        length(min = 1, max = 1024),
        regex(
            pattern = "^/[sS]ubscriptions/[0-9a-fA-F-]{36}/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[aA]pp/[sS]ession[pP]ools/[^/]+$"
        )
    )]
    pub resource_id: String,
}

/// Which session a command runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSettings {
    /// `Fresh`: a session of its own, released when the job ends.
    #[serde(default)]
    pub mode: SessionMode,
}

/// How a job's session is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionMode {
    /// A session of its own, released when the job ends.
    #[default]
    Fresh,
}

/// How much of what a command prints is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputSettings {
    /// Bytes of each stream that are kept in `status`: of a longer one, the first and the last half. At most 262144.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1, max = 262_144))]
    pub max_bytes: i32,
    /// Where the whole of a longer stream goes. `None`: nowhere. `ConfigMap`: into ConfigMaps of this namespace that
    /// this job owns, named in `status.result.stdout.configMaps` and `.stderr.configMaps`; at most 8 MiB a stream.
    #[serde(default)]
    pub overflow: OverflowPolicy,
}

fn default_max_bytes() -> i32 {
    32_768
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self {
            max_bytes: default_max_bytes(),
            overflow: OverflowPolicy::default(),
        }
    }
}

/// Where a stream goes that is longer than `maxBytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverflowPolicy {
    /// Nowhere: what lies between the kept halves is lost.
    #[default]
    None,
    /// Into ConfigMaps that the job owns.
    ConfigMap,
}

/// Does a selector of labels match? Absent parts match everything, as in Kubernetes.
pub fn selector_matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|expression| {
            let values = expression.values.as_deref().unwrap_or_default();
            let actual = labels.get(&expression.key);
            match expression.operator.as_str() {
                "In" => actual.is_some_and(|it| values.contains(it)),
                "NotIn" => !actual.is_some_and(|it| values.contains(it)),
                "Exists" => actual.is_some(),
                "DoesNotExist" => actual.is_none(),
                _ => false,
            }
        })
}
