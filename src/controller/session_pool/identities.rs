//! The managed identities that a pool's spec names: by reference, by id, or as `system`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::api::SessionPoolSpec;

use crate::api::identity::ManagedServiceIdentity;
use crate::api::reference::LocalReference;
use crate::azure::identity_block::Spelling;
use crate::azure::{ArmClient, IdentityBlock, ResourceId};
use crate::controller::azure_resource::{Blocked, IdentityPrincipal, is_of_another_namespace, principal_of};
use crate::controller::context::Context;

use crate::controller::reference::{UsableIdentity, usable_identity};

/// How ARM names the system-assigned identity in settings.
const SYSTEM: &str = "system";

/// The identities that a spec names.
#[derive(Debug, Default)]
pub struct Identities {
    /// By the names of their objects.
    referred: BTreeMap<String, UsableIdentity>,
    /// The principals of those that are named by their ids, by lower-cased id, as far as anybody says.
    principals: BTreeMap<String, String>,
}

/// The ManagedIdentities that a spec refers to.
pub fn references(spec: &SessionPoolSpec) -> impl Iterator<Item = &LocalReference> {
    let attached = spec.identity.iter().flat_map(|it| &it.user_assigned_identities);
    let registry = spec
        .custom_container_template
        .iter()
        .flat_map(|it| &it.registry_credentials);
    attached
        .map(|it| &it.managed_identity_ref)
        .chain(spec.managed_identity_settings.iter().map(|it| &it.managed_identity_ref))
        .chain(registry.map(|it| &it.managed_identity_ref))
        .flatten()
}

impl Identities {
    /// Finds all that the spec refers to, or says which of them is waited for. What the API server could not check is
    /// checked here: what is to be used has to be attached.
    pub async fn find(
        context: &Context,
        arm: &ArmClient,
        namespace: &str,
        spec: &SessionPoolSpec,
    ) -> Result<Self, Blocked> {
        let mut found = BTreeMap::new();
        for LocalReference { name } in references(spec) {
            if !found.contains_key(name) {
                let usable = usable_identity(context, namespace, name).await;
                found.insert(name.clone(), usable?);
            }
        }
        let mut identities = Self {
            referred: found,
            principals: BTreeMap::new(),
        };
        for (field, text) in identities.ids(spec) {
            let id = text.parse().map_err(|error| {
                let message = format!("{field}: `{text}` is not the id of an identity: {error}");
                Blocked::Invalid(message)
            })?;
            if is_of_another_namespace(context, namespace, &id).await {
                return Err(Blocked::ForeignIdentity { id: id.to_string() });
            }
        }
        if let Some(message) = identities.unattached(spec) {
            return Err(Blocked::Invalid(message));
        }
        let attached = spec.identity.iter().flat_map(|it| &it.user_assigned_identities);
        for text in attached.filter_map(|it| it.resource_id.as_ref()) {
            let Ok(id) = text.parse::<ResourceId>() else { continue };
            match principal_of(context, arm, &id).await {
                IdentityPrincipal::Known(principal) => _ = identities.principals.insert(id.key(), principal),
                IdentityPrincipal::Absent => return Err(Blocked::IdentityNotFound { id: id.to_string() }),
                IdentityPrincipal::Unknown => {}
            }
        }
        Ok(identities)
    }

    /// The pool's `identity`, if the spec says which identities it has.
    ///
    /// It holds the principals that are expected, so that one that was deleted and created again since it was attached
    /// shows as a difference. They are no part of what is sent.
    pub fn block(&self, spec: &SessionPoolSpec) -> Option<Value> {
        let identity = spec.identity.as_ref()?;
        let mut block = self.attached(identity).replacement(Spelling::Joined);
        for it in &identity.user_assigned_identities {
            let usable = it
                .managed_identity_ref
                .as_ref()
                .and_then(|it| self.referred.get(&it.name));
            if let Some(usable) = usable {
                block["userAssignedIdentities"][usable.id.as_str()] = json!({"principalId": usable.principal_id});
            }
            let named = it.resource_id.as_ref();
            let principal = named.and_then(|id| self.principals.get(&id.to_ascii_lowercase()));
            if let (Some(id), Some(principal)) = (named, principal) {
                block["userAssignedIdentities"][id.as_str()] = json!({"principalId": principal});
            }
        }
        Some(block)
    }

