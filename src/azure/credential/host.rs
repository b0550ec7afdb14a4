//! The identity of the host that the process runs on.
//!
//! `azure_identity` 1.0.0 has a credential for this, and it is not used: its endpoint of a virtual machine cannot be set (so
//! neither `AZURE_POD_IDENTITY_AUTHORITY_HOST`, which the SDKs of other languages follow, nor a test), it sleeps up to
//! 70 seconds between tries of its own, and it reads `expires_on` only as a string. What is left to do is one GET.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::error::CredentialError;
use super::managed::{TokenAnswer, TokenFailure};
use super::{AssertionSource, Credential};
use crate::azure::error::ErrorClass;
use crate::azure::http::{Http, HttpError, TransportError, read_body, retry_after};
use crate::azure::scope::TokenScope;
use crate::azure::token::{FetchedToken, TokenSource};

/// The Instance Metadata Service of every virtual machine.
const IMDS: &str = "http://169.254.169.254";
/// Its path and version ("How to use managed identities for Azure resources on an Azure VM to acquire an access token").
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
const IMDS_API_VERSION: &str = "2018-02-01";
/// The version of the endpoint of App Service and Container Apps ("Managed identities in Azure Container Apps").
const APP_SERVICE_API_VERSION: &str = "2019-08-01";
/// Where there is no IMDS, nothing responds; azure-identity waits as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The deadline of one try.
const TRY_DEADLINE: Duration = Duration::from_secs(5);
/// The pauses before a second and a third try. Whatever takes longer, such as an update of IMDS (410, up to 70 s), is left
/// to the caller, who comes back.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// The most bytes of a response.
const MAX_ANSWER: usize = 256 * 1024;

/// Where tokens of the host's identity can be obtained.
#[derive(Clone)]
enum Source {
    /// From an endpoint of the host, for its managed identities.
    Managed(Endpoint),
    /// By workload identity of the process's own pod.
    WorkloadIdentity {
        client_id: Option<String>,
        token_file: PathBuf,
    },
    /// Nowhere, with the reason.
    Unusable(String),
}

/// An endpoint that gives tokens of managed identities.
#[derive(Clone)]
struct Endpoint {
    what: &'static str,
    url: Url,
    api_version: &'static str,
    /// What a request has to prove that it comes from the host and not from a browser or a proxy.
    header: (HeaderName, HeaderValue),
}

/// The identity of the host, as its environment describes it. Clones share connections.
#[derive(Clone)]
pub struct HostIdentity {
    source: Source,
    client: reqwest::Client,
}

impl fmt::Debug for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostIdentity")
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl HostIdentity {
    /// Reads the environment variables of the process. Nothing is sent. The process's rustls provider must be installed.
    pub fn of_process() -> Result<Self, HttpError> {
        Self::of_environment(|name| std::env::var(name).ok())
    }

    /// The same with other variables. The order is that of azure-identity 1.27.0; its probe of IMDS is left out.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HttpError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("lifeguard/", env!("CARGO_PKG_VERSION")))
            // A proxy would answer as its own host, and would see the token.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(HttpError::Build)?;
        let source = Source::select(|name| variable(name).filter(|value| !value.is_empty()));
        Ok(Self { source, client })
    }

    /// The kind of host, for people to read.
    pub fn kind(&self) -> &'static str {
        match &self.source {
            Source::Managed(endpoint) => endpoint.what,
            Source::WorkloadIdentity { .. } => "workload identity of the operator's pod",
            Source::Unusable(_) => "a host without a usable identity",
        }
    }

    /// Tokens of the host's identity with this client id, by default of its system-assigned one or of the one that its
    /// environment names. `http`, `authority` and `tenant` serve workload identity only.
    pub fn token_source(
        &self,
        http: Http,
        authority: Url,
        tenant: &str,
        client_id: Option<&str>,
    ) -> Arc<dyn TokenSource> {
        match &self.source {
            Source::WorkloadIdentity {
                client_id: default,
                token_file,
            } => match client_id.or(default.as_deref()) {
                Some(client_id) => {
                    let source = token_of_file(token_file.clone());
                    Arc::new(Credential::assertion(http, authority, tenant, client_id, source))
                }
                None => Arc::new(Unusable(
                    "the operator's ServiceAccount names no client id (AZURE_CLIENT_ID), so \
                     spec.credential.hostIdentity.clientId is needed"
                        .to_owned(),
                )),
            },
            Source::Managed(endpoint) => Arc::new(Managed {
                endpoint: endpoint.clone(),
                client: self.client.clone(),
                client_id: client_id.map(str::to_owned),
            }),
            Source::Unusable(why) => Arc::new(Unusable(why.clone())),
        }
    }
}

