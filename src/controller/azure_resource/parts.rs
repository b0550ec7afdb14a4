//! Carrying out what a decision says of a resource and of what belongs to it.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::condition::Reason;
use crate::controller::error::Error;
use crate::runtime::{ApiError, Effect, Object, Pass};

use super::children::{Child, ChildWrite};
use super::decision::Step;
use super::effect::{carry_out, tell};
use super::export::{self, ExportStep};
use super::history::Answer;
use super::kind::{AzureKind, Record};
use super::observation::Observation;
use super::read::doubt_if_refused;
use super::reconciler::AzureReconciler;
use super::whole::KindStep;

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
            KindStep::Record(record) => {
                let is_gone = record == Record::Resource(None);
                let status = pass.object().recording(record, pass.observed().facts.as_ref());
                pass.write_status(&status).await?;
                if is_gone {
                    self.histories.forget(&pass.object().uid().unwrap_or_default());
                    return Ok(Effect::Reobserve);
                }
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
                        K::Child::WRITTEN,
                        format!("{noun} {}: {}", child.name(), child.meaning()),
                    ),
                    ChildWrite::Delete { name } => (K::Child::REMOVED, format!("{noun} {name} was removed")),
                };
                tell(&self.context, &*object, reason, message);
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
                doubt_if_refused(&self.context, &*object, &error);
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
        let export = export::read_export(&self.context, &*object).await?;
        if let Some(parts) = &mut pass.observed_mut().parts {
            parts.export = export;
        }
        Ok(Effect::Replan)
    }
}
