//! Calls to Azure Resource Manager.

mod error_body;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument;

use super::cloud::Cloud;
use super::error::{AzureError, ErrorClass};
use super::http::{Http, TransportError, read_body, retry_after};
use super::scope::TokenScope;
use super::throttle::{Gate, OperationKind, RateObservation};
use super::token::Tokens;

pub(super) use error_body::read_error;

/// How long a call may take, its token not counted.
pub const ARM_DEADLINE: Duration = Duration::from_mins(1);
/// The longest answer that is read.
const MAX_BODY: usize = 16 << 20;
/// The most pages of a list that are followed.
const MAX_PAGES: usize = 1000;

/// A client of Azure Resource Manager for one principal and subscription; clones share everything.
///
/// Every try has a new `x-ms-client-request-id`, because ARM repeats the response of a known one. A 401 drops the
/// token; GET, HEAD, PUT and DELETE are then sent once more with a new one. Nothing else is ever sent twice. The gate
/// is asked before each try and fails at once.
#[derive(Clone)]
pub struct ArmClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    endpoint: Url,
    scope: TokenScope,
    tokens: Tokens,
    gate: Gate,
}

/// A successful response.
#[derive(Clone)]
pub struct ArmResponse {
    /// The status, 2xx.
    pub status: StatusCode,
    /// The pause that ARM asks for before the next request.
    pub retry_after: Option<Duration>,
    /// The URL of a long-running operation's status; about 4 KB and signed, so it is never logged or stored.
    pub async_operation: Option<String>,
    /// The URL of a long-running operation's result; like `async_operation`.
    pub location: Option<String>,
    /// Azure's id of the request.
    pub request_id: Option<String>,
    /// The body; `Null` where there was none.
    pub body: Value,
}

impl ArmResponse {
    /// The body as a type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, AzureError> {
        T::deserialize(&self.body).map_err(|error| AzureError::Unexpected {
            message: error.to_string(),
            request_id: self.request_id.clone(),
        })
    }
}

