//! Long-running operations of ARM, read and never awaited.
//!
//! The status URLs of an operation are signed, about 4 KB long and change with every answer (recorded for session
//! pools), so they are not kept: the resource itself is read again, at the pace that ARM asks for.

use std::time::Duration;

use serde_json::Value;

/// The pace where ARM does not give one. azure-core waits 30 s, azure-cli less; a pool takes seconds to minutes.
pub const DEFAULT_PACE: Duration = Duration::from_secs(5);

/// The progress of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It succeeded.
    Done,
    /// It is still running. Read it again after this time, if ARM asked for one.
    Running(Option<Duration>),
    /// It ended as `Failed` or `Canceled`.
    Failed,
}

/// The progress of a resource's last operation. A resource without `provisioningState` is done (ARM's rule).
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
        "failed" | "canceled" | "cancelled" => Progress::Failed,
        _ => Progress::Running(retry_after),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Progress, of_resource};

    fn state(state: &str) -> Value {
        json!({"properties": {"provisioningState": state}})
    }

    #[test]
    fn an_operation_is_over_when_the_resource_says_so() {
        // Recorded: a built-in pool's PUT answers 200 Succeeded at once.
        assert_eq!(of_resource(&state("Succeeded"), None), Progress::Done);
        assert_eq!(of_resource(&state("Failed"), None), Progress::Failed);
        assert_eq!(of_resource(&state("canceled"), None), Progress::Failed);
        assert_eq!(of_resource(&json!({"id": "x"}), None), Progress::Done);
    }

    #[test]
    fn a_state_that_nobody_has_seen_means_that_it_goes_on() {
        let pause = Some(Duration::from_secs(17));
        assert_eq!(of_resource(&state("Provisioning"), pause), Progress::Running(pause));
        assert_eq!(of_resource(&state("InProgress"), None), Progress::Running(None));
    }
}
