//! One pass, from a watched object to the pause before the next: deadline, panics, status, counting.

mod report;

use std::{
    borrow::Cow,
    collections::HashSet,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use jiff::Timestamp;
use kube::{Resource, core::DeserializeGuard};
use kube_runtime::controller::Action;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use report::{name_of, text_of};

use super::{
    backoff::Backoff,
    counters::{Counters, Ended},
    error::Class,
    events::Events,
    failure::Failure,
    invalid::Complaints,
    pace::Pace,
    pass::Pass,
    permits::Permits,
    reconciler::{Effect, Next, PassOutcome, Reconciler},
    requeue::{self, Delay, Tries},
    rest::Rest,
    snapshot::{Cache, Key, Snapshot},
    status::StatusWriter,
    underway::Underway,
    waits::Waits,
    written::{Written, is_newer},
};

/// How long a pass may go on once the process is shutting down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(15);

/// How one controller's passes are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many objects are in a pass at the same time, over all namespaces, which have their turns. At least 1.
    pub concurrency: u16,
    /// How long a pass may take, status write excluded; then it is dropped at its next `.await`.
    pub deadline: Duration,
    /// How many plans one pass may make. A pass that uses them up ends as if something were under way.
    pub plans_per_pass: u32,
    /// Over how long the first passes over settled objects are spread after a start.
    pub start_spread: Duration,
    /// How fast the controller goes where it chooses itself.
    pub pace: Pace,
    /// How often objects at rest are looked at, those of other controllers with the same included.
    pub rest: Rest,
}

impl Settings {
    /// The defaults at a pace.
    pub fn at_pace(pace: Pace) -> Self {
        let settings = Self::default();
        Self {
            start_spread: pace.of(settings.start_spread),
            pace,
            ..settings
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 8,
            deadline: Duration::from_mins(1),
            plans_per_pass: 10,
            start_spread: Duration::from_secs(30),
            pace: Pace::FULL,
            rest: Rest::default(),
        }
    }
}

/// Everything that the passes of one controller share.
pub struct Drive<R: Reconciler> {
    reconciler: Arc<R>,
    cache: Cache<R::Object>,
    writer: Arc<StatusWriter<R::Object>>,
    written: Arc<Written<R::Object>>,
    underway: Underway,
    events: Events,
    settings: Settings,
    backoff: Backoff,
    waits: Waits,
    counters: Arc<Counters>,
    permits: Permits,
    stop: CancellationToken,
    started: Instant,
    /// The objects that had a pass since the start, by uid. Only kept while first passes are being spread.
    begun: Mutex<HashSet<String>>,
    complaints: Complaints,
}

/// How the work of a pass ended.
enum Work {
    Done(Next),
    Failed(Failure, Ended),
    Cancelled,
}

impl<R: Reconciler> Drive<R> {
    /// Prepares the passes of one controller. They end early once `stop` is cancelled.
    pub fn new(
        reconciler: Arc<R>,
        cache: Cache<R::Object>,
        writer: StatusWriter<R::Object>,
        events: Events,
        settings: Settings,
        stop: CancellationToken,
    ) -> Self {
        Self {
            reconciler,
            cache,
            writer: Arc::new(writer),
            written: Arc::default(),
            underway: Underway::default(),
            events,
            permits: Permits::new(usize::from(settings.concurrency)),
            backoff: Backoff::at_pace(settings.pace),
            waits: Waits::at_pace(settings.pace),
            settings,
            counters: Arc::default(),
            stop,
            started: Instant::now(),
            begun: Mutex::default(),
            complaints: Complaints::default(),
        }
    }

