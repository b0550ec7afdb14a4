//! RoleAssignment: keeps a Microsoft.Authorization/roleAssignments resource as its spec says.
//!
//! Azure changes no assignment, and two of them never say the same. So what an object wants is a tuple of scope, role and
//! principal, and when what its spec refers to becomes another tuple (an identity that was created again has another
//! principal), the assignment that it holds is taken back before another one is made.

mod grants;
mod permission;
mod plan;
#[cfg(test)]
mod tests;
mod wanted;

use jiff::Timestamp;
use kube::Resource;
use serde_json::json;

use crate::api::azure_resource::{AzureResourceStatus, ManagementPolicy, ManagementSpec};
use crate::api::{
    FINALIZER, IdentityAssignment, ManagedIdentity, ResourceGroup, RoleAssignment, RoleAssignmentStatus, SessionPool,
};
use crate::azure::ResourceId;
use crate::azure::role_assignment::{IMMUTABLE, ROLE_ASSIGNMENT_TYPE, SHAPE, Tuple, at_scope};
use crate::azure::role_definition::AUTHORIZATION_API_VERSION;
use crate::runtime::finalizer;

use super::accounts::Account;
use super::azure_resource::children::NoChild;
use super::azure_resource::policy::{Intent, Lifecycle};
use super::azure_resource::{
    ArmType, AzureKind, AzureObject, Blocked, Body, Decision, Dependency, Desired, Gathering, KindStep, Reports,
    ResourceState, Subject, Tagging,
};
use super::context::Context;
use super::error::Error;
use super::ownership::OwnerMark;
use super::reference::Reference;

use permission::{RolePermit, is_at_rest, not_grantable, permit, verify};
use plan::{Aim, AssignmentFacts, aim, find_among, name_principal_type, place, recorded_id};
use wanted::resolve;

pub use grants::{Grant, GrantError, Grants, Permission};

impl AzureObject for RoleAssignment {
    fn management(&self) -> &ManagementSpec {
        &self.spec.management
    }

