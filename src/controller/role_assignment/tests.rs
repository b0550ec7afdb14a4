//! The course of an assignment in a model of Azure, and its bodies against the official schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::observe::{Aim, Claim, Observed, held_id, name_principal_type, orphan, recorded_tuple, replaced, same};
use super::plan::{Step, decide};
use super::reference::Wanted;
use super::status;
use crate::api::FINALIZER;
use crate::api::RoleAssignment;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::{Reason, kind};
use crate::api::role_assignment::PrincipalType;
use crate::azure::role_assignment::{IMMUTABLE, SHAPE, Tuple};
use crate::azure::role_definition::AUTHORIZATION_API_VERSION;
use crate::azure::{ResourceId, RoleId};
use crate::controller::azure_resource::{self, Body, Held, Look, Memory, Occupants, Registration, Tagging, View};
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, DESCRIPTION_PREFIX, Origin, Owner, OwnerMark, Presence};
use crate::controller::readiness::Verdict;
use crate::runtime::conditions::find;
use crate::runtime::{Next, Outcome, Seen};

const POOL: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/sessionPools/p";

fn tuple(principal: u8) -> Tuple {
    Tuple {
        scope: POOL.parse().unwrap(),
        role: RoleId::SESSION_EXECUTOR,
        principal: format!("0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6{principal:02}")
            .parse()
            .unwrap(),
    }
}

fn owner(cluster: &str, name: &str) -> Owner {
    Owner::new(&ClusterId::new(cluster), "ns", name, "uid", Origin::Created)
}

/// An assignment as Azure answers it.
fn stored(id: &ResourceId, tuple: &Tuple, description: Option<&str>) -> Value {
    json!({
        "id": id.as_str(), "name": id.name(), "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": tuple.role.definition_id("s"), "principalId": tuple.principal.to_string(),
            "principalType": "ServicePrincipal", "scope": tuple.scope.as_str(), "condition": null,
            "conditionVersion": null, "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z",
            "createdBy": null, "updatedBy": "x", "delegatedManagedIdentityResourceId": null, "description": description,
        },
    })
}

fn object(management: &Value) -> RoleAssignment {
    let mut spec = json!({
        "principal": {"managedIdentityRef": {"name": "i"}}, "role": "Azure ContainerApps Session Executor",
        "scope": {"sessionPoolRef": {"name": "p"}},
    });
    spec.as_object_mut()
        .unwrap()
        .extend(management.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "RoleAssignment",
        "metadata": {"name": "mine", "namespace": "ns", "uid": "uid", "generation": 1}, "spec": spec,
    }))
    .unwrap()
}

/// Azure, the object, what it refers to, and what the process remembers.
struct World {
    object: RoleAssignment,
    azure: Vec<Value>,
    /// What the references say; `None` while one of them is gone.
    wanted: Option<Tuple>,
    memory: Memory,
    now: Timestamp,
    /// Every write to Azure.
    log: Vec<String>,
}

impl World {
    fn new(management: &Value) -> Self {
        Self {
            object: object(management),
            azure: Vec::new(),
            wanted: Some(tuple(1)),
            memory: Memory::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            log: Vec::new(),
        }
    }

    fn with(mut self, id: &ResourceId, tuple: &Tuple, description: Option<&str>) -> Self {
        self.azure.push(stored(id, tuple, description));
        self
    }

    fn view(&self, id: ResourceId) -> View {
        let mut view = View {
            arm: None,
            id: id.clone(),
            api_version: AUTHORIZATION_API_VERSION,
            shape: &SHAPE,
            immutable: IMMUTABLE,
            tagging: Tagging::Put,
            mark: OwnerMark::Description,
            owner: owner("c1", "mine"),
            desired: Body(json!({})),
            defaults: json!({"properties": {"principalType": "ServicePrincipal"}}),
            actual: None,
            pause: None,
            secrets_digest: None,
            given_secrets_digest: None,
            unwritable: None,
            registration: Registration::NotNeeded,
            occupants: Occupants::None,
            account_is_held: self.object.metadata.finalizers.is_some(),
            memory: self.memory.clone(),
            key: OperatorKey::new([1; 32]),
        };
        view.take_note(self.azure.iter().find(|it| it["id"] == id.as_str()).cloned());
        view
    }