    /// `managedIdentitySettings`, if the spec has some.
    pub fn settings(&self, spec: &SessionPoolSpec) -> Option<Value> {
        let settings = spec.managed_identity_settings.iter().map(|setting| {
            let mut value =
                json!({"identity": self.named(setting.identity.as_ref(), setting.managed_identity_ref.as_ref())});
            if let Some(lifecycle) = setting.lifecycle {
                value["lifecycle"] = serde_json::to_value(lifecycle).expect("invariant: a spec is plain data");
            }
            value
        });
        (!spec.managed_identity_settings.is_empty()).then(|| settings.collect())
    }

    /// The identity that pulls the pool's images, if one does.
    pub fn of_registry(&self, spec: &SessionPoolSpec) -> Option<String> {
        let credentials = spec.custom_container_template.as_ref()?.registry_credentials.as_ref()?;
        self.named(credentials.identity.as_ref(), credentials.managed_identity_ref.as_ref())
    }

    fn attached(&self, identity: &ManagedServiceIdentity) -> IdentityBlock {
        let ids = identity
            .user_assigned_identities
            .iter()
            .filter_map(|it| self.named(it.resource_id.as_ref(), it.managed_identity_ref.as_ref()));
        let ids: Vec<String> = ids.collect();
        IdentityBlock::new(identity.kind.is_system_assigned(), ids.iter().map(String::as_str))
    }

    /// The ids of user-assigned identities that a spec names, by whatever means, with the fields that do. What is only used counts
    /// as well as what is attached: it may have been attached by others.
    fn ids<'a>(&'a self, spec: &'a SessionPoolSpec) -> impl Iterator<Item = (&'static str, String)> {
        let attached = spec.identity.iter().flat_map(|it| &it.user_assigned_identities);
        let attached = attached.map(|it| {
            let id = self.named(it.resource_id.as_ref(), it.managed_identity_ref.as_ref());
            ("spec.identity", id)
        });
        let settings = spec.managed_identity_settings.iter().map(|it| {
            let id = self.named(it.identity.as_ref(), it.managed_identity_ref.as_ref());
            ("spec.managedIdentitySettings", id)
        });
        let registry = (
            "spec.customContainerTemplate.registryCredentials",
            self.of_registry(spec),
        );
        let all = attached.chain(settings).chain([registry]);
        all.filter_map(|(field, id)| Some((field, id?)))
            .filter(|(_, id)| !is_system(id))
    }

    fn named(&self, id: Option<&String>, reference: Option<&LocalReference>) -> Option<String> {
        let referred = || Some(self.referred.get(&reference?.name)?.id.to_string());
        id.cloned().or_else(referred)
    }

    /// Says which identity is to be used and is not attached. Where the spec does not say which are, others may have
    /// attached it.
    fn unattached(&self, spec: &SessionPoolSpec) -> Option<String> {
        let attached = self.attached(spec.identity.as_ref()?);
        let settings = spec
            .managed_identity_settings
            .iter()
            .enumerate()
            .filter_map(|(index, it)| {
                let named = self.named(it.identity.as_ref(), it.managed_identity_ref.as_ref())?;
                Some((format!("spec.managedIdentitySettings[{index}]"), named))
            });
        let registry = self
            .of_registry(spec)
            .map(|named| ("spec.customContainerTemplate.registryCredentials".to_owned(), named));
        let (place, id) = settings.chain(registry).find(|(_, named)| !has(&attached, named))?;
        Some(format!(
            "{place}: the pool would not have the identity {id}, which is not in spec.identity"
        ))
    }
}

/// The block of a pool whose spec says nothing of identities any more: without those that the status records; `None` if it
/// has none of them.
pub fn taken_back(recorded: &[String], actual: &Value) -> Option<Value> {
    let attached = IdentityBlock::of(actual);
    let mut left = attached.clone();
    for identity in recorded {
        if is_system(identity) {
            left.detach_system();
        } else {
            left.detach(identity);
        }
    }
    (left != attached).then(|| left.replacement(Spelling::Joined))
}

