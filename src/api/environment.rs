//! Environment variables of a command.

use kube::KubeSchema;
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
    "has(self.secretKeyRef) != has(self.configMapKeyRef)",
    "exactly one of secretKeyRef and configMapKeyRef must be set"
))]
pub struct EnvironmentSource {
    /// A key of a Secret of this namespace. The value is replaced by `***` in what is kept of the command's output, and is
    /// in no status, event or log. (`$(NAME)` in `command` or `args` puts it into the arguments of the program.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeySelector>,
    /// A key of a ConfigMap of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeySelector>,
}