    /// The same decisions as those of the observation, over the model.
    fn look(&self) -> Observed {
        let seen = |view| Look::Seen(Box::new(view));
        let held = held_id(&self.object);
        let waiting = Held {
            verdict: Verdict::progressing(Reason::ReferenceNotReady, "the identity is being deleted"),
            next: Next::Resync(Duration::from_mins(1)),
            is_credential_gone: false,
        };
        if self.object.metadata.deletion_timestamp.is_some() {
            return match held {
                Some(id) => Observed {
                    look: seen(self.view(id)),
                    aim: Aim::End,
                },
                None => Observed {
                    look: Look::Held(waiting),
                    aim: Aim::Nothing,
                },
            };
        }
        let Some(wanted) = self.wanted.clone() else {
            return match held {
                Some(id) => Observed {
                    look: seen(self.view(id)),
                    aim: Aim::TakeBack(waiting),
                },
                None => Observed {
                    look: Look::Held(waiting),
                    aim: Aim::Have(None),
                },
            };
        };
        let recorded = self.object.status.as_ref().and_then(recorded_tuple);
        if let Some(id) = &held
            && recorded.as_ref() != Some(&wanted)
        {
            let aim = Aim::TakeBack(replaced(&wanted, recorded.as_ref()));
            return Observed {
                look: seen(self.view(id.clone())),
                aim,
            };
        }
        let own = wanted.id().unwrap();
        let mut view = self.view(held.unwrap_or_else(|| own.clone()));
        view.desired = Body(wanted.body());
        if view.actual.is_none() {
            view.id = own;
            if let Some((id, other)) = self.azure.iter().find_map(|it| same(it, &wanted)) {
                view.id = id;
                view.take_note(Some(other.clone()));
            } else if let Some(id) = self.azure.iter().find_map(|it| orphan(it, &view.owner, &self.object)) {
                let aim = Aim::TakeBack(replaced(&wanted, None));
                return Observed {
                    look: seen(self.view(id)),
                    aim,
                };
            }
        }
        let claim = Claim {
            id: view.id.clone(),
            tuple: wanted,
        };
        Observed {
            look: seen(view),
            aim: Aim::Have(Some(Box::new(claim))),
        }
    }

    /// One pass: decides, does the step, writes the status unless the process dies before, and lets time go by. `false`
    /// at rest.
    fn pass(&mut self, dies: bool) -> bool {
        let observed = self.look();
        let decided = decide(&self.object, &observed, self.now);
        if let Some(step) = decided.step {
            self.do_step(step, observed);
            if dies {
                self.memory = Memory::default();
            }
            return true;
        }
        let is_changed = self.write_status(&observed, decided.next);
        match decided.next {
            Next::Poll { after } => {
                self.now += SignedDuration::try_from(after.unwrap_or(Duration::from_secs(5))).unwrap();
            }
            Next::At(when) => self.now = when,
            Next::Resync(_) | Next::AwaitChange | Next::Again => return is_changed,
        }
        true
    }

    fn write_status(&mut self, observed: &Observed, next: Next) -> bool {
        let seen = |observed| Seen {
            observed: Some(observed),
            outcome: Outcome::Done(next),
        };
        let Some(status) = status::summarize(&self.object, &seen(observed), self.now) else {
            return false;
        };
        let is_changed = self.object.status.as_ref() != Some(&status);
        self.object.status = Some(status);
        let again = status::summarize(&self.object, &seen(&self.look()), self.now);
        assert_eq!(again, self.object.status, "a status that is computed again changes");
        is_changed
    }

    fn do_step(&mut self, step: Step, observed: Observed) {
        let view = match observed.look {
            Look::Seen(view) => Some(view),
            Look::Held(_) => None,
        };
        match step {
            Step::Record { claim, verdict } => {
                self.object.status = Some(status::recorded(&self.object, &claim, &verdict, self.now));
            }
            Step::Forget { verdict } => {
                self.object.status = Some(status::forgotten(&self.object, &verdict, self.now));
                self.memory = Memory::default();
            }
            Step::Azure(azure_resource::Step::AddFinalizer) => {
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }
            Step::Azure(azure_resource::Step::Release(_)) => self.object.metadata.finalizers = None,
            Step::Azure(azure_resource::Step::Write(write)) => {
                self.put(&view.expect("a look at what is written").id, &write.body.0);
            }
            Step::Azure(azure_resource::Step::Tag { body, .. }) => {
                self.put(&view.expect("a look at what is written").id, &body.0);
            }
            Step::Azure(azure_resource::Step::Delete) => {
                let id = view.expect("a look at what is deleted").id;
                let mark = self.azure.iter().find(|it| it["id"] == id.as_str());
                let presence = Presence::of(mark, &owner("c1", "mine"), OwnerMark::Description);
                assert!(
                    matches!(presence, Presence::Owned(_) | Presence::Absent),
                    "another's assignment was deleted: {presence:?}"
                );
                self.log.push(format!("DELETE {}", id.name()));
                self.azure.retain(|it| it["id"] != id.as_str());
            }
            Step::Azure(azure_resource::Step::Register(_)) => panic!("nothing is to be registered"),
        }
    }

