//! Carrying out a decision.

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::api::{FINALIZER, azure_resource::ManagementPolicy};
use crate::azure::provider::RegistrationState;
use crate::azure::{ArmClient, AzureError, ErrorClass, provider};
use crate::controller::azure_error::{is_credential_refused, reason_of};
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::runtime::{Effect, Note, Pass, Reconciler, Severity};

use super::decision::{Release, Step, Write};
use super::dependency::account_key;
use super::history::{Answer, Histories, OperationUrl, Purpose, Written};
use super::observation::{Body, Observation, Registration, ResourceState, Tagging};
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
    if let Err(Error::Azure(error)) = &result
        && is_credential_refused(error)
    {
        context.doubt_account(&account_key(&**pass.object()));
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
    let uid = object.uid().unwrap_or_default();
    let say = |severity, reason: &'static str, message: String| {
        match severity {
            Severity::Normal => tracing::info!(reason, "{message}"),
            Severity::Warning => tracing::warn!(reason, "{message}"),
        }
        context.events().publish(
            &*object,
            &Note {
                severity,
                reason: reason.into(),
                action: reason.into(),
                message,
            },
        );
    };
    match step {
        Step::AddFinalizer => {
            pass.ensure_finalizer(FINALIZER).await?;
            return Ok(Effect::Replan);
        }
        Step::Release(release) => {
            if let (Release::Left, Some(id)) = (release, left_behind(&*object, pass.observed_mut().as_mut())) {
                say(Severity::Normal, "Left", format!("{id} is left in Azure"));
            }
            histories.forget(&uid);
            pass.release_finalizer(FINALIZER).await?;
            return Ok(Effect::Done);
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
        Step::Register(namespace) => register(&arm, resource, namespace).await?,
        Step::Write(write) => {
            let (purpose, changes) = (write.purpose, write.changes.clone());
            let effect = put(&arm, resource, write).await?;
            if resource
                .history
                .write
                .as_ref()
                .is_some_and(|last| last.answer == Answer::Accepted)
            {
                let id = &resource.id;
                match purpose {
                    Purpose::Create => say(Severity::Normal, "Creating", format!("{id} was asked for")),
                    Purpose::Adopt => say(Severity::Normal, "Adopted", format!("{id} was taken over")),
                    Purpose::Update if changes.is_empty() => {
                        say(Severity::Normal, "Updated", format!("{id} was written again"));
                    }
                    Purpose::Update => say(Severity::Normal, "Updated", format!("{id}: put right {changes}")),
                }
            }
            effect
        }
        Step::Tag {
            owner,
            body,
            fingerprint,
        } => {
            let is_claim = owner.is_some();
            let (effect, answer) = write_tag(&arm, resource, &body, is_claim).await?;
            if is_claim {
                let is_accepted = answer == Answer::Accepted;
                resource.history.write = Some(Written {
                    at: Timestamp::now(),
                    purpose: Purpose::Adopt,
                    fingerprint,
                    answer,
                });
                if is_accepted {
                    say(Severity::Normal, "Adopted", format!("{} was taken over", resource.id));
                }
            } else {
                resource.history.disowned += 1;
            }
            effect
        }
        Step::Delete => {
            let effect = delete(&arm, resource).await?;
            say(
                Severity::Normal,
                "Deleting",
                format!("{} was asked to be deleted", resource.id),
            );
            effect
        }
        Step::AddFinalizer | Step::Release(_) => Effect::Done,
    };
    histories.keep(&uid, resource.history.clone());
    Ok(effect)
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

async fn register(arm: &ArmClient, resource: &mut ResourceState, namespace: String) -> Result<Effect, Error> {
    resource.registration = match provider::register(arm, resource.id.subscription(), &namespace).await? {
        RegistrationState::Registered => Registration::NotNeeded,
        RegistrationState::Registering | RegistrationState::NotRegistered | RegistrationState::Unregistering => {
            resource.history.registering = Some(namespace.clone());
            Registration::UnderWay(namespace)
        }
    };
    Ok(Effect::Replan)
}

async fn put(arm: &ArmClient, resource: &mut ResourceState, write: Write) -> Result<Effect, Error> {
    let result = arm.put(resource.id.as_str(), resource.api_version, &write.body.0).await;
    let Write {
        purpose, fingerprint, ..
    } = write;
    let written = |answer, fingerprint| {
        Some(Written {
            at: Timestamp::now(),
            purpose,
            fingerprint,
            answer,
        })
    };
    match result {
        Ok(response) => {
            // What was deleted before is not what is there now.
            resource.history.deletion = None;
            resource.history.deletion_refusal = None;
            resource.history.secrets_digest.clone_from(&resource.secrets_digest);
            resource.given_secrets_digest.clone_from(&resource.secrets_digest);
            resource.history.operation = response.async_operation.clone().map(OperationUrl);
            resource.history.operation_error = None;
            resource.pause = response.retry_after;
            if response.body.is_object() {
                resource.actual = Some(response.body);
                resource.history.write = written(Answer::Accepted, fingerprint);
                resource.forget_if_converged();
                return Ok(Effect::Replan);
            }
            resource.history.write = written(Answer::Accepted, fingerprint);
            Ok(Effect::Reobserve)
        }
        Err(error) => match error.class() {
            ErrorClass::Unregistered => {
                let Some(namespace) = provider::missing_namespace(&error) else {
                    return Err(error.into());
                };
                resource.registration = Registration::Missing(namespace.to_owned());
                Ok(Effect::Replan)
            }
            ErrorClass::Terminal if is_about_the_resource(&error) => {
                tracing::warn!(
                    code = error.code(),
                    request_id = error.request_id(),
                    "Azure refused a write"
                );
                resource.history.write = written(
                    Answer::Refused {
                        reason: reason_of(&error),
                        message: error.to_string(),
                    },
                    fingerprint,
                );
                Ok(Effect::Replan)
            }
            ErrorClass::Throttled(_)
            | ErrorClass::Waiting
            | ErrorClass::Conflict
            | ErrorClass::Transient
            | ErrorClass::Denied
            | ErrorClass::NotFound
            | ErrorClass::Terminal => Err(error.into()),
        },
    }
}

/// Whether a refusal is about what was sent, and not about the subscription or the way there.
pub fn is_about_the_resource(error: &AzureError) -> bool {
    match error {
        AzureError::Service(service) => !service.code.eq_ignore_ascii_case("SubscriptionNotFound"),
        AzureError::InvalidRequest(_) => true,
        AzureError::Credential(_)
        | AzureError::GateClosed { .. }
        | AzureError::Transport(_)
        | AzureError::Unexpected { .. } => false,
    }
}

async fn write_tag(
    arm: &ArmClient,
    resource: &mut ResourceState,
    body: &Body,
    is_claim: bool,
) -> Result<(Effect, Answer), Error> {
    let result = match resource.tagging {
        Tagging::Put => arm.put(resource.id.as_str(), resource.api_version, &body.0).await,
        Tagging::MergePatch => arm.patch(resource.id.as_str(), resource.api_version, &body.0).await,
    };
    match result {
        Ok(response) if response.body.is_object() => {
            resource.actual = Some(response.body);
            Ok((Effect::Replan, Answer::Accepted))
        }
        Ok(_) => Ok((Effect::Reobserve, Answer::Accepted)),
        // It is gone, or cannot be tagged; the tries are counted.
        Err(error)
            if matches!(error.class(), ErrorClass::NotFound | ErrorClass::Terminal)
                || (!is_claim && is_about_a_lost_principal(&error)) =>
        {
            tracing::warn!(
                code = error.code(),
                request_id = error.request_id(),
                "Azure refused to write a tag"
            );
            let answer = Answer::Refused {
                reason: reason_of(&error),
                message: error.to_string(),
            };
            Ok((Effect::Reobserve, answer))
        }
        Err(error) => Err(error.into()),
    }
}

/// Azure takes no write of an assignment of a principal that is gone, and such a one does not come back: the end of an
/// object must not wait for it.
fn is_about_a_lost_principal(error: &AzureError) -> bool {
    error.code().eq_ignore_ascii_case("PrincipalNotFound")
}

async fn delete(arm: &ArmClient, resource: &mut ResourceState) -> Result<Effect, Error> {
    let refusal = match arm.delete(resource.id.as_str(), resource.api_version).await {
        Ok(response) => {
            resource.pause = response.retry_after;
            None
        }
        Err(error) if error.class() == ErrorClass::NotFound => None,
        Err(error) if error.class() == ErrorClass::Terminal && is_about_the_resource(&error) => {
            tracing::warn!(
                code = error.code(),
                request_id = error.request_id(),
                "Azure refused a deletion"
            );
            Some(error.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    resource.history.deletion = Some(Timestamp::now());
    resource.history.deletion_refusal = refusal;
    Ok(Effect::Reobserve)
}

impl ResourceState {
    /// A write that had its effect must not be mistaken for one that Azure ignores, should the same drift come again.
    pub(super) fn forget_if_converged(&mut self) {
        if self.actual.is_some()
            && self.differences().is_empty()
            && let Some(write) = &mut self.history.write
            && write.answer == Answer::Accepted
        {
            write.fingerprint.clear();
        }
    }

    /// Takes note of what a GET answered.
    pub fn take_note(&mut self, actual: Option<Value>) {
        self.actual = actual;
        self.forget_if_converged();
    }
}
