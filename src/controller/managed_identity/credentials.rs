//! What happens next to the federated credentials of an identity. Pure: it names at most one write.
//!
//! Azure keeps no owner of a credential, so the object's status does: a name is recorded there before the credential is
//! written, and only what is recorded is ever removed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{AdoptionPolicy, ManagementPolicy, ManagementSpec};
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::managed_identity::FederatedIdentityCredential;
use crate::controller::azure_resource::{Answer, SETTLING};
use crate::controller::readiness::Verdict;
use crate::runtime::requeue::REJECTED_RESYNC;

/// What a pass observed of the credentials.
#[derive(Debug, Clone, Default)]
pub struct CredentialsView {
    /// The names in the spec.
    pub named: Vec<String>,
    /// What Azure should have.
    pub wanted: Vec<FederatedIdentityCredential>,
    /// Why the issuer of this cluster is not known, if it has to be.
    pub issuer_is_untold: Option<String>,
    /// What Azure has; `None` while it does not show the identity there.
    pub actual: Option<Vec<FederatedIdentityCredential>>,
    /// What the process remembers.
    pub memory: CredentialMemory,
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
pub struct CredentialsCourse {
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

/// Decides. `recorded` are the names that the status holds.
pub fn credentials_course(
    spec: &ManagementSpec,
    recorded: &[String],
    view: &CredentialsView,
    now: Timestamp,
) -> CredentialsCourse {
    let Some(actual) = &view.actual else {
        return CredentialsCourse {
            problem: Some(Verdict::progressing(
                Reason::Creating,
                "Azure does not show the identity everywhere yet",
            )),
            is_settling: true,
            ..CredentialsCourse::default()
        };
    };
    let mut found = Findings::default();
    if let Some(step) = found.look_at_removed(spec, recorded, view, actual, now) {
        return found.into_course(Some(step), view);
    }
    let ready = found.look_at_wanted(spec, recorded, view, actual, now);
    let unrecorded: Vec<String> = ready
        .iter()
        .map(CredentialWrite::name)
        .filter(|&name| !contains(recorded, name))
        .map(str::to_owned)
        .collect();
    let step = if unrecorded.is_empty() {
        first(ready, actual).map(CredentialStep::Write)
    } else {
        Some(CredentialStep::Record([recorded, &unrecorded].concat()))
    };
    found.into_course(step, view)
}

/// The names that the status holds after a look: what was written or is about to be, without what is gone.
pub fn still_recorded(
    spec: &ManagementSpec,
    recorded: &[String],
    view: &CredentialsView,
    now: Timestamp,
) -> Vec<String> {
    let Some(actual) = &view.actual else {
        return recorded.to_vec();
    };
    let is_there = |name: &str| actual.iter().any(|it| it.is_named(name));
    let mut names: Vec<String> = recorded
        .iter()
        .filter(|name| contains(&view.named, name) || is_there(name) || may_still_appear(view, name, now))
        .cloned()
        .collect();
    if may_write(spec) {
        // What is exactly as it was asked for is taken for its own, as after the loss of a status.
        for wanted in &view.wanted {
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
pub fn take_note(memory: &mut CredentialMemory, actual: &[FederatedIdentityCredential]) {
    for attempt in memory.values_mut() {
        if let CredentialWrite::Put { credential, .. } = &attempt.write
            && actual
                .iter()
                .any(|it| it.is_named(&credential.name) && it.trusts_the_same(credential))
        {
            attempt.has_shown = true;
        }
    }
}

#[derive(Default)]
struct Findings {
    foreign: Vec<String>,
    refused: Option<String>,
    is_settling: bool,
    drift: Vec<Difference>,
}

/// What an earlier answer says about a write.
enum Earlier {
    /// Nothing: it may be sent.
    Nothing,
    Refused(String),
    Settling,
    Ignored,
}

impl Findings {
    /// What the spec no longer names.
    fn look_at_removed(
        &mut self,
        spec: &ManagementSpec,
        recorded: &[String],
        view: &CredentialsView,
        actual: &[FederatedIdentityCredential],
        now: Timestamp,
    ) -> Option<CredentialStep> {
        for name in recorded.iter().filter(|name| !contains(&view.named, name)) {
            let found = actual.iter().find(|it| it.is_named(name));
            if !may_change(spec) {
                self.drift.extend(found.map(|it| Difference {
                    path: path(name),
                    desired: None,
                    actual: it.body().pointer("/properties").cloned(),
                }));
                continue;
            }
            if found.is_none() && !may_still_appear(view, name, now) {
                continue;
            }
            let delete = CredentialWrite::Delete { name: name.clone() };
            match earlier(view, &delete, now) {
                Earlier::Nothing | Earlier::Settling | Earlier::Ignored => return Some(CredentialStep::Write(delete)),
                Earlier::Refused(message) => self.refuse(name, &message),
            }
        }
        None
    }

    /// What the spec names; returns the writes that may be sent.
    fn look_at_wanted(
        &mut self,
        spec: &ManagementSpec,
        recorded: &[String],
        view: &CredentialsView,
        actual: &[FederatedIdentityCredential],
        now: Timestamp,
    ) -> Vec<CredentialWrite> {
        let mut ready = Vec::new();
        for wanted in &view.wanted {
            let found = actual.iter().find(|it| it.is_named(&wanted.name));
            let is_ours = contains(recorded, &wanted.name) || spec.adoption_policy != AdoptionPolicy::Never;
            match found {
                Some(found) if found.trusts_the_same(wanted) => continue,
                Some(_) if may_write(spec) && !is_ours => {
                    self.foreign.push(wanted.name.clone());
                    continue;
                }
                Some(_) if may_change(spec) => {}
                None if may_write(spec) => {}
                Some(_) | None => {
                    self.drift.extend(differences(wanted, found));
                    continue;
                }
            }
            let clash = actual
                .iter()
                .find(|it| !it.is_named(&wanted.name) && it.clashes_with(wanted));
            let put = CredentialWrite::Put {
                credential: wanted.clone(),
                over: found.cloned(),
                clash: clash.map(|it| it.name.clone()),
            };
            match earlier(view, &put, now) {
                Earlier::Nothing => ready.push(put),
                Earlier::Refused(message) => self.refuse(&wanted.name, &message),
                Earlier::Settling => self.is_settling = true,
                Earlier::Ignored => self.drift.extend(differences(wanted, found)),
            }
        }
        ready
    }

    fn refuse(&mut self, name: &str, message: &str) {
        if self.refused.is_none() {
            self.refused = Some(format!("federated credential {name}: {message}"));
        }
    }

    fn into_course(self, step: Option<CredentialStep>, view: &CredentialsView) -> CredentialsCourse {
        let problem = match (&step, &self.foreign[..]) {
            (Some(CredentialStep::Record(_)), _) => Some(Verdict::progressing(
                Reason::Updating,
                "federated credentials are being written",
            )),
            (Some(CredentialStep::Write(CredentialWrite::Put { credential, .. })), _) => Some(Verdict::progressing(
                Reason::Updating,
                format!("federated credential {} is being written", credential.name),
            )),
            (Some(CredentialStep::Write(CredentialWrite::Delete { name })), _) => Some(Verdict::progressing(
                Reason::Updating,
                format!("federated credential {name} is being removed"),
            )),
            (None, []) => None,
            (None, foreign) => Some(Verdict::stalled(
                Reason::AlreadyExists,
                format!(
                    "the identity has federated credentials of these names that were not made by this object and say \
                     otherwise: {}. Set spec.adoptionPolicy to IfExists to overwrite them, or choose other names",
                    foreign.join(", ")
                ),
            )),
        };
        let refused = || Some(Verdict::stalled(Reason::Rejected, self.refused.clone()?));
        let untold = || {
            let why = view.issuer_is_untold.as_ref()?;
            let message = format!(
                "the issuer of this cluster's ServiceAccount tokens is not known: {why}. Set issuer of the federated credential, \
                 or start the operator with --service-account-issuer"
            );
            Some(Verdict::stalled(Reason::InvalidSpec, message))
        };
        let settling = || {
            let message = "Azure accepted federated credentials and does not show them yet";
            self.is_settling
                .then(|| Verdict::progressing(Reason::Updating, message))
        };
        CredentialsCourse {
            problem: problem.or_else(refused).or_else(untold).or_else(settling),
            step,
            is_settling: self.is_settling,
            drift: self.drift,
        }
    }
}

/// The write to begin with: one whose issuer and subject no other credential has. Where all wait for each other, as when
/// two are exchanged, one that is about to be replaced is removed first.
fn first(ready: Vec<CredentialWrite>, actual: &[FederatedIdentityCredential]) -> Option<CredentialWrite> {
    let clash_of = |write: &CredentialWrite| match write {
        CredentialWrite::Put { clash, .. } => clash.clone(),
        CredentialWrite::Delete { .. } => None,
    };
    if let Some(free) = ready.iter().position(|it| clash_of(it).is_none()) {
        return ready.into_iter().nth(free);
    }
    let in_the_way = ready
        .iter()
        .filter_map(clash_of)
        .find(|name| ready.iter().any(|it| it.name().eq_ignore_ascii_case(name)));
    match in_the_way {
        Some(name) if actual.iter().any(|it| it.is_named(&name)) => Some(CredentialWrite::Delete { name }),
        // Azure says what is wrong.
        Some(_) | None => ready.into_iter().next(),
    }
}

fn earlier(view: &CredentialsView, write: &CredentialWrite, now: Timestamp) -> Earlier {
    let key = write.name().to_ascii_lowercase();
    let Some(last) = view.memory.get(&key).filter(|last| last.write == *write) else {
        return Earlier::Nothing;
    };
    let age = age(last.at, now);
    match &last.answer {
        Answer::Refused { message, .. } if age < REJECTED_RESYNC => Earlier::Refused(message.clone()),
        Answer::Accepted if last.has_shown => Earlier::Nothing,
        Answer::Accepted if age < SETTLING => Earlier::Settling,
        // What Azure keeps its own way would be written again and again for nothing.
        Answer::Accepted if age < REJECTED_RESYNC => match write {
            CredentialWrite::Put { over: Some(_), .. } => Earlier::Ignored,
            CredentialWrite::Put { over: None, .. } | CredentialWrite::Delete { .. } => Earlier::Nothing,
        },
        Answer::Refused { .. } | Answer::Accepted => Earlier::Nothing,
    }
}

/// Whether a credential was written so lately that a list may not show it yet.
fn may_still_appear(view: &CredentialsView, name: &str, now: Timestamp) -> bool {
    view.memory.get(&name.to_ascii_lowercase()).is_some_and(|last| {
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

fn differences(wanted: &FederatedIdentityCredential, found: Option<&FederatedIdentityCredential>) -> Vec<Difference> {
    let properties = |it: &FederatedIdentityCredential| it.body()["properties"].take();
    let Some(found) = found else {
        return vec![Difference {
            path: path(&wanted.name),
            desired: Some(properties(wanted)),
            actual: None,
        }];
    };
    let (desired, actual) = (properties(wanted), properties(found));
    ["issuer", "subject", "audiences"]
        .into_iter()
        .filter(|&member| desired[member] != actual[member])
        .map(|member| Difference {
            path: format!("{}.{member}", path(&wanted.name)),
            desired: Some(desired[member].clone()),
            actual: Some(actual[member].clone()).filter(|it| *it != Value::Null),
        })
        .collect()
}

fn path(name: &str) -> String {
    format!("federatedCredentials[{name}]")
}

fn contains(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}
