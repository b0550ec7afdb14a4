//! The effects around the plan of a job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use super::JobError;
use super::collect::{Collector, Masking};
use super::conversation::{Conversation, Heard, Prepared};
use super::identifier::AttemptIdentity;
use super::inputs::{self, Inputs};
use super::observe::{NotReady, Observed};
use super::plan::{self, Step, Verdict, live_attempt};
use super::release::{Contents, Releaser};
use super::runner::{Action, Call, Secrets, State, Streams};
use super::session::{Talk, nonce};
use super::status;
use super::target::{Purpose, Target, Targets};
use crate::api::command_job::{Attempt, CommandJob, CommandJobStatus};
use crate::api::condition::kind;
use crate::azure::session::{Dispatch, SessionErrorKind};
use crate::controller::Context;
use crate::runtime::conditions::transitioned;
use crate::runtime::{Effect, Note, Pass, Plan, Reconciler, Seen, Severity, Snapshot, WriteError};

/// A call that answers sooner than this although the command runs did not wait; the next one is held back.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Answers in a row without a frame after which the session's files are asked.
const UNREADABLE_ANSWERS: u32 = 2;

/// Reconciles CommandJobs.
pub struct CommandJobs {
    context: Context,
    targets: Arc<Targets>,
    releaser: Releaser,
    collector: Collector,
    poll_window: Duration,
    lives: Mutex<HashMap<String, Life>>,
}

/// What this process holds of one job.
#[derive(Clone)]
struct Life {
    conversation: Conversation,
    talk: Option<Talk>,
    inputs: Option<Arc<Inputs>>,
    /// Its result is being written, so its leaving the watch is no deletion.
    finishing: bool,
    /// Cancelled when the job is deleted.
    gone: CancellationToken,
}

impl Life {
    fn new() -> Self {
        Self {
            conversation: Conversation::default(),
            talk: None,
            inputs: None,
            finishing: false,
            gone: CancellationToken::new(),
        }
    }
}

impl CommandJobs {
    /// Jobs run in `targets`; a call waits at most `poll_window` for a command's end.
    pub fn new(context: Context, targets: Targets, releaser: Releaser, poll_window: Duration) -> Self {
        Self {
            context,
            targets: Arc::new(targets),
            releaser,
            collector: Collector::default(),
            poll_window,
            lives: Mutex::default(),
        }
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<String, Life>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self, job: &CommandJob) -> Life {
        self.lives().entry(uid(job)).or_insert_with(Life::new).clone()
    }

    fn update(&self, job: &CommandJob, change: impl FnOnce(&mut Life)) {
        if let Some(life) = self.lives().get_mut(&uid(job)) {
            change(life);
        }
    }

    fn identity(&self, job: &CommandJob, attempt: i32) -> AttemptIdentity {
        AttemptIdentity::derive(self.context.key(), self.context.cluster().as_str(), &uid(job), attempt)
    }

    /// Remembers what was learnt, both for this pass and for the next one.
    fn learn(&self, pass: &mut Pass<Self>, change: impl Fn(&mut Conversation)) {
        change(&mut pass.observed_mut().conversation);
        let job = pass.object().clone();
        self.update(&job, |life| change(&mut life.conversation));
    }

    fn talk(&self, job: &CommandJob, target: &Target, attempt: i32) -> Talk {
        let talk = Talk::new(target.client.clone(), &self.identity(job, attempt));
        self.update(job, |life| life.talk = Some(talk.clone()));
        talk
    }

    async fn prepare(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let (target, inputs) = ready(pass)?;
        let talk = self.talk(&job, &target, attempt);
        self.learn(pass, |it| it.prepared = None);
        for upload in inputs.work.uploads(&talk.attempt)? {
            talk.upload(upload).await?;
        }
        let at = Timestamp::now();
        self.learn(pass, |it| it.prepared = Some(Prepared { attempt, at }));
        self.update(&job, |life| life.inputs = Some(Arc::clone(&inputs)));
        Ok(Effect::Replan)
    }

    async fn claim(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let identity = self.identity(&job, attempt);
        let (_, inputs) = ready(pass)?;
        let secrets = (!inputs.secrets.is_empty()).then(|| self.secrets_digest(&inputs));
        let void = job
            .status
            .as_ref()
            .and_then(|it| live_attempt(&it.attempts))
            .map(|it| it.number);
        let status = status::claimed(&job, attempt, &identity.digest, secrets, Timestamp::now());
        pass.write_status(&status).await?;
        if let Some(void) = void {
            // Its session is of no use any more; it was proven that nothing ran in it nor ever will.
            let (target, _) = ready(pass)?;
            self.releaser
                .release(Talk::new(target.client, &self.identity(&job, void)), Contents::Idle);
        }
        self.warn_of_short_secrets(&job, &inputs);
        let digest = identity.digest;
        pass.observed_mut().digest = Some(digest);
        pass.observed_mut().reachable = Ok(());
        self.learn(pass, |it| {
            it.heard = None;
            it.unanswered = false;
            it.unreadable = 0;
        });
        Ok(Effect::Replan)
    }