    /// The counters of this controller.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Runs one pass. It never panics and never fails: whatever happens becomes a pause before the next.
    pub async fn pass(self: Arc<Self>, object: Arc<DeserializeGuard<R::Object>>) -> Result<Action, Infallible> {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let _permit = tokio::select! {
            permit = self.permits.acquire(&namespace) => permit,
            () = self.stop.cancelled() => {
                self.counters.count_end(Ended::Cancelled);
                return Ok(Action::await_change());
            }
        };
        // As many may wait for a permit as there are objects, so what a pass needs is made only now.
        let delay = match Box::pin(AssertUnwindSafe(self.admitted(object)).catch_unwind()).await {
            Ok(delay) => delay,
            Err(panic) => {
                tracing::error!(panic = text_of(&*panic), "a pass panicked outside of its steps");
                self.counters.count_end(Ended::Panicked);
                requeue::after_failure(&Class::Bug, Tries::default(), self.settings.pace, fastrand::f64())
            }
        };
        Ok(delay.map_or_else(Action::await_change, Action::requeue))
    }

    async fn admitted(&self, object: Arc<DeserializeGuard<R::Object>>) -> Delay {
        let key = Key::of(&*object);
        if self.stop.is_cancelled() {
            self.counters.count_end(Ended::Cancelled);
            return None;
        }
        let object = self.latest(&key, object)?;
        let uid = object.meta().uid.clone().unwrap_or_default();
        if let Some(wait) = self.deferral(&object, &uid) {
            self.counters.count_end(Ended::Deferred);
            return Some(wait);
        }
        let generation = object.meta().generation;
        let span = tracing::info_span!("pass", kind = %R::Object::kind(&()), object = %key, generation);
        self.entered(object, &key, &uid).instrument(span).await
    }

    async fn entered(&self, object: Snapshot<R::Object>, key: &Key, uid: &str) -> Delay {
        let entry = self.underway.enter(uid);
        // Of what came before, nobody was told.
        match self.cache.guarded(key) {
            Some(now) if now.meta().uid.as_deref() == Some(uid) => self.underway.saw(&*now),
            None if !self.cache.lacks(key) => {}
            Some(_) | None => _ = self.underway.lost(&*object),
        }
        let mut pass = Pass::new(
            object,
            self.writer.clone(),
            self.written.clone(),
            entry.delivered(),
            self.stop.clone(),
        );
        let delay = self.run(&mut pass, uid).await;
        // The watch may have been ahead of the pass: with its writes, or with the end of the object.
        if entry.leave() {
            self.let_go(pass.object());
        } else if let Some(now) = self.cache.guarded(key) {
            self.saw(&now);
        }
        delay
    }

    /// The newest version that is known, as time may have passed since the pass was asked for; `None` if it is unreadable or
    /// gone.
    fn latest(&self, key: &Key, asked: Arc<DeserializeGuard<R::Object>>) -> Option<Snapshot<R::Object>> {
        // In this order: what was written is forgotten only after the cache has it, or has lost the object. The other way
        // round an object that goes meanwhile would be passed once more as it was before its last write.
        let written = self.written.get(asked.meta().uid.as_deref().unwrap_or_default());
        let watched = match self.cache.guarded(key) {
            Some(watched) => watched,
            None if self.cache.lacks(key) => return None,
            None => asked,
        };
        if let Err(invalid) = &watched.0 {
            self.complaints.complain(&watched, invalid, &self.events);
            self.counters.count_end(Ended::Invalid);
        }
        let watched = Snapshot::watched(watched)?;
        Some(
            written
                .filter(|written| written.meta().uid == watched.meta().uid && is_newer(&**written, &*watched))
                .unwrap_or(watched),
        )
    }

    /// The first pass over an object that was settled when the process started waits for its turn; its uid says when that
    /// is. What happens to the object later is looked at as it happens.
    fn deferral(&self, object: &R::Object, uid: &str) -> Option<Duration> {
        let age = self.started.elapsed();
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if age >= self.settings.start_spread {
            *begun = HashSet::new();
            return None;
        }
        let wait = requeue::start_offset(uid, self.settings.start_spread)
            .checked_sub(age)
            .filter(|wait| !wait.is_zero() && R::settled(object) && !begun.contains(uid));
        if wait.is_none() {
            begun.insert(uid.to_owned());
        }
        wait
    }

