//! The effects around the plan of a job.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::JobError;
use super::collect::{Collector, Masking};
use super::conversation::{Conversation, Heard, Prepared};
use super::identifier::AttemptIdentity;
use super::inputs::{self, Inputs};
use super::lives::Lives;
use super::observe::{NotReady, Observed};
use super::plan::{self, Step, Verdict, live_attempt};
use super::release::{Contents, Releaser};
use super::runner::{Action, Call, Secrets, Streams};
use super::session::{Talk, nonce};
use super::status;
use super::target::{Purpose, Target, Targets};
use crate::api::command_job::{Attempt, CommandJob, CommandJobStatus, Phase};
use crate::api::condition::kind;
use crate::azure::session::Dispatch;
use crate::controller::Context;
use crate::runtime::conditions::transitioned;
use crate::runtime::{Effect, Note, Pass, Plan, Reconciler, Seen, Severity, Snapshot, WriteError};

/// A call that answers sooner than this although the command runs did not wait; the next one is held back.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Reconciles CommandJobs.
pub struct CommandJobs {
    context: Context,
    targets: Arc<Targets>,
    releaser: Releaser,
    collector: Collector,
    poll_window: Duration,
    lives: Lives,
}

impl CommandJobs {
    /// Jobs run in `targets`; a call waits at most `poll_window` for a command's end.
    pub fn new(context: Context, targets: Targets, releaser: Releaser, poll_window: Duration) -> Self {
        Self {
            collector: Collector::new(context.events().clone()),
            context,
            targets: Arc::new(targets),
            releaser,
            poll_window,
            lives: Lives::default(),
        }
    }

    /// A version of the job was seen. Once it is being deleted, what is under way for it ends at once.
    pub fn seen(&self, job: &CommandJob) {
        if job.metadata.deletion_timestamp.is_some()
            && let Some(life) = self.lives.get(job)
        {
            life.gone.cancel();
        }
    }

    fn identity(&self, job: &CommandJob, attempt: i32) -> AttemptIdentity {
        AttemptIdentity::derive(self.context.key(), self.context.cluster().as_str(), &uid(job), attempt)
    }

    /// Remembers what was learnt, both for this pass and for the next one.
    fn learn(&self, pass: &mut Pass<Self>, change: impl Fn(&mut Conversation)) {
        change(&mut pass.observed_mut().conversation);
        let job = pass.object().clone();
        self.lives.update(&job, |life| change(&mut life.conversation));
    }

    fn talk(&self, job: &CommandJob, target: &Target, attempt: i32) -> Talk {
        let talk = Talk::new(target.client.clone(), &self.identity(job, attempt));
        self.lives.update(job, |life| {
            life.talk = Some(talk.clone());
            life.target = Some(target.clone());
        });
        talk
    }

    async fn prepare(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let (target, inputs) = ready(pass)?;
        let fingerprint = pass.observed().fingerprint.clone().ok_or(JobError::NoTarget)?;
        let before = self.lives.get(&job).and_then(|it| it.talk);
        let talk = self.talk(&job, &target, attempt);
        if let Some(before) = before.filter(|it| *it != talk) {
            // Nothing was started there: its upload was never answered, or its pool is no longer the job's.
            self.releaser.release(before, Contents::Idle, None);
        }
        self.learn(pass, |it| it.prepared = None);
        for upload in inputs.work.uploads(&talk.attempt)? {
            if let Err(error) = talk.upload(upload).await {
                if may_arrive(&error) {
                    self.learn(pass, |it| it.spoilt = attempt);
                }
                return Err(error);
            }
        }
        let at = Timestamp::now();
        self.learn(pass, |it| {
            let fingerprint = fingerprint.clone();
            it.prepared = Some(Prepared {
                attempt,
                at,
                fingerprint,
            });
        });
        self.lives.update(&job, |life| life.inputs = Some(Arc::clone(&inputs)));
        Ok(Effect::Replan)
    }

