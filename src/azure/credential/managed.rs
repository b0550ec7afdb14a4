//! Responses of the endpoints of managed identities.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::error::CredentialError;
use super::one_line;
use super::refusal::stable;
use crate::azure::error::{DEFAULT_THROTTLE, ErrorClass};
use crate::azure::http::TransportError;
use crate::azure::token::FetchedToken;

/// A response of IMDS, or of the endpoint of App Service and Container Apps.
pub(super) struct TokenAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The pause that it asks for.
    pub pause: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) struct TokenFailure {
    /// The error.
    pub error: CredentialError,
    /// Whether a try in a second or two may already succeed.
    pub may_pass: bool,
}

impl TokenFailure {
    /// Nothing responded. If there is no such endpoint it stays so; after a broken connection the next call tries again.
    pub(super) fn unreachable(what: &str, error: &TransportError) -> Self {
        let error = CredentialError::Host {
            class: ErrorClass::Transient,
            code: "HostUnreachable".to_owned(),
            message: format!("{what} does not respond: {error}"),
        };
        Self { error, may_pass: false }
    }

    fn unreadable(message: &str) -> Self {
        let error = CredentialError::Host {
            class: ErrorClass::Transient,
            code: "UnexpectedAnswer".to_owned(),
            message: message.to_owned(),
        };
        Self { error, may_pass: false }
    }
}

impl TokenAnswer {
    /// The token, or why there is none.
    pub(super) fn into_token(self, now: Timestamp) -> Result<FetchedToken, TokenFailure> {
        if self.status != 200 {
            return Err(self.refusal());
        }
        let Ok(json) = serde_json::from_slice::<Value>(&self.body) else {
            return Err(TokenFailure::unreadable("the response is not JSON"));
        };
        let secret = json["access_token"].as_str().filter(|token| !token.is_empty());
        // IMDS has both, App Service and Container Apps have the time only.
        let expires = match (number(&json["expires_on"]), number(&json["expires_in"])) {
            (Some(at), _) => Timestamp::from_second(at).ok(),
            (None, Some(after)) => now.checked_add(SignedDuration::from_secs(after)).ok(),
            (None, None) => None,
        };
        match (secret, expires) {
            (Some(secret), Some(expires)) => Ok(FetchedToken {
                secret: secret.to_owned(),
                expires,
            }),
            (Some(_) | None, _) => Err(TokenFailure::unreadable(
                "the response has no token or no time at which it expires",
            )),
        }
    }

    /// Classifies as "How to use managed identities … on an Azure VM to acquire an access token", section "Error handling",
    /// asks for.
    fn refusal(self) -> TokenFailure {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name: &str| json[name].as_str().filter(|it| !it.is_empty());
        // App Service and Container Apps write `message` where IMDS writes `error` and `error_description`.
        let description = text("error_description").or_else(|| text("message")).map(stable);
        let code = text("error").map_or_else(|| format!("HttpStatus{}", self.status), str::to_owned);
        let is_scope = code == "invalid_resource"
            || ["AADSTS50001", "AADSTS500011"]
                .iter()
                .any(|number| description.is_some_and(|it| it.contains(number)));
        let is_proxy = self.status == 403 && String::from_utf8_lossy(&self.body).contains("unreachable");
        let class = match self.status {
            400 if is_scope => ErrorClass::Terminal,
            // Docker Desktop's proxy answers so where there is no IMDS.
            403 if is_proxy => ErrorClass::Transient,
            429 => ErrorClass::Throttled(self.pause.unwrap_or(DEFAULT_THROTTLE)),
            404 | 408 | 410 | 500.. => ErrorClass::Transient,
            _ => ErrorClass::Denied,
        };
        let message = match (self.status, description) {
            (400, Some(text)) if !is_scope => format!("it has no such identity: {}", one_line(text)),
            (410, _) => "its metadata service is being updated, which takes about a minute".to_owned(),
            (_, Some(text)) => one_line(text),
            (status, None) => format!("it responded with status {status}"),
        };
        TokenFailure {
            // An update lasts longer than anybody should wait here.
            may_pass: class == ErrorClass::Transient && self.status != 410 && !is_proxy,
            error: CredentialError::Host { class, code, message },
        }
    }
}

/// IMDS writes numbers as strings; others do not.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Result<FetchedToken, TokenFailure> {
        let pause = None;
        let body = body.to_string().into_bytes();
        TokenAnswer { status, pause, body }.into_token(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_end_of_a_token_is_a_number_or_text_a_time_or_a_duration() {
        for (body, end) in [
            (
                json!({"access_token": "t", "expires_on": "1000", "expires_in": "5"}),
                1000,
            ),
            (json!({"access_token": "t", "expires_on": 1000}), 1000),
            (json!({"access_token": "t", "expires_in": "5"}), 5),
            (json!({"access_token": "t", "expires_in": 5}), 5),
        ] {
            let token = answer(200, &body).unwrap();
            assert_eq!((token.secret.as_str(), token.expires.as_second()), ("t", end), "{body}");
        }
        for body in [
            json!({}),
            json!({"access_token": "", "expires_on": "1"}),
            json!({"access_token": "t"}),
            json!({"access_token": "t", "expires_on": "soon"}),
            json!("portal"),
        ] {
            let failure = answer(200, &body).unwrap_err();
            assert_eq!(failure.error.class(), ErrorClass::Transient, "{body}");
        }
    }

    #[test]
    fn every_refusal_is_classified_and_only_hiccups_are_tried_again_at_once() {
        let none = json!({});
        let no_identity = json!({"error": "invalid_request", "error_description": "Identity not found"});
        let no_resource = json!({"error": "invalid_resource", "error_description": "AADSTS500011: unknown"});
        let proxy = json!({"message": "a socket operation was attempted to an unreachable network"});
        for (status, body, class, may_pass) in [
            (400, &no_identity, ErrorClass::Denied, false),
            (400, &no_resource, ErrorClass::Terminal, false),
            (401, &none, ErrorClass::Denied, false),
            (403, &none, ErrorClass::Denied, false),
            (403, &proxy, ErrorClass::Transient, false),
            (404, &none, ErrorClass::Transient, true),
            (410, &none, ErrorClass::Transient, false),
            (429, &none, ErrorClass::Throttled(DEFAULT_THROTTLE), false),
            (500, &none, ErrorClass::Transient, true),
            (503, &none, ErrorClass::Transient, true),
        ] {
            let failure = answer(status, body).unwrap_err();
            assert_eq!(
                (failure.error.class(), failure.may_pass),
                (class, may_pass),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_the_host_said_and_the_same_at_every_try() {
        let body = json!({"error": "invalid_request", "error_description": "Identity not found Trace ID: 1"});
        let failure = answer(400, &body).unwrap_err();
        assert_eq!(
            failure.error.to_string(),
            "no token could be obtained from the operator's host: it has no such identity: Identity not found"
        );
        let body = json!({"statusCode": 401, "message": "the header is wrong"});
        let failure = answer(401, &body).unwrap_err();
        assert!(failure.error.to_string().ends_with("the header is wrong"));
        assert_eq!(failure.error.code(), "HttpStatus401");
    }
}
