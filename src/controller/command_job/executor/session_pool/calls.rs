//! Calls that start a command, ask about it, and empty its session.

use std::sync::Arc;
use std::time::Duration;

use super::session::{AttemptSession, nonce};
use super::{SessionPoolExecutor, answer, kept, tail};
use crate::azure::session::Dispatch;
use crate::controller::command_job::attempt::{AttemptClaim, Event, SessionNames};
use crate::controller::command_job::output::window_bytes;
use crate::controller::command_job::runner::{
    Action, AttemptFiles, Baseline, Call, CleanWhen, Cleaning, ReportedState, Streams,
};

/// How long it may take to empty a session whose command has ended, at most.
pub const EMPTYING_WINDOW: Duration = Duration::from_secs(30);

/// How long a tail that does not come with the frame may take: the session is to be asked again in time.
const TAIL_DEADLINE: Duration = Duration::from_secs(5);

/// A call about an attempt that does nothing but this.
pub fn call<'a>(attempt: &'a AttemptFiles, action: Action<'a>, window: Duration) -> Call<'a> {
    Call {
        attempt,
        nonce: nonce(),
        window_seconds: u32::try_from(window.as_secs()).unwrap_or(1),
        linger_milliseconds: 0,
        streams: Streams::Fitting,
        earlier: None,
        cleaning: None,
        action,
    }
}

impl SessionPoolExecutor {
    async fn ask(&self, session: &AttemptSession, call: Call<'_>) -> Event {
        let window = Duration::from_secs(call.window_seconds.into());
        match session.execute(&call, window).await {
            Ok(Ok(report)) => {
                if let Some(remains) = report.cleaned.remains {
                    tracing::debug!(?remains, "the session was emptied for another command");
                }
                Event::Frame(Box::new(report))
            }
            Ok(Err(_)) => Event::NoFrame,
            Err(error) => {
                let is_unknown = error.dispatch == Dispatch::Unknown;
                match (self.gone(&error).await, answer::to_request(&self.pool, error)) {
                    (Some(gone), _) => gone,
                    // Only of an upload it does not matter whether it was done.
                    (None, Event::Full(problem)) if is_unknown => Event::Unanswered(problem),
                    (None, event) => event,
                }
            }
        }
    }

    /// Waits for the command's end. A tail that cannot be had is left out: the next call brings it.
    async fn watch(&self, session: &AttemptSession, call: Call<'_>, with_tail: bool) -> Event {
        let bytes = window_bytes(&self.inputs.to_mask);
        let streams = if with_tail {
            Streams::FittingOrTail { bytes }
        } else {
            Streams::Fitting
        };
        let event = self.ask(session, Call { streams, ..call }).await;
        let Event::Frame(report) = event else { return event };
        if !with_tail || !matches!(report.state, ReportedState::Running { .. }) {
            return Event::Frame(report);
        }
        let reading = tail::read(session, &report, self.pools.output(), &self.job, &self.inputs.to_mask);
        match tokio::time::timeout(TAIL_DEADLINE, reading).await {
            Ok(Some(tail)) => Event::Printed(report, Arc::new(tail)),
            Ok(None) | Err(_) => Event::Frame(report),
        }
    }

    /// Starts the command in a session that another one may have left.
    pub(super) async fn start(
        &self,
        claim: &AttemptClaim,
        action: Action<'_>,
        window: Duration,
        with_tail: bool,
        empties: bool,
    ) -> Event {
        let session = self.session(claim.key, &claim.ticket);
        let kept = self.seat.as_ref().and_then(|it| it.kept());
        let earlier = kept.as_ref().and_then(|it| it.earlier.clone()).map(AttemptFiles::new);
        let baseline = kept.as_ref().and_then(|it| it.baseline.as_ref());
        let mark = self.mark(baseline);
        let cleaning = Cleaning {
            baseline,
            mark: mark.as_deref(),
            when: CleanWhen::AllIsTold,
        };
        let call = Call {
            earlier: earlier.as_ref(),
            cleaning: empties.then_some(cleaning),
            ..call(&session.files, action, window)
        };
        let event = self.watch(&session, call, with_tail).await;
        if let Event::Frame(report) | Event::Printed(report, _) = &event
            && let (Some(seat), Some(known), Some(found)) = (&self.seat, baseline, &report.cleaned.baseline)
            && !known.is_of_same(found)
        {
            seat.on_replaced();
        }
        event
    }

    /// Asks about the command, and empties its session where it has ended.
    pub(super) async fn look(
        &self,
        claim: &AttemptClaim,
        window: Duration,
        with_tail: bool,
        empties: Option<(&Baseline, CleanWhen)>,
    ) -> Event {
        let session = self.session(claim.key, &claim.ticket);
        let mark = self.mark(empties.map(|(baseline, _)| baseline));
        let cleaning = empties.map(|(baseline, when)| Cleaning {
            baseline: Some(baseline),
            mark: mark.as_deref(),
            when,
        });
        let call = Call {
            cleaning,
            ..call(&session.files, Action::Observe, window)
        };
        self.watch(&session, call, with_tail).await
    }

    pub(super) fn mark(&self, baseline: Option<&Baseline>) -> Option<String> {
        let slot = self.slot.as_ref()?;
        let names = SessionNames::of_slot(self.pools.key(), self.pools.cluster(), slot);
        Some(kept::mark(self.pools.key(), &names, baseline?))
    }
}
