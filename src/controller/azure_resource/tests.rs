//! The course against a small model of Azure: from any start it comes to rest, keeps every promise on the way, and at rest
//! plans nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::api::azure_resource::{AdoptionPolicy, AzureResourceSpec, DeletionPolicy, ManagementPolicy};
use crate::api::condition::Reason;
use crate::api::{ABANDON_ANNOTATION, FINALIZER, ResourceGroup, ResourceGroupSpec, ResourceGroupStatus};
use crate::azure::resource_group::SHAPE;
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, Origin, Owner, Presence};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Next, Outcome};

use super::course::{Release, Step, course};
use super::look::{Body, Held, Look, Occupants, Registration, Tagging, View};
use super::memory::{Answer, Memory, Written};
use super::status::{Summary, summarize};
use super::subject::Subject;

const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";

/// Whose a resource is before the first look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Absent,
    Unowned,
    Another,
    Ours(Origin),
}

/// Azure, the object, and what the process remembers.
#[derive(Debug, Clone)]
struct World {
    object: ResourceGroup,
    is_seen: bool,
    actual: Option<Value>,
    is_registered: bool,
    is_slow: bool,
    /// A property that Azure sets back, whatever is written.
    is_stubborn: bool,
    occupants: Occupants,
    is_credential_gone: bool,
    memory: Memory,
    now: Timestamp,
    log: Vec<&'static str>,
}

fn owner() -> Owner {
    Owner::new(&ClusterId::new("c1"), "ns", "rg", UID, Origin::Created)
}

fn resource(owner: Option<String>, value: &str, state: &str) -> Value {
    let mut tags = json!({"a": value, "kept": "yes"});
    if let Some(owner) = owner {
        tags["lifeguard-owner"] = owner.into();
    }
    json!({"location": "West Europe", "tags": tags, "properties": {"provisioningState": state}})
}

impl World {
    fn new(spec: AzureResourceSpec, start: Start, is_drifted: bool, state: &str) -> Self {
        let value = if is_drifted { "2" } else { "1" };
        let actual = match start {
            Start::Absent => None,
            Start::Unowned => Some(resource(None, value, state)),
            Start::Another => Some(resource(Some("c2/ns/rg/u/created".to_owned()), value, state)),
            Start::Ours(origin) => Some(resource(Some(owner().with_origin(origin).to_string()), value, state)),
        };
        let mut object = ResourceGroup::new("rg", ResourceGroupSpec { azure: spec });
        object.metadata.uid = Some(UID.to_owned());
        object.metadata.generation = Some(1);
        Self {
            object,
            is_seen: true,
            actual,
            is_registered: true,
            is_slow: false,
            is_stubborn: false,
            occupants: Occupants::None,
            is_credential_gone: false,
            memory: Memory::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            log: Vec::new(),
        }
    }

    fn deleted(mut self) -> Self {
        self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
        self
    }

    fn has_finalizer(&self) -> bool {
        self.object.metadata.finalizers.is_some()
    }

    fn presence(&self) -> Presence {
        Presence::of(self.actual.as_ref(), &owner())
    }

    fn look(&mut self) -> Look {
        if self.is_credential_gone || !self.is_seen {
            return Look::Held(Held {
                verdict: Verdict::stalled(Reason::CredentialGone, "no token"),
                next: Next::Resync(Duration::from_secs(30)),
                is_credential_gone: self.is_credential_gone,
            });
        }
        let mut view = View {
            arm: None,
            id: "/subscriptions/s/resourceGroups/rg".parse().unwrap(),
            api_version: "v",
            shape: &SHAPE,
            immutable: &["location"],
            tagging: Tagging::Put,
            owner: owner(),
            desired: Body(json!({"location": "westeurope", "tags": {"a": "1"}})),
            defaults: json!({}),
            actual: None,
            pause: None,
            secrets_digest: None,
            given_secrets_digest: None,
            unwritable: None,
            registration: if self.is_registered {
                Registration::NotNeeded
            } else {
                Registration::Missing("Microsoft.App".to_owned())
            },
            occupants: self.occupants.clone(),
            account_is_held: self.has_finalizer(),
            memory: self.memory.clone(),
            key: OperatorKey::new([1; 32]),
        };
        view.take_note(self.actual.clone());
        self.memory = view.memory.clone();
        Look::Seen(Box::new(view))
    }

