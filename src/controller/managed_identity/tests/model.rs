//! A small model of Azure and of the cluster, and an identity in it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use crate::api::condition::Reason;
use crate::api::managed_identity::{FederatedCredential, IdentityExport};
use crate::api::reference::LocalReference;
use crate::api::{FINALIZER, ManagedIdentity, ManagedIdentitySpec};
use crate::azure::managed_identity::{FederatedIdentityCredential, MANAGED_IDENTITY_API_VERSION, SHAPE};
use crate::controller::azure_resource::children::{ChildHistory, ChildWrite, ChildrenState, take_note};
use crate::controller::azure_resource::export::{Export, ExportState, ExportStep, Found};
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{
    self, Answer, AzureKind, AzureReconciler, History, KindStep, Observation, Occupants, Parts, Registration, Reports,
    ResourceState, Subject, Tagging, decide_whole, may_use,
};
use crate::controller::config_maps::ConfigMapWrites;
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{ClusterId, Marking, Origin, OriginOnRecord, Owner, OwnerMark};
use crate::controller::readiness::Standing;
use crate::runtime::reconciler::Reconciler as _;
use crate::runtime::{Next, PassOutcome, Seen, Waited};

use super::super::credential::wanted;
use super::super::trust::AllowedIssuers;
use super::super::{IdentityFacts, desired};

pub const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";
type Reconciler = AzureReconciler<ManagedIdentity>;
type Observed = azure_resource::Observed<ManagedIdentity>;
type Step = KindStep<FederatedIdentityCredential>;

const ID: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/runner";

/// Azure, the cluster, the object, and what the process remembers.
#[derive(Debug, Clone)]
pub struct World {
    pub object: ManagedIdentity,
    pub actual: Option<Value>,
    pub credentials: Vec<FederatedIdentityCredential>,
    /// ConfigMaps by name; `true` for those of the object.
    pub config_maps: BTreeMap<String, (bool, BTreeMap<String, String>)>,
    pub writes: ConfigMapWrites,
    pub is_issuer_told: bool,
    /// The issuers that the installation allows besides the cluster's.
    pub allowed_issuers: Vec<String>,
    pub occupants: Occupants,
    /// How many identities Azure has made.
    pub made: usize,
    pub history: History,
    pub credential_history: ChildHistory<FederatedIdentityCredential>,
    pub now: Timestamp,
    pub log: Vec<String>,
    /// The names of credentials that the object wrote.
    pub written: Vec<String>,
}

/// A credential of the spec.
pub fn named(name: &str, account: &str) -> FederatedCredential {
    serde_json::from_value(json!({"name": name, "serviceAccountRef": {"name": account}})).unwrap()
}

/// A credential of the spec that trusts somebody outside of the cluster.
pub fn of_issuer(name: &str, issuer: &str) -> FederatedCredential {
    serde_json::from_value(json!({"name": name, "issuer": issuer, "subject": "s"})).unwrap()
}

/// A credential in Azure.
pub fn trusted(name: &str, account: &str) -> FederatedIdentityCredential {
    wanted([&named(name, account)], "ns", Some("https://cluster"), "aud").remove(0)
}

pub fn export_to(name: &str) -> Option<IdentityExport> {
    Some(IdentityExport {
        config_map: LocalReference { name: name.to_owned() },
    })
}

pub fn owner() -> Owner {
    Owner::new(&ClusterId::new("c1"), "ns", "runner", UID, Origin::Created)
}

const KEY: [u8; 32] = [1; 32];

/// What this owner writes on the identity that it created.
fn mark(owner: &Owner) -> String {
    let (id, key) = (ID.parse().unwrap(), OperatorKey::new(KEY));
    let marking = Marking {
        place: OwnerMark::Tag,
        id: &id,
        owner,
        key: &key,
        on_record: None,
    };
    marking.text(owner.origin())
}

