//! The courses that have a name.

use serde_json::json;

use crate::api::RECONCILE_ANNOTATION;
use crate::api::condition::Reason;
use crate::controller::azure_resource::tests::answers::refusal;
use crate::controller::azure_resource::{History, Observation, Subject};
use crate::controller::identity_assignment::decision::{AssignmentStep, decide};
use crate::controller::identity_assignment::target::TargetKind;
use crate::runtime::{Effect, Next};

use super::model::{Assignment, Reference, World, id};

fn settled(kind: TargetKind, foreign: &[&str], system: bool, identities: &[&str]) -> (World, Assignment) {
    let mut world = World::new(kind, false, foreign);
    let mut assignment = Assignment::new(kind, "one", system, identities);
    assignment.settle(&mut world);
    (world, assignment)
}

fn reason(assignment: &Assignment) -> String {
    assignment.reason().unwrap_or_default()
}

#[test]
fn identities_and_record_are_written_in_one_request_that_names_nothing_else() {
    let mut world = World::new(TargetKind::App, false, &["d"]);
    let mut assignment = Assignment::new(TargetKind::App, "one", true, &["a", "d"]);
    assignment.pass(&mut world, false);
    let observation = assignment.look(&world);
    let Some(AssignmentStep::Write(write)) = decide(&Subject::of(&assignment.object), &observation, world.now).step
    else {
        panic!("a write")
    };
    let body = &write.body.0;
    assert_eq!(
        body["identity"],
        json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {id("a"): {}}})
    );
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(body["tags"].as_object().unwrap().len(), 2, "{body}");
}

#[test]
fn an_answer_that_decides_nothing_is_not_remembered() {
    let mut world = World::new(TargetKind::App, false, &[]);
    let mut assignment = Assignment::new(TargetKind::App, "one", false, &["a"]);
    assignment.pass(&mut world, false);
    for (status, code) in [(503, "ServiceUnavailable"), (404, "ResourceNotFound")] {
        let observation = assignment.look(&world);
        let decision = decide(&Subject::of(&assignment.object), &observation, world.now);
        let (Some(AssignmentStep::Write(write)), Observation::Seen(mut target)) = (decision.step, observation) else {
            panic!("a write")
        };
        let effect = target.on_write(write, Err(refusal(status, code)), world.now);
        assert!(matches!(effect, Err(_) | Ok(Effect::Reobserve)), "{effect:?}");
        assert_eq!(target.history, History::default());
    }
}

#[test]
fn what_is_attached_already_is_used_without_a_write_and_stays() {
    let (mut world, mut assignment) = settled(TargetKind::App, &["a"], false, &["a"]);
    assert_eq!((assignment.writes(), assignment.is_ready()), (0, true));
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert_eq!((assignment.writes(), world.attached()), (0, vec!["a".to_owned()]));
}

#[test]
fn what_others_take_away_is_attached_again() {
    let (mut world, mut assignment) = settled(TargetKind::App, &["d"], true, &["a"]);
    world.meddle(|block| {
        block.detach(&id("a"));
        block.detach_system();
    });
    assignment.settle(&mut world);
    assert_eq!(world.attached(), ["system", "a", "d"]);
    assert!(assignment.is_ready());
}

#[test]
fn the_same_drift_is_put_right_again_and_again() {
    let (mut world, mut assignment) = settled(TargetKind::Group, &[], false, &["a"]);
    for _ in 0..3 {
        world.meddle(|block| block.detach(&id("a")));
        assignment.settle(&mut world);
        assert_eq!(world.attached(), ["a"]);
    }
    assert_eq!(assignment.writes(), 4);
}

#[test]
fn an_identity_that_the_spec_no_longer_has_is_detached_and_no_other() {
    let (mut world, mut assignment) = settled(TargetKind::App, &["d"], false, &["a", "b"]);
    assignment.references.remove("b");
    assignment.settle(&mut world);
    assert_eq!(world.attached(), ["a", "d"]);
}

#[test]
fn the_last_identity_assignment_that_recorded_an_identity_detaches_it() {
    let mut world = World::new(TargetKind::App, false, &[]);
    let mut one = Assignment::new(TargetKind::App, "one", false, &["a"]);
    let mut two = Assignment::new(TargetKind::App, "two", false, &["a"]);
    one.settle(&mut world);
    two.settle(&mut world);
    assert_eq!(world.tag_names().len(), 3, "both record it");
    one.delete(world.now);
    one.settle(&mut world);
    assert_eq!(world.attached(), ["a"]);
    two.delete(world.now);
    two.settle(&mut world);
    assert_eq!((world.attached(), world.tag_names()), (vec![], vec!["team".to_owned()]));
}

