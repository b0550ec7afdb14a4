//! Tokens of ServiceAccounts, for workload identity federation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Mutex;

use crate::azure::{AssertionSource, CredentialError, ErrorClass};
use crate::controller::object_name::is_object_name;
use crate::runtime::{ApiError, Class, Classify};

/// How long a token is asked for. The API server may give less.
const LIFETIME: Duration = Duration::from_hours(1);
/// A token is renewed when less than this is left; it is used until its end where that fails.
const RENEW_BEFORE: Duration = Duration::from_mins(15);
/// A token is not exchanged in its last seconds.
const LAST_SECONDS: Duration = Duration::from_secs(10);

/// The tokens of one ServiceAccount for one audience, kept in memory and nowhere else.
///
/// The last one is kept to its end, because a namespace that is being deleted gets no new ones.
pub struct Federation {
    api: Api<ServiceAccount>,
    namespace: String,
    name: String,
    audience: String,
    cached: Mutex<Option<IssuedToken>>,
}

struct IssuedToken {
    token: String,
    expires: Timestamp,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Federation({}/{})", self.namespace, self.name)
    }
}

impl Federation {
    /// Tokens of a ServiceAccount for the audience that the authority expects.
    pub fn new(client: Client, namespace: &str, name: &str, audience: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            audience: audience.to_owned(),
            cached: Mutex::default(),
        }
    }

    /// The source that a credential asks for a token at each exchange.
    pub fn into_source(self) -> AssertionSource {
        let federation = Arc::new(self);
        AssertionSource::new(move || {
            let federation = Arc::clone(&federation);
            Box::pin(async move { federation.token().await })
        })
    }

    async fn token(&self) -> Result<String, CredentialError> {
        let mut cached = self.cached.lock().await;
        let left = |cached: &IssuedToken| {
            Duration::try_from(cached.expires.duration_since(Timestamp::now())).unwrap_or_default()
        };
        if let Some(cached) = cached.as_ref().filter(|cached| left(cached) > RENEW_BEFORE) {
            return Ok(cached.token.clone());
        }
        match self.request(cached.is_some()).await {
            Ok(fresh) => Ok(cached.insert(fresh).token.clone()),
            Err(error) => match cached.as_ref().filter(|cached| left(cached) > LAST_SECONDS) {
                Some(cached) => {
                    tracing::warn!(service_account = %self.name, %error, "no new token; the old one is used until its end");
                    Ok(cached.token.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn request(&self, has_issued: bool) -> Result<IssuedToken, CredentialError> {
        if !is_object_name(&self.name) {
            return Err(self.not_found());
        }
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![self.audience.clone()],
                expiration_seconds: Some(LIFETIME.as_secs().cast_signed()),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let answer = self
            .api
            .create_token_request(&self.name, &PostParams::default(), &request)
            .await
            .map_err(|error| self.refusal(&ApiError::from(error), has_issued))?;
        let status = answer.status.ok_or_else(|| CredentialError::Assertion {
            class: ErrorClass::Transient,
            message: "the API server answered a TokenRequest without a token".to_owned(),
        })?;
        Ok(IssuedToken {
            token: status.token,
            expires: status.expiration_timestamp.0,
        })
    }

    fn not_found(&self) -> CredentialError {
        let Self { namespace, name, .. } = self;
        CredentialError::Assertion {
            class: ErrorClass::Waiting,
            message: format!(
                "ServiceAccount {name} does not exist in namespace {namespace} (spec.credential.workloadIdentity.serviceAccountRef)"
            ),
        }
    }

    /// What the API server's refusal means. Never [`ErrorClass::NotFound`], which is kept for resources in Azure. One that has issued
    /// tokens before may have been restarted, and not have read its roles yet.
    fn refusal(&self, error: &ApiError, has_issued: bool) -> CredentialError {
        let name = &self.name;
        if error.is_not_found() {
            return self.not_found();
        }
        match error.class() {
            Class::Denied | Class::Forbidden if !has_issued => CredentialError::Assertion {
                class: ErrorClass::Denied,
                message: format!(
                    "the API server gives no token of ServiceAccount {name}: {error}. The operator may ask for tokens of the names in the chart's value workloadIdentity.serviceAccountNames"
                ),
            },
            Class::Throttled { after } => CredentialError::Assertion {
                class: ErrorClass::Throttled(after),
                message: format!("the API server gives no token of ServiceAccount {name}: {error}"),
            },
            Class::Waiting { .. }
            | Class::Conflict
            | Class::Transient
            | Class::Denied
            | Class::Forbidden
            | Class::Terminal
            | Class::Bug => CredentialError::Assertion {
                class: ErrorClass::Transient,
                message: format!("the API server gives no token of ServiceAccount {name}: {error}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use kube::Config;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::azure::CredentialError;

    /// An API server that gives tokens, of a few seconds each, or refuses to.
    async fn served(refuses: Arc<AtomicBool>) -> Client {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let answer = move || async move { answer(refuses.load(Ordering::Relaxed)) };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Client::try_from(Config::new(root.parse().unwrap())).unwrap()
    }

    fn answer(refuses: bool) -> (StatusCode, Json<Value>) {
        if refuses {
            let status =
                json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
            return (StatusCode::FORBIDDEN, Json(status));
        }
        let expires = Timestamp::now() + jiff::SignedDuration::from_secs(5);
        let token = json!({
            "spec": {"audiences": []}, "status": {"token": "t", "expirationTimestamp": expires.to_string()},
        });
        (StatusCode::CREATED, Json(token))
    }

    fn class(refused: Result<String, CredentialError>) -> ErrorClass {
        match refused {
            Err(CredentialError::Assertion { class, .. }) => class,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_an_api_server_refuses_that_gave_tokens_before_is_tried_again_soon() {
        let refuses = Arc::new(AtomicBool::new(false));
        let client = served(Arc::clone(&refuses)).await;
        let federation = |client: &Client| Federation::new(client.clone(), "n", "lifeguard", "audience");
        let known = federation(&client);
        assert_eq!(known.token().await.unwrap(), "t");
        refuses.store(true, Ordering::Relaxed);
        assert_eq!(class(known.token().await), ErrorClass::Transient);
        assert_eq!(class(federation(&client).token().await), ErrorClass::Denied);
    }
}
