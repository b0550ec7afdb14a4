//! The reconciler of jobs: carries out what is planned, and ends what a job that goes leaves behind.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::JobError;
use super::attempt::{AttemptClaim, AttemptKey, AttemptState, Command, Farewell};
use super::departure::Departure;
use super::executor::session_pool::{Pools, SessionPoolExecutor, limits};
use super::executor::{Executor, Farewells, Leaving};
use super::hosts_told::HostsTold;
use super::job::plan::{claim_of, is_finished, last_claim};
use super::job::retry::active_until;
use super::job::{JobStep, JobVerdict, NotRunnable, plan, status};
use super::memory::JobMemory;
use super::observe::{JobObservation, observe};
use super::output::Fit;
use crate::api::command_job::{CommandJob, CommandJobStatus};
use crate::api::condition::Reason;
use crate::controller::Context;
use crate::runtime::{Effect, Key, Note, Pass, Plan, Reconciler, Seen, Severity, Snapshot, Waited, WriteError};

/// Reconciles CommandJobs.
pub struct CommandJobs {
    context: Context,
    pools: Arc<Pools>,
    farewells: Farewells,
    memory: JobMemory<SessionPoolExecutor>,
    hosts_told: HostsTold,
}

impl CommandJobs {
    /// Jobs run in `pools`; their attempts are left through `farewells`.
    pub fn new(context: Context, pools: Arc<Pools>, farewells: Farewells) -> Self {
        Self {
            context,
            pools,
            farewells,
            memory: JobMemory::default(),
            hosts_told: HostsTold::default(),
        }
    }

    /// Changes what is known of an attempt, both for this pass and for the next one.
    fn update<T>(
        &self,
        pass: &mut Pass<Self>,
        key: AttemptKey,
        executor: &SessionPoolExecutor,
        change: impl FnOnce(&mut AttemptState) -> T,
    ) -> T {
        let mut state = pass.observed().facts.attempt(pass.object(), key);
        let changed = change(&mut state);
        let uid = pass.object().uid().unwrap_or_default();
        // What it was given is made anew for each preparation, and not needed after that; nor are the values from Secrets
        // before it is started.
        let executor = match claim_of(pass.object(), key) {
            Some(_) => executor.prepared(),
            None => executor.unstarted(),
        };
        // Where there is no session, its place in the pool is for others.
        let executor = match state.place {
            None if claim_of(pass.object(), key).is_none() => executor.without_seat(),
            _ => executor,
        };
        let remembered = (state.clone(), executor);
        self.memory.update(&uid, |job| job.attempts.insert(key, remembered));
        pass.observed_mut().facts.attempts.insert(key, state);
        changed
    }

    async fn run(&self, pass: &mut Pass<Self>, key: AttemptKey, command: Command) -> Result<Effect, JobError> {
        let executor = pass.observed().executor.clone().ok_or(JobError::NoTarget)?;
        self.update(pass, key, &executor, |state| {
            state.issue(&command, executor.place(), Timestamp::now());
        });
        let event = tokio::select! {
            event = executor.run(&command) => event,
            () = pass.interrupted(), if command.waits() => return Ok(Effect::Done),
        };
        let limits = executor.limits();
        let effect = self.update(pass, key, &executor, |state| state.on(&command, event, &limits));
        let state = pass.observed().facts.attempt(pass.object(), key);
        if state.place.is_none() && claim_of(pass.object(), key).is_none() {
            pass.observed_mut().executor = None;
        }
        Ok(effect?)
    }

