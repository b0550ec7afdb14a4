//! Commands in sessions of a session pool of type Shell.

mod admission;
mod answer;
mod calls;
mod kept;
mod limits;
mod looked_up;
mod pools;
mod reaper;
mod runs_as;
mod session;
mod streams;
mod tail;
mod taken_up;

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use self::calls::EMPTYING_WINDOW;
use self::kept::SessionKeeper;
use self::session::AttemptSession;
use self::streams::StreamFiles;
use super::Executor;
use crate::api::command_job::{CommandJob, CommandResult};
use crate::azure::SessionError;
use crate::controller::command_job::attempt::{
    AttemptIdentity, AttemptKey, Command, Event, Limits, Problem, Slot, Ticket,
};
use crate::controller::command_job::job::plan::last_claim;
use crate::controller::command_job::job::{Inputs, Lodging};
use crate::controller::command_job::output::{end_bytes, ending};
use crate::controller::command_job::queue::{KeptSession, Seat};
use crate::controller::command_job::runner::{Action, Baseline, CleanWhen, MARK_FILE, Report, Upload};
use crate::runtime::{Key, Snapshot};

pub use limits::{GRACE_SECONDS, limits};
pub use pools::{PoolUse, Pools, UsablePool};
pub use reaper::Reaper;

/// Carries out the commands of one job's attempts in sessions of a pool.
#[derive(Clone)]
pub struct SessionPoolExecutor {
    pools: Arc<Pools>,
    pool: UsablePool,
    job: Snapshot<CommandJob>,
    inputs: Arc<Inputs>,
    /// What it may have a session by. As long as anything reaches the session, its place in the pool is taken.
    seat: Option<Arc<Seat>>,
    /// Names the session, if it is kept for other commands.
    slot: Option<Slot>,
}

impl std::fmt::Debug for SessionPoolExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionPoolExecutor({})", self.pool.id)
    }
}

impl SessionPoolExecutor {
    /// Runs what `inputs` are of the job in `pool`, in the session of its claim, else in that of the seat.
    pub fn new(
        pools: &Arc<Pools>,
        pool: UsablePool,
        job: &Snapshot<CommandJob>,
        inputs: Arc<Inputs>,
        seat: Option<Arc<Seat>>,
    ) -> Self {
        let slot = match last_claim(job) {
            Some(claim) => claim.slot,
            None => seat.as_ref().and_then(|it| it.slot().cloned()),
        };
        Self {
            slot,
            pools: Arc::clone(pools),
            pool,
            job: job.clone(),
            inputs,
            seat,
        }
    }

    /// What it may have a session by.
    pub fn seat(&self) -> Option<&Arc<Seat>> {
        self.seat.as_ref()
    }

    /// The same where there is no session, nor shall be one by this.
    #[must_use]
    pub fn without_seat(&self) -> Self {
        Self {
            seat: None,
            ..self.clone()
        }
    }

    /// The session that an attempt has that is prepared now.
    pub fn lodging(&self) -> Lodging {
        let kept = self.seat.as_ref().and_then(|it| it.kept());
        Lodging {
            mode: kept::session_mode(&self.pool, &self.job),
            slot: self.slot.clone(),
            reuse: kept.as_ref().map_or(0, |it| it.jobs),
            allocated: kept.and_then(|_| self.seat.as_ref()?.allocated()),
        }
    }

    /// The pool.
    pub fn pool(&self) -> &UsablePool {
        &self.pool
    }

    /// What the command is given.
    pub fn inputs(&self) -> &Arc<Inputs> {
        &self.inputs
    }

    /// The same for an attempt that was prepared, or is to be prepared by somebody else. It needs little memory.
    #[must_use]
    pub fn prepared(&self) -> Self {
        Self {
            inputs: Arc::new(self.inputs.prepared()),
            ..self.clone()
        }
    }

    /// The same for an attempt that was not started: good for giving it up.
    #[must_use]
    pub fn unstarted(&self) -> Self {
        Self {
            inputs: Arc::new(self.inputs.without_secrets()),
            ..self.clone()
        }
    }

    /// What an attempt is given, and where, as a digest. Nobody without the operator's key learns anything from it.
    pub fn contents(&self) -> String {
        let mut parts = self.inputs.parts();
        parts.push(self.pool.id.key().into_bytes().into());
        parts.push(self.pool.account.principal().as_bytes().into());
        parts.extend(self.slot.iter().map(|it| it.to_string().into_bytes().into()));
        self.pools.key().digest(parts.iter().map(|it| &**it))
    }

