//! A pool that refuses the account of a job which has not begun: for a while after its role was assigned, Azure does not
//! know it everywhere, and answers as if it were not there.

use jiff::{SignedDuration, Timestamp};

use super::JobError;
use super::plan::live_attempt;
use super::reconcile::CommandJobs;
use super::target::Target;
use crate::api::CommandJob;
use crate::api::condition::{Reason, kind};
use crate::runtime::Pass;
use crate::runtime::conditions::find;

/// How long a refusal is taken for a role that is not effective yet ("Troubleshoot Azure RBAC": up to ten minutes).
pub const PROPAGATION: SignedDuration = SignedDuration::from_mins(10);

/// A refusal before the start: nothing ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The pool that refuses.
    pub pool: String,
    /// The principal of the account that it refuses.
    pub principal: String,
    /// Azure's code.
    pub code: String,
    /// Until when the role is waited for.
    pub until: Timestamp,
    /// Whether that time is over.
    pub is_overdue: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            pool,
            principal,
            code,
            until,
            is_overdue,
        } = self;
        write!(
            f,
            "the session pool {pool} refuses the principal {principal} ({code}): "
        )?;
        if *is_overdue {
            f.write_str(
                "it needs the role Azure ContainerApps Session Executor on the pool, and did not get it within 10 minutes; \
                 tried again slowly",
            )
        } else {
            write!(
                f,
                "a role that was assigned takes up to 10 minutes to be effective, so it is waited for until {until}"
            )
        }
    }
}

impl CommandJobs {
    /// What an error of a call that precedes the start means: a refusal is waited out, any other error stays what it is.
    pub(super) fn before_start(&self, pass: &mut Pass<Self>, target: &Target, error: JobError) -> JobError {
        let Some(code) = error.denied_code().map(str::to_owned) else {
            return error;
        };
        let now = Timestamp::now();
        let job = pass.object().clone();
        let known = pass.observed().conversation.refused_since;
        let first = known.unwrap_or_else(|| first_refusal(&job, now));
        self.learn(pass, |it| it.refused_since = Some(first));
        JobError::Refused(Refusal {
            pool: target.pool.to_string(),
            principal: target.account.principal().to_owned(),
            code,
            until: in_seconds(first + PROPAGATION),
            is_overdue: now >= first + PROPAGATION,
        })
    }

    /// The pool takes the account.
    pub(super) fn admitted(&self, pass: &mut Pass<Self>) {
        if pass.observed().conversation.refused_since.is_some() {
            self.learn(pass, |it| it.refused_since = None);
        }
    }
}

/// When the pool began to refuse, as far as this process can tell. What a job said before a restart is not taken back: it
/// would wait for a role for another ten minutes after each.
fn first_refusal(job: &CommandJob, now: Timestamp) -> Timestamp {
    let conditions = job
        .status
        .as_ref()
        .map(|it| it.conditions.as_slice())
        .unwrap_or_default();
    let was_overdue = find(conditions, kind::READY).is_some_and(|it| it.reason == Reason::Unauthorized.as_str());
    let is_waiting = job.status.as_ref().and_then(|it| live_attempt(&it.attempts)).is_none();
    if was_overdue && is_waiting {
        now - PROPAGATION
    } else {
        now
    }
}

/// Messages that differ in fractions of a second would be written for nothing.
fn in_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::{Class, Classify};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn refusal(is_overdue: bool) -> JobError {
        JobError::Refused(Refusal {
            pool: "/subscriptions/s/resourceGroups/g/providers/Microsoft.App/sessionPools/p".into(),
            principal: "the-principal".into(),
            code: "Forbidden".into(),
            until: at(600),
            is_overdue,
        })
    }

    #[test]
    fn a_role_is_waited_for_and_after_ten_minutes_asked_for_slowly() {
        let (early, late) = (refusal(false), refusal(true));
        assert_eq!(
            (early.class(), early.reason()),
            (Class::Waiting { after: None }, "RolePropagating".into())
        );
        assert_eq!((late.class(), late.reason()), (Class::Denied, "Unauthorized".into()));
        for (error, words) in [
            (
                &early,
                ["sessionPools/p", "the-principal", "10 minutes", "2027-01-15T08:10:00Z"],
            ),
            (
                &late,
                ["sessionPools/p", "the-principal", "10 minutes", "Session Executor"],
            ),
        ] {
            let text = error.to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn a_restart_does_not_begin_the_ten_minutes_of_a_job_that_is_over_them_again() {
        let job = |reason: &str| -> CommandJob {
            serde_json::from_value(json!({
                "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"},
                "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true"},
                "status": {"conditions": [{
                    "type": "Ready", "status": "False", "reason": reason, "message": "", "lastTransitionTime": at(0),
                }]},
            }))
            .unwrap()
        };
        assert_eq!(first_refusal(&job("Unauthorized"), at(900)), at(300));
        assert_eq!(first_refusal(&job("RolePropagating"), at(900)), at(900));
    }
}
