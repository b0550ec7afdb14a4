//! What happens in which situation, one by one.

use jiff::SignedDuration;
use serde_json::json;

use crate::api::azure_resource::{AdoptionPolicy, DeletionPolicy, ManagementSpec, Ownership};
use crate::api::condition::Reason;
use crate::api::{ABANDON_ANNOTATION, FINALIZER, RECONCILE_ANNOTATION};
use crate::controller::azure_resource::blocked::Blocked;
use crate::controller::azure_resource::decision::{Step, decide};
use crate::controller::azure_resource::history::History;
use crate::controller::azure_resource::observation::{Body, Observation, Occupants};
use crate::controller::azure_resource::placement::known_place;
use crate::controller::azure_resource::status::summarize;
use crate::controller::azure_resource::subject::Subject;
use crate::controller::ownership::{Origin, Presence};
use crate::controller::readiness::Standing;
use crate::runtime::{PassOutcome, Seen, Waited};

use super::model::{Fault, Start, UID, World, mark, owner};

fn spec() -> ManagementSpec {
    ManagementSpec::default()
}

fn adopting() -> ManagementSpec {
    ManagementSpec {
        adoption_policy: AdoptionPolicy::IfExists,
        ..spec()
    }
}

#[test]
fn a_new_resource_is_written_once_and_only_after_the_finalizer() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.settle();
    assert_eq!(world.log, ["finalizer", "put"]);
    assert_eq!(world.presence(), Presence::Owned(Origin::Created));
    assert_eq!(world.reason().as_deref(), Some("Available"));
}

#[test]
fn a_provider_is_registered_before_the_first_write() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.is_registered = false;
    world.settle();
    assert_eq!(world.log, ["finalizer", "register", "put"]);
}

#[test]
fn an_object_whose_account_gets_its_finalizer_first_is_being_prepared_as_before() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    let observation = world.look();
    let first = decide(&Subject::of(&world.object), &observation, world.now);
    assert_eq!(first.step, Some(Step::AddFinalizer));
    world.pass();
    let Observation::Seen(mut resource) = world.look() else {
        panic!("the resource is seen");
    };
    resource.account_is_marked = false;
    let second = decide(&Subject::of(&world.object), &Observation::Seen(resource), world.now);
    assert_eq!(second.step, None, "nothing is written before the account stays for it");
    assert_eq!(second.verdict, first.verdict);
}

#[test]
fn one_write_at_a_time() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), true, "InProgress");
    world.is_slow = true;
    assert!(world.pass());
    assert_eq!(world.log, ["finalizer"]);
    assert!(world.pass());
    assert_eq!(world.writes(), 0, "an operation is under way");
    world.settle();
    assert_eq!(world.log, ["finalizer", "put"]);
}

#[test]
fn a_resource_that_was_just_created_and_does_not_show_is_waited_for() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.settle();
    world.actual = None;
    let (start, writes) = (world.now, world.writes());
    while world.writes() == writes {
        world.pass();
    }
    assert!(world.now.duration_since(start).as_secs() >= 60);
    assert_eq!(world.presence(), Presence::Owned(Origin::Created));
}

#[test]
fn an_object_deleted_right_after_its_resource_was_created_still_deletes_it() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.settle();
    world.actual = None;
    world = world.deleted();
    world.settle();
    assert_eq!(world.log, ["finalizer", "put", "delete", "release"]);
}

#[test]
fn what_azure_keeps_its_own_way_is_written_once_and_shown_as_drift() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), true, "Succeeded");
    world.is_stubborn = true;
    world.settle();
    let after_first = world.writes();
    for _ in 0..20 {
        world.pass();
        world.now += SignedDuration::from_secs(60);
    }
    assert_eq!(world.reason().as_deref(), Some("Drifted"));
    assert!(after_first <= 2 && world.writes() == after_first, "{:?}", world.log);
    assert_eq!(world.object.status.as_ref().unwrap().azure.drift[0].path, "tags.a");
}

#[test]
fn what_azure_shows_only_after_it_echoed_a_write_is_not_written_for_ever() {
    for (own_values, most) in [(1, 2), (2, 3), (3, 4), (1000, 4)] {
        let mut world = World::new(spec(), Start::Ours(Origin::Created), true, "Succeeded");
        (world.is_stubborn, world.is_echoing, world.own_values) = (true, true, own_values);
        for _ in 0..1000 {
            world.pass();
            world.now += SignedDuration::from_secs(3);
        }
        assert!(world.writes() <= most, "{own_values}: {:?}", world.log);
        assert_eq!(world.reason().as_deref(), Some("Drifted"), "{own_values}");
        // The process has forgotten it, and finds it out once more.
        let before = world.writes();
        world.history = History::default();
        for _ in 0..1000 {
            world.pass();
            world.now += SignedDuration::from_secs(3);
        }
        assert!(world.writes() - before <= most, "{own_values}: {:?}", world.log);
        // Another wish is another matter, and so is a request.
        world.is_stubborn = false;
        let annotation = (RECONCILE_ANNOTATION.to_owned(), "now".to_owned());
        world.object.metadata.annotations = Some([annotation].into());
        let before = world.writes();
        world.settle();
        assert_eq!(world.writes(), before + 1);
        assert_eq!(world.reason().as_deref(), Some("Available"));
    }
}