    /// The keyed digest of the secret values that the command is given, if there are any.
    pub fn secrets_digest(&self) -> Option<String> {
        let secrets = &self.inputs.secrets;
        let digest = || self.pools.key().digest(secrets.iter().map(|it| &**it));
        (!secrets.is_empty()).then(digest)
    }

    /// Names the account that the command runs as, if it is lent.
    pub fn lent_account(&self) -> Option<String> {
        self.pool.runs_as.lent_digest(self.pools.key(), &self.job)
    }

    /// The SessionPool of another namespace that the command enters as an account of its own.
    pub fn guest_of(&self) -> Option<Key> {
        self.pool.guest_of.clone()
    }

    fn session(&self, key: AttemptKey, ticket: &Ticket) -> AttemptSession {
        let uid = self.job.uid().unwrap_or_default();
        let (operator, slot) = (self.pools.key(), self.slot.as_ref());
        let identity = AttemptIdentity::derive(operator, self.pools.cluster(), &uid, key, ticket, slot);
        AttemptSession::new(self.pool.client.clone(), &identity)
    }

    async fn prepare(&self, key: AttemptKey, ticket: &Ticket) -> Event {
        let session = self.session(key, ticket);
        let uploads = match self.inputs.work.uploads(&session.files) {
            Ok(uploads) => uploads,
            Err(error) => return Event::Failed(answer::not_runnable(&error)),
        };
        for (index, upload) in uploads.into_iter().enumerate() {
            if let Err(error) = session.upload(upload).await {
                let asked_pause = error.retry_after;
                let event = answer::to_request(&self.pool, error);
                return match (event, &self.seat) {
                    // There is a session, with the files before this one.
                    (Event::Failed(problem), _) if index > 0 => Event::Unanswered(problem),
                    (Event::Full(problem), Some(seat)) => {
                        seat.on_refused(asked_pause);
                        Event::Full(problem)
                    }
                    (event, _) => event,
                };
            }
        }
        if let Some(seat) = &self.seat {
            seat.on_allocated();
        }
        Event::Prepared {
            at: Timestamp::now(),
            contents: self.contents(),
        }
    }

    /// What is not found may be replicating, or full in words that are not known; Resource Manager tells whether the
    /// pool is gone, or it is not to be known. `None` where that is not so.
    async fn gone(&self, error: &SessionError) -> Option<Event> {
        if !answer::is_not_found(error) {
            return None;
        }
        match self.pools.exists(&self.pool).await {
            Ok(true) => None,
            Ok(false) => Some(Event::Gone),
            Err(error) => Some(Event::Failed(answer::unknown_pool(&self.pool, &error))),
        }
    }

    async fn collect(&self, session: &AttemptSession, report: &Report) -> Event {
        match self.read_and_keep(session, report).await {
            Ok(result) => Event::Collected(Box::new(result)),
            Err(event) => event,
        }
    }

    async fn read_and_keep(&self, session: &AttemptSession, report: &Report) -> Result<CommandResult, Event> {
        let secrets = &self.inputs.to_mask;
        let output = self.pools.output();
        let end_bytes = end_bytes(&self.job, secrets);
        // One after the other, so the longer one's room is enough.
        let needed = [&report.stdout, &report.stderr].map(|it| streams::bytes_to_read(it, end_bytes));
        let _room = match needed[0].max(needed[1]) {
            0 => None,
            needed => Some(
                output
                    .room(&self.job, needed)
                    .await
                    .ok_or_else(|| Event::NotKept(answer::no_room()))?,
            ),
        };
        let mut kept = Vec::with_capacity(2);
        for (name, stream, files) in [
            ("stdout", &report.stdout, StreamFiles::STDOUT),
            ("stderr", &report.stderr, StreamFiles::STDERR),
        ] {
            let raw = streams::read(session, stream, files, end_bytes).await;
            let raw = raw.map_err(|error| answer::to_reading(&self.pool, error))?;
            let captured = output.keep(&self.job, name, raw, secrets).await;
            let (mut captured, count) = captured.map_err(|error| Event::NotKept(Problem::of(&error)))?;
            captured.incomplete = stream.is_incomplete;
            kept.push((captured, count));
        }
        let count: u64 = kept.iter().map(|(_, count)| count).sum();
        let mut streams = kept.into_iter().map(|(stream, _)| stream);
        Ok(CommandResult {
            masked_count: (count > 0).then(|| i64::try_from(count).unwrap_or(i64::MAX)),
            stdout: streams.next().unwrap_or_default(),
            stderr: streams.next().unwrap_or_default(),
            ..ending(report)
        })
    }
}