    fn put(&mut self, id: &ResourceId, body: &Value) {
        let held = held_id(&self.object);
        assert_eq!(held.as_ref(), Some(id), "written before the status named it");
        assert!(
            self.object.metadata.finalizers.is_some(),
            "written before the finalizer was set"
        );
        let properties = &body["properties"];
        assert!(properties["principalType"].is_string(), "{body}");
        let tuple = Tuple {
            scope: crate::azure::role_assignment::scope_of(id).unwrap(),
            role: RoleId::of_definition(properties["roleDefinitionId"].as_str().unwrap()).unwrap(),
            principal: properties["principalId"].as_str().unwrap().parse().unwrap(),
        };
        let clash = self
            .azure
            .iter()
            .find(|it| it["id"] != id.as_str() && Tuple::of(it).as_ref() == Some(&tuple));
        assert_eq!(clash, None, "RoleAssignmentExists");
        self.log.push(format!("PUT {}", id.name()));
        self.azure.retain(|it| it["id"] != id.as_str());
        self.azure.push(stored(id, &tuple, properties["description"].as_str()));
    }

    fn settle(&mut self) {
        for _ in 0..60 {
            if !self.pass(false) {
                return;
            }
        }
        panic!("no rest: {:?} {:#?}", self.log, self.object.status);
    }

    fn delete(&mut self) {
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
    }

    fn ours(&self) -> Vec<Tuple> {
        let is_ours = |it: &&Value| {
            let presence = Presence::of(Some(it), &owner("c1", "mine"), OwnerMark::Description);
            matches!(presence, Presence::Owned(_))
        };
        self.azure.iter().filter(is_ours).filter_map(Tuple::of).collect()
    }

    fn reason(&self) -> String {
        let conditions = &self.object.status.as_ref().unwrap().conditions;
        find(conditions, kind::READY).unwrap().reason.clone()
    }
}

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
    assert_eq!((status.id, status.principal_id, status.scope), (None, None, None));
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
        adopted.object.status.clone().unwrap().id.as_deref(),
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

/// What happens around an object.
#[derive(Debug, Clone, Copy)]
enum Event {
    Pass,
    Death,
    Principal(u8),
    ReferenceGoes,
    DeletedByHand,
    StatusLost,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => Just(Event::Pass),
        3 => Just(Event::Death),
        2 => (1_u8..4).prop_map(Event::Principal),
        1 => Just(Event::ReferenceGoes),
        1 => Just(Event::DeletedByHand),
        1 => Just(Event::StatusLost),
    ];
    proptest::collection::vec(event, 0..40)
}

proptest! {
    /// Whatever happens and wherever the process dies, in the end there is the one assignment that is wanted, and after
    /// the deletion none: nothing that was made is left behind.
    #[test]
    fn nothing_that_was_made_is_left_behind(events in events()) {
        let mut world = World::new(&json!({}));
        for event in events {
            match event {
                Event::Pass => { world.pass(false); }
                Event::Death => { world.pass(true); }
                Event::Principal(number) => world.wanted = Some(tuple(number)),
                Event::ReferenceGoes => world.wanted = None,
                Event::DeletedByHand => { world.azure.pop(); }
                Event::StatusLost => world.object.status = None,
            }
        }
        world.wanted = Some(tuple(9));
        world.settle();
        prop_assert_eq!(world.ours(), [tuple(9)]);
        let writes = world.log.len();
        world.now += SignedDuration::from_hours(2);
        world.settle();
        prop_assert_eq!(world.log.len(), writes);
        world.delete();
        world.settle();
        prop_assert_eq!(world.azure, Vec::<Value>::new());
        prop_assert_eq!(world.object.metadata.finalizers, None);
    }
}

