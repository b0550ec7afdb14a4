//! A small model of Azure with one target, and identity assignments to it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use crate::api::azure_resource::ManagementSpec;
use crate::api::identity::{IdentityType, ManagedServiceIdentity};
use crate::api::identity_assignment::{AssignmentTarget, IdentityAssignmentSpec, TargetResource};
use crate::api::{FINALIZER, IdentityAssignment, ManagedIdentity};
use crate::azure::AzureError;
use crate::azure::arm::ArmResponse;
use crate::azure::identity_block::IdentityBlock;
use crate::controller::azure_resource::Method;
use crate::controller::azure_resource::tests::answers::{accepted, refusal};
use crate::controller::azure_resource::tests::model::next_look;
use crate::controller::azure_resource::{Blocked, History, ObjectStep, Observation, Release, Subject, credential_gone};
use crate::controller::identity_assignment::IdentityAssignmentReconciler;
use crate::controller::identity_assignment::decision::{AssignmentStep, TargetWrite, decide};
use crate::controller::identity_assignment::observation::{TargetObservation, TargetState, WantedIdentities};
use crate::controller::identity_assignment::record::Signature;
use crate::controller::identity_assignment::target::TargetKind;
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::ClusterId;
use crate::controller::readiness::Standing;
use crate::controller::reference::Unresolved;
use crate::runtime::references::Kind;
use crate::runtime::{PassOutcome, Reconciler, Seen, Waited};

/// The id of a user-assigned identity, spelled as a spec does.
pub(super) fn id(name: &str) -> String {
    format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// What becomes of a reference of the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    /// It may be used.
    Usable,
    /// Its object is being deleted.
    Going,
    /// Its object does not exist.
    Missing,
    /// Its object has no id yet.
    Unknown,
}

/// An identity assignment, and what the process remembers of it.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) object: IdentityAssignment,
    pub(super) references: BTreeMap<String, Reference>,
    pub(super) history: History,
    pub(super) is_credential_gone: bool,
    pub(super) role_assignments: Vec<String>,
    pub(super) managed_elsewhere: Option<String>,
    /// What was written, attached or let go, in order.
    pub(super) log: Vec<&'static str>,
}

/// The target, and time.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) kind: TargetKind,
    pub(super) target: Option<Value>,
    pub(super) is_slow: bool,
    /// Whether a null removes a tag; other services take it for an empty value.
    pub(super) merges_tags: bool,
    /// Azure accepts everything and changes nothing.
    pub(super) is_stubborn: bool,
    /// Azure refuses everything.
    pub(super) refuses: bool,
    pub(super) now: Timestamp,
}

impl Assignment {
    pub(super) fn new(kind: TargetKind, name: &str, system: bool, identities: &[&str]) -> Self {
        let resource = Some(TargetResource {
            name: Some("web".to_owned()),
            resource_group: None,
            resource_group_ref: None,
            resource_id: None,
        });
        let spec = IdentityAssignmentSpec {
            management: ManagementSpec::default(),
            target: AssignmentTarget {
                container_app: resource.clone().filter(|_| kind == TargetKind::App),
                container_group: resource.filter(|_| kind == TargetKind::Group),
                session_pool: None,
            },
            identity: ManagedServiceIdentity {
                kind: if system {
                    IdentityType::SystemAssigned
                } else {
                    IdentityType::UserAssigned
                },
                user_assigned_identities: Vec::new(),
            },
        };
        let mut object = IdentityAssignment::new(name, spec);
        object.metadata.uid = Some(format!("uid-{name}"));
        object.metadata.generation = Some(1);
        Self {
            object,
            references: identities
                .iter()
                .map(|it| ((*it).to_owned(), Reference::Usable))
                .collect(),
            history: History::default(),
            is_credential_gone: false,
            role_assignments: Vec::new(),
            managed_elsewhere: None,
            log: Vec::new(),
        }
    }

    pub(super) fn ruled(mut self, management: ManagementSpec) -> Self {
        self.object.spec.management = management;
        self
    }

