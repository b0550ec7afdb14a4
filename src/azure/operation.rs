//! Long-running operations of ARM, read and never awaited.
//!
//! The status URLs of an operation are signed, about 4 KB long and change with every answer (recorded for session
//! pools), so they are not kept: the resource itself is read again, at the pace that ARM asks for.

use std::time::Duration;

use serde_json::Value;

use super::arm::ArmResponse;

/// The pace where ARM does not give one. azure-core waits 30 s, azure-cli less; a pool takes seconds to minutes.
pub const DEFAULT_PACE: Duration = Duration::from_secs(5);

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It ended well.
    Done,
    /// It goes on: look again after this time, if ARM asked for one.
    Running(Option<Duration>),
    /// It ended badly.
    Failed(Failure),
}

/// How an operation ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// `Failed`.
    Failed,
    /// `Canceled`.
    Canceled,
}

/// What the answer of a PUT or PATCH means. The resource's `provisioningState` decides where it has one; where the
/// answer has no body, a 202 or a status URL means that the operation goes on.
pub fn after_put(response: &ArmResponse) -> Progress {
    match provisioning_state(&response.body) {
        Some(state) => of_state(state, response.retry_after),
        None if response.status.as_u16() == 202 => Progress::Running(response.retry_after),
        None if response.body.is_null() && response.async_operation.is_some() => {
            Progress::Running(response.retry_after)
        }
        None => Progress::Done,
    }
}

/// What the answer of a DELETE means: 200 and 204 are its end, 202 its beginning.
pub fn after_delete(response: &ArmResponse) -> Progress {
    match response.status.as_u16() {
        202 => Progress::Running(response.retry_after),
        _ => Progress::Done,
    }
}

/// What a resource says of its last operation. A resource without `provisioningState` is done (ARM's rule).
pub fn of_resource(resource: &Value, retry_after: Option<Duration>) -> Progress {
    provisioning_state(resource).map_or(Progress::Done, |state| of_state(state, retry_after))
}

/// The `provisioningState` of a resource.
pub fn provisioning_state(resource: &Value) -> Option<&str> {
    resource
        .pointer("/properties/provisioningState")
        .and_then(Value::as_str)
}

/// Whether a resource is being deleted.
pub fn is_deleting(resource: &Value) -> bool {
    provisioning_state(resource).is_some_and(|state| state.eq_ignore_ascii_case("Deleting"))
}

/// Three states are ends; every other means that the operation goes on ("Track asynchronous Azure operations").
fn of_state(state: &str, retry_after: Option<Duration>) -> Progress {
    match state.to_ascii_lowercase().as_str() {
        "succeeded" => Progress::Done,
        "failed" => Progress::Failed(Failure::Failed),
        "canceled" | "cancelled" => Progress::Failed(Failure::Canceled),
        _ => Progress::Running(retry_after),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::StatusCode;
    use serde_json::{Value, json};

    use super::{ArmResponse, Failure, Progress, after_delete, after_put, of_resource};

    fn answer(status: u16, retry_after: Option<u64>, operation: bool, body: Value) -> ArmResponse {
        ArmResponse {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(Duration::from_secs),
            async_operation: operation.then(|| "https://arm/operation".to_owned()),
            location: None,
            request_id: None,
            body,
        }
    }

    fn state(state: &str) -> Value {
        json!({"properties": {"provisioningState": state}})
    }

    #[test]
    fn a_put_is_done_when_the_resource_says_so() {
        // Recorded: a built-in pool's PUT answers 200 Succeeded at once.
        assert_eq!(after_put(&answer(200, None, false, state("Succeeded"))), Progress::Done);
        assert_eq!(
            after_put(&answer(201, None, true, state("InProgress"))),
            Progress::Running(None)
        );
        assert_eq!(
            after_put(&answer(200, None, false, state("Failed"))),
            Progress::Failed(Failure::Failed)
        );
        assert_eq!(after_put(&answer(200, None, false, json!({"id": "x"}))), Progress::Done);
        assert_eq!(
            after_put(&answer(202, Some(17), false, Value::Null)),
            Progress::Running(Some(Duration::from_secs(17)))
        );
        assert_eq!(
            after_put(&answer(201, Some(0), true, Value::Null)),
            Progress::Running(Some(Duration::ZERO))
        );
    }

    #[test]
    fn a_delete_goes_on_only_after_202() {
        assert_eq!(after_delete(&answer(204, None, false, Value::Null)), Progress::Done);
        assert_eq!(after_delete(&answer(200, None, false, Value::Null)), Progress::Done);
        assert_eq!(
            after_delete(&answer(202, None, false, Value::Null)),
            Progress::Running(None)
        );
    }

    #[test]
    fn a_state_that_nobody_has_seen_means_that_it_goes_on() {
        assert_eq!(of_resource(&state("Provisioning"), None), Progress::Running(None));
        assert_eq!(
            of_resource(&state("canceled"), None),
            Progress::Failed(Failure::Canceled)
        );
        assert_eq!(of_resource(&json!({}), None), Progress::Done);
    }
}
