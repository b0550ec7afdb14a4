//! The `identity` block of a resource: which managed identities it has.
//!
//! The ids of user-assigned identities are the names of members, and services return them in another case than they were
//! sent (recorded by azure-cli for container apps), so they are compared without regard to case. The type of a resource
//! with both kinds is spelled with or without a space after the comma, by the same service at different times.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The managed identities of a resource.
///
/// Equality is that of the attached identities: neither spelling nor what Azure adds to them counts.
#[derive(Debug, Clone, Default)]
pub struct IdentityBlock {
    system: Option<SystemIdentity>,
    /// By lower-cased id.
    user_assigned: BTreeMap<String, UserAssigned>,
}

/// The system-assigned identity of a resource, as far as Azure has returned it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemIdentity {
    /// Its object id.
    pub principal_id: Option<String>,
    /// Its tenant.
    pub tenant_id: Option<String>,
}

/// A user-assigned identity that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAssigned {
    /// Its resource id, as it was spelled.
    pub id: String,
    /// Its object id, if Azure returned it.
    pub principal_id: Option<String>,
    /// Its client id, if Azure returned it.
    pub client_id: Option<String>,
}

/// How a service spells the type of a resource with both kinds of identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `SystemAssigned,UserAssigned`: Microsoft.App (schemas of 2025-07-01 and 2025-10-02-preview).
    Joined,
    /// `SystemAssigned, UserAssigned`: Microsoft.ContainerInstance (schema of 2025-09-01).
    Spaced,
}

impl IdentityBlock {
    /// A block with these identities. Two spellings of one id are one identity.
    pub fn new<'a>(system: bool, user_assigned: impl IntoIterator<Item = &'a str>) -> Self {
        let mut block = Self {
            system: system.then(SystemIdentity::default),
            user_assigned: BTreeMap::new(),
        };
        user_assigned.into_iter().for_each(|id| block.attach(id));
        block
    }

    /// Reads the block of a resource as ARM returned it. A resource without one has no identity.
    pub fn of(resource: &Value) -> Self {
        let Some(block) = resource.get("identity") else {
            return Self::default();
        };
        let kinds = block.get("type").and_then(Value::as_str).unwrap_or_default();
        let has = |kind: &str| kinds.split(',').any(|it| it.trim().eq_ignore_ascii_case(kind));
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let attached = block
            .get("userAssignedIdentities")
            .and_then(Value::as_object)
            .filter(|_| has("UserAssigned"));
        Self {
            system: has("SystemAssigned").then(|| SystemIdentity {
                principal_id: text(block, "principalId"),
                tenant_id: text(block, "tenantId"),
            }),
            user_assigned: attached
                .into_iter()
                .flatten()
                .map(|(id, value)| {
                    let identity = UserAssigned {
                        id: id.clone(),
                        principal_id: text(value, "principalId"),
                        client_id: text(value, "clientId"),
                    };
                    (id.to_ascii_lowercase(), identity)
                })
                .collect(),
        }
    }

    /// The system-assigned identity, if the resource has one.
    pub fn system(&self) -> Option<&SystemIdentity> {
        self.system.as_ref()
    }

    /// The user-assigned identity with this id, in any case, if it is attached.
    pub fn get(&self, id: &str) -> Option<&UserAssigned> {
        self.user_assigned.get(&id.to_ascii_lowercase())
    }

    /// The user-assigned identities, in the order of their lower-cased ids.
    pub fn user_assigned(&self) -> impl Iterator<Item = &UserAssigned> {
        self.user_assigned.values()
    }

    /// Attaches a user-assigned identity; one that is attached already is not changed.
    pub fn attach(&mut self, id: &str) {
        let identity = UserAssigned {
            id: id.to_owned(),
            principal_id: None,
            client_id: None,
        };
        self.user_assigned.entry(id.to_ascii_lowercase()).or_insert(identity);
    }

    /// Detaches a user-assigned identity.
    pub fn detach(&mut self, id: &str) {
        self.user_assigned.remove(&id.to_ascii_lowercase());
    }

    /// Attaches the system-assigned identity; one that is attached already is not changed.
    pub fn attach_system(&mut self) {
        self.system.get_or_insert_default();
    }

    /// Detaches the system-assigned identity. Azure deletes it, and creates another one the next time.
    pub fn detach_system(&mut self) {
        self.system = None;
    }

    /// The `identity` of a PUT that leaves the resource with exactly these identities.
    pub fn replacement(&self, spelling: Spelling) -> Value {
        let mut block = json!({"type": self.kind(spelling)});
        if !self.user_assigned.is_empty() {
            let ids = self.user_assigned().map(|it| (it.id.clone(), json!({})));
            block["userAssignedIdentities"] = Value::Object(ids.collect());
        }
        block
    }

    /// The `identity` of an RFC 7396 merge patch that changes `from` to these identities: what is already attached is left
    /// out, so that whoever may patch needs no right on identities of others, and `null` detaches.
    pub fn merge_patch(&self, from: &Self, spelling: Spelling) -> Value {
        let mut patch = json!({"type": self.kind(spelling)});
        if self.user_assigned.is_empty() {
            if !from.user_assigned.is_empty() {
                // What azure-cli 2.91 sends when the last one goes.
                patch["userAssignedIdentities"] = Value::Null;
            }
            return patch;
        }
        let mut members = Map::new();
        for (key, identity) in &self.user_assigned {
            if !from.user_assigned.contains_key(key) {
                members.insert(identity.id.clone(), json!({}));
            }
        }
        for (key, identity) in &from.user_assigned {
            if !self.user_assigned.contains_key(key) {
                members.insert(identity.id.clone(), Value::Null);
            }
        }
        if !members.is_empty() {
            patch["userAssignedIdentities"] = Value::Object(members);
        }
        patch
    }

    fn kind(&self, spelling: Spelling) -> &'static str {
        match (self.system.is_some(), !self.user_assigned.is_empty()) {
            (false, false) => "None",
            (true, false) => "SystemAssigned",
            (false, true) => "UserAssigned",
            (true, true) => match spelling {
                Spelling::Joined => "SystemAssigned,UserAssigned",
                Spelling::Spaced => "SystemAssigned, UserAssigned",
            },
        }
    }
}

