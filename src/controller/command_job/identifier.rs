//! The names of an attempt: deterministic, so that a restarted operator finds the session again, and unguessable,
//! because whoever knows a session's identifier shares the session.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::controller::operator_key::{OperatorKey, hex};

/// What the identifiers of one attempt are.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptIdentity {
    /// Names the attempt's files within its session: 32 hexadecimal digits.
    pub attempt: String,
    /// The session's identifier at Azure. It is a credential: never shown, never logged.
    pub session: String,
    /// A digest of `session` that may be shown: 16 hexadecimal digits.
    pub digest: String,
}

impl fmt::Debug for AttemptIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptIdentity")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl AttemptIdentity {
    /// The identity of attempt `number` of the job with this UID. The same arguments always give the same identity;
    /// without the key it cannot be guessed. `cluster` marks the session as one of this cluster.
    pub fn derive(key: &OperatorKey, cluster: &str, uid: &str, number: i32) -> Self {
        let attempt = hex(&key.derive("attempt", [uid.as_bytes(), number.to_string().as_bytes()])[..16]);
        // Azure documents [A-Za-z0-9-]{4,128} as safe in every reading of its rules; this is 3 + 8 + 1 + 40 characters.
        let session = format!(
            "{}{}",
            session_prefix(cluster),
            hex(&key.derive("session", [attempt.as_bytes()])[..20])
        );
        let digest = hex(&Sha256::digest(session.as_bytes())[..8]);
        Self {
            attempt,
            session,
            digest,
        }
    }
}

/// What the identifiers of all sessions of a cluster begin with.
pub fn session_prefix(cluster: &str) -> String {
    format!("lg-{}-", hex(&Sha256::digest(cluster.as_bytes())[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(key: u8, uid: &str, number: i32) -> AttemptIdentity {
        AttemptIdentity::derive(&OperatorKey::new([key; 32]), "c", uid, number)
    }

    #[test]
    fn the_same_attempt_has_the_same_identity_after_a_restart() {
        assert_eq!(identity(1, "uid", 1), identity(1, "uid", 1));
    }

    #[test]
    fn another_key_job_or_number_gives_another_session() {
        let one = identity(1, "uid", 1);
        for other in [identity(2, "uid", 1), identity(1, "uid2", 1), identity(1, "uid", 2)] {
            assert_ne!(one.session, other.session);
            assert_ne!(one.attempt, other.attempt);
            assert_ne!(one.digest, other.digest);
        }
    }

    #[test]
    fn a_session_identifier_has_only_characters_that_every_azure_document_allows() {
        let session = identity(1, "uid", 1).session;
        assert!(session.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && (4..=128).contains(&session.len()));
        assert!(session.starts_with(&session_prefix("c")));
    }

    #[test]
    fn debug_output_does_not_show_the_session() {
        let identity = identity(7, "uid", 1);
        let shown = format!("{identity:?}");
        assert!(!shown.contains(&identity.session) && !shown.contains(&identity.attempt));
    }
}
