//! For how long what an object waits for is believed to come by itself, how soon it is asked for again, and what is said when
//! that time is over.
//!
//! One table for all kinds; `docs/waiting.md` is printed from it. No reason is waited for without an end, and none is given up:
//! what is over is `Stalled` for people and for GitOps tools, and is still tried.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::condition::{Reason, kind};
use crate::runtime::conditions::find;
use crate::runtime::requeue::{DENIED, FORBIDDEN, Ladder, REFUSED, TRANSIENT, WAITING};
use crate::runtime::{Class, Failure, Waited};

use super::readiness::{Standing, Verdict};

/// The pause between two looks at what somebody else has to change, where `spec.interval` is longer.
pub const WAITING_PACE: Duration = minutes(1);
/// How long a resource whose operation failed is left alone before the same is sent again.
pub const FAILED_RETRY: Duration = minutes(10);
/// How soon a deletion that Azure refused is asked for again. People wait for it, so it is never as slow as a write.
pub const DELETION_REFUSED: Ladder = Ladder {
    first: minutes(1),
    most: minutes(10),
};
/// Throttling is part of the trade, and is told only when it has lasted for so long.
const THROTTLING_TOLD: Duration = minutes(5);

/// What is waited for, or was refused.
#[derive(Debug)]
pub struct Wait {
    /// What Azure or the cluster answers, for people.
    pub answer: &'static str,
    /// The reasons of the condition.
    pub reasons: &'static [Reason],
    /// For how long it is believed to pass by itself. Zero: it is not, and the object is `Stalled` at once.
    pub believed: Duration,
    /// When it is tried again.
    pub again: Again,
    /// What is said when the time is over: what somebody can do.
    pub advice: &'static str,
}

/// When something is tried again, whatever is believed.
#[derive(Debug, Clone, Copy)]
pub enum Again {
    /// When Azure says so, else by the ladder.
    AsAsked(Ladder),
    /// By the ladder.
    Ladder(Ladder),
    /// As soon as what is waited for changes in the cluster; it is looked at besides after each such time.
    OnChange(Duration),
}

const fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

/// Every reason for which something is tried again.
pub const WAITS: &[Wait] = &[
    Wait {
        answer: "no answer: a broken connection, 408, 5xx, an answer that cannot be read",
        reasons: &[Reason::Unavailable],
        believed: minutes(30),
        again: Again::Ladder(TRANSIENT),
        advice: "Check the network between the cluster and Azure, a proxy in between, and Azure's service health",
    },
    Wait {
        answer: "429, or a pause that Azure asks for; said only after five minutes",
        reasons: &[Reason::Throttled],
        believed: minutes(60),
        again: Again::AsAsked(Ladder {
            first: Duration::from_secs(10),
            most: Duration::from_secs(10),
        }),
        advice: "Something uses up the subscription's request limits: see Azure's activity log, or set a longer spec.interval",
    },
    Wait {
        answer: "an operation on the resource, or on what holds it, is under way; an unknown 409, 412, 423",
        reasons: &[Reason::Provisioning, Reason::Creating, Reason::Updating],
        believed: minutes(30),
        again: Again::AsAsked(WAITING),
        advice: "The activity log of the resource in Azure says what it works on",
    },
    Wait {
        answer: "the resource, or what is in it, is being deleted",
        reasons: &[Reason::Deleting],
        believed: minutes(60),
        again: Again::AsAsked(WAITING),
        advice: "The activity log of the resource in Azure says what holds it up",
    },
    Wait {
        answer: "the resource provider is not registered for the subscription",
        reasons: &[Reason::RegisteringProvider],
        believed: minutes(15),
        again: Again::Ladder(WAITING),
        advice: "Register it with `az provider register`, which says what is wrong",
    },
    Wait {
        answer: "403: the account lacks a right, which may have been given a moment ago",
        reasons: &[Reason::Unauthorized],
        believed: minutes(10),
        again: Again::Ladder(DENIED),
        advice: "Give the account the role that docs/installation.md lists; a new role works within ten minutes",
    },
    Wait {
        answer: "a pool refuses the account of a job (401, 403), whose role may not work yet; counted in the job's status",
        reasons: &[Reason::RolePropagating],
        believed: minutes(10),
        again: Again::Ladder(WAITING),
        advice: "`Unauthorized`: the role that the account lacks",
    },
    Wait {
        answer: "401 or 403 of the Kubernetes API, as of a server that has not read its roles yet; said only after a minute",
        reasons: &[Reason::Forbidden],
        believed: minutes(1),
        again: Again::Ladder(FORBIDDEN),
        advice: "Compare the operator's roles with those of the chart",
    },
    Wait {
        answer: "an identity that is to be attached is not known (`FailedIdentityOperation`)",
        reasons: &[Reason::IdentityNotFound],
        believed: minutes(10),
        again: Again::Ladder(WAITING),
        advice: "A new identity is known everywhere within minutes: correct its id, or create it; one that was deleted and is \
                 still attached has to be detached",
    },
    Wait {
        answer: "the principal of a role assignment is not known (`PrincipalNotFound`)",
        reasons: &[Reason::PrincipalNotFound],
        believed: minutes(10),
        again: Again::Ladder(WAITING),
        advice: "A new principal is known everywhere within minutes: correct its id, or create it",
    },
    Wait {
        answer: "Entra ID does not know a new identity or federated credential",
        reasons: &[Reason::FederationPropagating],
        believed: minutes(5),
        again: Again::Ladder(WAITING),
        advice: "Compare issuer, subject and audience of the federated credential with those of the message",
    },
    Wait {
        answer: "Entra ID, or Azure, refuses the credential (401, AADSTS…)",
        reasons: &[Reason::InvalidCredential],
        believed: Duration::ZERO,
        again: Again::Ladder(Ladder {
            first: minutes(1),
            most: minutes(10),
        }),
        advice: "",
    },
    Wait {
        answer: "a refusal of a write that Azure says nothing better of: policy, lock, quota, a value it does not take",
        reasons: &[Reason::Rejected, Reason::SubscriptionNotFound],
        believed: Duration::ZERO,
        again: Again::Ladder(REFUSED),
        advice: "",
    },
    Wait {
        answer: "a refusal of a deletion, such as `ScopeLocked`",
        reasons: &[],
        believed: Duration::ZERO,
        again: Again::Ladder(DELETION_REFUSED),
        advice: "",
    },
    Wait {
        answer: "an operation on the resource failed",
        reasons: &[Reason::ProvisioningFailed],
        believed: Duration::ZERO,
        again: Again::Ladder(Ladder {
            first: FAILED_RETRY,
            most: FAILED_RETRY,
        }),
        advice: "",
    },
    Wait {
        answer: "an object of the cluster that is referred to does not exist",
        reasons: &[Reason::ReferenceNotFound, Reason::AccountNotFound],
        believed: minutes(10),
        again: Again::OnChange(WAITING_PACE),
        advice: "Create it, or correct its name in the spec",
    },
    Wait {
        answer: "a Secret, a ConfigMap or a ServiceAccount, which are not watched, or a key of one, does not exist",
        reasons: &[
            Reason::SecretNotFound,
            Reason::ConfigMapNotFound,
            Reason::ServiceAccountNotFound,
        ],
        believed: minutes(10),
        again: Again::Ladder(WAITING),
        advice: "Create it, or correct its name in the spec",
    },
    Wait {
        answer: "an object of the cluster is not ready",
        reasons: &[Reason::ReferenceNotReady, Reason::AccountNotReady],
        believed: minutes(30),
        again: Again::OnChange(WAITING_PACE),
        advice: "Its own conditions say what it needs",
    },
    Wait {
        answer: "the resource does not exist, and `adoptionPolicy: MustExist`, `ObserveOnly` or the target of an IdentityAssignment \
                 asks for it",
        reasons: &[Reason::NotFound],
        believed: minutes(30),
        again: Again::Ladder(Ladder {
            first: WAITING_PACE,
            most: WAITING_PACE,
        }),
        advice: "Create it, or correct the name, the id or the policy",
    },
    Wait {
        answer: "the object was accepted and is being prepared",
        reasons: &[Reason::Pending],
        believed: minutes(10),
        again: Again::Ladder(WAITING),
        advice: "The operator's log says what it cannot write",
    },
];

