//! Environment variables of a command.

#![allow(clippy::struct_field_names, reason = "these are the names that Pods have")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form;
use super::reference::{ConfigMapKeySelector, SecretKeySelector};

/// One environment variable of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.value) != has(self.valueFrom)", "exactly one of value and valueFrom must be set"))]
#[x_kube(validation = (
    "!(self.name in ['BASHOPTS', 'BASHPID', 'BASH_ALIASES', 'BASH_ARGC', 'BASH_ARGV', 'BASH_CMDS', 'BASH_COMMAND', 'BASH_LINENO', 'BASH_MONOSECONDS', 'BASH_SOURCE', 'BASH_SUBSHELL', 'BASH_VERSINFO', 'DIRSTACK', 'EPOCHREALTIME', 'EPOCHSECONDS', 'EUID', 'FUNCNAME', 'GROUPS', 'HISTCMD', 'LG_ID', 'LINENO', 'OPTIND', 'PIPESTATUS', 'PPID', 'RANDOM', 'SECONDS', 'SHELLOPTS', 'SHLVL', 'SRANDOM', 'UID', '_'])",
    "the shell reserves this name; choose another"
))]
pub struct EnvironmentVariable {
    /// Name of the variable: letters, digits and `_`, not starting with a digit. Names that a shell reserves for itself,
    /// such as `UID`, are refused.
    #[schemars(length(min = 1, max = 256), regex(pattern = form::VARIABLE_NAME))]
    pub name: String,
    /// Value of the variable. As in Pods, `$(NAME)` is replaced by the value of a variable that comes earlier in the list,
    /// and `$$` by a single `$`. Exactly one of `value` and `valueFrom` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131_072))]
    pub value: Option<String>,
    /// Where the value is read when the command starts. Exactly one of `value` and `valueFrom` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvironmentSource>,
}

/// Where the value of an environment variable comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(has(self.secretKeyRef) ? 1 : 0) + (has(self.configMapKeyRef) ? 1 : 0) + (has(self.fieldRef) ? 1 : 0) == 1",
    "exactly one of secretKeyRef, configMapKeyRef and fieldRef must be set"
))]
pub struct EnvironmentSource {
    /// A key of a Secret of this namespace. The value is replaced by `***` in what is kept of the command's output, and is
    /// in no status, event or log. (`$(NAME)` in `command` or `args` puts it into the arguments of the program.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeySelector>,
    /// A key of a ConfigMap of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeySelector>,
    /// A field of this CommandJob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<ObjectFieldSelector>,
}

/// Selects a field of the object that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectFieldSelector {
    /// `metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels['KEY']` or `metadata.annotations['KEY']` of
    /// the CommandJob, as it is when an attempt is prepared. As in Pods, a label or annotation that it does not have is an
    /// empty text.
    #[schemars(length(min = 1, max = 341), regex(pattern = form::FIELD_PATH))]
    pub field_path: String,
}