impl Source {
    fn select(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &str| variable(name).is_some();
        let unsupported = |what: &str| Self::Unusable(format!("the managed identity of {what} is not supported"));
        if let Some(endpoint) = variable("IDENTITY_ENDPOINT") {
            if let Some(header) = variable("IDENTITY_HEADER") {
                if is_set("IDENTITY_SERVER_THUMBPRINT") {
                    return unsupported("Service Fabric");
                }
                return Self::app_service(&endpoint, &header);
            }
            if is_set("IMDS_ENDPOINT") {
                return unsupported("Azure Arc");
            }
        }
        if is_set("MSI_ENDPOINT") {
            return unsupported(if is_set("MSI_SECRET") {
                "Azure Machine Learning"
            } else {
                "Cloud Shell"
            });
        }
        // The tenant is the account's own; that the variable is there tells that the others were meant for this.
        if let (Some(file), true) = (variable("AZURE_FEDERATED_TOKEN_FILE"), is_set("AZURE_TENANT_ID")) {
            return Self::WorkloadIdentity {
                client_id: variable("AZURE_CLIENT_ID"),
                token_file: file.into(),
            };
        }
        Self::imds(variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").as_deref().unwrap_or(IMDS))
    }

    fn app_service(endpoint: &str, header: &str) -> Self {
        match (Url::parse(endpoint), HeaderValue::from_str(header)) {
            (Ok(url), Ok(mut value)) => {
                value.set_sensitive(true);
                Self::Managed(Endpoint {
                    what: "App Service or Container Apps",
                    url,
                    api_version: APP_SERVICE_API_VERSION,
                    header: (HeaderName::from_static("x-identity-header"), value),
                })
            }
            (Err(_), _) => Self::Unusable("IDENTITY_ENDPOINT is not a URL".to_owned()),
            (_, Err(_)) => Self::Unusable("IDENTITY_HEADER cannot be sent as a header".to_owned()),
        }
    }

    fn imds(host: &str) -> Self {
        match Url::parse(&format!("{}{IMDS_PATH}", host.trim_end_matches('/'))) {
            Ok(url) => Self::Managed(Endpoint {
                what: "a virtual machine (IMDS)",
                url,
                api_version: IMDS_API_VERSION,
                header: (HeaderName::from_static("metadata"), HeaderValue::from_static("true")),
            }),
            Err(_) => Self::Unusable("AZURE_POD_IDENTITY_AUTHORITY_HOST is not a URL".to_owned()),
        }
    }
}

/// The kubelet renews the file, so it is read for every exchange.
fn token_of_file(file: PathBuf) -> AssertionSource {
    AssertionSource::new(move || {
        let file = file.clone();
        Box::pin(async move {
            let read = tokio::fs::read_to_string(&file).await;
            read.map(|token| token.trim().to_owned())
                .map_err(|error| CredentialError::Host {
                    class: ErrorClass::Transient,
                    code: "NoFederatedToken".to_owned(),
                    message: format!("{} cannot be read: {error}", file.display()),
                })
        })
    })
}

/// A host whose identity cannot be used, and why.
struct Unusable(String);

impl TokenSource for Unusable {
    fn fetch<'a>(&'a self, _: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        let message = self.0.clone();
        Box::pin(async { Err(CredentialError::Configuration { message }) })
    }
}

/// A managed identity of the host.
struct Managed {
    endpoint: Endpoint,
    client: reqwest::Client,
    client_id: Option<String>,
}