    async fn claim(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let identity = self.identity(&job, attempt);
        let (target, inputs) = ready(pass)?;
        let secrets = (!inputs.secrets.is_empty()).then(|| self.secrets_digest(&inputs));
        let void = job
            .status
            .as_ref()
            .and_then(|it| live_attempt(&it.attempts))
            .map(|it| it.number);
        let status = status::claimed(&job, attempt, &identity.digest, secrets, Timestamp::now());
        pass.write_status(&status).await?;
        if let Some(void) = void {
            // Its session is of no use any more: it was proven that nothing ran in it nor ever will.
            let void = Talk::new(target.client, &self.identity(&job, void));
            self.releaser.release(void, Contents::Idle, None);
        }
        self.warn_of_short_secrets(&job, &inputs);
        let observed = pass.observed_mut();
        observed.digest = Some(identity.digest);
        observed.reachable = Ok(());
        self.learn(pass, Conversation::begin);
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
        self.learn(pass, |it| it.calling = true);
        let began = tokio::time::Instant::now();
        let answer = tokio::select! {
            answer = talk.execute(&call, window) => answer,
            () = pass.stopping().cancelled() => return Ok(Effect::Done),
        };
        let heard = match answer {
            Ok(answer) => Heard::from_answer(answer),
            Err(error) => {
                self.learn(pass, |it| it.hear_nothing(attempt, may_arrive(&error)));
                return self.without_answer(pass, &target, attempt, error).await;
            }
        };
        self.learn(pass, |it| it.hear(attempt, heard.clone()));
        match heard {
            Heard::NotBegun => Err(JobError::NotBegun),
            Heard::Running => {
                tokio::time::sleep_until(began + SHORTEST_WAIT).await;
                Ok(Effect::Done)
            }
            _ => Ok(Effect::Replan),
        }
    }

    /// What is not found may be replicating, or full in words that are not known; Resource Manager tells whether the
    /// pool is gone.
    async fn without_answer(
        &self,
        pass: &mut Pass<Self>,
        target: &Target,
        attempt: i32,
        error: JobError,
    ) -> Result<Effect, JobError> {
        if error.is_not_found() && !self.targets.exists(target).await? {
            self.learn(pass, |it| it.hear(attempt, Heard::PoolGone));
            return Ok(Effect::Replan);
        }
        Err(error)
    }

    async fn read_end(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let (target, _) = ready(pass)?;
        let found = self.talk(&job, &target, attempt).end_by_files().await?;
        self.learn(pass, |it| it.unreadable = 0);
        let Some(look) = found else {
            return Err(JobError::Unreadable);
        };
        self.learn(pass, |it| it.hear(attempt, Heard::from_answer(Ok(look.clone()))));
        Ok(Effect::Replan)
    }

