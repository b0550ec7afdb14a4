//! CommandJob: a command that runs in a session, once, and what it printed and returned.
//!
//! What is promised rests on the order prepare → claim → call ([`plan`]), on identifiers that can be derived again
//! ([`identifier`]) and on the text that runs in the session ([`runner`]), which starts a command at most once however
//! often it is sent.

pub mod capture;
pub mod collect;
pub mod conversation;
mod error;
pub mod expansion;
pub mod expiry;
pub mod identifier;
pub mod inputs;
pub mod observe;
pub mod overflow;
pub mod plan;
mod reconcile;
pub mod release;
pub mod runner;
pub mod session;
pub mod status;
pub mod target;

pub use error::JobError;
pub use reconcile::CommandJobs;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube_runtime::watcher;

use crate::api::{CommandJob, SessionPool};
use crate::config::Config;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::{Controller, Key, Source, drive};

use self::release::Releaser;
use self::target::Targets;

/// Selects the jobs that have not ended: only these are kept in memory.
pub const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How many jobs are worked on at the same time. A pass spends its time waiting for a session to answer.
const CONCURRENCY: u16 = 4096;

/// What a pass may take beyond the time for which it waits for a command's end.
const BEYOND_THE_WINDOW: Duration = Duration::from_secs(90);

/// Starts the controller of CommandJobs and the deletion of finished ones.
pub fn spawn(context: &crate::controller::Context, config: &Config, supervisor: &mut Supervisor) {
    let source: Source<CommandJob> = Source::new(
        &context.clients().watch,
        context.scope(),
        watcher::Config::default().fields(LIVE),
    );
    let releaser = Releaser::new(context.stop().clone());
    let jobs = CommandJobs::new(
        context.clone(),
        Targets::new(context.clone()),
        releaser.clone(),
        config.poll_window(),
    );

    let (triggers, cache) = (source.triggers(), source.cache());
    let waiting = move |pool: &SessionPool| -> Vec<Key> {
        let pool = Key::of(pool);
        let waits = |job: &CommandJob| {
            let reference = job.spec.target.session_pool_ref.as_ref();
            reference.is_some_and(|it| {
                let namespace = it.namespace.as_ref().or(job.metadata.namespace.as_ref());
                it.name == pool.name && namespace == Some(&pool.namespace)
            }) && job
                .status
                .as_ref()
                .is_none_or(|it| plan::live_attempt(&it.attempts).is_none())
        };
        cache
            .list()
            .iter()
            .filter(|it| waits(it))
            .map(|it| Key::of(&**it))
            .collect()
    };
    let pools = context.scope().apis(&context.clients().watch);
    let stop = context.stop().clone();
    supervisor.spawn("watch of the pools that jobs wait for", async move {
        tokio::select! {
            () = triggers.follow(pools, watcher::Config::default(), waiting) => {}
            () = stop.cancelled() => {}
        }
        Ok::<_, Infallible>(())
    });

    let settings = drive::Settings {
        concurrency: CONCURRENCY,
        deadline: config.poll_window() + BEYOND_THE_WINDOW,
        plans_per_pass: 20,
        start_spread: Duration::ZERO,
    };
    let controller = Controller::new(
        source,
        Arc::new(jobs),
        context.status_writer(),
        context.events().clone(),
        settings,
        context.stop().clone(),
    )
    .report_to(context.health().check("commandjobs"));
    supervisor.spawn("controller of CommandJobs", async move {
        let ended = controller.run().await;
        releaser.finish().await;
        ended
    });

    let (clients, scope, stop) = (
        context.clients().clone(),
        context.scope().clone(),
        context.stop().clone(),
    );
    let default_ttl = config.default_ttl();
    supervisor.spawn("deletion of finished CommandJobs", async move {
        expiry::run(clients.watch, clients.write, scope, default_ttl, stop).await;
        Ok::<_, Infallible>(())
    });
}
