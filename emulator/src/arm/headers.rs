//! Headers that every answer of ARM carries.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use uuid::Uuid;

use super::request::Arrived;
use super::{ArmError, ArmReply};
use crate::AppState;

/// `x-ms-ratelimit-remaining-*` of an answer.
#[derive(Debug, Default)]
pub struct RateLimits {
    pub remaining: Vec<(&'static str, u32)>,
}

/// Makes the HTTP answer.
pub fn finish(state: &AppState, arrived: &Arrived, limits: &RateLimits, reply: Result<ArmReply, ArmError>) -> Response {
    let (status, own, body, from_provider, from_gateway) = match reply {
        Ok(reply) => (reply.status, reply.headers, reply.body, reply.from_provider, false),
        Err(error) => {
            let body = error.body();
            (
                error.status,
                error.headers,
                Some(body),
                !error.from_gateway,
                error.from_gateway,
            )
        }
    };
    let body = body.filter(|_| arrived.method != Method::HEAD && status != StatusCode::NO_CONTENT);
    let mut response = Response::new(
        body.as_ref()
            .map_or_else(Body::empty, |body| Body::from(body.to_string())),
    );
    *response.status_mut() = status;

    let now = state.clock().now();
    let request_id = Uuid::new_v4().to_string();
    let correlation = arrived
        .header("x-ms-correlation-request-id")
        .filter(|id| Uuid::parse_str(id).is_ok())
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let routing = format!("EMULATOR:{}:{}", now.strftime("%Y%m%dT%H%M%SZ"), Uuid::new_v4());
    let mut set = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    };
    if body.is_some() {
        set(CONTENT_TYPE.as_str(), "application/json; charset=utf-8");
    }
    set("cache-control", "no-cache");
    set("pragma", "no-cache");
    set("expires", "-1");
    set("strict-transport-security", "max-age=31536000; includeSubDomains");
    set("x-content-type-options", "nosniff");
    set("x-cache", "CONFIG_NOCACHE");
    set("x-ms-request-id", &request_id);
    set("x-ms-correlation-request-id", &correlation);
    set("x-ms-routing-request-id", &routing);
    if arrived
        .header("x-ms-return-client-request-id")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && let Some(id) = arrived.header("x-ms-client-request-id")
    {
        set("x-ms-client-request-id", id);
    }
    if from_provider && arrived.lower.iter().any(|segment| segment == "microsoft.app") {
        let pools = arrived.lower.iter().any(|segment| segment == "sessionpools");
        let versions = if pools {
            super::versions::SESSION_POOLS
        } else {
            super::versions::CONTAINER_APPS
        };
        set("x-powered-by", "ASP.NET");
        set("api-supported-versions", &versions.join(", "));
    }
    if from_gateway {
        set("x-ms-failure-cause", "gateway");
    }
    for (name, left) in &limits.remaining {
        set(name, &left.to_string());
    }
    for (name, value) in &own {
        set(name, value);
    }
    response
}
