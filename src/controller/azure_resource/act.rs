//! Carrying out a course.

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use crate::api::{FINALIZER, azure_resource::ManagementPolicy};
use crate::azure::provider::RegistrationState;
use crate::azure::{ArmClient, AzureError, ErrorClass, provider};
use crate::controller::context::Context;
use crate::controller::error::{Error, is_credential_refused, reason_of};
use crate::runtime::{Effect, Note, Pass, Reconciler, Severity};

use super::course::{Release, Step, Write};
use super::dependency::account_key;
use super::look::{Body, Look, Registration, Tagging, View};
use super::memory::{Answer, Memories, OperationUrl, Purpose, Written};
use super::subject::AzureObject;

/// Carries out one step and brings the look up to date with what it did.
///
/// Every step may be repeated from its start: a PUT or DELETE that was sent twice does what one does.
pub async fn carry_out<R>(
    context: &Context,
    memories: &Memories,
    pass: &mut Pass<R>,
    step: Step,
) -> Result<Effect, Error>
where
    R: Reconciler,
    R::Object: AzureObject,
    R::Observed: AsMut<Look>,
{
    let result = effect(context, memories, pass, step).await;
    if let Err(Error::Azure(error)) = &result
        && is_credential_refused(error)
    {
        context.doubt_account(&account_key(&**pass.object()));
    }
    result
}

async fn effect<R>(context: &Context, memories: &Memories, pass: &mut Pass<R>, step: Step) -> Result<Effect, Error>
where
    R: Reconciler,
    R::Object: AzureObject,
    R::Observed: AsMut<Look>,
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
            memories.forget(&uid);
            pass.release_finalizer(FINALIZER).await?;
            return Ok(Effect::Done);
        }
        Step::Register(_) | Step::Write(_) | Step::Tag { .. } | Step::Delete => {}
    }
    let Look::Seen(view) = pass.observed_mut().as_mut() else {
        return Ok(Effect::Done);
    };
    let Some(arm) = view.arm.clone() else {
        return Ok(Effect::Done);
    };
    let effect = match step {
        Step::Register(namespace) => register(&arm, view, namespace).await?,
        Step::Write(write) => {
            let (purpose, changes) = (write.purpose, write.changes.clone());
            let effect = put(&arm, view, write).await?;
            if view
                .memory
                .write
                .as_ref()
                .is_some_and(|last| last.answer == Answer::Accepted)
            {
                let id = &view.id;
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
            let (effect, answer) = write_tag(&arm, view, &body, is_claim).await?;
            if is_claim {
                let is_accepted = answer == Answer::Accepted;
                view.memory.write = Some(Written {
                    at: Timestamp::now(),
                    purpose: Purpose::Adopt,
                    fingerprint,
                    answer,
                });
                if is_accepted {
                    say(Severity::Normal, "Adopted", format!("{} was taken over", view.id));
                }
            } else {
                view.memory.disowned += 1;
            }
            effect
        }
        Step::Delete => {
            let effect = delete(&arm, view).await?;
            say(
                Severity::Normal,
                "Deleting",
                format!("{} was asked to be deleted", view.id),
            );
            effect
        }
        Step::AddFinalizer | Step::Release(_) => Effect::Done,
    };
    memories.keep(&uid, view.memory.clone());
    Ok(effect)
}

/// The id to tell when the object goes and the resource stays.
fn left_behind<K: AzureObject>(object: &K, look: &Look) -> Option<String> {
    if object.management().management_policy == ManagementPolicy::ObserveOnly {
        return None;
    }
    match look {
        Look::Seen(view) => view.actual.is_some().then(|| view.id.to_string()),
        Look::Held(_) => object.reported().id.clone(),
    }
}

async fn register(arm: &ArmClient, view: &mut View, namespace: String) -> Result<Effect, Error> {
    view.registration = match provider::register(arm, view.id.subscription(), &namespace).await? {
        RegistrationState::Registered => Registration::NotNeeded,
        RegistrationState::Registering | RegistrationState::NotRegistered | RegistrationState::Unregistering => {
            view.memory.registering = Some(namespace.clone());
            Registration::UnderWay(namespace)
        }
    };
    Ok(Effect::Replan)
}

async fn put(arm: &ArmClient, view: &mut View, write: Write) -> Result<Effect, Error> {
    let result = arm.put(view.id.as_str(), view.api_version, &write.body.0).await;
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
            view.memory.deletion = None;
            view.memory.deletion_refusal = None;
            view.memory.secrets_digest.clone_from(&view.secrets_digest);
            view.given_secrets_digest.clone_from(&view.secrets_digest);
            view.memory.operation = response.async_operation.clone().map(OperationUrl);
            view.memory.operation_error = None;
            view.pause = response.retry_after;
            if response.body.is_object() {
                view.actual = Some(response.body);
                view.memory.write = written(Answer::Accepted, fingerprint);
                view.forget_if_converged();
                return Ok(Effect::Replan);
            }
            view.memory.write = written(Answer::Accepted, fingerprint);
            Ok(Effect::Reobserve)
        }
        Err(error) => match error.class() {
            ErrorClass::Unregistered => {
                let Some(namespace) = provider::missing_namespace(&error) else {
                    return Err(error.into());
                };
                view.registration = Registration::Missing(namespace.to_owned());
                Ok(Effect::Replan)
            }
            ErrorClass::Terminal if is_about_the_resource(&error) => {
                tracing::warn!(
                    code = error.code(),
                    request_id = error.request_id(),
                    "Azure refused a write"
                );
                view.memory.write = written(
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

async fn write_tag(arm: &ArmClient, view: &mut View, body: &Body, is_claim: bool) -> Result<(Effect, Answer), Error> {
    let result = match view.tagging {
        Tagging::Put => arm.put(view.id.as_str(), view.api_version, &body.0).await,
        Tagging::MergePatch => arm.patch(view.id.as_str(), view.api_version, &body.0).await,
    };
    match result {
        Ok(response) if response.body.is_object() => {
            view.actual = Some(response.body);
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

async fn delete(arm: &ArmClient, view: &mut View) -> Result<Effect, Error> {
    let refusal = match arm.delete(view.id.as_str(), view.api_version).await {
        Ok(response) => {
            view.pause = response.retry_after;
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
    view.memory.deletion = Some(Timestamp::now());
    view.memory.deletion_refusal = refusal;
    Ok(Effect::Reobserve)
}

impl View {
    /// A write that had its effect must not be mistaken for one that Azure ignores, should the same drift come again.
    pub(super) fn forget_if_converged(&mut self) {
        if self.actual.is_some()
            && self.differences().is_empty()
            && let Some(write) = &mut self.memory.write
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
