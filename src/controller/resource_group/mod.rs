//! ResourceGroup: keeps a Microsoft.Resources/resourceGroups resource as its spec says.

use crate::api::azure_resource::{AzureResourceStatus, ManagementSpec};
use crate::api::{OWNER_TAG, ResourceGroup, ResourceGroupStatus};
use crate::azure::ResourceId;
use crate::azure::resource_group::{ContainedResource, RESOURCE_GROUP_API_VERSION, SHAPE, resources};

use super::accounts::Account;
use super::azure_resource::children::NoChild;
use super::azure_resource::policy::Intent;
use super::azure_resource::{
    ArmType, AzureKind, AzureObject, Blocked, Body, Dependency, Desired, Gathering, Occupants, ResourceState, Tagging,
    body_of, known_place, location_of, of_another_subscription,
};
use super::context::Context;
use super::error::Error;
use super::ownership::{Owner, OwnerMark};
use super::reference::Reference;

impl AzureObject for ResourceGroup {
    fn management(&self) -> &ManagementSpec {
        &self.spec.azure.management
    }

    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }
}

impl AzureKind for ResourceGroup {
    const ARM: ArmType = ArmType {
        noun: "resource group",
        resource_type: "Microsoft.Resources/resourceGroups",
        shape: &SHAPE,
        immutable: &["location"],
        patchable: &[],
        tagging: Tagging::Put,
        mark: OwnerMark::Tag,
        is_regional: true,
    };
    type Settings = ();
    type Facts = ();
    type Child = NoChild;

    fn api_version(&self, _: &Desired) -> &'static str {
        RESOURCE_GROUP_API_VERSION
    }

    async fn gather(&self, gathering: Gathering<'_, ()>) -> Result<Dependency<(ResourceId, ())>, Error> {
        let name = self.spec.azure.name(&self.metadata);
        let wanted = match ResourceId::resource_group_id(gathering.account.subscription(), name) {
            Ok(id) => id,
            Err(error) => {
                let message = format!("spec.azureName `{name}` is not a name for a resource group: {error}");
                return Ok(Dependency::Blocked(Blocked::Invalid(message)));
            }
        };
        let known = known_place(self, gathering.placed);
        Ok(match known.filter(|known| *known != wanted) {
            None => Dependency::Met((wanted, ())),
            Some(known) if self.metadata.deletion_timestamp.is_some() => Dependency::Met((known, ())),
            Some(known) => Dependency::Blocked(of_another_subscription(Self::ARM.noun, &known, &wanted)),
        })
    }

    fn desired(&self, (): &(), account: &Account, _: &Context) -> Desired {
        Desired {
            body: Body(body_of(&self.spec.azure)),
            defaults: location_of(account),
            secrets_digest: None,
        }
    }

    async fn inspect(
        &self,
        _: &Context,
        intent: Intent,
        (): &mut (),
        resource: &mut ResourceState,
    ) -> Result<(), Error> {
        if intent == Intent::Delete
            && let Some(arm) = &resource.arm
        {
            let found = resources(arm, &resource.id, OWNER_TAG).await?;
            resource.occupants = occupants(&found, &resource.owner);
        }
        Ok(())
    }

    fn status_of(
        &self,
        azure: AzureResourceStatus,
        _: Vec<String>,
        _: Option<&()>,
        _: Option<&ResourceState>,
    ) -> ResourceGroupStatus {
        ResourceGroupStatus { azure }
    }

    fn common(status: &ResourceGroupStatus) -> &AzureResourceStatus {
        &status.azure
    }
}

/// Who is still in a group: others first, because somebody has to decide about them. What objects of another namespace have
/// there is not known to go because the group does.
fn occupants(found: &[ContainedResource], group: &Owner) -> Occupants {
    let is_ours = |resource: &&ContainedResource| {
        resource
            .owner_tag
            .as_deref()
            .and_then(Owner::parse)
            .is_some_and(|owner| owner.is_of_namespace_of(group))
    };
    let (ours, foreign): (Vec<_>, Vec<_>) = found.iter().partition(is_ours);
    let ids = |resources: Vec<&ContainedResource>| resources.into_iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    match (ours.is_empty(), foreign.is_empty()) {
        (_, false) => Occupants::Foreign(ids(foreign)),
        (false, true) => Occupants::Ours(ids(ours)),
        (true, true) => Occupants::None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ownership::{ClusterId, Origin};
    use super::*;

    fn owner(cluster: &str, namespace: &str) -> Owner {
        Owner::new(&ClusterId::new(cluster), namespace, "n", "u", Origin::Created)
    }

    fn resource(id: &str, owner: Option<Owner>) -> ContainedResource {
        ContainedResource {
            id: id.to_owned(),
            owner_tag: owner.map(|it| it.to_string()),
        }
    }

    #[test]
    fn what_another_cluster_or_namespace_or_nobody_owns_has_to_be_removed_by_somebody() {
        let group = owner("mine", "ns");
        let mine = resource("/m", Some(owner("mine", "ns")));
        let others = [
            resource("/o", Some(owner("other", "ns"))),
            resource("/b", Some(owner("mine", "b"))),
            resource("/n", None),
        ];
        assert_eq!(occupants(&[], &group), Occupants::None);
        assert_eq!(
            occupants(std::slice::from_ref(&mine), &group),
            Occupants::Ours(vec!["/m".into()])
        );
        let foreign = Occupants::Foreign(vec!["/o".into(), "/b".into(), "/n".into()]);
        assert_eq!(occupants(&[&[mine], &others[..]].concat(), &group), foreign);
    }
}