impl Executor for SessionPoolExecutor {
    fn limits(&self) -> Limits {
        limits(self.pools.poll_window(), Some(self.pool.cooldown))
    }

    fn place(&self) -> &str {
        self.pool.client.endpoint().as_str()
    }

    fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    async fn keep(&self, key: AttemptKey, ticket: Option<&Ticket>, baseline: Option<Baseline>) -> bool {
        let (Some(seat), Some(_)) = (&self.seat, &self.slot) else {
            return false;
        };
        let nobody = Ticket(String::new());
        let session = self.session(key, ticket.unwrap_or(&nobody));
        let kept = seat.kept();
        // Written once; from then on the session is given it back as often as it is emptied.
        let is_unmarked = kept.as_ref().is_none_or(|it| it.baseline.is_none());
        if let Some(text) = self.mark(baseline.as_ref()).filter(|_| is_unmarked) {
            let upload = Upload {
                name: MARK_FILE.to_owned(),
                content: text.into(),
            };
            if let Err(error) = session.upload(upload).await {
                tracing::debug!(%error, "a session that is kept could not be marked; another process will not find it again");
            }
        }
        let wish = kept::wish(&self.pool, self.pools.key(), &self.job);
        let left = KeptSession {
            baseline,
            earlier: ticket.map(|_| session.files.id().clone()),
            jobs: kept.map_or(0, |it| it.jobs).saturating_add(1),
            most_jobs: wish.and_then(|it| it.most_jobs),
            idle: kept::idle(&self.job),
        };
        let keeper = SessionKeeper::new(session, self.pool.cooldown, self.pools.context.stop().clone());
        seat.keep(left, Box::new(keeper))
    }

    async fn run(&self, command: &Command) -> Event {
        match command {
            Command::Prepare { key, ticket } => self.prepare(*key, ticket).await,
            Command::Start {
                claim,
                start_by,
                window,
                with_tail,
                empties,
            } => {
                // The latest start is meant by the clock of the session.
                let start_by = start_by.checked_add(self.pool.client.clock_skew()).unwrap_or(*start_by);
                let action = Action::Start {
                    work: &self.inputs.work,
                    start_by: start_by.as_second().unsigned_abs(),
                };
                self.start(claim, action, *window, *with_tail, *empties).await
            }
            Command::Poll {
                claim,
                window,
                with_tail,
                empties,
            } => {
                let empties = empties.as_ref().map(|it| (it, CleanWhen::AllIsTold));
                self.look(claim, *window, *with_tail, empties).await
            }
            Command::Empty { claim, baseline } => {
                let empties = Some((baseline, CleanWhen::Ended));
                self.look(claim, EMPTYING_WINDOW, false, empties).await
            }
            Command::ReadEnd { claim } => match self.session(claim.key, &claim.ticket).end_by_files().await {
                Ok(Some(report)) => Event::Frame(Box::new(report)),
                Ok(None) => Event::NoFrame,
                // Where nothing was begun there are no files of it.
                Err(error) => match self.gone(&error).await {
                    None if answer::is_not_found(&error) => Event::NoFrame,
                    gone => gone.unwrap_or_else(|| answer::to_request(&self.pool, error)),
                },
            },
            Command::Collect { claim, report } => self.collect(&self.session(claim.key, &claim.ticket), report).await,
            Command::Cancel {
                claim,
                reason,
                grace_seconds,
            } => {
                let session = self.session(claim.key, &claim.ticket);
                // A file, because a file waits behind no execution.
                let upload = session.files.cancel_upload(*reason, *grace_seconds);
                answer::to_done(&self.pool, session.upload(upload).await)
            }
            Command::Release { key } => {
                // The session is that of any ticket.
                let session = self.session(*key, &Ticket(String::new()));
                answer::to_done(&self.pool, session.release().await)
            }
        }
    }
}
