//! What a CommandJob reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::JobSession;

/// The observed state of a CommandJob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandJobStatus {
    /// The `metadata.generation` of the spec that this status is about; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the job stands. It can be used in field selectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Where the command runs, for people to read: `pool/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How long the command ran, for people to read: `70ms`, `2.1s`, `3m12s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why the job waits; absent unless it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// When the job stopped waiting and its first attempt began; of a job that was suspended, its first attempt since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The attempts to run the command, newest last, at most 20 of them. An attempt is listed before anything of it can run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["number".into()]))]
    #[schemars(length(max = 100))]
    pub attempts: Vec<Attempt>,
    /// How many attempts have failed, without those that `failurePolicy` ignores and those in which nothing ran. Absent if
    /// none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// The session of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<JobSession>,
    /// What the command printed last, while it runs, with `output.tail`. It stays in a job that has ended if no more is known of
    /// what the command printed; else `result` takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<OutputTail>,
    /// What the command printed and its exit code, in the last attempt that has ended. Present once the job has ended, unless
    /// the command was not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<CommandResult>,
    /// `Complete=True` once the command ended with exit code 0, `Failed=True` once the job ended in any other way, as for a
    /// Job; `Suspended` for one that is or was suspended; and `Ready`, `Reconciling` and `Stalled` as for every kind. `Isolated=False` on a job that enters a pool of another
    /// namespace as an account of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The stages of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// It waits, and nothing of it runs: no attempt has begun, or the next one has not.
    Queued,
    /// The command was started, or is about to be.
    Running,
    /// `suspend` is true, and nothing of it runs.
    Suspended,
    /// The command ended with exit code 0.
    Succeeded,
    /// It was ended from outside, by `cancel`.
    Cancelled,
    /// The job ended in any other way.
    Failed,
}

impl Phase {
    /// Whether the job has ended.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Suspended => false,
            Self::Succeeded | Self::Cancelled | Self::Failed => true,
        }
    }
}

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// What the job waits for.
    pub reason: QueueReason,
    /// How many turns away a session of the pool is, if no other job comes: 1 is next. It is brought up to date when it is 10 or
    /// less, or has halved, at most every 30 seconds; absent unless the job waits for a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// How many jobs waited for a session of the pool when `position` was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<i32>,
    /// When the job's turn was expected to come when `position` was written, going by how often turns came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_start_time: Option<Time>,
    /// Since when the pool has refused the account, because of a role that is missing or not in effect yet; absent unless it
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Time>,
}

/// What a job can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum QueueReason {
    /// Its pool, its account, or a Secret or ConfigMap of `env`.
    Target,
    /// A free session of the pool.
    Capacity,
    /// One of its namespace's own jobs: the namespace has as many sessions as `sharing[].maxConcurrentSessions` of the pool lets
    /// it have.
    Share,
    /// The session of its `session.key`, which another job has.
    Session,
    /// Azure, which does not answer or asked to slow down.
    Service,
    /// The end of the pause after an attempt that failed.
    Backoff,
}