impl PartialEq for IdentityBlock {
    fn eq(&self, other: &Self) -> bool {
        self.system.is_some() == other.system.is_some()
            && self.user_assigned.len() == other.user_assigned.len()
            && self
                .user_assigned
                .keys()
                .all(|key| other.user_assigned.contains_key(key))
    }
}

impl Eq for IdentityBlock {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
    const B: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/b";

    fn block(identity: Value) -> IdentityBlock {
        IdentityBlock::of(&json!({"identity": identity}))
    }

    #[test]
    fn both_spellings_of_the_type_and_every_case_of_an_id_are_one() {
        let shouted = A.replace("resourceGroups", "resourcegroups").to_ascii_uppercase();
        let joined = block(json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {A: {}}}));
        let spaced = block(json!({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {shouted: {}}}));
        assert_eq!(joined, spaced);
        assert!(spaced.get(A).is_some() && spaced.system().is_some());
    }

    #[test]
    fn what_azure_tells_of_an_identity_is_read() {
        let found = block(json!({
            "type": "SystemAssigned,UserAssigned", "principalId": "p", "tenantId": "t",
            "userAssignedIdentities": {A: {"principalId": "q", "clientId": "c"}},
        }));
        let system = found.system().unwrap();
        assert_eq!(
            (system.principal_id.as_deref(), system.tenant_id.as_deref()),
            (Some("p"), Some("t"))
        );
        let a = found.get(A).unwrap();
        assert_eq!(
            (a.principal_id.as_deref(), a.client_id.as_deref()),
            (Some("q"), Some("c"))
        );
    }

    #[test]
    fn a_resource_without_identities_says_so_in_several_ways() {
        for resource in [
            json!({}),
            json!({"identity": null}),
            json!({"identity": {"type": "None"}}),
            json!({"identity": {"type": "None", "userAssignedIdentities": null}}),
            json!({"identity": {"type": "SystemAssigned", "userAssignedIdentities": {}}}),
        ] {
            let found = IdentityBlock::of(&resource);
            assert_eq!(found.user_assigned().count(), 0, "{resource}");
        }
    }

    #[test]
    fn the_last_user_assigned_identity_leaves_the_system_assigned_one_or_none() {
        let both = IdentityBlock::new(true, [A]);
        let mut after = both.clone();
        after.detach(A);
        assert_eq!(
            after.merge_patch(&both, Spelling::Joined),
            json!({"type": "SystemAssigned", "userAssignedIdentities": null})
        );
        let one = IdentityBlock::new(false, [A]);
        assert_eq!(
            IdentityBlock::default().merge_patch(&one, Spelling::Joined),
            json!({"type": "None", "userAssignedIdentities": null})
        );
        assert_eq!(
            IdentityBlock::default().replacement(Spelling::Spaced),
            json!({"type": "None"})
        );
    }

    #[test]
    fn a_patch_names_only_what_changes() {
        let before = IdentityBlock::new(false, [A]);
        let after = IdentityBlock::new(true, [A, B]);
        assert_eq!(
            after.merge_patch(&before, Spelling::Spaced),
            json!({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {B: {}}})
        );
    }

    /// RFC 7396, section 2.
    fn merge(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut merged = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                merged.remove(name);
            } else {
                let known = merged.get(name).cloned().unwrap_or_default();
                merged.insert(name.clone(), merge(&known, value));
            }
        }
        Value::Object(merged)
    }

    fn blocks() -> impl Strategy<Value = IdentityBlock> {
        (any::<bool>(), prop::collection::btree_set("/[a-eA-E]", 0..5))
            .prop_map(|(system, ids)| IdentityBlock::new(system, ids.iter().map(String::as_str)))
    }

    proptest! {
        #[test]
        fn a_patch_and_a_replacement_make_what_they_are_for(before in blocks(), after in blocks()) {
            for spelling in [Spelling::Joined, Spelling::Spaced] {
                let resource = json!({"identity": before.replacement(spelling)});
                let patch = json!({"identity": after.merge_patch(&before, spelling)});
                prop_assert_eq!(&IdentityBlock::of(&merge(&resource, &patch)), &after);
                prop_assert_eq!(&block(after.replacement(spelling)), &after);
            }
        }
    }
}
