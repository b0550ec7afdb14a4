//! What a SessionPool's status says of its sessions.
//!
//! A field manager of its own writes it, and nothing else, so that it neither waits for a pass over the pool, nor is one.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::queues::Queues;
use crate::api::SessionPool;
use crate::api::condition::{Reason, kind};
use crate::api::session_pool::{BilledHours, PoolSessions};
use crate::controller::watched::Watched;
use crate::runtime::conditions::{Conditions, Truth, find};
use crate::runtime::{Key, Pace, is_missing};

/// Who writes it, as the API server knows it.
const FIELD_MANAGER: &str = "lifeguard/sessions";

/// The shortest time between two writes to a pool.
const BETWEEN_WRITES: Duration = Duration::from_secs(30);

/// How soon after a change the first one is.
const FIRST_AFTER: Duration = Duration::from_secs(1);

/// The sessions of a pool, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    sessions: PoolSessions,
    is_refusing: bool,
}

impl Counts {
    /// Those of a ledger.
    pub fn of(ledger: &Ledger, now: Timestamp) -> Self {
        let number = |it: usize| i32::try_from(it).unwrap_or(i32::MAX);
        let billed = ledger.bill(now);
        let billed = billed.hours().map(|(namespace, hours)| BilledHours {
            namespace: namespace.to_owned(),
            hours: i64::try_from(hours).unwrap_or(i64::MAX),
        });
        Self {
            sessions: PoolSessions {
                in_use: number(ledger.in_use()),
                kept: number(ledger.kept()),
                queued: number(ledger.queued()),
                foreign: number(ledger.foreign() as usize),
                billed_hours: billed.collect(),
            },
            is_refusing: ledger.is_refusing(),
        }
    }
}

/// Writes what changed into the status of pools, until `stop` is cancelled.
pub async fn report(queues: Queues, pools: Watched<SessionPool>, client: Client, pace: Pace, stop: CancellationToken) {
    let mut changes = queues.changes();
    let mut written: HashMap<Key, (Counts, Instant)> = HashMap::new();
    loop {
        let mut next = None::<Instant>;
        for (key, counts) in queues.counts() {
            let last = written.get(&key);
            if last.is_some_and(|(before, _)| *before == counts) {
                continue;
            }
            let due = last
                .map(|(_, at)| *at + pace.of(BETWEEN_WRITES))
                .filter(|due| *due > Instant::now());
            if let Some(due) = due {
                next = next.into_iter().chain([due]).min();
                continue;
            }
            let has_it = |pool: &SessionPool| {
                let told = pool.status.as_ref().and_then(|it| it.sessions.as_ref());
                told == Some(&counts.sessions) || (told.is_none() && counts == Counts::default())
            };
            if let Some(pool) = pools.get(&key).filter(|it| last.is_some() || !has_it(it)) {
                match write(&client, &pool, &counts).await {
                    Ok(()) => {}
                    Err(kube::Error::Api(status)) if is_missing(&status) => {}
                    Err(error) => tracing::debug!(pool = %key, %error, "the sessions of a pool could not be told"),
                }
            }
            written.insert(key, (counts, Instant::now()));
        }
        let due = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            changed = changes.changed() => {
                if changed.is_err() { return }
                tokio::time::sleep(pace.of(FIRST_AFTER)).await;
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn write(client: &Client, pool: &SessionPool, counts: &Counts) -> kube::Result<()> {
    let meta = pool.meta();
    let (name, namespace) = (meta.name.as_deref(), meta.namespace.as_deref());
    let (Some(name), Some(namespace)) = (name, namespace) else {
        return Ok(());
    };
    let mut status = json!({"sessions": counts.sessions});
    let before = pool
        .status
        .as_ref()
        .map(|it| it.azure.conditions.as_slice())
        .unwrap_or_default();
    if counts.is_refusing || find(before, kind::SESSIONS_AVAILABLE).is_some() {
        let mut conditions = Conditions::from_previous(before, meta.generation, Timestamp::now());
        if counts.is_refusing {
            let message = "Azure refuses further sessions of the pool, although it may have more: others may use it, or it \
                           has not let go of sessions that ended. It is tried again with one job at a time";
            conditions.set(
                kind::SESSIONS_AVAILABLE,
                Truth::False,
                Reason::PoolExhausted.as_str(),
                message,
            );
        } else {
            let message = "sessions of the pool are to be had";
            conditions.set(
                kind::SESSIONS_AVAILABLE,
                Truth::True,
                Reason::Available.as_str(),
                message,
            );
        }
        let conditions = conditions.into_vec();
        let own = find(&conditions, kind::SESSIONS_AVAILABLE);
        status["conditions"] = json!(own.into_iter().collect::<Vec<_>>());
    }
    let apply = json!({
        "apiVersion": SessionPool::api_version(&()),
        "kind": SessionPool::kind(&()),
        "metadata": {"name": name, "namespace": namespace, "uid": meta.uid},
        "status": status,
    });
    let api: Api<SessionPool> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &parameters, &Patch::Apply(apply))
        .await
        .map(drop)
}