/// One attempt to run the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Number of the attempt, from 1.
    pub number: i32,
    /// Names what was put into the session for this attempt. A start that does not find it there runs nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// When the attempt began.
    pub start_time: Time,
    /// When the operator saw that the attempt had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How the attempt ended. Absent while the command may run, and if it was never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Exit code of the command; 128 + n if signal n killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the attempt is lost or did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttemptReason>,
    /// A digest of the session's identifier. The identifier itself is a credential and is never shown.
    pub session: String,
    /// A digest, under the operator's key, of the secret values that the command was given; absent if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets_digest: Option<String>,
    /// A digest, under the operator's key, of the account that the pool lends and that the attempt runs as to its end, even
    /// if the pool stops to lend it; absent if it runs as one of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent_account: Option<String>,
    /// Names the session among those that are kept for other jobs, with `session.mode` `Reused` or `Shared`; absent for one of
    /// the attempt's own. It gives no access to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// More about the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttemptReason {
    /// The start came too late, so that nothing ran and nothing will; another attempt takes its place, up to ten times in a row.
    Void,
    /// Azure replaced the session by an empty one, or everything in it was removed together with what watched over the command.
    SessionReplaced,
    /// The operator's key is another one than when the attempt began, so its session cannot be found any more.
    KeyReplaced,
    /// What was kept of the attempt in the session was removed, and what watched over the command there is gone.
    FilesRemoved,
    /// What watched over the command in the session died without leaving an exit code.
    RunnerDied,
    /// The pool was deleted while the command may have been running.
    PoolDeleted,
    /// The session answered no call until long after the command's deadline, and was then ended by the operator.
    SessionUnresponsive,
    /// The session could not be reached, or could not begin, until long after the command's deadline.
    Unreachable,
    /// The session could not prepare the command, which was not started; another attempt takes its place, up to three times in a
    /// row.
    PreparationFailed,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// It ended by itself or by a signal; `exitCode` says how.
    Exited,
    /// It ran longer than `timeoutSeconds`, or its job longer than `activeDeadlineSeconds`, and was killed.
    TimedOut,
    /// It was ended from outside, or before it began.
    Cancelled,
    /// It cannot be known whether it ran, in part or to its end. It is not run again unless `backoffLimit` or `failurePolicy`
    /// says so.
    Lost,
}

/// What a command that runs printed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputTail {
    /// When it was read from the session.
    pub time: MicroTime,
    /// The last bytes of standard output so far, at most 2048 of them. Values of Secrets are replaced by `***`; of what may be the
    /// beginning of one nothing is shown until more is printed.
    pub stdout: StreamTail,
    /// The same of standard error.
    pub stderr: StreamTail,
}

/// The end of a stream so far: `text` if it is valid UTF-8, else `base64`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamTail {
    /// The last bytes, if they are valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The last bytes in base64, if they are not valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// How many bytes the command has written to the stream so far, before anything was replaced.
    pub bytes: i64,
}

/// What a command printed and returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    /// How the command ended.
    pub outcome: Outcome,
    /// Exit code of the command; 128 + n if signal n killed it. Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How many milliseconds the command ran, by the clock of its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time_in_milliseconds: Option<i64>,
    /// How many times a value of a Secret was replaced by `***` in the two streams; absent if never. `bytes` and `sha256` are
    /// those of the streams after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_count: Option<i64>,
    /// True if the streams were not kept, because they could no longer be read from the session, or because a Secret that the
    /// job uses was changed or deleted while the operator was not running, so that its former values could not be masked. The
    /// exit code is right all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// What the command wrote to standard output.
    pub stdout: CapturedStream,
    /// What the command wrote to standard error.
    pub stderr: CapturedStream,
}

/// One stream of a command, byte for byte: `text` if it is valid UTF-8, whatever characters it has, else `base64`. Of a stream
/// longer than `maxBytes`, that is the first half, and `tailText` or `tailBase64` the last. Text is in `base64` only where the
/// object would be larger than the API server takes: hundreds of kilobytes of control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapturedStream {
    /// The stream, or the first half of a truncated one, if it is valid UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The stream, or the first half of a truncated one, in base64; instead of `text` if it is not valid UTF-8, or if the object
    /// would be larger than the API server takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The last half of a truncated stream, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_text: Option<String>,
    /// The last half of a truncated stream, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail_base64: Option<String>,
    /// How many bytes the whole stream has.
    pub bytes: i64,
    /// SHA-256 of the whole stream, in hexadecimal; absent if not all of it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// True if bytes are missing between the two halves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// True if the disk of the session was full while the command ran, so that some of what it printed may be lost. `bytes` and
    /// `sha256` are those of what was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// Where the whole of a truncated stream is, part by part, with `output.overflow: ConfigMap`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stored: Vec<StoredPart>,
}

/// Where one part of a stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredPart {
    /// A key of a ConfigMap of this namespace, in its `data` or `binaryData`.
    pub config_map_key_ref: StoredKey,
}

/// One key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct StoredKey {
    /// Name of the ConfigMap.
    pub name: String,
    /// Key within the ConfigMap.
    pub key: String,
}
