//! A small model of Azure, and an object in it.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::api::azure_resource::{AzureResourceSpec, ManagementSpec};
use crate::api::condition::Reason;
use crate::api::{FINALIZER, ResourceGroup, ResourceGroupSpec, ResourceGroupStatus};
use crate::azure::provider::RegistrationState;
use crate::azure::resource_group::SHAPE;
use crate::azure::{ArmResponse, AzureError};
use crate::controller::azure_resource::blocked::Blocked;
use crate::controller::azure_resource::decision::{Release, Step, decide};
use crate::controller::azure_resource::history::History;
use crate::controller::azure_resource::observation::{
    Body, Observation, Occupants, Registration, ResourceState, Tagging,
};
use crate::controller::azure_resource::status::summarize;
use crate::controller::azure_resource::subject::{Reports, Subject};
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, Marking, Origin, OriginOnRecord, Owner, OwnerMark, Presence};
use crate::controller::readiness::Standing;
use crate::runtime::{Next, PassOutcome, Seen, Waited};

use super::answers::{accepted, refusal};

pub(super) const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";

/// Whose a resource is before the first look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Absent,
    Unowned,
    Another,
    Ours(Origin),
}

/// What may become of a request instead of its effect and an answer that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not reach Azure.
    Unreached,
    /// It has its effect, and the answer is lost.
    AnswerLost,
    /// Azure answers that it is done, and does nothing.
    Ignored,
    /// Azure refuses it for good.
    Refused,
}

/// Azure, the object, and what the process remembers.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) object: ResourceGroup,
    pub(super) is_seen: bool,
    pub(super) actual: Option<Value>,
    pub(super) is_registered: bool,
    pub(super) is_slow: bool,
    /// A property that Azure sets back, whatever is written.
    pub(super) is_stubborn: bool,
    /// The answer to a write shows what was sent all the same.
    pub(super) is_echoing: bool,
    /// Azure says when the resource was written last.
    pub(super) tells_changes: bool,
    /// How many values of its own Azure has for that property, one after the other.
    pub(super) own_values: usize,
    pub(super) occupants: Occupants,
    pub(super) is_credential_gone: bool,
    /// What becomes of the next requests; `None` and those after the last have their effect.
    pub(super) faults: VecDeque<Option<Fault>>,
    pub(super) history: History,
    pub(super) now: Timestamp,
    pub(super) log: Vec<&'static str>,
}

pub(super) fn owner() -> Owner {
    Owner::new(&ClusterId::new("c1"), "ns", "rg", UID, Origin::Created)
}

const ID: &str = "/subscriptions/s/resourceGroups/rg";
const KEY: [u8; 32] = [1; 32];

