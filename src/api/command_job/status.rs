//! What a CommandJob reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The observed state of a CommandJob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandJobStatus {
    /// The generation of the spec that this status describes; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Queued`, `Running`, `Succeeded` or `Failed`. Usable as a field selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Where the command runs, for people: `pool/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How long the command ran, for people: `2.1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why the job waits; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// When the first attempt was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The attempts, newest last. An attempt is listed here before anything of it can run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    #[schemars(length(max = 100))]
    pub attempts: Vec<Attempt>,
    /// What the command printed and returned; present once the job ended, unless the command could not be prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CommandResult>,
    /// `Ready`, `Complete` or `Failed`, and while true `Reconciling` or `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The job waits; nothing of it has been started.
    Queued,
    /// An attempt was claimed: the command may be running.
    Running,
    /// The command ended with exit code 0.
    Succeeded,
    /// The job ended in any other way.
    Failed,
}

impl Phase {
    /// Whether the job has ended.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// What the job waits for.
    pub reason: QueueReason,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QueueReason {
    /// Its pool, its account, or a Secret or ConfigMap.
    Target,
    /// A free session in the pool.
    Capacity,
    /// Azure, which does not answer or asked to slow down.
    Service,
}

/// One attempt to run the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1. A number is skipped when its preparation could not be confirmed.
    pub number: i32,
    /// When the attempt was claimed.
    pub start_time: Time,
    /// When its end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How it ended; absent while it may run, and for an attempt that is void or could not be prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Exit code of the command; 128 + n after death by signal n.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// More about the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttemptReason>,
    /// A digest of the session's identifier. The identifier itself is a credential and is never shown.
    pub session: String,
    /// A keyed digest of the secret values that the attempt was given; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_digest: Option<String>,
}

/// More about the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptReason {
    /// The start was not carried out in time. It is proven that nothing ran and never will; another attempt, not
    /// counted, takes its place.
    Void,
    /// The session was replaced by an empty one, or can no longer be derived.
    SessionReplaced,
    /// The runner in the session died without leaving an exit code.
    RunnerDied,
    /// The session could not be reached until long after the command's deadline, or its pool is gone.
    Unreachable,
    /// The session could not prepare the command, or let every start come too late. The command was not started.
    PreparationFailed,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// It ended by itself or by a signal; `exitCode` says how.
    Exited,
    /// It ran longer than `timeoutSeconds` and was killed.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// It cannot be known. It may have run, in part or whole, and is not run again.
    Lost,
}

/// What a command printed and returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    /// How the command ended.
    pub outcome: Outcome,
    /// Exit code; 128 + n after death by signal n. Absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long the command ran, in milliseconds, by the session's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_milliseconds: Option<i64>,
    /// How many occurrences of secret values were masked; absent when none. `bytes` and `sha256` are then those of the
    /// masked streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<i64>,
    /// True when the streams were not kept: they could no longer be read from the session, or a Secret that the job uses
    /// changed or vanished while the operator was not running, so that its old values could no longer be masked. The exit
    /// code is right all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// Standard output.
    pub stdout: CapturedStream,
    /// Standard error.
    pub stderr: CapturedStream,
}

/// One stream of a command, byte for byte: `text` if it is valid UTF-8 (and not longer in JSON than base64), else
/// `base64`. Of a stream longer than `maxBytes`, that is the first half, and `tailText` or `tailBase64` the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapturedStream {
    /// The stream, or its first half, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The stream, or its first half, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The last half of a truncated stream, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_text: Option<String>,
    /// The last half of a truncated stream, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_base64: Option<String>,
    /// Length of the whole stream in bytes.
    pub bytes: i64,
    /// SHA-256 of the whole stream, in hexadecimal; absent when the whole could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether bytes are missing between the two halves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The ConfigMaps that hold the whole stream, in order, each under the key `data`; with `overflow: ConfigMap`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<String>,
}
