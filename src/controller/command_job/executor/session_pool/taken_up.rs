//! Sessions that another process of this operator has kept for other commands.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::calls::{EMPTYING_WINDOW, call};
use super::kept::{SessionKeeper, mark, marked};
use super::pools::{Pools, UsablePool};
use super::session::AttemptSession;
use crate::controller::command_job::attempt::{AttemptIdentity, KeptFor, SessionNames};
use crate::controller::command_job::queue::KeptSession;
use crate::controller::command_job::runner::{Action, Baseline, Call, CleanWhen, Cleaning, Remains};

/// More than any mark has.
const MARK_BYTES: usize = 512;

impl Pools {
    /// Takes up a session that no job has, if it is one that is kept and can be another command's; whatever its last job was at when
    /// the other process died, it is emptied first. False if it is to be ended.
    pub(super) async fn take_up(&self, pool: &UsablePool, id: &str, names: &SessionNames, since: Timestamp) -> bool {
        let Some(slot) = names.slot(self.key(), self.cluster()) else {
            return false;
        };
        let identity = AttemptIdentity {
            attempt: Uuid::new_v4().simple().to_string(),
            session: names.clone(),
        };
        let session = AttemptSession::new(pool.client.clone(), &identity);
        let (baseline, earlier) = match slot.tenancy.kept_for {
            KeptFor::OneKey => (None, None),
            KeptFor::AnyCommand => match self.emptied(&session, names).await {
                Some(baseline) => (Some(baseline), Some(session.files.id().clone())),
                None => return false,
            },
        };
        let left = KeptSession {
            baseline,
            earlier,
            jobs: 0,
            most_jobs: None,
            idle: slot.idle_seconds.map(|it| Duration::from_secs(it.into())),
        };
        let keeper = SessionKeeper::new(session, pool.cooldown, self.context.stop().clone());
        let seat = self.queues().found(id, &slot, since);
        let is_kept = seat.is_some_and(|it| it.keep(left, Box::new(keeper)));
        if is_kept {
            tracing::info!(
                pool = id,
                session = names.digest,
                "a session that is kept was found again"
            );
        }
        is_kept
    }

    /// What the session was before its first command, if it is so again.
    async fn emptied(&self, session: &AttemptSession, names: &SessionNames) -> Option<Baseline> {
        let told = session.read_mark(MARK_BYTES).await.ok()?;
        let baseline = marked(self.key(), names, &told)?;
        let mark = mark(self.key(), names, &baseline);
        let call = Call {
            cleaning: Some(Cleaning {
                baseline: Some(&baseline),
                mark: Some(&mark),
                when: CleanWhen::Abandoned,
            }),
            ..call(&session.files, Action::Observe, EMPTYING_WINDOW)
        };
        let cleaned = session.execute(&call, EMPTYING_WINDOW).await.ok()?.ok()?.cleaned;
        (cleaned.remains == Some(Remains::Nothing)).then_some(baseline)
    }
}
