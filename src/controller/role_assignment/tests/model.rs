//! Azure, an object and what it refers to, small enough to try everything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::super::plan::{Aim, AssignmentFacts, aim, find_among, place, recorded_id};
use super::super::wanted::WantedAssignment;
use crate::api::FINALIZER;
use crate::api::condition::kind;
use crate::api::role_assignment::PrincipalType;
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::azure::role_assignment::{IMMUTABLE, SHAPE, Tuple};
use crate::azure::role_definition::AUTHORIZATION_API_VERSION;
use crate::azure::{ResourceId, RoleId};
use crate::controller::azure_resource::children::{ChildrenState, NoChild};
use crate::controller::azure_resource::export::ExportState;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::tests::answers::accepted;
use crate::controller::azure_resource::{
    AzureKind, AzureReconciler, Blocked, Body, History, KindStep, Observation, Observed, Occupants, Parts, Record,
    Registration, Reports, ResourceState, Step, Subject, Tagging, may_use,
};
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, Origin, OriginOnRecord, Owner, OwnerMark};
use crate::controller::reference::Unresolved;
use crate::runtime::conditions::find;
use crate::runtime::{Next, PassOutcome, Reconciler, Seen, Waited};

type Reconciled = AzureReconciler<RoleAssignment>;

pub(super) const POOL: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/sessionPools/p";

pub(super) fn tuple(principal: u8) -> Tuple {
    Tuple {
        scope: POOL.parse().unwrap(),
        role: RoleId::SESSION_EXECUTOR,
        principal: format!("0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6{principal:02}")
            .parse()
            .unwrap(),
    }
}

pub(super) fn wanted(tuple: &Tuple) -> WantedAssignment {
    WantedAssignment {
        tuple: tuple.clone(),
        principal_type: PrincipalType::ServicePrincipal,
    }
}

pub(super) fn owner(cluster: &str, name: &str) -> Owner {
    Owner::new(&ClusterId::new(cluster), "ns", name, "uid", Origin::Created)
}

fn is_ours(assignment: &Value) -> bool {
    OwnerMark::Description.names(&owner("c1", "mine"), assignment)
}

