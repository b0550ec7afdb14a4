//! Whom a pool is shared with, and as whom they run in it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::reference::LocalReference;

/// Labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Namespaces that a pool is shared with, and the account that is lent to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The namespaces that may use the pool.
    pub namespaces: SharedNamespaces,
    /// An AzureAccount of this namespace that the pool lends: CommandJobs of those namespaces that name no account run as
    /// it, in this pool and nowhere else. They cannot read its values or get its tokens. Default: none; they run as an
    /// account of their own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<LocalReference>,
    /// How many sessions of the pool each of those namespaces may have at the same time; its other CommandJobs wait. Default: as
    /// many as the pool has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_concurrent_sessions: Option<i32>,
}

/// Namespaces, all of them or some by their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.from == 'Selector') == has(self.selector)", "selector must be set when from is Selector, and only then"))]
pub struct SharedNamespaces {
    /// How the namespaces are chosen.
    pub from: NamespacesFrom,
    /// Labels of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace.
    All,
    /// Namespaces whose labels match `selector`.
    Selector,
}

impl SharedNamespaces {
    /// Whether a namespace with these labels is one of them.
    pub fn include(&self, labels: &Labels) -> bool {
        match self.from {
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => self.selector.as_ref().is_some_and(|it| matches(it, labels)),
        }
    }
}

/// Does a selector of labels match? Absent parts match everything, as in Kubernetes.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
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
