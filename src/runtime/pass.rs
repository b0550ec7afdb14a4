//! One pass over one object, as a step sees it.

use std::sync::Arc;

use kube::core::object::HasStatus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    finalizer,
    reconciler::Reconciler,
    snapshot::Snapshot,
    status::{StatusWriter, WriteError},
    underway::{Delivered, version},
    waits::Waited,
    written::Written,
};

/// One pass over one object: its latest version, what was observed, and the means to write it.
///
/// Whatever is written through the pass becomes its object, so the next plan and the summary see it, and so does a later
/// pass that begins before the watch delivers the write.
pub struct Pass<R: Reconciler> {
    object: Snapshot<R::Object>,
    pub(super) observed: Option<R::Observed>,
    /// What the last plan said of the object.
    pub(super) verdict: Option<R::Verdict>,
    /// For how long the object has given which reason.
    pub(super) waited: Waited,
    writer: Arc<StatusWriter<R::Object>>,
    written: Arc<Written<R::Object>>,
    delivered: watch::Receiver<Delivered>,
    stop: CancellationToken,
    /// The statuses that steps wrote, each with the object as it was before.
    pub(super) transitions: Vec<(Snapshot<R::Object>, StatusOf<R>)>,
}

type StatusOf<R> = <<R as Reconciler>::Object as HasStatus>::Status;

impl<R: Reconciler> Pass<R> {
    pub(super) fn new(
        object: Snapshot<R::Object>,
        writer: Arc<StatusWriter<R::Object>>,
        written: Arc<Written<R::Object>>,
        delivered: watch::Receiver<Delivered>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            object,
            observed: None,
            verdict: None,
            waited: Waited::default(),
            writer,
            written,
            delivered,
            stop,
            transitions: Vec::new(),
        }
    }

    /// The latest version of the object that this pass knows.
    pub fn object(&self) -> &Snapshot<R::Object> {
        &self.object
    }

    /// What this pass observed.
    ///
    /// # Panics
    /// Outside of `carry_out`, which is only called with an observation.
    pub fn observed(&self) -> &R::Observed {
        self.observed
            .as_ref()
            .expect("invariant: a step is carried out on an observation")
    }

    /// What this pass observed, for a step to bring up to date with what it did.
    ///
    /// # Panics
    /// Outside of `carry_out`, which is only called with an observation.
    pub fn observed_mut(&mut self) -> &mut R::Observed {
        self.observed
            .as_mut()
            .expect("invariant: a step is carried out on an observation")
    }

    /// Writes the status over exactly the version that this pass knows, even if it is the same: when this returns, the
    /// server has stored it and nobody else wrote in between.
    pub async fn write_status(&mut self, status: &<R::Object as HasStatus>::Status) -> Result<(), WriteError> {
        let answer = self.writer.write(&self.object, status).await?;
        let before = self.object.clone();
        self.replace_object(answer);
        self.transitions.push((before, status.clone()));
        Ok(())
    }

    /// Adds the finalizer unless the object carries it.
    pub async fn ensure_finalizer(&mut self, finalizer: &str) -> Result<(), WriteError> {
        if let Some(answer) = finalizer::ensure(self.writer.client(), &*self.object, finalizer).await? {
            self.replace_object(answer);
        }
        Ok(())
    }

    /// Removes the finalizer if the object carries it; an object that is gone is as good.
    pub async fn release_finalizer(&mut self, finalizer: &str) -> Result<(), WriteError> {
        if let Some(answer) = finalizer::release(self.writer.client(), &*self.object, finalizer).await? {
            self.object = Snapshot::answered(answer);
        }
        Ok(())
    }

    /// Goes on with a version of the object that the API server answered a write with.
    pub fn replace_object(&mut self, answer: R::Object) {
        self.object = Snapshot::answered(answer);
        self.written.remember(&self.object);
    }

    /// Returns when a step that waits should end: the watch delivered a version of the object that is newer than the one
    /// that this pass knows, or the object left the watch, or the process shuts down. What ignores a shutdown is dropped
    /// some seconds later.
    pub async fn interrupted(&self) {
        let mut delivered = self.delivered.clone();
        // Versions that are not numbers cannot be compared; then only a departure interrupts.
        let known = version(&*self.object).map_or(Delivered::Version(u64::MAX), Delivered::Version);
        let superseded = async {
            // Once the pass is over nobody tells any more.
            if delivered.wait_for(|it| *it > known).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = superseded => {}
        }
    }
}