#[test]
fn what_azure_keeps_its_own_way_is_written_again_once_somebody_else_changed_the_resource() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), true, "Succeeded");
    (world.is_stubborn, world.is_echoing) = (true, true);
    let changed = |world: &mut World, at: &str| {
        world.actual.as_mut().unwrap()["systemData"] = json!({"lastModifiedAt": at});
    };
    changed(&mut world, "2026-01-01T00:00:00Z");
    world.settle();
    let before = world.writes();
    for _ in 0..100 {
        world.now += SignedDuration::from_secs(10);
        world.settle();
    }
    assert_eq!((world.reason().as_deref(), world.writes()), (Some("Drifted"), before));
    world.is_stubborn = false;
    changed(&mut world, "2026-01-02T00:00:00Z");
    world.settle();
    assert_eq!(
        (world.reason().as_deref(), world.writes()),
        (Some("Available"), before + 1)
    );
}

#[test]
fn what_others_change_right_after_each_write_is_put_right_each_time() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Succeeded");
    world.tells_changes = true;
    world.settle();
    for number in 0..20 {
        // They are faster than the look that would see that the write had its effect.
        world.now += SignedDuration::from_secs(1);
        let actual = world.actual.as_mut().unwrap();
        actual["tags"]["a"] = format!("theirs {number}").into();
        actual["systemData"] = json!({"lastModifiedAt": world.now.to_string()});
        while world.writes() == number {
            assert!(world.pass(), "{:?}", world.log);
        }
    }
    world.settle();
    assert_eq!((world.reason().as_deref(), world.writes()), (Some("Available"), 20));
}

#[test]
fn the_same_drift_made_by_hand_twice_is_repaired_twice() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), true, "Succeeded");
    world.settle();
    assert_eq!(world.writes(), 1);
    world.actual.as_mut().unwrap()["tags"]["a"] = "2".into();
    world.settle();
    assert_eq!(world.writes(), 2);
}

#[test]
fn a_location_that_cannot_be_changed_stalls_and_writes_nothing() {
    let mut world = World::new(adopting(), Start::Unowned, true, "Succeeded");
    world.actual.as_mut().unwrap()["location"] = "eastus".into();
    world.settle();
    assert_eq!(world.reason().as_deref(), Some("ImmutableChange"));
    assert_eq!(world.writes(), 0);
}

#[test]
fn a_failed_resource_is_sent_again_slowly() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Failed");
    world.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let start = world.now;
    while world.writes() == 0 {
        world.pass();
    }
    // Nobody knows when it failed, so the first try is at once; the model's Azure accepts it.
    assert!(world.now.duration_since(start).as_secs() < 60);
    world.actual.as_mut().unwrap()["properties"]["provisioningState"] = "Failed".into();
    let (start, writes) = (world.now, world.writes());
    while world.writes() == writes {
        world.pass();
    }
    assert!(world.now.duration_since(start).as_secs() >= 600);
    assert_eq!(world.reason().as_deref(), Some("ProvisioningFailed"));
}

/// Goes on until Azure has refused something.
fn until_rejected(world: &mut World) {
    for _ in 0..60 {
        if world.reason().as_deref() == Some("Rejected") {
            return;
        }
        world.pass();
    }
    panic!("nothing was refused: {:?}", world.reason());
}

#[test]
fn a_refused_write_is_sent_again_ever_more_slowly_and_at_once_when_it_is_another() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.pass();
    world.faults = [Some(Fault::Refused), Some(Fault::Refused), Some(Fault::Refused)].into();
    let start = world.now;
    until_rejected(&mut world);
    assert_eq!(world.writes(), 1);
    let mut other = world.object.clone();
    other.spec.azure.tags.insert("new".to_owned(), "x".to_owned());
    let Observation::Seen(mut resource) = world.look() else {
        panic!("seen")
    };
    resource.desired = Body(json!({"location": "westeurope", "tags": {"a": "1", "new": "x"}}));
    let next = decide(&Subject::of(&other), &Observation::Seen(resource), world.now);
    assert!(matches!(next.step, Some(Step::Write(_))));

    world.settle();
    assert_eq!((world.reason().as_deref(), world.writes()), (Some("Available"), 4));
    let minutes = world.now.duration_since(start).as_mins();
    assert!((7..=8).contains(&minutes), "1 + 2 + 4 minutes: {minutes}");
}

