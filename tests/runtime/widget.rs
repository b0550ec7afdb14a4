//! A kind whose spec says how its reconciler shall behave.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::CustomResource;
use lifeguard::runtime::{
    Class, Classify, Effect, Next, Note, Pass, PassOutcome, Plan, Reconciler, Seen, Severity, Snapshot, Waited,
    WriteError,
    conditions::{self, Conditions, Truth},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "runtime.test",
    version = "v1",
    kind = "Widget",
    namespaced,
    schema = "disabled",
    status = "WidgetStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct WidgetSpec {
    pub size: i64,
    #[serde(default)]
    pub act: Act,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Is fine.
    #[default]
    Rest,
    /// Panics while it observes.
    Panic,
    /// Panics while it summarizes.
    PanicInSummary,
    /// Never answers.
    Hang,
    /// Carries out a step that waits until the pass is interrupted.
    LongPoll,
    /// Writes a claim, then waits like that in the same pass.
    ClaimThenPoll,
    /// Carries out a step that waits until the test lets it go on.
    Gate,
    /// Writes a claim in the middle of a pass and goes on.
    Claim,
    /// Has a pass of its own after the claim.
    ClaimThenAgain,
    /// Has a status of `size` bytes, unless that is too much.
    Grow,
    /// Plans the same step for ever.
    Spin,
    /// Counts as settled when the operator starts.
    Settled,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WidgetStatus {
    pub phase: String,
    pub text: String,
    pub observed_generation: Option<i64>,
    pub conditions: Vec<Condition>,
}

impl Widget {
    pub fn of(name: &str, act: Act) -> Self {
        Self::new(name, WidgetSpec { size: 0, act })
    }

    pub fn text(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.text)
    }

    pub fn phase(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.phase)
    }

    pub fn ready(&self) -> Option<&Condition> {
        conditions::find(&self.status.as_ref()?.conditions, "Ready")
    }

    pub fn ready_reason(&self) -> &str {
        self.ready().map_or("", |ready| &ready.reason)
    }
}

/// The schema takes anything in the spec, so that objects can be made which the type above refuses.
pub fn definition() -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": "widgets.runtime.test"},
        "spec": {
            "group": "runtime.test",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".status.phase"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                        "properties": {"phase": {"type": "string"}}},
                }}},
            }],
        },
    }))
    .unwrap()
}

/// Does what each widget's spec says, and remembers it.
pub struct Widgets {
    observed: Mutex<BTreeMap<String, u32>>,
    gone: Mutex<Vec<String>>,
    pub gate: Semaphore,
}

impl Widgets {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            observed: Mutex::default(),
            gone: Mutex::default(),
            gate: Semaphore::new(0),
        })
    }

    /// How many passes observed the widget.
    pub fn passes(&self, name: &str) -> u32 {
        self.observed.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    pub fn gone(&self) -> Vec<String> {
        self.gone.lock().unwrap().clone()
    }
}

#[derive(Debug, PartialEq)]
pub enum Step {
    Claim,
    Finish,
    LongPoll,
    Gate,
    Nothing,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WidgetError(#[from] WriteError);

impl Classify for WidgetError {
    fn class(&self) -> Class {
        self.0.class()
    }

    fn reason(&self) -> Cow<'static, str> {
        self.0.reason()
    }
}

impl Reconciler for Widgets {
    type Object = Widget;
    type Observed = ();
    type Step = Step;
    type Verdict = ();
    type Error = WidgetError;

    async fn observe(&self, object: &Snapshot<Widget>) -> Result<(), WidgetError> {
        let name = object.metadata.name.clone().unwrap();
        *self.observed.lock().unwrap().entry(name).or_default() += 1;
        match object.spec.act {
            Act::Panic => panic!("as the spec says"),
            Act::Hang => std::future::pending().await,
            _ => Ok(()),
        }
    }

    fn plan(object: &Widget, (): &(), _: &Waited, _now: Timestamp) -> Plan<Step> {
        match (object.spec.act, object.phase()) {
            (Act::Claim | Act::ClaimThenAgain | Act::ClaimThenPoll, "") => Plan::step(Step::Claim, Next::Again),
            (Act::Claim | Act::ClaimThenAgain, "Claimed") => Plan::step(Step::Finish, Next::AwaitChange),
            (Act::LongPoll | Act::ClaimThenPoll, _) => Plan::step(Step::LongPoll, Next::Again),
            (Act::Gate, "") => Plan::step(Step::Gate, Next::AwaitChange),
            (Act::Spin, _) => Plan::step(Step::Nothing, Next::AwaitChange),
            _ => Plan::rest(Next::AwaitChange),
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, WidgetError> {
        let phase = match step {
            Step::Claim => "Claimed",
            Step::Finish => "Finished",
            Step::Gate => {
                self.gate.acquire().await.unwrap().forget();
                "Passed"
            }
            Step::LongPoll => {
                pass.interrupted().await;
                return Ok(Effect::Done);
            }
            Step::Nothing => return Ok(Effect::Replan),
        };
        let status = WidgetStatus {
            phase: phase.into(),
            ..pass.object().status.clone().unwrap_or_default()
        };
        pass.write_status(&status).await?;
        Ok(match pass.object().spec.act {
            Act::ClaimThenAgain => Effect::Done,
            _ => Effect::Replan,
        })
    }

    fn summarize(object: &Widget, seen: Seen<'_, ()>, now: Timestamp) -> Option<WidgetStatus> {
        let previous = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let mut conditions = Conditions::from_previous(&previous.conditions, generation, now);
        let mut text = String::new();
        match seen.outcome {
            PassOutcome::Done(_) => {
                match object.spec.act {
                    Act::PanicInSummary => panic!("as the spec says"),
                    Act::Grow => text = "x".repeat(usize::try_from(object.spec.size).unwrap()),
                    _ => {}
                }
                conditions.set("Ready", Truth::True, "Fine", "");
            }
            PassOutcome::Failed(failure) if failure.is_worth_reporting(now) => {
                conditions.set("Ready", Truth::False, &failure.reason, &failure.message);
            }
            PassOutcome::Failed(_) => return None,
        }
        Some(WidgetStatus {
            phase: previous.phase,
            text,
            observed_generation: generation,
            conditions: conditions.into_vec(),
        })
    }

    fn notes(object: &Widget, status: &WidgetStatus) -> Vec<Note> {
        let before = object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let note = |ready: &Condition| Note {
            severity: if ready.status == "True" {
                Severity::Normal
            } else {
                Severity::Warning
            },
            reason: ready.reason.clone().into(),
            action: "Reconcile".into(),
            message: ready.message.clone(),
        };
        conditions::transitioned(before, &status.conditions, "Ready")
            .map(note)
            .into_iter()
            .collect()
    }

    fn settled(object: &Widget) -> bool {
        object.spec.act == Act::Settled
    }

    fn gone(&self, object: &Snapshot<Widget>) {
        self.gone.lock().unwrap().push(object.metadata.name.clone().unwrap());
    }
}

/// Short enough for a test that waits for it.
pub const SHORT: Duration = Duration::from_millis(300);