    /// One pass: decides, writes the status, does the step, and lets time go by. `false` at rest.
    fn pass(&mut self) -> bool {
        let look = self.look();
        let course = course(&Subject::of(&self.object), &look, self.now);
        self.write_status(&look, course.next);
        let is_under_way = course.verdict.standing == Standing::Progressing;
        match course.step {
            Some(step) => self.do_step(step),
            None => {
                let wait = match course.next {
                    Next::Poll { after } => after.unwrap_or(Duration::from_secs(5)),
                    Next::At(when) => Duration::try_from(when.duration_since(self.now)).unwrap_or_default(),
                    Next::Resync(_) | Next::AwaitChange | Next::Again if !is_under_way => return false,
                    Next::Resync(after) => after,
                    Next::AwaitChange | Next::Again => return false,
                };
                self.now += SignedDuration::try_from(wait).unwrap() + SignedDuration::from_millis(1);
                self.azure_goes_on();
            }
        }
        true
    }

    fn write_status(&mut self, look: &Look, next: Next) {
        let once = summary(&self.object, look, next, self.now);
        if let Some(once) = once {
            self.object.status = Some(once);
            let again = summary(&self.object, look, next, self.now + SignedDuration::from_millis(900));
            assert_eq!(again, self.object.status, "a status that is computed again changes");
        }
    }

    fn do_step(&mut self, step: Step) {
        let written = |memory: &mut Memory, purpose, fingerprint| {
            memory.write = Some(Written {
                at: self.now,
                purpose,
                fingerprint,
                answer: Answer::Accepted,
            });
        };
        match step {
            Step::AddFinalizer => {
                self.log.push("finalizer");
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }
            Step::Register(_) => {
                self.log.push("register");
                self.is_registered = true;
            }
            Step::Write(write) => {
                self.log.push("put");
                written(&mut self.memory, write.purpose, write.fingerprint);
                let mut body = write.body.0;
                if self.is_stubborn {
                    body["tags"]["a"] = "azure's own".into();
                }
                let state = if self.is_slow { "InProgress" } else { "Succeeded" };
                body["properties"] = json!({"provisioningState": state});
                self.actual = Some(body);
            }
            Step::Tag {
                owner,
                body,
                fingerprint,
            } => {
                self.log.push("tag");
                if owner.is_none() {
                    self.memory.disowned += 1;
                } else {
                    written(&mut self.memory, super::memory::Purpose::Adopt, fingerprint);
                }
                let mut body = body.0;
                body["properties"] = json!({"provisioningState": "Succeeded"});
                self.actual = Some(body);
            }
            Step::Delete => {
                self.log.push("delete");
                self.memory.deletion = Some(self.now);
                match &mut self.actual {
                    Some(actual) if self.is_slow => actual["properties"]["provisioningState"] = "Deleting".into(),
                    _ => self.actual = None,
                }
            }
            Step::Release(release) => {
                self.log.push("release");
                if release == Release::Gone {
                    assert!(self.actual.is_none(), "released as gone while it is there");
                }
                self.object.metadata.finalizers = None;
            }
        }
    }

    fn azure_goes_on(&mut self) {
        let state = self
            .actual
            .as_ref()
            .and_then(|it| it["properties"]["provisioningState"].as_str());
        match state {
            Some("InProgress") => {
                if let Some(actual) = &mut self.actual {
                    actual["properties"]["provisioningState"] = "Succeeded".into();
                }
            }
            Some("Deleting") => self.actual = None,
            _ => {}
        }
    }

    /// Passes until nothing is left to do; how many it took.
    fn settle(&mut self) -> usize {
        for passes in 0..60 {
            if !self.pass() {
                return passes;
            }
            let is_over = self.object.metadata.deletion_timestamp.is_some() && !self.has_finalizer();
            let waits = self.object.metadata.deletion_timestamp.is_none()
                && passes > 40
                && self.reason() == Some(Reason::NotFound.as_str().to_owned());
            if is_over || waits {
                return passes;
            }
        }
        panic!("no rest: {:?}", self.log);
    }

    fn reason(&self) -> Option<String> {
        let conditions = &self.object.status.as_ref()?.conditions;
        conditions
            .iter()
            .find(|it| it.type_ == "Ready")
            .map(|it| it.reason.clone())
    }

    fn writes(&self) -> usize {
        self.log
            .iter()
            .filter(|it| matches!(**it, "put" | "tag" | "delete" | "register"))
            .count()
    }
}

fn summary(object: &ResourceGroup, look: &Look, next: Next, now: Timestamp) -> Option<ResourceGroupStatus> {
    let summary = summarize(object, Some(look), Outcome::Done(next), now, |verdict, _| verdict)?;
    let Summary {
        observed_generation,
        conditions,
        id,
        provisioning_state,
        drift,
    } = summary;
    Some(ResourceGroupStatus {
        observed_generation,
        conditions,
        id,
        provisioning_state,
        drift,
    })
}

