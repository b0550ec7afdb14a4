//! The decision.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{AdoptionPolicy, ManagementSpec};
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::azure::managed_identity::FederatedIdentityCredential;
use crate::controller::azure_resource::{Answer, SETTLING};
use crate::controller::readiness::Verdict;
use crate::runtime::requeue::REJECTED_RESYNC;

use super::{
    CredentialStep, CredentialWrite, CredentialsDecision, CredentialsState, age, contains, may_change,
    may_still_appear, may_write,
};

/// Decides. `recorded` are the names that the status holds.
pub fn decide_credentials(
    spec: &ManagementSpec,
    recorded: &[String],
    resource: &CredentialsState,
    now: Timestamp,
) -> CredentialsDecision {
    let Some(actual) = &resource.actual else {
        return CredentialsDecision {
            problem: Some(Verdict::progressing(
                Reason::Creating,
                "Azure does not show the identity everywhere yet",
            )),
            is_settling: true,
            ..CredentialsDecision::default()
        };
    };
    let mut found = Findings::default();
    if let Some(step) = found.look_at_removed(spec, recorded, resource, actual, now) {
        return found.into_decision(Some(step), resource);
    }
    let ready = found.look_at_wanted(spec, recorded, resource, actual, now);
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
    found.into_decision(step, resource)
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
        resource: &CredentialsState,
        actual: &[FederatedIdentityCredential],
        now: Timestamp,
    ) -> Option<CredentialStep> {
        for name in recorded.iter().filter(|name| !contains(&resource.named, name)) {
            let found = actual.iter().find(|it| it.is_named(name));
            if !may_change(spec) {
                self.drift.extend(found.map(|it| Difference {
                    path: path(name),
                    desired: None,
                    actual: it.body().pointer("/properties").cloned(),
                }));
                continue;
            }
            if found.is_none() && !may_still_appear(resource, name, now) {
                continue;
            }
            let delete = CredentialWrite::Delete { name: name.clone() };
            match earlier(resource, &delete, now) {
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
        resource: &CredentialsState,
        actual: &[FederatedIdentityCredential],
        now: Timestamp,
    ) -> Vec<CredentialWrite> {
        let mut ready = Vec::new();
        for wanted in &resource.wanted {
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
            match earlier(resource, &put, now) {
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

    fn into_decision(self, step: Option<CredentialStep>, resource: &CredentialsState) -> CredentialsDecision {
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
            let why = resource.issuer_is_untold.as_ref()?;
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
        CredentialsDecision {
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

fn earlier(resource: &CredentialsState, write: &CredentialWrite, now: Timestamp) -> Earlier {
    let key = write.name().to_ascii_lowercase();
    let Some(last) = resource.history.get(&key).filter(|last| last.write == *write) else {
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
