//! The endpoint of a pool's sessions, and the names of sessions and files.

use std::fmt;

use reqwest::Url;

/// The `poolManagementEndpoint` of a pool, checked against its cloud: tokens may be sent there.
///
/// Only [`Cloud::session_endpoint`](crate::azure::Cloud::session_endpoint) creates one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolEndpoint(Url);

impl PoolEndpoint {
    pub(in crate::azure) fn trusted(url: Url) -> Self {
        Self(url)
    }

    /// The endpoint as a text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL of an operation below the endpoint, which may itself have a path.
    pub(super) fn operation(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        url.path_segments_mut()
            .expect("invariant: an https URL has path segments")
            .pop_if_empty()
            .extend(segments);
        url.query_pairs_mut().extend_pairs(query);
        url
    }
}

/// The name of a session: whoever knows it and may execute in the pool shares the session.
///
/// It has only what every description of the service allows: 4 to 128 letters, digits and `-`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionIdentifier(String);

/// The text cannot name a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session identifier is 4 to 128 letters, digits and hyphens")]
pub struct InvalidIdentifier;

impl SessionIdentifier {
    /// Checks a name.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidIdentifier> {
        let text = text.into();
        let valid = (4..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if valid { Ok(Self(text)) } else { Err(InvalidIdentifier) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name gives access to the session, so it is not shown.
impl fmt::Debug for SessionIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionIdentifier")
    }
}

/// A file in a session: a name in a directory below `/mnt/data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPath {
    directory: String,
    name: String,
}

/// The path cannot be used with the files API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session file needs an absolute directory without dots and a plain name")]
pub struct InvalidSessionPath;

impl SessionPath {
    /// The directory that the files API takes for its root ("Serverless code interpreter sessions", files).
    pub const ROOT: &'static str = "/mnt/data";

    /// A file of the root directory.
    pub fn in_root(name: impl Into<String>) -> Result<Self, InvalidSessionPath> {
        Self::new(Self::ROOT, name)
    }

    /// A file of a directory. The API refuses directories with a dot anywhere in their path.
    pub fn new(directory: impl Into<String>, name: impl Into<String>) -> Result<Self, InvalidSessionPath> {
        let (directory, name) = (directory.into(), name.into());
        let valid = directory.starts_with('/')
            && !directory.contains(['.', '\\'])
            && !name.is_empty()
            && name != "."
            && name != ".."
            && !name.contains(['/', '\\', '"'])
            && !name.chars().any(char::is_control);
        if valid {
            Ok(Self { directory, name })
        } else {
            Err(InvalidSessionPath)
        }
    }

    /// The directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The name in it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::{PoolEndpoint, SessionIdentifier, SessionPath};

    #[test]
    fn an_operation_is_below_the_endpoint_with_its_names_encoded() {
        for base in [
            "https://127.0.0.1:1/west.dynamicsessions.io/pools/p",
            "https://127.0.0.1:1/west.dynamicsessions.io/pools/p/",
        ] {
            let endpoint = PoolEndpoint::trusted(Url::parse(base).unwrap());
            let url = endpoint.operation(
                &["files", "a b?#%.txt", "content"],
                &[("path", "/mnt/data"), ("identifier", "i&d")],
            );
            assert_eq!(
                url.as_str(),
                "https://127.0.0.1:1/west.dynamicsessions.io/pools/p/files/a%20b%3F%23%25.txt/content?path=%2Fmnt%2Fdata&identifier=i%26d"
            );
        }
    }

    #[test]
    fn an_identifier_is_what_every_description_allows() {
        assert!(SessionIdentifier::new("lg-0a1b").is_ok());
        for bad in ["abc", "a b c", "ä-umlaut", "with.dot", &"x".repeat(129)] {
            assert!(SessionIdentifier::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_that_would_leave_its_directory_is_refused() {
        assert!(SessionPath::new("/mnt/data/lg-1", "out").is_ok());
        assert!(SessionPath::in_root("lg-1.sh").is_ok());
        for (directory, name) in [
            ("/mnt/data/.x", "a"),
            ("data", "a"),
            ("/mnt/data", ".."),
            ("/mnt/data", "a/b"),
            ("/mnt/data", "a\nb"),
        ] {
            assert!(SessionPath::new(directory, name).is_err(), "{directory} {name}");
        }
    }
}
