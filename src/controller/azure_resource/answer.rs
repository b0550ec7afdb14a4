//! What an answer of Azure to a write changes in what is known of a resource, and what the pass does then.
//!
//! Pure: no I/O and no clock. An answer that decides nothing is an error, and leaves everything as it was: the runtime
//! observes again, and so finds out what became of the write.

use jiff::Timestamp;
use serde_json::Value;

use crate::azure::arm::ArmResponse;
use crate::azure::operation::{self, Progress};
use crate::azure::provider::{self, RegistrationState};
use crate::azure::{AzureError, ErrorClass};
use crate::controller::azure_error::reason_of;
use crate::controller::error::Error;
use crate::runtime::Effect;

use super::decision::Write;
use super::history::{Answer, OperationUrl, Purpose};
use super::observation::{Registration, ResourceState};

impl ResourceState {
    /// After the registration of a resource provider was asked for.
    pub fn on_register(&mut self, namespace: String, state: RegistrationState) -> Effect {
        self.registration = match state {
            RegistrationState::Registered => Registration::NotNeeded,
            RegistrationState::Registering | RegistrationState::NotRegistered | RegistrationState::Unregistering => {
                self.history.registering = Some(namespace.clone());
                Registration::UnderWay(namespace)
            }
        };
        Effect::Replan
    }

    /// After a write.
    pub fn on_write(
        &mut self,
        write: Write,
        answer: Result<ArmResponse, AzureError>,
        now: Timestamp,
    ) -> Result<Effect, Error> {
        match answer {
            Ok(response) => {
                // What was deleted before is not what is there now.
                self.history.deletion = None;
                self.history.deletion_refusal = None;
                self.history.deletion_refusals = 0;
                self.history.secrets_digest.clone_from(&self.secrets_digest);
                self.given_secrets_digest.clone_from(&self.secrets_digest);
                self.history.operation = response.async_operation.clone().map(OperationUrl);
                self.history.operation_error = None;
                self.history.placed = Some(self.id.clone());
                self.history
                    .note_answer(write.purpose, write.fingerprint, Answer::Accepted, now);
                if let Some(over) = write.over {
                    self.history.overwritten.note_write(over, &response.body, now);
                }
                self.pause = response.retry_after;
                if response.body.is_object() {
                    self.take_note(Some(response.body));
                    return Ok(Effect::Replan);
                }
                Ok(Effect::Reobserve)
            }
            Err(error) if is_refusal(&error) => {
                self.history
                    .note_answer(write.purpose, write.fingerprint, refused(&error), now);
                Ok(Effect::Replan)
            }
            Err(error) if error.class() == ErrorClass::Unregistered => {
                let Some(namespace) = provider::missing_namespace(&error) else {
                    return Err(error.into());
                };
                self.registration = Registration::Missing(namespace.to_owned());
                Ok(Effect::Replan)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// After the owner's mark was written, with this fingerprint as a `claim` of the resource, or was removed.
    pub fn on_tag(
        &mut self,
        claim: Option<String>,
        answer: Result<ArmResponse, AzureError>,
        now: Timestamp,
    ) -> Result<Effect, Error> {
        let (effect, answer) = match answer {
            Ok(response) if response.body.is_object() => {
                self.actual = Some(response.body);
                (Effect::Replan, Answer::Accepted)
            }
            Ok(_) => (Effect::Reobserve, Answer::Accepted),
            // It is gone, or cannot be tagged; the tries are counted.
            Err(error) if is_refusal_of_tag(&error, claim.is_some()) => (Effect::Reobserve, refused(&error)),
            Err(error) => return Err(error.into()),
        };
        match claim {
            Some(fingerprint) => {
                if answer == Answer::Accepted {
                    self.history.placed = Some(self.id.clone());
                }
                self.history.note_answer(Purpose::Adopt, fingerprint, answer, now);
            }
            None => self.history.disowned += 1,
        }
        Ok(effect)
    }

    /// After a DELETE.
    pub fn on_delete(&mut self, answer: Result<ArmResponse, AzureError>, now: Timestamp) -> Result<Effect, Error> {
        let refusal = match answer {
            Ok(response) => {
                self.pause = response.retry_after;
                None
            }
            Err(error) if error.class() == ErrorClass::NotFound => None,
            Err(error) if is_refusal(&error) => Some(error.to_string()),
            Err(error) => return Err(error.into()),
        };
        self.history.deletion = Some(now);
        self.history.deletion_refusals = match refusal {
            Some(_) => self.history.deletion_refusals + 1,
            None => 0,
        };
        self.history.deletion_refusal = refusal;
        Ok(Effect::Reobserve)
    }

    /// A write that had its effect must not be mistaken for one that Azure ignores, should the same drift come again.
    fn forget_if_converged(&mut self) {
        if self.actual.is_some()
            && self.differences().is_empty()
            && let Some(write) = &mut self.history.write
            && write.answer == Answer::Accepted
        {
            write.fingerprint.clear();
        }
    }

    /// Takes note of the resource as Azure answered it.
    pub fn take_note(&mut self, actual: Option<Value>) {
        self.actual = actual;
        self.forget_if_converged();
    }

    /// Takes note of what a look found, once all is known that the resource should be: it is what Azure made of earlier
    /// writes.
    pub fn note_look(&mut self, now: Timestamp) {
        self.forget_if_converged();
        let is_as_specified = self.is_as_specified();
        let overwritten = &mut self.history.overwritten;
        match &self.actual {
            Some(actual) if matches!(operation::of_resource(actual, None), Progress::Running(_)) => {
                overwritten.note_operation(now);
            }
            Some(actual) if !is_as_specified => overwritten.note_difference(actual, now),
            Some(_) => overwritten.forget(),
            // What is written next is written over nothing.
            None => {}
        }
    }
}

/// A refusal, as it is remembered.
pub fn refused(error: &AzureError) -> Answer {
    Answer::Refused {
        reason: reason_of(error),
        message: error.to_string(),
    }
}

/// Whether Azure refused a write or a DELETE for good, so that the same one need not be sent again soon.
pub fn is_refusal(error: &AzureError) -> bool {
    error.class() == ErrorClass::Terminal && is_about_the_resource(error)
}

/// Whether Azure refused for good to write a mark, or there is nothing to mark.
///
/// To remove a mark is best effort: the end of an object waits neither for a right that its account has lost, nor for the
/// principal of an assignment, which does not come back once it is gone.
pub(super) fn is_refusal_of_tag(error: &AzureError, is_claim: bool) -> bool {
    matches!(error.class(), ErrorClass::NotFound | ErrorClass::Terminal)
        || (!is_claim
            && (error.class() == ErrorClass::Denied || error.code().eq_ignore_ascii_case("PrincipalNotFound")))
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