#[test]
fn an_identity_assignment_that_was_restored_without_its_status_still_knows_what_it_attached() {
    let (mut world, assignment) = settled(TargetKind::App, &["d"], true, &["a"]);
    let mut restored = Assignment::new(TargetKind::App, "one", true, &["a"]);
    restored.settle(&mut world);
    assert_eq!(restored.writes(), 0);
    restored.object.metadata.finalizers = assignment.object.metadata.finalizers;
    restored.delete(world.now);
    restored.settle(&mut world);
    assert_eq!(world.attached(), ["d"]);
}

#[test]
fn a_target_that_is_not_there_is_waited_for() {
    let mut world = World::new(TargetKind::App, false, &[]);
    let (target, mut assignment) = (
        world.target.take(),
        Assignment::new(TargetKind::App, "one", false, &["a"]),
    );
    assignment.settle(&mut world);
    assert_eq!(
        (reason(&assignment).as_str(), assignment.has_finalizer()),
        ("NotFound", false)
    );
    world.target = target;
    assignment.settle(&mut world);
    assert!(assignment.is_ready());
}

#[test]
fn a_target_that_was_deleted_clears_the_status_and_lets_a_deletion_through() {
    let (mut world, mut assignment) = settled(TargetKind::App, &[], true, &["a"]);
    assert!(assignment.object.status.as_ref().unwrap().principal_id.is_some());
    world.target = None;
    assignment.settle(&mut world);
    let status = assignment.object.status.clone().unwrap();
    assert_eq!((status.azure.id, status.principal_id), (None, None));
    assert!(status.user_assigned_identities.is_empty());
    assert_eq!(reason(&assignment), "NotFound");
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert_eq!(assignment.log.last(), Some(&"gone"));
}

#[test]
fn nothing_is_attached_before_every_reference_may_be_used() {
    for (reference, expected) in [
        (Reference::Unknown, "ReferenceNotReady"),
        (Reference::Missing, "ReferenceNotFound"),
        (Reference::Going, "ReferenceNotReady"),
    ] {
        let mut world = World::new(TargetKind::App, false, &[]);
        let mut assignment = Assignment::new(TargetKind::App, "one", true, &["a", "b"]);
        assignment.references.insert("b".to_owned(), reference);
        assignment.settle(&mut world);
        assert_eq!((reason(&assignment).as_str(), assignment.writes()), (expected, 0));
    }
}

#[test]
fn a_missing_reference_of_an_identity_assignment_that_was_restored_takes_nothing_away() {
    let (mut world, _) = settled(TargetKind::Group, &[], false, &["a"]);
    let mut restored = Assignment::new(TargetKind::Group, "one", false, &["a"]);
    restored.references.insert("a".to_owned(), Reference::Missing);
    restored.settle(&mut world);
    assert_eq!(world.attached(), ["a"]);
}

#[test]
fn a_group_whose_values_azure_does_not_return_is_never_written() {
    let mut world = World::new(TargetKind::Group, false, &["d"]);
    world.target.as_mut().unwrap()["properties"]["containers"] =
        json!([{"name": "main", "properties": {"environmentVariables": [{"name": "TOKEN"}]}}]);
    let before = world.target.clone();
    let mut assignment = Assignment::new(TargetKind::Group, "one", false, &["a"]);
    assignment.settle(&mut world);
    assert_eq!(
        (reason(&assignment).as_str(), assignment.writes()),
        ("UnsupportedTarget", 0)
    );
    let message = &assignment.object.status.as_ref().unwrap().azure.conditions[0].message;
    assert!(message.contains("TOKEN"), "{message}");
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert_eq!((world.target, assignment.is_gone()), (before, true));
}

#[test]
fn the_record_of_a_group_goes_without_a_restart_where_its_identities_stay() {
    let (mut world, mut assignment) = settled(TargetKind::Group, &[], false, &["a"]);
    assert_eq!(assignment.log, ["finalizer", "put"]);
    assignment.object.spec.management.deletion_policy = Some(crate::api::azure_resource::DeletionPolicy::Retain);
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert_eq!(assignment.log[2..], ["patch", "gone"]);
    assert_eq!(
        (world.attached(), world.tag_names()),
        (vec!["a".to_owned()], vec!["team".to_owned()])
    );
}

