//! What is left to do for finished jobs: deleting them when their time has come, and saying that a change of their spec
//! was seen.
//!
//! They are watched as metadata only, and of most of them nothing is kept. Whether a job has a time to live is read from
//! its `managedFields`, which name every field that somebody set, and whether its spec was changed from its generation,
//! so that only those jobs are read in full.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use kube_runtime::watcher::{self, Event};
use tokio_util::sync::CancellationToken;

use crate::api::CommandJob;
use crate::api::command_job::{CommandJobStatus, Phase};
use crate::runtime::expiry::{self, Due};
use crate::runtime::limits::PAGE;
use crate::runtime::{Scope, StatusWriter, WriteError, is_missing};

/// Selects the jobs that have ended.
pub const FINISHED: &str = "status.phase!=,status.phase!=Queued,status.phase!=Running,status.phase!=Suspended";

/// The pause after a failed read or deletion.
const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// The pause after a deletion that lost against a change of the job.
const CHANGED: SignedDuration = SignedDuration::from_secs(1);

/// Marks of tools that would make a deleted job again, and so run its command again.
const GITOPS_MARKS: [&str; 5] = [
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/instance",
    // What Argo CD 2 tracks by unless it is told otherwise; Helm sets it too.
    "app.kubernetes.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
];

/// What changes finished jobs.
#[derive(Clone)]
pub struct Writers {
    /// Deletes them.
    pub client: Client,
    /// Writes their status.
    pub status: Arc<StatusWriter<CommandJob>>,
}

/// Deletes finished jobs of `scope` until `stop` is cancelled, and keeps their `observedGeneration`. `default_ttl` is for
/// jobs that say nothing themselves.
pub async fn run(
    watch: Client,
    writers: Writers,
    scope: Scope,
    default_ttl: Option<Duration>,
    stop: CancellationToken,
) {
    let apis: Vec<Api<PartialObjectMeta<CommandJob>>> = scope.apis(&watch);
    let config = watcher::Config::default().fields(FINISHED).page_size(PAGE);
    let streams = apis
        .into_iter()
        .map(|api| small(watcher::watcher(api, config.clone()), default_ttl).boxed());
    let runs = streams.map(|events| {
        let writers = writers.clone();
        expiry::run(
            events,
            |job| is_marked(job).then(Timestamp::now),
            move |due| look_after(writers.clone(), due, default_ttl),
            stop.clone(),
        )
    });
    futures::future::join_all(runs).await;
}

/// A job that has to be looked at carries this annotation within the stream, and no other metadata but its names.
const MARK: &str = "lifeguard.dev/to-be-looked-at";

fn small(
    events: impl Stream<Item = watcher::Result<Event<PartialObjectMeta<CommandJob>>>> + Send,
    default_ttl: Option<Duration>,
) -> impl Stream<Item = watcher::Result<Event<PartialObjectMeta<CommandJob>>>> + Send {
    use kube_runtime::WatchStreamExt;
    events
        .default_backoff()
        .modify(move |job: &mut PartialObjectMeta<CommandJob>| {
            let sets_its_own = job
                .metadata
                .managed_fields
                .iter()
                .flatten()
                .filter_map(|it| it.fields_v1.as_ref())
                .any(|it| it.0.pointer("/f:spec/f:ttlSecondsAfterFinished").is_some());
            let by_default = default_ttl.is_some() && !is_tracked(job);
            let was_changed = job.metadata.generation > Some(1);
            job.metadata.managed_fields = None;
            job.metadata.labels = None;
            job.metadata.annotations =
                (sets_its_own || by_default || was_changed).then(|| [(MARK.to_owned(), String::new())].into());
        })
}

fn is_marked(job: &PartialObjectMeta<CommandJob>) -> bool {
    job.annotations().contains_key(MARK)
}

fn is_tracked(job: &impl ResourceExt) -> bool {
    GITOPS_MARKS
        .iter()
        .any(|mark| job.annotations().contains_key(*mark) || job.labels().contains_key(*mark))
}

