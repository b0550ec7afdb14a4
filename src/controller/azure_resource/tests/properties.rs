//! What holds from every start.

use jiff::SignedDuration;
use proptest::prelude::*;

use crate::api::azure_resource::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, ManagementSpec};
use crate::controller::azure_resource::history::Purpose;
use crate::controller::ownership::{Origin, Presence};

use super::model::{Fault, Start, World};

fn specs() -> impl Strategy<Value = ManagementSpec> {
    let management = prop_oneof![
        Just(ManagementPolicy::Enforce),
        Just(ManagementPolicy::CreateOnly),
        Just(ManagementPolicy::ObserveOnly)
    ];
    let adoption = prop_oneof![
        Just(AdoptionPolicy::Never),
        Just(AdoptionPolicy::IfExists),
        Just(AdoptionPolicy::MustExist)
    ];
    let deletion = prop_oneof![
        Just(None),
        Just(Some(DeletionPolicy::Delete)),
        Just(Some(DeletionPolicy::Retain))
    ];
    (management, adoption, deletion, any::<bool>()).prop_map(|(management, adoption, deletion, suspend)| {
        ManagementSpec {
            management_policy: management,
            adoption_policy: adoption,
            deletion_policy: deletion,
            suspend,
            ..ManagementSpec::default()
        }
    })
}

fn worlds() -> impl Strategy<Value = World> {
    let start = prop_oneof![
        Just(Start::Absent),
        Just(Start::Unowned),
        Just(Start::Another),
        Just(Start::Ours(Origin::Created)),
        Just(Start::Ours(Origin::Adopted)),
    ];
    let state = prop_oneof![Just("Succeeded"), Just("InProgress"), Just("Failed"), Just("Deleting")];
    (specs(), start, any::<bool>(), state, any::<[bool; 5]>(), 1_usize..6).prop_map(
        |(spec, start, is_drifted, state, bits, own_values)| {
            let [is_deleted, is_slow, is_registered, is_stubborn, is_echoing] = bits;
            let mut world = World::new(spec, start, is_drifted, state);
            (world.is_slow, world.is_registered, world.is_stubborn) = (is_slow, is_registered, is_stubborn);
            (world.is_echoing, world.own_values) = (is_echoing, own_values);
            if is_deleted { world.deleted() } else { world }
        },
    )
}

/// The next requests meet some of these faults.
fn with_faults(worlds: impl Strategy<Value = World>, faults: &'static [Fault]) -> impl Strategy<Value = World> {
    let fault = proptest::option::of(proptest::sample::select(faults));
    (worlds, proptest::collection::vec(fault, 0..5)).prop_map(|(mut world, faults)| {
        world.faults = faults.into();
        world
    })
}

/// Whatever may become of a request.
fn troubled() -> impl Strategy<Value = World> {
    let faults = &[Fault::Unreached, Fault::AnswerLost, Fault::Ignored, Fault::Refused];
    with_faults(worlds(), faults)
}

