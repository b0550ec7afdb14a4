//! A resource with all that belongs to it: its children and the ConfigMap that its ids are exported to.
//!
//! The decision is pure. First the resource itself, then where it is exported to, then its children: Azure takes their writes
//! only one after the other.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::condition::Reason;
use crate::controller::error::{Error, is_credential_refused};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{ApiError, Effect, Next, Note, Object, Pass, Severity};

use super::children::{
    Attempt, Child, ChildStep, ChildWrite, ChildrenDecision, decide_children, is_named, still_recorded,
};
use super::decision::{Decision, Step, decide, may_use};
use super::dependency::account_key;
use super::drift::paths;
use super::effect::carry_out;
use super::export::{self, ExportStep, decide_export, still_exported};
use super::history::Answer;
use super::kind::AzureKind;
use super::observation::Observation;
use super::policy::Lifecycle;
use super::reconciler::{AzureReconciler, Observed, Parts};
use super::subject::Subject;

/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
const WAITING_PACE: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
const SHORT_PACE: Duration = Duration::from_secs(2);

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum KindStep<C> {
    /// One on the resource itself.
    Resource(Step),
    /// Record in the status what is about to be written.
    Record {
        /// The names of children.
        children: Vec<String>,
        /// The name of the ConfigMap.
        config_map: Option<String>,
    },
    /// Write or delete one child.
    Child(ChildWrite<C>),
    /// Write or delete the ConfigMap.
    Export(ExportStep),
}

/// Decides for a resource with all that belongs to it.
pub fn decide_whole<K: AzureKind>(object: &K, observed: &Observed<K>, now: Timestamp) -> Decision<KindStep<K::Child>> {
    let subject = Subject::of(object);
    let mut base = decide(&subject, &observed.observation, now).map_step(KindStep::Resource);
    let (Observation::Seen(resource), Some(facts)) = (&observed.observation, &observed.facts) else {
        return base;
    };
    object.refine(facts, resource, &mut base);
    let is_at_rest = base.step.is_none() && base.verdict.standing == Standing::Ready;
    if subject.lifecycle == Lifecycle::Deleted || !is_at_rest || !may_use(&subject, resource) {
        return base;
    }
    let soon = Next::After(SHORT_PACE);
    let (Some(ids), Some(Parts { children, export })) = (object.exported(resource), &observed.parts) else {
        let message = format!("Azure has not told all of {} yet", resource.id);
        return Decision {
            next: soon,
            verdict: Verdict::progressing(Reason::Provisioning, message),
            ..base
        };
    };
    let recorded = object.recorded_children();
    let recorded_export = object.reported().exported_config_map.clone();
    let (step, export_problem) = match decide_export(recorded_export.as_deref(), export, &ids) {
        Ok(step) => (step, None),
        Err(problem) => (None, Some(problem)),
    };
    if let Some(step) = step {
        let verdict = Verdict::progressing(Reason::Updating, "the ConfigMap of spec.export is being written");
        let step = match step {
            ExportStep::Record(name) => KindStep::Record {
                children: recorded.to_vec(),
                config_map: Some(name),
            },
            step @ (ExportStep::Create { .. } | ExportStep::Replace(_) | ExportStep::Delete(_)) => {
                KindStep::Export(step)
            }
        };
        return Decision {
            step: Some(step),
            next: soon,
            verdict,
            ..base
        };
    }
    let ChildrenDecision {
        step,
        problem,
        is_settling,
        drift,
    } = decide_children(subject.spec, recorded, children, now);
    let is_under_way = step.is_some() || is_settling;
    let step = step.map(|step| match step {
        ChildStep::Record(children) => KindStep::Record {
            children,
            config_map: recorded_export,
        },
        ChildStep::Write(write) => KindStep::Child(write),
    });
    let problem = export_problem.or(problem);
    let next = match &problem {
        _ if is_under_way => soon,
        Some(_) => Next::Resync(subject.interval().min(WAITING_PACE)),
        None => base.next,
    };
    let drift = [base.drift, drift].concat();
    let in_sync = base
        .in_sync
        .map(|it| it && step.is_none() && problem.is_none() && drift.is_empty());
    let verdict = problem.unwrap_or_else(|| {
        if base.verdict.reason == Reason::Available && !drift.is_empty() {
            let message = format!("{} differs and is not changed: {}", resource.id, paths(&drift));
            Verdict::ready(Reason::Drifted, message)
        } else {
            base.verdict
        }
    });
    Decision {
        step,
        next,
        verdict,
        drift,
        in_sync,
    }
}

/// What a status records of children and export after a pass.
pub(super) fn recorded<K: AzureKind>(
    object: &K,
    azure: AzureResourceStatus,
    parts: Option<&Parts<K::Child>>,
    now: Timestamp,
) -> (AzureResourceStatus, Vec<String>) {
    let before = object.recorded_children();
    let Some(Parts { children, export }) = parts else {
        return (azure, before.to_vec());
    };
    let names = still_recorded(object.management(), before, children, now);
    let exported_config_map = still_exported(azure.exported_config_map.as_deref(), export);
    let azure = AzureResourceStatus {
        exported_config_map,
        ..azure
    };
    (azure, names)
}

