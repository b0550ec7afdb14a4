//! What the policies leave to others is told in the status.

use crate::api::azure_resource::{ManagementPolicy, ManagementSpec};
use crate::controller::identity_binding::target::TargetKind;

use super::model::{Binding, World, id};

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
        let mut binding = Binding::new(TargetKind::App, "one", false, &["a"]).ruled(ruled(policy, suspend));
        binding.settle(&mut world);
        let found = (binding.reason().unwrap(), binding.is_ready());
        assert_eq!(found, (reason.to_owned(), ready), "{policy:?} {suspend} {foreign:?}");
        assert_eq!(binding.object.status.as_ref().unwrap().drift.len(), drifts);
    }
}

#[test]
fn what_was_attached_once_is_only_observed_by_create_only() {
    let mut world = World::new(TargetKind::App, false, &[]);
    let mut binding =
        Binding::new(TargetKind::App, "one", false, &["a", "b"]).ruled(ruled(ManagementPolicy::CreateOnly, false));
    binding.settle(&mut world);
    binding.references.remove("b");
    binding.settle(&mut world);
    assert_eq!(
        (binding.reason().as_deref(), binding.is_ready()),
        (Some("Drifted"), true)
    );
    world.meddle(|block| block.detach(&id("a")));
    binding.settle(&mut world);
    assert_eq!(
        (binding.reason().as_deref(), binding.is_ready()),
        (Some("Drifted"), false)
    );
    assert_eq!(binding.writes(), 1);
    binding.delete(world.now);
    binding.settle(&mut world);
    assert!(world.attached().is_empty() && binding.is_gone());
}