/// What the status records after a look: the identities of the spec, and those of an earlier one, that the pool has.
pub fn still_attached(wanted: Option<&IdentityBlock>, recorded: &[String], actual: &Value) -> Vec<String> {
    let attached = IdentityBlock::of(actual);
    let system = wanted.and_then(IdentityBlock::system).map(|_| SYSTEM.to_owned());
    let ids = wanted.into_iter().flat_map(IdentityBlock::user_assigned);
    let is_earlier = |identity: &&String| wanted.is_none_or(|wanted| !has(wanted, identity));
    system
        .into_iter()
        .chain(ids.map(|it| it.id.clone()))
        .chain(recorded.iter().filter(is_earlier).cloned())
        .filter(|identity| has(&attached, identity))
        .collect()
}

/// The settings that are left when identities are detached whose settings the spec does not mention; `None` if all are.
pub fn settings_left(desired: &Value, actual: &Value) -> Option<Value> {
    const SETTINGS: &str = "/properties/managedIdentitySettings";
    if desired.get("identity").is_none() || desired.pointer(SETTINGS).is_some() {
        return None;
    }
    let attached = IdentityBlock::of(desired);
    let settings = actual.pointer(SETTINGS)?.as_array()?;
    let is_left = |setting: &&Value| {
        setting["identity"]
            .as_str()
            .is_none_or(|identity| has(&attached, identity))
    };
    let left: Vec<Value> = settings.iter().filter(is_left).cloned().collect();
    (left.len() < settings.len()).then_some(Value::Array(left))
}

fn is_system(identity: &str) -> bool {
    identity.eq_ignore_ascii_case(SYSTEM)
}

