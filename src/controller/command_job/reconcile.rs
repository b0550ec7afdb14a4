//! The reconciler of jobs: what is observed, and what becomes of a job that is deleted.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::JobError;
use super::collect::Collector;
use super::conversation::Conversation;
use super::identifier::AttemptIdentity;
use super::inputs;
use super::lives::Lives;
use super::observe::{NotReady, Observed};
use super::plan::{self, Step, live_attempt};
use super::release::{Contents, Releaser};
use super::session::Talk;
use super::status;
use super::target::{Purpose, Target, Targets};
use crate::api::command_job::{Attempt, CommandJob, CommandJobStatus, Phase};
use crate::api::condition::kind;
use crate::controller::Context;
use crate::runtime::conditions::transitioned;
use crate::runtime::{Effect, Note, Pass, Plan, Reconciler, Seen, Severity, Snapshot};

/// Reconciles CommandJobs.
pub struct CommandJobs {
    pub(super) context: Context,
    pub(super) targets: Arc<Targets>,
    pub(super) releaser: Releaser,
    pub(super) collector: Collector,
    pub(super) poll_window: Duration,
    pub(super) lives: Lives,
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

    pub(super) fn identity(&self, job: &CommandJob, attempt: i32) -> AttemptIdentity {
        AttemptIdentity::derive(self.context.key(), self.context.cluster().as_str(), &uid(job), attempt)
    }

    /// Remembers what was learnt, both for this pass and for the next one.
    pub(super) fn learn(&self, pass: &mut Pass<Self>, change: impl Fn(&mut Conversation)) {
        change(&mut pass.observed_mut().conversation);
        let job = pass.object().clone();
        self.lives.update(&job, |life| change(&mut life.conversation));
    }

    pub(super) fn talk(&self, job: &CommandJob, target: &Target, attempt: i32) -> Talk {
        let talk = Talk::new(target.client.clone(), &self.identity(job, attempt));
        self.lives.update(job, |life| {
            life.talk = Some(talk.clone());
            life.target = Some(target.clone());
        });
        talk
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
    type Verdict = ();
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

/// Until when a start that was never answered may arrive.
pub(super) fn outstanding(job: &CommandJob, conversation: &Conversation) -> Option<Timestamp> {
    let attempt = job.status.as_ref().and_then(|it| it.attempts.last())?;
    conversation.may_still_start(attempt.number).then(|| start_by(attempt))
}

fn start_by(attempt: &Attempt) -> Timestamp {
    attempt.start_time.0 + plan::START_BY + SignedDuration::from_secs(1)
}

fn uid(job: &CommandJob) -> String {
    job.uid().unwrap_or_default()
}
