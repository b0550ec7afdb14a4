//! How a principal proves who it is: the credentials of `azure_identity`, and what their failures mean.
//!
//! `azure_identity` speaks to Entra ID; a credential is made for one request and thrown away, because its cache can
//! neither be invalidated after a 401 nor asked for the old token while a renewal fails. The cache is [`Tokens`](super::token::Tokens).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{
    AsyncRawResponse, ClientMethodOptions, ClientOptions, HttpClient, Request, RetryOptions, Transport,
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Url;

use super::error::{DEFAULT_THROTTLE, ErrorClass};
use super::http::Http;
use super::token::{FetchedToken, Scope, TokenSource};

/// Yields a fresh federated token (a JWT whose audience is the cloud's federation audience) whenever one is exchanged.
#[derive(Clone)]
pub struct AssertionSource(Arc<dyn Fn() -> BoxFuture<'static, Result<String, CredentialError>> + Send + Sync>);

impl AssertionSource {
    /// Wraps the function that gets the token. Its error is [`CredentialError::Assertion`].
    pub fn new<F>(source: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<String, CredentialError>> + Send + Sync + 'static,
    {
        Self(Arc::new(source))
    }
}

impl fmt::Debug for AssertionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionSource")
    }
}

/// The proof of a principal.
#[derive(Clone)]
enum Proof {
    ClientSecret(Secret),
    Assertion(AssertionSource),
}

/// A principal of a tenant with its proof; asks Entra ID for a token at every call.
#[derive(Clone)]
pub struct Credential {
    http: Http,
    authority: Url,
    tenant: String,
    client_id: String,
    proof: Proof,
}

impl Credential {
    /// An application with a client secret.
    pub fn client_secret(
        http: Http,
        authority: Url,
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        let proof = Proof::ClientSecret(Secret::new(secret.into()));
        Self {
            http,
            authority,
            tenant: tenant.into(),
            client_id: client_id.into(),
            proof,
        }
    }

    /// An application or identity that trusts another issuer's tokens (workload identity federation).
    pub fn assertion(
        http: Http,
        authority: Url,
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        source: AssertionSource,
    ) -> Self {
        let proof = Proof::Assertion(source);
        Self {
            http,
            authority,
            tenant: tenant.into(),
            client_id: client_id.into(),
            proof,
        }
    }

    /// The principal's client id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    async fn request(&self, scope: &Scope) -> Result<FetchedToken, CredentialError> {
        let recorder = Arc::new(Recorder {
            http: self.http.clone(),
            refusal: Mutex::new(None),
        });
        let mut custom = CustomConfiguration::default();
        custom.authority_host = self.authority.to_string();
        let options = ClientOptions {
            transport: Some(Transport::new(recorder.clone())),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
            ..ClientOptions::default()
        };
        let invalid = |error: azure_core::Error| CredentialError::Configuration {
            message: one_line(&error.to_string()),
        };
        let credential: Arc<dyn TokenCredential> = match &self.proof {
            Proof::ClientSecret(secret) => ClientSecretCredential::new(
                &self.tenant,
                self.client_id.clone(),
                secret.clone(),
                Some(ClientSecretCredentialOptions {
                    client_options: options,
                }),
            )
            .map_err(invalid)?,
            Proof::Assertion(source) => ClientAssertionCredential::new(
                self.tenant.clone(),
                self.client_id.clone(),
                OneAssertion((source.0)().await?),
                Some(ClientAssertionCredentialOptions {
                    client_options: options,
                }),
            )
            .map_err(invalid)?,
        };
        match credential.get_token(&[scope.as_str()], None).await {
            Ok(token) => Ok(FetchedToken {
                secret: token.token.secret().to_owned(),
                expires: Timestamp::from_second(token.expires_on.unix_timestamp()).unwrap_or(Timestamp::MIN),
            }),
            Err(error) => {
                let refusal = recorder.refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(refusal.map_or_else(
                    || CredentialError::Unavailable {
                        message: root_cause(&error),
                        retry_after: None,
                    },
                    |refusal| refusal.into_error(),
                ))
            }
        }
    }
}

