//! Carrying out a decision: sends what was decided. What an answer means is said in [`super::answer`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::azure::arm::ArmResponse;
use crate::azure::{ArmClient, AzureError};
use crate::controller::azure_resource::{
    Histories, Method, Observation, Reports, carry_out_on_object, doubt_if_refused, find, is_refusal, log_refusal, tell,
};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::{Effect, Pass};

use super::IdentityAssignmentReconciler;
use super::decision::{AssignmentStep, TargetWrite};
use super::goal::basis;
use super::observation::TargetState;

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
    step: AssignmentStep,
) -> Result<Effect, Error> {
    let object = pass.object().clone();
    let write = match step {
        AssignmentStep::Object(step) => {
            let id = match pass.observed() {
                Observation::Seen(resource) => Some(resource.id.to_string()),
                Observation::Blocked(_) => object.reported().id.clone(),
            };
            let left = id.map(|id| format!("what this object attached to {id} stays attached"));
            return carry_out_on_object(context, histories, pass, step, left).await;
        }
        AssignmentStep::Write(write) => write,
    };
    let Observation::Seen(resource) = pass.observed_mut() else {
        return Ok(Effect::Done);
    };
    let Some(arm) = resource.arm.clone() else {
        return Ok(Effect::Done);
    };
    let turn = turns.of(&resource.id.key());
    let _turn = turn.lock().await;
    let changes = write.changes.clone();
    let answer = send(&arm, resource, &write).await;
    if let Err(error) | Ok(Some(Err(error))) = &answer {
        doubt_if_refused(context, &*object, error);
    }
    let Some(answer) = answer? else {
        return Ok(Effect::Replan);
    };
    log_refusal(&answer, is_refusal, "Azure refused a change of identities");
    if answer.is_ok() && !changes.is_empty() {
        tell(context, &*object, "Updated", format!("{}: {changes}", resource.id));
    }
    let effect = resource.on_write(write, answer, Timestamp::now());
    histories.keep(&object.uid().unwrap_or_default(), resource.history.clone());
    effect
}

/// Sends the write; `None` if the target is no longer what it was decided on.
async fn send(
    arm: &ArmClient,
    resource: &mut TargetState,
    write: &TargetWrite,
) -> Result<Option<Result<ArmResponse, AzureError>>, AzureError> {
    let api_version = resource.kind.api_version();
    resource.take(find(arm, &resource.id, api_version).await?);
    if resource.actual.is_none() || basis(resource) != write.basis {
        return Ok(None);
    }
    let (path, body) = (resource.id.as_str(), &write.body.0);
    Ok(Some(match write.method {
        Method::Patch => arm.patch(path, api_version, body).await,
        Method::Put => arm.put(path, api_version, body).await,
    }))
}
