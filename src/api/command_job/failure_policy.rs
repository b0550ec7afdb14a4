//! Which failed attempts are followed by another one.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What it means for the job that an attempt failed, in the words of a Job's `podFailurePolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// The first rule that matches a failed attempt says what follows. An attempt that no rule matches is counted towards
    /// `backoffLimit`.
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<FailureRule>,
}

/// Which attempts are meant, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.onExitCodes) != has(self.onOutcome)",
    "exactly one of onExitCodes and onOutcome must be set"
))]
pub struct FailureRule {
    /// What follows a failed attempt that the rule matches.
    pub action: FailureAction,
    /// Matches commands that ended by themselves or by a signal, by their exit code. Exactly one of `onExitCodes` and
    /// `onOutcome` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exit_codes: Option<OnExitCodes>,
    /// Matches attempts without an exit code of the command's own. Exactly one of `onExitCodes` and `onOutcome` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_outcome: Option<OnOutcome>,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureAction {
    /// The job fails, whatever `backoffLimit` says.
    FailJob,
    /// Another attempt follows, and this one is not counted towards `backoffLimit`. A job has at most 1000 attempts.
    Ignore,
    /// It is counted towards `backoffLimit`, as if no rule matched it.
    Count,
}

/// Exit codes of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "self.operator != 'In' || !self.values.exists(value, value == 0)",
    "exit code 0 is no failure and cannot be among the values of the operator In"
))]
pub struct OnExitCodes {
    /// How the exit code is compared with `values`.
    pub operator: ExitCodeOperator,
    /// Exit codes, 128 + n for a command that signal n killed.
    #[schemars(length(min = 1, max = 255), inner(range(min = 0, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<i32>,
}

/// How an exit code is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExitCodeOperator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
}

/// Ends of an attempt of which the command's exit code says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnOutcome {
    /// Outcomes of the attempt.
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub values: Vec<FailedOutcome>,
}

/// An end of an attempt of which the command's exit code says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailedOutcome {
    /// It cannot be known whether the command ran, in part or to its end. Another attempt may run it a second time.
    Lost,
    /// It ran longer than `timeoutSeconds` and was killed.
    TimedOut,
}
