//! The controller of CommandJobs: what is wired to what.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{CommandJob, SessionPool};
use crate::config::Config;
use crate::controller::Context;
use crate::controller::reference::accounts_of;
use crate::runtime::references::Entry;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::{ObjectId, Source, Target, drive};

use super::abridged::abridge;
use super::executor::Farewells;
use super::executor::session_pool::{Pools, Reaper};
use super::finished;
use super::job::plan::last_claim;
use super::queue::{Queues, report};
use super::reconciler::CommandJobs;

/// How many jobs are worked on at the same time. A pass spends its time waiting for a session to answer.
const CONCURRENCY: u16 = 4096;

/// What a pass may take beyond the time for which it waits for a command's end.
const BEYOND_THE_WINDOW: Duration = Duration::from_secs(90);

/// Starts the controller of CommandJobs and the deletion of finished ones.
pub fn spawn(context: &Context, source: Source<CommandJob>, config: &Config, supervisor: &mut Supervisor) {
    let farewells = Farewells::new(context.stop().clone());
    let pace = context.settings().pace;
    let triggers = source.triggers();
    let queues = Queues::new(pace, move |key| triggers.trigger(key));
    let pools = Arc::new(Pools::new(context.clone(), queues.clone(), config.poll_window()));
    let reaper = Reaper::new(context.clone(), Arc::clone(&pools));
    supervisor.spawn("care of sessions", async move {
        reaper.run().await;
        Ok::<_, Infallible>(())
    });
    let jobs = CommandJobs::new(context.clone(), pools, farewells.clone());
    let settings = drive::Settings {
        concurrency: CONCURRENCY,
        deadline: config.poll_window() + BEYOND_THE_WINDOW,
        plans_per_pass: 20,
        start_spread: Duration::ZERO,
        ..context.settings()
    };
    let controller = context.controller(source.shortened(abridge), jobs, settings, entry);
    supervisor.spawn("controller of CommandJobs", async move {
        let ended = controller.run().await;
        farewells.finish().await;
        ended
    });

    supervisor.spawn("queues of CommandJobs", {
        let (queues, stop) = (queues.clone(), context.stop().clone());
        async move {
            queues.run(stop).await;
            Ok::<_, Infallible>(())
        }
    });
    supervisor.spawn("sessions of SessionPools", {
        let (pools, client, stop) = (
            context.session_pools.clone(),
            context.client().clone(),
            context.stop().clone(),
        );
        async move {
            report(queues, pools, client, pace, stop).await;
            Ok::<_, Infallible>(())
        }
    });

    let (watch, scope, stop) = (
        context.clients().watch.clone(),
        context.scope().clone(),
        context.stop().clone(),
    );
    let writers = finished::Writers {
        client: context.clients().write.clone(),
        status: Arc::new(context.status_writer()),
    };
    let default_ttl = config.default_ttl();
    supervisor.spawn("care of finished CommandJobs", async move {
        finished::run(watch, writers, scope, default_ttl, stop).await;
        Ok::<_, Infallible>(())
    });
}

/// What the index knows of a job. One that has not begun, and is not suspended, waits for its pool, and for any account of its namespace and of
/// the pool's, which may lend one.
fn entry(job: &CommandJob) -> Entry {
    let mut entry = Entry::default();
    if last_claim(job).is_some() || job.spec.suspend {
        return entry;
    }
    let own = job.metadata.namespace.as_deref().unwrap_or_default();
    entry.refer(Target::External(accounts_of(own)), false);
    if let Some(pool) = &job.spec.target.session_pool_ref {
        let namespace = pool.namespace.as_deref().unwrap_or(own);
        entry.refer(Target::External(accounts_of(namespace)), false);
        entry.refer(
            Target::Object(ObjectId::new::<SessionPool>(namespace, &pool.name)),
            false,
        );
    }
    entry
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_guest_hears_of_its_own_accounts_of_the_pool_and_of_the_accounts_that_it_may_be_lent() {
        let job: CommandJob = serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j", "namespace": "guest"},
            "spec": {"target": {"sessionPoolRef": {"name": "shell", "namespace": "host"}}, "script": "true"},
        }))
        .expect("a valid job");
        let heard: Vec<_> = entry(&job).refers.into_keys().collect();
        let expected = [
            Target::Object(ObjectId::new::<SessionPool>("host", "shell")),
            Target::External(accounts_of("guest")),
            Target::External(accounts_of("host")),
        ];
        assert_eq!(heard, expected);
    }
}
