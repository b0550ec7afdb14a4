//! What happens next to an assignment. Pure; the decision of any Azure resource, and what is particular to assignments: a
//! claim before the first write, and the taking back of what is no longer wanted.

use jiff::Timestamp;

use crate::api::FINALIZER;
use crate::api::RoleAssignment;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{self, Blocked, Decision, Observation, Release, Subject, decide};
use crate::controller::readiness::{Standing, Verdict};
use crate::runtime::{Next, finalizer};

use super::observe::{Aim, Claim, Observed};

/// One effect, with every choice made.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// What happens to any Azure resource.
    Azure(azure_resource::Step),
    /// Write into the status which assignment is about to be written.
    Record {
        /// The assignment.
        claim: Claim,
        /// What the status says beside it.
        verdict: Verdict,
    },
    /// Remove from the status an assignment that is gone.
    Forget {
        /// What the status says beside it.
        verdict: Verdict,
    },
}

/// Decides for an assignment, by what was observed and what the pass is about.
pub fn decide_assignment(object: &RoleAssignment, observed: &Observed, now: Timestamp) -> Decision<Step> {
    match &observed.aim {
        Aim::Ensure(claim) => ensure(object, &observed.observation, claim.as_deref(), now),
        Aim::Revoke(why) => revoke(object, &observed.observation, why, now),
        Aim::Finalize => decide(&Subject::of(object), &observed.observation, now).map_step(Step::Azure),
        Aim::Nothing => {
            let verdict = Verdict::progressing(Reason::Deleting, "the object is let go");
            let release = azure_resource::Step::Release(Release::Gone);
            Decision {
                step: finalizer::has(object, FINALIZER).then_some(Step::Azure(release)),
                ..Decision::rest(Next::AwaitChange, verdict)
            }
        }
    }
}

fn ensure(object: &RoleAssignment, observation: &Observation, claim: Option<&Claim>, now: Timestamp) -> Decision<Step> {
    let mut decision = decide(&Subject::of(object), observation, now).map_step(Step::Azure);
    decision.verdict = refine(decision.verdict, observation);
    let is_first_write = matches!(
        decision.step,
        Some(Step::Azure(
            azure_resource::Step::Write(_) | azure_resource::Step::Tag { owner: Some(_), .. }
        ))
    );
    if let Some(claim) = claim.filter(|it| is_first_write && !it.is_recorded(object.status.as_ref())) {
        decision.step = Some(Step::Record {
            claim: claim.clone(),
            verdict: decision.verdict.clone(),
        });
    }
    decision
}

/// Azure has one assignment of a tuple, so one that another object of this cluster made already exists.
pub fn refine(verdict: Verdict, observation: &Observation) -> Verdict {
    match observation {
        Observation::Seen(resource) if verdict.reason == Reason::OwnedByAnother && resource.is_of_this_cluster() => {
            Verdict {
                reason: Reason::AlreadyExists,
                ..verdict
            }
        }
        Observation::Seen(_) | Observation::Blocked(_) => verdict,
    }
}

fn revoke(object: &RoleAssignment, observation: &Observation, why: &Blocked, now: Timestamp) -> Decision<Step> {
    let forget = || {
        let verdict = why.verdict.clone();
        Decision::step(Step::Forget { verdict }, why.next, why.verdict.clone())
    };
    let spec = &object.spec.management;
    if spec.management_policy == ManagementPolicy::ObserveOnly {
        return forget();
    }
    let mut subject = Subject::of(object);
    if spec.suspend {
        let message = format!("suspended; {}", why.verdict.message);
        let verdict = Verdict::new(Standing::Resting, Reason::Suspended, message);
        return Decision::rest(Next::Resync(subject.interval()), verdict);
    }
    if !subject.has_finalizer {
        let step = Step::Azure(azure_resource::Step::AddFinalizer);
        return Decision::step(step, Next::Poll { after: None }, why.verdict.clone());
    }
    subject.lifecycle = Lifecycle::Deleted;
    let mut decision = decide(&subject, observation, now);
    if let Some(azure_resource::Step::Release(_)) = decision.step {
        return forget();
    }
    // What Azure refuses to give back has to be told; what is only under way is told by its cause.
    if decision.verdict.standing != Standing::Stalled {
        decision.verdict = why.verdict.clone();
    }
    decision.map_step(Step::Azure)
}