impl World {
    pub fn new(spec: ManagedIdentitySpec) -> Self {
        let mut object = ManagedIdentity::new("runner", spec);
        object.metadata.uid = Some(UID.to_owned());
        object.metadata.namespace = Some("ns".to_owned());
        object.metadata.generation = Some(1);
        Self {
            object,
            actual: None,
            credentials: Vec::new(),
            config_maps: BTreeMap::new(),
            writes: ConfigMapWrites::Allowed,
            is_issuer_told: true,
            allowed_issuers: vec!["https://ci".to_owned()],
            occupants: Occupants::None,
            made: 0,
            history: History::default(),
            credential_history: ChildHistory::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            log: Vec::new(),
            written: Vec::new(),
        }
    }

    /// An identity of that owner exists; `None` for nobody's.
    pub fn with_identity(mut self, owner: Option<Owner>) -> Self {
        self.make(&json!({
            "location": "westeurope",
            "tags": owner.map_or_else(|| json!({}), |it| json!({"lifeguard-owner": mark(&it)})),
        }));
        self
    }

    pub fn delete(&mut self) {
        self.object.metadata.deletion_timestamp = Some(Time(self.now));
    }

    /// The spec was changed.
    pub fn change(&mut self, change: impl FnOnce(&mut ManagedIdentitySpec)) {
        change(&mut self.object.spec);
        *self.object.metadata.generation.as_mut().unwrap() += 1;
    }

    /// The process starts again.
    pub fn restart(&mut self) {
        self.history = History::default();
        self.credential_history = ChildHistory::default();
    }

    pub fn is_let_go(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some() && self.object.metadata.finalizers.is_none()
    }

    pub fn status(&self) -> crate::api::ManagedIdentityStatus {
        self.object.status.clone().unwrap_or_default()
    }

    pub fn ready(&self) -> (String, String) {
        let conditions = self.status().azure.conditions;
        let ready = conditions.iter().find(|it| it.type_ == "Ready").expect("a condition");
        (ready.status.clone(), ready.reason.clone())
    }

    pub fn message(&self) -> String {
        let conditions = self.status().azure.conditions;
        conditions
            .iter()
            .find(|it| it.type_ == "Ready")
            .unwrap()
            .message
            .clone()
    }

    pub fn writes(&self) -> usize {
        self.log
            .iter()
            .filter(|it| !matches!(it.as_str(), "finalizer" | "record" | "release"))
            .count()
    }

    pub fn observed(&mut self) -> Observed {
        let mut resource = ResourceState {
            arm: None,
            id: ID.parse().unwrap(),
            api_version: MANAGED_IDENTITY_API_VERSION,
            shape: &SHAPE,
            immutable: &["location"],
            patchable: &[],
            tagging: Tagging::MergePatch,
            mark: OwnerMark::Tag,
            owner: owner(),
            on_record: OriginOnRecord::of(self.object.reported()),
            desired: desired(&self.object.spec),
            defaults: json!({"location": "westeurope"}),
            actual: None,
            pause: None,
            secrets_digest: None,
            given_secrets_digest: None,
            unwritable: None,
            registration: Registration::NotNeeded,
            occupants: self.occupants.clone(),
            account_is_marked: self.object.metadata.finalizers.is_some(),
            history: self.history.clone(),
            key: OperatorKey::new(KEY),
        };
        resource.take_note(self.actual.clone());
        resource.note_look(self.now);
        self.history = resource.history.clone();
        let subject = Subject::of(&self.object);
        let is_usable = subject.lifecycle == Lifecycle::Wanted && may_use(&subject, &resource);
        let facts = IdentityFacts {
            issuer: self.is_issuer_told.then(|| "https://cluster".to_owned()),
            allowed_issuers: AllowedIssuers::new(&self.allowed_issuers),
            issuer_is_untold: (!self.is_issuer_told).then(|| "it is not told".to_owned()),
            audience: "aud".to_owned(),
        };
        let parts = is_usable.then(|| self.parts(&facts));
        Observed {
            observation: Observation::Seen(Box::new(resource)),
            facts: Some(facts),
            parts,
        }
    }

