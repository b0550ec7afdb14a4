//! What the policies leave to others is told in the status.

use crate::api::azure_resource::{ManagementPolicy, ManagementSpec};
use crate::controller::identity_assignment::target::TargetKind;

use super::model::{Assignment, World, id};

fn ruled(management_policy: ManagementPolicy, suspend: bool) -> ManagementSpec {
    ManagementSpec {
        management_policy,
        suspend,
        ..ManagementSpec::default()
    }
}

#[test]
fn a_policy_that_forbids_a_change_tells_what_differs() {
    use ManagementPolicy::{CreateOnly, Enforce, ObserveOnly};
    for (policy, suspend, foreign, reason, ready, drifts) in [
        (ObserveOnly, false, &["a"][..], "Available", true, 0),
        (ObserveOnly, false, &[], "NotFound", false, 1),
        (Enforce, true, &["a"], "Suspended", true, 0),
        (Enforce, true, &[], "Suspended", false, 1),
        (CreateOnly, false, &[], "Available", true, 0),
    ] {
        let mut world = World::new(TargetKind::App, false, foreign);
        let mut assignment = Assignment::new(TargetKind::App, "one", false, &["a"]).ruled(ruled(policy, suspend));
        assignment.settle(&mut world);
        let found = (assignment.reason().unwrap(), assignment.is_ready());
        assert_eq!(found, (reason.to_owned(), ready), "{policy:?} {suspend} {foreign:?}");
        assert_eq!(assignment.object.status.as_ref().unwrap().azure.drift.len(), drifts);
    }
}

#[test]
fn what_was_attached_once_is_only_observed_by_create_only() {
    let mut world = World::new(TargetKind::App, false, &[]);
    let mut assignment =
        Assignment::new(TargetKind::App, "one", false, &["a", "b"]).ruled(ruled(ManagementPolicy::CreateOnly, false));
    assignment.settle(&mut world);
    assignment.references.remove("b");
    assignment.settle(&mut world);
    assert_eq!(
        (assignment.reason().as_deref(), assignment.is_ready()),
        (Some("Drifted"), true)
    );
    world.meddle(|block| block.detach(&id("a")));
    assignment.settle(&mut world);
    assert_eq!(
        (assignment.reason().as_deref(), assignment.is_ready()),
        (Some("Drifted"), false)
    );
    assert_eq!(assignment.writes(), 1);
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert!(world.attached().is_empty() && assignment.is_gone());
}