    async fn call(&self, pass: &mut Pass<Self>, attempt: i32, start_by: Timestamp) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let (target, inputs) = ready(pass)?;
        let talk = self.talk(&job, &target, attempt);
        // A session lives as long as it is asked often enough.
        let window = self.poll_window.min(target.cooldown / 3).max(Duration::from_secs(1));
        let start_by = start_by + target.client.clock_skew();
        let call = Call {
            attempt: &talk.attempt,
            nonce: nonce(),
            window_seconds: u32::try_from(window.as_secs()).unwrap_or(1),
            linger_milliseconds: 0,
            streams: Streams::Fitting,
            action: Action::Start {
                work: &inputs.work,
                start_by: start_by.as_second().unsigned_abs(),
            },
        };
        self.learn(pass, |it| it.unanswered = true);
        let began = tokio::time::Instant::now();
        let answer = tokio::select! {
            answer = talk.execute(&call, window) => answer,
            () = pass.stopping().cancelled() => return Ok(Effect::Done),
        };
        let look = match answer {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => return self.without_frame(pass, &talk, attempt, error).await,
            Err(error) => return self.unanswered(pass, &target, attempt, error).await,
        };
        self.learn(pass, |it| {
            it.unanswered = false;
            it.unreadable = 0;
        });
        let heard = match look.state {
            State::Absent | State::Registered => return Err(JobError::NotBegun),
            State::Running { .. } => {
                tokio::time::sleep_until(began + SHORTEST_WAIT).await;
                self.learn(pass, |it| it.heard = Some((attempt, Heard::Running)));
                return Ok(Effect::Done);
            }
            State::Replaced => Heard::Replaced,
            State::Void => Heard::Void,
            State::Lost { killed: None } => Heard::Died,
            State::Unprepared { .. } => Heard::Unprepared,
            // A runner that died while it was killing the command: how it ended is known, its exit code is not.
            State::Lost { killed: Some(_) } | State::Ended { .. } | State::Cancelled(_) => Heard::Ended(Box::new(look)),
        };
        self.learn(pass, |it| it.heard = Some((attempt, heard.clone())));
        Ok(Effect::Replan)
    }

    async fn without_frame(
        &self,
        pass: &mut Pass<Self>,
        talk: &Talk,
        attempt: i32,
        error: super::runner::FrameError,
    ) -> Result<Effect, JobError> {
        tracing::debug!(%error, "answer without a frame");
        self.learn(pass, |it| it.unreadable += 1);
        if pass.observed().conversation.unreadable < UNREADABLE_ANSWERS {
            return Ok(Effect::Replan);
        }
        let Some(look) = talk.end_by_files().await? else {
            return Err(JobError::Unreadable);
        };
        let heard = match look.state {
            State::Unprepared { .. } => Heard::Unprepared,
            _ => Heard::Ended(Box::new(look)),
        };
        self.learn(pass, |it| it.heard = Some((attempt, heard.clone())));
        Ok(Effect::Replan)
    }

    async fn unanswered(
        &self,
        pass: &mut Pass<Self>,
        target: &Target,
        attempt: i32,
        error: JobError,
    ) -> Result<Effect, JobError> {
        let JobError::Session(session) = &error else {
            return Err(error);
        };
        if matches!(session.dispatch, Dispatch::NotSent | Dispatch::Refused) {
            self.learn(pass, |it| it.unanswered = false);
        }
        if session.kind == SessionErrorKind::NotFound && !self.targets.exists(target).await? {
            self.learn(pass, |it| it.heard = Some((attempt, Heard::PoolGone)));
            return Ok(Effect::Replan);
        }
        Err(error)
    }

    async fn collect(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let Some(Heard::Ended(look)) = pass.observed().conversation.heard_of(attempt).cloned() else {
            return Ok(Effect::Reobserve);
        };
        let (target, inputs) = ready(pass)?;
        let talk = self.talk(&job, &target, attempt);
        let masking = self.masking(&job, &inputs);
        let result = self
            .collector
            .collect(self.context.client(), &job, &talk, &look, &masking)
            .await?;
        self.learn(pass, |it| {
            it.heard = Some((attempt, Heard::Collected(Box::new(result.clone()))))
        });
        Ok(Effect::Replan)
    }

    /// The values to mask, if they still are those that the attempt was given.
    fn masking(&self, job: &CommandJob, inputs: &Inputs) -> Masking {
        let claimed = job
            .status
            .as_ref()
            .and_then(|it| live_attempt(&it.attempts))
            .and_then(|it| it.secrets_digest.clone());
        match claimed {
            Some(digest) if digest != self.secrets_digest(inputs) => Masking::Unknown,
            _ => Masking::Values(Secrets::new(inputs.secrets.iter().map(Vec::as_slice))),
        }
    }

    /// A value of a few bytes would be found everywhere, so it is not masked; its owner should know.
    fn warn_of_short_secrets(&self, job: &CommandJob, inputs: &Inputs) {
        let ignored = Secrets::new(inputs.secrets.iter().map(Vec::as_slice)).ignored();
        if ignored > 0 {
            let note = Note {
                severity: Severity::Warning,
                reason: "SecretTooShort".into(),
                action: "Mask".into(),
                message: format!(
                    "{ignored} secret values of spec.env are under 4 bytes and are not masked in the output"
                ),
            };
            self.context.events().publish(job, &note);
        }
    }

    fn secrets_digest(&self, inputs: &Inputs) -> String {
        self.context.key().digest(inputs.secrets.iter().map(Vec::as_slice))
    }

    async fn finish(&self, pass: &mut Pass<Self>, verdict: &Verdict) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let now = Timestamp::now();
        let status = status::finished(&job, verdict, now);
        self.update(&job, |life| life.finishing = true);
        let written = match pass.write_status(&status).await {
            Err(WriteError::TooLarge) => pass.write_status(&status::cut_to_fit(&job, status, now)).await,
            written => written,
        };
        if let Err(error) = written {
            self.update(&job, |life| life.finishing = false);
            return Err(error.into());
        }
        if let Some(life) = self.lives().remove(&uid(&job))
            && let Some(talk) = life.talk
        {
            self.releaser.release(talk, Contents::Idle);
        }
        Ok(Effect::Done)
    }

    /// Kills what the job may be running and gives its session back. The job is deleted or being deleted.
    fn discard(&self, job: &Snapshot<CommandJob>) {
        let Some(life) = self.lives().remove(&uid(job)) else {
            return self.discard_unknown(job);
        };
        life.gone.cancel();
        if life.conversation.discarded {
            return;
        }
        match life.talk {
            Some(talk) => self.releaser.release(
                talk,
                Contents::Abandoned {
                    start_by: outstanding(job, &life.conversation),
                },
            ),
            None => self.discard_unknown(job),
        }
    }

    /// Like [`discard`](Self::discard), for a job that is kept by somebody's finalizer for a while.
    fn discard_within(&self, pass: &mut Pass<Self>) -> Effect {
        let job = pass.object().clone();
        self.discard(&job);
        self.life(&job);
        self.learn(pass, |it| it.discarded = true);
        Effect::Done
    }

    /// Like [`discard`](Self::discard), for a job that this process never talked to.
    fn discard_unknown(&self, job: &Snapshot<CommandJob>) {
        let Some(attempt) = job.status.as_ref().and_then(|it| live_attempt(&it.attempts)) else {
            return;
        };
        let identity = self.identity(job, attempt.number);
        let start_by = Some(start_by(attempt));
        let (job, releaser, targets) = (job.clone(), self.releaser.clone(), Arc::clone(&self.targets));
        self.releaser.spawn(async move {
            match targets.resolve(&job, Purpose::Reach).await {
                Ok(Ok(target)) => {
                    releaser.release(Talk::new(target.client, &identity), Contents::Abandoned { start_by });
                }
                Ok(Err(_)) | Err(_) => tracing::warn!(
                    job = %job.name_any(),
                    "the session of a deleted job cannot be found any more; it ends with its pool's cooldown"
                ),
            }
        });
    }
}

