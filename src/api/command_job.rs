//! CommandJob: a command that runs once in a session, and what it printed and returned.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::environment::EnvironmentVariable;
use super::form;
use super::reference::{LocalReference, PoolReference};

mod failure_policy;
mod session;
mod status;

pub use failure_policy::{
    ExitCodeOperator, FailedOutcome, FailureAction, FailurePolicy, FailureRule, OnExitCodes, OnOutcome,
};
pub use session::{DefaultSessionMode, JobSession, SessionMode, SessionSettings};
pub use status::{
    Attempt, AttemptReason, CapturedStream, CommandJobStatus, CommandResult, Outcome, OutputTail, Phase, QueueReason,
    QueueStatus, StoredKey, StoredPart, StreamTail,
};

/// The field selector of jobs that have not ended: only these are kept in memory.
pub const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Cancelled";

/// A command that runs once in a session of an Azure Container Apps session pool. What it printed and its exit code are
/// in `status.result`. Whatever fails meanwhile, the command is not started twice unless `backoffLimit` or `failurePolicy`
/// says so.
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
    selectable = ".spec.target.sessionPoolRef.name",
    derive = "PartialEq",
    printcolumn(name = "STATUS", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "EXIT", type_ = "integer", json_path = ".status.result.exitCode"),
    printcolumn(name = "DURATION", type_ = "string", json_path = ".status.duration"),
    printcolumn(name = "TARGET", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.status) || !has(self.status.attempts) || size(self.status.attempts) == 0 || ((self.spec.target == oldSelf.spec.target || (has(self.spec.target.sessionPool) && has(oldSelf.spec.target.sessionPool) && self.spec.target.sessionPool.resourceId.lowerAscii() == oldSelf.spec.target.sessionPool.resourceId.lowerAscii())) && has(self.spec.accountRef) == has(oldSelf.spec.accountRef) && (!has(self.spec.accountRef) || self.spec.accountRef == oldSelf.spec.accountRef) && has(self.spec.script) == has(oldSelf.spec.script) && (!has(self.spec.script) || self.spec.script == oldSelf.spec.script) && has(self.spec.command) == has(oldSelf.spec.command) && (!has(self.spec.command) || self.spec.command == oldSelf.spec.command) && has(self.spec.args) == has(oldSelf.spec.args) && (!has(self.spec.args) || self.spec.args == oldSelf.spec.args) && has(self.spec.stdin) == has(oldSelf.spec.stdin) && (!has(self.spec.stdin) || self.spec.stdin == oldSelf.spec.stdin) && has(self.spec.env) == has(oldSelf.spec.env) && (!has(self.spec.env) || self.spec.env == oldSelf.spec.env) && self.spec.session == oldSelf.spec.session && self.spec.timeoutSeconds == oldSelf.spec.timeoutSeconds && has(self.spec.activeDeadlineSeconds) == has(oldSelf.spec.activeDeadlineSeconds) && (!has(self.spec.activeDeadlineSeconds) || self.spec.activeDeadlineSeconds == oldSelf.spec.activeDeadlineSeconds) && self.spec.backoffLimit == oldSelf.spec.backoffLimit && has(self.spec.failurePolicy) == has(oldSelf.spec.failurePolicy) && (!has(self.spec.failurePolicy) || self.spec.failurePolicy == oldSelf.spec.failurePolicy) && self.spec.output == oldSelf.spec.output)").message("the command has been started: only suspend, cancel, priority and ttlSecondsAfterFinished can still be changed; create another CommandJob").field_path(".spec")
)]
#[x_kube(validation = ("has(self.script) != has(self.command)", "exactly one of script and command must be set"))]
#[x_kube(validation = ("has(self.command) || !has(self.args)", "args may be set only together with command"))]
#[x_kube(validation = ("!oldSelf.cancel || self.cancel", "cancel cannot be taken back; create another CommandJob"))]
pub struct CommandJobSpec {
    /// Where the command runs. Exactly one of its fields must be set.
    pub target: JobTarget,
    /// The AzureAccount of this namespace that the command runs as. Default: the account of the
    /// SessionPool if that is in this namespace; the account that a SessionPool of another namespace lends by its
    /// `spec.sharing`; else the AzureAccount named `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<LocalReference>,
    /// A script to run. A `#!` line chooses its interpreter; without one it is `/bin/bash` where the session has it, else
    /// `/bin/sh`. Nothing in it is replaced. Exactly one of `script` and `command` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576))]
    pub script: Option<String>,
    /// A program and its arguments, run without a shell. As in Pods, `$(NAME)` is replaced by the value of that variable of
    /// `env`, and `$$` by a single `$`. Exactly one of `script` and `command` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(length(max = 131_072)))]
    pub command: Option<Vec<String>>,
    /// More arguments for `command`. `$(NAME)` and `$$` are replaced as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), inner(length(max = 131_072)))]
    pub args: Option<Vec<String>>,
    /// What the command reads from its standard input. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_048_576))]
    pub stdin: Option<String>,
    /// Environment variables of the command, in addition to those that the session has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 200))]
    pub env: Option<Vec<EnvironmentVariable>>,
    /// Which session the command runs in. Default: as `jobDefaults` of the SessionPool says, else a new one that no other job
    /// uses.
    #[serde(default)]
    pub session: SessionSettings,
    /// How many seconds the command may run. Then it is sent the signal TERM and, 10 seconds later, KILL. Default 600, at
    /// most a day.
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_seconds: i32,
    /// How many seconds the job may be active, from `status.startTime` on, all attempts and the pauses between them
    /// together. Then the command is ended as by `timeoutSeconds`, and no further attempt follows. The time starts anew
    /// when a suspended job is resumed. Default: no limit; at most a year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub active_deadline_seconds: Option<i32>,
    /// How many failed attempts are followed by another one, after a pause of 10 seconds that doubles each time, up to six
    /// minutes. Default 0, unlike a Job's 6: the command is not run again unless you say so, because each attempt may have
    /// done a part of its work. Attempts of which it is certain that nothing ran are repeated all the same and not counted.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub backoff_limit: i32,
    /// Which failed attempts are followed by another one, beyond their number. Default: each is counted towards
    /// `backoffLimit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// While true, no attempt begins, and the job neither waits for a session nor holds one. An attempt that is under way
    /// goes on to its end, because a command is not run again unless `backoffLimit` says so; to end it use `cancel`.
    /// Default false.
    #[serde(default)]
    pub suspend: bool,
    /// True ends the job: a command that runs is sent the signal TERM and, 10 seconds later, KILL, and what it printed is
    /// kept; one that has not begun never does. It cannot be taken back. Default false.
    #[serde(default)]
    pub cancel: bool,
    /// How many seconds after the command has ended this object is deleted; 0 deletes it at once. Default: the operator's
    /// flag `--default-ttl`, if it is set; it does not apply to objects that Argo CD or Flux manage, because they would
    /// create them again, and so run the command again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// While CommandJobs of this namespace wait for a session of the same pool, those with a higher number go first; among equals
    /// the older ones. Namespaces take turns, whatever the priority of their jobs. Default 0.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: i32,
    /// How much of what the command prints is kept, and where.
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
pub struct JobTarget {
    /// A SessionPool object of `containerType: Shell`. The job waits until it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool_ref: Option<PoolReference>,
    /// A session pool in Azure that no SessionPool object manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_pool: Option<SessionPoolTarget>,
}

/// A session pool in Azure that no object here manages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPoolTarget {
    /// Resource id of the pool, as `az` and the portal show it:
    /// `/subscriptions/…/resourceGroups/…/providers/Microsoft.App/sessionPools/…`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = form::GUID_POOL_ID))]
    pub resource_id: String,
}