/// What is known of waiting for a reason; `None` for those that only somebody's act ends, and for states of rest.
pub fn of(reason: Reason) -> Option<&'static Wait> {
    WAITS.iter().find(|wait| wait.reasons.contains(&reason))
}

/// What is known of an object when a verdict is made on it.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Its conditions so far.
    pub conditions: &'a [Condition],
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// For how long it has given which reason.
    pub waited: &'a Waited,
    /// The time.
    pub now: Timestamp,
}

impl Waiting<'_> {
    /// The verdict, or, once what it waits for is no longer believed to come by itself, one that says so.
    pub fn judge(&self, verdict: Verdict) -> Verdict {
        let given = verdict.reason.as_str();
        self.judge_as(verdict, given)
    }

    /// The verdict on a failed pass; `None` while the failure is not worth telling.
    pub fn of_failure(&self, failure: &Failure) -> Option<Verdict> {
        let Failure { class, reason, .. } = failure;
        if let Class::Throttled { .. } = class {
            let is_told = self.waited.for_reason(reason, self.now) >= THROTTLING_TOLD;
            let message = "Azure asks for pauses between the requests to this subscription";
            let verdict = Verdict::progressing(Reason::Throttled, message);
            return is_told.then(|| self.judge_as(verdict, reason));
        }
        let verdict = Verdict::of_failure(failure, self.now)?;
        let may_pass = of(verdict.reason).is_some_and(|wait| !wait.believed.is_zero());
        let verdict = match class {
            Class::Denied | Class::Forbidden if may_pass => Verdict::progressing(verdict.reason, verdict.message),
            _ => verdict,
        };
        Some(self.judge_as(verdict, reason))
    }

    fn judge_as(&self, verdict: Verdict, given: &str) -> Verdict {
        if !matches!(verdict.standing, Standing::Progressing | Standing::Unknown) {
            return verdict;
        }
        let Some(wait) = of(verdict.reason).filter(|wait| !wait.believed.is_zero()) else {
            return verdict;
        };
        // A restart of the operator begins no wait anew that was over.
        let was_over = find(self.conditions, kind::STALLED).is_some_and(|stalled| {
            stalled.reason == verdict.reason.as_str() && stalled.observed_generation == self.generation
        });
        if !was_over && self.waited.for_reason(given, self.now) < wait.believed {
            return verdict;
        }
        let message = format!(
            "{}. This has lasted for more than {} minutes. {}. It is still tried",
            verdict.message.trim_end_matches('.'),
            wait.believed.as_secs() / 60,
            wait.advice
        );
        Verdict::stalled(verdict.reason, message)
    }
}

#[cfg(test)]
mod tests;
