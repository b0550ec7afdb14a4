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
mod lives;
pub mod observe;
pub mod overflow;
pub mod plan;
mod reconcile;
mod refusal;
pub mod release;
pub mod runner;
pub mod session;
pub mod status;
mod steps;
pub mod target;

pub use error::JobError;
pub use reconcile::CommandJobs;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{CommandJob, SessionPool};
use crate::config::Config;
use crate::controller::Context;
use crate::controller::reference::accounts_of;
use crate::runtime::references::Entry;
use crate::runtime::supervisor::Supervisor;
use crate::runtime::{Controller, ObjectId, Source, Target, drive};

use self::release::Releaser;
use self::target::Targets;

/// Selects the jobs that have not ended: only these are kept in memory.
pub const LIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How many jobs are worked on at the same time. A pass spends its time waiting for a session to answer.
const CONCURRENCY: u16 = 4096;

/// What a pass may take beyond the time for which it waits for a command's end.
const BEYOND_THE_WINDOW: Duration = Duration::from_secs(90);

/// Starts the controller of CommandJobs and the deletion of finished ones.
pub fn spawn(context: &Context, source: Source<CommandJob>, config: &Config, supervisor: &mut Supervisor) {
    let releaser = Releaser::new(context.stop().clone());
    let jobs = CommandJobs::new(
        context.clone(),
        Targets::new(context.clone()),
        releaser.clone(),
        config.poll_window(),
    );
    let settings = drive::Settings {
        concurrency: CONCURRENCY,
        deadline: config.poll_window() + BEYOND_THE_WINDOW,
        plans_per_pass: 20,
        start_spread: Duration::ZERO,
        ..context.settings()
    };
    let jobs = Arc::new(jobs);
    let watched = Arc::clone(&jobs);
    let controller = Controller::new(
        source,
        jobs,
        context.status_writer(),
        context.events().clone(),
        settings,
        context.stop().clone(),
    )
    .indexed(context.references().clone(), entry)
    .on_change(move |job| watched.seen(job))
    .report_to(context.health().check("commandjobs"));
    supervisor.spawn("controller of CommandJobs", async move {
        let ended = controller.run().await;
        releaser.finish().await;
        ended
    });

    let (watch, scope, stop) = (
        context.clients().watch.clone(),
        context.scope().clone(),
        context.stop().clone(),
    );
    let writers = expiry::Writers {
        client: context.clients().write.clone(),
        status: Arc::new(context.status_writer()),
    };
    let default_ttl = config.default_ttl();
    supervisor.spawn("care of finished CommandJobs", async move {
        expiry::run(watch, writers, scope, default_ttl, stop).await;
        Ok::<_, Infallible>(())
    });
}

/// What the index knows of a job. One that has not begun waits for its pool, and for any account of its namespace.
fn entry(job: &CommandJob) -> Entry {
    let mut entry = Entry::default();
    if has_live_attempt(job) {
        return entry;
    }
    let own = job.metadata.namespace.as_deref().unwrap_or_default();
    entry.refer(Target::External(accounts_of(own)), false);
    if let Some(pool) = &job.spec.target.session_pool_ref {
        let namespace = pool.namespace.as_deref().unwrap_or(own);
        entry.refer(
            Target::Object(ObjectId::new::<SessionPool>(namespace, &pool.name)),
            false,
        );
    }
    entry
}

fn has_live_attempt(job: &CommandJob) -> bool {
    let status = job.status.as_ref();
    status.is_some_and(|it| plan::live_attempt(&it.attempts).is_some())
}
