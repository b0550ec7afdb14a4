//! Carrying out a decision: sends what was decided. What an answer means is said in [`super::answer`].

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{FINALIZER, azure_resource::ManagementPolicy};
use crate::azure::arm::ArmResponse;
use crate::azure::{ArmClient, AzureError, provider};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::{Effect, Note, Pass, Reconciler, Severity};

use super::answer::{is_refusal, is_refusal_of_tag};
use super::decision::{ObjectStep, Release, Step, Write};
use super::history::{Answer, Histories, Purpose};
use super::observation::{Body, Method, Observation, ResourceState, Tagging};
use super::read::doubt_if_refused;
use super::subject::AzureObject;

/// Carries out one step and brings the observation up to date with what it did.
///
/// Every step may be repeated from its start: a PUT or DELETE that was sent twice does what one does.
pub async fn carry_out<R>(
    context: &Context,
    histories: &Histories,
    pass: &mut Pass<R>,
    step: Step,
) -> Result<Effect, Error>
where
    R: Reconciler,
    R::Object: AzureObject,
    R::Observed: AsMut<Observation>,
{
    let result = effect(context, histories, pass, step).await;
    if let Err(Error::Azure(error)) = &result {
        doubt_if_refused(context, &**pass.object(), error);
    }
    result
}

async fn effect<R>(context: &Context, histories: &Histories, pass: &mut Pass<R>, step: Step) -> Result<Effect, Error>
where
    R: Reconciler,
    R::Object: AzureObject,
    R::Observed: AsMut<Observation>,
{
    let object = pass.object().clone();
    let say = |reason, message| tell(context, &*object, reason, message);
    match step {
        Step::AddFinalizer => {
            return carry_out_on_object(context, histories, pass, ObjectStep::AddFinalizer, None).await;
        }
        Step::Release(release) => {
            let left = left_behind(&*object, pass.observed_mut().as_mut());
            let left = left.map(|id| format!("{id} is left in Azure"));
            return carry_out_on_object(context, histories, pass, ObjectStep::Release(release), left).await;
        }
        Step::Register(_) | Step::Write(_) | Step::Tag { .. } | Step::Delete => {}
    }
    let Observation::Seen(resource) = pass.observed_mut().as_mut() else {
        return Ok(Effect::Done);
    };
    let Some(arm) = resource.arm.clone() else {
        return Ok(Effect::Done);
    };
    let effect = match step {
        Step::Register(namespace) => {
            let state = provider::register(&arm, resource.id.subscription(), &namespace).await?;
            resource.on_register(namespace, state)
        }
        Step::Write(write) => {
            let (purpose, changes) = (write.purpose, write.changes.clone());
            let effect = send(&arm, resource, write).await?;
            if is_accepted(resource) {
                let id = &resource.id;
                match purpose {
                    Purpose::Create => say("Creating", format!("the creation of {id} was requested")),
                    Purpose::Adopt => say("Adopted", format!("{id} was taken over")),
                    Purpose::Update if changes.is_empty() => {
                        say("Updated", format!("{id} was written again"));
                    }
                    Purpose::Update => say("Updated", format!("{id}: corrected {changes}")),
                }
            }
            effect
        }
        Step::Tag {
            origin,
            body,
            fingerprint,
        } => {
            let is_claim = origin.is_some();
            let effect = tag(&arm, resource, &body, is_claim.then_some(fingerprint)).await?;
            if is_claim && is_accepted(resource) {
                say("Adopted", format!("{} was taken over", resource.id));
            }
            effect
        }
        Step::Delete => {
            let effect = delete(&arm, resource).await?;
            say("Deleting", format!("the deletion of {} was requested", resource.id));
            effect
        }
        Step::AddFinalizer | Step::Release(_) => Effect::Done,
    };
    histories.keep(&object.uid().unwrap_or_default(), resource.history.clone());
    Ok(effect)
}

/// Carries out a step on the object itself. `left`: what is said of something that the object leaves in Azure.
pub async fn carry_out_on_object<R>(
    context: &Context,
    histories: &Histories,
    pass: &mut Pass<R>,
    step: ObjectStep,
    left: Option<String>,
) -> Result<Effect, Error>
where
    R: Reconciler,
    R::Object: AzureObject,
{
    match (step, left) {
        (ObjectStep::AddFinalizer, _) => {
            pass.ensure_finalizer(FINALIZER).await?;
            return Ok(Effect::Replan);
        }
        (ObjectStep::Release(Release::Left), Some(left)) => tell(context, &**pass.object(), "Left", left),
        (ObjectStep::Release(Release::Gone | Release::Left), _) => {}
    }
    histories.forget(&pass.object().uid().unwrap_or_default());
    pass.release_finalizer(FINALIZER).await?;
    Ok(Effect::Done)
}

/// Tells of something that was done, in the log and in an event.
pub fn tell<K: AzureObject>(context: &Context, object: &K, reason: &'static str, message: String) {
    tracing::info!(reason, "{message}");
    let note = Note {
        severity: Severity::Normal,
        reason: reason.into(),
        action: reason.into(),
        message,
    };
    context.events().publish(object, &note);
}

fn is_accepted(resource: &ResourceState) -> bool {
    let last = resource.history.write.as_ref();
    last.is_some_and(|last| last.answer == Answer::Accepted)
}

/// The id to tell when the object goes and the resource stays.
fn left_behind<K: AzureObject>(object: &K, observation: &Observation) -> Option<String> {
    if object.management().management_policy == ManagementPolicy::ObserveOnly {
        return None;
    }
    match observation {
        Observation::Seen(resource) => resource.actual.is_some().then(|| resource.id.to_string()),
        Observation::Blocked(_) => object.reported().id.clone(),
    }
}

async fn send(arm: &ArmClient, resource: &mut ResourceState, write: Write) -> Result<Effect, Error> {
    let (id, version) = (resource.id.as_str(), resource.api_version);
    let answer = match write.method {
        Method::Put => arm.put(id, version, &write.body.0).await,
        Method::Patch => arm.patch(id, version, &write.body.0).await,
    };
    log_refusal(&answer, is_refusal, "Azure refused a write");
    resource.on_write(write, answer, Timestamp::now())
}

async fn tag(
    arm: &ArmClient,
    resource: &mut ResourceState,
    body: &Body,
    claim: Option<String>,
) -> Result<Effect, Error> {
    let (id, version) = (resource.id.as_str(), resource.api_version);
    let answer = match resource.tagging {
        Tagging::Put => arm.put(id, version, &body.0).await,
        Tagging::MergePatch => arm.patch(id, version, &body.0).await,
    };
    let is_claim = claim.is_some();
    let is_refusal = |error: &AzureError| is_refusal_of_tag(error, is_claim);
    log_refusal(&answer, is_refusal, "Azure refused to write a tag");
    resource.on_tag(claim, answer, Timestamp::now())
}

async fn delete(arm: &ArmClient, resource: &mut ResourceState) -> Result<Effect, Error> {
    let answer = arm.delete(resource.id.as_str(), resource.api_version).await;
    log_refusal(&answer, is_refusal, "Azure refused a deletion");
    resource.on_delete(answer, Timestamp::now())
}

/// Refusals end in the status and not in an error, so Azure's id of the request would be nowhere.
pub fn log_refusal(
    answer: &Result<ArmResponse, AzureError>,
    is_refusal: impl Fn(&AzureError) -> bool,
    what: &'static str,
) {
    if let Err(error) = answer
        && is_refusal(error)
    {
        tracing::warn!(code = error.code(), request_id = error.request_id(), "{what}");
    }
}
