//! What must hold in every world, and of every change of a status.

use std::collections::HashSet;

use super::world::World;
use crate::api::command_job::{Attempt, AttemptReason, CommandJobStatus, Outcome, Phase};
use crate::controller::command_job::attempt::fixtures::at;
use crate::controller::command_job::job::plan::{is_finished, last_claim};
use crate::controller::command_job::job::retry::active_until;

impl World {
    /// What must hold in every world.
    pub fn check(&self) {
        let started = &self.service.started;
        let tickets: HashSet<_> = started.iter().collect();
        assert_eq!(tickets.len(), started.len(), "an attempt is started twice: {self:#?}");
        let most = usize::try_from(self.job.spec.backoff_limit).expect("a small number") + 1;
        assert!(started.len() <= most, "started {} times: {self:#?}", started.len());
        let Some(status) = &self.job.status else { return };
        for attempt in &status.attempts {
            let has_started = started.iter().any(|it| it.0 == attempt.ticket);
            if attempt.reason == Some(AttemptReason::Void) {
                assert!(!has_started, "an attempt is void and was started: {self:#?}");
            }
        }
        let is_overdue = active_until(&self.job).is_some_and(|it| self.now >= it);
        let has_failed_often = status.failed == Some(self.job.spec.backoff_limit + 1);
        match (status.phase, status.result.as_ref().map(|it| it.outcome)) {
            (Some(Phase::Succeeded), outcome) => {
                assert_eq!(outcome, Some(Outcome::Exited));
                assert!(self.service.has_succeeded, "it succeeded and never ran: {self:#?}");
            }
            (Some(Phase::Cancelled), _) => assert!(self.job.spec.cancel, "nobody cancelled it: {self:#?}"),
            (Some(Phase::Failed), Some(Outcome::Lost)) => {
                assert!(self.was_disturbed, "lost without a cause: {self:#?}");
            }
            (Some(Phase::Failed), Some(Outcome::TimedOut)) => {
                assert!(self.now > at(60) || is_overdue, "killed before its deadline: {self:#?}");
            }
            (Some(Phase::Failed), Some(Outcome::Exited)) => {
                assert!(has_failed_often || is_overdue, "it failed too soon: {self:#?}");
            }
            (Some(Phase::Failed), None) => assert!(started.is_empty(), "it was not prepared, and ran: {self:#?}"),
            (Some(Phase::Suspended), _) => {
                assert!(last_claim(&self.job).is_none(), "it is suspended and runs: {self:#?}");
            }
            (Some(Phase::Queued | Phase::Running) | None, outcome) => {
                assert!(
                    outcome.is_none() || status.failed > Some(0),
                    "a result of what has not ended: {self:#?}"
                );
            }
            other @ (Some(Phase::Failed), Some(Outcome::Cancelled)) => panic!("{other:?}: {self:#?}"),
        }
    }

    /// Goes on without further trouble; what is on its way never arrives. `resting` has the worlds that are known to.
    pub fn comes_to_rest(mut self, steps: usize, resting: &mut HashSet<u64>) {
        self.troubles_left = 0;
        self.wishes.clear();
        for _ in 0..steps {
            if !resting.insert(self.key()) {
                return;
            }
            self.check();
            let mut next = self.steps();
            if next.is_empty() {
                next = (0..self.leaving.len())
                    .flat_map(|index| self.farewells(index))
                    .collect();
            }
            match next.into_iter().next() {
                Some(world) => self = world,
                None if self.job.spec.suspend && !is_finished(&self.job) => {
                    let holds_nothing = self.service.sessions.is_empty() || self.may_leak;
                    assert!(holds_nothing, "it is suspended and holds a session: {self:#?}");
                    self.job.spec.suspend = false;
                }
                None => break,
            }
        }
        let is_deleted = self.job.metadata.deletion_timestamp.is_some();
        assert!(is_finished(&self.job) || is_deleted, "it does not end: {self:#?}");
        assert!(self.leaving.is_empty(), "its session is not released: {self:#?}");
        assert!(
            self.may_leak || self.service.sessions.is_empty(),
            "a session is left: {self:#?}"
        );
    }
}

/// What was said of attempts that have ended is not taken back, and no attempt is forgotten.
pub fn assert_goes_on(before: Option<&CommandJobStatus>, after: &CommandJobStatus) {
    let Some(before) = before else { return };
    assert!(before.failed <= after.failed, "{before:?} {after:?}");
    for (old, new) in before.attempts.iter().zip(&after.attempts) {
        let has_ended = |it: &Attempt| it.outcome.is_some() || it.reason.is_some();
        assert!(
            old.number == new.number && (!has_ended(old) || old == new),
            "{old:?} {new:?}"
        );
    }
    assert!(before.attempts.len() <= after.attempts.len(), "{before:?} {after:?}");
}