    fn parts(&mut self, facts: &IdentityFacts) -> Parts<FederatedIdentityCredential> {
        take_note(&mut self.credential_history, &self.credentials);
        let spec = &self.object.spec;
        let wanted_export = spec.export.as_ref().map(|it| it.config_map.name.clone());
        let former = self
            .status()
            .azure
            .exported_config_map
            .filter(|it| wanted_export.as_ref() != Some(it));
        let find = |name: Option<String>| {
            name.map(|name| {
                let found = match self.config_maps.get(&name) {
                    None => Found::Absent,
                    Some((true, data)) => Found::Ours(Box::new(ConfigMap {
                        metadata: ObjectMeta {
                            name: Some(name.clone()),
                            ..ObjectMeta::default()
                        },
                        data: Some(data.clone()),
                        ..ConfigMap::default()
                    })),
                    Some((false, _)) => Found::Foreign,
                };
                Export { name, found }
            })
        };
        Parts {
            children: ChildrenState {
                actual: Some(self.credentials.clone()),
                history: self.credential_history.clone(),
                request: Subject::of(&self.object).request.map(str::to_owned),
                ..self.object.children(facts)
            },
            export: ExportState {
                wanted: find(wanted_export),
                former: find(former),
                writes: self.writes,
            },
        }
    }

    /// One pass with at most one step: writes the status, does the step, and lets time go by. `false` at rest.
    pub fn pass(&mut self) -> bool {
        let observed = self.observed();
        let decision = decide_whole(&self.object, &observed, self.now);
        self.write_status(&observed);
        let is_under_way = decision.verdict.standing == Standing::Progressing;
        let Some(step) = decision.step else {
            let wait = match decision.next {
                Next::Poll { after } => after.unwrap_or(Duration::from_secs(5)),
                Next::After(pause) => pause,
                Next::At(when) => Duration::try_from(when.duration_since(self.now)).unwrap_or_default(),
                Next::Resync(after) if is_under_way => after,
                Next::Resync(_) | Next::AwaitChange | Next::Again => return false,
            };
            self.now += SignedDuration::try_from(wait).unwrap() + SignedDuration::from_millis(1);
            return true;
        };
        self.do_step(step);
        true
    }