impl Reconciler for CommandJobs {
    type Object = CommandJob;
    type Observed = Observed;
    type Step = Step;
    type Error = JobError;

    async fn observe(&self, job: &Snapshot<CommandJob>) -> Result<Observed, JobError> {
        let life = self.life(job);
        let live = job.status.as_ref().and_then(|it| live_attempt(&it.attempts));
        let under_way = plan::is_under_way(job, &life.conversation);
        let purpose = if under_way { Purpose::Reach } else { Purpose::Start };
        let (target, problem) = match self.targets.resolve(job, purpose).await? {
            Ok(target) => (Some(target), None),
            Err(not_ready) => (None, Some(not_ready)),
        };
        let (inputs, missing) = match life.inputs {
            Some(inputs) if under_way => (Some(inputs), None),
            _ if target.is_none() => (None, None),
            _ => match inputs::resolve(self.context.client(), job).await {
                Ok(inputs) => (Some(Arc::new(inputs)), None),
                Err(error) => {
                    let missing = NotReady::from_inputs_error(error)?;
                    // An attempt that is under way has its values; only their number matters from here on.
                    (under_way.then(|| Arc::new(inputs::shape(job))), Some(missing))
                }
            },
        };
        let reachable = problem.clone().map_or(Ok(()), Err);
        let ready = problem.or(missing.filter(|_| !under_way)).map_or(Ok(()), Err);
        Ok(Observed {
            ready,
            reachable,
            digest: live.map(|it| self.identity(job, it.number).digest),
            conversation: life.conversation,
            target,
            inputs,
        })
    }

