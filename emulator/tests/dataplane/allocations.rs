//! The journal of sessions: what they cost, and how many there were at a time.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::Azure;

/// The only entry of an identifier.
fn entry<'a>(journal: &'a Value, identifier: &str) -> &'a Value {
    let sessions = journal["sessions"].as_array().unwrap();
    let mut of_it = sessions.iter().filter(|it| it["identifier"] == identifier);
    let entry = of_it.next().unwrap_or_else(|| panic!("no {identifier}: {journal}"));
    assert!(of_it.next().is_none(), "{identifier}: {journal}");
    entry
}

fn endings(journal: &Value) -> Vec<(&str, Option<&str>)> {
    let sessions = journal["sessions"].as_array().unwrap();
    sessions
        .iter()
        .map(|it| (it["identifier"].as_str().unwrap(), it["ending"].as_str()))
        .collect()
}

#[tokio::test]
async fn every_session_is_in_the_journal_with_its_end() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let maximum = json!({ "scaleConfiguration": { "maxConcurrentSessions": 10 } });
    let pool = azure.pool("shell", "Shell", maximum).await;
    for name in ["cooled", "deleted", "crashed", "replaced", "orphaned"] {
        pool.shell(name, "true").await;
        if name == "cooled" {
            azure.advance(200).await;
        }
    }
    azure.advance(200).await;
    pool.delete("session", "deleted").await;
    azure.crash(&pool.id, "crashed").await;
    azure.replace(&pool.id, "replaced").await;
    let deleted = azure.arm(Method::DELETE, &pool.id, "2025-10-02-preview", None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);

    let journal = azure.allocations(&pool.id).await;
    assert_eq!(
        endings(&journal),
        [
            ("cooled", Some("CooledDown")),
            ("deleted", Some("Deleted")),
            ("crashed", Some("Crashed")),
            ("replaced", Some("Replaced")),
            ("orphaned", Some("PoolDeleted")),
            ("replaced", Some("PoolDeleted")),
        ]
    );
    let cooled = entry(&journal, "cooled");
    let time = |name: &str| cooled[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lived = time("endedAt").duration_since(time("allocatedAt"));
    assert_eq!(
        lived.as_secs(),
        300,
        "until it had cooled down, not until that was noticed"
    );
    assert_eq!(cooled["executions"], 1);
    assert_ne!(journal["sessions"][3]["etag"], journal["sessions"][5]["etag"]);
    let total = &journal["pools"][0];
    assert_eq!((&total["live"], &total["allocated"]), (&json!(0), &json!(6)));
    assert_eq!(total["peak"], 5, "one that takes the place of another is not one more");
}

#[tokio::test]
async fn a_session_is_billed_by_every_hour_that_was_started() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    let hours = async || entry(&azure.allocations(&pool.id).await, "session-1")["billedHours"].clone();
    pool.shell("session-1", "true").await;
    for (minutes, billed) in [(0, 1), (55, 1), (10, 2), (50, 2), (10, 3)] {
        for _ in 0..minutes {
            azure.advance(60).await;
            pool.shell("session-1", "true").await;
        }
        assert_eq!(hours().await, billed, "after {minutes} more minutes");
    }
    pool.delete("session", "session-1").await;
    azure.advance(100_000).await;
    assert_eq!(hours().await, 3, "what has ended costs no more");
}

#[tokio::test]
async fn fresh_sessions_cost_an_hour_each_and_a_reused_one_costs_one() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let (fresh, reused) = (
        azure.pool("fresh", "Shell", json!({})).await,
        azure.pool("reused", "Shell", json!({})).await,
    );
    for number in 0..20 {
        let identifier = format!("session-{number}");
        fresh.shell(&identifier, "true").await;
        fresh.delete("session", &identifier).await;
        reused.shell("session", "true").await;
        azure.advance(2).await;
    }
    let total = async |pool: &str| {
        let journal = azure.allocations(pool).await;
        assert_eq!(
            journal["pools"].as_array().unwrap().len(),
            1,
            "only the pool that was asked for"
        );
        let total = &journal["pools"][0];
        ["executions", "billedHours", "allocated", "peak", "live"].map(|name| total[name].as_u64().unwrap())
    };
    assert_eq!(total(&fresh.id).await, [20, 20, 20, 1, 0]);
    assert_eq!(total(&reused.id.to_uppercase()).await, [20, 1, 1, 1, 1]);
}

#[tokio::test]
async fn clearing_the_journal_keeps_the_sessions_that_live() {
    let azure = Azure::start(json!({ "simulatedExecution": {} })).await;
    let pool = azure.shell_pool().await;
    for number in 1..=3 {
        pool.shell(&format!("session-{number}"), "true").await;
    }
    pool.post("session-4", json!({ "shellCommand": "true" })).await;
    pool.delete("session", "session-1").await;
    pool.delete("session", "session-2").await;
    let total = async || azure.allocations(&pool.id).await["pools"][0].clone();
    let before = total().await;
    assert_eq!(
        (&before["peak"], &before["refused"], &before["live"]),
        (&json!(3), &json!(1), &json!(1))
    );
    azure.clear_allocations().await;
    let after = total().await;
    assert_eq!(
        (&after["peak"], &after["refused"], &after["live"]),
        (&json!(1), &json!(0), &json!(1))
    );
    pool.shell("session-1", "true").await;
    assert_eq!(total().await["peak"], 2);
}
