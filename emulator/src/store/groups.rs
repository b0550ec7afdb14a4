//! Resource groups.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Settled, Store};

/// A resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGroup {
    /// Its id, in the spelling of its creation.
    pub id: String,
    /// Its name, in the spelling of its creation.
    pub name: String,
    /// Its location, normalised (`westeurope`).
    pub location: String,
    /// Its tags; `None` if none were ever given.
    pub tags: Option<Map<String, Value>>,
    /// The resource that manages it.
    pub managed_by: Option<String>,
    /// When it is gone, if it is being deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Store {
    /// The key of a group.
    pub fn group_key(subscription: &str, name: &str) -> String {
        format!("/subscriptions/{subscription}/resourcegroups/{name}").to_ascii_lowercase()
    }

    /// A resource group, whatever the case of its name.
    pub fn group(&self, subscription: &str, name: &str) -> Option<&ResourceGroup> {
        self.groups.get(&Self::group_key(subscription, name))
    }

    /// Groups whose deletion is through go, with everything in them.
    pub(super) fn settle_groups(&mut self, now: Timestamp, settled: &mut Settled) {
        let gone: Vec<String> = self
            .groups
            .iter()
            .filter(|(_, group)| group.deleted_at.is_some_and(|due| due <= now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            settled.changed = true;
            self.groups.remove(&key);
            let prefix = format!("{key}/");
            let children: Vec<String> = self
                .resources
                .keys()
                .filter(|id| id.starts_with(&prefix))
                .cloned()
                .collect();
            for id in children {
                self.remove_resource(&id, settled);
            }
            self.deployments.remove_group(&key);
            self.assignments.retain(|assignment| {
                let scope = assignment.scope.to_ascii_lowercase();
                scope != key && !scope.starts_with(&prefix)
            });
        }
    }
}
