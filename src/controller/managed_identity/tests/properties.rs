//! What holds from every start.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::api::ManagedIdentitySpec;
use crate::api::azure_resource::{AdoptionPolicy, ManagementPolicy, ManagementSpec};

use super::model::{World, export_to, named, owner, trusted};

const NAMES: [&str; 4] = ["one", "two", "three", "four"];
const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];

fn management() -> impl Strategy<Value = ManagementSpec> {
    let policy = prop_oneof![
        3 => Just(ManagementPolicy::Enforce),
        1 => Just(ManagementPolicy::CreateOnly),
        1 => Just(ManagementPolicy::ObserveOnly)
    ];
    let adoption = prop_oneof![Just(AdoptionPolicy::Never), Just(AdoptionPolicy::IfExists)];
    (policy, adoption, prop::bool::weighted(0.1)).prop_map(|(management_policy, adoption_policy, suspend)| {
        ManagementSpec {
            adoption_policy,
            management_policy,
            suspend,
            ..ManagementSpec::default()
        }
    })
}

/// For each name the account that it trusts, if it is there.
fn trust() -> impl Strategy<Value = [Option<usize>; 4]> {
    prop::array::uniform4(prop::option::of(0_usize..4))
}

fn pairs(trust: [Option<usize>; 4]) -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES
        .into_iter()
        .zip(trust)
        .filter_map(|(name, account)| Some((name, ACCOUNTS[account?])))
}

fn spec(management: &ManagementSpec, trust: [Option<usize>; 4], export: Option<usize>) -> ManagedIdentitySpec {
    let mut spec = ManagedIdentitySpec {
        federated_credentials: pairs(trust).map(|(name, account)| named(name, account)).collect(),
        export: export.and_then(|it| export_to(NAMES[it])),
        ..ManagedIdentitySpec::default()
    };
    spec.azure.management = management.clone();
    spec
}

fn worlds() -> impl Strategy<Value = World> {
    let export = || prop::option::of(0_usize..2);
    (
        management(),
        trust(),
        trust(),
        any::<[bool; 4]>(),
        export(),
        any::<[bool; 4]>(),
    )
        .prop_map(|(management, wanted, actual, recorded, export, bits)| {
            let [exists, is_foreign_map, is_exported, is_told] = bits;
            let mut world = World::new(spec(&management, wanted, export));
            world.is_issuer_told = is_told;
            if exists {
                world = world.with_identity(Some(owner()));
                for (name, account) in pairs(actual) {
                    let one = trusted(name, account);
                    // Azure has no two of the same issuer and subject.
                    if !world.credentials.iter().any(|it| it.clashes_with(&one)) {
                        world.credentials.push(one);
                    }
                }
                let names = NAMES.into_iter().zip(recorded).filter(|(_, is)| *is);
                let mut status = world.status();
                status.federated_credentials = names.map(|(name, _)| name.to_owned()).collect();
                status.azure.exported_config_map = is_exported.then(|| NAMES[0].to_owned());
                world.object.status = Some(status);
                if is_exported {
                    world.config_maps.insert(NAMES[0].to_owned(), (true, BTreeMap::new()));
                }
            }
            if is_foreign_map {
                world.config_maps.insert(NAMES[1].to_owned(), (false, BTreeMap::new()));
            }
            world
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_start_comes_to_rest_and_stays_there(mut world in worlds()) {
        world.settle();
        let (writes, status) = (world.writes(), world.object.status.clone());
        for _ in 0..5 {
            world.pass();
        }
        prop_assert_eq!(world.writes(), writes);
        prop_assert_eq!(&world.object.status, &status);
    }

    #[test]
    fn what_is_ready_and_enforced_is_as_the_spec_says(mut world in worlds()) {
        world.object.spec.azure.management.management_policy = ManagementPolicy::Enforce;
        world.object.spec.azure.management.suspend = false;
        world.is_issuer_told = true;
        world.settle();
        if world.ready().0 != "True" {
            // A namesake that may not be overwritten, or two of the spec that ask for the same subject.
            prop_assert!(["AlreadyExists", "Rejected"].contains(&world.ready().1.as_str()), "{}", world.message());
            return Ok(());
        }
        for one in &world.object.spec.federated_credentials {
            let account = &one.service_account_ref.as_ref().unwrap().name;
            prop_assert!(world.credentials.contains(&trusted(&one.name, account)), "{}", one.name);
        }
        let status = world.status();
        for name in &status.federated_credentials {
            prop_assert!(world.object.spec.federated_credentials.iter().any(|it| it.name == *name), "{} is left", name);
        }
        let own: Vec<_> = world.config_maps.iter().filter(|(_, (is_ours, _))| *is_ours).map(|(name, _)| name.clone()).collect();
        let wanted: Vec<_> = world.object.spec.export.iter().map(|it| it.config_map.name.clone()).collect();
        prop_assert_eq!(own, wanted);
    }

    #[test]
    fn nothing_of_others_is_touched(world in worlds()) {
        let mut after = world.clone();
        after.settle();
        let management = &world.object.spec.azure.management;
        let recorded = world.status().federated_credentials;
        for one in &world.credentials {
            let is_named = world.object.spec.federated_credentials.iter().any(|it| it.name == one.name);
            let is_ours = recorded.contains(&one.name) || (is_named && management.adoption_policy != AdoptionPolicy::Never);
            if !is_ours {
                prop_assert!(after.credentials.contains(one), "{:?} in {:?}", one, after.log);
            }
        }
        if management.suspend || management.management_policy == ManagementPolicy::ObserveOnly {
            prop_assert_eq!(&after.credentials, &world.credentials);
            prop_assert_eq!(&after.actual, &world.actual);
        }
        let foreign = |world: &World| world.config_maps.get(NAMES[1]).filter(|it| !it.0).cloned();
        if let Some(map) = foreign(&world) {
            prop_assert_eq!(foreign(&after), Some(map));
        }
    }

    #[test]
    fn a_crash_after_any_step_leaves_nothing_unowned(
        mut world in worlds(), steps in 0_usize..12, later in trust(), export in prop::option::of(0_usize..2),
    ) {
        world.object.spec.azure.management.management_policy = ManagementPolicy::Enforce;
        world.object.spec.azure.management.suspend = false;
        let before: Vec<_> = world.credentials.clone();
        for _ in 0..steps {
            world.pass();
        }
        // The process ends, and when it starts again the author wants something else.
        world.restart();
        world.is_issuer_told = true;
        let management = world.object.spec.azure.management.clone();
        world.change(|it| *it = spec(&management, later, export));
        world.settle();
        for one in &world.credentials {
            let is_wanted = world.object.spec.federated_credentials.iter().any(|it| it.name == one.name);
            prop_assert!(is_wanted || before.contains(one), "{:?} is left: {:?}", one, world.log);
        }
        for (name, (is_ours, _)) in &world.config_maps {
            let is_wanted = world.object.spec.export.as_ref().is_some_and(|it| it.config_map.name == *name);
            prop_assert!(is_wanted || !is_ours, "{} is left: {:?}", name, world.log);
        }
        // And then nothing at all.
        let maps: Vec<_> = world.config_maps.clone().into_keys().collect();
        world.delete();
        world.settle();
        prop_assert!(world.actual.is_none() && world.credentials.is_empty() && world.is_let_go(), "{:?}", world.log);
        prop_assert_eq!(maps, world.config_maps.into_keys().collect::<Vec<_>>(), "the garbage collector removes them");
    }
}
