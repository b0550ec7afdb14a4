//! Who refers to an identity: objects of its namespace that are told of its changes, and those that it outlives.

use kube::ResourceExt;

use crate::api::identity::ManagedServiceIdentity;
use crate::api::reference::LocalReference;
use crate::api::{
    ACCOUNT_FINALIZER, AzureAccount, AzureAccountSpec, FINALIZER, IdentityAssignment, ManagedIdentity, RoleAssignment,
    SessionPool,
};
use crate::controller::azure_account::tell_accounts_of_identity;
use crate::controller::context::{Context, Watched};
use crate::controller::identity_assignment::tell_identity_assignments_of_identity;
use crate::controller::role_assignment::{Referred, tell_assignments};
use crate::runtime::{Key, Object, finalizer};

/// Asks for passes over everything that refers to the identity.
pub fn tell_dependents(context: &Context, identity: &ManagedIdentity) {
    let key = Key::of(identity);
    tell_assignments(context, Referred::ManagedIdentity, identity);
    tell_accounts_of_identity(context, identity);
    tell_identity_assignments_of_identity(context, identity);
    tell(&context.session_pools, &key, |it| pool_refers(it, &key.name));
}

/// Asks for passes over the identities of a resource group.
pub fn tell_identities(context: &Context, group: &Key) {
    tell(&context.managed_identities, group, |it| {
        names(it.spec.resource_group_ref.as_ref(), &group.name)
    });
}

/// What the identity has to outlive, as `KIND NAME`: what is assigned or attached still, pools that go as well, and accounts
/// that objects are removed from Azure with.
pub async fn occupants(context: &Context, identity: &ManagedIdentity) -> Vec<String> {
    context.role_assignments.cache().ready().await;
    context.identity_assignments.cache().ready().await;
    context.session_pools.cache().ready().await;
    context.azure_accounts.cache().ready().await;
    let (namespace, name) = (identity.namespace().unwrap_or_default(), identity.name_any());
    let own_account = AzureAccountSpec::name_for(identity.spec.azure.management.account_ref.as_ref());
    let role_assignments = of_kind(&context.role_assignments, &namespace, "RoleAssignment", |it| {
        let holds = it.status.as_ref().is_some_and(|status| status.id.is_some());
        holds && finalizer::has(it, FINALIZER) && assignment_refers(it, &name)
    });
    let identity_assignments = of_kind(&context.identity_assignments, &namespace, "IdentityAssignment", |it| {
        let holds = it.status.as_ref().is_some_and(|status| status.id.is_some());
        holds && finalizer::has(it, FINALIZER) && identity_assignment_refers(it, &name)
    });
    let pools = of_kind(&context.session_pools, &namespace, "SessionPool", |it| {
        let goes = it.metadata.deletion_timestamp.is_some();
        goes && finalizer::has(it, FINALIZER) && pool_refers(it, &name)
    });
    let accounts = of_kind(&context.azure_accounts, &namespace, "AzureAccount", |it| {
        finalizer::has(it, ACCOUNT_FINALIZER) && account_refers(it, &name) && it.name_any() != own_account
    });
    [role_assignments, identity_assignments, pools, accounts].concat()
}

fn assignment_refers(assignment: &RoleAssignment, name: &str) -> bool {
    names(assignment.spec.principal.managed_identity_ref.as_ref(), name)
}

fn identity_assignment_refers(assignment: &IdentityAssignment, name: &str) -> bool {
    block_refers(&assignment.spec.identity, name)
}

fn pool_refers(pool: &SessionPool, name: &str) -> bool {
    let spec = &pool.spec;
    let settings = &spec.managed_identity_settings;
    let registry = spec
        .custom_container_template
        .as_ref()
        .and_then(|it| it.registry_credentials.as_ref());
    spec.identity.as_ref().is_some_and(|it| block_refers(it, name))
        || settings.iter().any(|it| names(it.managed_identity_ref.as_ref(), name))
        || registry.is_some_and(|it| names(it.managed_identity_ref.as_ref(), name))
}

fn account_refers(account: &AzureAccount, name: &str) -> bool {
    let federation = account.spec.credential.workload_identity.as_ref();
    federation.is_some_and(|it| names(it.managed_identity_ref.as_ref(), name))
}

fn block_refers(block: &ManagedServiceIdentity, name: &str) -> bool {
    let identities = &block.user_assigned_identities;
    identities
        .iter()
        .any(|it| names(it.managed_identity_ref.as_ref(), name))
}

fn names(reference: Option<&LocalReference>, name: &str) -> bool {
    reference.is_some_and(|it| it.name == name)
}

fn tell<K: Object>(watched: &Watched<K>, key: &Key, refers: impl Fn(&K) -> bool) {
    for object in watched.in_namespace(&key.namespace) {
        if refers(&object) {
            watched.trigger(Key::of(&*object));
        }
    }
}

fn of_kind<K: Object>(watched: &Watched<K>, namespace: &str, kind: &str, counts: impl Fn(&K) -> bool) -> Vec<String> {
    let mut found: Vec<String> = watched
        .in_namespace(namespace)
        .filter(|it| counts(it))
        .map(|it| format!("{kind} {}", it.meta().name.as_deref().unwrap_or_default()))
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pool(more: &Value) -> SessionPool {
        let mut spec = json!({"containerType": "CustomContainer"});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().cloned().unwrap_or_default());
        SessionPool::new("pool", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_pool_refers_to_an_identity_by_each_of_its_fields() {
        let reference = json!({"managedIdentityRef": {"name": "runner"}});
        for (spec, refers) in [
            (json!({}), false),
            (
                json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": [reference]}}),
                true,
            ),
            (
                json!({"managedIdentitySettings": [{"managedIdentityRef": {"name": "runner"}, "lifecycle": "Main"}]}),
                true,
            ),
            (
                json!({"customContainerTemplate": {"containers": [], "registryCredentials": {
                    "server": "r.azurecr.io", "managedIdentityRef": {"name": "runner"},
                }}}),
                true,
            ),
        ] {
            assert_eq!(pool_refers(&pool(&spec), "runner"), refers, "{spec}");
            assert!(!pool_refers(&pool(&spec), "another"), "{spec}");
        }
    }

    #[test]
    fn an_account_that_is_the_identity_refers_to_it() {
        let account = |federation: Value| {
            let spec = json!({"tenantId": "t", "subscriptionId": "s", "credential": {"workloadIdentity": federation}});
            AzureAccount::new("account", serde_json::from_value(spec).unwrap())
        };
        let by_reference = account(json!({"managedIdentityRef": {"name": "runner"}}));
        assert!(account_refers(&by_reference, "runner") && !account_refers(&by_reference, "another"));
        assert!(!account_refers(&account(json!({"clientId": "runner"})), "runner"));
    }
}
