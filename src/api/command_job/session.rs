//! Which session a command runs in, and which one it had.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::form;

/// Which session a command runs in. Azure bills each session by the hour from its allocation, whether one command ran in it or a
/// thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.key) == (has(self.mode) && self.mode == 'Shared')",
    "key is required for mode Shared and not allowed for any other"
))]
#[x_kube(validation = (
    "!has(self.idleSeconds) || (has(self.mode) && self.mode == 'Shared')",
    "idleSeconds is for mode Shared only"
))]
pub struct SessionSettings {
    /// How the session is chosen. Default: `jobDefaults.sessionMode` of the SessionPool, else `Fresh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<SessionMode>,
    /// With mode `Shared`: names the session. Jobs of this namespace, pool and account that give the same key run in one session,
    /// one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = form::SESSION_KEY)
    )]
    pub key: Option<String>,
    /// With mode `Shared`: how many seconds the session is kept for the next job after this one has ended. It is billed, and
    /// holds its place in the pool. Default 300, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86_400))]
    pub idle_seconds: Option<i32>,
}

/// How a job's session is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SessionMode {
    /// A new session that no other job uses, and that is released when the command has ended.
    #[default]
    Fresh,
    /// A session that an earlier job of the same namespace, pool and account left within the hour that is paid already, else a new
    /// one. Between two jobs its processes are ended and its files removed; where that cannot be done or proven, the session is
    /// released instead. A command that is root in its session can deceive that, so use it for commands that trust each other.
    Reused,
    /// The session of `key`, with the files that the jobs before left in it, else a new one. One job runs in it at a time.
    Shared,
}

/// How the session of a job is chosen that does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultSessionMode {
    /// A new session that no other job uses, and that is released when the command has ended.
    #[default]
    Fresh,
    /// A session that an earlier job of the same namespace, pool and account left within the hour that is paid already, emptied;
    /// else a new one.
    Reused,
}

impl SessionSettings {
    /// How the session is chosen, if the pool's default is this.
    pub fn mode_or(&self, otherwise: DefaultSessionMode) -> SessionMode {
        self.mode.unwrap_or(match otherwise {
            DefaultSessionMode::Fresh => SessionMode::Fresh,
            DefaultSessionMode::Reused => SessionMode::Reused,
        })
    }
}

/// The session that an attempt has, or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSession {
    /// How it was chosen.
    pub mode: SessionMode,
    /// How many jobs had it before: 0 for a new one. Of a session that was found again when the operator was started anew, those
    /// since then. Where Azure has replaced it by an empty one since, they count all the same.
    pub reuse: i32,
    /// When it was allocated: each hour from then on is billed.
    pub allocated_time: Time,
}
