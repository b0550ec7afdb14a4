//! What a request is about: the pool, the API version, the rest of the path.

use axum::http::request::Parts;

use super::error::ServiceError;
use crate::query;

/// API versions of the data plane that are known, oldest first.
const VERSIONS: [&str; 6] = [
    "2024-02-02-preview",
    "2024-08-02-preview",
    "2024-09-01",
    "2024-10-02-preview",
    "2025-02-02-preview",
    "2025-10-02-preview",
];

/// The last version of the older endpoints (`/code/execute`, `/files/upload`).
const LAST_OLDER: &str = "2024-08-02-preview";

/// The first version that manages sessions.
const FIRST_WITH_SESSIONS: &str = "2025-02-02-preview";

/// The first version with `outputStreamsMaxLength`, `useEmptyKernel` and `returnJupyterFormatExecutionResult`.
const FIRST_WITH_EXECUTION_OPTIONS: &str = "2025-10-02-preview";

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) region: String,
    pub(super) subscription: String,
    pub(super) resource_group: String,
    pub(super) pool: String,
    /// The rest of the path, split at slashes and decoded.
    pub(super) rest: Vec<String>,
    /// The path before the rest, as it was sent.
    pub(super) base: String,
    query: Vec<(String, String)>,
}

/// A known API version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ApiVersion(&'static str);

/// Which of the two families of endpoints a version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Up to 2024-08-02-preview: bodies wrapped in `properties`.
    Older,
    /// From then on: flat bodies.
    Newer,
}

impl Target {
    /// Splits `/{region}.dynamicsessions.io/subscriptions/{s}/resourceGroups/{g}/sessionPools/{pool}/…`, whatever its case.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let path = parts.uri.path();
        // Some clients join the endpoint and the rest with two slashes.
        let raw: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let [host, subscriptions, subscription, groups, group, pools, pool, rest @ ..] = raw.as_slice() else {
            return None;
        };
        let literals = [
            (subscriptions, "subscriptions"),
            (groups, "resourceGroups"),
            (pools, "sessionPools"),
        ];
        if !literals
            .iter()
            .all(|(found, wanted)| found.eq_ignore_ascii_case(wanted))
        {
            return None;
        }
        let region = host
            .to_ascii_lowercase()
            .strip_suffix(".dynamicsessions.io")?
            .to_owned();
        Some(Self {
            region,
            subscription: query::decode_segment(subscription),
            resource_group: query::decode_segment(group),
            pool: query::decode_segment(pool),
            rest: rest.iter().map(|segment| query::decode_segment(segment)).collect(),
            base: format!("/{}", raw[..7].join("/")),
            query: query::parse(parts.uri.query().unwrap_or_default()),
        })
    }

    /// A query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        query::find(&self.query, name)
    }

    /// `api-version`, which every request must have.
    pub(super) fn api_version(&self) -> Result<ApiVersion, ServiceError> {
        let Some(wanted) = self.parameter("api-version") else {
            return Err(ServiceError::bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ));
        };
        let known = VERSIONS.iter().find(|version| version.eq_ignore_ascii_case(wanted));
        known.map(|version| ApiVersion(version)).ok_or_else(|| {
            ServiceError::bad_request(
                "UnsupportedApiVersion",
                format!(
                    "The api-version '{wanted}' is not supported. The supported versions are '{}'.",
                    VERSIONS.join(",")
                ),
            )
        })
    }

    /// `identifier`, which every request to a session must have.
    pub(super) fn identifier(&self) -> Result<&str, ServiceError> {
        let Some(identifier) = self.parameter("identifier") else {
            return Err(ServiceError::bad_request(
                "MissingIdentifier",
                "The identifier query parameter is required.",
            ));
        };
        check_identifier(identifier)
    }
}

/// The identifier of a session, if it can be one: 4 to 128 printable ASCII characters without spaces (the specification's
/// pattern; the documentation lists fewer).
pub(super) fn check_identifier(identifier: &str) -> Result<&str, ServiceError> {
    let valid = (4..=128).contains(&identifier.len()) && identifier.bytes().all(|byte| byte.is_ascii_graphic());
    if valid {
        Ok(identifier)
    } else {
        Err(ServiceError::bad_request(
            "InvalidIdentifier",
            "The identifier must be 4 to 128 letters, digits and punctuation characters.",
        ))
    }
}

impl ApiVersion {
    /// The version of the MCP server, whose requests name none.
    pub(super) fn of_mcp() -> Self {
        Self(FIRST_WITH_SESSIONS)
    }

    pub(super) fn as_str(self) -> &'static str {
        self.0
    }

    // Versions begin with their date, so that they sort as text.
    pub(super) fn family(self) -> Family {
        if self.0 <= LAST_OLDER {
            Family::Older
        } else {
            Family::Newer
        }
    }

    pub(super) fn has_execution_options(self) -> bool {
        self.0 >= FIRST_WITH_EXECUTION_OPTIONS
    }

    pub(super) fn manages_sessions(self) -> bool {
        self.0 >= FIRST_WITH_SESSIONS
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn target(uri: &str) -> Option<Target> {
        Target::of(&Request::get(uri).body(()).unwrap().into_parts().0)
    }

    const POOL: &str = "/WestEurope.dynamicsessions.io/subscriptions/s/ResourceGroups/g/sessionpools/p";

    #[test]
    fn a_path_is_read_whatever_its_case_and_with_doubled_slashes() {
        let target = target(&format!("{POOL}//files/a%20b/content?api-version=2025-02-02-preview")).unwrap();
        assert_eq!((target.region.as_str(), target.pool.as_str()), ("westeurope", "p"));
        assert_eq!(target.rest, ["files", "a b", "content"]);
        assert_eq!(target.base, POOL);
        assert_eq!(target.api_version().unwrap().family(), Family::Newer);
    }

    #[test]
    fn other_paths_are_not_of_a_pool() {
        for uri in [
            "/westeurope.dynamicsessions.io/subscriptions/s",
            "/a.example.com/subscriptions/s/resourceGroups/g/sessionPools/p",
        ] {
            assert!(target(uri).is_none(), "{uri}");
        }
    }

    #[test]
    fn identifiers_have_4_to_128_printable_characters() {
        let identifier = |text: &str| {
            let target = target(&format!("{POOL}/executions?identifier={}", query::encode(text))).unwrap();
            target.identifier().map(str::to_owned)
        };
        for text in ["abcd", "a|&^%$#(){}[];<>_~", &"x".repeat(128)] {
            assert_eq!(identifier(text).unwrap(), text);
        }
        for text in ["abc", &"x".repeat(129), "with space", "t\u{e9}l\u{e9}"] {
            assert!(identifier(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_are_told_apart_by_their_date() {
        let version = |text: &str| target(&format!("{POOL}/x?api-version={text}")).unwrap().api_version();
        assert_eq!(version("2024-08-02-preview").unwrap().family(), Family::Older);
        assert!(!version("2024-10-02-preview").unwrap().manages_sessions());
        assert!(version("2025-10-02-preview").unwrap().manages_sessions());
        assert!(version("2023-01-01").is_err());
    }
}