fn marked<T>(on_record: Option<&OriginOnRecord>, read: impl FnOnce(Marking<'_>) -> T) -> T {
    let (id, key) = (ID.parse().unwrap(), OperatorKey::new(KEY));
    read(Marking {
        place: OwnerMark::Tag,
        id: &id,
        owner: &owner(),
        key: &key,
        on_record,
    })
}

/// What the object writes on a resource that came to it so.
pub(super) fn mark(origin: Origin) -> String {
    marked(None, |it| it.text(origin))
}

pub(super) fn resource(owner: Option<String>, value: &str, state: &str) -> Value {
    let mut tags = json!({"a": value, "kept": "yes"});
    if let Some(owner) = owner {
        tags["lifeguard-owner"] = owner.into();
    }
    json!({"location": "West Europe", "tags": tags, "properties": {"provisioningState": state}})
}

impl World {
    pub(super) fn new(spec: ManagementSpec, start: Start, is_drifted: bool, state: &str) -> Self {
        let value = if is_drifted { "2" } else { "1" };
        let actual = match start {
            Start::Absent => None,
            Start::Unowned => Some(resource(None, value, state)),
            Start::Another => Some(resource(Some("c2/ns/rg/u/created".to_owned()), value, state)),
            Start::Ours(origin) => Some(resource(Some(mark(origin)), value, state)),
        };
        let mut object = ResourceGroup::new(
            "rg",
            ResourceGroupSpec {
                azure: AzureResourceSpec {
                    management: spec,
                    ..AzureResourceSpec::default()
                },
            },
        );
        object.metadata.uid = Some(UID.to_owned());
        object.metadata.generation = Some(1);
        Self {
            object,
            is_seen: true,
            actual,
            is_registered: true,
            is_slow: false,
            is_stubborn: false,
            is_echoing: false,
            tells_changes: false,
            own_values: 1,
            occupants: Occupants::None,
            is_credential_gone: false,
            faults: VecDeque::new(),
            history: History::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            log: Vec::new(),
        }
    }

    pub(super) fn deleted(mut self) -> Self {
        self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
        self
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.object.metadata.finalizers.is_some()
    }

    pub(super) fn presence(&self) -> Presence {
        marked(OriginOnRecord::of(self.object.reported()).as_ref(), |it| {
            it.presence(self.actual.as_ref())
        })
    }

    pub(super) fn look(&mut self) -> Observation {
        if self.is_credential_gone {
            return Observation::Blocked(Blocked::CredentialGone {
                resource: "the resource".to_owned(),
                account: "default".to_owned(),
                cause: "no token".to_owned(),
            });
        }
        if !self.is_seen {
            let name = "default".to_owned();
            return Observation::Blocked(Blocked::AccountNotFound { name });
        }
        let mut resource = ResourceState {
            arm: None,
            id: ID.parse().unwrap(),
            api_version: "v",
            shape: &SHAPE,
            immutable: &["location"],
            patchable: &[],
            tagging: Tagging::Put,
            mark: OwnerMark::Tag,
            owner: owner(),
            on_record: OriginOnRecord::of(self.object.reported()),
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
            account_is_marked: self.has_finalizer(),
            history: self.history.clone(),
            key: OperatorKey::new(KEY),
        };
        resource.take_note(self.actual.clone());
        resource.note_look(self.now);
        self.history = resource.history.clone();
        Observation::Seen(Box::new(resource))
    }

    /// One pass: decides, writes the status, does the step, and lets time go by. `false` at rest.
    ///
    /// What Azure answers goes through the functions that the effects give it to.
    pub(super) fn pass(&mut self) -> bool {
        let observation = self.look();
        let decision = decide(&Subject::of(&self.object), &observation, self.now);
        self.write_status(&observation);
        let is_under_way = decision.verdict.standing == Standing::Progressing;
        match decision.step {
            Some(step) => self.do_step(step, observation),
            None => {
                let Some(then) = next_look(decision.next, is_under_way, self.now) else {
                    return false;
                };
                self.now = then;
                self.azure_goes_on();
            }
        }
        true
    }

    pub(super) fn write_status(&mut self, observation: &Observation) {
        let once = summary(&self.object, observation, self.now);
        if let Some(once) = once {
            self.object.status = Some(once);
            let again = summary(&self.object, observation, self.now + SignedDuration::from_millis(900));
            assert_eq!(again, self.object.status, "a status that is computed again changes");
        }
    }

    fn do_step(&mut self, step: Step, observation: Observation) {
        let name = match &step {
            Step::AddFinalizer => "finalizer",
            Step::Register(_) => "register",
            Step::Write(_) => "put",
            Step::Tag { .. } => "tag",
            Step::Delete => "delete",
            Step::Release(_) => "release",
        };
        self.log.push(name);
        match (step, observation) {
            (Step::AddFinalizer, _) => self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]),
            (Step::Release(release), _) => {
                if release == Release::Gone {
                    assert!(self.actual.is_none(), "released as gone while it is there");
                }
                self.object.metadata.finalizers = None;
            }
            (step, Observation::Seen(mut resource)) => self.ask(step, &mut resource),
            (step, Observation::Blocked(_)) => panic!("{step:?} without a look at Azure"),
        }
    }

    /// Asks Azure, and remembers what the answer changes. One that is an error is followed by another look.
    fn ask(&mut self, step: Step, resource: &mut ResourceState) {
        let now = self.now;
        let before = resource.history.clone();
        let result = match step {
            Step::Register(namespace) => {
                self.is_registered = true;
                Ok(resource.on_register(namespace, RegistrationState::Registered))
            }
            Step::Write(write) => {
                let mut body = write.body.0.clone();
                let state = if self.is_slow { "InProgress" } else { "Succeeded" };
                body["properties"] = json!({"provisioningState": state});
                if self.tells_changes {
                    body["systemData"] = json!({"lastModifiedAt": now.to_string()});
                }
                let sent = body.clone();
                if self.is_stubborn {
                    let number = self.writes() % self.own_values;
                    body["tags"]["a"] = format!("azure's own {number}").into();
                }
                let mut answer = self.answer(Some(body));
                if let Ok(answer) = &mut answer
                    && self.is_echoing
                    && answer.body.is_object()
                {
                    answer.body = sent;
                }
                resource.on_write(write, answer, now)
            }
            Step::Tag {
                origin,
                body,
                fingerprint,
            } => {
                let mut body = body.0;
                body["properties"] = json!({"provisioningState": "Succeeded"});
                let answer = self.answer(Some(body));
                resource.on_tag(origin.map(|_| fingerprint), answer, now)
            }
            Step::Delete => {
                let mut left = self.actual.clone().filter(|_| self.is_slow);
                if let Some(left) = &mut left {
                    left["properties"]["provisioningState"] = "Deleting".into();
                }
                let answer = self.answer(left);
                resource.on_delete(answer, now)
            }
            Step::AddFinalizer | Step::Release(_) => return,
        };
        if result.is_err() {
            assert_eq!(
                resource.history, before,
                "an answer that decides nothing was remembered"
            );
            self.now += SignedDuration::from_secs(1);
            self.azure_goes_on();
        }
        self.history = resource.history.clone();
    }

    /// What Azure answers to a request that leaves the resource like this.
    fn answer(&mut self, after: Option<Value>) -> Result<ArmResponse, AzureError> {
        let fault = self.faults.pop_front().flatten();
        if matches!(fault, None | Some(Fault::AnswerLost)) {
            self.actual = after;
        }
        match fault {
            None => Ok(accepted(self.actual.clone().unwrap_or_default())),
            Some(Fault::Ignored) => Ok(accepted(Value::Null)),
            Some(Fault::Unreached | Fault::AnswerLost) => Err(refusal(503, "ServiceUnavailable")),
            Some(Fault::Refused) => Err(refusal(400, "InvalidParameterValue")),
        }
    }

    pub(super) fn azure_goes_on(&mut self) {
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
    pub(super) fn settle(&mut self) -> usize {
        for passes in 0..60 + 60 * self.faults.len() {
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

    pub(super) fn reason(&self) -> Option<String> {
        let conditions = &self.object.status.as_ref()?.azure.conditions;
        conditions
            .iter()
            .find(|it| it.type_ == "Ready")
            .map(|it| it.reason.clone())
    }

    pub(super) fn writes(&self) -> usize {
        self.log
            .iter()
            .filter(|it| matches!(**it, "put" | "tag" | "delete" | "register"))
            .count()
    }
}

/// The status that the production code computes for a pass that ends with this observation.
pub(super) fn summary(
    object: &ResourceGroup,
    observation: &Observation,
    now: Timestamp,
) -> Option<ResourceGroupStatus> {
    let verdict = decide(&Subject::of(object), observation, now).into_plan().verdict;
    let seen = Seen {
        waited: &Waited::default(),
        observed: Some(observation),
        verdict: Some(&verdict),
        outcome: PassOutcome::Done(Next::AwaitChange),
    };
    let azure = summarize(object, &seen, now)?;
    Some(ResourceGroupStatus { azure })
}

/// When a model looks again after a pass without a step; `None` at rest.
pub fn next_look(next: Next, is_under_way: bool, now: Timestamp) -> Option<Timestamp> {
    let wait = match next {
        Next::Poll { after } => after.unwrap_or(Duration::from_secs(5)),
        Next::After(pause) => pause,
        Next::At(when) => Duration::try_from(when.duration_since(now)).unwrap_or_default(),
        Next::Resync(after) if is_under_way => after,
        Next::Resync(_) | Next::AwaitChange | Next::Again => return None,
    };
    Some(now + SignedDuration::try_from(wait).unwrap() + SignedDuration::from_millis(1))
}
