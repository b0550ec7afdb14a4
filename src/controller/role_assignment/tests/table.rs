//! What follows from what is seen.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::plan::name_principal_type;
use super::super::wanted::WantedAssignment;
use crate::api::FINALIZER;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::role_assignment::PrincipalType;
use crate::azure::{ResourceId, RoleId};
use crate::controller::azure_resource::Body;
use crate::controller::ownership::{DESCRIPTION_PREFIX, Origin};

use super::model::{POOL, World, owner, stored, tuple};

#[test]
fn an_assignment_is_claimed_in_the_status_and_then_made_under_its_own_name() {
    let mut world = World::new(&json!({}));
    world.settle();
    assert_eq!(world.log, [format!("PUT {}", tuple(1).name())]);
    assert_eq!(world.ours(), [tuple(1)]);
    assert_eq!(world.reason(), "Available");
    let status = world.object.status.clone().unwrap();
    assert_eq!(status.principal_id, Some(tuple(1).principal.to_string()));
    assert_eq!(status.scope.as_deref(), Some(POOL));
    world.now += SignedDuration::from_hours(1);
    world.settle();
    assert_eq!(world.log.len(), 1, "a second look writes nothing");
}

#[test]
fn an_assignment_whose_principal_was_recreated_gets_a_new_one_and_the_old_one_goes_first() {
    let mut world = World::new(&json!({}));
    world.settle();
    world.wanted = Some(tuple(2));
    world.settle();
    let (one, two) = (tuple(1).name(), tuple(2).name());
    assert_eq!(
        world.log,
        [format!("PUT {one}"), format!("DELETE {one}"), format!("PUT {two}")]
    );
    assert_eq!(world.ours(), [tuple(2)]);
}

#[test]
fn what_was_made_before_the_status_was_lost_is_found_by_its_description() {
    let mut world = World::new(&json!({}));
    world.settle();
    world.object.status = None;
    world.wanted = Some(tuple(2));
    world.settle();
    assert_eq!(world.ours(), [tuple(2)]);
}

#[test]
fn an_object_that_only_observes_leaves_what_it_made_before_and_rests() {
    let mut world = World::new(&json!({}));
    world.settle();
    world.object.spec.management.management_policy = ManagementPolicy::ObserveOnly;
    world.wanted = Some(tuple(2));
    world.settle();
    assert_eq!((world.reason().as_str(), world.log.len()), ("NotFound", 1));
    assert_eq!(world.ours(), [tuple(1)]);
}

#[test]
fn a_reference_that_goes_takes_the_assignment_with_it_and_nothing_is_held_afterwards() {
    let mut world = World::new(&json!({}));
    world.settle();
    world.wanted = None;
    world.settle();
    assert_eq!(world.azure, Vec::<Value>::new());
    let status = world.object.status.clone().unwrap();
    assert_eq!((status.azure.id, status.principal_id, status.scope), (None, None, None));
    assert_eq!(world.reason(), "ReferenceNotReady");
    world.wanted = Some(tuple(2));
    world.settle();
    assert_eq!(world.ours(), [tuple(2)]);
}

#[test]
fn an_assignment_of_another_object_of_the_cluster_exists_already_and_stays() {
    let other = format!("{DESCRIPTION_PREFIX}{}", owner("c1", "other"));
    let mut world =
        World::new(&json!({"adoptionPolicy": "IfExists"})).with(&tuple(1).id().unwrap(), &tuple(1), Some(&other));
    world.settle();
    assert_eq!((world.reason().as_str(), world.log.len()), ("AlreadyExists", 0));
    world.delete();
    world.settle();
    assert_eq!((world.azure.len(), world.log.len()), (1, 0));
}

#[test]
fn an_assignment_of_another_cluster_is_owned_by_another() {
    let other = format!("{DESCRIPTION_PREFIX}{}", owner("c2", "mine"));
    let mut world =
        World::new(&json!({"adoptionPolicy": "IfExists"})).with(&tuple(1).id().unwrap(), &tuple(1), Some(&other));
    world.settle();
    assert_eq!((world.reason().as_str(), world.log.len()), ("OwnedByAnother", 0));
}

#[test]
fn the_same_tuple_under_another_name_is_the_resource_and_the_adoption_policy_decides() {
    let by_hand: ResourceId = format!(
        "{POOL}/providers/Microsoft.Authorization/roleAssignments/{}",
        uuid::Uuid::nil()
    )
    .parse()
    .unwrap();
    let mut refused = World::new(&json!({})).with(&by_hand, &tuple(1), Some("by hand"));
    refused.settle();
    assert_eq!((refused.reason().as_str(), refused.log.len()), ("AlreadyExists", 0));

    let mut adopted = World::new(&json!({"adoptionPolicy": "IfExists"})).with(&by_hand, &tuple(1), Some("by hand"));
    adopted.settle();
    assert_eq!(adopted.log, [format!("PUT {}", uuid::Uuid::nil())]);
    assert_eq!(
        adopted.object.status.clone().unwrap().azure.id.as_deref(),
        Some(by_hand.as_str())
    );
    adopted.delete();
    adopted.settle();
    assert_eq!(adopted.azure.len(), 1, "what was adopted is kept");
    assert_eq!(adopted.ours(), [], "and no longer marked");
    assert_eq!(adopted.object.metadata.finalizers, None);
}

#[test]
fn a_suspended_object_neither_makes_nor_takes_back() {
    let mut world = World::new(&json!({}));
    world.settle();
    world.object.spec.management.suspend = true;
    world.wanted = Some(tuple(2));
    world.settle();
    assert_eq!((world.reason().as_str(), world.log.len()), ("Suspended", 1));
    world.object.spec.management.suspend = false;
    world.settle();
    assert_eq!(world.ours(), [tuple(2)]);
}

#[test]
fn an_object_that_is_deleted_before_it_held_anything_goes_at_once() {
    let mut world = World::new(&json!({}));
    world.wanted = None;
    world.settle();
    world.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    world.delete();
    world.settle();
    assert_eq!((world.object.metadata.finalizers.clone(), world.log.len()), (None, 0));
}

#[test]
fn a_principal_type_that_azure_does_not_tell_is_sent_and_is_no_drift() {
    let id = tuple(1).id().unwrap();
    let mut resource = World::new(&json!({})).resource(id.clone());
    let mut actual = stored(&id, &tuple(1), None);
    actual["properties"]["principalType"] = Value::Null;
    resource.desired = Body(tuple(1).body());
    resource.take_note(Some(actual));
    let wanted = WantedAssignment {
        tuple: tuple(1),
        principal_type: PrincipalType::Group,
    };
    name_principal_type(&mut resource, &wanted);
    assert_eq!(resource.differences(), []);
    assert_eq!(resource.body(Origin::Created).0["properties"]["principalType"], "Group");
}

#[test]
fn a_role_under_another_scope_is_no_difference_and_another_role_is() {
    let id = tuple(1).id().unwrap();
    let mut resource = World::new(&json!({})).resource(id.clone());
    resource.desired = Body(tuple(1).body());
    let mut actual = stored(&id, &tuple(1), None);
    actual["properties"]["roleDefinitionId"] = format!(
        "/providers/Microsoft.Authorization/roleDefinitions/{}",
        RoleId::SESSION_EXECUTOR
    )
    .into();
    resource.take_note(Some(actual.clone()));
    assert_eq!(resource.differences(), []);
    actual["properties"]["roleDefinitionId"] = RoleId::ACR_PULL.definition_id("s").into();
    resource.take_note(Some(actual));
    assert_eq!(resource.differences().len(), 1);
}
