//! The steps of a job, carried out: each has one effect, and what it learns is for the next plan.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::JobError;
use super::collect::Masking;
use super::conversation::{Conversation, Heard, Prepared};
use super::inputs::Inputs;
use super::plan::{Verdict, live_attempt};
use super::reconcile::{CommandJobs, outstanding};
use super::release::Contents;
use super::runner::{Action, Call, Secrets, Streams};
use super::session::{Talk, nonce};
use super::status;
use super::target::Target;
use crate::api::command_job::CommandJob;
use crate::azure::session::Dispatch;
use crate::runtime::{Effect, Note, Pass, Severity, WriteError};

/// A call that answers sooner than this although the command runs did not wait; the next one is held back.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The pause between two looks for output that was not found.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

impl CommandJobs {
    pub(super) async fn prepare(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
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
                return Err(self.before_start(pass, &target, error));
            }
        }
        self.admitted(pass);
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

    pub(super) async fn claim(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
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

    pub(super) async fn call(
        &self,
        pass: &mut Pass<Self>,
        attempt: i32,
        start_by: Timestamp,
    ) -> Result<Effect, JobError> {
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
            () = pass.interrupted() => return Ok(Effect::Done),
        };
        let heard = match answer {
            Ok(answer) => Heard::from_answer(answer),
            Err(error) => {
                self.learn(pass, |it| it.hear_nothing(attempt, may_arrive(&error)));
                let error = match pass.observed().conversation.heard_of(attempt) {
                    None => self.before_start(pass, &target, error),
                    Some(_) => error,
                };
                return self.without_answer(pass, &target, attempt, error).await;
            }
        };
        self.learn(pass, |it| it.hear(attempt, heard.clone()));
        self.admitted(pass);
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

    pub(super) async fn read_end(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
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

    pub(super) async fn collect(&self, pass: &mut Pass<Self>, attempt: i32) -> Result<Effect, JobError> {
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
                if error.is_not_found() {
                    // Whether to look again is the plan's to say. It is not left to the backoff, which may be minutes by
                    // now: a session that lost its files does not find them again.
                    self.learn(pass, |it| it.missing_output += 1);
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                    return Ok(Effect::Replan);
                }
                if matches!(error, JobError::ShortRead { .. } | JobError::Altered { .. }) {
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
    pub(super) fn fingerprint(&self, target: &Target, inputs: &Inputs) -> String {
        let mut parts = inputs.parts();
        parts.push(target.pool.key().into_bytes());
        parts.push(target.account.principal().as_bytes().to_vec());
        self.context.key().digest(parts.iter().map(Vec::as_slice))
    }

    pub(super) async fn finish(&self, pass: &mut Pass<Self>, verdict: &Verdict) -> Result<Effect, JobError> {
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
        self.give_back(&job);
        Ok(Effect::Done)
    }

    /// The job has ended: its session is of no use any more.
    pub(super) fn give_back(&self, job: &CommandJob) {
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
}

/// Whether a request that failed with this error may still reach its session.
fn may_arrive(error: &JobError) -> bool {
    matches!(error, JobError::Session(error) if error.dispatch == Dispatch::Unknown)
}

fn ready(pass: &Pass<CommandJobs>) -> Result<(Target, Arc<Inputs>), JobError> {
    let observed = pass.observed();
    match (&observed.target, &observed.inputs) {
        (Some(target), Some(inputs)) => Ok((target.clone(), Arc::clone(inputs))),
        _ => Err(JobError::NoTarget),
    }
}
