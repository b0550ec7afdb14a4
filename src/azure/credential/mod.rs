//! How a principal proves who it is: the credentials of `azure_identity` and the two that it lacks, and what their
//! failures mean.
//!
//! `azure_identity` calls Entra ID. A credential is created for one request and dropped, because its cache can neither be
//! invalidated after a 401 nor return the old token while a renewal fails. The cache is [`Tokens`](super::token::Tokens).

mod certificate;
mod error;
mod host;
mod managed;
mod refusal;

use std::fmt;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Url;

use super::http::Http;
use super::scope::TokenScope;
use super::token::{FetchedToken, TokenSource};
use refusal::Recorder;

pub use certificate::{CertificateError, ClientCertificate};
pub use error::{CredentialError, Rejection};
pub use host::HostIdentity;

/// Yields a fresh federated token (a JWT whose audience is the cloud's federation audience) whenever one is exchanged.
#[derive(Clone)]
pub struct AssertionSource(Arc<dyn Fn() -> BoxFuture<'static, Result<String, CredentialError>> + Send + Sync>);

impl AssertionSource {
    /// Wraps the function that obtains the token. Its error is [`CredentialError::Assertion`].
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
    Certificate(ClientCertificate),
    Assertion(AssertionSource),
}

/// A principal of a tenant with its proof. It requests a token from Entra ID at every call.
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

    /// An application with a certificate, whose key signs an assertion for every request.
    pub fn certificate(
        http: Http,
        authority: Url,
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        certificate: ClientCertificate,
    ) -> Self {
        Self {
            http,
            authority,
            tenant: tenant.into(),
            client_id: client_id.into(),
            proof: Proof::Certificate(certificate),
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

    async fn request(&self, scope: &TokenScope) -> Result<FetchedToken, CredentialError> {
        let recorder = Arc::new(Recorder::new(self.http.clone()));
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
            Proof::Certificate(certificate) => {
                let assertion = certificate.assertion(&self.client_id, &self.token_endpoint())?;
                self.asserted(assertion, options).map_err(invalid)?
            }
            Proof::Assertion(source) => self.asserted((source.0)().await?, options).map_err(invalid)?,
        };
        match credential.get_token(&[scope.as_str()], None).await {
            Ok(token) => Ok(FetchedToken {
                secret: token.token.secret().to_owned(),
                expires: Timestamp::from_second(token.expires_on.unix_timestamp()).unwrap_or(Timestamp::MIN),
            }),
            Err(error) => Err(recorder.refusal().unwrap_or_else(|| CredentialError::Unavailable {
                message: root_cause(&error),
                retry_after: None,
            })),
        }
    }
}

impl Credential {
    fn asserted(&self, assertion: String, options: ClientOptions) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let credential = ClientAssertionCredential::new(
            self.tenant.clone(),
            self.client_id.clone(),
            OneAssertion(assertion),
            Some(ClientAssertionCredentialOptions {
                client_options: options,
            }),
        )?;
        Ok(credential)
    }

    /// The endpoint that `azure_identity` sends the assertion to, which must be its audience.
    fn token_endpoint(&self) -> String {
        format!(
            "{}/{}/oauth2/v2.0/token",
            self.authority.as_str().trim_end_matches('/'),
            self.tenant
        )
    }
}

impl TokenSource for Credential {
    fn fetch<'a>(&'a self, scope: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        Box::pin(self.request(scope))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.proof {
            Proof::ClientSecret(_) => "clientSecret",
            Proof::Certificate(_) => "clientCertificate",
            Proof::Assertion(_) => "assertion",
        };
        f.debug_struct("Credential")
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .field("kind", &kind)
            .finish_non_exhaustive()
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
