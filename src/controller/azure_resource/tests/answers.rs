//! What Azure answers, for the models of all kinds.

use reqwest::StatusCode;
use serde_json::Value;

use crate::azure::AzureError;
use crate::azure::arm::ArmResponse;
use crate::azure::error::ServiceError;

/// It is done, and this is the resource.
pub fn accepted(body: Value) -> ArmResponse {
    ArmResponse {
        status: StatusCode::OK,
        retry_after: None,
        async_operation: None,
        location: None,
        request_id: None,
        body,
    }
}

/// It is refused.
pub fn refusal(status: u16, code: &str) -> AzureError {
    AzureError::Service(Box::new(ServiceError {
        status,
        code: code.to_owned(),
        message: "no".to_owned(),
        details: Vec::new(),
        request_id: None,
        retry_after: None,
    }))
}