#[test]
fn a_principal_type_that_azure_does_not_tell_is_sent_and_is_no_drift() {
    let id = tuple(1).id().unwrap();
    let mut view = World::new(&json!({})).view(id.clone());
    let mut actual = stored(&id, &tuple(1), None);
    actual["properties"]["principalType"] = Value::Null;
    view.desired = Body(tuple(1).body());
    view.take_note(Some(actual));
    let wanted = Wanted {
        tuple: tuple(1),
        principal_type: PrincipalType::Group,
    };
    name_principal_type(&mut view, &wanted);
    assert_eq!(view.differences(), []);
    assert_eq!(view.body(Origin::Created).0["properties"]["principalType"], "Group");
}

#[test]
fn a_role_under_another_scope_is_no_difference_and_another_role_is() {
    let id = tuple(1).id().unwrap();
    let mut view = World::new(&json!({})).view(id.clone());
    view.desired = Body(tuple(1).body());
    let mut actual = stored(&id, &tuple(1), None);
    actual["properties"]["roleDefinitionId"] = format!(
        "/providers/Microsoft.Authorization/roleDefinitions/{}",
        RoleId::SESSION_EXECUTOR
    )
    .into();
    view.take_note(Some(actual.clone()));
    assert_eq!(view.differences(), []);
    actual["properties"]["roleDefinitionId"] = RoleId::ACR_PULL.definition_id("s").into();
    view.take_note(Some(actual));
    assert_eq!(view.differences().len(), 1);
}

/// The folder of the schemas, which `AZURE_SCHEMAS` names; `None` where it is not.
fn schemas() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/azure-schemas");
    let folder = std::env::var_os("AZURE_SCHEMAS").map_or(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "left out: there is no folder of Azure's schemas at {}",
            folder.display()
        );
    }
    None
}

fn errors(folder: &Path, id: &ResourceId, body: &Value) -> Vec<String> {
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let document = read(
        folder
            .join(AUTHORIZATION_API_VERSION)
            .join("Microsoft.Authorization.json"),
    );
    let mut schema = document["extension_resourceDefinitions"]["roleAssignments"].clone();
    if schema.is_null() {
        schema = document["resourceDefinitions"]["roleAssignments"].clone();
    }
    schema["$schema"] = "http://json-schema.org/draft-04/schema#".into();
    schema["definitions"] = document["definitions"].clone();
    let registry = jsonschema::Registry::new()
        .add(
            "https://schema.management.azure.com/schemas/common/definitions.json",
            read(folder.join("common/definitions.json")),
        )
        .expect("a schema")
        .prepare()
        .expect("schemas without missing references");
    let validator = jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .expect("a valid schema");
    let mut resource = body.clone();
    resource["name"] = id.name().into();
    resource["type"] = "Microsoft.Authorization/roleAssignments".into();
    resource["apiVersion"] = AUTHORIZATION_API_VERSION.into();
    validator
        .iter_errors(&resource)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_body_is_valid_against_the_official_schema() {
    let Some(folder) = schemas() else { return };
    let id = tuple(1).id().unwrap();
    let mut view = World::new(&json!({})).view(id.clone());
    view.desired = Body(tuple(1).body());
    let created = view.body(Origin::Created);
    let mut actual = stored(&id, &tuple(1), Some("by hand"));
    actual["properties"]["condition"] = "true".into();
    actual["properties"]["conditionVersion"] = "2.0".into();
    view.take_note(Some(actual));
    let adopted = view.body(Origin::Adopted);
    assert_eq!(
        adopted.0["properties"]["condition"], "true",
        "what the spec does not set is kept"
    );
    let disowned = view.mark_body(None);
    for body in [&created, &adopted, &disowned] {
        assert_eq!(errors(&folder, &id, &body.0), Vec::<String>::new(), "{}", body.0);
        for name in ["scope", "createdOn", "updatedOn", "createdBy", "updatedBy"] {
            assert!(body.0["properties"].get(name).is_none(), "{name}: {}", body.0);
        }
    }
    let mut wrong = created.0;
    wrong["properties"]["principalType"] = "Robot".into();
    assert_ne!(
        errors(&folder, &id, &wrong),
        Vec::<String>::new(),
        "the schema tells right from wrong"
    );
}
