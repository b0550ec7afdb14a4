//! The HTTP clients of a cloud, and what their failures mean.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::cloud::Cloud;

/// How long a connection, TLS included, may take to be established.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause that a service's response can impose; a longer one counts as a mistake.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Idle connections that are kept to one host of sessions, so that the next job's calls need no handshake.
const IDLE_SESSION_CONNECTIONS: usize = 256;

/// Connection pools that trust the system's roots and the cloud's bundle.
///
/// They follow no redirect (a token would travel along) and repeat nothing by themselves. Resource Manager and the
/// authority, whose calls are short, are spoken to in HTTP/2 where they offer it. Sessions are in HTTP/1.1 only: each call
/// has a connection of its own then, while in HTTP/2 all calls to a region share one, with as many at a time as the server
/// likes, and those that wait for commands would keep everybody's others waiting. Every request sets a deadline of its
/// own. The process's rustls provider must be installed before.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    sessions: reqwest::Client,
    longest: Duration,
}

/// Why no client could be created.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The CA bundle is not a PEM file with certificates.
    #[error("CA bundle holds no readable certificate")]
    CaBundle,
    /// TLS could not be set up.
    #[error("cannot set up the HTTP client")]
    Build(#[source] reqwest::Error),
}

impl Http {
    /// Creates the clients of a cloud.
    pub fn new(cloud: &Cloud) -> Result<Self, HttpError> {
        let sessions = builder(cloud)?
            .http1_only()
            .pool_max_idle_per_host(IDLE_SESSION_CONNECTIONS);
        Ok(Self {
            client: builder(cloud)?.build().map_err(HttpError::Build)?,
            sessions: sessions.build().map_err(HttpError::Build)?,
            longest: Duration::MAX,
        })
    }

    /// The same connections, with no call that lasts longer than `longest`, whatever its own deadline is.
    #[must_use]
    pub fn with_longest_call(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// The deadline of a call that would like to have `wanted`.
    pub(super) fn deadline(&self, wanted: Duration) -> Duration {
        wanted.min(self.longest)
    }

    /// The client of Resource Manager and the authority, for a request with a deadline.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The client of sessions, for a request with a deadline.
    pub(super) fn sessions(&self) -> &reqwest::Client {
        &self.sessions
    }
}

/// What all clients of a cloud have.
fn builder(cloud: &Cloud) -> Result<reqwest::ClientBuilder, HttpError> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("lifeguard/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        // Load balancers of Azure drop idle connections after four minutes; a shorter stay avoids sending into one.
        .pool_idle_timeout(Duration::from_mins(1));
    let Some(bundle) = &cloud.ca_bundle else {
        return Ok(builder);
    };
    let certificates = reqwest::Certificate::from_pem_bundle(bundle).map_err(|_| HttpError::CaBundle)?;
    if certificates.is_empty() {
        return Err(HttpError::CaBundle);
    }
    Ok(builder.tls_certs_merge(certificates))
}

/// How far a request without a usable response can have got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing of it was sent: there was no connection, or TLS failed.
    Nothing,
    /// It may have been carried out.
    Unknown,
}

/// A request without a usable response. Its text contains no URL, because query values may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// How far it can have got.
    pub reached: Reached,
    /// Whether the deadline ended it.
    pub timed_out: bool,
    message: String,
}

impl TransportError {
    /// The answer began but its body cannot be used.
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self {
            reached: Reached::Unknown,
            timed_out: false,
            message: message.into(),
        }
    }
}

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        let reached = if error.is_connect() || error.is_builder() {
            Reached::Nothing
        } else {
            Reached::Unknown
        };
        let timed_out = error.is_timeout();
        Self {
            reached,
            timed_out,
            message: chain(&error.without_url()),
        }
    }
}

/// The texts of an error and its sources in one line, without those that only repeat what was said.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The pause that a response asks for: `retry-after-ms`, `x-ms-retry-after-ms`, else `Retry-After` in seconds or as an
/// HTTP date, in this order as azure-core 1.41.0 reads them.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = ["retry-after-ms", "x-ms-retry-after-ms"]
        .into_iter()
        .find_map(|name| text(name)?.parse().ok().map(Duration::from_millis));
    let pause = milliseconds.or_else(|| {
        let value = text("retry-after")?;
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
    })?;
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// When the response was created, by the clock of its sender.
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let value = headers.get("date")?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp())
}

/// Reads a body to its end, at most `limit` bytes of it.
pub(super) async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(TransportError::unreadable(format!(
                "answer is longer than {limit} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{LONGEST_RETRY_AFTER, retry_after};

    fn pause(name: &'static str, value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        retry_after(&headers, "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap())
    }

    #[test]
    fn a_pause_is_read_as_seconds_date_or_milliseconds() {
        assert_eq!(pause("retry-after", "17"), Some(Duration::from_secs(17)));
        assert_eq!(
            pause("retry-after", "Sun, 01 Mar 2026 12:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            pause("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(pause("x-ms-retry-after-ms", "250"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_pause_that_makes_no_sense_is_none_or_bounded() {
        assert_eq!(pause("retry-after", "soon"), None);
        assert_eq!(pause("retry-after", "-3"), None);
        assert_eq!(pause("retry-after", "99999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }
}