#[test]
fn a_refused_write_is_sent_again_when_somebody_asks_and_once_for_each_time() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.pass();
    world.faults = [Some(Fault::Refused), Some(Fault::Refused)].into();
    until_rejected(&mut world);
    let ask = |world: &mut World, value: &str| {
        world.object.metadata.annotations = Some([(RECONCILE_ANNOTATION.to_owned(), value.to_owned())].into());
        world.pass();
    };
    let start = world.now;
    ask(&mut world, "1");
    until_rejected(&mut world);
    assert_eq!(world.writes(), 2);
    let handled = |world: &World| world.object.status.clone().unwrap().azure.last_handled_reconcile_at;
    assert_eq!(handled(&world).as_deref(), Some("1"));
    let requested = Subject::of(&world.object);
    assert!(!requested.is_requested, "it was asked for once");
    ask(&mut world, "2");
    world.settle();
    assert_eq!((world.reason().as_deref(), world.writes()), (Some("Available"), 3));
    assert_eq!(handled(&world).as_deref(), Some("2"));
    assert!(world.now.duration_since(start).as_mins() < 5);
}

#[test]
fn what_works_is_provisioned_although_a_change_of_it_is_refused() {
    let provisioned = |world: &World| {
        let conditions = world.object.status.clone().unwrap().azure.conditions;
        let found = conditions.into_iter().find(|it| it.type_ == "Provisioned");
        found.map(|it| it.status)
    };
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.pass();
    world.faults = [Some(Fault::Refused)].into();
    until_rejected(&mut world);
    assert_eq!(provisioned(&world).as_deref(), Some("False"), "there is nothing yet");
    world.settle();
    assert_eq!(provisioned(&world).as_deref(), Some("True"));
    world.actual.as_mut().expect("a resource")["tags"]["a"] = "2".into();
    world.faults = [Some(Fault::Refused)].into();
    until_rejected(&mut world);
    assert_eq!(
        provisioned(&world).as_deref(),
        Some("True"),
        "it is as it was, and works"
    );
}

#[test]
fn in_sync_says_whether_azure_has_what_the_spec_says() {
    let in_sync = |world: &World| {
        let conditions = world.object.status.clone().unwrap().azure.conditions;
        conditions
            .into_iter()
            .find(|it| it.type_ == "InSync")
            .map(|it| (it.status, it.reason))
    };
    let told = |status: &str, reason: &str| Some((status.to_owned(), reason.to_owned()));
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.pass();
    assert_eq!(in_sync(&world), told("False", "Pending"));
    world.settle();
    assert_eq!(in_sync(&world), told("True", "Available"));
    world.object.spec.azure.management.suspend = true;
    world.actual.as_mut().unwrap()["tags"]["a"] = "2".into();
    world.settle();
    assert_eq!(in_sync(&world), told("False", "Suspended"));
    assert_eq!(
        world.object.status.unwrap().azure.location.as_deref(),
        Some("westeurope"),
        "as Azure names it"
    );
}

#[test]
fn what_the_group_holds_decides_when_it_goes() {
    for (occupants, reason) in [
        (Occupants::Foreign(vec!["/x".to_owned()]), Reason::GroupNotEmpty),
        (Occupants::Ours(vec!["/y".to_owned()]), Reason::Deleting),
    ] {
        let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Succeeded").deleted();
        world.occupants = occupants;
        world.pass();
        world.pass();
        assert_eq!((world.reason(), world.writes()), (Some(reason.to_string()), 0));
        world.occupants = Occupants::None;
        world.settle();
        assert_eq!(world.log, ["delete", "release"]);
    }
}

#[test]
fn an_object_without_a_token_is_let_go_by_its_author_only() {
    let held = || {
        let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Succeeded").deleted();
        world.is_credential_gone = true;
        world
    };
    let mut world = held();
    world.pass();
    assert_eq!(
        (world.reason().as_deref(), world.log.len()),
        (Some("CredentialGone"), 0)
    );
    let annotate = |world: &mut World, value: &str| {
        world.object.metadata.annotations = Some([(ABANDON_ANNOTATION.to_owned(), value.to_owned())].into());
    };
    annotate(&mut world, "another");
    world.pass();
    assert!(world.log.is_empty());
    annotate(&mut world, UID);
    world.pass();
    assert_eq!(world.log, ["release"]);
    let mut world = held();
    world.object.spec.azure.management.deletion_policy = Some(DeletionPolicy::Retain);
    world.pass();
    assert_eq!(world.log, ["release"]);
}