/// Whatever passes by itself.
fn shaky() -> impl Strategy<Value = World> {
    with_faults(worlds(), &[Fault::Unreached, Fault::AnswerLost])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_start_comes_to_rest_and_stays_there(mut world in troubled()) {
        world.settle();
        let (writes, status) = (world.writes(), world.object.status.clone());
        for _ in 0..5 {
            if world.object.metadata.deletion_timestamp.is_none() {
                world.pass();
            }
        }
        prop_assert_eq!(world.writes(), writes);
        prop_assert_eq!(&world.object.status, &status);
    }

    #[test]
    fn nothing_is_written_that_a_policy_forbids(world in troubled()) {
        let mut after = world.clone();
        after.settle();
        let spec = &world.object.spec.azure.management;
        let may_not_write = spec.suspend || spec.management_policy == ManagementPolicy::ObserveOnly;
        if may_not_write {
            prop_assert_eq!(after.writes(), 0, "{:?}", after.log);
        }
        if spec.deletion_policy == Some(DeletionPolicy::Retain) || world.object.metadata.deletion_timestamp.is_none() {
            prop_assert!(!after.log.contains(&"delete"), "{:?}", after.log);
        }
        if world.presence() == Presence::OwnedByAnother && world.actual.as_ref().unwrap()["properties"]["provisioningState"] == "Succeeded" {
            prop_assert_eq!(after.actual, world.actual);
        }
    }

    #[test]
    fn nothing_is_written_before_the_finalizer_is_there(mut world in troubled()) {
        world.settle();
        if let Some(first) = world.log.iter().position(|it| matches!(*it, "put" | "tag" | "delete" | "register")) {
            let was_there = world.object.metadata.deletion_timestamp.is_some();
            prop_assert!(was_there || world.log[..first].contains(&"finalizer"), "{:?}", world.log);
        }
    }

    #[test]
    fn what_may_be_enforced_is_as_specified_in_the_end(mut world in shaky()) {
        let start = world.presence();
        let spec = world.object.spec.azure.management.clone();
        let is_going = world.actual.as_ref().is_some_and(|it| it["properties"]["provisioningState"] == "Deleting");
        world.is_stubborn = false;
        world.settle();
        let may = !spec.suspend
            && spec.management_policy == ManagementPolicy::Enforce
            && world.object.metadata.deletion_timestamp.is_none()
            && match start {
                // What must exist is not made again once it is gone.
                Presence::Owned(_) | Presence::Unowned if is_going && spec.adoption_policy == AdoptionPolicy::MustExist => false,
                Presence::Owned(_) => true,
                Presence::Absent => spec.adoption_policy != AdoptionPolicy::MustExist,
                Presence::Unowned => spec.adoption_policy != AdoptionPolicy::Never,
                Presence::OwnedByAnother => false,
            };
        if may {
            prop_assert!(world.actual.is_some(), "nothing is there: {:?}", world.log);
            let actual = world.actual.as_ref().unwrap();
            prop_assert_eq!(&actual["tags"]["a"], "1");
            prop_assert!(matches!(world.presence(), Presence::Owned(_)));
            if start != Presence::Absent && !world.log.is_empty() && world.history.write.as_ref().is_some_and(|it| it.purpose != Purpose::Create) {
                prop_assert_eq!(&actual["tags"]["kept"], "yes");
            }
        }
    }

    #[test]
    fn a_deleted_object_ends_with_its_resource_deleted_or_disowned(world in shaky()) {
        let mut after = world.clone();
        if world.object.metadata.deletion_timestamp.is_none() { return Ok(()); }
        after.settle();
        prop_assert!(!after.has_finalizer(), "{:?}", after.log);
        let spec = &world.object.spec.azure.management;
        let acts = !spec.suspend && spec.management_policy != ManagementPolicy::ObserveOnly;
        if acts {
            prop_assert!(!matches!(after.presence(), Presence::Owned(_)), "{:?} {:?}", after.log, after.actual);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

    #[test]
    fn what_others_change_is_put_right_each_time_and_what_azure_keeps_is_not_written_for_ever(
        changes in proptest::collection::vec((120_i64..7200, 0_usize..3), 0..12),
        (is_slow, is_echoing, own_values) in (any::<bool>(), any::<bool>(), 1_usize..10),
    ) {
        let mut world = World::new(ManagementSpec::default(), Start::Ours(Origin::Created), false, "Succeeded");
        (world.is_slow, world.is_echoing) = (is_slow, is_echoing);
        world.settle();
        for (number, (seconds, value)) in changes.iter().enumerate() {
            world.now += SignedDuration::from_secs(*seconds);
            world.actual.as_mut().unwrap()["tags"]["a"] = format!("theirs {value}").into();
            world.settle();
            prop_assert_eq!(world.writes(), number + 1);
            prop_assert_eq!(world.reason(), Some("Available".to_owned()));
        }
        // From now on Azure has its own way.
        (world.is_stubborn, world.own_values) = (true, own_values);
        world.now += SignedDuration::from_secs(600);
        world.actual.as_mut().unwrap()["tags"]["a"] = "azure's own".into();
        let before = world.writes();
        for _ in 0..20 {
            while world.pass() {}
            world.now += SignedDuration::from_secs(150);
        }
        prop_assert!(world.writes() - before <= 5, "{:?}", world.log);
        prop_assert_eq!(world.reason(), Some("Drifted".to_owned()));
    }
}