    fn plan(job: &CommandJob, observed: &Observed, now: Timestamp) -> Plan<Step> {
        plan::plan(job, observed, now)
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, JobError> {
        if let Step::Discard { .. } = step {
            return Ok(self.discard_within(pass));
        }
        let gone = self.life(pass.object()).gone;
        let work = async {
            match step {
                Step::Prepare { attempt } => self.prepare(pass, attempt).await,
                Step::Claim { attempt } => self.claim(pass, attempt).await,
                Step::Call { attempt, start_by } => self.call(pass, attempt, start_by).await,
                Step::Collect { attempt } => self.collect(pass, attempt).await,
                Step::Finish(verdict) => self.finish(pass, &verdict).await,
                Step::Discard { .. } => Ok(Effect::Done),
            }
        };
        tokio::select! {
            done = work => done,
            () = gone.cancelled() => Ok(Effect::Done),
        }
    }

    fn summarize(job: &CommandJob, seen: Seen<'_, Observed>, now: Timestamp) -> Option<CommandJobStatus> {
        status::summarize(job, &seen, now)
    }

    fn notes(job: &CommandJob, status: &CommandJobStatus) -> Vec<Note> {
        let before = job
            .status
            .as_ref()
            .map(|it| it.conditions.as_slice())
            .unwrap_or_default();
        let Some(ready) = transitioned(before, &status.conditions, kind::READY) else {
            return Vec::new();
        };
        let failed = status.conditions.iter().any(|it| it.type_ == kind::STALLED);
        vec![Note {
            severity: if failed { Severity::Warning } else { Severity::Normal },
            reason: ready.reason.clone().into(),
            action: "Run".into(),
            message: ready.message.clone(),
        }]
    }

    fn gone(&self, job: &Snapshot<CommandJob>) {
        let finishing = self.lives().get(&uid(job)).is_some_and(|it| it.finishing);
        let finished = job
            .status
            .as_ref()
            .and_then(|it| it.phase)
            .is_some_and(|it| it.is_terminal());
        if !finishing && !finished {
            self.discard(job);
        }
    }
}

/// Until when a start that was never answered may arrive.
fn outstanding(job: &CommandJob, conversation: &Conversation) -> Option<Timestamp> {
    let attempt = job.status.as_ref().and_then(|it| live_attempt(&it.attempts))?;
    conversation.unanswered.then(|| start_by(attempt))
}

fn start_by(attempt: &Attempt) -> Timestamp {
    attempt.start_time.0 + plan::START_BY + SignedDuration::from_secs(1)
}

fn ready(pass: &Pass<CommandJobs>) -> Result<(Target, Arc<Inputs>), JobError> {
    let observed = pass.observed();
    match (&observed.target, &observed.inputs) {
        (Some(target), Some(inputs)) => Ok((target.clone(), Arc::clone(inputs))),
        _ => Err(JobError::NoTarget),
    }
}

fn uid(job: &CommandJob) -> String {
    job.uid().unwrap_or_default()
}

/// Used by tests of the plan: a look as a session answers it.
#[cfg(test)]
pub(super) fn ended_look(exit_code: u8) -> super::runner::Look {
    use super::runner::{Look, Payload, Stream};
    let empty = || Stream {
        length: 0,
        payload: Payload::Absent,
    };
    let state = State::Ended {
        exit_code,
        elapsed: Duration::from_millis(10),
        killed: None,
    };
    Look {
        state,
        stdout: empty(),
        stderr: empty(),
        missing: Vec::new(),
    }
}