fn has(attached: &IdentityBlock, identity: &str) -> bool {
    if is_system(identity) {
        attached.system().is_some()
    } else {
        attached.get(identity).is_some()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn id(name: &str) -> String {
        format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
    }

    /// The identities `one` and `two`, as their objects would say.
    pub fn known() -> Identities {
        let usable = |name: &str| UsableIdentity {
            id: id(name).parse().unwrap(),
            principal_id: format!("principal-of-{name}"),
            client_id: format!("client-of-{name}"),
        };
        Identities {
            referred: ["one", "two"].map(|name| (name.to_owned(), usable(name))).into(),
            principals: BTreeMap::new(),
        }
    }

    fn spec(members: Value) -> SessionPoolSpec {
        let mut spec = json!({"containerType": "Shell"});
        spec.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn reference(name: &str) -> Value {
        json!({"managedIdentityRef": {"name": name}})
    }

    #[test]
    fn every_field_that_names_an_identity_is_looked_at() {
        let spec = spec(json!({
            "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": [{"resourceId": "/a"}, reference("one")]},
            "managedIdentitySettings": [{"identity": "system"}, {"identity": "/b"}, reference("two")],
            "customContainerTemplate": {
                "containers": [], "ingress": {"targetPort": 80}, "registryCredentials": {"server": "r", "identity": "/c"},
            },
        }));
        let known = known();
        let found: Vec<_> = known.ids(&spec).map(|(_, id)| id).collect();
        assert_eq!(found, ["/a", &id("one"), "/b", &id("two"), "/c"]);
    }

    #[test]
    fn a_spec_without_identities_desires_none() {
        let spec = spec(json!({}));
        assert_eq!(known().block(&spec), None);
        assert_eq!(known().settings(&spec), None);
        assert_eq!(references(&spec).count(), 0);
    }

    #[test]
    fn references_become_ids_with_the_principals_that_are_expected() {
        let spec = spec(json!({
            "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": [
                reference("one"), {"resourceId": id("three")},
            ]},
            "managedIdentitySettings": [
                {"managedIdentityRef": {"name": "one"}, "lifecycle": "Main"},
                {"identity": "system"},
            ],
        }));
        assert_eq!(
            known().block(&spec).unwrap(),
            json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {
                id("one"): {"principalId": "principal-of-one"}, id("three"): {},
            }})
        );
        assert_eq!(
            known().settings(&spec).unwrap(),
            json!([{"identity": id("one"), "lifecycle": "Main"}, {"identity": "system"}])
        );
        assert_eq!(
            references(&spec).map(|it| it.name.as_str()).collect::<Vec<_>>(),
            ["one", "one"]
        );
        assert_eq!(known().unattached(&spec), None);
    }

    #[test]
    fn an_identity_that_is_used_has_to_be_attached_where_the_spec_says_which_are() {
        let one = json!({"type": "UserAssigned", "userAssignedIdentities": [reference("one")]});
        let own = json!({"type": "SystemAssigned"});
        for (identity, setting, is_attached) in [
            (Some(&one), json!({"identity": id("one").to_ascii_uppercase()}), true),
            (Some(&one), reference("one"), true),
            (Some(&one), reference("two"), false),
            (Some(&one), json!({"identity": id("two")}), false),
            (Some(&one), json!({"identity": "system"}), false),
            (Some(&own), json!({"identity": "system"}), true),
            (Some(&own), reference("one"), false),
            (None, reference("one"), true),
        ] {
            let spec = spec(json!({"identity": identity, "managedIdentitySettings": [setting]}));
            let unattached = known().unattached(&spec);
            assert_eq!(
                unattached.is_none(),
                is_attached,
                "{identity:?} {setting}: {unattached:?}"
            );
        }
        let registry =
            json!({"containers": [], "registryCredentials": {"server": "s", "managedIdentityRef": {"name": "two"}}});
        let spec = spec(json!({"identity": one, "customContainerTemplate": registry}));
        assert!(known().unattached(&spec).unwrap().contains("registryCredentials"));
    }

    #[test]
    fn a_spec_that_says_nothing_of_identities_any_more_takes_back_its_own_and_leaves_those_of_others() {
        let ours = json!({"identity": {
            "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {id("one"): {}, id("two"): {}},
        }});
        let one = IdentityBlock::new(false, [id("one").as_str()]);
        let recorded = still_attached(Some(&one), &[], &ours);
        assert_eq!(recorded, [id("one")]);
        let left = json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {id("two"): {}}});
        let shouted = recorded.iter().map(|it| it.to_uppercase()).collect::<Vec<_>>();
        for recorded in [&recorded, &shouted] {
            assert_eq!(taken_back(recorded, &ours), Some(left.clone()));
        }
        let left = json!({"identity": left});
        assert_eq!(still_attached(None, &recorded, &left), Vec::<String>::new());
        assert_eq!(taken_back(&recorded, &left), None);
        assert_eq!(taken_back(&[], &ours), None);

        let system = IdentityBlock::new(true, []);
        let recorded = still_attached(Some(&system), &recorded, &ours);
        assert_eq!(
            recorded,
            ["system".to_owned(), id("one")],
            "what a policy left attached is not forgotten"
        );
        assert_eq!(still_attached(Some(&system), &recorded, &ours), recorded);
        let left = json!({"type": "UserAssigned", "userAssignedIdentities": {id("two"): {}}});
        assert_eq!(taken_back(&recorded, &ours), Some(left));
    }

    #[test]
    fn settings_of_what_is_detached_go_and_others_stay() {
        let settings = json!([{"identity": "system", "lifecycle": "Main"}, {"identity": id("one").to_uppercase()}]);
        let actual = json!({"properties": {"managedIdentitySettings": settings}});
        let one = json!({"type": "UserAssigned", "userAssignedIdentities": {id("one"): {}}});
        let left = settings_left(&json!({"identity": one}), &actual).unwrap();
        assert_eq!(left, json!([settings[1]]));
        let two = json!({"type": "UserAssigned", "userAssignedIdentities": {id("two"): {}}});
        assert_eq!(settings_left(&json!({"identity": two}), &actual), Some(json!([])));
        let both = json!({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {id("one"): {}}});
        assert_eq!(settings_left(&json!({"identity": both}), &actual), None);
        assert_eq!(
            settings_left(&json!({}), &actual),
            None,
            "the spec leaves the identities alone"
        );
        let own = json!({"identity": two, "properties": {"managedIdentitySettings": []}});
        assert_eq!(settings_left(&own, &actual), None, "the spec has settings of its own");
        for nothing in [json!({}), json!({"properties": {"managedIdentitySettings": null}})] {
            assert_eq!(settings_left(&json!({"identity": two}), &nothing), None);
        }
    }
}