#[test]
fn a_write_whose_answer_was_lost_is_found_done_and_not_sent_again() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.faults = [Some(Fault::AnswerLost)].into();
    world.settle();
    assert_eq!(world.log, ["finalizer", "put"]);
    assert_eq!(world.reason().as_deref(), Some("Available"));
}

#[test]
fn a_refused_deletion_is_told_and_asked_for_again_slowly() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Succeeded").deleted();
    world.faults = [Some(Fault::Refused)].into();
    let start = world.now;
    world.pass();
    world.pass();
    assert_eq!(world.reason().as_deref(), Some("Rejected"));
    world.settle();
    assert_eq!(world.log, ["delete", "delete", "release"]);
    assert!(world.now.duration_since(start).as_secs() >= 60);
}

#[test]
fn where_something_was_written_is_known_although_no_status_says_so() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.settle();
    world.object.status = None;
    let placed = world.history.placed.clone();
    assert_eq!(placed, Some("/subscriptions/s/resourceGroups/rg".parse().unwrap()));
    assert_eq!(known_place(&world.object, placed.as_ref()), placed);
    // The place was changed meanwhile: what the object has is said, and nothing is done.
    let known = Box::new(placed.clone().unwrap());
    let message = "it would be another".to_owned();
    let observation = Observation::Blocked(Blocked::Moved { known, message });
    let decision = decide(&Subject::of(&world.object), &observation, world.now);
    assert_eq!(
        (&decision.step, decision.verdict.reason),
        (&None, Reason::ImmutableChange)
    );
    let plan = decision.into_plan();
    let seen = Seen {
        waited: &Waited::default(),
        observed: Some(&observation),
        verdict: Some(&plan.verdict),
        outcome: PassOutcome::Done(plan.next),
    };
    let status = summarize(&world.object, &seen, world.now).expect("a status");
    assert_eq!(status.id, placed.map(|it| it.to_string()));
}

fn retagged(world: &mut World, text: String) {
    world.actual.as_mut().unwrap()["tags"]["lifeguard-owner"] = text.into();
}

fn tag(world: &World) -> &str {
    world.actual.as_ref().unwrap()["tags"]["lifeguard-owner"]
        .as_str()
        .unwrap()
}

#[test]
fn a_mark_without_a_seal_is_written_anew_where_the_status_says_that_the_object_created_it() {
    let mut world = World::new(spec(), Start::Ours(Origin::Created), false, "Succeeded");
    world.settle();
    assert_eq!(world.writes(), 0);
    for unsealed in [owner().to_string(), format!("{}/of-a-lost-key", owner())] {
        retagged(&mut world, unsealed);
        world.log.clear();
        world.settle();
        assert_eq!(world.log, ["put"]);
        assert_eq!(tag(&world), mark(Origin::Created));
    }
    let mut world = world.deleted();
    world.settle();
    assert_eq!(world.actual, None);
}

#[test]
fn what_cannot_be_written_without_harm_is_written_neither_for_a_seal_nor_because_it_failed() {
    for (state, standing) in [("Succeeded", Standing::Ready), ("Failed", Standing::Stalled)] {
        let mut world = World::new(spec(), Start::Ours(Origin::Created), false, state);
        world.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        retagged(&mut world, owner().to_string());
        let Observation::Seen(mut resource) = world.look() else {
            panic!("Azure is asked");
        };
        resource.unwritable = Some("it would lose values of secrets".to_owned());
        let decision = decide(&Subject::of(&world.object), &Observation::Seen(resource), world.now);
        assert_eq!(
            (&decision.step, decision.verdict.standing),
            (&None, standing),
            "{state}"
        );
    }
}

#[test]
fn a_resource_that_was_adopted_is_not_created_because_its_tag_says_so() {
    for without_status in [false, true] {
        let mut world = World::new(spec(), Start::Ours(Origin::Adopted), false, "Succeeded");
        world.settle();
        if without_status {
            world.object.status = None;
        }
        retagged(&mut world, mark(Origin::Adopted).replace("/adopted/", "/created/"));
        world.settle();
        assert_eq!(tag(&world), mark(Origin::Adopted));
        assert_eq!(
            world.object.status.as_ref().unwrap().azure.ownership,
            Some(Ownership::Adopted)
        );
        let mut world = world.deleted();
        world.settle();
        assert!(world.actual.is_some(), "what was adopted is kept");
    }
}
