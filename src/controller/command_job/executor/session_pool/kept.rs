//! Sessions that a job has left for another one: whose they are, how they are kept alive, how they end.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::limits::RELEASE_PAUSES;
use super::pools::UsablePool;
use super::session::AttemptSession;
use crate::api::command_job::{CommandJob, SessionMode};
use crate::controller::command_job::attempt::{KeptFor, SessionNames, Tenancy};
use crate::controller::command_job::queue::{Keeper, Seat, Wish};
use crate::controller::command_job::runner::Baseline;
use crate::controller::operator_key::{OperatorKey, hex};

/// How long a shared session is kept for its next job, where the job does not say.
const DEFAULT_IDLE: Duration = Duration::from_mins(5);

/// How the session of a job is chosen in this pool.
pub fn session_mode(pool: &UsablePool, job: &CommandJob) -> SessionMode {
    let defaults = pool.object.as_ref().and_then(|it| it.spec.job_defaults);
    let otherwise = defaults.and_then(|it| it.session_mode).unwrap_or_default();
    job.spec.session.mode_or(otherwise)
}

/// Whose session of the pool the job may have, if not only one of its own.
pub fn wish(pool: &UsablePool, operator: &OperatorKey, job: &CommandJob) -> Option<Wish> {
    let kept_for = match session_mode(pool, job) {
        SessionMode::Fresh => return None,
        SessionMode::Reused => KeptFor::AnyCommand,
        SessionMode::Shared => KeptFor::OneKey,
    };
    let namespace = job.namespace().unwrap_or_default();
    let account = pool.runs_as.account.to_string();
    let key = job.spec.session.key.as_deref().unwrap_or_default();
    let account = (account.as_str(), pool.account.principal());
    let most = pool.object.as_ref().and_then(|it| it.spec.job_defaults?.max_reuses);
    let most = most.filter(|_| kept_for == KeptFor::AnyCommand);
    Some(Wish {
        tenancy: Tenancy::derive(operator, &pool.id.key(), &namespace, account, kept_for, key),
        idle_seconds: idle(job).and_then(|it| u32::try_from(it.as_secs()).ok()),
        most_jobs: most.map(|it| u32::try_from(it).unwrap_or(0).saturating_add(1)),
    })
}

/// How long the session of a job is kept for the next one, if not for as long as it is paid for.
pub fn idle(job: &CommandJob) -> Option<Duration> {
    let seconds = job.spec.session.idle_seconds.and_then(|it| u64::try_from(it).ok());
    (job.spec.session.mode == Some(SessionMode::Shared)).then(|| seconds.map_or(DEFAULT_IDLE, Duration::from_secs))
}

/// What is written into a session, so that it is known again: what it was before its first command, and a proof that the operator
/// wrote that, of this session.
pub fn mark(operator: &OperatorKey, session: &SessionNames, baseline: &Baseline) -> String {
    let parts = [&session.identifier, baseline.as_str()].map(str::as_bytes);
    format!("{} {}", baseline.as_str(), hex(&operator.derive("mark", parts)[..16]))
}

/// What the session was before its first command, by its mark.
pub fn marked(operator: &OperatorKey, session: &SessionNames, text: &[u8]) -> Option<Baseline> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    let baseline = Baseline::new(text.split_once(' ')?.0)?;
    (mark(operator, session, &baseline) == text).then_some(baseline)
}

/// Looks after one session that nobody has.
pub struct SessionKeeper {
    session: AttemptSession,
    stop: CancellationToken,
    /// Asks it for something, often enough that it lives.
    _asking: AbortOnDropHandle<()>,
}

impl SessionKeeper {
    /// Keeps a session alive that lives for `cooldown` without a request.
    pub fn new(session: AttemptSession, cooldown: Duration, stop: CancellationToken) -> Self {
        let asked = session.clone();
        let asking = tokio::spawn(async move {
            loop {
                tokio::time::sleep((cooldown / 3).max(Duration::from_secs(1))).await;
                if let Err(error) = asked.touch().await {
                    tracing::debug!(%error, "a session that is kept could not be asked");
                }
            }
        });
        Self {
            session,
            stop,
            _asking: AbortOnDropHandle::new(asking),
        }
    }
}

impl Keeper for SessionKeeper {
    fn retire(&self, seat: Arc<Seat>) {
        let (session, stop) = (self.session.clone(), self.stop.clone());
        tokio::spawn(async move {
            end(&session, &stop).await;
            drop(seat);
        });
    }
}

/// Ends a session; what cannot be ended is left to its pool's cooldown.
pub async fn end(session: &AttemptSession, stop: &CancellationToken) {
    for pause in RELEASE_PAUSES {
        match session.release().await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "a session that was kept could not be released"),
        }
        let pause = Duration::try_from(pause).unwrap_or_default();
        if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
            return;
        }
    }
    tracing::warn!("a session could not be released; it ends with its pool's cooldown");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::command_job::attempt::Slot;

    #[test]
    fn a_mark_proves_what_its_own_session_was_and_no_other() {
        let key = OperatorKey::new([1; 32]);
        let tenancy = Tenancy::derive(&key, "p", "n", ("a", "b"), KeptFor::AnyCommand, "");
        let names = |random: char| {
            let slot = Slot::new(tenancy.clone(), None, &String::from(random).repeat(32));
            SessionNames::of_slot(&key, "c", &slot)
        };
        let baseline = Baseline::new("12_17.5_0123456789abcdef_-").expect("a baseline");
        let text = mark(&key, &names('a'), &baseline);
        let read = |text: &str| marked(&key, &names('a'), text.as_bytes());
        assert_eq!(read(&format!("{text}\n")), Some(baseline.clone()));
        assert_eq!(marked(&key, &names('b'), text.as_bytes()), None);
        assert_eq!(marked(&OperatorKey::new([2; 32]), &names('a'), text.as_bytes()), None);
        for other in [
            text.replace("12_", "13_"),
            format!("{text}0"),
            baseline.as_str().to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
