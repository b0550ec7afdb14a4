//! Refusals, as Azure Resource Manager words them.

use http::StatusCode;
use serde_json::{Value, json};

/// A refusal of Azure Resource Manager or of a resource provider: a status and the members of `error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct DeploymentError {
    /// HTTP status.
    pub status: StatusCode,
    /// `error.code`.
    pub code: &'static str,
    /// `error.message`.
    pub message: String,
    /// `error.target`.
    pub target: Option<String>,
    /// `error.details`: the errors that this one is made of.
    pub details: Vec<Value>,
}

impl DeploymentError {
    /// A refusal without target and details.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: None,
            details: Vec::new(),
        }
    }

    /// 400 `InvalidRequestContent`: the body cannot be read as a deployment.
    pub(crate) fn invalid_content(reason: &str) -> Self {
        let message = format!("The request content was invalid and could not be deserialized: '{reason}'.");
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequestContent", message)
    }

    /// 400 `InvalidDeployment`: the template is not looked at.
    pub(crate) fn invalid_deployment(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidDeployment", message)
    }

    /// 400 `InvalidTemplate`.
    pub(crate) fn invalid_template(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidTemplate", message)
    }

    /// 400 `InvalidTemplate`: what the template says cannot be.
    pub(crate) fn validation_failed(reason: &str) -> Self {
        Self::invalid_template(format!("Deployment template validation failed: '{reason}'."))
    }

    /// 400 `InvalidTemplate`: ARM has this, and this crate lacks it. `what` is a plural.
    pub(crate) fn unsupported(what: &str) -> Self {
        Self::validation_failed(&format!("{what} are not supported by this emulator."))
    }

    /// Several refusals as one; a single one stays as it is.
    pub(crate) fn joined(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() <= 1 {
            return errors.pop();
        }
        let codes: Vec<&str> = errors.iter().map(|error| error.code).collect();
        let message = format!("Multiple error occurred: {}. Please see details.", codes.join(","));
        Some(Self {
            details: errors.iter().map(Self::body).collect(),
            ..Self::new(StatusCode::BAD_REQUEST, "MultipleErrorsOccurred", message)
        })
    }

    /// The member `error` of an answer.
    pub(crate) fn body(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(target) = &self.target {
            error["target"] = json!(target);
        }
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        error
    }
}
