//! What happens next to an assignment. Pure; the course of any Azure resource, and what is particular to assignments: a
//! claim before the first write, and the taking back of what is no longer wanted.

use jiff::Timestamp;

use crate::api::FINALIZER;
use crate::api::RoleAssignment;
use crate::api::azure_resource::ManagementPolicy;
use crate::api::condition::Reason;
use crate::controller::azure_resource::{self, Look, Release, Subject, course};
use crate::controller::policy::Lifecycle;
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

/// What happens next, when to look again, and what the status says if the verdict of the course is not it.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct Decided {
    /// The one effect, or nothing.
    pub step: Option<Step>,
    /// When to look again.
    pub next: Next,
    /// What the status says.
    pub verdict: Verdict,
}

/// Decides.
pub fn decide(object: &RoleAssignment, observed: &Observed, now: Timestamp) -> Decided {
    match &observed.aim {
        Aim::Have(claim) => have(object, &observed.look, claim.as_deref(), now),
        Aim::TakeBack(why) => take_back(object, &observed.look, &why.verdict, why.next, now),
        Aim::End => of_course(course(&Subject::of(object), &observed.look, now)),
        Aim::Nothing => {
            let release = azure_resource::Step::Release(Release::Gone);
            let has_finalizer = finalizer::has(object, FINALIZER);
            Decided {
                step: has_finalizer.then_some(Step::Azure(release)),
                next: Next::AwaitChange,
                verdict: Verdict::progressing(Reason::Deleting, "the object is let go"),
            }
        }
    }
}

fn of_course(course: azure_resource::Course) -> Decided {
    Decided {
        step: course.step.map(Step::Azure),
        next: course.next,
        verdict: course.verdict,
    }
}

fn have(object: &RoleAssignment, look: &Look, claim: Option<&Claim>, now: Timestamp) -> Decided {
    let mut decided = of_course(course(&Subject::of(object), look, now));
    decided.verdict = refine(decided.verdict, look);
    let is_first_write = matches!(
        decided.step,
        Some(Step::Azure(
            azure_resource::Step::Write(_) | azure_resource::Step::Tag { owner: Some(_), .. }
        ))
    );
    if let Some(claim) = claim.filter(|it| is_first_write && !it.is_recorded(object.status.as_ref())) {
        decided.step = Some(Step::Record {
            claim: claim.clone(),
            verdict: decided.verdict.clone(),
        });
    }
    decided
}

/// Azure has one assignment of a tuple, so one that another object of this cluster made already exists.
pub fn refine(verdict: Verdict, look: &Look) -> Verdict {
    match look {
        Look::Seen(view) if verdict.reason == Reason::OwnedByAnother && view.is_of_this_cluster() => Verdict {
            reason: Reason::AlreadyExists,
            ..verdict
        },
        Look::Seen(_) | Look::Held(_) => verdict,
    }
}

fn take_back(object: &RoleAssignment, look: &Look, why: &Verdict, next: Next, now: Timestamp) -> Decided {
    let forget = || Decided {
        step: Some(Step::Forget { verdict: why.clone() }),
        next,
        verdict: why.clone(),
    };
    let spec = &object.spec.management;
    if spec.management_policy == ManagementPolicy::ObserveOnly {
        return forget();
    }
    let mut subject = Subject::of(object);
    if spec.suspend {
        let message = format!("suspended; {}", why.message);
        return Decided {
            step: None,
            next: Next::Resync(subject.interval()),
            verdict: Verdict::new(Standing::Resting, Reason::Suspended, message),
        };
    }
    if !subject.has_finalizer {
        return Decided {
            step: Some(Step::Azure(azure_resource::Step::AddFinalizer)),
            next: Next::Poll { after: None },
            verdict: why.clone(),
        };
    }
    subject.lifecycle = Lifecycle::Deleted;
    let course = course(&subject, look, now);
    match course.step {
        Some(azure_resource::Step::Release(_)) => forget(),
        // What Azure refuses to give back has to be told; what is only under way is told by its cause.
        step => Decided {
            step: step.map(Step::Azure),
            next: course.next,
            verdict: if course.verdict.standing == Standing::Stalled {
                course.verdict
            } else {
                why.clone()
            },
        },
    }
}
