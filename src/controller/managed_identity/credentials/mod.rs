//! What happens next to the federated credentials of an identity. Pure: it names at most one write.
//!
//! Azure keeps no owner of a credential, so the object's status does: a name is recorded there before the credential is
//! written, and only what is recorded is ever removed.

mod decision;

pub use decision::decide_credentials;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::api::azure_resource::{ManagementPolicy, ManagementSpec};
use crate::azure::Difference;
use crate::azure::managed_identity::FederatedIdentityCredential;
use crate::controller::azure_resource::{Answer, SETTLING};
use crate::controller::readiness::Verdict;

/// What a pass observed of the credentials.
#[derive(Debug, Clone, Default)]
pub struct CredentialsState {
    /// The names in the spec.
    pub named: Vec<String>,
    /// What Azure should have.
    pub wanted: Vec<FederatedIdentityCredential>,
    /// Why the issuer of this cluster is not known, if it has to be.
    pub issuer_is_untold: Option<String>,
    /// What Azure has; `None` while it does not show the identity there.
    pub actual: Option<Vec<FederatedIdentityCredential>>,
    /// What the process remembers.
    pub history: CredentialMemory,
}

/// What the process remembers of each credential, by its lower-cased name. All of it may be lost.
pub type CredentialMemory = BTreeMap<String, Attempt>;

/// A write that Azure answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What was written.
    pub write: CredentialWrite,
    /// The answer.
    pub answer: Answer,
    /// Whether Azure has shown what was written since.
    pub has_shown: bool,
}

/// A write of one credential, and over what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialWrite {
    /// A PUT.
    Put {
        /// What is sent.
        credential: FederatedIdentityCredential,
        /// What it replaces.
        over: Option<FederatedIdentityCredential>,
        /// The name of another credential with the same issuer and subject.
        clash: Option<String>,
    },
    /// A DELETE.
    Delete {
        /// The name.
        name: String,
    },
}

/// The next effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialStep {
    /// Record these names in the status: they are about to be written.
    Record(Vec<String>),
    /// Write one.
    Write(CredentialWrite),
}

/// What happens next to the credentials.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct CredentialsDecision {
    /// The one effect, or nothing.
    pub step: Option<CredentialStep>,
    /// Why the credentials are not as they should be, if they are not.
    pub problem: Option<Verdict>,
    /// Whether something was written that Azure does not show yet, so that it is looked at again soon.
    pub is_settling: bool,
    /// What differs and is not put right.
    pub drift: Vec<Difference>,
}

impl CredentialWrite {
    /// The name of the credential.
    pub fn name(&self) -> &str {
        match self {
            Self::Put { credential, .. } => &credential.name,
            Self::Delete { name } => name,
        }
    }
}

/// The names that the status holds after a observation: what was written or is about to be, without what is gone.
pub fn still_recorded(
    spec: &ManagementSpec,
    recorded: &[String],
    resource: &CredentialsState,
    now: Timestamp,
) -> Vec<String> {
    let Some(actual) = &resource.actual else {
        return recorded.to_vec();
    };
    let is_there = |name: &str| actual.iter().any(|it| it.is_named(name));
    let mut names: Vec<String> = recorded
        .iter()
        .filter(|name| contains(&resource.named, name) || is_there(name) || may_still_appear(resource, name, now))
        .cloned()
        .collect();
    if may_write(spec) {
        // What is exactly as it was asked for is taken for its own, as after the loss of a status.
        for wanted in &resource.wanted {
            let is_so = actual
                .iter()
                .any(|it| it.is_named(&wanted.name) && it.trusts_the_same(wanted));
            if is_so && !contains(&names, &wanted.name) {
                names.push(wanted.name.clone());
            }
        }
    }
    names
}

/// Takes note of which writes Azure shows.
pub fn take_note(history: &mut CredentialMemory, actual: &[FederatedIdentityCredential]) {
    for attempt in history.values_mut() {
        if let CredentialWrite::Put { credential, .. } = &attempt.write
            && actual
                .iter()
                .any(|it| it.is_named(&credential.name) && it.trusts_the_same(credential))
        {
            attempt.has_shown = true;
        }
    }
}

/// Whether a credential was written so lately that a list may not show it yet.
fn may_still_appear(resource: &CredentialsState, name: &str, now: Timestamp) -> bool {
    resource.history.get(&name.to_ascii_lowercase()).is_some_and(|last| {
        matches!(last.write, CredentialWrite::Put { .. })
            && last.answer == Answer::Accepted
            && !last.has_shown
            && age(last.at, now) < SETTLING
    })
}

fn may_write(spec: &ManagementSpec) -> bool {
    !spec.suspend && spec.management_policy != ManagementPolicy::ObserveOnly
}

fn may_change(spec: &ManagementSpec) -> bool {
    may_write(spec) && spec.management_policy == ManagementPolicy::Enforce
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}