impl TokenSource for Credential {
    fn fetch<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        Box::pin(self.request(scope))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.proof {
            Proof::ClientSecret(_) => "clientSecret",
            Proof::Assertion(_) => "assertion",
        };
        f.debug_struct("Credential")
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

/// What Entra ID objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The client secret is wrong or has expired.
    Secret,
    /// The application is unknown in the tenant, perhaps because it is new.
    UnknownApplication,
    /// The tenant does not exist.
    UnknownTenant,
    /// No federated credential matches the assertion's issuer, subject and audience, perhaps because it is new.
    Federation,
    /// The assertion is not valid any more.
    AssertionExpired,
    /// The resource or scope is unknown in the tenant.
    Scope,
    /// Anything else.
    Other,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Entra ID refused.
    #[error("Entra ID refused the credential: {message}")]
    Rejected {
        /// What it objects to.
        rejection: Rejection,
        /// Its code, such as `AADSTS7000215`; or the OAuth error.
        code: String,
        /// Its text, bounded.
        message: String,
    },
    /// Entra ID could not be asked, or is not able to answer.
    #[error("no token to be had from Entra ID: {message}")]
    Unavailable {
        /// Why.
        message: String,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// There is no assertion to exchange.
    #[error("no federated token to exchange: {message}")]
    Assertion {
        /// What to do about it.
        class: ErrorClass,
        /// Why.
        message: String,
    },
    /// The credential cannot be right: an empty or malformed tenant, client id or secret.
    #[error("credential is not valid: {message}")]
    Configuration {
        /// What is wrong.
        message: String,
    },
    /// Entra ID did not answer in time.
    #[error("no token from Entra ID within {} s", deadline.as_secs())]
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
}

impl CredentialError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Rejected { rejection, .. } => match rejection {
                // Both are what a new identity or federated credential looks like for some minutes.
                Rejection::UnknownApplication | Rejection::Federation => ErrorClass::Denied,
                Rejection::Secret | Rejection::UnknownTenant | Rejection::Other => ErrorClass::Denied,
                Rejection::AssertionExpired => ErrorClass::Transient,
                Rejection::Scope => ErrorClass::Terminal,
            },
            Self::Unavailable {
                retry_after: Some(after),
                ..
            } => ErrorClass::Throttled(*after),
            Self::Unavailable { .. } | Self::Deadline { .. } => ErrorClass::Transient,
            Self::Assertion { class, .. } => *class,
            Self::Configuration { .. } => ErrorClass::Denied,
        }
    }

    /// Whether waiting may cure it, because Entra ID may not yet know something new.
    pub fn may_be_replication(&self) -> bool {
        matches!(
            self,
            Self::Rejected {
                rejection: Rejection::UnknownApplication | Rejection::Federation,
                ..
            }
        )
    }

    /// A short, stable name: Entra ID's own code where there is one.
    pub fn code(&self) -> &str {
        match self {
            Self::Rejected { code, .. } => code,
            Self::Unavailable { .. } => "TokenUnavailable",
            Self::Assertion { .. } => "NoFederatedToken",
            Self::Configuration { .. } => "InvalidCredential",
            Self::Deadline { .. } => "TokenDeadlineExceeded",
        }
    }

    /// The pause that Entra ID asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// One assertion, already fetched.
struct OneAssertion(String);

#[async_trait::async_trait]
impl ClientAssertion for OneAssertion {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.clone())
    }
}

impl fmt::Debug for OneAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneAssertion")
    }
}

/// The transport under a credential. It keeps the refusal: `azure_identity` 1.0.0 loses the code of answers whose
/// description holds an escaped line break, as Entra ID's do.
#[derive(Debug)]
struct Recorder {
    http: Http,
    refusal: Mutex<Option<Refusal>>,
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

/// An error answer of the token endpoint.
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
        // Trace ids follow on further lines; a message that changes with every try would change a status each time.
        let first_line = self.description.lines().next().unwrap_or_default();
        let sentence = first_line.split(" Trace ID:").next().unwrap_or_default();
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

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    one_line(&cause.to_string())
}

/// A text as one bounded line.
fn one_line(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(512)
        .collect()
}