    async fn run(&self, pass: &mut Pass<R>, uid: &str) -> Delay {
        let deadline = Instant::now() + self.settings.deadline;
        pass.waited = self.waits.of(uid, pass.object().meta().generation);
        let work = self.work(pass, deadline).await;
        let now = Timestamp::now();
        for (before, status) in std::mem::take(&mut pass.transitions) {
            self.counters.count_status_write();
            self.announce(&before, &status);
        }
        match work {
            Work::Cancelled => {
                self.counters.count_end(Ended::Cancelled);
                None
            }
            Work::Done(next) => match self.report(pass, PassOutcome::Done(next), now).await {
                Ok(()) => {
                    self.counters.count_end(Ended::Done);
                    self.note_reason(pass, uid, pass.verdict.as_ref().and_then(R::reason), now);
                    self.after_success(pass.object(), uid, next, now)
                }
                Err(error) => {
                    let failure = self.counted(uid, Failure::of(&error, now), now);
                    self.counters.count_end(Ended::from(&failure.class));
                    failure.log("status not written");
                    self.after_failure(pass, &failure, now)
                }
            },
            Work::Failed(failure, ended) => {
                let failure = self.counted(uid, failure, now);
                self.counters.count_end(ended);
                failure.log("pass failed");
                if failure.class != Class::Conflict {
                    self.note_reason(pass, uid, Some(failure.reason.clone().into()), now);
                }
                // After a conflict the version that this pass knows is stale, so its status would be refused as well.
                if failure.class != Class::Conflict
                    && let Err(error) = self.report(pass, PassOutcome::Failed(&failure), now).await
                {
                    Failure::of(&error, now).log("status of a failed pass not written");
                }
                self.after_failure(pass, &failure, now)
            }
        }
    }

    async fn work(&self, pass: &mut Pass<R>, deadline: Instant) -> Work {
        let stop = self.stop.clone();
        let shutdown = async {
            stop.cancelled().await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        };
        tokio::select! {
            steps = AssertUnwindSafe(self.steps(pass)).catch_unwind() => match steps {
                Ok(Ok(next)) => Work::Done(next),
                Ok(Err(failure)) => {
                    let ended = Ended::from(&failure.class);
                    Work::Failed(failure, ended)
                }
                Err(panic) => {
                    tracing::error!(panic = text_of(&*panic), "a pass panicked");
                    Work::Failed(
                        Failure::new(Class::Bug, "InternalError", "the operator failed on this object; its log says how"),
                        Ended::Panicked,
                    )
                }
            },
            () = tokio::time::sleep_until(deadline) => Work::Failed(
                Failure::new(Class::Transient, "DeadlineExceeded", "nobody answered within the time that one pass may take"),
                Ended::DeadlineExceeded,
            ),
            () = shutdown => Work::Cancelled,
        }
    }

    async fn steps(&self, pass: &mut Pass<R>) -> Result<Next, Failure> {
        for _ in 0..self.settings.plans_per_pass.max(1) {
            let observed = match pass.observed.take() {
                Some(observed) => observed,
                None => self
                    .reconciler
                    .observe(pass.object())
                    .await
                    .map_err(|error| Failure::of(&error, Timestamp::now()))?,
            };
            let plan = R::plan(pass.object(), &observed, &pass.waited, Timestamp::now());
            pass.observed = Some(observed);
            pass.verdict = Some(plan.verdict);
            let Some(step) = plan.step else {
                return Ok(plan.next);
            };
            tracing::debug!(step = name_of(&step), "step");
            self.counters.count_step();
            match self
                .reconciler
                .carry_out(pass, step)
                .await
                .map_err(|error| Failure::of(&error, Timestamp::now()))?
            {
                Effect::Done => return Ok(plan.next),
                Effect::Replan => {}
                Effect::Reobserve => pass.observed = None,
            }
        }
        tracing::warn!(plans = self.settings.plans_per_pass, "a pass used up its plans");
        Ok(Next::Poll { after: None })
    }

