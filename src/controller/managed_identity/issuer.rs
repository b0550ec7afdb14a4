//! The issuer of this cluster's ServiceAccount tokens, and which others the installation allows.

use axum::http;
use kube::Client;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::runtime::{ApiError, Class, Classify};

use super::trust::AllowedIssuers;

/// Where the API server describes the issuer of its tokens (OpenID Connect Discovery 1.0). Kubernetes lets every
/// ServiceAccount read it (ClusterRole `system:service-account-issuer-discovery`).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the process is told about issuers.
#[derive(Debug)]
pub struct Issuers {
    /// That of this cluster.
    pub cluster: ClusterIssuer,
    /// Those that may be trusted besides.
    pub allowed: AllowedIssuers,
}

impl Issuers {
    /// The cluster's issuer as the installation names it, if it does, and those that it allows besides.
    pub fn new(cluster: Option<&str>, allowed: &[String]) -> Self {
        Self {
            cluster: ClusterIssuer::new(cluster),
            allowed: AllowedIssuers::new(allowed),
        }
    }
}

/// The issuer of this cluster's ServiceAccount tokens: what the installation says, else what the API server says when it
/// is asked first.
#[derive(Debug)]
pub struct ClusterIssuer(OnceCell<String>);

/// What is known of the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// It is known.
    Known(String),
    /// The API server does not tell, which somebody has to change.
    Untold {
        /// Why, for people.
        why: String,
    },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

impl ClusterIssuer {
    /// The issuer that the installation names, or that has to be asked for.
    pub fn new(configured: Option<&str>) -> Self {
        Self(OnceCell::new_with(configured.map(str::to_owned)))
    }

    /// The issuer. Fails while the API server cannot be asked.
    pub async fn get(&self, client: &Client) -> Result<Issuer, ApiError> {
        match self.0.get_or_try_init(|| discover(client)).await {
            Ok(issuer) => Ok(Issuer::Known(issuer.clone())),
            Err(error) => match error.class() {
                Class::Transient | Class::Throttled { .. } | Class::Conflict => Err(error),
                Class::Waiting { .. } | Class::Denied | Class::Forbidden | Class::Terminal | Class::Bug => {
                    Ok(Issuer::Untold { why: error.to_string() })
                }
            },
        }
    }
}

async fn discover(client: &Client) -> Result<String, ApiError> {
    let request = http::Request::get(DISCOVERY)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    let discovery: Discovery = client.request(request).await?;
    Ok(discovery.issuer)
}
