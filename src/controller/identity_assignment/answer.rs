//! What an answer of Azure changes in what is known of a target, and what the pass does then. Pure: no I/O and no clock.

use jiff::Timestamp;

use crate::azure::arm::ArmResponse;
use crate::azure::operation::Progress;
use crate::azure::{AzureError, ErrorClass};
use crate::controller::azure_resource::{Answer, LastWrite, OperationUrl, Purpose, is_refusal, refused};
use crate::controller::error::Error;
use crate::runtime::Effect;

use super::decision::TargetWrite;
use super::goal::Goal;
use super::observation::TargetState;

impl TargetState {
    /// After a write.
    pub(super) fn on_write(
        &mut self,
        write: TargetWrite,
        answer: Result<ArmResponse, AzureError>,
        now: Timestamp,
    ) -> Result<Effect, Error> {
        let history = &mut self.history;
        match answer {
            Ok(response) => {
                history.disowned += u32::from(write.removes_tags);
                history.note_answer(Purpose::Update, write.fingerprint, Answer::Accepted, now);
                history.operation = response.async_operation.or(response.location).map(OperationUrl);
                history.operation_error = None;
                self.pause = response.retry_after;
                // 202 is the beginning of an operation, whatever its body: the target is read again.
                if response.status.as_u16() == 202 || !response.body.is_object() {
                    return Ok(Effect::Done);
                }
                self.actual = Some(response.body);
                Ok(Effect::Replan)
            }
            Err(error) if error.class() == ErrorClass::NotFound => Ok(Effect::Reobserve),
            Err(error) if write.is_best_effort && (is_refusal(&error) || error.class() == ErrorClass::Denied) => {
                history.disowned += 1;
                Ok(Effect::Replan)
            }
            Err(error) if is_refusal(&error) => {
                history.note_answer(Purpose::Update, write.fingerprint, refused(&error), now);
                Ok(Effect::Replan)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A write that had its effect must not be mistaken for one that Azure ignores, should the same drift come again.
    pub(super) fn forget_if_converged(&mut self) {
        if self.actual.is_none() || !Goal::wanted(self, true).is_reached(self) {
            return;
        }
        let is_running = matches!(self.progress(), Progress::Running(_));
        let history = &mut self.history;
        history.disowned = 0;
        if let Some(write) = history.write.take_if(|write| write.answer == Answer::Accepted)
            && is_running
        {
            // The end of the operation that it began is still waited for.
            let fingerprint = String::new();
            history.write = Some(LastWrite { fingerprint, ..write });
        }
    }
}