impl TokenSource for Managed {
    fn fetch<'a>(&'a self, scope: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        Box::pin(async move {
            for pause in PAUSES {
                match self.ask(scope).await {
                    Err(failure) if failure.may_pass => tokio::time::sleep(pause).await,
                    answered => return answered.map_err(|failure| failure.error),
                }
            }
            self.ask(scope).await.map_err(|failure| failure.error)
        })
    }
}

impl Managed {
    async fn ask(&self, scope: &TokenScope) -> Result<FetchedToken, TokenFailure> {
        let mut url = self.endpoint.url.clone();
        url.query_pairs_mut()
            .append_pair("api-version", self.endpoint.api_version)
            .append_pair("resource", scope.audience())
            .extend_pairs(self.client_id.as_ref().map(|id| ("client_id", id)));
        let (name, value) = self.endpoint.header.clone();
        let request = self.client.get(url).header(name, value).timeout(TRY_DEADLINE);
        let unreachable = |error: TransportError| TokenFailure::unreachable(self.endpoint.what, &error);
        let response = request.send().await.map_err(|error| unreachable(error.into()))?;
        let answer = TokenAnswer {
            status: response.status().as_u16(),
            pause: retry_after(response.headers(), Timestamp::now()),
            body: read_body(response, MAX_ANSWER).await.map_err(unreachable)?,
        };
        answer.into_token(Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(variables: &[(&str, &str)]) -> Source {
        Source::select(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// The URL, or what it is instead.
    fn described(source: &Source) -> String {
        match source {
            Source::Managed(endpoint) => format!("{} {}", endpoint.header.0, endpoint.url),
            Source::WorkloadIdentity { client_id, token_file } => {
                format!("{} {}", client_id.as_deref().unwrap_or("-"), token_file.display())
            }
            Source::Unusable(why) => why.clone(),
        }
    }

    #[test]
    fn the_environment_says_where_the_identity_is_to_be_had() {
        let endpoint = ("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token");
        let header = ("IDENTITY_HEADER", "secret");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
        let tenant = ("AZURE_TENANT_ID", "t");
        let client = ("AZURE_CLIENT_ID", "c");
        let machine = "metadata http://169.254.169.254/metadata/identity/oauth2/token";
        for (variables, expected) in [
            (&[][..], machine),
            (
                &[endpoint, header],
                "x-identity-header http://localhost:42356/msi/token",
            ),
            (
                &[endpoint, header, file, tenant, client],
                "x-identity-header http://localhost:42356/msi/token",
            ),
            (&[file, tenant, client], "c /token"),
            (&[file, tenant], "- /token"),
            (&[file, client], machine),
            (&[tenant, client], machine),
            (&[header], machine),
            (
                &[endpoint, header, ("IDENTITY_SERVER_THUMBPRINT", "x")],
                "the managed identity of Service Fabric is not supported",
            ),
            (
                &[endpoint, ("IMDS_ENDPOINT", "x")],
                "the managed identity of Azure Arc is not supported",
            ),
            (
                &[("MSI_ENDPOINT", "x"), file, tenant],
                "the managed identity of Cloud Shell is not supported",
            ),
            (
                &[("MSI_ENDPOINT", "x"), ("MSI_SECRET", "x")],
                "the managed identity of Azure Machine Learning is not supported",
            ),
            (
                &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1/")],
                "metadata http://127.0.0.1:1/metadata/identity/oauth2/token",
            ),
            (
                &[("IDENTITY_ENDPOINT", "nowhere"), header],
                "IDENTITY_ENDPOINT is not a URL",
            ),
        ] {
            assert_eq!(described(&select(variables)), expected, "{variables:?}");
        }
    }

    #[test]
    fn the_header_is_never_shown() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let host = HostIdentity::of_environment(|name| match name {
            "IDENTITY_ENDPOINT" => Some("http://localhost".to_owned()),
            "IDENTITY_HEADER" => Some("canary".to_owned()),
            _ => None,
        })
        .unwrap();
        assert!(!format!("{host:?}").contains("canary"));
        let Source::Managed(endpoint) = &host.source else {
            panic!("managed")
        };
        assert!(!format!("{:?}", endpoint.header).contains("canary"));
    }
}