    fn after_success(&self, object: &R::Object, uid: &str, next: Next, now: Timestamp) -> Delay {
        let next = match next {
            Next::Resync(every) => {
                let namespace = object.meta().namespace.as_deref().unwrap_or_default();
                Next::Resync(self.settings.rest.begin(namespace, uid, every))
            }
            Next::AwaitChange | Next::Poll { .. } | Next::After(_) | Next::At(_) | Next::Again => {
                self.settings.rest.end(uid);
                next
            }
        };
        let polls = match next {
            Next::Poll { after: None } => self.backoff.polled(uid, now).tries(now),
            Next::AwaitChange
            | Next::Resync(_)
            | Next::Poll { after: Some(_) }
            | Next::After(_)
            | Next::At(_)
            | Next::Again => {
                self.backoff.forget(uid);
                Tries::default()
            }
        };
        requeue::after_success(next, polls, now, self.settings.pace, fastrand::f64())
    }

    fn after_failure(&self, pass: &Pass<R>, failure: &Failure, now: Timestamp) -> Delay {
        let delay = requeue::after_failure(&failure.class, failure.tries(now), self.settings.pace, fastrand::f64())?;
        let longest = R::longest_pause(pass.object(), pass.observed.as_ref());
        Some(longest.map_or(delay, |it| delay.min(self.settings.pace.of(it))))
    }

    fn counted(&self, uid: &str, failure: Failure, now: Timestamp) -> Failure {
        let streak = match failure.class {
            Class::Throttled { .. } => return failure,
            Class::Waiting { .. } => self.backoff.polled(uid, now),
            Class::Conflict | Class::Transient | Class::Denied | Class::Forbidden | Class::Terminal | Class::Bug => {
                self.backoff.failed(uid, now)
            }
        };
        Failure {
            failures: streak.count,
            since: streak.since,
            ..failure
        }
    }

    /// Counts for how long the object gives the reason; with none, it is as it should be.
    fn note_reason(&self, pass: &Pass<R>, uid: &str, reason: Option<Cow<'static, str>>, now: Timestamp) {
        match reason {
            Some(reason) => self.waits.note(uid, pass.object().meta().generation, reason, now),
            None => self.waits.forget(uid),
        }
    }

    fn forget(&self, uid: &str) {
        self.backoff.forget(uid);
        self.waits.forget(uid);
        self.settings.rest.end(uid);
        self.written.forget(uid);
        self.complaints.forget(uid);
    }

    /// The watch delivered a version of an object.
    pub(super) fn saw(&self, object: &DeserializeGuard<R::Object>) {
        self.underway.saw(object);
        if let Ok(object) = &object.0 {
            self.written.caught_up(object);
        }
    }

    /// An object left the watch.
    pub(super) fn lost(&self, object: DeserializeGuard<R::Object>) {
        if self.underway.lost(&object) {
            return;
        }
        let uid = object.meta().uid.clone().unwrap_or_default();
        let written = self.written.get(&uid);
        match Snapshot::watched(Arc::new(object)) {
            // What left the selector arrives as it was before the write that made it leave.
            Some(object) => self.let_go(&written.filter(|it| !is_newer(&*object, &**it)).unwrap_or(object)),
            None => self.forget(&uid),
        }
    }

    fn let_go(&self, object: &Snapshot<R::Object>) {
        self.forget(object.meta().uid.as_deref().unwrap_or_default());
        let told = catch_unwind(AssertUnwindSafe(|| self.reconciler.gone(object)));
        if told.is_err() {
            tracing::error!(object = %Key::of(&**object), "a panic while an object was let go");
        }
    }
}