    /// Passes until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..150 {
            if !self.pass() || self.is_let_go() {
                return;
            }
            if self.now.as_second() > 1_800_000_000 + 3600 {
                // It waits for something that does not come, such as an identity that must exist.
                return;
            }
        }
        panic!("no rest: {:?}", self.log);
    }

    pub fn write_status(&mut self, observed: &Observed) {
        let summarize = |object: &ManagedIdentity, now| {
            let plan = Reconciler::plan(object, observed, &Waited::default(), now);
            let seen = Seen {
                waited: &Waited::default(),
                observed: Some(observed),
                verdict: Some(&plan.verdict),
                outcome: PassOutcome::Done(plan.next),
            };
            Reconciler::summarize(object, seen, now)
        };
        if let Some(once) = summarize(&self.object, self.now) {
            self.object.status = Some(once);
            let later = self.now + SignedDuration::from_millis(900);
            let again = summarize(&self.object, later);
            assert_eq!(again, self.object.status, "a status that is computed again changes");
        }
    }

    fn make(&mut self, body: &Value) {
        self.made += 1;
        let made = self.made;
        let mut actual = body.clone();
        actual["properties"]["principalId"] = format!("principal-{made}").into();
        actual["properties"]["clientId"] = format!("client-{made}").into();
        actual["properties"]["tenantId"] = "tenant".into();
        self.actual = Some(actual);
        self.credentials.clear();
    }

    pub fn do_step(&mut self, step: Step) {
        match step {
            Step::Resource(step) => self.do_azure(step),
            Step::Record(record) => {
                self.log.push("record".to_owned());
                self.object.status = Some(self.object.recording(record, None));
            }
            Step::Child(write) => self.do_credential(write),
            Step::Export(step) => self.do_export(step),
        }
    }

    fn do_azure(&mut self, step: azure_resource::Step) {
        match step {
            azure_resource::Step::AddFinalizer => {
                self.log.push("finalizer".to_owned());
                self.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
            }
            azure_resource::Step::Register(_) => unreachable!("the provider is registered"),
            azure_resource::Step::Write(write) => {
                self.log.push("put".to_owned());
                match &mut self.actual {
                    Some(actual) => {
                        let properties = actual["properties"].take();
                        *actual = write.body.0;
                        for (name, value) in properties.as_object().unwrap() {
                            if actual["properties"].get(name).is_none() {
                                actual["properties"][name] = value.clone();
                            }
                        }
                    }
                    None => self.make(&write.body.0),
                }
            }
            azure_resource::Step::Tag { origin, body, .. } => {
                self.log.push("tag".to_owned());
                if origin.is_none() {
                    self.history.disowned += 1;
                }
                self.actual.as_mut().unwrap()["tags"] = body.0["tags"].clone();
            }
            azure_resource::Step::Delete => {
                self.log.push("delete".to_owned());
                self.history.deletion = Some(self.now);
                self.actual = None;
                self.credentials.clear();
            }
            azure_resource::Step::Release(_) => {
                self.log.push("release".to_owned());
                self.object.metadata.finalizers = None;
            }
        }
    }

    /// Azure's answer to a write of a credential, its refusals included.
    fn do_credential(&mut self, write: ChildWrite<FederatedIdentityCredential>) {
        let recorded = self.status().federated_credentials;
        let is_recorded = recorded.iter().any(|it| it.eq_ignore_ascii_case(write.name()));
        assert!(is_recorded, "{write:?} is not recorded");
        self.written.push(write.name().to_owned());
        let answer = match &write {
            ChildWrite::Delete { name } => {
                self.log.push(format!("remove {name}"));
                self.credentials.retain(|it| !it.is_named(name));
                Answer::Accepted
            }
            ChildWrite::Put { child, .. } => {
                self.log.push(format!("write {}", child.name));
                let clashes = |it: &FederatedIdentityCredential| !it.is_named(&child.name) && it.clashes_with(child);
                if self.credentials.iter().any(clashes) {
                    Answer::Refused {
                        reason: Reason::Rejected,
                        message: "Conflict: Issuer and subject combination already exists for this Managed Identity."
                            .to_owned(),
                    }
                } else {
                    self.credentials.retain(|it| !it.is_named(&child.name));
                    self.credentials.push(child.clone());
                    Answer::Accepted
                }
            }
        };
        let mut children = ChildrenState {
            actual: Some(self.credentials.clone()),
            history: self.credential_history.clone(),
            request: Subject::of(&self.object).request.map(str::to_owned),
            ..ChildrenState::default()
        };
        children.note_answer(write, answer, self.now);
        self.credential_history = children.history;
    }

    fn do_export(&mut self, step: ExportStep) {
        match step {
            ExportStep::Record(_) => unreachable!("it is recorded in the status"),
            ExportStep::Create { name, data } => {
                assert_eq!(
                    self.status().azure.exported_config_map.as_ref(),
                    Some(&name),
                    "it is not recorded"
                );
                self.log.push(format!("export {name}"));
                self.config_maps.insert(name, (true, data));
            }
            ExportStep::Replace(config_map) => {
                let name = config_map.metadata.name.unwrap();
                self.log.push(format!("export {name}"));
                let before = self.config_maps.insert(name, (true, config_map.data.unwrap()));
                assert!(before.is_some_and(|(is_ours, _)| is_ours), "it is another's");
            }
            ExportStep::Delete(config_map) => {
                let name = config_map.metadata.name.unwrap();
                self.log.push(format!("unexport {name}"));
                let before = self.config_maps.remove(&name);
                assert!(before.is_some_and(|(is_ours, _)| is_ours), "it is another's");
            }
        }
    }
}
