//! A resource with all that belongs to it: its children and the ConfigMap that its ids are exported to.
//!
//! The decision is pure. First the resource itself, then where it is exported to, then its children: Azure takes their writes
//! only one after the other.

use jiff::Timestamp;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::condition::Reason;
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::Next;

use super::children::{ChildStep, ChildWrite, ChildrenDecision, decide_children, still_recorded};
use super::decision::{Decision, SHORT_PACE, Step, WAITING_PACE, decide, may_use};
use super::drift::paths;
use super::export::{ExportStep, decide_export, still_exported};
use super::kind::{AzureKind, Record};
use super::observation::Observation;
use super::policy::Lifecycle;
use super::reconciler::{Observed, Parts};
use super::subject::Subject;

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum KindStep<C> {
    /// One on the resource itself.
    Resource(Step),
    /// Record in the status what is about to be written, or is gone.
    Record(Record),
    /// Write or delete one child.
    Child(ChildWrite<C>),
    /// Write or delete the ConfigMap.
    Export(ExportStep),
}

/// Decides for a resource with all that belongs to it.
pub fn decide_whole<K: AzureKind>(object: &K, observed: &Observed<K>, now: Timestamp) -> Decision<KindStep<K::Child>> {
    let subject = Subject::of(object);
    let mut base = decide(&subject, &observed.observation, now).map_step(KindStep::Resource);
    let (Observation::Seen(resource), Some(facts)) = (&observed.observation, &observed.facts) else {
        return base;
    };
    object.refine(facts, resource, now, &mut base);
    let is_at_rest = base.step.is_none() && base.verdict.standing == Standing::Ready;
    if subject.lifecycle == Lifecycle::Deleted || !is_at_rest || !may_use(&subject, resource) {
        return base;
    }
    let soon = Next::After(SHORT_PACE);
    let (Some(ids), Some(Parts { children, export })) = (object.exported(resource), &observed.parts) else {
        let message = format!("Azure has not returned all of {} yet", resource.id);
        return Decision {
            next: soon,
            verdict: Verdict::progressing(Reason::Provisioning, message),
            ..base
        };
    };
    let recorded = object.recorded_children();
    let recorded_export = object.reported().exported_config_map.clone();
    let (step, export_problem) = match decide_export(recorded_export.as_deref(), export, &ids) {
        Ok(step) => (step, None),
        Err(problem) => (None, Some(problem)),
    };
    if let Some(step) = step {
        let verdict = Verdict::progressing(Reason::Updating, "the ConfigMap of spec.export is being written");
        let step = match step {
            ExportStep::Record(name) => KindStep::Record(Record::Parts {
                children: recorded.to_vec(),
                config_map: Some(name),
            }),
            step @ (ExportStep::Create { .. } | ExportStep::Replace(_) | ExportStep::Delete(_)) => {
                KindStep::Export(step)
            }
        };
        return Decision {
            step: Some(step),
            next: soon,
            verdict,
            ..base
        };
    }
    let ChildrenDecision {
        step,
        problem,
        is_settling,
        drift,
    } = decide_children(subject.spec, recorded, children, now);
    let is_under_way = step.is_some() || is_settling;
    let step = step.map(|step| match step {
        ChildStep::Record(children) => KindStep::Record(Record::Parts {
            children,
            config_map: recorded_export,
        }),
        ChildStep::Write(write) => KindStep::Child(write),
    });
    let problem = export_problem.or(problem);
    let next = match &problem {
        _ if is_under_way => soon,
        Some(_) => Next::Resync(subject.interval().min(WAITING_PACE)),
        None => base.next,
    };
    let drift = [base.drift, drift].concat();
    let in_sync = base
        .in_sync
        .map(|it| it && step.is_none() && problem.is_none() && drift.is_empty());
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
        in_sync,
        provisioned: base.provisioned,
        has_let_go: false,
    }
}

/// What a status records of children and export after a pass.
pub(super) fn recorded<K: AzureKind>(
    object: &K,
    azure: AzureResourceStatus,
    parts: Option<&Parts<K::Child>>,
    now: Timestamp,
) -> (AzureResourceStatus, Vec<String>) {
    let before = object.recorded_children();
    let Some(Parts { children, export }) = parts else {
        return (azure, before.to_vec());
    };
    let names = still_recorded(object.management(), before, children, now);
    let exported_config_map = still_exported(azure.exported_config_map.as_deref(), export);
    let azure = AzureResourceStatus {
        exported_config_map,
        ..azure
    };
    (azure, names)
}