/// An assignment as Azure answers it.
pub(super) fn stored(id: &ResourceId, tuple: &Tuple, description: Option<&str>) -> Value {
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

pub(super) fn object(management: &Value) -> RoleAssignment {
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
pub(super) struct World {
    pub(super) object: RoleAssignment,
    pub(super) azure: Vec<Value>,
    /// What the references say; `None` while one of them is gone.
    pub(super) wanted: Option<Tuple>,
    pub(super) history: History,
    pub(super) now: Timestamp,
    /// Every write to Azure.
    pub(super) log: Vec<String>,
}

impl World {
    pub(super) fn new(management: &Value) -> Self {
        Self {
            object: object(management),
            azure: Vec::new(),
            wanted: Some(tuple(1)),
            history: History::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            log: Vec::new(),
        }
    }

    pub(super) fn with(mut self, id: &ResourceId, tuple: &Tuple, description: Option<&str>) -> Self {
        self.azure.push(stored(id, tuple, description));
        self
    }

    pub(super) fn resource(&self, id: ResourceId) -> ResourceState {
        let mut resource = ResourceState {
            arm: None,
            id: id.clone(),
            api_version: AUTHORIZATION_API_VERSION,
            shape: &SHAPE,
            immutable: IMMUTABLE,
            patchable: &[],
            tagging: Tagging::Put,
            mark: OwnerMark::Description,
            owner: owner("c1", "mine"),
            on_record: OriginOnRecord::of(self.object.reported()),
            desired: Body(json!({})),
            defaults: json!({"properties": {"principalType": "ServicePrincipal"}}),
            actual: None,
            pause: None,
            secrets_digest: None,
            given_secrets_digest: None,
            unwritable: None,
            registration: Registration::NotNeeded,
            occupants: Occupants::None,
            account_is_marked: self.object.metadata.finalizers.is_some(),
            history: self.history.clone(),
            key: OperatorKey::new([1; 32]),
        };
        resource.take_note(self.azure.iter().find(|it| it["id"] == id.as_str()).cloned());
        resource
    }

    /// What a pass observes: what is read here is what the production code reads, and everything made of it is its own.
    pub(super) fn look(&self) -> Observed<RoleAssignment> {
        let blocked = |blocked| Observed {
            observation: Observation::Blocked(blocked),
            facts: None,
            parts: None,
        };
        let subject = Subject::of(&self.object);
        let is_deleted = subject.lifecycle == Lifecycle::Deleted;
        if is_deleted && self.object.has_nothing() {
            return blocked(Blocked::Nothing);
        }
        let going = Blocked::Unresolved(Unresolved::BeingDeleted {
            kind: "ManagedIdentity",
            name: "i".to_owned(),
        });
        let mut facts = AssignmentFacts::default();
        let id = match (&self.wanted, recorded_id(&self.object)) {
            (_, Some(id)) if is_deleted => id,
            (None, Some(id)) => {
                facts.gone = Some(going);
                id
            }
            (None, None) => return blocked(going),
            (Some(tuple), _) => {
                facts.wanted = Some(wanted(tuple));
                place(&self.object, tuple).unwrap()
            }
        };
        let mut resource = self.resource(id);
        if let Some(wanted) = &facts.wanted {
            resource.desired = Body(wanted.tuple.body());
        }
        if !is_deleted && resource.actual.is_none() && matches!(aim(&self.object, &facts), Aim::Ensure(_)) {
            find_among(&self.object, &self.azure, &mut facts, &mut resource);
        }
        self.object.complete(&facts, &mut resource);
        resource.note_look(self.now);
        let parts = may_use(&subject, &resource).then(|| Parts {
            children: ChildrenState::default(),
            export: ExportState::default(),
        });
        Observed {
            observation: Observation::Seen(Box::new(resource)),
            facts: Some(facts),
            parts,
        }
    }

    /// One pass: decides, does the step, writes the status unless the process dies before, and lets time go by. `false`
    /// at rest.
    pub(super) fn pass(&mut self, dies: bool) -> bool {
        let observed = self.look();
        let plan = Reconciled::plan(&self.object, &observed, &Waited::default(), self.now);
        if let Some(step) = plan.step {
            self.do_step(step, observed);
            if dies {
                self.history = History::default();
            }
            return true;
        }
        let is_changed = self.write_status(&observed);
        match plan.next {
            Next::Poll { after } => {
                self.now += SignedDuration::try_from(after.unwrap_or(Duration::from_secs(5))).unwrap();
            }
            Next::After(pause) => self.now += SignedDuration::try_from(pause).unwrap(),
            Next::At(when) => self.now = when,
            Next::Resync(_) | Next::AwaitChange | Next::Again => return is_changed,
        }
        true
    }

    pub(super) fn write_status(&mut self, observed: &Observed<RoleAssignment>) -> bool {
        let Some(status) = self.summary(observed) else {
            return false;
        };
        let is_changed = self.object.status.as_ref() != Some(&status);
        self.object.status = Some(status);
        let observed = self.look();
        let again = self.summary(&observed);
        assert_eq!(again, self.object.status, "a status that is computed again changes");
        is_changed
    }

    /// The status that the production code computes for a pass that ends with this observation.
    fn summary(&self, observed: &Observed<RoleAssignment>) -> Option<RoleAssignmentStatus> {
        let plan = Reconciled::plan(&self.object, observed, &Waited::default(), self.now);
        let seen = Seen {
            waited: &Waited::default(),
            observed: Some(observed),
            verdict: Some(&plan.verdict),
            outcome: PassOutcome::Done(plan.next),
        };
        Reconciled::summarize(&self.object, seen, self.now)
    }

    /// What Azure does with a step is the model's; what the operator makes of the answer is its own code.
    pub(super) fn do_step(&mut self, step: KindStep<NoChild>, observed: Observed<RoleAssignment>) {
        let step = match step {
            KindStep::Record(record) => {
                let is_gone = record == Record::Resource(None);
                self.object.status = Some(self.object.recording(record, observed.facts.as_ref()));
                if is_gone {
                    self.history = History::default();
                }
                return;
            }
            KindStep::Resource(Step::AddFinalizer) => {
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
                return;
            }
            KindStep::Resource(Step::Release(_)) => {
                self.object.metadata.finalizers = None;
                return;
            }
            KindStep::Resource(step) => step,
            KindStep::Child(_) | KindStep::Export(_) => panic!("an assignment has no parts"),
        };
        let Observation::Seen(mut resource) = observed.observation else {
            panic!("a write of what was not read")
        };
        let (id, now) = (resource.id.clone(), self.now);
        let effect = match step {
            Step::Write(write) => {
                let body = self.put(&id, &write.body.0);
                resource.on_write(write, Ok(accepted(body)), now)
            }
            Step::Tag {
                origin,
                body,
                fingerprint,
            } => {
                let body = self.put(&id, &body.0);
                resource.on_tag(origin.map(|_| fingerprint), Ok(accepted(body)), now)
            }
            Step::Delete => {
                self.delete_in_azure(&id);
                resource.on_delete(Ok(accepted(Value::Null)), now)
            }
            Step::AddFinalizer | Step::Release(_) | Step::Register(_) => panic!("no write of an assignment"),
        };
        let _ = effect.expect("Azure accepts what is sent");
        self.history = resource.history;
    }

    fn delete_in_azure(&mut self, id: &ResourceId) {
        let found = self.azure.iter().find(|it| it["id"] == id.as_str());
        assert!(found.is_none_or(is_ours), "another's assignment was deleted: {found:?}");
        self.log.push(format!("DELETE {}", id.name()));
        self.azure.retain(|it| it["id"] != id.as_str());
    }

    pub(super) fn put(&mut self, id: &ResourceId, body: &Value) -> Value {
        let held = recorded_id(&self.object);
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
        let stored = stored(id, &tuple, properties["description"].as_str());
        self.azure.push(stored.clone());
        stored
    }

    pub(super) fn settle(&mut self) {
        for _ in 0..60 {
            if !self.pass(false) {
                return;
            }
        }
        panic!("no rest: {:?} {:#?}", self.log, self.object.status);
    }

    pub(super) fn delete(&mut self) {
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
    }

    pub(super) fn ours(&self) -> Vec<Tuple> {
        self.azure
            .iter()
            .filter(|it| is_ours(it))
            .filter_map(Tuple::of)
            .collect()
    }

    pub(super) fn reason(&self) -> String {
        let conditions = &self.object.status.as_ref().unwrap().azure.conditions;
        find(conditions, kind::READY).unwrap().reason.clone()
    }
}