async fn look_after(writers: Writers, due: Due, default_ttl: Option<Duration>) -> Option<Timestamp> {
    let api: Api<CommandJob> = Api::namespaced(writers.client, &due.key.namespace);
    let job = match api.get_opt(&due.key.name).await {
        Ok(job) => job.filter(|it| it.uid().as_ref() == Some(&due.uid))?,
        Err(error) => return Some(later(&due, &error)),
    };
    let when = deadline(&job, default_ttl);
    if when.is_none_or(|it| it > Timestamp::now()) {
        let Some(status) = observed(&job) else { return when };
        return match writers.status.write(&job, &status).await {
            Ok(_) | Err(WriteError::Gone) => when,
            Err(WriteError::Conflict) => Some(Timestamp::now() + CHANGED),
            Err(error) => Some(later(&due, &error)),
        };
    }
    let preconditions = Preconditions {
        uid: Some(due.uid.clone()),
        resource_version: job.resource_version(),
    };
    let parameters = DeleteParams {
        preconditions: Some(preconditions),
        ..DeleteParams::background()
    };
    match api.delete(&due.key.name, &parameters).await {
        Ok(_) => {
            tracing::info!(job = %due.key, "finished job deleted, its time to live has passed");
            None
        }
        Err(kube::Error::Api(status)) if is_missing(&status) => None,
        // The job changed since it was read, perhaps its time to live did.
        Err(kube::Error::Api(status)) if status.is_conflict() => Some(Timestamp::now() + CHANGED),
        Err(error) => Some(later(&due, &error)),
    }
}

/// The status that speaks of the newest generation, if the one that there is does not. What else it says has not changed,
/// because nothing that can still be changed of a finished job changes how it ended. Pure.
fn observed(job: &CommandJob) -> Option<CommandJobStatus> {
    let generation = job.metadata.generation;
    let mut status = job.status.clone()?;
    if status.observed_generation == generation || !status.phase.is_some_and(Phase::is_terminal) {
        return None;
    }
    status.observed_generation = generation;
    for condition in &mut status.conditions {
        condition.observed_generation = generation;
    }
    Some(status)
}

fn later(due: &Due, error: &dyn std::error::Error) -> Timestamp {
    tracing::warn!(job = %due.key, %error, "finished job not deleted, or its status not written, yet");
    Timestamp::now() + RETRY
}

/// When a job is to be deleted; `None` for never. Pure.
fn deadline(job: &CommandJob, default_ttl: Option<Duration>) -> Option<Timestamp> {
    let status = job
        .status
        .as_ref()
        .filter(|it| it.phase.is_some_and(Phase::is_terminal))?;
    let ended = status.completion_time.as_ref()?.0;
    let seconds = match job.spec.ttl_seconds_after_finished {
        Some(seconds) => i64::from(seconds),
        None => i64::try_from(default_ttl.filter(|_| !is_tracked(job))?.as_secs()).ok()?,
    };
    ended.checked_add(SignedDuration::from_secs(seconds)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::command_job::LIVE;

    fn job(ttl: Option<i32>, annotations: serde_json::Value, phase: &str) -> CommandJob {
        serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
            "metadata": {"name": "j", "annotations": annotations},
            "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "ttlSecondsAfterFinished": ttl},
            "status": {"phase": phase, "completionTime": "2026-01-01T00:00:00Z"},
        }))
        .expect("a valid job")
    }

    #[test]
    fn a_job_is_watched_either_as_live_or_as_finished() {
        for phase in [
            Phase::Queued,
            Phase::Running,
            Phase::Suspended,
            Phase::Succeeded,
            Phase::Cancelled,
            Phase::Failed,
        ] {
            let excluded = format!("status.phase!={phase:?}");
            let is_in = |selector: &str| !selector.split(',').any(|it| it == excluded);
            assert_eq!(is_in(LIVE), !phase.is_terminal(), "{phase:?}");
            assert_eq!(is_in(FINISHED), phase.is_terminal(), "{phase:?}");
        }
    }

    #[test]
    fn a_change_after_the_end_is_observed_once() {
        let mut job = job(Some(60), json!({}), "Succeeded");
        job.metadata.generation = Some(3);
        let status = observed(&job).expect("a new generation");
        assert_eq!(status.observed_generation, Some(3));
        job.status = Some(status);
        assert_eq!(observed(&job), None);
        job.status.as_mut().expect("a status").phase = Some(Phase::Running);
        job.metadata.generation = Some(4);
        assert_eq!(observed(&job), None, "that is its controller's business");
    }

    #[test]
    fn a_job_goes_when_its_time_has_come() {
        let hour = Some(Duration::from_hours(1));
        let ended: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let after = |seconds| Some(ended + SignedDuration::from_secs(seconds));
        let tracked = json!({"argocd.argoproj.io/tracking-id": "x"});
        for (ttl, annotations, phase, default, expected) in [
            (None, json!({}), "Succeeded", None, None),
            (Some(60), json!({}), "Succeeded", None, after(60)),
            (Some(0), json!({}), "Failed", hour, after(0)),
            (None, json!({}), "Failed", hour, after(3600)),
            (None, tracked.clone(), "Failed", hour, None),
            (Some(60), tracked, "Failed", hour, after(60)),
            (Some(60), json!({}), "Running", hour, None),
        ] {
            assert_eq!(
                deadline(&job(ttl, annotations.clone(), phase), default),
                expected,
                "{ttl:?} {annotations} {phase}"
            );
        }
    }
}
