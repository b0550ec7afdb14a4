//! ARM's error answers.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An error answer of ARM or of a resource provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ArmError {
    /// HTTP status.
    pub status: StatusCode,
    /// `error.code`, which says what happened more exactly than the status.
    pub code: &'static str,
    /// `error.message`.
    pub message: String,
    /// `error.target`.
    pub target: Option<String>,
    /// `error.details`: the errors that this one is made of.
    pub details: Vec<Value>,
    /// Headers that go with it.
    pub headers: Vec<(&'static str, String)>,
    /// Whether ARM itself refused, not the resource provider (`x-ms-failure-cause: gateway`).
    pub from_gateway: bool,
}

impl ArmError {
    /// An error of a resource provider.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: None,
            details: Vec::new(),
            headers: Vec::new(),
            from_gateway: false,
        }
    }

    /// An error of ARM itself.
    pub fn gateway(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            from_gateway: true,
            ..Self::new(status, code, message)
        }
    }

    /// 400 `InvalidRequestContent`: the body cannot be read as what it should be.
    pub fn invalid_content(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", message)
    }

    /// 400 `InvalidParameter`: a value is not allowed.
    pub fn invalid_parameter(target: &str, message: impl Into<String>) -> Self {
        Self {
            target: Some(target.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            error["target"] = json!(target);
        }
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        json!({ "error": error })
    }
}