fn spec() -> AzureResourceSpec {
    AzureResourceSpec::default()
}

fn adopting() -> AzureResourceSpec {
    AzureResourceSpec {
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
    assert_eq!(world.object.status.as_ref().unwrap().drift[0].path, "tags.a");
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

#[test]
fn a_refused_write_is_not_sent_again_until_it_is_another() {
    let mut world = World::new(spec(), Start::Absent, false, "Succeeded");
    world.pass();
    let look = world.look();
    let Some(Step::Write(write)) = course(&Subject::of(&world.object), &look, world.now).step else {
        panic!("a write was expected");
    };
    let answer = Answer::Refused {
        message: "InvalidParameter: no".to_owned(),
    };
    world.memory.write = Some(Written {
        at: world.now,
        purpose: write.purpose,
        fingerprint: write.fingerprint,
        answer,
    });
    world.settle();
    assert_eq!((world.reason().as_deref(), world.writes()), (Some("Rejected"), 0));
    world.object.spec.azure.tags.insert("new".to_owned(), "x".to_owned());
    let Look::Seen(mut view) = world.look() else {
        panic!("seen")
    };
    view.desired = Body(json!({"location": "westeurope", "tags": {"a": "1", "new": "x"}}));
    let next = course(&Subject::of(&world.object), &Look::Seen(view), world.now);
    assert!(matches!(next.step, Some(Step::Write(_))));
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
    world.object.spec.azure.deletion_policy = Some(DeletionPolicy::Retain);
    world.pass();
    assert_eq!(world.log, ["release"]);
}

fn specs() -> impl Strategy<Value = AzureResourceSpec> {
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
        AzureResourceSpec {
            management_policy: management,
            adoption_policy: adoption,
            deletion_policy: deletion,
            suspend,
            ..AzureResourceSpec::default()
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
    (specs(), start, any::<bool>(), state, any::<[bool; 4]>()).prop_map(|(spec, start, is_drifted, state, bits)| {
        let [is_deleted, is_slow, is_registered, is_stubborn] = bits;
        let mut world = World::new(spec, start, is_drifted, state);
        (world.is_slow, world.is_registered, world.is_stubborn) = (is_slow, is_registered, is_stubborn);
        if is_deleted { world.deleted() } else { world }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_start_comes_to_rest_and_stays_there(mut world in worlds()) {
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
    fn nothing_is_written_that_a_policy_forbids(world in worlds()) {
        let mut after = world.clone();
        after.settle();
        let spec = &world.object.spec.azure;
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
    fn nothing_is_written_before_the_finalizer_is_there(mut world in worlds()) {
        world.settle();
        if let Some(first) = world.log.iter().position(|it| matches!(*it, "put" | "tag" | "delete" | "register")) {
            let was_there = world.object.metadata.deletion_timestamp.is_some();
            prop_assert!(was_there || world.log[..first].contains(&"finalizer"), "{:?}", world.log);
        }
    }

    #[test]
    fn what_may_be_enforced_is_as_specified_in_the_end(mut world in worlds()) {
        let start = world.presence();
        let spec = world.object.spec.azure.clone();
        world.is_stubborn = false;
        world.settle();
        let may = !spec.suspend
            && spec.management_policy == ManagementPolicy::Enforce
            && world.object.metadata.deletion_timestamp.is_none()
            && match start {
                Presence::Owned(_) => true,
                Presence::Absent => spec.adoption_policy != AdoptionPolicy::MustExist,
                Presence::Unowned => spec.adoption_policy != AdoptionPolicy::Never,
                Presence::OwnedByAnother => false,
            };
        if may && let Some(actual) = &world.actual {
            prop_assert_eq!(&actual["tags"]["a"], "1");
            prop_assert!(matches!(world.presence(), Presence::Owned(_)));
            if start != Presence::Absent && !world.log.is_empty() && world.memory.write.as_ref().is_some_and(|it| it.purpose != super::memory::Purpose::Create) {
                prop_assert_eq!(&actual["tags"]["kept"], "yes");
            }
        }
    }

    #[test]
    fn a_deleted_object_ends_with_its_resource_deleted_or_disowned(world in worlds()) {
        let mut after = world.clone();
        if world.object.metadata.deletion_timestamp.is_none() { return Ok(()); }
        after.settle();
        prop_assert!(!after.has_finalizer(), "{:?}", after.log);
        let spec = &world.object.spec.azure;
        let acts = !spec.suspend && spec.management_policy != ManagementPolicy::ObserveOnly;
        if acts {
            prop_assert!(!matches!(after.presence(), Presence::Owned(_)), "{:?} {:?}", after.log, after.actual);
        }
    }
}
