//! Refusals of the token endpoint.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use azure_core::http::{AsyncRawResponse, HttpClient, Request};

use super::error::{CredentialError, Rejection};
use super::one_line;
use crate::azure::error::DEFAULT_THROTTLE;
use crate::azure::http::Http;

/// The transport under a credential. It keeps the refusal: `azure_identity` 1.0.0 loses the code of answers whose
/// description holds an escaped line break, as Entra ID's do.
#[derive(Debug)]
pub(super) struct Recorder {
    http: Http,
    refusal: Mutex<Option<Refusal>>,
}

impl Recorder {
    pub(super) fn new(http: Http) -> Self {
        Self {
            http,
            refusal: Mutex::new(None),
        }
    }

    /// The refusal of the request that was sent, if it was refused.
    pub(super) fn refusal(&self) -> Option<CredentialError> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map(Refusal::into_error)
    }
}

#[async_trait::async_trait]
impl HttpClient for Recorder {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response = HttpClient::execute_request(self.http.client(), request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers, body) = response.deconstruct();
        let body = body.collect().await?;
        let pause = headers
            .iter()
            .find(|(name, _)| name.as_str().eq_ignore_ascii_case("retry-after"))
            .and_then(|(_, value)| value.as_str().trim().parse().ok().map(Duration::from_secs));
        let refusal = Refusal::read(u16::from(status), pause, &body);
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(AsyncRawResponse::from_bytes(status, headers, body))
    }
}

/// The part of a description that is the same at every try: trace ids follow, in the line or in further ones. A message
/// that changes with every try would change a status each time.
pub(super) fn stable(description: &str) -> &str {
    let first_line = description.lines().next().unwrap_or_default();
    first_line.split(" Trace ID:").next().unwrap_or_default()
}

/// An error response of the token endpoint.
#[derive(Debug, Clone)]
struct Refusal {
    status: u16,
    retry_after: Option<Duration>,
    error: String,
    number: Option<u64>,
    description: String,
}

impl Refusal {
    fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| {
            json.get(name)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let description = text("error_description");
        let in_text = description
            .split("AADSTS")
            .nth(1)
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        let number = json
            .pointer("/error_codes/0")
            .and_then(serde_json::Value::as_u64)
            .or(in_text);
        Self {
            status,
            retry_after,
            error: text("error"),
            number,
            description,
        }
    }

    /// Classifies by the number, then by the status. Numbers: "Microsoft Entra authentication & authorization error codes".
    fn into_error(self) -> CredentialError {
        let rejection = match self.number {
            Some(7_000_215 | 7_000_222) => Some(Rejection::Secret),
            Some(700_027) => Some(Rejection::Certificate),
            Some(700_016) => Some(Rejection::UnknownApplication),
            Some(90_002 | 900_021 | 900_023) => Some(Rejection::UnknownTenant),
            Some(70_021 | 700_211 | 700_212 | 700_213) => Some(Rejection::Federation),
            Some(700_024) => Some(Rejection::AssertionExpired),
            Some(500_011 | 70_011 | 50_001) => Some(Rejection::Scope),
            _ => None,
        };
        let busy = matches!(self.number, Some(90_033 | 50_196 | 50_197))
            || self.error == "temporarily_unavailable"
            || matches!(self.status, 408 | 429 | 500..);
        let code = match self.number {
            Some(number) => format!("AADSTS{number}"),
            None if self.error.is_empty() => format!("HttpStatus{}", self.status),
            None => self.error,
        };
        let sentence = stable(&self.description);
        let message = if sentence.is_empty() {
            code.clone()
        } else {
            one_line(sentence)
        };
        match rejection {
            None if busy => {
                let retry_after = self
                    .retry_after
                    .or_else(|| (self.status == 429).then_some(DEFAULT_THROTTLE));
                CredentialError::Unavailable { message, retry_after }
            }
            rejection => CredentialError::Rejected {
                rejection: rejection.unwrap_or(Rejection::Other),
                code,
                message,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{CredentialError, Refusal, Rejection};
    use crate::azure::error::ErrorClass;

    fn answer(status: u16, number: u64, text: &str) -> CredentialError {
        let body = json!({"error": "invalid_client", "error_codes": [number], "error_description": text}).to_string();
        Refusal::read(status, None, body.as_bytes()).into_error()
    }

    #[test]
    fn the_number_tells_what_entra_objects_to() {
        for (status, number, rejection, class) in [
            (401, 7_000_215, Rejection::Secret, ErrorClass::Denied),
            (401, 7_000_222, Rejection::Secret, ErrorClass::Denied),
            (400, 700_016, Rejection::UnknownApplication, ErrorClass::Denied),
            (400, 90_002, Rejection::UnknownTenant, ErrorClass::Denied),
            (401, 700_213, Rejection::Federation, ErrorClass::Denied),
            (401, 700_024, Rejection::AssertionExpired, ErrorClass::Transient),
            (401, 700_027, Rejection::Certificate, ErrorClass::Denied),
            (400, 500_011, Rejection::Scope, ErrorClass::Terminal),
            (400, 53_003, Rejection::Other, ErrorClass::Denied),
        ] {
            let error = answer(status, number, "AADSTS1: text");
            assert!(
                matches!(&error, CredentialError::Rejected { rejection: r, .. } if *r == rejection),
                "{error:?}"
            );
            assert_eq!(error.class(), class, "{number}");
            assert_eq!(error.code(), format!("AADSTS{number}"));
        }
    }

    #[test]
    fn what_is_new_to_entra_may_only_need_time() {
        assert!(answer(400, 700_016, "x").may_be_replication());
        assert!(answer(401, 70_021, "x").may_be_replication());
        assert!(!answer(401, 7_000_215, "x").may_be_replication());
    }

    #[test]
    fn an_authority_that_is_busy_is_asked_again() {
        assert_eq!(answer(400, 90_033, "x").class(), ErrorClass::Transient);
        assert_eq!(
            Refusal::read(503, None, b"<html>").into_error().class(),
            ErrorClass::Transient
        );
        let pause = Some(Duration::from_secs(9));
        assert_eq!(
            Refusal::read(429, pause, b"").into_error().class(),
            ErrorClass::Throttled(Duration::from_secs(9))
        );
    }

    #[test]
    fn a_message_is_the_same_at_every_try_and_may_be_escaped() {
        let text = "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1\r\nTimestamp: 2";
        let body = json!({"error": "invalid_client", "error_description": text}).to_string();
        let error = Refusal::read(401, None, body.as_bytes()).into_error();
        assert_eq!(error.code(), "AADSTS7000215");
        let expected = "Entra ID refused the credential: AADSTS7000215: Invalid client secret provided.";
        assert_eq!(error.to_string(), expected);
    }
}