/// How much of what a command prints is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputSettings {
    /// How many bytes of standard output, and how many of standard error, are kept in `status.result`. Of a longer stream
    /// the first half of that many bytes and the last are kept. Default 32768, at most 262144.
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1, max = 262_144))]
    pub max_bytes: i32,
    /// Where a stream of more than `maxBytes` is kept whole. Default `None`. Of a stream of more than 8 MiB only the
    /// two ends are kept.
    #[serde(default)]
    pub overflow: OverflowPolicy,
    /// Shows in `status.tail` what the command printed last, while it runs; `{}` for the defaults. Default: nothing is shown
    /// before the command has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailSettings>,
}

/// How what a command printed last is shown while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TailSettings {
    /// How many seconds there are at least from one change of `status.tail` to the next. While the command prints nothing new,
    /// nothing is changed. Default 10, at most an hour.
    #[serde(default = "default_interval_seconds")]
    #[schemars(range(min = 1, max = 3600))]
    pub interval_seconds: i32,
}

fn default_interval_seconds() -> i32 {
    10
}

fn default_max_bytes() -> i32 {
    32_768
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self {
            max_bytes: default_max_bytes(),
            overflow: OverflowPolicy::default(),
            tail: None,
        }
    }
}

/// Where a stream of more than `maxBytes` is kept whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverflowPolicy {
    /// Nowhere: what lies between the two halves that are kept is lost.
    #[default]
    None,
    /// In ConfigMaps of this namespace that are deleted with this object; `status.result.stdout.stored` and
    /// `status.result.stderr.stored` name them.
    ConfigMap,
}
