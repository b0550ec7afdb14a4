//! Who is told of whose changes.

use kube::Resource;

use crate::api::RoleAssignment;
use crate::api::reference::LocalReference;
use crate::controller::context::Context;
use crate::runtime::Key;

/// A kind that an assignment can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referred {
    /// `spec.principal.managedIdentityRef`.
    ManagedIdentity,
    /// `spec.principal.identityAssignmentRef`.
    IdentityAssignment,
    /// `spec.scope.sessionPoolRef`.
    SessionPool,
    /// `spec.scope.resourceGroupRef`.
    ResourceGroup,
}

impl Referred {
    fn in_spec(self, object: &RoleAssignment) -> Option<&LocalReference> {
        let spec = &object.spec;
        match self {
            Self::ManagedIdentity => spec.principal.managed_identity_ref.as_ref(),
            Self::IdentityAssignment => spec.principal.identity_assignment_ref.as_ref(),
            Self::SessionPool => spec.scope.session_pool_ref.as_ref(),
            Self::ResourceGroup => spec.scope.resource_group_ref.as_ref(),
        }
    }
}

/// Asks for passes over the assignments that refer to an object, which was changed, or over those that name a scope by its
/// id, which the object may be about to manage.
pub fn tell_assignments<K: Resource<DynamicType = ()>>(context: &Context, kind: Referred, object: &K) {
    let key = Key::of(object);
    for assignment in context.role_assignments.in_namespace(&key.namespace) {
        let refers = kind.in_spec(&assignment).is_some_and(|it| it.name == key.name);
        let may_be_managed = match kind {
            Referred::SessionPool | Referred::ResourceGroup => assignment.spec.scope.resource_id.is_some(),
            Referred::ManagedIdentity | Referred::IdentityAssignment => false,
        };
        if refers || may_be_managed {
            context.role_assignments.trigger(Key::of(&*assignment));
        }
    }
}

/// Asks for a pass over the principal of an assignment if it waits for the assignment's end, to be deleted.
pub(super) fn tell_principal(context: &Context, object: &RoleAssignment) {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let key = |reference: &LocalReference| Key::new(namespace.clone(), reference.name.clone());
    if let Some(key) = object.spec.principal.managed_identity_ref.as_ref().map(key)
        && let Some(identity) = context.managed_identities.get(&key)
        && identity.meta().deletion_timestamp.is_some()
    {
        context.managed_identities.trigger(key);
    }
    if let Some(key) = object.spec.principal.identity_assignment_ref.as_ref().map(key)
        && let Some(identity_assignment) = context.identity_assignments.get(&key)
        && identity_assignment.meta().deletion_timestamp.is_some()
    {
        context.identity_assignments.trigger(key);
    }
}