impl<K: AzureKind + Object> AzureReconciler<K> {
    /// Carries out one step and brings what was observed up to date with what it did.
    pub(super) async fn carry_out_step(
        &self,
        pass: &mut Pass<Self>,
        step: KindStep<K::Child>,
    ) -> Result<Effect, Error> {
        match step {
            KindStep::Resource(step) => {
                let is_write = matches!(step, Step::Write(_) | Step::Tag { .. });
                let had_parts = pass.observed().parts.is_some();
                let effect = carry_out(&self.context, &self.histories, pass, step).await?;
                // What belongs to the resource was not read while it was not there, or not as it should be.
                Ok(match effect {
                    Effect::Replan if is_write && !had_parts => Effect::Reobserve,
                    effect => effect,
                })
            }
            KindStep::Record { children, config_map } => {
                let status = pass.object().recording(children, config_map);
                pass.write_status(&status).await?;
                Ok(Effect::Replan)
            }
            KindStep::Child(write) => self.write_child(pass, write).await,
            KindStep::Export(step) => self.write_export(pass, step).await,
        }
    }

    /// Writes or deletes one child.
    async fn write_child(&self, pass: &mut Pass<Self>, write: ChildWrite<K::Child>) -> Result<Effect, Error> {
        let object = pass.object().clone();
        let Observation::Seen(resource) = &pass.observed().observation else {
            return Ok(Effect::Done);
        };
        let (Some(arm), id) = (resource.arm.clone(), resource.id.clone()) else {
            return Ok(Effect::Done);
        };
        let sent = match &write {
            ChildWrite::Put { child, .. } => child.put(&arm, &id).await,
            ChildWrite::Delete { name } => K::Child::delete(&arm, &id, name).await,
        };
        let answer = match sent {
            Ok(()) => {
                let noun = K::Child::NOUN;
                let (reason, message) = match &write {
                    ChildWrite::Put { child, .. } => (
                        "CredentialWritten",
                        format!("{noun} {}: {}", child.name(), child.meaning()),
                    ),
                    ChildWrite::Delete { name } => ("CredentialRemoved", format!("{noun} {name} was removed")),
                };
                tracing::info!(reason, "{message}");
                let note = Note {
                    severity: Severity::Normal,
                    reason: reason.into(),
                    action: reason.into(),
                    message,
                };
                self.context.events().publish(&*object, &note);
                Answer::Accepted
            }
            Err(error) if K::Child::is_refused_for_good(&error) => {
                tracing::warn!(
                    code = error.code(),
                    request_id = error.request_id(),
                    "Azure refused to write a {}",
                    K::Child::NOUN
                );
                Answer::Refused {
                    reason: Reason::Rejected,
                    message: error.to_string(),
                }
            }
            Err(error) => {
                if is_credential_refused(&error) {
                    self.context.doubt_account(&account_key(&*object));
                }
                return Err(error.into());
            }
        };
        let Some(parts) = &mut pass.observed_mut().parts else {
            return Ok(Effect::Reobserve);
        };
        parts.children.note_answer(write, answer, Timestamp::now());
        self.child_histories
            .keep(&object.uid().unwrap_or_default(), parts.children.history.clone());
        Ok(Effect::Replan)
    }

    /// Writes or deletes the ConfigMap.
    async fn write_export(&self, pass: &mut Pass<Self>, step: ExportStep) -> Result<Effect, Error> {
        let (client, object) = (self.context.client(), pass.object().clone());
        let result: Result<(), ApiError> = match step {
            ExportStep::Create { name, data } => export::create(client, &*object, name, data).await,
            ExportStep::Replace(config_map) => export::replace(client, &*object, &config_map).await,
            ExportStep::Delete(config_map) => export::delete(client, &*object, &config_map).await,
            // Recording is a write of the status.
            ExportStep::Record(_) => Ok(()),
        };
        result?;
        let export = export::read_export(client, &*object).await?;
        if let Some(parts) = &mut pass.observed_mut().parts {
            parts.export = export;
        }
        Ok(Effect::Replan)
    }
}

impl<C: Child> super::children::ChildrenState<C> {
    /// Brings the children up to date with what Azure answered a write. Pure.
    pub fn note_answer(&mut self, write: ChildWrite<C>, answer: Answer, at: Timestamp) {
        let actual = self.actual.get_or_insert_default();
        let key = write.name().to_ascii_lowercase();
        if answer == Answer::Accepted {
            actual.retain(|it| !is_named(it, write.name()));
        }
        match (&write, &answer) {
            (ChildWrite::Delete { .. }, Answer::Accepted) => {
                self.history.remove(&key);
            }
            (ChildWrite::Put { .. }, _) | (ChildWrite::Delete { .. }, Answer::Refused { .. }) => {
                if let (ChildWrite::Put { child, .. }, Answer::Accepted) = (&write, &answer) {
                    actual.push(child.clone());
                }
                let attempt = Attempt {
                    at,
                    write,
                    answer,
                    has_shown: false,
                };
                self.history.insert(key, attempt);
            }
        }
    }
}
