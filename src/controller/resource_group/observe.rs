//! One observation at a resource group.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::api::condition::Reason;
use crate::api::{OWNER_TAG, ResourceGroup};
use crate::azure::resource_group::{ContainedResource, RESOURCE_GROUP_API_VERSION, SHAPE, resources};
use crate::azure::{Location, ResourceId};
use crate::controller::azure_resource::ownership::{ClusterId, Origin, Owner, OwnerMark};
use crate::controller::azure_resource::policy::{Intent, Situation};
use crate::controller::azure_resource::{
    Blocked, Body, Dependency, Histories, Observation, Occupants, Registration, ResourceState, Subject, Tagging,
    open_account, read_state,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::readiness::Verdict;
use crate::runtime::Next;

/// Looks at the group, and before its deletion at what it holds.
pub async fn observe(context: &Context, histories: &Histories, object: &ResourceGroup) -> Result<Observation, Error> {
    let account = match open_account(context, object).await? {
        Dependency::Met(account) => account,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    let spec = &object.spec.azure;
    let id = match ResourceId::resource_group_id(account.account.subscription(), spec.name(&object.metadata)) {
        Ok(id) => id,
        Err(error) => {
            let message = format!(
                "spec.azureName `{}` is no name of a resource group: {error}",
                spec.name(&object.metadata)
            );
            let verdict = Verdict::stalled(Reason::InvalidSpec, message);
            return Ok(Observation::Blocked(Blocked {
                verdict,
                next: Next::AwaitChange,
                is_credential_gone: false,
            }));
        }
    };
    let default_location = account.account.spec().location.clone();
    let uncreatable = (spec.location.is_none() && default_location.is_none()).then(|| {
        "spec.location is missing, and so is that of the AzureAccount: say in which region the group is created"
            .to_owned()
    });
    let uid = object.uid().unwrap_or_default();
    let owner = Owner::new(
        context.cluster(),
        &object.namespace().unwrap_or_default(),
        &object.name_any(),
        &uid,
        Origin::Created,
    );
    let resource = ResourceState {
        arm: Some(account.account.arm().clone()),
        id,
        api_version: RESOURCE_GROUP_API_VERSION,
        shape: &SHAPE,
        immutable: &["location"],
        tagging: Tagging::Put,
        mark: OwnerMark::Tag,
        owner,
        desired: desired(object),
        defaults: json!({"location": default_location.as_deref().map(|it| Location::new(it).to_string())}),
        actual: None,
        pause: None,
        secrets_digest: None,
        given_secrets_digest: None,
        unwritable: None,
        registration: Registration::NotNeeded,
        occupants: Occupants::None,
        account_is_held: account.is_held,
        history: histories.of(&uid),
        key: context.key().clone(),
    };
    let mut resource = match read_state(context, histories, object, resource).await? {
        Dependency::Met(resource) => resource,
        Dependency::Blocked(held) => return Ok(Observation::Blocked(held)),
    };
    if resource.actual.is_none() {
        resource.unwritable = uncreatable;
    }
    let subject = Subject::of(object);
    let situation = Situation::of(subject.spec, subject.lifecycle, resource.presence());
    if Intent::of(situation) == Intent::Delete {
        let found = resources(account.account.arm(), &resource.id, OWNER_TAG).await?;
        resource.occupants = occupants(&found, context.cluster());
    }
    Ok(Observation::Seen(Box::new(resource)))
}

/// What a group should be.
fn desired(object: &ResourceGroup) -> Body {
    let spec = &object.spec.azure;
    let mut body = json!({"tags": spec.tags});
    if let Some(location) = &spec.location {
        body["location"] = Value::from(Location::new(location).as_str());
    }
    Body(body)
}

/// Who is still in a group: others first, because somebody has to decide about them.
fn occupants(found: &[ContainedResource], cluster: &ClusterId) -> Occupants {
    let is_ours = |resource: &&ContainedResource| {
        resource
            .owner_tag
            .as_deref()
            .and_then(Owner::parse)
            .is_some_and(|owner| owner.is_of(cluster))
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
    use super::*;

    fn resource(id: &str, cluster: Option<&str>) -> ContainedResource {
        let owner = cluster.map(|it| Owner::new(&ClusterId::new(it), "ns", "n", "u", Origin::Created).to_string());
        ContainedResource {
            id: id.to_owned(),
            owner_tag: owner,
        }
    }

    #[test]
    fn what_other_clusters_or_nobody_owns_has_to_be_removed_by_somebody() {
        let cluster = ClusterId::new("mine");
        let (mine, other, none) = (
            resource("/m", Some("mine")),
            resource("/o", Some("other")),
            resource("/n", None),
        );
        assert_eq!(occupants(&[], &cluster), Occupants::None);
        assert_eq!(
            occupants(std::slice::from_ref(&mine), &cluster),
            Occupants::Ours(vec!["/m".into()])
        );
        let foreign = Occupants::Foreign(vec!["/o".into(), "/n".into()]);
        assert_eq!(occupants(&[mine, other, none], &cluster), foreign);
    }
}
