//! What happens next to an identity with all that belongs to it, and what the status says meanwhile.
//!
//! Pure. First the identity itself, then where it is exported to, then its federated credentials: Azure takes their writes
//! only one after the other.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::ManagedIdentity;
use crate::api::condition::Reason;
use crate::controller::azure_resource::drift::paths;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{self, Decision, Observation, Subject, decide, may_use};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::Observed;
use super::credentials::{CredentialStep, CredentialWrite, CredentialsDecision, decide_credentials};
use super::export::{ExportStep, decide_export, exported};
use super::observe::Details;

/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
const WAITING_PACE: Duration = Duration::from_mins(1);
/// The pause before something of our own is looked at again.
const SHORT_PACE: Duration = Duration::from_secs(2);

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// One that every kind in Azure has.
    Azure(azure_resource::Step),
    /// Record in the status what is about to be written.
    Record {
        /// The names of federated credentials.
        credentials: Vec<String>,
        /// The name of the ConfigMap.
        config_map: Option<String>,
    },
    /// Write or delete one federated credential.
    Credential(CredentialWrite),
    /// Write or delete the ConfigMap.
    Export(ExportStep),
}

/// Decides for an identity, by what was observed.
pub fn decide_identity(object: &ManagedIdentity, observed: &Observed, now: Timestamp) -> Decision<Step> {
    let subject = Subject::of(object);
    let base = decide(&subject, &observed.observation, now).map_step(Step::Azure);
    let Observation::Seen(resource) = &observed.observation else {
        return base;
    };
    let is_at_rest = base.step.is_none() && base.verdict.standing == Standing::Ready;
    if subject.lifecycle == Lifecycle::Deleted || !is_at_rest || !may_use(&subject, resource) {
        return base;
    }
    let soon = Next::After(SHORT_PACE);
    let ids = resource
        .actual
        .as_ref()
        .and_then(|actual| exported(resource.id.as_str(), actual));
    let (Some(ids), Some(details)) = (ids, &observed.details) else {
        let message = format!("Azure has not given the principal of {} yet", resource.id);
        return Decision {
            next: soon,
            verdict: Verdict::progressing(Reason::Provisioning, message),
            ..base
        };
    };
    let Details { credentials, export } = details;
    let status = object.status.as_ref();
    let recorded = status.map(|it| it.federated_credentials.as_slice()).unwrap_or_default();
    let recorded_export = status.and_then(|it| it.azure.exported_config_map.clone());
    let (step, export_problem) = match decide_export(recorded_export.as_deref(), export, &ids) {
        Ok(step) => (step, None),
        Err(problem) => (None, Some(problem)),
    };
    if let Some(step) = step {
        let verdict = Verdict::progressing(Reason::Updating, "the ConfigMap of spec.export is being written");
        let step = match step {
            ExportStep::Record(name) => Step::Record {
                credentials: recorded.to_vec(),
                config_map: Some(name),
            },
            step @ (ExportStep::Create { .. } | ExportStep::Replace(_) | ExportStep::Delete(_)) => Step::Export(step),
        };
        return Decision {
            step: Some(step),
            next: soon,
            verdict,
            ..base
        };
    }
    let CredentialsDecision {
        step,
        problem,
        is_settling,
        drift,
    } = decide_credentials(subject.spec, recorded, credentials, now);
    let is_under_way = step.is_some() || is_settling;
    let step = step.map(|step| match step {
        CredentialStep::Record(credentials) => Step::Record {
            credentials,
            config_map: recorded_export,
        },
        CredentialStep::Write(write) => Step::Credential(write),
    });
    let problem = export_problem.or(problem);
    let next = match &problem {
        _ if is_under_way => soon,
        Some(_) => Next::Resync(subject.interval().min(WAITING_PACE)),
        None => base.next,
    };
    let drift = [base.drift, drift].concat();
    let verdict = problem.unwrap_or_else(|| {
        if base.verdict.reason == Reason::Available && !drift.is_empty() {
            let message = format!("{} differs and is not changed: {}", resource.id, paths(&drift));
            Verdict::ready(Reason::Drifted, message)
        } else {
            base.verdict
        }
    });
    Decision {
        step,
        next,
        verdict,
        drift,
    }
}