    async fn collect(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let Some(Heard::Ended(look)) = pass.observed().conversation.heard_of(attempt).cloned() else {
            return Ok(Effect::Reobserve);
        };
        let (target, inputs) = ready(pass)?;
        let talk = self.talk(&job, &target, attempt);
        let masking = self.masking(&job, &inputs);
        let collected = self
            .collector
            .collect(self.context.client(), &job, &talk, &look, &masking)
            .await;
        let result = match collected {
            Ok(result) => Box::new(result),
            Err(error) => {
                if error.is_not_found() || matches!(error, JobError::ShortRead { .. } | JobError::Altered { .. }) {
                    self.learn(pass, |it| it.missing_output += 1);
                }
                return Err(error);
            }
        };
        self.learn(pass, |it| it.hear(attempt, Heard::Collected(result.clone())));
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

    /// What an attempt would be given, and where. Nobody without the key learns anything from it.
    fn fingerprint(&self, target: &Target, inputs: &Inputs) -> String {
        let mut parts = inputs.parts();
        parts.push(target.pool.key().into_bytes());
        parts.push(
            target
                .account
                .spec()
                .client_id()
                .unwrap_or_default()
                .as_bytes()
                .to_vec(),
        );
        self.context.key().digest(parts.iter().map(Vec::as_slice))
    }

    async fn finish(&self, pass: &mut Pass<Self>, verdict: &Verdict) -> Result<Effect, JobError> {
        let job = pass.object().clone();
        let now = Timestamp::now();
        let mut status = status::finished(&job, verdict, now);
        // Said before the write: the job leaves the watch with it, perhaps before the write is answered.
        self.lives.update(&job, |life| life.finishing = true);
        let mut written = pass.write_status(&status).await;
        if let Err(WriteError::TooLarge) = written {
            status = status::cut_to_fit(&job, status, now);
            written = pass.write_status(&status).await;
        }
        if let Err(error) = written {
            self.lives.update(&job, |life| life.finishing = false);
            return Err(error.into());
        }
        for note in Self::notes(&job, &status) {
            self.context.events().publish(&*job, &note);
        }
        self.give_back(&job);
        Ok(Effect::Done)
    }

    /// The job has ended: its session is of no use any more.
    fn give_back(&self, job: &CommandJob) {
        let mut session = None;
        self.lives.update(job, |life| {
            session = life
                .talk
                .take()
                .map(|talk| (talk, outstanding(job, &life.conversation)));
        });
        if let Some((talk, not_before)) = session {
            self.releaser.release(talk, Contents::Idle, not_before);
        }
    }

    /// Kills what the job may be running and gives its session back. The job is deleted or being deleted.
    fn discard(&self, job: &Snapshot<CommandJob>) {
        let Some(life) = self.lives.close(job) else {
            return self.discard_unknown(job);
        };
        life.gone.cancel();
        match life.talk {
            Some(talk) => self
                .releaser
                .release(talk, Contents::Abandoned, outstanding(job, &life.conversation)),
            None if life.conversation.discarded => {}
            None => self.discard_unknown(job),
        }
    }

    /// Like [`discard`](Self::discard), for a job that is kept by somebody's finalizer for a while.
    fn discard_within(&self, pass: &mut Pass<Self>) -> Effect {
        let job = pass.object().clone();
        self.discard(&job);
        self.lives.open(&job);
        self.learn(pass, |it| it.discarded = true);
        Effect::Done
    }

    /// Like [`discard`](Self::discard), for a job that this process never talked to.
    fn discard_unknown(&self, job: &Snapshot<CommandJob>) {
        let Some(attempt) = job.status.as_ref().and_then(|it| live_attempt(&it.attempts)) else {
            return;
        };
        let identity = self.identity(job, attempt.number);
        let not_before = Some(start_by(attempt));
        let (job, releaser, targets) = (job.clone(), self.releaser.clone(), Arc::clone(&self.targets));
        self.releaser.spawn(async move {
            match targets.resolve(&job, Purpose::Reach).await {
                Ok(Ok(target)) => {
                    releaser.release(Talk::new(target.client, &identity), Contents::Abandoned, not_before);
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
        if is_finished(job) {
            return Ok(Observed::of_a_finished_job());
        }
        let life = self.lives.open(job);
        let live = job.status.as_ref().and_then(|it| live_attempt(&it.attempts));
        let under_way = plan::is_under_way(job, &life.conversation);
        let purpose = if under_way { Purpose::Reach } else { Purpose::Start };
        let (target, problem) = match (self.targets.resolve(job, purpose).await?, life.target) {
            (Ok(target), _) => (Some(target), None),
            // Where the attempt runs is known, even if the object that told is gone.
            (Err(_), Some(target)) if under_way => (Some(target), None),
            (Err(not_ready), _) => (None, Some(not_ready)),
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
        let fingerprint = match (&target, &inputs) {
            (Some(target), Some(inputs)) if !under_way => Some(self.fingerprint(target, inputs)),
            _ => None,
        };
        Ok(Observed {
            ready,
            reachable,
            digest: live.map(|it| self.identity(job, it.number).digest),
            fingerprint,
            conversation: life.conversation,
            target,
            inputs,
        })
    }

    fn plan(job: &CommandJob, observed: &Observed, now: Timestamp) -> Plan<Step> {
        plan::plan(job, observed, now)
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: Step) -> Result<Effect, JobError> {
        // Nothing is held of a job that was let go since it was observed.
        let Some(life) = self.lives.get(pass.object()) else {
            return Ok(Effect::Done);
        };
        if let Step::Discard { .. } = step {
            return Ok(self.discard_within(pass));
        }
        let work = async {
            match step {
                Step::Prepare { attempt } => self.prepare(pass, attempt).await,
                Step::Claim { attempt } => self.claim(pass, attempt).await,
                Step::Call { attempt, start_by } => self.call(pass, attempt, start_by).await,
                Step::ReadEnd { attempt } => self.read_end(pass, attempt).await,
                Step::Collect { attempt } => self.collect(pass, attempt).await,
                Step::Finish(verdict) => self.finish(pass, &verdict).await,
                Step::Discard { .. } => Ok(Effect::Done),
            }
        };
        tokio::select! {
            done = work => done,
            () = life.gone.cancelled() => Ok(Effect::Done),
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
        if is_finished(job) || self.lives.get(job).is_some_and(|it| it.finishing) {
            self.give_back(job);
            self.lives.close(job);
        } else {
            self.discard(job);
        }
    }
}

fn is_finished(job: &CommandJob) -> bool {
    job.status
        .as_ref()
        .and_then(|it| it.phase)
        .is_some_and(Phase::is_terminal)
}

/// Whether a request that failed with this error may still reach its session.
fn may_arrive(error: &JobError) -> bool {
    matches!(error, JobError::Session(error) if error.dispatch == Dispatch::Unknown)
}

/// Until when a start that was never answered may arrive.
fn outstanding(job: &CommandJob, conversation: &Conversation) -> Option<Timestamp> {
    let attempt = job.status.as_ref().and_then(|it| it.attempts.last())?;
    conversation.may_still_start(attempt.number).then(|| start_by(attempt))
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
