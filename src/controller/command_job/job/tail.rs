//! When a job's status shows what its command printed last.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::command_job::{CommandJob, OutputTail};
use crate::controller::command_job::attempt::{AttemptState, Finding};

/// What the status is to show, where that is wanted, is new, and its interval is over.
pub fn to_show(job: &CommandJob, state: &AttemptState) -> Option<Arc<OutputTail>> {
    let interval = interval(job)?;
    let printed = state.tail.as_ref().filter(|_| state.finding == Finding::Running)?;
    let lengths = |tail: &OutputTail| (tail.stdout.bytes, tail.stderr.bytes);
    let is_due = match shown(job) {
        None => lengths(printed) != (0, 0),
        Some(shown) => {
            lengths(printed) != lengths(shown) && left(shown.time.0, interval, printed.time.0) == SignedDuration::ZERO
        }
    };
    is_due.then(|| Arc::clone(printed))
}

/// How soon it is to be read again, where that is wanted, in whole seconds: when the interval is over, or in another one.
pub fn wanted_within(job: &CommandJob, now: Timestamp) -> Option<Duration> {
    let interval = interval(job)?;
    let left = shown(job).map_or(SignedDuration::ZERO, |it| left(it.time.0, interval, now));
    let within = if left == SignedDuration::ZERO { interval } else { left };
    let seconds = within.as_secs() + i64::from(within.subsec_nanos() > 0);
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

fn interval(job: &CommandJob) -> Option<SignedDuration> {
    let tail = job.spec.output.tail?;
    Some(SignedDuration::from_secs(i64::from(tail.interval_seconds)))
}

fn shown(job: &CommandJob) -> Option<&OutputTail> {
    job.status.as_ref()?.tail.as_ref()
}

/// What is left of the interval since then; nothing if that is in the future, where a clock was wrong.
fn left(since: Timestamp, interval: SignedDuration, now: Timestamp) -> SignedDuration {
    let elapsed = now.duration_since(since);
    if elapsed.is_negative() {
        return SignedDuration::ZERO;
    }
    (interval - elapsed).max(SignedDuration::ZERO)
}
