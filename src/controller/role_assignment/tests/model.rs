//! Azure, an object and what it refers to, small enough to try everything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::super::observe::{Aim, Claim, Observed, held_id, orphan, recorded_tuple, replaced, same};
use super::super::plan::{Step, decide_assignment};
use super::super::{RoleAssignmentReconciler, status};
use crate::api::FINALIZER;
use crate::api::condition::{Reason, kind};
use crate::api::{RoleAssignment, RoleAssignmentStatus};
use crate::azure::role_assignment::{IMMUTABLE, SHAPE, Tuple};
use crate::azure::role_definition::AUTHORIZATION_API_VERSION;
use crate::azure::{ResourceId, RoleId};
use crate::controller::azure_resource::{
    self, Blocked, Body, History, Observation, Occupants, Registration, ResourceState, Tagging,
};
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, Origin, Owner, OwnerMark, Presence};
use crate::controller::readiness::Verdict;
use crate::runtime::conditions::find;
use crate::runtime::{Next, Outcome, Reconciler, Seen};

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

pub(super) fn owner(cluster: &str, name: &str) -> Owner {
    Owner::new(&ClusterId::new(cluster), "ns", name, "uid", Origin::Created)
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
            history: self.history.clone(),
            key: OperatorKey::new([1; 32]),
        };
        resource.take_note(self.azure.iter().find(|it| it["id"] == id.as_str()).cloned());
        resource
    }

    /// The same decisions as those of the observation, over the model.
    pub(super) fn look(&self) -> Observed {
        let seen = |resource| Observation::Seen(Box::new(resource));
        let held = held_id(&self.object);
        let waiting = Blocked {
            verdict: Verdict::progressing(Reason::ReferenceNotReady, "the identity is being deleted"),
            next: Next::Resync(Duration::from_mins(1)),
            is_credential_gone: false,
        };
        if self.object.metadata.deletion_timestamp.is_some() {
            return match held {
                Some(id) => Observed {
                    observation: seen(self.resource(id)),
                    aim: Aim::Finalize,
                },
                None => Observed {
                    observation: Observation::Blocked(waiting),
                    aim: Aim::Nothing,
                },
            };
        }
        let Some(wanted) = self.wanted.clone() else {
            return match held {
                Some(id) => Observed {
                    observation: seen(self.resource(id)),
                    aim: Aim::Revoke(waiting),
                },
                None => Observed {
                    observation: Observation::Blocked(waiting),
                    aim: Aim::Ensure(None),
                },
            };
        };
        let recorded = self.object.status.as_ref().and_then(recorded_tuple);
        if let Some(id) = &held
            && recorded.as_ref() != Some(&wanted)
        {
            let aim = Aim::Revoke(replaced(&wanted, recorded.as_ref()));
            return Observed {
                observation: seen(self.resource(id.clone())),
                aim,
            };
        }
        let own = wanted.id().unwrap();
        let mut resource = self.resource(held.unwrap_or_else(|| own.clone()));
        resource.desired = Body(wanted.body());
        if resource.actual.is_none() {
            resource.id = own;
            if let Some((id, other)) = self.azure.iter().find_map(|it| same(it, &wanted)) {
                resource.id = id;
                resource.take_note(Some(other.clone()));
            } else if let Some(id) = self
                .azure
                .iter()
                .find_map(|it| orphan(it, &resource.owner, &self.object))
            {
                let aim = Aim::Revoke(replaced(&wanted, None));
                return Observed {
                    observation: seen(self.resource(id)),
                    aim,
                };
            }
        }
        let claim = Claim {
            id: resource.id.clone(),
            tuple: wanted,
        };
        Observed {
            observation: seen(resource),
            aim: Aim::Ensure(Some(Box::new(claim))),
        }
    }

    /// One pass: decides, does the step, writes the status unless the process dies before, and lets time go by. `false`
    /// at rest.
    pub(super) fn pass(&mut self, dies: bool) -> bool {
        let observed = self.look();
        let decision = decide_assignment(&self.object, &observed, self.now);
        if let Some(step) = decision.step {
            self.do_step(step, observed);
            if dies {
                self.history = History::default();
            }
            return true;
        }
        let is_changed = self.write_status(&observed);
        match decision.next {
            Next::Poll { after } => {
                self.now += SignedDuration::try_from(after.unwrap_or(Duration::from_secs(5))).unwrap();
            }
            Next::After(pause) => self.now += SignedDuration::try_from(pause).unwrap(),
            Next::At(when) => self.now = when,
            Next::Resync(_) | Next::AwaitChange | Next::Again => return is_changed,
        }
        true
    }

    pub(super) fn write_status(&mut self, observed: &Observed) -> bool {
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
    fn summary(&self, observed: &Observed) -> Option<RoleAssignmentStatus> {
        let plan = RoleAssignmentReconciler::plan(&self.object, observed, self.now);
        let seen = Seen {
            observed: Some(observed),
            verdict: Some(&plan.verdict),
            outcome: Outcome::Done(plan.next),
        };
        RoleAssignmentReconciler::summarize(&self.object, seen, self.now)
    }

    pub(super) fn do_step(&mut self, step: Step, observed: Observed) {
        let resource = match observed.observation {
            Observation::Seen(resource) => Some(resource),
            Observation::Blocked(_) => None,
        };
        match step {
            Step::Record { claim, verdict } => {
                self.object.status = Some(status::recorded(&self.object, &claim, &verdict, self.now));
            }
            Step::Forget { verdict } => {
                self.object.status = Some(status::forgotten(&self.object, &verdict, self.now));
                self.history = History::default();
            }
            Step::Azure(azure_resource::Step::AddFinalizer) => {
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }
            Step::Azure(azure_resource::Step::Release(_)) => self.object.metadata.finalizers = None,
            Step::Azure(azure_resource::Step::Write(write)) => {
                self.put(&resource.expect("a look at what is written").id, &write.body.0);
            }
            Step::Azure(azure_resource::Step::Tag { body, .. }) => {
                self.put(&resource.expect("a look at what is written").id, &body.0);
            }
            Step::Azure(azure_resource::Step::Delete) => {
                let id = resource.expect("a look at what is deleted").id;
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

    pub(super) fn put(&mut self, id: &ResourceId, body: &Value) {
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
        let is_ours = |it: &&Value| {
            let presence = Presence::of(Some(it), &owner("c1", "mine"), OwnerMark::Description);
            matches!(presence, Presence::Owned(_))
        };
        self.azure.iter().filter(is_ours).filter_map(Tuple::of).collect()
    }

    pub(super) fn reason(&self) -> String {
        let conditions = &self.object.status.as_ref().unwrap().azure.conditions;
        find(conditions, kind::READY).unwrap().reason.clone()
    }
}
