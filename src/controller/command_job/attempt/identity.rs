//! The names of an attempt: deterministic, so that a restarted operator finds the session again, and unguessable,
//! because whoever knows a session's identifier shares the session.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Slot;
use crate::controller::operator_key::{OperatorKey, hex};

/// Tells the attempts of a job apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptKey {
    /// Which of the commands that a job runs side by side; 0 where it runs one.
    pub index: u32,
    /// Counts the attempts to run that command, from 1.
    pub number: i32,
}

impl AttemptKey {
    /// An attempt of a job that runs one command.
    pub fn of_number(number: i32) -> Self {
        Self { index: 0, number }
    }
}

/// Names one preparation of an attempt: what a start must find in the session. Never used for two of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub String);

/// The identifiers of one attempt, as one preparation of it uses them.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptIdentity {
    /// Names the attempt's files within its session: 32 hexadecimal digits.
    pub attempt: String,
    /// The names of the session.
    pub session: SessionNames,
}

/// The names of an attempt's session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionNames {
    /// The session's identifier at Azure. It is a credential: never shown, never logged.
    pub identifier: String,
    /// A digest of it that may be shown: 16 hexadecimal digits.
    pub digest: String,
}

impl fmt::Debug for SessionNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionNames({})", self.digest)
    }
}

impl fmt::Debug for AttemptIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttemptIdentity({})", self.session.digest)
    }
}

impl AttemptIdentity {
    /// The identity of an attempt of the job with this UID, with this ticket. The same arguments always give the same
    /// identity; without the key it cannot be guessed. `cluster` marks the session as one of this cluster; it is that of the slot,
    /// else one of the attempt's own.
    pub fn derive(
        operator: &OperatorKey,
        cluster: &str,
        uid: &str,
        key: AttemptKey,
        ticket: &Ticket,
        slot: Option<&Slot>,
    ) -> Self {
        let (index, number) = (key.index.to_string(), key.number.to_string());
        let parts = [uid, &index, &number, &ticket.0].map(str::as_bytes);
        Self {
            attempt: hex(&operator.derive("attempt", parts)[..16]),
            session: SessionNames::derive(operator, cluster, uid, key, slot),
        }
    }
}

impl SessionNames {
    /// The names of the session of an attempt, which all preparations of it go into: that of the slot, else one of its own.
    pub fn derive(operator: &OperatorKey, cluster: &str, uid: &str, key: AttemptKey, slot: Option<&Slot>) -> Self {
        if let Some(slot) = slot {
            return Self::of_slot(operator, cluster, slot);
        }
        let (index, number) = (key.index.to_string(), key.number.to_string());
        let derived = operator.derive("session", [uid, &index, &number].map(str::as_bytes));
        // Azure documents [A-Za-z0-9-]{4,128} as safe in every reading of its rules; this is 3 + 8 + 1 + 40 characters.
        let identifier = format!("{}{}", session_prefix(operator, cluster), hex(&derived[..20]));
        Self::of(identifier)
    }

    /// The names of a session that is kept. The slot is told from the identifier, by which it is found again.
    pub fn of_slot(operator: &OperatorKey, cluster: &str, slot: &Slot) -> Self {
        let slot = slot.to_string();
        let derived = operator.derive("kept session", [slot.as_bytes()]);
        // 12 + 35 + 1 + 32 characters.
        let prefix = session_prefix(operator, cluster);
        Self::of(format!("{prefix}{slot}-{}", hex(&derived[..16])))
    }

    /// The slot of a session that is kept, and that this operator has made.
    pub fn slot(&self, operator: &OperatorKey, cluster: &str) -> Option<Slot> {
        let rest = self.identifier.strip_prefix(&session_prefix(operator, cluster))?;
        let slot: Slot = rest.rsplit_once('-')?.0.parse().ok()?;
        (Self::of_slot(operator, cluster, &slot) == *self).then_some(slot)
    }

    /// The names of a session that was found, if it is one of this operator's.
    pub fn found(operator: &OperatorKey, cluster: &str, identifier: &str) -> Option<Self> {
        let is_ours = identifier.starts_with(&session_prefix(operator, cluster));
        is_ours.then(|| Self::of(identifier.to_owned()))
    }