    pub(super) fn delete(&mut self, now: Timestamp) {
        if self.object.metadata.deletion_timestamp.is_none() {
            self.object.metadata.deletion_timestamp = Some(Time(now));
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some() && !self.has_finalizer()
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.object.metadata.finalizers.is_some()
    }

    pub(super) fn signature(&self) -> Signature {
        let name = self.object.metadata.name.as_deref().unwrap_or_default();
        Signature::new(&ClusterId::new("c1"), "ns", name, "0b9ff1d3-5f3e")
    }

    pub(super) fn writes(&self) -> usize {
        self.log.iter().filter(|it| matches!(**it, "patch" | "put")).count()
    }

    pub(super) fn reason(&self) -> Option<String> {
        let conditions = &self.object.status.as_ref()?.azure.conditions;
        let ready = conditions.iter().find(|it| it.type_ == "Ready")?;
        Some(ready.reason.clone())
    }

    pub(super) fn is_ready(&self) -> bool {
        let status = self.object.status.as_ref();
        status.is_some_and(|it| {
            it.azure
                .conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        })
    }

    pub(super) fn status_id(&self) -> Option<&str> {
        self.object.status.as_ref()?.azure.id.as_deref()
    }

    fn wanted(&self) -> WantedIdentities {
        let mut wanted = WantedIdentities {
            system: self.object.spec.identity.kind.is_system_assigned(),
            ..WantedIdentities::default()
        };
        for (name, reference) in &self.references {
            let kind = ManagedIdentity::NAME;
            let known = (*reference == Reference::Going).then(|| id(name));
            let name = name.clone();
            let why = match reference {
                Reference::Usable => {
                    wanted.ids.push(id(&name));
                    continue;
                }
                Reference::Going => Unresolved::BeingDeleted { kind, name },
                Reference::Missing => Unresolved::Missing { kind, name },
                Reference::Unknown => Unresolved::not_ready::<ManagedIdentity>(&name, ""),
            };
            wanted.miss(Blocked::from(why.clone()), why.is_going(), known);
        }
        wanted
    }

    pub(super) fn look(&mut self, world: &World) -> TargetObservation {
        if self.is_credential_gone {
            return Observation::Blocked(credential_gone(&self.object, "no token"));
        }
        let is_deleted = self.object.metadata.deletion_timestamp.is_some();
        let resource_type = world.kind.resource_type();
        let mut resource = TargetState {
            arm: None,
            id: format!("/subscriptions/s/resourceGroups/rg/providers/{resource_type}/web")
                .parse()
                .unwrap(),
            kind: world.kind,
            signature: self.signature(),
            wanted: if is_deleted {
                WantedIdentities::default()
            } else {
                self.wanted()
            },
            actual: world.target.clone(),
            pause: None,
            managed_elsewhere: self.managed_elsewhere.clone(),
            role_assignments: self.role_assignments.clone(),
            account_is_marked: self.has_finalizer(),
            history: self.history.clone(),
            key: OperatorKey::new([1; 32]),
        };
        if !is_deleted {
            resource.forget_if_converged();
        }
        self.history = resource.history.clone();
        Observation::Seen(Box::new(resource))
    }

    /// One pass: decides, writes the status and does the step. `false` at rest. The answer to a write may be lost, as in
    /// a crash right after it.
    pub(super) fn pass(&mut self, world: &mut World, loses_answer: bool) -> bool {
        if self.is_gone() {
            return false;
        }
        let observation = self.look(world);
        let decision = decide(&Subject::of(&self.object), &observation, world.now);
        self.write_status(&observation, world.now);
        let is_under_way = decision.verdict.standing == Standing::Progressing;
        match decision.step {
            Some(AssignmentStep::Object(ObjectStep::AddFinalizer)) => {
                self.log.push("finalizer");
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }
            Some(AssignmentStep::Write(write)) => {
                let answer = world.write(&write);
                self.log.push(match write.method {
                    Method::Patch => "patch",
                    Method::Put => "put",
                });
                let Observation::Seen(mut resource) = observation else {
                    panic!("{write:?} without a look at Azure")
                };
                let effect = resource.on_write(write, answer, world.now);
                assert!(effect.is_ok(), "{effect:?}");
                self.history = if loses_answer {
                    History::default()
                } else {
                    resource.history
                };
            }
            Some(AssignmentStep::Object(ObjectStep::Release(release))) => {
                self.log.push(match release {
                    Release::Gone => "gone",
                    Release::Left => "left",
                });
                self.object.metadata.finalizers = None;
            }
            None => {
                let Some(then) = next_look(decision.next, is_under_way, world.now) else {
                    return false;
                };
                world.now = then;
                world.goes_on();
            }
        }
        true
    }

    fn write_status(&mut self, observation: &TargetObservation, now: Timestamp) {
        let summarize = |object: &IdentityAssignment, now| {
            let plan = IdentityAssignmentReconciler::plan(object, observation, &Waited::default(), now);
            let seen = Seen {
                waited: &Waited::default(),
                observed: Some(observation),
                verdict: Some(&plan.verdict),
                outcome: PassOutcome::Done(plan.next),
            };
            IdentityAssignmentReconciler::summarize(object, seen, now)
        };
        if let Some(once) = summarize(&self.object, now) {
            self.object.status = Some(once);
            let again = summarize(&self.object, now + SignedDuration::from_millis(900));
            assert_eq!(again, self.object.status, "a status that is computed again changes");
        }
    }

    /// Passes until nothing is left to do, or only something to wait for.
    pub(super) fn settle(&mut self, world: &mut World) {
        let mut changed_at = world.now;
        for _ in 0..300 {
            let before = (self.log.len(), self.object.status.clone());
            if !self.pass(world, false) {
                return;
            }
            if before != (self.log.len(), self.object.status.clone()) {
                changed_at = world.now;
            }
            // Longer than Azure may show an older state: what is left is a matter of others.
            if world.now > changed_at + SignedDuration::from_mins(2) {
                return;
            }
        }
        panic!("no rest: {:?}", self.log);
    }
}

impl World {
    pub(super) fn new(kind: TargetKind, system: bool, foreign: &[&str]) -> Self {
        let ids: Vec<String> = foreign.iter().map(|it| id(it)).collect();
        let mut target = json!({
            "location": "West Europe",
            "tags": {"team": "a"},
            "properties": {"provisioningState": "Succeeded", "containers": [], "osType": "Linux"},
        });
        let block = IdentityBlock::new(system, ids.iter().map(String::as_str));
        target["identity"] = answered(&block, kind, None);
        Self {
            kind,
            target: Some(target),
            is_slow: false,
            merges_tags: kind == TargetKind::App,
            is_stubborn: false,
            refuses: false,
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }

    pub(super) fn block(&self) -> IdentityBlock {
        self.target.as_ref().map(IdentityBlock::of).unwrap_or_default()
    }

    pub(super) fn attached(&self) -> Vec<String> {
        let block = self.block();
        let system = block.system().map(|_| "system".to_owned());
        let name = |id: &str| id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        system
            .into_iter()
            .chain(block.user_assigned().map(|it| name(&it.id)))
            .collect()
    }

    pub(super) fn tag_names(&self) -> Vec<String> {
        let tags = self.target.as_ref().and_then(|it| it["tags"].as_object().cloned());
        tags.unwrap_or_default().keys().cloned().collect()
    }

    /// What somebody else does to the identities.
    pub(super) fn meddle(&mut self, change: impl FnOnce(&mut IdentityBlock)) {
        let kind = self.kind;
        if let Some(target) = &mut self.target {
            let mut block = IdentityBlock::of(target);
            change(&mut block);
            let before = target["identity"].clone();
            target["identity"] = answered(&block, kind, Some(&before));
        }
    }

    /// What Azure answers to a write.
    fn write(&mut self, write: &TargetWrite) -> Result<ArmResponse, AzureError> {
        if self.refuses {
            return Err(refusal(400, "InvalidParameterValue"));
        }
        if self.is_stubborn {
            return Ok(accepted(self.target.clone().unwrap_or_default()));
        }
        let (kind, merges_tags, is_slow) = (self.kind, self.merges_tags, self.is_slow);
        let body = &write.body.0;
        let target = self.target.as_mut().expect("only what is there is written");
        let before = target["identity"].clone();
        match write.method {
            Method::Put => {
                assert_eq!(kind, TargetKind::Group, "only groups are replaced");
                let kept = ["location"].map(|name| (name, target[name].clone()));
                *target = body.clone();
                for (name, value) in kept {
                    assert_eq!(target[name], value, "a PUT loses {name}");
                }
            }
            Method::Patch => {
                if let Some(identity) = body.get("identity") {
                    assert_ne!(kind, TargetKind::Group, "PATCH of a group changes tags only");
                    let mut block = IdentityBlock::of(target);
                    merge_identity(&mut block, identity);
                    target["identity"] = answered(&block, kind, Some(&before));
                }
                if let Some(tags) = body.get("tags").and_then(Value::as_object) {
                    let known = target["tags"].as_object().cloned().unwrap_or_default();
                    target["tags"] = merge_tags(known, tags, merges_tags).into();
                }
            }
        }
        let block = IdentityBlock::of(target);
        target["identity"] = answered(&block, kind, Some(&before));
        target["properties"]["provisioningState"] = if is_slow { "InProgress" } else { "Succeeded" }.into();
        Ok(accepted(target.clone()))
    }

    fn goes_on(&mut self) {
        let state = self
            .target
            .as_mut()
            .map(|it| &mut it["properties"]["provisioningState"]);
        if let Some(state) = state
            && *state == "InProgress"
        {
            *state = "Succeeded".into();
        }
    }
}

/// An identity block as the service answers it: ids in its own case, its own spelling of the type, and principals.
fn answered(block: &IdentityBlock, kind: TargetKind, before: Option<&Value>) -> Value {
    let mut answer = block.replacement(kind.spelling());
    if let Some(kinds) = answer["type"].as_str() {
        answer["type"] = kinds.replace("SystemAssigned,User", "SystemAssigned, User").into();
    }
    if block.system().is_some() {
        let known = before.and_then(|it| it["principalId"].as_str());
        answer["principalId"] = known.unwrap_or("principal").into();
        answer["tenantId"] = "tenant".into();
    }
    if let Some(ids) = answer["userAssignedIdentities"].as_object_mut() {
        let spelled = ids.keys().map(|id| {
            (
                id.replace("resourceGroups", "resourcegroups"),
                json!({"principalId": "p"}),
            )
        });
        *ids = spelled.collect();
    }
    answer
}

fn merge_identity(block: &mut IdentityBlock, patch: &Value) {
    let kinds = patch["type"].as_str().unwrap_or_default();
    match &patch["userAssignedIdentities"] {
        Value::Object(members) => {
            for (id, value) in members {
                if value.is_null() {
                    block.detach(id);
                } else {
                    block.attach(id);
                }
            }
        }
        _ => {
            if !kinds.contains("UserAssigned") {
                let ids: Vec<String> = block.user_assigned().map(|it| it.id.clone()).collect();
                for id in ids {
                    block.detach(&id);
                }
            }
        }
    }
    if kinds.contains("SystemAssigned") {
        block.attach_system();
    } else {
        block.detach_system();
    }
}

fn merge_tags(known: Map<String, Value>, patch: &Map<String, Value>, merges: bool) -> Map<String, Value> {
    let mut tags = if merges { known } else { Map::new() };
    for (name, value) in patch {
        match (value, merges) {
            (Value::Null, true) => {
                tags.remove(name);
            }
            (Value::Null, false) => {
                tags.insert(name.clone(), "".into());
            }
            (value, _) => {
                tags.insert(name.clone(), value.clone());
            }
        }
    }
    tags
}