    async fn write(&self, pass: &mut Pass<Self>, verdict: &JobVerdict) -> Result<Effect, JobError> {
        let Some(status) = status::status(pass.object(), verdict, Timestamp::now()) else {
            return Ok(Effect::Done);
        };
        match pass.write_status(&status).await {
            Ok(()) => {}
            Err(error) => match (&error, verdict, pass.observed().facts.fit.next()) {
                (
                    WriteError::TooLarge,
                    JobVerdict::Ended { .. } | JobVerdict::AttemptOver { .. } | JobVerdict::Stopped { .. },
                    Some(fit),
                ) => {
                    let uid = pass.object().uid().unwrap_or_default();
                    self.memory.update(&uid, |job| job.fit = fit);
                    pass.observed_mut().facts.fit = fit;
                    return Ok(Effect::Replan);
                }
                _ => return Err(error.into()),
            },
        }
        if let JobVerdict::AttemptOver { .. } = verdict {
            // The next one's result may fit, and more has to be known for it than for this one.
            let uid = pass.object().uid().unwrap_or_default();
            self.memory.update(&uid, |job| job.fit = Fit::AsItIs);
            return Ok(Effect::Reobserve);
        }
        if let JobVerdict::Claimed { guest_of, .. } = verdict {
            self.warn_of_short_secrets(pass);
            if let Some(pool) = guest_of {
                self.warn_host(pass, pool);
            }
            let executor = &mut pass.observed_mut().executor;
            *executor = executor.take().map(|it| it.prepared());
        }
        Ok(Effect::Replan)
    }

    /// A value of a few bytes would be found everywhere, so it is not masked; its owner should know.
    fn warn_of_short_secrets(&self, pass: &Pass<Self>) {
        let executor = pass.observed().executor.as_ref();
        let ignored = executor.map_or(0, |it| it.inputs().to_mask.ignored());
        if ignored > 0 {
            let note = Note {
                severity: Severity::Warning,
                reason: "SecretTooShort".into(),
                action: "Mask".into(),
                message: format!(
                    "{ignored} secret values of spec.env are under 4 bytes and are not masked in the output"
                ),
            };
            self.context.events().publish(&**pass.object(), &note);
        }
    }

    /// The owner of a pool should know which guests may enter its sessions by themselves. Once a namespace is enough.
    fn warn_host(&self, pass: &Pass<Self>, pool: &Key) {
        let Some(pool) = self.context.session_pools.get(pool) else {
            return;
        };
        let guest = pass.object().namespace().unwrap_or_default();
        if !self.hosts_told.is_new(pool.uid().unwrap_or_default(), &guest) {
            return;
        }
        let note = Note {
            severity: Severity::Warning,
            reason: Reason::OwnAccountInSharedPool.as_str().into(),
            action: "Start".into(),
            message: format!(
                "jobs of the namespace {guest} run in the pool as an account of their own, which may list and enter every \
                 session of the pool: lend them an account by spec.sharing[].accountRef, and take the role from theirs"
            ),
        };
        self.context.events().publish(&*pool, &note);
    }

    /// Leaves an attempt, of which this process may never have heard.
    fn leave(
        &self,
        pass: &mut Pass<Self>,
        key: AttemptKey,
        claim: Option<AttemptClaim>,
        farewell: Farewell,
    ) -> Result<Effect, JobError> {
        let uid = pass.object().uid().unwrap_or_default();
        let known = self.memory.of(&uid).attempts.remove(&key);
        let (state, executor) = match (known, pass.observed().executor.clone()) {
            (Some(known), _) => known,
            (None, Some(executor)) => (AttemptState::of_another_process(), executor),
            (None, None) => return Err(JobError::NoTarget),
        };
        // What takes its place is another attempt, with another session.
        let effect = match claim {
            Some(_) => Effect::Replan,
            None => Effect::Reobserve,
        };
        self.farewells.leave(Leaving {
            executor: executor.clone(),
            key,
            claim,
            state,
            farewell,
        });
        self.update(pass, key, &executor.without_seat(), |state| state.has_left = true);
        // Of those that were left before it nothing needs to be known any more.
        self.memory.update(&uid, |job| {
            job.attempts
                .retain(|other, (state, _)| *other >= key || !state.has_left);
        });
        Ok(effect)
    }
}

impl Reconciler for CommandJobs {
    type Object = CommandJob;
    type Observed = JobObservation;
    type Step = JobStep;
    type Verdict = JobVerdict;
    type Error = JobError;

