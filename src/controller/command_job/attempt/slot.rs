//! Sessions that outlive an attempt: what they are called, so that another job finds them, and another process.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::controller::operator_key::{OperatorKey, hex};

/// For what a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeptFor {
    /// For any command, emptied: `session.mode: Reused`.
    AnyCommand,
    /// For the commands of one key, with their files: `session.mode: Shared`.
    OneKey,
}

/// Whose commands may meet in a session, one after the other: those of one namespace, pool and account, and of one key where
/// they share its files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenancy {
    /// For what its sessions are kept.
    pub kept_for: KeptFor,
    /// A digest of whose they are, under the operator's key: 16 hexadecimal digits.
    digest: Arc<str>,
}

impl Tenancy {
    /// The tenancy of a job of `namespace` that runs as `account`, which is what Azure calls it, in the pool of this id.
    pub fn derive(
        operator: &OperatorKey,
        pool: &str,
        namespace: &str,
        account: (&str, &str),
        kept_for: KeptFor,
        key: &str,
    ) -> Self {
        let parts = [pool, namespace, account.0, account.1, kept_for.word(), key].map(str::as_bytes);
        Self {
            kept_for,
            digest: hex(&operator.derive("tenancy", parts)[..8]).into(),
        }
    }
}

impl KeptFor {
    fn word(self) -> &'static str {
        match self {
            Self::AnyCommand => "r",
            Self::OneKey => "s",
        }
    }
}

/// Names one session of a tenancy. No two sessions have the same one, so that a request that comes late finds nobody else's.
/// Whoever knows it does not know the session's identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Whose commands it is for.
    pub tenancy: Tenancy,
    /// For how many seconds the session is kept for the next command, if not for as long as it is paid for: what the job said that
    /// had it first.
    pub idle_seconds: Option<u32>,
    /// 16 random hexadecimal digits.
    serial: String,
}

impl Slot {
    /// Takes the first 16 digits of `random`, which must be as many hexadecimal ones.
    pub fn new(tenancy: Tenancy, idle_seconds: Option<u32>, random: &str) -> Self {
        Self {
            tenancy,
            idle_seconds,
            serial: random.get(..16).unwrap_or(random).to_owned(),
        }
    }
}

/// `r-TENANCY-SERIAL`, or `sSECONDS-TENANCY-SERIAL`.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tenancy { kept_for, digest } = &self.tenancy;
        f.write_str(kept_for.word())?;
        if let Some(seconds) = self.idle_seconds {
            write!(f, "{seconds}")?;
        }
        write!(f, "-{digest}-{}", self.serial)
    }
}

/// A text that names no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this names no session that is kept")]
pub struct InvalidSlot;

impl FromStr for Slot {
    type Err = InvalidSlot;

    fn from_str(text: &str) -> Result<Self, InvalidSlot> {
        let mut parts = text.split('-');
        let kind = parts.next().unwrap_or_default();
        let (kept_for, idle) = match (kind.strip_prefix('r'), kind.strip_prefix('s')) {
            (Some(rest), _) => (KeptFor::AnyCommand, rest),
            (None, Some(rest)) => (KeptFor::OneKey, rest),
            (None, None) => return Err(InvalidSlot),
        };
        let idle_seconds = match idle {
            "" => None,
            digits if digits.starts_with(['0', '+']) => return Err(InvalidSlot),
            digits => Some(digits.parse().map_err(|_| InvalidSlot)?),
        };
        let is_digits = |it: &&str| it.len() == 16 && it.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut digits = || parts.next().filter(is_digits).ok_or(InvalidSlot);
        let (digest, serial) = (digits()?.into(), digits()?.to_owned());
        if parts.next().is_some() {
            return Err(InvalidSlot);
        }
        let tenancy = Tenancy { kept_for, digest };
        Ok(Self {
            tenancy,
            idle_seconds,
            serial,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenancy(pool: &str, namespace: &str, account: (&str, &str), kept_for: KeptFor, key: &str) -> Tenancy {
        Tenancy::derive(&OperatorKey::new([1; 32]), pool, namespace, account, kept_for, key)
    }

    #[test]
    fn jobs_of_another_namespace_pool_account_mode_or_key_never_meet_in_a_session() {
        let any = KeptFor::AnyCommand;
        let own = tenancy("p", "n", ("a", "b"), any, "");
        assert_eq!(own, tenancy("p", "n", ("a", "b"), any, ""));
        for other in [
            tenancy("q", "n", ("a", "b"), any, ""),
            tenancy("p", "o", ("a", "b"), any, ""),
            tenancy("p", "n", ("c", "b"), any, ""),
            tenancy("p", "n", ("ab", ""), any, ""),
            tenancy("p", "n", ("a", "b"), any, "k"),
            tenancy("p", "n", ("a", "b"), KeptFor::OneKey, ""),
        ] {
            assert_ne!(own, other);
        }
    }

    #[test]
    fn a_slot_is_read_as_it_is_written_and_nothing_else_is_one() {
        for kept_for in [KeptFor::AnyCommand, KeptFor::OneKey] {
            let slot = Slot::new(
                tenancy("p", "n", ("a", "b"), kept_for, "k"),
                (kept_for == KeptFor::OneKey).then_some(86_400),
                &"0123456789abcdef".repeat(2),
            );
            assert_eq!(slot.to_string().parse(), Ok(slot));
        }
        let digits = "0123456789abcdef";
        for text in [
            "",
            "r",
            &format!("r-{digits}"),
            &format!("x-{digits}-{digits}"),
            &format!("s01-{digits}-{digits}"),
            &format!("s+1-{digits}-{digits}"),
            &format!("s99999999999-{digits}-{digits}"),
            &format!("r-{digits}-{digits}-"),
            &format!("r-{digits}-{}", digits.to_uppercase()),
            &format!("r-{digits}-{digits}0"),
        ] {
            assert_eq!(text.parse::<Slot>(), Err(InvalidSlot), "{text}");
        }
    }
}
