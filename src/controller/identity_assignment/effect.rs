//! Carrying out a decision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::FINALIZER;
use crate::azure::arm::ArmResponse;
use crate::azure::{ArmClient, AzureError, ErrorClass};
use crate::controller::azure_error::{is_credential_refused, reason_of};
use crate::controller::azure_resource::{
    Answer, Histories, OperationUrl, Purpose, Release, Reports, Written, account_key, find, is_about_the_resource,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::{Effect, Note, Pass, Severity};

use super::IdentityAssignmentReconciler;
use super::decision::{Step, Write};
use super::goal::{Method, basis};
use super::observation::{TargetObservation, TargetState};

/// One write of a target at a time: what two objects decided on one state of it must not be written over each other.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// The turn of a target, to be waited for.
    fn of(&self, target: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = all.get(target).and_then(Weak::upgrade) {
            return turn;
        }
        all.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        all.insert(target.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// Carries out one step and brings the observation up to date with what it did.
///
/// Every step may be repeated from its start: what is attached twice is attached once.
pub async fn carry_out(
    context: &Context,
    histories: &Histories,
    turns: &Turns,
    pass: &mut Pass<IdentityAssignmentReconciler>,
    step: Step,
) -> Result<Effect, Error> {
    let object = pass.object().clone();
    let uid = object.uid().unwrap_or_default();
    let say = |reason: &'static str, message: String| {
        tracing::info!(reason, "{message}");
        let note = Note {
            severity: Severity::Normal,
            reason: reason.into(),
            action: reason.into(),
            message,
        };
        context.events().publish(&*object, &note);
    };
    match step {
        Step::AddFinalizer => {
            pass.ensure_finalizer(FINALIZER).await?;
            Ok(Effect::Replan)
        }
        Step::Release(release) => {
            if release == Release::Left {
                let target = match pass.observed() {
                    TargetObservation::Seen(resource) => Some(resource.id.to_string()),
                    TargetObservation::Blocked(_) => object.reported().id.clone(),
                };
                if let Some(id) = target {
                    say("Left", format!("what was attached to {id} is left there"));
                }
            }
            histories.forget(&uid);
            pass.release_finalizer(FINALIZER).await?;
            Ok(Effect::Done)
        }
        Step::Write(write) => {
            let TargetObservation::Seen(resource) = pass.observed_mut() else {
                return Ok(Effect::Done);
            };
            let Some(arm) = resource.arm.clone() else {
                return Ok(Effect::Done);
            };
            let turn = turns.of(&resource.id.key());
            let _turn = turn.lock().await;
            let (id, changes) = (resource.id.clone(), write.changes.clone());
            let result = send(&arm, resource, write).await;
            histories.keep(&uid, resource.history.clone());
            if let Err(error) = &result
                && is_credential_refused(error)
            {
                context.doubt_account(&account_key(&*object));
            }
            let Sent { effect, is_accepted } = result?;
            if is_accepted && !changes.is_empty() {
                say("Updated", format!("{id}: {changes}"));
            }
            Ok(effect)
        }
    }
}

struct Sent {
    effect: Effect,
    is_accepted: bool,
}

/// Sends the write if the target still is what it was decided on.
async fn send(arm: &ArmClient, resource: &mut TargetState, write: Write) -> Result<Sent, AzureError> {
    let unsent = |effect| Sent {
        effect,
        is_accepted: false,
    };
    let api_version = resource.kind.api_version();
    let fresh = find(arm, &resource.id, api_version).await?;
    resource.pause = fresh.as_ref().and_then(|it| it.retry_after);
    resource.actual = fresh.map(|it| it.body);
    if resource.actual.is_none() || basis(resource) != write.basis {
        return Ok(unsent(Effect::Replan));
    }
    let (path, body) = (resource.id.as_str(), &write.request.body.0);
    let answer = match write.request.method {
        Method::Patch => arm.patch(path, api_version, body).await,
        Method::Put => arm.put(path, api_version, body).await,
    };
    let written = |answer| Written {
        at: Timestamp::now(),
        purpose: Purpose::Update,
        fingerprint: write.fingerprint.clone(),
        answer,
    };
    match answer {
        Ok(response) => {
            resource.history.disowned += u32::from(write.removes_tags);
            resource.history.write = Some(written(Answer::Accepted));
            Ok(Sent {
                effect: accepted(resource, response),
                is_accepted: true,
            })
        }
        Err(error) if error.class() == ErrorClass::NotFound => Ok(unsent(Effect::Reobserve)),
        Err(error) if error.class() == ErrorClass::Terminal && is_about_the_resource(&error) => {
            tracing::warn!(
                code = error.code(),
                request_id = error.request_id(),
                "Azure refused a change of identities"
            );
            resource.history.write = Some(written(Answer::Refused {
                reason: reason_of(&error),
                message: error.to_string(),
            }));
            Ok(unsent(Effect::Replan))
        }
        Err(error) => Err(error),
    }
}

/// Takes note of an answer. 202 is the beginning of an operation, whatever its body: the target is read again.
fn accepted(resource: &mut TargetState, response: ArmResponse) -> Effect {
    resource.pause = response.retry_after;
    resource.history.operation = response.async_operation.or(response.location).map(OperationUrl);
    resource.history.operation_error = None;
    if response.status.as_u16() != 202 && response.body.is_object() {
        resource.actual = Some(response.body);
        return Effect::Replan;
    }
    Effect::Done
}