    fn of(identifier: String) -> Self {
        let digest = hex(&Sha256::digest(identifier.as_bytes())[..8]);
        Self { identifier, digest }
    }
}

/// What the identifiers of all sessions of an operator begin with. Two operators of one cluster have keys of their own.
fn session_prefix(operator: &OperatorKey, cluster: &str) -> String {
    format!(
        "lg-{}-",
        hex(&operator.derive("sessions of", [cluster.as_bytes()])[..4])
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::command_job::attempt::{KeptFor, Tenancy};

    fn identity(key: u8, uid: &str, number: i32, ticket: &str) -> AttemptIdentity {
        let attempt = AttemptKey::of_number(number);
        AttemptIdentity::derive(
            &OperatorKey::new([key; 32]),
            "c",
            uid,
            attempt,
            &Ticket(ticket.into()),
            None,
        )
    }

    #[test]
    fn the_same_attempt_has_the_same_identity_after_a_restart() {
        assert_eq!(identity(1, "uid", 1, "t"), identity(1, "uid", 1, "t"));
    }

    #[test]
    fn another_key_job_or_number_gives_another_session() {
        let one = identity(1, "uid", 1, "t");
        for other in [
            identity(2, "uid", 1, "t"),
            identity(1, "uid2", 1, "t"),
            identity(1, "uid", 2, "t"),
        ] {
            assert_ne!(one.session.identifier, other.session.identifier);
            assert_ne!(one.session.digest, other.session.digest);
            assert_ne!(one.attempt, other.attempt);
        }
    }

    #[test]
    fn another_ticket_gives_other_files_in_the_same_session() {
        let (one, other) = (identity(1, "uid", 1, "t"), identity(1, "uid", 1, "u"));
        assert_ne!(one.attempt, other.attempt);
        assert_eq!(one.session, other.session);
    }

    #[test]
    fn a_session_identifier_has_only_characters_that_every_azure_document_allows() {
        let session = identity(1, "uid", 1, "t").session.identifier;
        assert!(session.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && (4..=128).contains(&session.len()));
        assert!(session.starts_with(&session_prefix(&OperatorKey::new([1; 32]), "c")));
    }

    #[test]
    fn a_session_is_known_again_by_its_own_operator_and_by_no_other() {
        let session = identity(1, "uid", 1, "t").session;
        for (key, cluster, is_ours) in [(1, "c", true), (2, "c", false), (1, "d", false)] {
            let found = SessionNames::found(&OperatorKey::new([key; 32]), cluster, &session.identifier);
            assert_eq!(found, is_ours.then(|| session.clone()));
        }
    }

    #[test]
    fn a_session_that_is_kept_tells_its_slot_to_whoever_has_the_key_and_cannot_be_made_up() {
        let key = OperatorKey::new([1; 32]);
        let tenancy = Tenancy::derive(&key, "pool", "namespace", ("a", "b"), KeptFor::AnyCommand, "");
        let slot = Slot::new(tenancy, None, &"0123456789abcdef".repeat(2));
        let names = SessionNames::of_slot(&key, "c", &slot);
        let safe = |it: char| it.is_ascii_alphanumeric() || it == '-';
        assert!(names.identifier.chars().all(safe) && (4..=128).contains(&names.identifier.len()));
        assert_eq!(SessionNames::found(&key, "c", &names.identifier), Some(names.clone()));
        assert_eq!(names.slot(&key, "c"), Some(slot.clone()));
        assert_eq!(names.slot(&OperatorKey::new([2; 32]), "c"), None);
        assert_eq!(names.slot(&key, "d"), None);
        let (start, _) = names.identifier.rsplit_once('-').expect("its parts");
        let forged = SessionNames::of(format!("{start}-{}", "0".repeat(32)));
        assert_eq!(forged.slot(&key, "c"), None);
        assert_eq!(identity(1, "uid", 1, "t").session.slot(&key, "c"), None);
    }

    #[test]
    fn debug_output_does_not_show_the_session() {
        let identity = identity(7, "uid", 1, "t");
        let shown = format!("{identity:?} {:?}", identity.session);
        assert!(!shown.contains(&identity.session.identifier) && !shown.contains(&identity.attempt));
    }
}