#[test]
fn a_pool_that_an_object_manages_is_refused() {
    let mut world = World::new(TargetKind::Pool, false, &[]);
    let mut assignment = Assignment::new(TargetKind::Pool, "one", true, &[]);
    assignment.managed_elsewhere = Some("it is managed by SessionPool shell".to_owned());
    assignment.settle(&mut world);
    assert_eq!(
        (reason(&assignment).as_str(), assignment.writes()),
        ("UseSpecIdentity", 0)
    );
    assert_eq!(assignment.status_id(), None);
}

#[test]
fn roles_of_a_system_assigned_identity_go_before_it() {
    let (mut world, mut assignment) = settled(TargetKind::App, &[], true, &[]);
    assignment.delete(world.now);
    assignment.role_assignments = vec!["run".to_owned()];
    assignment.settle(&mut world);
    assert_eq!(world.attached(), ["system"]);
    assignment.role_assignments.clear();
    assignment.settle(&mut world);
    assert!(world.attached().is_empty() && assignment.is_gone());
}

#[test]
fn what_azure_refuses_is_told_and_sent_again_ever_more_slowly() {
    let mut world = World::new(TargetKind::App, false, &[]);
    world.refuses = true;
    let mut assignment = Assignment::new(TargetKind::App, "one", false, &["a"]);
    // Until the pause is longer than the interval: after 1, 2, 4 and 8 minutes.
    assignment.settle(&mut world);
    assert_eq!((reason(&assignment).as_str(), assignment.writes()), ("Rejected", 5));
}

#[test]
fn what_azure_refused_is_sent_again_at_once_when_somebody_asks() {
    let mut world = World::new(TargetKind::App, false, &[]);
    world.refuses = true;
    let mut assignment = Assignment::new(TargetKind::App, "one", false, &["a"]);
    assignment.settle(&mut world);
    world.refuses = false;
    let before = assignment.writes();
    assert_eq!(reason(&assignment).as_str(), "Rejected");
    let request = (RECONCILE_ANNOTATION.to_owned(), "now".to_owned());
    assignment.object.metadata.annotations = Some([request].into());
    assignment.settle(&mut world);
    assert_eq!((assignment.is_ready(), assignment.writes()), (true, before + 1));
    let status = assignment.object.status.as_ref().unwrap();
    assert_eq!(status.azure.last_handled_reconcile_at.as_deref(), Some("now"));
}

#[test]
fn what_azure_accepts_and_does_not_do_is_not_sent_for_ever() {
    let mut world = World::new(TargetKind::App, false, &[]);
    world.is_stubborn = true;
    let mut assignment = Assignment::new(TargetKind::App, "one", false, &["a"]);
    assignment.settle(&mut world);
    assert_eq!((reason(&assignment).as_str(), assignment.writes()), ("Drifted", 1));
    let drift = &assignment.object.status.as_ref().unwrap().azure.drift;
    assert_eq!(drift[0].path, format!("identity.userAssignedIdentities[{}]", id("a")));
}

#[test]
fn an_object_whose_token_is_gone_waits_until_somebody_decides() {
    let (mut world, mut assignment) = settled(TargetKind::App, &[], false, &["a"]);
    assignment.is_credential_gone = true;
    assignment.delete(world.now);
    assignment.settle(&mut world);
    assert_eq!(
        (reason(&assignment).as_str(), assignment.is_gone()),
        ("CredentialGone", false)
    );
    let uid = assignment.object.metadata.uid.clone().unwrap();
    let annotations = [("lifeguard.dev/abandon".to_owned(), uid)];
    assignment.object.metadata.annotations = Some(annotations.into());
    assignment.settle(&mut world);
    assert_eq!(
        (assignment.log.last(), world.attached()),
        (Some(&"left"), vec!["a".to_owned()])
    );
}

#[test]
fn a_process_that_forgot_everything_at_rest_writes_nothing() {
    for kind in [TargetKind::App, TargetKind::Group, TargetKind::Pool] {
        let (mut world, mut assignment) = settled(kind, &["d"], true, &["a"]);
        assignment.history = History::default();
        let observation = assignment.look(&world);
        let decision = decide(&Subject::of(&assignment.object), &observation, world.now);
        assert!(matches!((decision.step, decision.next), (None, Next::Resync(_))));
        assert_eq!(decision.verdict.reason, Reason::Available);
        assert!(!assignment.pass(&mut world, false));
    }
}
