//! Requests as ARM reads them: paths, property names and parameters without regard to case.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::ArmError;
use crate::identity::Principal;
use crate::{AppState, query};

/// Largest body that ARM takes (Azure Resource Manager limits: a request body has at most 4 MB).
const LARGEST_BODY_BYTES: usize = 4 * 1024 * 1024;

/// A request before it is known who sent it.
#[derive(Debug)]
pub struct Arrived {
    pub method: Method,
    pub path: String,
    /// Path segments, decoded, as they were sent.
    pub segments: Vec<String>,
    /// The same in lower case, to compare.
    pub lower: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Arrived {
    pub async fn read(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(query::decode_segment)
            .collect();
        Self {
            method: parts.method,
            lower: segments.iter().map(|segment| segment.to_ascii_lowercase()).collect(),
            segments,
            query: query::parse(parts.uri.query().unwrap_or_default()),
            path,
            headers: parts.headers,
            body,
        }
    }

    /// A request that ARM makes itself.
    pub fn internal(method: Method, path: &str, api_version: &str, body: Option<&Value>) -> Self {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(str::to_owned)
            .collect();
        Self {
            method,
            path: path.to_owned(),
            lower: segments.iter().map(|segment| segment.to_ascii_lowercase()).collect(),
            segments,
            query: vec![("api-version".to_owned(), api_version.to_owned())],
            headers: HeaderMap::new(),
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
        }
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter, whatever the case of its name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        query::find(&self.query, name)
    }
}

/// A request of a known principal.
#[derive(Debug)]
pub struct ArmRequest<'a> {
    /// The emulator.
    pub state: &'a AppState,
    /// What was sent.
    pub arrived: &'a Arrived,
    /// Who sent it.
    pub principal: Principal,
    /// `api-version`.
    pub api_version: &'a str,
    /// The virtual time at which it is answered.
    pub now: Timestamp,
}

impl ArmRequest<'_> {
    /// Refuses a body that does not say that it is JSON, and one that is too large.
    pub fn check_body(&self) -> Result<(), ArmError> {
        let content_type = self.arrived.header(CONTENT_TYPE.as_str()).unwrap_or("application/json");
        if !content_type.to_ascii_lowercase().contains("json") {
            return Err(ArmError::gateway(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                format!(
                    "The content media type '{content_type}' is not supported. Only 'application/json' is supported."
                ),
            ));
        }
        if self.arrived.body.len() > LARGEST_BODY_BYTES {
            return Err(ArmError::gateway(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestContentTooLarge",
                format!("The request content size exceeds the maximum size of {LARGEST_BODY_BYTES} bytes."),
            ));
        }
        Ok(())
    }

    /// The JSON object that the body is.
    pub fn body(&self) -> Result<Value, ArmError> {
        self.check_body()?;
        match serde_json::from_slice::<Value>(&self.arrived.body) {
            Ok(value) if value.is_object() => Ok(value),
            Ok(_) => Err(ArmError::invalid_content(
                "The request content was invalid and could not be deserialized: 'an object was expected'.",
            )),
            Err(error) => Err(ArmError::invalid_content(format!(
                "The request content was invalid and could not be deserialized: '{error}'."
            ))),
        }
    }

    /// URL of a path of this emulator, with the request's API version.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}?api-version={}", self.state.root(), self.api_version)
    }
}

/// An answer that is no error.
#[derive(Debug, Clone)]
pub struct ArmReply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers of this answer only.
    pub headers: Vec<(&'static str, String)>,
    /// Body, if it has one.
    pub body: Option<Value>,
    /// Whether a resource provider gave it, not ARM itself.
    pub from_provider: bool,
    /// When it is sent, by the virtual clock, if what it answers takes a while.
    pub held_until: Option<Timestamp>,
}

impl ArmReply {
    /// An answer with a body.
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Some(body),
            from_provider: false,
            held_until: None,
        }
    }

    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
            from_provider: false,
            held_until: None,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same, sent no sooner than this.
    #[must_use]
    pub fn held_until(mut self, until: Timestamp) -> Self {
        self.held_until = Some(until);
        self
    }

    /// The same, given by a resource provider.
    #[must_use]
    pub fn by_provider(mut self) -> Self {
        self.from_provider = true;
        self
    }
}