    async fn observe(&self, job: &Snapshot<CommandJob>) -> Result<JobObservation, JobError> {
        let uid = job.uid().unwrap_or_default();
        let known = self.memory.of(&uid);
        let secret_bytes = known.secret_bytes;
        let observed = observe(self.context.client(), &self.pools, job, known).await?;
        let found = match observed.facts.contents {
            Err(NotRunnable::NoRoom { secret_bytes }) => secret_bytes,
            _ => 0,
        };
        if observed.executor.is_none() && !matches!(observed.facts.place, Err(NotRunnable::NotItsTurn { .. })) {
            self.pools.queues().withdraw(job);
        }
        if found != secret_bytes {
            self.memory.update(&uid, |job| job.secret_bytes = found);
        }
        Ok(observed)
    }

    fn plan(job: &CommandJob, observed: &JobObservation, waited: &Waited, now: Timestamp) -> Plan<JobStep, JobVerdict> {
        let plan = plan(job, &observed.facts, now);
        Plan {
            verdict: plan.verdict.with_end(job, waited, now),
            ..plan
        }
    }

    fn reason(verdict: &JobVerdict) -> Option<Cow<'static, str>> {
        match verdict {
            JobVerdict::Waiting { why, .. } => why.reason_of_wait(),
            JobVerdict::Unchanged
            | JobVerdict::Claimed { .. }
            | JobVerdict::Running(_)
            | JobVerdict::Suspended
            | JobVerdict::AttemptOver { .. }
            | JobVerdict::Stopped { .. }
            | JobVerdict::Ended { .. } => None,
        }
    }

    async fn carry_out(&self, pass: &mut Pass<Self>, step: JobStep) -> Result<Effect, JobError> {
        match step {
            JobStep::Run(key, command) => self.run(pass, key, command).await,
            JobStep::Write(verdict) => self.write(pass, &verdict).await,
            JobStep::Leave(key, claim, farewell) => self.leave(pass, key, claim, farewell),
        }
    }

    fn summarize(
        job: &CommandJob,
        seen: Seen<'_, JobObservation, JobVerdict>,
        now: Timestamp,
    ) -> Option<CommandJobStatus> {
        let facts = seen.observed.map(|it| &it.facts);
        let seen = Seen {
            observed: facts,
            verdict: seen.verdict,
            waited: seen.waited,
            outcome: seen.outcome,
        };
        status::summarize(job, &seen, now)
    }

    fn notes(job: &CommandJob, status: &CommandJobStatus) -> Vec<Note> {
        let before = job.status.as_ref().map(|it| it.conditions.as_slice());
        status::notes(before.unwrap_or_default(), &status.conditions)
    }

    fn longest_pause(job: &CommandJob, observed: Option<&JobObservation>) -> Option<Duration> {
        let is_claimed = !is_finished(job) && last_claim(job).is_some();
        let longest = || {
            observed.map_or(limits(Duration::MAX, None).longest_pause, |it| {
                it.facts.limits.longest_pause
            })
        };
        let until_deadline = active_until(job).map(|it| it.duration_since(Timestamp::now()));
        let until_deadline = until_deadline.and_then(|it| Duration::try_from(it).ok());
        let pauses = [is_claimed.then(longest), until_deadline];
        pauses.into_iter().flatten().min()
    }

    fn gone(&self, job: &Snapshot<CommandJob>) {
        self.pools.queues().withdraw(job);
        let remembered = self.memory.take(&job.uid().unwrap_or_default());
        let departure = Departure {
            context: self.context.clone(),
            pools: Arc::clone(&self.pools),
            farewells: self.farewells.clone(),
            job: job.clone(),
        };
        if is_finished(job) {
            departure.leave(remembered, Farewell::Idle);
        } else if last_claim(job).is_some() || !remembered.attempts.is_empty() {
            self.farewells.spawn(departure.see_off(remembered));
        }
    }
}