    /// A principal outlives the assignments of its roles. What manages a scope that is named by its id is told of too: a role
    /// may depend on it.
    fn references(&self) -> Vec<Reference> {
        let namespace = self.meta().namespace.as_deref().unwrap_or_default();
        let holds = self.reported().id.is_some() && finalizer::has(self, FINALIZER);
        let (principal, scope) = (&self.spec.principal, &self.spec.scope);
        let identity = principal.managed_identity_ref.as_ref();
        let assignment = principal.identity_assignment_ref.as_ref();
        let of_pool = principal.session_pool_ref.as_ref();
        let pool = scope.session_pool_ref.as_ref();
        let group = scope.resource_group_ref.as_ref();
        [
            identity.map(|it| Reference::to::<ManagedIdentity>(namespace, it).needed(holds)),
            assignment.map(|it| Reference::to::<IdentityAssignment>(namespace, it).needed(holds)),
            of_pool.map(|it| Reference::to::<SessionPool>(namespace, it).needed(holds)),
            pool.map(|it| Reference::to::<SessionPool>(namespace, it)),
            group.map(|it| Reference::to::<ResourceGroup>(namespace, it)),
            scope.resource_id.as_deref().and_then(Reference::to_resource),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl AzureKind for RoleAssignment {
    const ARM: ArmType = ArmType {
        noun: "role assignment",
        resource_type: ROLE_ASSIGNMENT_TYPE,
        shape: &SHAPE,
        immutable: IMMUTABLE,
        patchable: &[],
        tagging: Tagging::Put,
        mark: OwnerMark::Description,
        is_regional: false,
    };
    type Settings = Grants;
    type Facts = AssignmentFacts;
    type Child = NoChild;

    fn has_nothing(&self) -> bool {
        recorded_id(self).is_none()
    }

    fn api_version(&self, _: &Desired) -> &'static str {
        AUTHORIZATION_API_VERSION
    }

    async fn gather(
        &self,
        gathering: Gathering<'_, Grants>,
    ) -> Result<Dependency<(ResourceId, AssignmentFacts)>, Error> {
        let Gathering { context, account, .. } = gathering;
        let mut facts = AssignmentFacts::default();
        if let (Lifecycle::Deleted, Some(id)) = (Subject::of(self).lifecycle, recorded_id(self)) {
            return Ok(Dependency::Met((id, facts)));
        }
        let wanted = match (resolve(context, account.arm(), self).await?, recorded_id(self)) {
            (Ok(wanted), _) => wanted,
            (Err(Blocked::Unresolved(why)), Some(id)) if why.is_going() => {
                facts.gone = Some(why.into());
                return Ok(Dependency::Met((id, facts)));
            }
            (Err(blocked), _) => return Ok(Dependency::Blocked(blocked)),
        };
        let id = match place(self, &wanted.tuple) {
            Ok(id) => id,
            Err(blocked) => return Ok(Dependency::Blocked(blocked)),
        };
        facts.wanted = Some(wanted);
        let is_observer = self.spec.management.management_policy == ManagementPolicy::ObserveOnly;
        if let (Aim::Ensure(wanted), false) = (aim(self, &facts), is_observer) {
            let tuple = &wanted.tuple;
            let permit = permit(context, gathering.settings, self, tuple).await;
            if permit == RolePermit::Refused {
                return Ok(Dependency::Blocked(not_grantable(self, tuple)));
            }
            facts.permit = permit;
        }
        Ok(Dependency::Met((id, facts)))
    }

    fn desired(&self, facts: &AssignmentFacts, _: &Account, _: &Context) -> Desired {
        let wanted = facts.wanted.as_ref();
        Desired {
            body: Body(wanted.map_or_else(|| json!({}), |it| it.tuple.body())),
            defaults: wanted.map_or_else(
                || json!({}),
                |it| json!({"properties": {"principalType": it.principal_type}}),
            ),
            secrets_digest: None,
        }
    }

    /// Where nothing is at its place, looks for the assignment among those at the scope; and asks whose the scope is before
    /// anything is written there.
    async fn inspect(
        &self,
        context: &Context,
        _: Intent,
        facts: &mut AssignmentFacts,
        resource: &mut ResourceState,
    ) -> Result<(), Error> {
        let (Some(arm), Aim::Ensure(wanted)) = (resource.arm.clone(), aim(self, facts)) else {
            return Ok(());
        };
        let scope = wanted.tuple.scope.clone();
        if resource.actual.is_none() {
            find_among(self, &at_scope(&arm, &scope).await?, facts, resource);
        }
        if let RolePermit::IfOwned(managed) = &facts.permit
            && !facts.is_orphan
            && !is_at_rest(resource)
        {
            facts.permit = verify(&arm, &scope, managed, context.key()).await?;
        }
        Ok(())
    }

    fn complete(&self, facts: &AssignmentFacts, resource: &mut ResourceState) {
        if let Some(wanted) = &facts.wanted {
            name_principal_type(resource, wanted);
        }
    }

    fn refine(
        &self,
        facts: &AssignmentFacts,
        resource: &ResourceState,
        now: Timestamp,
        decision: &mut Decision<KindStep<NoChild>>,
    ) {
        plan::refine(self, facts, resource, now, decision);
    }

    /// What the assignment says is in the status beside its id: what Azure has, or what is about to be written.
    fn status_of(
        &self,
        azure: AzureResourceStatus,
        _: Vec<String>,
        facts: Option<&AssignmentFacts>,
        resource: Option<&ResourceState>,
    ) -> RoleAssignmentStatus {
        let before = self.status.clone().unwrap_or_default();
        let Some(id) = azure.id.as_deref() else {
            return RoleAssignmentStatus {
                azure,
                ..RoleAssignmentStatus::default()
            };
        };
        let tuple = match resource {
            None => facts.and_then(|it| Some(it.wanted.as_ref()?.tuple.clone())),
            Some(resource) if resource.id.as_str() == id => resource.actual.as_ref().and_then(Tuple::of),
            Some(_) => None,
        };
        let Some(tuple) = tuple else {
            return RoleAssignmentStatus { azure, ..before };
        };
        RoleAssignmentStatus {
            azure,
            principal_id: Some(tuple.principal.to_string()),
            role_definition_id: Some(tuple.role.definition_id(tuple.scope.subscription())),
            scope: Some(tuple.scope.to_string()),
        }
    }

    fn common(status: &RoleAssignmentStatus) -> &AzureResourceStatus {
        &status.azure
    }
}
