//! What a pass tells: the status that follows from it, and the events of what changed.

use std::{
    any::Any,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use jiff::Timestamp;
use kube::core::object::HasStatus;

use super::{
    super::{
        events::Severity,
        failure::Failure,
        pass::Pass,
        reconciler::{PassOutcome, Reconciler, Seen},
        snapshot::Snapshot,
        status::WriteError,
    },
    Drive,
};

/// How long a status write may take; it has its own time because it must also report passes that ran out of theirs.
const STATUS_WRITE_DEADLINE: Duration = Duration::from_secs(20);

impl<R: Reconciler> Drive<R> {
    /// Writes the status that follows from the pass, if it is another than the object has.
    pub(super) async fn report(
        &self,
        pass: &Pass<R>,
        outcome: PassOutcome<'_>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        match self.summarized(pass, outcome, now).await {
            Err(error @ WriteError::TooLarge) => {
                // The kind gets one chance to say the same in fewer words.
                let mut too_large = Failure::of(&error, now);
                too_large.failures = 1;
                self.summarized(pass, PassOutcome::Failed(&too_large), now)
                    .await
                    .and(Err(error))
            }
            result => result,
        }
    }

    async fn summarized(&self, pass: &Pass<R>, outcome: PassOutcome<'_>, now: Timestamp) -> Result<(), WriteError> {
        let object = pass.object();
        let seen = Seen {
            observed: pass.observed.as_ref(),
            verdict: pass.verdict.as_ref(),
            waited: &pass.waited,
            outcome,
        };
        let Ok(status) = catch_unwind(AssertUnwindSafe(|| R::summarize(object, seen, now))) else {
            tracing::error!("the summary of a pass panicked; the status is left as it is");
            return Ok(());
        };
        let Some(status) = status else { return Ok(()) };
        let write = self.writer.write_if_changed(object, &status);
        let Ok(answer) = tokio::time::timeout(STATUS_WRITE_DEADLINE, write).await else {
            return Err(WriteError::TimedOut);
        };
        if let Some(answer) = answer? {
            self.counters.count_status_write();
            let before = object.clone();
            self.written.remember(&Snapshot::answered(answer));
            self.announce(&before, &status);
        }
        Ok(())
    }

    pub(super) fn announce(&self, before: &R::Object, status: &<R::Object as HasStatus>::Status) {
        for note in catch_unwind(AssertUnwindSafe(|| R::notes(before, status))).unwrap_or_default() {
            match note.severity {
                Severity::Routine | Severity::Normal => tracing::info!(reason = %note.reason, "{}", note.message),
                Severity::Warning => tracing::warn!(reason = %note.reason, "{}", note.message),
            }
            if note.severity != Severity::Routine {
                self.events.publish(before, &note);
            }
        }
    }
}

/// The name of a step without what it carries, which may be long or not for logs.
pub(super) fn name_of(step: &impl Debug) -> String {
    let text = format!("{step:?}");
    let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
    text[..end].to_owned()
}

pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