impl fmt::Debug for ArmResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmResponse")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArmClient")
            .field("endpoint", &self.inner.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl ArmClient {
    /// A client whose requests pass the given gate.
    pub fn new(http: Http, cloud: &Cloud, tokens: Tokens, gate: Gate) -> Self {
        Self {
            inner: Arc::new(Inner {
                http,
                endpoint: cloud.resource_manager.clone(),
                scope: cloud.resource_manager_scope.clone(),
                tokens,
                gate,
            }),
        }
    }

    /// Reads a resource by its path, which begins with `/subscriptions/`.
    pub async fn get(&self, path: &str, api_version: &str) -> Result<ArmResponse, AzureError> {
        self.call(Method::GET, self.url(path, api_version, &[])?, None).await
    }

    /// Reads the status of a long-running operation from the URL that ARM returned for it.
    pub async fn operation(&self, url: &str) -> Result<ArmResponse, AzureError> {
        // The token goes along, so the URL must be on the same host.
        let url = Url::parse(url)
            .ok()
            .filter(|url| url.origin() == self.inner.endpoint.origin())
            .ok_or_else(|| AzureError::InvalidRequest("an operation is reported on another host".to_owned()))?;
        self.call(Method::GET, url, None).await
    }

    /// Reads a resource; `None` if it, its group or its parent does not exist.
    pub async fn find(&self, path: &str, api_version: &str) -> Result<Option<ArmResponse>, AzureError> {
        match self.get(path, api_version).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates or replaces a resource. This may start a long-running operation.
    pub async fn put(&self, path: &str, api_version: &str, body: &Value) -> Result<ArmResponse, AzureError> {
        self.call(Method::PUT, self.url(path, api_version, &[])?, Some(body))
            .await
    }

    /// Changes a resource by a merge patch. Never sent twice.
    pub async fn patch(&self, path: &str, api_version: &str, body: &Value) -> Result<ArmResponse, AzureError> {
        self.call(Method::PATCH, self.url(path, api_version, &[])?, Some(body))
            .await
    }

    /// Deletes a resource. This may start a long-running operation. A resource that does not exist is no error; ARM returns
    /// 204 or 404 for it.
    pub async fn delete(&self, path: &str, api_version: &str) -> Result<ArmResponse, AzureError> {
        self.call(Method::DELETE, self.url(path, api_version, &[])?, None).await
    }

    /// Calls an action. Never sent twice.
    pub async fn post(&self, path: &str, api_version: &str, body: Option<&Value>) -> Result<ArmResponse, AzureError> {
        self.call(Method::POST, self.url(path, api_version, &[])?, body).await
    }

    /// Reads a list to its end, with further query parameters such as `$filter`.
    pub async fn list(&self, path: &str, api_version: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, AzureError> {
        let mut url = self.url(path, api_version, query)?;
        let mut items = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut page = self.call(Method::GET, url, None).await?;
            let unexpected = |message: &str| AzureError::Unexpected {
                message: message.to_owned(),
                request_id: page.request_id.clone(),
            };
            let Some(Value::Array(mut values)) = page.body.get_mut("value").map(Value::take) else {
                return Err(unexpected("a list without `value`"));
            };
            items.append(&mut values);
            let Some(next) = page
                .body
                .get("nextLink")
                .and_then(Value::as_str)
                .filter(|next| !next.is_empty())
            else {
                return Ok(items);
            };
            // The token goes along, so the next page must be on the same host.
            url = Url::parse(next)
                .ok()
                .filter(|url| url.origin() == self.inner.endpoint.origin())
                .ok_or_else(|| unexpected("a list continues on another host"))?;
        }
        Err(AzureError::Unexpected {
            message: "a list has no end".to_owned(),
            request_id: None,
        })
    }

    fn url(&self, path: &str, api_version: &str, query: &[(&str, &str)]) -> Result<Url, AzureError> {
        let climbs = path.split('/').any(|segment| matches!(segment, "." | ".."));
        if !path.starts_with('/') || path.starts_with("//") || path.contains(['?', '#', '\\']) || climbs {
            return Err(AzureError::InvalidRequest(format!(
                "`{path}` is not the path of a resource"
            )));
        }
        let mut url = self.inner.endpoint.clone();
        url.set_path(&format!("{}{path}", self.inner.endpoint.path().trim_end_matches('/')));
        url.query_pairs_mut()
            .extend_pairs(query)
            .append_pair("api-version", api_version);
        Ok(url)
    }

    async fn call(&self, method: Method, url: Url, body: Option<&Value>) -> Result<ArmResponse, AzureError> {
        let span = tracing::debug_span!("arm", method = method.as_str(), path = url.path());
        async {
            let first = self.attempt(&method, url.clone(), body).await;
            let repeatable = matches!(method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE);
            match first {
                Err(error) if error.status() == Some(401) && repeatable => self.attempt(&method, url, body).await,
                result => result,
            }
        }
        .instrument(span)
        .await
    }

    async fn attempt(&self, method: &Method, url: Url, body: Option<&Value>) -> Result<ArmResponse, AzureError> {
        let Inner {
            http,
            scope,
            tokens,
            gate,
            ..
        } = &*self.inner;
        let kind = match *method {
            Method::GET | Method::HEAD => OperationKind::Read,
            Method::DELETE => OperationKind::Delete,
            _ => OperationKind::Write,
        };
        let token = tokens.get(scope).await?;
        let _permit = gate.admit(kind).map_err(|after| AzureError::GateClosed { after })?;
        let request_id = uuid::Uuid::new_v4().to_string();
        let mut request = http
            .client()
            .request(method.clone(), url)
            .timeout(http.deadline(ARM_DEADLINE))
            .bearer_auth(token.secret())
            .header("x-ms-client-request-id", &request_id)
            .header("accept", "application/json");
        match body {
            Some(body) => request = request.json(body),
            // ARM's front door answers 411 to a POST without a length.
            None if *method == Method::POST => request = request.body(""),
            None => {}
        }
        let response = request.send().await.map_err(TransportError::from)?;
        let status = response.status();
        let headers = response.headers().clone();
        let pause = retry_after(&headers, Timestamp::now());
        gate.observe(kind, RateObservation::read(status.as_u16(), &headers, pause));
        if status == StatusCode::UNAUTHORIZED {
            tokens.invalidate(scope, &token);
        }
        let request_id = text(&headers, "x-ms-request-id").or_else(|| text(&headers, "x-ms-correlation-request-id"));
        let body = read_body(response, MAX_BODY).await;
        tracing::debug!(
            status = status.as_u16(),
            request_id = request_id.as_deref().unwrap_or_default(),
            "answered"
        );
        if !status.is_success() {
            // The status alone is an answer, so an error body that breaks off does not hide it.
            let error = read_error(status.as_u16(), &body.unwrap_or_default(), request_id, pause);
            return Err(AzureError::Service(Box::new(error)));
        }
        let body = body?;
        let body = if body.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            serde_json::from_slice(&body).map_err(|_| AzureError::Unexpected {
                message: format!("status {} with a body that is not JSON", status.as_u16()),
                request_id: request_id.clone(),
            })?
        };
        Ok(ArmResponse {
            status,
            retry_after: pause,
            async_operation: text(&headers, "azure-asyncoperation"),
            location: text(&headers, "location"),
            request_id,
            body,
        })
    }
}

fn text(headers: &HeaderMap, name: &'static str) -> Option<String> {
    headers
        .get(HeaderName::from_static(name))
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}
